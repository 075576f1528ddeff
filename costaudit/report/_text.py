"""Text from a log, made harmless: the one place that decides what may reach a terminal, a file or a browser.

Names, models, paths and messages come from logs and are hostile until proved otherwise: terminal escapes, bidirectional
overrides, zero-width joiners, lone surrogates, a megabyte in one name. `clean` is applied to every such text
before any renderer lays it out; each output format then adds the escapes of its own language.
"""

from __future__ import annotations

import json
import re
import unicodedata
from functools import lru_cache
from itertools import chain

from rich.cells import get_character_cell_size

LONGEST = 2_000  # characters of one text; beyond that no reader follows and a layout has no width for it
ELLIPSIS = "…"

# Categories of code points that act instead of being seen: controls, formats (bidi, zero-width, tags), surrogates,
# private use, unassigned, line and paragraph separators.
_ACTING = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_SELECTORS = frozenset(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))  # change a neighbour's width
# To GitHub's runner a log line that begins with `::`, blanks aside, is a command; to Azure's and TeamCity's `##vso[`
# is one anywhere. Any word may come to stand at the beginning of a line, for reports are wrapped.
_COMMANDS = re.compile(r"(?<!\S)::|##(?=\w*\[)")
_JSON_COMMANDS = re.compile(r"##(?=\w*\[)")
_WORDS = re.compile(r"\S+(?: %\S*)?")
_NOT_ASCII = re.compile(r"[^\n -~]")
_PLAIN = re.compile(r"[ -~\u00a1-\u00ac\u00ae-\u02ff]*")  # Latin: nothing in it acts


@lru_cache(maxsize=8_192)
def clean(text: str) -> str:
    """The text on one line with everything that acts made visible: ESC becomes `␛`, a newline `␊`, U+202E `�`.

    Combining marks stay, at most two on a letter: more would climb over neighbouring lines.
    """
    if len(text) > LONGEST:
        text = text[:LONGEST] + ELLIPSIS
    text = _COMMANDS.sub(lambda found: f"{found[0][0]} {found[0][1]}", text)
    if _PLAIN.fullmatch(text):
        return text
    seen: list[str] = []
    marks = 0
    for char in text:
        category = unicodedata.category(char)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if marks > 2 or char in _SELECTORS:
            continue
        seen.append(_visible(char) if category in _ACTING else " " if category == "Zs" else char)
    if seen and unicodedata.category(seen[0]) in ("Mn", "Me", "Mc"):
        seen.insert(0, "◌")  # a mark that leads would settle on whatever the report puts before it
    return "".join(seen)


def _visible(char: str) -> str:
    code = ord(char)
    if code < 0x20:
        return chr(0x2400 + code)  # Unicode's control pictures, in the same order
    return "\u2421" if code == 0x7F else "\ufffd"


def width(text: str) -> int:
    """Columns a clean text takes in a terminal: wide characters 2, combining marks 0."""
    return len(text) if text.isascii() else sum(map(get_character_cell_size, text))


def fit(text: str, columns: int) -> str:
    """The text in at most `columns`; a longer one loses its middle, because names differ at both ends."""
    if width(text) <= columns:
        return text
    if columns <= 1:
        return ELLIPSIS[:columns]
    tail_columns = (columns - 1) // 2
    head = _upto(text, columns - 1 - tail_columns)
    tail = _upto(text[::-1], tail_columns)[::-1]
    while tail and not width(tail[0]):
        tail = tail[1:]  # a mark whose letter was cut
    return head + ELLIPSIS + tail


def _upto(text: str, columns: int) -> str:
    used = 0
    for index, char in enumerate(text):
        used += get_character_cell_size(char)
        if used > columns:
            return text[:index]
    return text


def pad(text: str, columns: int, *, right: bool = False) -> str:
    """The text in exactly `columns`, cut in the middle or filled with blanks; `right` aligns it right."""
    text = fit(text, columns)
    blanks = " " * (columns - width(text))
    return blanks + text if right else text + blanks


def wrap(text: str, columns: int) -> list[str]:
    """The words of a clean text in lines of at most `columns`, a number beside its `%`; a longer word is cut."""
    lines: list[str] = []
    line = ""
    for word in chain.from_iterable([one] if width(one) <= columns else one.split() for one in _WORDS.findall(text)):
        word = fit(word, columns)
        longer = f"{line} {word}" if line else word
        if line and width(longer) > columns:
            lines.append(line)
            line = word
        else:
            line = longer
    return [*lines, line] if line else lines


def printable_json(text: str) -> str:
    """JSON text whose acting characters are escaped: it parses to the same values and is safe to `cat`."""
    return _NOT_ASCII.sub(lambda found: _escaped(found[0]), _JSON_COMMANDS.sub(r"#\\u0023", text))


def printable_yaml(text: str) -> str:
    """A text as a double-quoted YAML scalar, with the same care; YAML knows no surrogate pairs."""
    quoted = _JSON_COMMANDS.sub(r"#\\u0023", json.dumps(text, ensure_ascii=False))
    return _NOT_ASCII.sub(lambda found: _long(found[0]), quoted)


def _long(char: str) -> str:
    if unicodedata.category(char) not in _ACTING:
        return char
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


def _escaped(char: str) -> str:
    if unicodedata.category(char) not in _ACTING:
        return char
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))
