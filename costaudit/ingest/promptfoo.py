"""Results of promptfoo's evaluations: its database and its outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from costaudit.ingest._counts import Names, spent, tokens
from costaudit.ingest._decode import opened
from costaudit.ingest._files import Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._messages import encoded
from costaudit.ingest._plain import PlainReader, after, part, soft, when, written
from costaudit.ingest._prompt import facts
from costaudit.ingest._values import count, counted, flag, number, text, usd

NAMES = Names(
    ("prompt",), ("completion",), ("cacheReadInputTokens",), ("cacheCreationInputTokens",), ("reasoning",), inside=True
)
MODES = frozenset({
    "chat", "completion", "messages", "responses", "embedding", "embeddings", "realtime", "assistant", "image",
    "vision",
})  # fmt: skip


class Promptfoo(Format):
    """Results of promptfoo: outputs as JSON or JSON lines, and its database.

    ## Where
    What `promptfoo eval -o results.json` (or `.jsonl`) and `promptfoo export` write; `~/.promptfoo/promptfoo.db`, table
    `eval_results`.
    ## What it knows
    Tokens of each test of each prompt with cache and reasoning, provider and model, latency, cost as promptfoo reckons
    it, score and success. A run is a test of an evaluation, its case the test.
    ## Traps
    Results out of promptfoo's own cache (`cached`) called nobody. Cached input stands inside the prompt, for Bedrock's
    Converse beside it (`metadata.cacheTokens`). Gemini's thoughts stand beside the completion: the total tells. A
    result of several requests (`numRequests`) is one row. What graders took stands beside the result as a sum and
    becomes a call of its own, of unknown model. Statistics restate the results.
    ## Limits
    A provider's alias (`file://`, `exec:`) names no model: such calls are unpriced. The database's times are those of
    writing.
    """

    name = "promptfoo"
    title = "promptfoo evaluation results"
    tables: ClassVar = {"eval_results": ("id", "eval_id", "prompt_idx", "test_idx", "provider", "response")}

    def recognises(self, record: Mapping[str, Any]) -> int:
        if _is_result(record):
            return 94
        listed = part(record, "results").get("results", record.get("results"))
        first = listed[0] if isinstance(listed, list) and listed else None
        return 94 if isinstance(first, Mapping) and _is_result(first) else 0


def _is_result(value: Mapping[str, Any]) -> bool:
    """Whether an object is the result of one test, as outputs or as the database has it."""
    if "testIdx" in value:
        return {"promptIdx", "provider"} <= value.keys()
    return "test_idx" in value and {"prompt_idx", "eval_id", "provider"} <= value.keys()


@Promptfoo.read_by
class _Reader(PlainReader):
    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        if _is_result(value):
            found = self._result(value, {}, record)
        else:
            listed = part(value, "results").get("results", value.get("results"))
            if not isinstance(listed, list):
                out.foreign.append(record)
                return
            about = {"evalId": value.get("evalId"), "timestamp": part(value, "results").get("timestamp")}
            found = (
                row for item in listed if isinstance(item, Mapping) for row in self._each(item, about, record, out)
            )
        made = 0
        for row in found:
            self.add(record, **row)
            made += 1
        out.several(made, none="evaluation without results")

    def _each(
        self, item: Mapping[str, Any], about: Mapping[str, Any], record: Record, out: Out
    ) -> Iterator[dict[str, Any]]:
        """The rows of a result; one with a bad count costs itself."""
        try:
            rows = list(self._result(item, about, record))
        except ValueError as problem:
            out.refuse(record.line, problem)
            out.extra_lines += 1
            return
        yield from rows

    def _result(self, value: Mapping[str, Any], about: Mapping[str, Any], record: Record) -> Iterator[dict[str, Any]]:
        """The row of a test, and that of its graders."""
        response = written(value.get("response"))
        evaluation = text(value.get("evalId", value.get("eval_id"))) or text(about.get("evalId")) or self.file.shown
        test, nth = (
            text(value.get(a, value.get(b))) for a, b in (("testIdx", "test_idx"), ("promptIdx", "prompt_idx"))
        )
        began = when(value.get("created_at")) or when(about.get("timestamp")) or when(value.get("timestamp"))
        wait = soft(number, value.get("latencyMs", value.get("latency_ms")))
        provider = written(value.get("provider")) or {"id": value.get("provider")}
        said = part(response, "tokenUsage")
        several = (soft(count, said.get("numRequests")) or 0) > 1
        # Of one request `cached` is the provider's; of several it is the answers out of promptfoo's own cache too.
        known = said if several else {"cacheReadInputTokens": said.get("cached"), **said}
        usage = _beside(_usage(known), part(part(response, "metadata"), "cacheTokens"))
        key = f"promptfoo {text(value.get('id')) or f'{evaluation} {test} {nth} {record.line}'}"
        common = {
            "started_at": began,
            "run_id": f"{evaluation} {test} {nth}",
            "instance_id": test,
            "environment": "evaluation",
            "score": soft(number, value.get("score")),
            "success": soft(flag, value.get("success")),
        }
        yield {
            **_prompt(written(value.get("prompt")), response.get("output")),
            **common,
            **_named(text(provider.get("id"))),
            "ended_at": after(began, wait),
            "cost_logged_usd": soft(usd, value.get("cost")),
            "gateway_cache_hit": True if response.get("cached") is True else None,
            "status": "error" if response.get("error") else None,
            "summed": True if several else None,
            "_key": key,
            **(usage if spent(usage) else {}),
        }
        graded = _usage(part(written(value.get("gradingResult", value.get("grading_result"))), "tokensUsed"))
        if spent(graded):
            yield {**common, "task": "grading", "summed": True, "_key": f"{key} grading", **graded}


def _usage(said: Mapping[str, Any]) -> dict[str, int]:
    inner = {name: n for name, n in part(said, "completionDetails").items() if n is not None}
    usage = tokens({**said, **inner}, NAMES)
    hidden = usage.get("reasoning_tokens", 0)
    if hidden and soft(count, said.get("total")) == usage["input_tokens"] + usage["output_tokens"] + hidden:
        usage["output_tokens"] += hidden  # Gemini's thoughts stand beside the answer
    return usage


def _beside(usage: dict[str, int], cache: Mapping[str, Any]) -> dict[str, int]:
    """With the cached input that stands beside the prompt. Raises ValueError for what is no count."""
    read, write = (counted(cache.get(name)) for name in ("read", "write"))
    if not usage or not (read or write) or usage.get("cache_read_tokens") or usage.get("cache_write_tokens"):
        return usage
    given = usage["input_tokens"] + read + write
    return {**usage, "input_tokens": given, "cache_read_tokens": read, "cache_write_tokens": write}


def _named(provider: str | None) -> dict[str, Any]:
    """Who was asked, as `openai:chat:gpt-5-mini` says it."""
    who, _, rest = (provider or "").partition(":")
    mode, _, model = rest.partition(":")
    name = model if mode in MODES else rest
    if not name or "/" in who or who in ("file", "exec", "python", "http", "https"):
        return {}
    return {"provider": who, "model": name}


def _prompt(prompt: Mapping[str, Any], output: Any) -> dict[str, Any]:
    """Fingerprints of what was sent and answered, where it is logged."""
    raw = prompt.get("raw")
    if not isinstance(raw, str) or not raw:
        return {}
    listed = opened(raw)
    messages = listed if isinstance(listed, list) and listed else [{"role": "user", "content": raw}]
    answer = [{"message": {"role": "assistant", "content": output}}] if isinstance(output, str) and output else None
    return facts(encoded(messages), None, None, None, (), encoded(answer) if answer else None)
