"""What the writers of all formats share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from bench.events import Event

Files = dict[str, bytes]


def lines(records: Sequence[object]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def iso(when: datetime) -> str:
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def schema(e: Event, **extra: object) -> list[dict[str, object]]:
    return [{"name": name, "description": said, **extra} for name, said in e.declared]


EMPTY = {"type": "object", "properties": {}}
