"""Request-response logs of Vertex AI, as BigQuery keeps and exports them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from costaudit.ingest._decode import unfolded
from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import Format, Found, Out, loaded
from costaudit.ingest._gemini import camel
from costaudit.ingest._inner import Inner
from costaudit.ingest.anthropic_messages import AnthropicMessages
from costaudit.ingest.gemini_api import GeminiAPI

COLUMNS = ("api_method", "logging_time", "full_request", "full_response", "request_payload", "response_payload")
HERE = Found(("response",), ("request",))


class Vertex(Format):
    """Rows of Vertex AI request-response logging, exported as JSON lines, CSV or Parquet.

    Requests and answers are read from `full_request` and `full_response`, as objects or as JSON text, else from the
    payload columns. Claude on Vertex logs the bodies of the Messages API, Google's models those of generateContent.

    - The logging can be sampled, and no row says so: the totals are then a share. Rows over 10 MB are not logged.
    - The region that decides the price stands in the request's `model`; a `model_version` of `default` names nothing.
    - `labels` of a request are its tenant and task.
    - Traffic on provisioned throughput is marked and not billed by the token.
    """

    name = "vertex"
    title = "Vertex AI request-response logs"

    def recognises(self, record: Mapping[str, Any]) -> int:
        return 95 if sum(name in record for name in COLUMNS) >= 3 else 0


@Vertex.read_by
class _Reader:
    """Hands each row to the format of its bodies; where it ran and when, the row knows."""

    def __init__(self, file: LogFile) -> None:
        self.google, self.claude = Inner(GOOGLE, file, HERE), Inner(CLAUDE, file, HERE)

    def feed(self, records: Sequence[Record], out: Out) -> None:
        groups: dict[bool, list[Record]] = {True: [], False: []}
        for record, row in loaded(records, out):
            if sum(name in row for name in COLUMNS) < 3:
                out.foreign.append(record)
                continue
            made = _call(row)
            groups[_is_claude(row, made["response"])].append(record._replace(data=made))
        self.google.feed(groups[False])
        self.claude.feed(groups[True])

    def close(self, out: Out) -> None:
        for inner in (self.google, self.claude):
            out.add(inner.closed(_own, foreign="no answer of a known model in the row"))


def _own(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(provider=pl.lit("vertex"))


GOOGLE, CLAUDE = GeminiAPI(), AnthropicMessages()


def _call(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row as a logged request and its answer."""
    asked, answer = _body(row, "full_request", "request_payload"), _body(row, "full_response", "response_payload")
    google = not _is_claude(row, answer)
    request = dict(camel(asked) if google else asked) if isinstance(asked, Mapping) else {}
    request.setdefault("model", row.get("model"))
    metadata = unfolded(row.get("metadata"))
    return {
        "ts": row.get("logging_time"),
        "latency_ms": metadata.get("request_latency") if isinstance(metadata, Mapping) else None,
        "model": row.get("model"),
        "region": _region(request.get("model")),
        "request": request,
        "response": {"chunks": answer} if isinstance(answer, list) else answer,
    }


def _region(model: Any) -> str | None:
    """L of projects/P/locations/L/publishers/…"""
    parts = str(model).split("/")
    return parts[parts.index("locations") + 1] if "locations" in parts[:-1] else None


def _body(row: Mapping[str, Any], full: str, payload: str) -> Any:
    body = unfolded(row.get(full))
    if body is None:
        pieces = unfolded(row.get(payload))
        joined = "".join(p for p in pieces if isinstance(p, str)) if isinstance(pieces, list) else pieces
        body = unfolded(joined)
    return body if isinstance(body, (Mapping, list)) else None


def _is_claude(row: Mapping[str, Any], answer: Any) -> bool:
    return "anthropic" in str(row.get("model")) or (isinstance(answer, Mapping) and answer.get("type") == "message")
