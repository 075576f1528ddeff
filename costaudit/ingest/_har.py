"""Calls in an HTTP archive, which browsers and debugging proxies save: request and answer of each entry.

Source: HAR 1.2 specification. Headers, cookies and keys are not looked at.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from costaudit.ingest._decode import dig, opened

FAILED = 400  # HTTP statuses from which an answer is an error


def entries(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The entries of an archive that carry JSON, each as one record, an answer that was streamed as one an event."""
    listed = dig(value, ("log", "entries"))
    found = listed if isinstance(listed, Sequence) and not isinstance(listed, str) else ()
    return [record for entry in found if isinstance(entry, Mapping) for record in _records(entry)]


def _records(entry: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    asked = dig(entry, ("request", "postData", "text"))
    request = opened(asked) if isinstance(asked, str) else None
    status = dig(entry, ("response", "status"))
    around = {
        "timestamp": entry.get("startedDateTime"),
        "duration_ms": entry.get("time"),
        "url": dig(entry, ("request", "url")),
        "status_code": status,
        "request": request,
    }
    for said in _answers(entry):
        if isinstance(status, int) and status >= FAILED and isinstance(said, Mapping):
            yield {**around, "error": said.get("error", said)}
        else:
            yield {**around, "response": said}


def _answers(entry: Mapping[str, Any]) -> Iterator[Any]:
    """What an entry was answered: an object, or the events of a stream."""
    content = dig(entry, ("response", "content"))
    text = content.get("text") if isinstance(content, Mapping) else None
    if not isinstance(text, str):
        return
    if content.get("encoding") == "base64":
        try:
            text = base64.b64decode(text).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            return
    whole = opened(text)
    parts = [whole] if whole is not None else [opened(line[5:]) for line in text.splitlines() if line[:5] == "data:"]
    yield from (part for part in parts if part is not None)
