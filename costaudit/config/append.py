"""Adding to a settings file by hand's means: lines put in, every other byte left as it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from costaudit.errors import ConfigError

PASTE = "add these lines under `suppressions:` yourself"


def with_item(text: str, section: str, item: Sequence[str], file: str = "the settings file") -> str:
    """The text with one more item in a list of the top level; comments, order and spelling stay.

    item  its lines, without indent and dash; the first one gets the dash
    ConfigError where the file is not written in blocks: nobody's own layout is rewritten.
    """
    top = yaml.compose(text, Loader=yaml.SafeLoader)
    newline = "\r\n" if "\r\n" in text else "\n"
    if top is None:
        return _at(text, len(text), [f"{section}:", *_dashed(item, 2)], newline)
    if not isinstance(top, yaml.MappingNode) or top.flow_style:
        raise ConfigError(f"{file} is not written in blocks", hint=PASTE)
    found = next(((key, value) for key, value in top.value if key.value == section), None)
    if found is None:
        margin = top.start_mark.column
        lines = [" " * margin + f"{section}:", *_dashed(item, margin + 2)]
        return _at(text, _end(text, top), lines, newline)
    key, value = found
    if isinstance(value, yaml.SequenceNode) and not value.flow_style:
        return _at(text, _end(text, value), _dashed(item, value.start_mark.column), newline)
    if isinstance(value, yaml.SequenceNode) and not value.value:  # `[]` makes room
        text = text[: value.start_mark.index].rstrip(" ") + text[value.end_mark.index :]
    elif not (isinstance(value, yaml.ScalarNode) and not value.value):
        raise ConfigError(f"{file}:{key.start_mark.line + 1}: {section} is not a list of blocks", hint=PASTE)
    return _at(text, _line_end(text, key.end_mark.index), _dashed(item, key.start_mark.column + 2), newline)


def _dashed(item: Sequence[str], margin: int) -> list[str]:
    return [" " * margin + ("  " if number else "- ") + line for number, line in enumerate(item)]


def _at(text: str, index: int, lines: Sequence[str], newline: str) -> str:
    """The text with whole lines at an index, which is the beginning or the end of a line."""
    before, after = text[:index], text[index:]
    if before and not before.endswith("\n"):
        before += newline
        after = after.removeprefix("\r\n").removeprefix("\n")
    return before + newline.join(lines) + newline + after


def _end(text: str, node: Any) -> int:
    """The end of the last line a block takes; what stands behind it, comments too, is not its own."""
    while not isinstance(node, yaml.ScalarNode) and not node.flow_style and node.value:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    mark = node.end_mark
    if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">") and mark.column == 0:
        return int(mark.index)
    return _line_end(text, mark.index)


def _line_end(text: str, index: int) -> int:
    found = text.find("\n", index)
    return len(text) if found < 0 else found + 1
