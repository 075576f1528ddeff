"""YAML text to nodes.

Read from the event stream of the safe loader, so that one pass bounds depth and size, refuses anchors (they
make a small file enormous), duplicate keys and tags, and remembers the line of everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from costaudit.config._node import Node, Scalar
from costaudit.errors import ConfigError

MAX_DEPTH = 16  # levels; the deepest setting has 5

_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PLAIN = frozenset(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "timestamp"))


def only(text: str, path: Path) -> Node | None:
    """The one document of a text; None where there is none."""
    events = _events(text, str(path))
    builder = _Builder(events, str(path))
    first = next(events, None)
    if first is None:
        return None
    node = builder.node(first, "", 0)
    if next(events, None) is not None:
        raise ConfigError(f"{path}: more than one YAML document", hint="keep one; remove the line `---`")
    return node


def _events(text: str, file: str) -> Iterator[Any]:
    """The events of the documents' content, YAML's own complaints turned into ours."""
    framing = (yaml.StreamStartEvent, yaml.StreamEndEvent, yaml.DocumentStartEvent, yaml.DocumentEndEvent)
    try:
        for event in yaml.parse(text, Loader=_Loader):
            if not isinstance(event, framing):
                yield event
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        if "nesting depth" in (error.problem or ""):  # newer readers refuse what is far too deep before it is built
            raise ConfigError(f"{file}{line}: nested more than {MAX_DEPTH} levels deep") from error
        raise ConfigError(f"{file}{line}: not valid YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{file}: not valid YAML: {str(error).splitlines()[0]}") from error


class _Builder:
    """Events to nodes. A class because the resolver of plain scalars is one object for the whole file."""

    def __init__(self, events: Iterator[Any], file: str) -> None:
        self.events = events
        self.file = file
        self.scalars: Any = yaml.SafeLoader("")

    def node(self, event: Any, path: str, depth: int, line: int = 0) -> Node:
        """The node an event begins; a value stands in the line of its key."""
        line = line or event.start_mark.line + 1
        if depth > MAX_DEPTH:
            raise ConfigError(f"{self.file}:{line}: nested more than {MAX_DEPTH} levels deep")
        if isinstance(event, yaml.AliasEvent) or event.anchor:
            raise ConfigError(f"{self.file}:{line}: anchors and aliases are not read", hint="write the value out")
        if event.tag is not None:
            raise ConfigError(f"{self.file}:{line}: the tag {event.tag} is not read", hint="write a plain value")
        if isinstance(event, yaml.MappingStartEvent):
            return Node(self.mapping(path, depth), "", self.file, line, path)
        if isinstance(event, yaml.SequenceStartEvent):
            return Node(self.sequence(path, depth), "", self.file, line, path)
        return Node(self.scalar(event, line), event.value, self.file, line, path)

    def mapping(self, path: str, depth: int) -> dict[str, Node]:
        nodes: dict[str, Node] = {}
        lines: dict[str, int] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self.node(event, path, depth + 1)
            if isinstance(key.value, dict | list):
                raise ConfigError(f"{key.where}: a key must be a word, not {key.shown}")
            if key.text in nodes:
                raise ConfigError(
                    f"{key.where}: {key.text!r} is given twice",
                    hint=f"it is first given in line {lines[key.text]}",
                )
            inside = f"{path}.{key.text}" if path else key.text
            nodes[key.text] = self.node(next(self.events), inside, depth + 1, key.line)
            lines[key.text] = key.line
        return nodes

    def sequence(self, path: str, depth: int) -> list[Node]:
        nodes: list[Node] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            nodes.append(self.node(event, f"{path}[{len(nodes) + 1}]", depth + 1))
        return nodes

    def scalar(self, event: Any, line: int) -> Scalar:
        tag = self.scalars.resolve(yaml.ScalarNode, event.value, event.implicit)
        if tag not in _PLAIN:  # `<<` and `=`, words of YAML that mean nothing here
            return str(event.value)
        try:
            value: Scalar = self.scalars.construct_object(yaml.ScalarNode(tag, event.value))
        except (ValueError, yaml.YAMLError) as error:
            raise ConfigError(f"{self.file}:{line}: cannot read {event.value[:60]!r}: {error}") from error
        return value
