"""Azure OpenAI behind API Management, and its own diagnostic logs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from costaudit import schema
from costaudit.ingest._chunks import Stream, is_chunk
from costaudit.ingest._decode import opened, unfolded
from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import Format, Found, Out, loaded
from costaudit.ingest._inner import Inner
from costaudit.ingest._values import count, lenient, moment, number, text
from costaudit.ingest.openai_chat import OpenAIChat
from costaudit.ingest.openai_embeddings import OpenAIEmbeddings
from costaudit.ingest.openai_responses import OpenAIResponses

HERE = Found(("response",), ("request",))
BODIES = {"chat": OpenAIChat(), "responses": OpenAIResponses(), "embeddings": OpenAIEmbeddings()}
GENERATES = ("completion", "response", "embedding", "image", "speech", "transcription", "audio")
TICKS = 62_135_596_800  # seconds from the year 1 to 1970; .NET counts 100 ns from there
DTYPES = {
    name: schema.REQUESTS[name]
    for name in ("request_id", "started_at", "ended_at", "provider", "model", "model_requested", "region", "streamed",
                 "input_tokens", "output_tokens", "http_status", "status", "source_line", "source_offset")
} | {"_key": pl.String(), "_rank": pl.Int64()}  # fmt: skip


class Azure(Format):
    """Logs of Azure OpenAI: API Management gateway logs, its LLM logs, and the resource's own diagnostics.

    - `GatewayLogs` carry the bodies. What the backend answered is what was billed; a body that was cut off still gives
      its counts where they stand in the tail, and a streamed body is read as events. The subscription is the tenant.
    - `ApiManagementGatewayLlmLog` has counts without a split of cached or hidden tokens: the cost is an upper bound for
      input. Long messages take several rows; only the row with the counts is the call, rows are never summed. It is the
      same call as the gateway log with its correlation id.
    - `RequestResponse` diagnostics have no tokens at all: calls, errors and latency, unmetered.

    Deployment names are free text: name the model and the zone of each in the settings. Logged better: all bytes of
    the body in the gateway's diagnostic settings (8 kB is the default), and the LLM log switched on.
    """

    name = "azure"
    title = "Azure OpenAI: API Management and diagnostic logs"

    def recognises(self, record: Mapping[str, Any]) -> int:
        listed = record.get("records")
        first = listed[0] if isinstance(listed, list) and listed and isinstance(listed[0], Mapping) else record
        return 95 if _kind(first) else 0


def _kind(record: Mapping[str, Any]) -> str:
    category = record.get("category") or record.get("Category") or record.get("Type")
    if category == "RequestResponse" and ("event" in record or "resourceId" in record or "OperationName" in record):
        return "diagnostic"
    if category in ("GatewayLogs", "ApiManagementGatewayLogs"):
        return "gateway"
    row = _row(record)
    return "llm" if "correlationid" in row and ("prompttokens" in row or "requestmessages" in row) else ""


def _row(record: Mapping[str, Any]) -> dict[str, Any]:
    """Keys in lower case, properties beside the record's own: exports and tables spell them differently."""
    inner = unfolded(record.get("properties") or record.get("properties_s") or record.get("Properties"))
    flat = {str(key).lower().removesuffix("_s").removesuffix("_d"): value for key, value in record.items()}
    return flat | ({str(k).lower(): v for k, v in inner.items()} if isinstance(inner, Mapping) else {})


@Azure.read_by
class _Reader:
    def __init__(self, file: LogFile) -> None:
        self.inner = {name: Inner(form, file, HERE) for name, form in BODIES.items()}

    def feed(self, records: Sequence[Record], out: Out) -> None:
        rows: list[dict[str, Any]] = []
        groups: dict[str, list[Record]] = {name: [] for name in BODIES}
        for record, value in loaded(records, out):
            listed = value.get("records")
            parts = [p for p in listed if isinstance(p, dict)] if isinstance(listed, list) and listed else [value]
            out.extra_lines += max(0, len(parts) - 1)
            for part in parts or [value]:
                self._part(record, part, rows, groups, out)
        out.rows(rows, DTYPES)
        for name, group in groups.items():
            self.inner[name].feed(group)

    def _part(
        self,
        record: Record,
        part: dict[str, Any],
        rows: list[dict[str, Any]],
        groups: dict[str, list[Record]],
        out: Out,
    ) -> None:
        kind, row = _kind(part), _row(part)
        try:
            if kind == "gateway":
                made = _gateway(row)
                if made is None:
                    out.skipped["gateway log without a model's answer"] += 1
                    return
                groups[_shape(made["response"])].append(record._replace(data=made))
            elif kind in ("llm", "diagnostic"):
                call = _metered(row) if kind == "llm" else _unmetered(row)
                if call is None:
                    out.skipped["part of a message" if kind == "llm" else "other operation"] += 1
                else:
                    rows.append(call | {"source_line": record.line, "source_offset": record.offset})
            else:
                out.foreign.append(record._replace(data=part))
        except ValueError as problem:
            out.rejects.append((record.line, str(problem)))

    def close(self, out: Out) -> None:
        for inner in self.inner.values():
            out.add(inner.closed(_own, foreign="no answer of a known model in the body"))


def _own(frame: pl.DataFrame) -> pl.DataFrame:
    """The LLM log knows the call by its correlation id, other logs by the id of its answer."""
    call = pl.col("instance_id")  # where `_gateway` put the correlation id
    key = pl.when(call.is_not_null()).then(pl.lit("apim\n") + call)
    return frame.with_columns(provider=pl.lit("azure"), _key=pl.coalesce(key, "request_id"), _also="request_id").drop(
        "instance_id"
    )


def _gateway(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """A gateway log as a logged request and answer; None for calls that are not to a model."""
    asked = _body(row.get("backendrequestbody") or row.get("requestbody")) or {}
    said = _body(row.get("backendresponsebody") or row.get("responsebody"))
    code = lenient(count)(row.get("backendresponsecode") or row.get("responsecode"))
    deployment = re.search(r"/deployments/([^/?]+)", str(row.get("backendurl") or row.get("url") or ""))
    failed = code is not None and code >= 400
    if not (said and ("usage" in said or "choices" in said)) and not (failed and deployment):
        return None
    if deployment:
        asked = {**asked, "model": deployment[1]}
    return {
        "ts": row.get("time") or row.get("timegenerated"),
        "instance_id": row.get("correlationid"),
        "latency_ms": row.get("backendtime") or row.get("durationms"),
        "tenant": row.get("apimsubscriptionid") or row.get("productid"),
        "user": row.get("userid"),
        "region": str(row.get("location") or row.get("region") or "").lower().replace(" ", "") or None,
        "status_code": code,
        "request": asked,
        "response": said if said and ("usage" in said or "choices" in said) else None,
    }


def _body(value: Any) -> dict[str, Any] | None:
    """A body kept as text: JSON, events of a stream, or what can be found in one that was cut off."""
    if isinstance(value, Mapping):
        return dict(value)
    if not isinstance(value, str):
        return None
    found = opened(value)
    if isinstance(found, dict):
        return found
    if value.lstrip().startswith("data:"):
        return _events(value)
    return _rest(value)


def _events(body: str) -> dict[str, Any] | None:
    events = [opened(line[5:].strip()) for line in body.splitlines() if line.startswith("data:")]
    chunks = [event for event in events if is_chunk(event)]
    if chunks:
        stream = Stream(0, 0, {}, {"id": chunks[0].get("id")})
        for chunk in chunks:
            stream.add(chunk)
        return stream.response()
    inner = [e["response"] for e in events if isinstance(e, dict) and isinstance(e.get("response"), dict)]
    return inner[-1] if inner else None


USAGE = re.compile(r'"usage"\s*:\s*(\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\})')


def _rest(body: str) -> dict[str, Any] | None:
    """The counts of a body that was cut off, if they are still there."""
    counts = USAGE.search(body)
    if counts is None:
        return None
    named = {name: m[1] for name in ("id", "model", "object") if (m := re.search(rf'"{name}"\s*:\s*"([^"]*)"', body))}
    return {"object": "chat.completion", **named, "usage": opened(counts[1]) or {}, "choices": []}


def _shape(answer: Any) -> str:
    kind = answer.get("object") if isinstance(answer, Mapping) else None
    return {"response": "responses", "list": "embeddings"}.get(str(kind), "chat")


def _metered(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """A row of the LLM log with its counts; None for the rows that continue a message."""
    tokens = [None if row.get(n) is None else count(row[n]) for n in ("prompttokens", "completiontokens")]
    if not row.get("deploymentname") or tokens == [None, None]:
        return None
    call = text(row.get("correlationid"))
    return {
        "request_id": text(row.get("requestid")) or call,
        "started_at": moment(row.get("timegenerated") or row.get("time")) if _timed(row) else None,
        "provider": "azure",
        "model": text(row.get("modelname")),
        "model_requested": text(row.get("deploymentname")),
        "region": text(row.get("region")),
        "streamed": str(row.get("isstreamcompletion")).lower() == "true",
        "input_tokens": tokens[0],
        "output_tokens": tokens[1],
        "_key": f"apim\n{call}" if call else None,
        "_rank": -1,  # the gateway log of the same call splits cached and hidden tokens
    }


def _timed(row: Mapping[str, Any]) -> bool:
    return bool(row.get("timegenerated") or row.get("time"))


def _unmetered(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """A diagnostic record of a call that generated something; it has times and a status, and no tokens."""
    operation = str(row.get("operationname")).lower()
    if not any(word in operation for word in GENERATES):
        return None
    started, ended = _ticks(row.get("requesttime")), _ticks(row.get("responsetime"))
    status = lenient(count)(row.get("resultsignature"))
    return {
        "request_id": text(row.get("correlationid")),
        "started_at": moment(started) if started else moment(row["time"]) if row.get("time") else None,
        "ended_at": moment(ended) if ended else None,
        "provider": "azure",
        "model": text(row.get("modelname")),
        "model_requested": text(row.get("modeldeploymentname")),
        "region": text(row.get("location")),
        "streamed": row.get("streamtype") == "Streaming",
        "http_status": status,
    }


def _ticks(value: Any) -> float | None:
    """Unix seconds of .NET ticks."""
    ticks = lenient(number)(value)
    seconds = ticks / 1e7 - TICKS if ticks else 0.0
    return seconds if seconds > 0 else None
