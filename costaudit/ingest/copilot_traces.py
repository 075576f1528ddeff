"""The trace database of GitHub Copilot in VS Code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import polars as pl

from costaudit.ingest._counts import Names, spent, tokens
from costaudit.ingest._files import Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._plain import PlainReader, soft, when
from costaudit.ingest._tree import NODES
from costaudit.ingest._values import number, text

NAMES = Names(("input_tokens",), ("output_tokens",), ("cached_tokens",), (), ("reasoning_tokens",), inside=True)


class CopilotTraces(Format):
    """The trace database of GitHub Copilot in VS Code.

    ## Where
    `globalStorage/github.copilot-chat/agent-traces.db`, once `github.copilot.chat.otel.dbSpanExporter.enabled` is on.
    ## What it knows
    Tokens of each request with cached input and reasoning, model asked for and answering, time to the first piece,
    latency, errors, agent. A run is a conversation.
    ## Traps
    Spans of agents restate the requests below them. Cached input stands inside the input.
    ## Limits
    The extension keeps seven days. Copilot bills premium requests, not tokens: costs at list price are what the same
    calls would have cost elsewhere.
    """

    name = "copilot-traces"
    title = "GitHub Copilot traces of VS Code"
    tables: ClassVar = {"spans": ("span_id", "trace_id", "start_time_ms", "operation_name", "request_model")}

    def recognises(self, record: Mapping[str, Any]) -> int:
        return 92 if {"span_id", "trace_id", "start_time_ms", "end_time_ms"} <= record.keys() else 0


@CopilotTraces.read_by
class _Reader(PlainReader):
    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        span, trace = text(value.get("span_id")), text(value.get("trace_id"))
        if span is None or trace is None or "start_time_ms" not in value:
            out.foreign.append(record)
            return
        place = {"_trace": trace, "_span": span, "_parent": text(value.get("parent_span_id"))}
        kind = {"chat": True, "execute_tool": False}.get(str(value.get("operation_name")))
        run = text(value.get("conversation_id")) or text(value.get("chat_session_id"))
        usage = tokens(value, NAMES)
        failed = value.get("status_code") == 2  # OpenTelemetry: ERROR
        if not spent(usage) and value.get("operation_name") != "chat":
            about = {"_label": text(value.get("agent_name")), "run_id": run, "_calls": kind}
            out.nodes.append(pl.DataFrame([place | about], schema=NODES))
            out.skipped[(text(value.get("operation_name")) or "span")[:60]] += 1
            return
        first = soft(number, value.get("ttft_ms"))
        provider = text(value.get("provider_name"))
        self.add(
            record,
            started_at=when(value.get("start_time_ms")),
            ended_at=when(value.get("end_time_ms")),
            ttft_s=None if first is None else first / 1000,
            run_id=run,
            task=text(value.get("agent_name")),
            provider=None if provider == "github" else provider,  # who resells the model has no list price for it
            model_requested=text(value.get("request_model")),
            model=text(value.get("response_model")) or text(value.get("request_model")),
            status="error" if failed else None,
            _calls=kind,
            **place,
            **(usage if spent(usage) else {}),
        )
