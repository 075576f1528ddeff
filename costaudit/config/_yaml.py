"""A settings file as values that know where they stand.

Read from the event stream of the safe loader, so that one pass bounds depth and size, refuses anchors (they
make a small file enormous), duplicate keys and tags, and remembers the line of everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import yaml

from costaudit.errors import ConfigError

MAX_BYTES = 16 * 2**20  # a settings file is a page; a mapping file of 100,000 names is 5 MB
MAX_DEPTH = 16  # levels; the deepest setting has 5

_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PLAIN = frozenset(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "timestamp"))

Scalar = str | int | float | bool | date | None


@dataclass(frozen=True, slots=True)
class Node:
    """One value of a settings file.

    value  mapping of nodes, list of nodes, or a scalar as YAML reads it
    text   a scalar as it was written: `007` stays `007`, `no` stays `no`, and `1.10` is an exact amount
    path   how to get there from the top, e.g. `gate.tolerance`
    """

    value: dict[str, Node] | list[Node] | Scalar
    text: str
    file: str
    line: int
    path: str = ""

    @property
    def where(self) -> str:
        return f"{self.file}:{self.line}"

    @property
    def what(self) -> str:
        return self.path or "the file"

    @property
    def shown(self) -> str:
        """The value in few words, for an error message."""
        if isinstance(self.value, dict):
            return "a mapping"
        if isinstance(self.value, list):
            return "a list"
        return "nothing" if self.value is None else repr(self.text[:60])

    def plain(self) -> Any:
        """The value without positions; fractions as Decimal, exactly as written."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        if isinstance(self.value, float):
            try:
                return Decimal(self.text.replace("_", ""))
            except InvalidOperation:  # `.inf`, `.nan`, sexagesimals: YAML's own spellings
                return Decimal(self.value)
        return self.value


def parse(path: Path) -> Node | None:
    """The content of a YAML file; None where it is empty. ConfigError for anything but plain YAML."""
    text = read_text(path)
    if path.suffix.lower() == ".json":
        text = text.replace("\t", " ")  # JSON is YAML but for tabs, which stand only between its values
    events = _events(text, str(path))
    builder = _Builder(events, str(path))
    first = next(events, None)
    if first is None:
        return None
    node = builder.node(first, "", 0)
    if next(events, None) is not None:
        raise ConfigError(f"{path}: more than one YAML document", hint="keep one; remove the line `---`")
    return None if node.value is None else node


def read_text(path: Path) -> str:
    """A file that a person wrote: UTF-8 and of a sane size; ConfigError otherwise."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror or error}", hint="check the path, and that it is a file you may read"
        ) from error
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{path} is over {MAX_BYTES // 2**20} MB", hint="is this a log? logs are given as PATH")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: not UTF-8 text", hint="save the file as UTF-8") from error


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
