"""Records of several loggers in one file: each is read by the format whose record it is, and a call counts once."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from itertools import permutations

import polars as pl
import pytest
from samples import SAMPLES, TOKENS, read

from costaudit.ingest import _store, ingest

# Sessions of coding agents are files of their own: a row there means something by the rows before it. So is a session
# of the Realtime API, whose first event names the model.
APART = {
    *("amp", "antigravity", "claude-code", "claude-result", "cline", "cline-cli", "codebuff", "codex", "copilot-cli"),
    *("cursor-agent", "cursor-events", "droid", "dsh", "gemini-cli", "grok", "kimi", "kiro", "mistral-vibe", "mux"),
    *("openclaw", "opencode", "pi", "qwen", "openai-realtime"),
}


@cache
def logs():
    return {
        path.stem: [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        for path in sorted(SAMPLES.glob("*.jsonl"))
        if path.stem not in APART
    }


def calls(made):
    assert made.fates.balanced
    billed = made.requests.filter(~pl.col("rollup").fill_null(value=False))
    return Counter(billed.select("format", "request_id", "model", *TOKENS).rows())


@cache
def apart():
    return calls(read(*logs().values()))


@pytest.mark.parametrize("first", ["envoy", "litellm"])
def test_a_log_of_all_formats_gives_the_calls_of_each_in_a_file_of_its_own(first):
    others = [line for name, log in logs().items() if name != first for line in log]
    made = calls(read([*logs()[first], *others]))
    assert (made - apart(), apart() - made) == (Counter(), Counter())


def test_rows_in_names_of_their_own_do_not_make_those_of_other_loggers_theirs():
    """Nearly any row can be read as `generic`: one that another format is sure of is not."""
    own = [
        {"request_id": f"own-{n}", "started_at": f"2026-09-02T08:{n:02}:00Z", "model": "gpt-5", "input_tokens": 100 + n}
        for n in range(60)  # more than are looked at before a file's format is decided
    ]
    for name in ("anthropic-messages", "helicone", "litellm", "openai-chat"):
        assert calls(read([*own, *logs()[name]])) == calls(read(own, logs()[name]))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        *permutations(("helicone", "langsmith", "litellm"), 2),
        *(("braintrust", "datadog"), ("mlflow", "opik"), ("opik", "langfuse")),
    ],
)
def test_two_loggers_in_one_file_are_read_as_in_two(first, second):
    one, two = logs()[first], logs()[second]
    assert calls(read([*one, *two])) == calls(read(one, two))


# --- one call in the logs of its provider, of a gateway and of a tracer -----------------------------------------------

AT, END, ID, MODEL = "2026-09-02T08:00:00Z", "2026-09-02T08:00:02Z", "chatcmpl-one", "gpt-5-mini"
USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
ANSWER = {"id": ID, "object": "chat.completion", "created": 1_788_336_000, "model": MODEL, "usage": USAGE,
          "choices": [{"index": 0, "finish_reason": "stop",
                       "message": {"role": "assistant", "content": "a"}}]}  # fmt: skip
ASKED = {"model": MODEL, "messages": [{"role": "user", "content": "q"}]}


def otlp():
    said = {"gen_ai.operation.name": "chat", "gen_ai.response.id": ID, "gen_ai.response.model": MODEL}
    counts = {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 20}
    attributes = [{"key": k, "value": {"stringValue": v}} for k, v in said.items()]
    attributes += [{"key": k, "value": {"intValue": str(v)}} for k, v in counts.items()]
    span = {"traceId": "ab" * 16, "spanId": "cd" * 8, "name": "chat", "attributes": attributes,
            "startTimeUnixNano": "1788336000000000000", "endTimeUnixNano": "1788336002000000000"}  # fmt: skip
    return {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}


PROVIDER = {"ts": AT, "request": ASKED, "response": ANSWER}
GATEWAYS = {
    "litellm": {"id": ID, "call_type": "acompletion", "response_cost": 0.0001, "hidden_params": {}, "startTime": AT,
                "endTime": END, "model": MODEL, "model_map_information": {}, **USAGE},
    "helicone": {"response_id": "r-1", "request_id": "q-1", "request_created_at": AT, "response_created_at": END,
                 "response_status": 200, "request_properties": {}, "provider": "OPENAI", "model": MODEL,
                 "response_body": ANSWER, **USAGE},
    "cloudflare": {"id": "01J", "created_at": AT, "provider": "openai", "model": MODEL, "tokens_in": 100,
                   "tokens_out": 20, "cached": False, "success": True, "response": ANSWER},
    "envoy": {"start_time": AT, "duration": 2_000, "response_code": 200, "gen_ai.request.model": MODEL,
              "gen_ai.response.id": ID, "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 20},
}  # fmt: skip
TRACERS = {
    "otlp": otlp(),
    "langsmith": {"id": "r1", "trace_id": "t1", "dotted_order": "x", "run_type": "llm", "start_time": AT,
                  "extra": {"metadata": {"ls_model_name": MODEL}}, "prompt_tokens": 100, "completion_tokens": 20,
                  "outputs": ANSWER},
    "opik": {"trace": {"id": "t2"}, "spans": [{"id": "s1", "trace_id": "t2", "type": "llm", "model": MODEL,
             "start_time": AT, "usage": USAGE, "output": ANSWER, "total_estimated_cost": 0.0001}]},
}  # fmt: skip
SEEN = [(gateway, tracer) for gateway in GATEWAYS for tracer in TRACERS][::2]  # each at least once


def once(requests):
    billed = requests.filter(~pl.col("rollup").fill_null(value=False))
    return billed.select("request_id", "input_tokens", "output_tokens").rows() == [(ID, 100, 20)]


@pytest.mark.parametrize(("gateway", "tracer"), SEEN)
def test_a_call_that_three_logs_know_counts_once_whatever_its_order(gateway, tracer):
    three = [PROVIDER, GATEWAYS[gateway], TRACERS[tracer]]
    for order in list(permutations(three))[::2]:  # each comes first once
        assert once(read(order).requests)  # in one file
    assert once(read(*([one] for one in three)).requests)


@pytest.mark.parametrize(("gateway", "tracer"), SEEN[::2])
def test_a_call_that_three_logs_know_counts_once_in_a_store_whichever_comes_first(gateway, tracer, tmp_path):
    for n, order in enumerate(list(permutations([PROVIDER, GATEWAYS[gateway], TRACERS[tracer]]))[::3]):
        store = tmp_path / str(n)
        for k, one in enumerate(order):
            (log := tmp_path / f"{n}-{k}.jsonl").write_text(json.dumps(one))
            made = ingest([log])
            _store.merge(made.requests, store, made.identities)
        assert once(_store.read(store))
