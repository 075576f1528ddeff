"""Runs as LangSmith exports them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import polars as pl

from costaudit.ingest import _tree
from costaudit.ingest._decode import unwrapped
from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._otel_names import METADATA
from costaudit.ingest._otel_prompt import IDS, prompt_facts
from costaudit.ingest._plain import PlainReader, objects, part, soft, when
from costaudit.ingest._values import count, number, text, usd

CALLS = ("llm", "embedding")


class Langsmith(Format):
    """LangSmith runs: bulk exports, dumps of the interface, recorded ingest batches.

    ## Where
    Bulk exports (Parquet), dumps of `list_runs` as JSON or JSON lines, and batches `{"post": [], "patch": []}`.
    ## What it knows
    Tokens with cache, audio and reasoning, model, conversation, logged cost, evaluations, prompts and answers.
    ## Traps
    Chains and roots carry the totals of the runs below them; the deepest run with usage counts. `session_id` is the
    project, not a conversation. The pieces of a recorded run stand in `post` and `patch`. Older Anthropic wrappers left
    the cache out of the input: the counts decide.
    ## Limits
    Without the runs below it a root stands for all of them: its tokens are right, its calls are not counted.
    """

    name = "langsmith"
    title = "LangSmith runs"

    def recognises(self, record: Mapping[str, Any]) -> int:
        if "run_type" in record and ("dotted_order" in record or "trace_id" in record):
            return 95
        pieces = [p for name in ("post", "patch") for p in _pieces(record, name)]
        return 95 if pieces and all("dotted_order" in p or "trace_id" in p for p in pieces[:3]) else 0


def _pieces(record: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    listed = record.get(name)
    return objects(listed)


@Langsmith.read_by
class _Reader(PlainReader):
    """Reads runs; pieces of recorded runs are put together before they are judged."""

    def __init__(self, file: LogFile) -> None:
        super().__init__(file)
        self.waiting: dict[str, tuple[dict[str, Any], Record]] = {}
        self.nodes: list[dict[str, Any]] = []

    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        if "run_type" in value:
            self._run(value, record, out)
            return
        pieces = [*_pieces(value, "post"), *_pieces(value, "patch")]
        if not pieces:
            if "post" in value or "patch" in value:
                out.skipped["batch without runs"] += 1
            else:
                out.foreign.append(record)
            return
        out.extra_lines += len(pieces) - 1
        for piece in pieces:
            # A piece of JavaScript has no id of its own; the end of its order is.
            own = text(piece.get("id")) or (text(piece.get("dotted_order")) or "").rpartition("Z")[2]
            known, first = self.waiting.get(own, ({}, record))
            if known:
                out.skipped["piece of a run"] += 1
            filled = {name: v for name, v in piece.items() if v not in (None, {}, [], "")}
            self.waiting[own] = ({"id": own, **known, **filled}, first)

    def end(self, out: Out) -> None:
        for run, record in self.waiting.values():
            try:
                self._run(run, record, out)
            except ValueError as problem:
                out.refuse(record.line, problem)
        if self.nodes:
            out.nodes.append(pl.DataFrame([[n.get(c) for n in self.nodes] for c in _tree.NODES], schema=_tree.NODES))

    def _run(self, run: Mapping[str, Any], record: Record, out: Out) -> None:
        kind = (text(run.get("run_type")) or "").lower()
        opened_run = {**run, **{name: unwrapped(run.get(name)) for name in ("inputs", "outputs", "extra")}}
        usage = _usage(opened_run)
        place = _place(opened_run)
        if not usage and kind not in CALLS:
            self.nodes.append(place)
            out.skipped[f"run: {kind}"[:60]] += 1
            return
        if kind in CALLS:
            place["_label"] = None  # the name of a call is the class of its client, which names no task
        self.add(record, **(_facts(opened_run) | place | usage))


def _place(run: Mapping[str, Any]) -> dict[str, Any]:
    said = part(run.get("extra"), "metadata")
    known: dict[str, Any] = {
        column: next((v for name in names if (v := text(said.get(name))) is not None), None)
        for column, names in METADATA.items()
    }
    kind, outputs = (text(run.get("run_type")) or "").lower(), run.get("outputs")
    answered = text(outputs.get("model")) if isinstance(outputs, Mapping) else None
    asked = text(said.get("ls_model_name"))
    return known | {
        "_trace": text(run.get("trace_id")),
        "_span": text(run.get("id")),
        "_parent": text(run.get("parent_run_id")),
        "_label": text(run.get("name")),
        "_calls": {**dict.fromkeys(CALLS, True), "tool": False}.get(kind),
        "key_id": text(run.get("session_name")) or text(run.get("session_id")),
        "instance_id": text(run.get("reference_example_id")),
        "provider": text(said.get("ls_provider")),
        "model_requested": asked,
        "model": answered or asked,
    }


def _facts(run: Mapping[str, Any]) -> dict[str, Any]:
    said, outputs = part(run.get("extra"), "metadata"), run.get("outputs")
    outputs = outputs if isinstance(outputs, Mapping) else {}
    started, first = when(run.get("start_time")), when(run.get("first_token_time"))
    choices = outputs.get("choices")
    messages = part(run, "inputs").get("messages")
    plain = isinstance(messages, list) and all(isinstance(m, Mapping) and "role" in m for m in messages)
    identity = text(outputs.get("id"))
    found = prompt_facts(
        {
            "gen_ai.input.messages": messages if plain else None,
            "gen_ai.output.messages": choices if isinstance(choices, list) else None,
            "gen_ai.tool.definitions": part(run.get("extra"), "invocation_params").get("tools"),
        },
        (),
    )
    return found | {
        "request_id": identity if identity and identity.startswith(IDS) else None,
        "started_at": started,
        "ended_at": when(run.get("end_time")),
        "ttft_s": (first - started).total_seconds() if first and started and first >= started else None,
        "parent_id": text(run.get("parent_run_id")),
        "temperature": soft(number, said.get("ls_temperature")),
        "max_tokens": soft(count, said.get("ls_max_tokens")),
        "status": "error" if run.get("error") or run.get("status") == "error" else None,
        "cost_logged_usd": soft(usd, run.get("total_cost")),
    }


def _usage(run: Mapping[str, Any]) -> dict[str, Any]:
    """Counts as logged, with their total; empty where the run has none. Raises ValueError for what is no count."""
    said = part(run.get("outputs"), "usage_metadata") or part(part(run.get("extra"), "metadata"), "usage_metadata")
    given = said.get("input_tokens", run.get("prompt_tokens"))
    written = said.get("output_tokens", run.get("completion_tokens"))
    parts = part(said, "input_token_details") or unwrapped(run.get("prompt_token_details"))
    inside = part(said, "output_token_details") or unwrapped(run.get("completion_token_details"))
    parts, inside = (p if isinstance(p, Mapping) else {} for p in (parts, inside))
    if not _count(given) and not _count(written):
        return {}
    short, long = _count(parts.get("ephemeral_5m_input_tokens")), _count(parts.get("ephemeral_1h_input_tokens"))
    sound = {"input_audio": _count(parts.get("audio")), "output_audio": _count(inside.get("audio"))}
    return {
        "input_tokens": _count(given),
        "output_tokens": _count(written),
        "cache_read_tokens": _count(parts.get("cache_read")),
        "cache_write_tokens": _count(parts.get("cache_creation", parts.get("cache_write")))
        or (short or 0) + (long or 0),
        "cache_write_5m_tokens": short,
        "cache_write_1h_tokens": long,
        "reasoning_tokens": _count(inside.get("reasoning")),
        "extras": [{"class": kind, "quantity": Decimal(n)} for kind, n in sound.items() if n] or None,
        "_reading": "inside",
        "_total": _count(said.get("total_tokens", run.get("total_tokens"))),
    }


def _count(value: Any) -> int | None:
    return None if value is None else count(value)
