"""OpenTelemetry: every spelling, every file shape, and each call paid once however many spans repeat it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from samples import SAMPLES, fates, mangled, read, sample, spent, window
from spans import attributes, export, span, used

from costaudit import pipeline
from costaudit.ingest import ingest
from costaudit.ingest._otel_names import EXTRAS, FACTS, USAGE

LOG = sample("otlp.jsonl")


def test_the_sample_is_paid_once_a_call():
    made = read(LOG)
    calls = made.requests.filter(~pl.col("rollup").fill_null(value=False))
    # Two chats below an agent that repeats their 2,200; the Vercel call; three OpenInference calls, one of them failed,
    # one with 400 cached beside 10; and an event of Claude Code: 3 + 70 read + 20 written.
    assert calls["input_tokens"].to_list() == [1_000, 1_200, 900, 50, None, 10 + 400, 3 + 70 + 20]
    assert fates(made) == {"duplicates": 2, "rollups": 2, "rejects": 0}
    assert made.fates.skipped == {"log event": 1, "metrics": 1, "span": 1, "span: execute_tool": 1}
    assert not made.notes


def test_calls_take_their_context_from_the_spans_above_and_the_resource():
    by = {r["request_id"]: r for r in read(LOG).requests.to_dicts()}
    call, vercel = by["resp_a2"], by["msg_b2"]
    assert [call[k] for k in ("task", "run_id", "user", "tenant", "environment", "provider")] == [
        "triage", "conv-1", "u-7", "acme", "prod", "openai",
    ]  # fmt: skip
    assert (call["model_requested"], call["model"], call["finish_reason"]) == (
        "gpt-5.4",
        "gpt-5.4-2026-03-05",
        "tool_calls",
    )
    assert (call["ttft_s"], call["max_tokens"], call["reasoning_tokens"]) == (0.25, 500, 30)
    assert (vercel["task"], vercel["user"], vercel["cache_write_tokens"]) == ("summary", "u-8", 300)


def test_prompts_of_structured_and_of_numbered_attributes_are_the_same_conversation():
    one, two = (
        r for r in read(LOG).requests.sort("started_at").to_dicts() if r["run_id"] == "conv-1" and not r["rollup"]
    )
    assert one["system_sha"] == two["system_sha"]
    assert one["block_sha"] == two["block_sha"][:2]
    assert one["reply_sha"] == two["block_sha"][2]
    assert [c["name"] for c in one["tool_calls"]] == ["lookup"]
    assert [r["id"] for r in two["tool_results"]] == [c["id"] for c in one["tool_calls"]]
    assert [t["name"] for t in one["tools_declared"]] == ["lookup"]


@pytest.mark.parametrize(
    ("column", "name"), [(column, name) for column, names in USAGE.items() for name in names if column[0] != "_"]
)
def test_every_spelling_of_a_count_is_read(column, name):
    others = {n: 1_000 for c in ("input_tokens", "output_tokens") if c != column for n in USAGE[c][:1]}
    row = read([export({**span("1"), "attributes": attributes(others | {name: 77})})]).requests
    assert row[column].item() == 77


SPELLINGS = [(column, name) for column, (_, names) in FACTS.items() if column[0] != "_" for name in names]
VALUES = {"attempt": 2, "http_status": 500, "max_tokens": 7, "temperature": 0.5, "ttft_s": 0.5,
          "cost_logged_usd": 0.5, "streamed": True, "gateway_cache_hit": True}  # fmt: skip


@cache
def spelled():
    """The call of each spelling by its place: a span with that attribute and no other fact, in a file of its own."""
    logs = []
    for nth, (column, name) in enumerate(SPELLINGS):
        named = {"gen_ai.usage.input_tokens": 1, name: VALUES.get(column, f"x{nth}")}
        logs.append([export({**span("1"), "traceId": f"{nth + 1:032x}", "attributes": attributes(named)})])
    rows = read(*logs).requests.to_dicts()
    assert len(rows) == len(logs)
    return {int(Path(row["source_file"]).stem): row for row in rows}


@pytest.mark.parametrize("nth", range(len(SPELLINGS)), ids=["-".join(spelling) for spelling in SPELLINGS])
def test_every_spelling_of_a_fact_is_read(nth):
    column, _ = SPELLINGS[nth]
    assert str(spelled()[nth][column]) in {str(VALUES.get(column, f"x{nth}")), "0.500000000000000000"}


@pytest.mark.parametrize(("name", "kind"), sorted(EXTRAS.items()))
def test_tokens_of_sound_and_pictures_are_told_apart(name, kind):
    row = read([export(span("1", **used(500, 500), **{name.replace(".", "__"): 40}))]).requests
    assert [(e["class"], int(e["quantity"])) for e in row["extras"].item()] == [(kind, 40)]


def numbered(span):
    return span | {key: int(span[key], 16) for key in ("traceId", "spanId", "parentSpanId") if key in span}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda spans: [export(*spans)],
        lambda spans: [export(s) for s in reversed(spans)],
        lambda spans: [{"trace": export(*spans)}],
        lambda spans: [{"batches": export(*spans)["resourceSpans"]}],
        lambda spans: [{"resourceSpans": [{"instrumentationLibrarySpans": [{"spans": spans}]}]}],
        lambda spans: [s | {"kind": "SPAN_KIND_CLIENT"} for s in spans],
        lambda spans: [json.dumps(export(*spans), indent=2).replace("\n", "\n ")],
        lambda spans: [json.dumps([export(s) for s in spans])],
        lambda spans: [export(*spans), export(*spans)],
        lambda spans: [export(*map(numbered, spans))],
    ],
    ids=["one export", "an export a span, children first", "under trace", "Tempo", "old envelope", "bare spans",
         "pretty", "array", "exported twice", "ids as numbers"],
)  # fmt: skip
def test_any_file_shape_gives_the_same_calls(wrap):
    spans = [
        span("1", gen_ai__agent__name="triage", **used(300)),
        span("2", "1", seconds=1, **used(100)),
        span("3", "1", seconds=2, **used(200)),
    ]
    made = read(wrap(spans))
    calls = made.requests.filter(~pl.col("rollup").fill_null(value=False))
    assert calls.select("task", "input_tokens").rows() == [("triage", 100), ("triage", 200)]
    assert made.fates.balanced


# --- counts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "input_tokens", "output_tokens"),
    [
        ({"gen_ai.usage.input_tokens": 100, "gen_ai.usage.cache_read.input_tokens": 60}, 100, None),
        ({"gen_ai.usage.input_tokens": 100, "gen_ai.usage.cache_read.input_tokens": 600}, 700, None),
        ({"llm.token_count.prompt": 10, "llm.token_count.prompt_details.cache_read": 4, "llm.token_count.completion": 5,
          "llm.token_count.total": 19}, 14, 5),
        ({"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5, "gen_ai.usage.reasoning_tokens": 7,
          "gen_ai.usage.total_tokens": 22}, 10, 12),
        ({"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 12, "gen_ai.usage.reasoning_tokens": 7,
          "gen_ai.usage.total_tokens": 22}, 10, 12),
        ({"ai.operationId": "ai.embed.doEmbed", "ai.model.id": "m", "ai.usage.tokens": 9}, 9, None),
        ({"ai.usage.promptTokens": 10, "ai.usage.completionTokens": 5, "ai.response.providerMetadata":
          '{"anthropic":{"usage":{"input_tokens":10},"cacheReadInputTokens":4,"cacheCreationInputTokens":2}}'}, 16, 5),
        ({"span.type": "llm_request", "model": "m", "input_tokens": 3, "cache_read_tokens": 70}, 73, None),
    ],
)  # fmt: skip
def test_cache_and_reasoning_are_where_the_counts_say(named, input_tokens, output_tokens):
    row = read([export({**span("1"), "attributes": attributes(named)})]).requests
    assert row.select("input_tokens", "output_tokens").row(0) == (input_tokens, output_tokens)


def test_a_span_with_a_broken_count_is_refused_alone():
    made = read([export(span("1", **used(100)), span("2", **used(-5)), span("3", **used("many")))])
    assert spent(made)[:2] == (1, 100)
    assert made.fates.rejects == {"input_tokens: not a token count": 2}


def test_a_failed_call_is_an_error_and_a_call_without_usage_is_unmetered():
    by = {r["error_type"]: r for r in read(LOG).requests.to_dicts()}
    failed = by["openai.RateLimitError"]
    assert (failed["status"], failed["usage_source"]) == ("error", "absent")


# --- SDK dumps and real samples ---------------------------------------------------------------------------------------


def test_the_dump_of_an_sdk_reads_as_the_same_spans_would_as_an_export():
    made = ingest([SAMPLES / "otel-sdk.json"])
    assert spent(made) == (3, 269 + 40, 0, 0, 16 + 8, 0)
    assert fates(made) == {"duplicates": 0, "rollups": 1, "rejects": 0}
    by = {r["run_id"]: r for r in made.requests.filter(pl.col("rollup").is_null()).to_dicts()}
    assert str(by[f"{10:032x}"]["cost_logged_usd"]) == "0.000031700000000000"  # 0.0000269 + 0.0000048
    assert (by[f"{11:032x}"]["task"], by[f"{11:032x}"]["error_type"]) == ("desk", "TimeoutError")


def test_a_table_of_spans_reads_as_the_spans_and_its_running_sums_are_left_out(tmp_path):
    names = (
        "context.trace_id",
        "context.span_id",
        "parent_id",
        "span_kind",
        "start_time",
        "cumulative_token_count.prompt",
    )
    counts = ("attributes.llm.token_count.prompt", "attributes.llm.token_count.completion", "attributes.llm.model_name")
    rows = [
        ("a1", "b1", "", "AGENT", "2026-09-02T08:00:00Z", "300", "", "", ""),
        ("a1", "b2", "b1", "LLM", "2026-09-02T08:00:01Z", "300", "300", "7", "gpt-5-nano"),
    ]
    (tmp_path / "spans.csv").write_text("\n".join(",".join(row) for row in [(*names, *counts), *rows]) + "\n")
    made = ingest([tmp_path / "spans.csv"])
    assert spent(made) == (1, 300, 0, 0, 7, 0)
    assert made.requests["model"].item() == "gpt-5-nano"


@pytest.mark.parametrize(
    ("path", "calls", "seen"),
    [
        ("otlp-json/any_agent_openai.otlp.converted.json", (3, 269 + 359 + 392, 0, 0, 16 + 14 + 46, 0),
         ("2025-09-16 12:43:13", "2025-09-16 12:43:13")),
        ("otlp-json/tokenjam_otlp_fixture.synthetic.json", (2, 1_500 + 800, 0, 0, 320 + 200, 0),
         ("2025-06-01 00:00:00", "2025-06-02 00:00:00")),
        ("otlp-json/otlp-proto-example-trace.json", (0, 0, 0, 0, 0, 0), None),
        ("otel-sdk-dump/any-agent-AGNO.json", (3, 395 + 483 + 518, 0, 0, 16 + 14 + 44, 0),
         ("2025-09-16 12:43:14", "2025-09-16 12:43:15")),
        ("otel-sdk-dump/any-agent-GOOGLE.json", (3, 672 + 770 + 809, 0, 0, 16 + 14 + 56, 0),
         ("2025-09-16 12:43:06", "2025-09-16 12:43:07")),
        ("otel-sdk-dump/any-agent-LANGCHAIN.json", (4, 245 + 331 + 366 + 320, 0, 0, 16 + 14 + 33 + 62, 0),
         ("2025-09-16 13:16:40", "2025-09-16 13:16:42")),
        ("otlp-openinference", (7, 12 + 171 + 27 + 12 + 162 + 7, 0, 0, 100 + 1_962 + 267 + 100 + 287,
                                100 + 1_664 + 192 + 100 + 256), None),
    ],
)  # fmt: skip
def test_real_spans_read_right(shared, path, calls, seen):
    made = ingest([shared / "formats" / path])
    assert spent(made) == calls
    assert window(made) == seen
    assert fates(made) == {"duplicates": 0, "rollups": 0, "rejects": 0}


def test_a_dump_and_its_conversion_are_the_same_calls(shared):
    files = ["otel-sdk-dump/any-agent-OPENAI.json", "otlp-json/any_agent_openai.otlp.converted.json"]
    assert spent(ingest([shared / "formats" / f for f in files]))[:2] == (3, 1_020)


@given(mangled([*LOG, *[json.dumps(json.loads(line)) for line in LOG]]))
@settings(max_examples=20, deadline=None)
def test_damaged_lines_cost_themselves_and_nothing_else(lines):
    assert read(lines).fates.balanced


def test_a_sampled_trace_says_that_totals_are_a_floor():
    spans = [span("1", **used(100)) | {"traceState": "vendor=x,ot=rv:ab;th:c"}, span("2", **used(50))]
    assert read([export(*spans)]).notes == ("the traces are a sample (1 in 4 kept): totals are at least this",)
    kept_all = span("1", **used(100)) | {"traceState": "ot=th:0"}
    assert not read([export(kept_all)]).notes


def test_spans_that_state_less_than_the_calls_below_are_said():
    """An agent's span that carries its last call only, as Microsoft's framework wrote it."""
    agent = span("1", gen_ai__operation__name="invoke_agent", **used(200, 20))
    made = read([export(agent, span("2", "1", **used(100, 10)), span("3", "1", **used(200, 20)))])
    assert spent(made) == (2, 300, 0, 0, 30, 0)
    assert made.notes == ("1 span states 110 tokens less than the calls below: the calls are what is counted",)


def test_an_inference_event_is_its_span_said_again():
    chat = span("1", gen_ai__operation__name="chat", gen_ai__response__id="resp_9", **used(100, 10))
    said = {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 10, "gen_ai.request.model": "m"}
    log = {
        "timeUnixNano": chat["endTimeUnixNano"], "traceId": chat["traceId"], "spanId": chat["spanId"],
        "eventName": "gen_ai.client.inference.operation.details", "attributes": attributes(said),
    }  # fmt: skip
    made = read([export(chat)], [{"resourceLogs": [{"scopeLogs": [{"logRecords": [log]}]}]}])
    assert spent(made) == (1, 100, 0, 0, 10, 0)
    assert (made.fates.duplicates, made.fates.rollups) == (1, 0)
    assert made.requests["request_id"].item() == "resp_9"


@pytest.mark.parametrize("cut", [0, 7])
def test_the_collectors_compressed_messages_are_lines(tmp_path, cut):
    """A length of four bytes before each zstd frame; damage at the end costs the message it is in."""
    import zstandard

    frames = [zstandard.compress(json.dumps(export(span(n, trace=n, **used(100)))).encode()) for n in "123"]
    data = b"".join(len(frame).to_bytes(4, "big") + frame for frame in frames)
    (tmp_path / "traces.json.zst").write_bytes(data[: len(data) - cut])
    made = ingest([tmp_path])
    assert spent(made)[:2] == ((3, 300) if not cut else (2, 200))
    assert sum(made.fates.rejects.values()) == (1 if cut else 0)
    assert made.fates.balanced


def test_a_call_through_litellm_knows_team_key_user_cost_and_cache():
    named = {
        "gen_ai.request.model": "gpt-5", "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 10,
        "litellm.team.id": "t-1", "litellm.api_key.hash": "8f", "litellm.end_user.id": "u-1", "litellm.cache_hit": True,
        "litellm.metadata.task": "triage", "gen_ai.cost.input_cost": 0.1, "gen_ai.cost.output_cost": 0.2,
        "gen_ai.cost.reasoning_cost": 0.1,
    }  # fmt: skip
    row = read([export({**span("1"), "attributes": attributes(named)})]).requests.row(0, named=True)
    columns = ("tenant", "key_id", "user", "task", "gateway_cache_hit")
    assert [row[k] for k in columns] == ["t-1", "8f", "u-1", "triage", True]
    assert str(row["cost_logged_usd"])[:4] == "0.30"  # reasoning is part of the output


def vercel(given, **said):
    return {
        "ai.operationId": "ai.generateText.doGenerate", "ai.model.id": "m", "ai.usage.inputTokens": given,
        "ai.usage.outputTokens": 5, "ai.response.providerMetadata": json.dumps(said),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("named", "input_tokens", "read_tokens", "convention"),
    [
        # 10 uncached, 400 read and 50 written: more cached than given can only stand beside it
        (vercel(10, bedrock={"usage": {"cacheReadInputTokens": 400, "cacheWriteInputTokens": 50}}), 460, 400, "proved"),
        # nothing proves it, but the counts are Anthropic's own
        (vercel(1_000, anthropic={"cacheCreationInputTokens": 50}), 1_050, None, "assumed"),
        (vercel(1_000, openai={"cachedPromptTokens": 600}), 1_000, 600, "assumed"),
        (vercel(1_000, gateway={"cost": "0.01"}), 1_000, None, None),
    ],
)
def test_cache_counts_in_a_providers_own_words(named, input_tokens, read_tokens, convention):
    row = read([export({**span("1"), "attributes": attributes(named)})]).requests.row(0, named=True)
    assert (row["input_tokens"], row["cache_read_tokens"], row["convention"]) == (input_tokens, read_tokens, convention)


@pytest.mark.parametrize(
    ("scope", "service", "input_tokens", "convention"),
    [("openlit", "a", 1_400, "assumed"), ("x", "portkey", 1_000, "undecided"), ("x", "a", 1_000, "assumed")],
)
def test_writers_that_pass_anthropics_counts_on_leave_the_cache_out(scope, service, input_tokens, convention):
    more = {"gen_ai__usage__cache_read__input_tokens": 400, "gen_ai__provider__name": "anthropic"}
    log = export(span("1", **used(1_000, **more)), scope=scope, **{"service.name": service})
    row = read([log]).requests.row(0, named=True)
    assert (row["input_tokens"], row["convention"]) == (input_tokens, convention)


def test_a_total_alone_does_not_say_what_was_input():
    only = span("1", gen_ai__operation__name="chat", gen_ai__request__model="gpt-5", gen_ai__usage__total_tokens=120)
    row = read([export(only)]).requests.row(0, named=True)
    assert (row["input_tokens"], row["output_tokens"], row["usage_source"]) == (None, None, "absent")


def test_spans_of_vllm_have_their_times():
    named = {
        "gen_ai.request.id": "cmpl-1", "gen_ai.request.model": "llama", "gen_ai.usage.prompt_tokens": 50,
        "gen_ai.usage.completion_tokens": 10, "gen_ai.latency.time_to_first_token": 0.2, "gen_ai.latency.e2e": 1.0,
    }  # fmt: skip
    row = read([export({**span("1", name="llm_request"), "attributes": attributes(named)})]).requests.row(0, named=True)
    assert (row["input_tokens"], row["output_tokens"], row["ttft_s"], row["rollup"]) == (50, 10, 0.2, None)


def test_the_total_of_a_sampled_trace_has_no_upper_end(tmp_path):
    known = pipeline.Settings(cache=False)
    (tmp_path / "a.jsonl").write_text(json.dumps(export(span("1", **used(100)) | {"traceState": "ot=th:c"})))
    told = pipeline.load([str(tmp_path)], known).coverage
    assert (told.sampled, told.high_usd) == (True, None)


def test_calls_that_stand_below_each_other_are_calls_all_the_same():
    first = span("1", "2", **used(100))
    second = span("2", "1", **used(50))
    assert spent(read([export(first, second)]))[:2] == (2, 150)
    # With a call below the loop there is one, as ever.
    assert spent(read([export(first, second, span("3", "1", **used(70)))]))[:2] == (1, 70)


def test_names_of_attributes_may_be_taken_apart_at_their_dots():
    flat = {"llm.model_name": "gpt-5", "llm.token_count.prompt": 100, "llm.token_count.completion": 20,
            "llm.token_count.prompt_details.cache_read": 60, "session.id": "s-1",
            "llm.input_messages.0.message.role": "user", "llm.input_messages.0.message.content": "hi"}  # fmt: skip
    counts = {"prompt": 100, "completion": 20, "prompt_details": {"cache_read": 60}}
    message = {"message": {"role": "user", "content": "hi"}}
    nested = {"llm": {"model_name": "gpt-5", "token_count": counts, "input_messages": [message]},
              "session": {"id": "s-1"}}  # fmt: skip
    of = {"name": "chat", "context": {"trace_id": "a" * 32, "span_id": "b" * 16}, "span_kind": "LLM",
          "start_time": "2026-09-02T08:00:00Z", "end_time": "2026-09-02T08:00:02Z"}  # fmt: skip
    apart, whole = (read([of | {"attributes": said}]).requests.drop("source_file") for said in (nested, flat))
    assert apart.equals(whole)
    assert apart["cache_read_tokens"].item() == 60
