"""Logs of Inspect, the evaluation framework."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from costaudit.ingest._files import Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._messages import encoded
from costaudit.ingest._plain import PlainReader, calls, objects, part, soft, when
from costaudit.ingest._prompt import facts
from costaudit.ingest._values import count, number, text, usd

COUNTS = {
    "input_tokens": "input_tokens", "output_tokens": "output_tokens", "input_tokens_cache_read": "cache_read_tokens",
    "input_tokens_cache_write": "cache_write_tokens", "reasoning_tokens": "reasoning_tokens", "total_tokens": "_total",
}  # fmt: skip
BATCHED = frozenset({"openai", "anthropic", "google", "together", "grok"})  # with others Inspect ignores `batch`
GRADES = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}


class InspectEval(Format):
    """Logs of Inspect, as JSON or unpacked from `.eval` archives.

    ## Where
    `logs/<time>_<task>_<id>.json`; an `.eval` file is a zip archive of `header.json` and `samples/*.json`: unpack it.
    ## What it knows
    Tokens of each call with cache and reasoning, model, prompts and answers, tools called, errors, retries, the score
    of each sample. A run is a sample of an epoch, its case the sample; the task is the evaluation's.
    ## Traps
    Statistics of the log and of its samples restate the calls. A call answered by Inspect's own cache cost nothing.
    Cached input stands beside the input; logs of older versions have it inside for some providers: the total tells.
    Calls of graders are calls too, and so are those of an attempt at a sample that was retried. What ran in batches is
    priced as such.
    ## Limits
    Logs written without samples have sums by model only: they are one row a model. A sample unpacked from an archive
    does not name its evaluation.
    """

    name = "inspect-eval"
    title = "Inspect evaluation logs"

    def recognises(self, record: Mapping[str, Any]) -> int:
        if "eval_id" in part(record, "eval") and "status" in record:
            return 96
        sample = "epoch" in record and "model_usage" in record and isinstance(record.get("events"), list)
        return 95 if sample else 0


@InspectEval.read_by
class _Reader(PlainReader):
    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        evaluation, samples = part(value, "eval"), value.get("samples")
        own = text(evaluation.get("eval_id"))
        if own is None and "events" in value:
            made = self._sample(value, evaluation, record, out)
        elif own is None:
            out.foreign.append(record)
            return
        else:
            listed = objects(samples)
            made = sum(self._sample(sample, evaluation, record, out) for sample in listed)
            if not made:
                made = self._sums(value, own, record)
        out.several(made, none="log without calls")

    def _sample(self, sample: Mapping[str, Any], evaluation: Mapping[str, Any], record: Record, out: Out) -> int:
        events = sample.get("events")
        case, epoch = text(sample.get("id")), text(sample.get("epoch"))
        task = text(evaluation.get("task"))
        run = text(sample.get("uuid")) or f"{text(evaluation.get('eval_id'))} {case} {epoch}"
        about = {
            "run_id": run,
            "instance_id": f"{task}/{case}" if task else case,
            "task": task,
            "environment": "evaluation",
            "score": _score(sample.get("scores")),
        }
        made = 0
        for n, event in _models(events, sample.get("error_retries")):
            made += 1
            try:
                usage = _usage(part(part(event, "output"), "usage"))
            except ValueError as problem:
                out.refuse(record.line, problem)
                continue
            self.add(record, **_call(event, f"inspect {run} {n}"), **about, **usage)
        return made

    def _sums(self, value: Mapping[str, Any], own: str, record: Record) -> int:
        """A row a model, of a log that has no samples."""
        stats, task = part(value, "stats"), text(part(value, "eval").get("task"))
        models = part(stats, "model_usage")
        for model, said in models.items():
            self.add(
                record,
                started_at=when(stats.get("started_at")),
                ended_at=when(stats.get("completed_at")),
                run_id=own,
                task=task,
                environment="evaluation",
                summed=True,
                _key=f"inspect {own} {model}",
                **_named(text(model), None),
                **_usage(said if isinstance(said, Mapping) else {}),
            )
        return len(models)


def _usage(said: Mapping[str, Any]) -> dict[str, Any]:
    """Counts as logged, with their total; empty where there are none. Raises ValueError for what is no count."""
    known = {column: count(said[name]) for name, column in COUNTS.items() if said.get(name) is not None}
    if not known:
        return {}
    given, output, hidden = (known.get(name) or 0 for name in ("input_tokens", "output_tokens", "reasoning_tokens"))
    older = known.get("_total") in (given + output, given + output + hidden)
    cost = soft(usd, said.get("total_cost"))
    return known | {"_reading": "inside" if older else "beside"} | ({"cost_logged_usd": cost} if cost else {})


def _models(events: Any, retried: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Calls of a sample by a name of their own: of the attempt that counts, and what is kept of those before it."""
    tries = [(f"try {n} ", part({"try": t}, "try").get("events")) for n, t in enumerate(_list(retried), 1)]
    for of, listed in (("", events), *tries):
        for n, event in enumerate(_list(listed), 1):
            if isinstance(event, Mapping) and event.get("event") == "model" and event.get("pending") is not True:
                yield f"{of}{n}", event


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _named(asked: str | None, answered: str | None) -> dict[str, Any]:
    """Who was asked, as `provider/model` says it, and what answered."""
    provider, slash, model = (asked or "").partition("/")
    return {
        "provider": provider if slash else None,
        "model_requested": (model if slash else provider) or None,
        "model": answered or (model if slash else provider) or None,
    }


def _call(event: Mapping[str, Any], own: str) -> dict[str, Any]:
    """What an event says of its call besides counts."""
    output, config, call = part(event, "output"), part(event, "config"), part(event, "call")
    choices = output.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else {}
    message = part(first, "message")
    made = [t for t in _list(message.get("tool_calls")) if isinstance(t, Mapping)]
    named = _named(text(event.get("model")), text(output.get("model")))
    identity = text(part(call, "response").get("id"))
    failed = event.get("error") or output.get("error")
    return _prompt(event, part(call, "request"), message) | {
        **named,
        "request_id": identity,
        "started_at": when(event.get("timestamp")),
        "ended_at": when(event.get("completed")),
        "temperature": soft(number, config.get("temperature")),
        "max_tokens": soft(count, config.get("max_tokens")),
        "reasoning_effort": text(config.get("reasoning_effort")),
        "finish_reason": text(first.get("stop_reason")) if isinstance(first, Mapping) else None,
        "service_tier": "batch" if config.get("batch") and named["provider"] in BATCHED else None,
        "gateway_cache_hit": True if event.get("cache") == "read" else None,
        "status": "error" if failed else None,
        "tool_calls": calls((t.get("id"), t.get("function"), t.get("arguments")) for t in made),
        "_key": identity or own,
    }


def _prompt(event: Mapping[str, Any], request: Mapping[str, Any], message: Mapping[str, Any]) -> dict[str, Any]:
    """Fingerprints of what was sent: as the provider got it, else as Inspect says it."""
    given = next((m for m in (request.get("messages"), event.get("input")) if isinstance(m, list) and m), None)
    if given is None:
        return {}
    tools = request.get("tools")
    answer = encoded([{"message": {"role": "assistant", "content": message.get("content")}}]) if message else None
    system = encoded(request["system"]) if request.get("system") else None
    return facts(encoded(given), system, encoded(tools) if tools else None, None, (), answer)


def _score(scores: Any) -> float | None:
    """The score of a sample, where it has one: a number, or a grade."""
    said = [s.get("value") for s in scores.values() if isinstance(s, Mapping)] if isinstance(scores, Mapping) else []
    if len(said) != 1:
        return None
    grade = said[0]
    if isinstance(grade, str):
        return GRADES.get(grade)
    return None if isinstance(grade, bool) else soft(number, grade)
