"""The records of a page: what interfaces put around the list that they answer with, whatever is in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from costaudit.ingest import _har

AROUND = ("data", "result", "results", "runs", "rows", "items", "records", "logs", "requests", "responses", "entries",
          "generations", "calls", "events", "hits", "value", "values")  # fmt: skip


def inside(value: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
    """The objects of the one list of objects that a page has, or its one object; none where it is no page.

    Of an HTTP archive, what its entries sent and got.
    """
    if "log" in value:
        return _har.entries(value)
    found = [part for name in AROUND if (part := _objects(value.get(name)))]
    return found[0] if len(found) == 1 else ()


def _objects(part: Any) -> list[dict[str, Any]]:
    if isinstance(part, dict):
        return [part]
    if isinstance(part, list) and all(isinstance(item, dict) for item in part):
        return part
    return []
