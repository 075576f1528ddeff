"""Results of Vercel's AI SDK, as programs log them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from costaudit.ingest._decode import inside, unfolded
from costaudit.ingest._files import Record
from costaudit.ingest._format import (
    Out,
    TableFormat,
    around,
    count,
    flag,
    loaded,
    maybe,
    moment,
    number,
    request,
    text,
    whole,
)
from costaudit.ingest._lifetimes import settled
from costaudit.ingest._openai import placed
from costaudit.ingest._plain import objects, part
from costaudit.ingest._prompt import Prompt
from costaudit.ingest._table import TableReader
from costaudit.ingest._values import text as text_of

INPUT, OUTPUT = ("inputTokens", "promptTokens"), ("outputTokens", "completionTokens")
APART = ("anthropic", "bedrock")  # providers whose cached input version 5 leaves out of the input


class AiSdk(TableFormat):
    """What `generateText`, `streamText` and their callbacks `onFinish` and `onStepFinish` give, of versions 4 to 6.

    ## Where
    Wherever the program writes results as JSON. `.devtools/generations.json` of the SDK's own tools is read too;
    spans of its telemetry are read by `otlp`.
    ## What it knows
    Tokens with cache and reasoning, model and id of each answer, tools called.
    ## Traps
    A result of several steps restates them: where it lists its steps, each is a call and the result is none. Version 6
    counts cached input inside the input; before it, input of Anthropic and Bedrock has it beside, and cache writes
    stand in the provider's metadata. Version 5 leaves Gemini's thoughts out of the output: the total tells. The id of
    an answer is the provider's: another log of it is the same call.
    ## Limits
    A result does not name its provider: without a `provider` in the record around it, the model's name decides.
    Version 4 tells nothing of Gemini's thoughts: they are missing from the output.
    """

    name = "ai-sdk"
    title = "Vercel AI SDK results"
    wrappable = True
    fields = {
        "request_id": text("response.id"),
        "started_at": maybe(moment("_started_at", "response.timestamp")),
        "model": text("response.modelId", "model.modelId", "model_id"),
        "run_id": text("run_id"),
        "task": text("functionId"),
        "temperature": request(number("temperature")),
        "max_tokens": request(whole("maxOutputTokens", "maxTokens")),
        "input_tokens": count("_input"),
        "cache_read_tokens": count("_read"),
        "cache_write_tokens": count("_write"),
        "cache_write_5m_tokens": count("_lifetimes.ephemeral_5m_input_tokens"),
        "cache_write_1h_tokens": count("_lifetimes.ephemeral_1h_input_tokens"),
        "output_tokens": count("_output"),
        "reasoning_tokens": count("_hidden"),
        "finish_reason": text("finishReason.unified", "finishReason"),
        "error_type": text("_failed"),
        "streamed": flag("_streamed"),
        "summed": flag("_summed"),
        "provider": (around(text("provider")), text("model.provider", "provider")),
        "_beside": flag("_beside"),
        "_latency_ms": number("duration_ms"),
    }
    prompt = Prompt(
        messages=("request:messages", "request:prompt"), system=("request:system",), answer=("self:_choices",)
    )

    def recognises(self, record: Mapping[str, Any]) -> int:
        steps = record.get("steps")
        if isinstance(steps, list):
            first = next(iter(steps), None)
            return 82 if isinstance(first, Mapping) and (_is_result(first) or _is_step(first)) else 0
        return 80 if _is_result(record) else 0

    def tidy(self, picked: pl.DataFrame) -> pl.DataFrame:
        read, written = (pl.col(name).fill_null(0) for name in ("cache_read_tokens", "cache_write_tokens"))
        given, beside = pl.col("input_tokens"), pl.col("_beside").fill_null(value=False)
        return (
            settled(picked)
            .with_columns(
                input_tokens=pl.when(beside).then(given + read + written).otherwise(given),
                provider=pl.col("provider").str.to_lowercase().str.extract(r"^([^.]+)"),  # `openai.responses`
                # A sum has the id of its last step: where the steps are logged too, the step itself is the call.
                _rank=pl.when(pl.col("summed")).then(pl.lit(-1, pl.Int64)),
            )
            .drop("_beside")
        )


def _is_result(value: Mapping[str, Any]) -> bool:
    """Whether an object is a result or a step: counts, and a reason why it ended or, streamed, the object it made."""
    told = "finishReason" in value or ("object" in value and "modelId" in part(value, "response"))
    usage = value.get("usage") if told else None
    return isinstance(usage, Mapping) and any(name in usage for name in (*INPUT, *OUTPUT))


def _is_step(value: Mapping[str, Any]) -> bool:
    """Whether an object is a step as the SDK's development tools keep it."""
    return "step_number" in value and "model_id" in value and "run_id" in value


@AiSdk.read_by
class AiSdkReader(TableReader):
    """Takes results apart into their steps, and brings the counts of all versions into one shape."""

    def feed(self, records: Sequence[Record], out: Out) -> None:
        made: list[Record] = []
        for record, value in loaded(records, out):
            result = inside(value, self.found.self)
            if not isinstance(result, Mapping) or not self.form.recognises(result):
                made.append(record._replace(data=value))
                continue
            calls = _calls(result)
            if not calls and "steps" in result:
                out.skipped["result without steps"] += 1
            out.extra_lines += max(0, len(calls) - 1)
            made += [record._replace(data=placed(value, self.found.self, call, "steps", "runs")) for call in calls]
        super().feed(made, out)


def _calls(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The calls that a result is of: its steps, else itself."""
    steps = result.get("steps")
    listed = [s for s in objects(steps) if _is_result(s) or _is_step(s)]
    if listed:
        tasks = {text_of(run.get("id")): run.get("function_id") for run in objects(result.get("runs"))}
        return [_shaped(_kept(step, tasks) if _is_step(step) else step) for step in listed]
    if isinstance(result.get("totalUsage"), Mapping) and result["totalUsage"] != result.get("usage"):
        return [_shaped({**result, "usage": result["totalUsage"], "_summed": True})]
    return [] if steps or ("steps" in result and "usage" not in result) else [_shaped(result)]


def _kept(step: Mapping[str, Any], tasks: Mapping[str | None, Any]) -> dict[str, Any]:
    """A step of the development tools in the shape of a result's; its parts are kept as JSON text."""
    usage, output = (unfolded(step.get(name)) for name in ("usage", "output"))
    said = output if isinstance(output, Mapping) else {}
    return {
        **{name: said.get(name) for name in ("content", "finishReason", "response", "providerMetadata")},
        **{name: step.get(name) for name in ("run_id", "model_id", "provider", "duration_ms")},
        "usage": usage,
        "functionId": tasks.get(text_of(step.get("run_id"))),
        "_started_at": step.get("started_at"),
        "_streamed": True if step.get("type") == "stream" else None,
        "_failed": "error" if step.get("error") else None,
    }


def _shaped(call: Mapping[str, Any]) -> dict[str, Any]:
    """The call with its counts in one shape, whichever version wrote it; values are not looked at yet."""
    usage, told = part(call, "usage"), part(call, "providerMetadata")
    given, said = part(usage, "inputTokens"), part(usage, "outputTokens")  # as providers say it
    parts, inner = part(usage, "inputTokenDetails"), part(usage, "outputTokenDetails")
    theirs = next((part(told, name) for name in APART if name in told), {})
    raw, openai = part(theirs, "usage"), part(told, "openai")
    old = _known(given.get("noCache"), parts.get("noCacheTokens")) is None  # a provider of a version before 6
    model = text_of(part(call, "response").get("modelId")) or ""
    hidden = _known(
        said.get("reasoning"), inner.get("reasoningTokens"), usage.get("reasoningTokens"), openai.get("reasoningTokens")
    )
    return {
        **call,
        **_whole(
            usage, told, given.get("total") if given else _first(usage, *INPUT),
            said.get("total") if said else _first(usage, *OUTPUT), hidden,
        ),
        "_read": _known(
            given.get("cacheRead"), parts.get("cacheReadTokens"), usage.get("cachedInputTokens"),
            theirs.get("cacheReadInputTokens"), openai.get("cachedPromptTokens"),
        ),
        "_write": _known(
            given.get("cacheWrite"), parts.get("cacheWriteTokens"), theirs.get("cacheCreationInputTokens"),
            raw.get("cacheWriteInputTokens"), raw.get("cache_creation_input_tokens"),
        ),
        # Anthropic's own usage, as it came, splits the writes by how long they live.
        "_lifetimes": next((part(u, "cache_creation") for u in (raw, part(usage, "raw")) if "cache_creation" in u), {}),
        "_hidden": hidden,
        # Metadata of another provider: who serves Claude there counts as everybody else does.
        "_beside": old and (bool(theirs) or ("claude" in model and told.keys() <= {"gateway"})),
        "_choices": _choices(call),
    }  # fmt: skip


def _whole(usage: Mapping[str, Any], told: Mapping[str, Any], given: Any, said: Any, hidden: Any) -> dict[str, Any]:
    """Input and output with what Google's providers leave out of them: thoughts, results of its tools; totals tell."""
    raw = part(usage, "raw")
    google = next((part(part(told, name), "usageMetadata") for name in ("google", "vertex") if name in told), {})
    total = _known(raw.get("totalTokens"), raw.get("totalTokenCount"), usage.get("totalTokens"))
    tools = _known(google.get("toolUsePromptTokenCount"), raw.get("toolUsePromptTokenCount"), 0)
    thought = hidden or 0
    if all(type(n) is int for n in (total, tools, thought, given, 0 if said is None else said)):
        plain = given + (said or 0) + tools
        if thought and total == plain + thought:
            return {"_input": given + tools, "_output": (said or 0) + thought}
        if total == plain:
            return {"_input": given + tools, "_output": said}
    return {"_input": given, "_output": said}


def _choices(call: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """What was answered, where it is logged: the text and the tools called."""
    made = [
        {"id": c.get("toolCallId"), "type": "function",
         "function": {"name": c.get("toolName"), "arguments": c.get("input", c.get("args"))}}
        for c in objects(call.get("toolCalls")) or [c for c in objects(call.get("content")) if "toolName" in c]
    ]  # fmt: skip
    texts = [c["text"] for c in objects(call.get("content")) if c.get("type") == "text" and "text" in c]
    said = call.get("text") if isinstance(call.get("text"), str) else "".join(map(str, texts)) or None
    if said is None and not made:
        return None
    return [{"message": {"role": "assistant", "content": said, **({"tool_calls": made} if made else {})}}]


def _first(value: Mapping[str, Any], *names: str) -> Any:
    return _known(*(value.get(name) for name in names))


def _known(*values: Any) -> Any:
    """The first of several values that is there."""
    return next((value for value in values if value is not None), None)
