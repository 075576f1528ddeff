"""A settings file as values that know where they stand."""

from __future__ import annotations

from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import msgspec

from costaudit.errors import ConfigError

MAX_BYTES = 16 * 2**20  # a settings file is a page; a mapping file of 100,000 names is 5 MB

Scalar = str | int | float | bool | date | None


class Node(msgspec.Struct, frozen=True):
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
    from costaudit.config._yaml import only  # the reader of YAML is imported where there is some

    text = read_text(path)
    if path.suffix.lower() == ".json":
        text = text.replace("\t", " ")  # JSON is YAML but for tabs, which stand only between its values
    node = only(text, path)
    return None if node is None or node.value is None else node


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
