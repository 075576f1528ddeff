"""Files with a list of price overrides, in a folder of a user's prices."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from costaudit.errors import PriceError
from costaudit.price.overrides import Override, parse_overrides


class _Entry(msgspec.Struct, frozen=True):
    data: Mapping[str, Any]
    where: str


def holds_overrides(path: Path) -> bool:
    """Whether a YAML file is a list of overrides (bare, or under `prices:`) and not a price file."""
    document = _compose(path)
    return isinstance(_list(document), yaml.SequenceNode)


def read_overrides(path: Path) -> tuple[Override, ...]:
    """The overrides of a file; PriceError names file, line and key of what is wrong."""
    entries = _list(_compose(path))
    found = []
    for node in entries.value if entries is not None else ():
        where = f"{path}:{node.start_mark.line + 1}"
        if not isinstance(node, yaml.MappingNode):
            raise PriceError(f"{where}: a price must be a mapping, e.g. {{match: openai/*, token_multiplier: 0.9}}")
        found.append(_Entry(_plain(node), where))
    return parse_overrides(found)


def _compose(path: Path) -> yaml.Node | None:
    try:
        return yaml.compose(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise PriceError(f"{path}{line}: not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise PriceError(f"{path}: not valid YAML: {str(error).splitlines()[0]}") from error


def _list(document: yaml.Node | None) -> yaml.SequenceNode | None:
    if isinstance(document, yaml.MappingNode):
        document = next((value for key, value in document.value if key.value == "prices"), None)
    return document if isinstance(document, yaml.SequenceNode) else None


def _plain(node: yaml.Node) -> Any:
    """A node as plain values; numbers stay as they are written, so that amounts are exact."""
    if isinstance(node, yaml.MappingNode):
        return {str(key.value): _plain(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_plain(value) for value in node.value]
    return None if node.tag == "tag:yaml.org,2002:null" else node.value
