"""Conversations and evaluation outputs of OpenHands."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from costaudit.ingest._counts import spent
from costaudit.ingest._files import Record
from costaudit.ingest._finish import DRAWN
from costaudit.ingest._format import Format, Out
from costaudit.ingest._plain import PlainReader, folder, objects, part, soft, when
from costaudit.ingest._values import counted, number, text, usd

COUNTS = {
    "prompt_tokens": "input_tokens", "completion_tokens": "output_tokens", "cache_read_tokens": "cache_read_tokens",
    "cache_write_tokens": "cache_write_tokens", "reasoning_tokens": "reasoning_tokens",
}  # fmt: skip
LISTS = ("token_usages", "accumulated_token_usage")


class OpenHands(Format):
    """Conversations of OpenHands and its SDK, and `output.jsonl` of its evaluations.

    ## Where
    `~/.openhands/conversations/<id>/base_state.json`, or the SDK's `persistence_dir`; `output.jsonl` of benchmarks,
    one instance a line.
    ## What it knows
    Tokens of each call with cache reads and writes and reasoning, model, time, latency, cost as LiteLLM reckons it.
    A run is a conversation or an instance; the task is what the model was used for (`agent`, `condenser`).
    ## Traps
    Accumulated counts restate the calls: they count only where there are no calls. Cached input stands inside the
    prompt; agents driven over ACP may count it beside: the counts of the conversation decide. Each turn of such an
    agent is a row, and all of them bear the session's id. States are written again and again, and the same call in two
    of them is one; the same instance of two evaluations is two runs.
    ## Limits
    Prompts and tools stand in the events beside the state, which are not read. Agents driven over ACP (Claude Code,
    Codex) keep logs of their own of the same calls: read one or the other.
    """

    name = "openhands"
    title = "OpenHands conversations and evaluations"

    def recognises(self, record: Mapping[str, Any]) -> int:
        metrics = part(record, "metrics")
        if "instance_id" in record and any(name in metrics for name in LISTS):
            return 94
        return 94 if "usage_to_metrics" in part(record, "stats") else 0


def _metrics(value: Mapping[str, Any]) -> Iterator[tuple[str | None, Mapping[str, Any]]]:
    """The metrics of a record by what the model was used for."""
    uses = part(part(value, "stats"), "usage_to_metrics")
    for use, metrics in uses.items():
        if isinstance(metrics, Mapping):
            yield text(use), metrics
    if not uses and part(value, "metrics"):
        yield None, part(value, "metrics")


@OpenHands.read_by
class _Reader(PlainReader):
    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        case, own = text(value.get("instance_id")), text(value.get("id"))
        if not part(value, "metrics") and not part(value, "stats"):
            out.foreign.append(record)
            return
        here = folder(self.file, "output.jsonl")
        run = f"{here} {case}" if case else own or f"{self.file.shown} {record.line}"
        acp = "ACP" in (text(part(value, "agent").get("kind")) or "")
        about = {"run_id": run, "instance_id": case, "environment": "evaluation" if case else None}
        made = 0
        for use, metrics in _metrics(value):
            rows = _calls(metrics) or _sum(metrics)
            read = _reading(rows, run, acp=acp)
            times: Counter[str | None] = Counter()
            for n, (said, more) in enumerate(rows, 1):
                try:
                    usage = {column: counted(said.get(name)) for name, column in COUNTS.items()}
                except ValueError as problem:
                    out.refuse(record.line, problem)
                    made += 1
                    continue
                if spent(usage):
                    made += 1
                    given = text(said.get("response_id"))
                    times[given] += 1
                    named = {"task": use or "agent", "request_id": given if times[given] == 1 else None}
                    counts = " ".join(str(n) for n in usage.values())
                    ours = f"openhands {case} {more.get('model')} {counts}" if case else f"openhands {run} {use}"
                    own = f"{run} {given}" if given and re.match(DRAWN, given) else given
                    key = f"{ours} {n}" if own is None else own if times[given] == 1 else f"{own} {times[given]}"
                    rank = usage["input_tokens"] + usage["output_tokens"]
                    self.add(record, **about, **named, **{**read, **more}, **usage, _key=key, _rank=rank)
        out.several(made, none="state without calls")


def _calls(metrics: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], dict[str, Any]]]:
    """Each call's counts, and what is known of it besides."""
    usages, costs = objects(metrics.get("token_usages")), objects(metrics.get("costs"))
    waits = {
        text(w.get("response_id")): soft(number, w.get("latency")) for w in objects(metrics.get("response_latencies"))
    }
    aligned = len(usages) == len(costs)  # calls without a known price have no cost, and then no time either
    found = []
    for n, said in enumerate(usages):
        cost = costs[n] if aligned else {}
        ended, wait = when(cost.get("timestamp")), waits.get(text(said.get("response_id")))
        began = ended - timedelta(seconds=wait) if ended and wait and 0 < wait < 1e6 else ended
        model = _model(said.get("model")) or _model(metrics.get("model_name"))
        more = {**model, "started_at": began, "ended_at": ended, "cost_logged_usd": soft(usd, cost.get("cost"))}
        found.append((said, more))
    return found


def _reading(rows: list[tuple[Mapping[str, Any], dict[str, Any]]], run: str, *, acp: bool) -> dict[str, Any]:
    """How the cached input of a model's calls is to be read, and whether each of them is a turn of another agent."""
    cached = [soft(counted, said.get("cache_read_tokens")) or 0 for said, _ in rows]
    given = [soft(counted, said.get("prompt_tokens")) or 0 for said, _ in rows]
    beside = any(read > prompt for read, prompt in zip(cached, given, strict=True))
    ids = Counter(text(said.get("response_id")) for said, _ in rows)
    turns = {"summed": True} if acp or any(n > 1 for own, n in ids.items() if own) else {}
    if not (acp or beside):
        return {**turns, "_reading": "inside"}
    return {**turns, "_reading": "beside" if beside else "unknown", "_scope": f"acp {run}"}


def _sum(metrics: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], dict[str, Any]]]:
    """What all calls together took, where they are not listed."""
    said = part(metrics, "accumulated_token_usage")
    if not said:
        return []
    more = _model(metrics.get("model_name")) or _model(said.get("model"))
    return [(said, {**more, "summed": True, "cost_logged_usd": soft(usd, metrics.get("accumulated_cost"))})]


def _model(value: Any) -> dict[str, Any]:
    """The model as LiteLLM names it; empty where none is named."""
    name = text(value)
    return {"model": name} if name and name != "default" else {}
