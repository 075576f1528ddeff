"""PostHog: what an event says of cached input and of reasoning, when it was, and what is no call."""

from __future__ import annotations

import csv
import json

import pytest
from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent, window

from costaudit.ingest import ingest

LOG = sample("posthog.jsonl")
FIRST = json.loads(LOG[0])
CLAUDE = json.loads(LOG[1])
GEMINI = json.loads(LOG[2])
CALLS = [json.loads(line) for line in LOG[:3]]


def changed(event, **properties):
    told = {f"$ai_{name}": value for name, value in properties.items()}
    return event | {"properties": {k: v for k, v in (event["properties"] | told).items() if v is not None}}


def one(event):
    return read([event]).requests.row(0, named=True)


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    # The first event and the embedding stand in it twice.
    assert fates(made) == {"duplicates": 2, "rollups": 0, "rejects": 1}
    # Claude twice: 100 + 900 read + 50 written. Gemini: 40 + 60 of thought.
    assert spent(made) == (
        7,
        1_000 + 2 * 1_050 + 500 + 70 + 200,
        400 + 2 * 900,
        2 * 50,
        50 + 2 * 30 + 100 + 10,
        20 + 60,
    )
    assert window(made) == ("2026-09-01 08:00:01", "2026-09-01 08:00:28")
    assert made.fates.skipped == {"event: $ai_span": 1, "event: $ai_trace": 1, "event: no AI": 1}
    assert made.requests["cache_write_1h_tokens"].to_list() == [None] * 6 + [30]
    first = made.requests.row(0, named=True)
    assert first["request_id"] == "chatcmpl-ph-1"
    assert (first["run_id"], first["task"], first["tenant"], first["user"]) == (
        "session-1", "triage", "northwind", "user-1",
    )  # fmt: skip
    # An event of nobody goes by its trace.
    assert made.requests["user"].to_list()[2] is None


@pytest.mark.parametrize(
    ("event", "said", "input_tokens", "convention"),
    [
        (FIRST, {"cache_reporting_exclusive": None}, 1_000, "assumed"),
        (FIRST, {"cache_reporting_exclusive": True}, 1_400, "assumed"),
        (CLAUDE, {"cache_reporting_exclusive": None}, 1_050, "proved"),  # 900 cannot be inside 100
        (CLAUDE, {"cache_reporting_exclusive": None, "input_tokens": 2_000}, 2_950, "assumed"),
        (CLAUDE, {"cache_reporting_exclusive": False, "input_tokens": 2_000}, 2_000, "assumed"),
        (CLAUDE, {"cache_reporting_exclusive": None, "input_tokens": 2_000, "provider": "gateway",
                  "framework": "vercel"}, 2_000, "assumed"),
        (CLAUDE, {"input_tokens": 2_000, "provider": "bedrock", "model": "us.anthropic.claude-sonnet-4-5"},
         2_950, "assumed"),
        (CLAUDE, {"input_tokens": 2_000, "ingestion_source": "otel"}, 2_000, "undecided"),
        (CLAUDE, {"ingestion_source": "otel"}, 1_050, "proved"),
        (CLAUDE, {"input_tokens": 2_000, "ingestion_source": "otel", "cache_reporting_exclusive": False},
         2_000, "assumed"),
        # Where PostHog guesses by the model alone, the interface counts as OpenAI does.
        (CLAUDE, {"input_tokens": 2_000, "provider": "openrouter", "model": "anthropic/claude-sonnet-4.5"},
         2_000, "undecided"),
        (CLAUDE, {"input_tokens": 2_000, "provider": "openrouter", "model": "anthropic/claude-sonnet-4.5",
                  "cache_reporting_exclusive": False}, 2_000, "assumed"),
        (CLAUDE, {"input_tokens": 2_000, "provider": "openrouter", "model": "anthropic/claude-sonnet-4.5",
                  "total_tokens": 2_980}, 2_950, "proved"),
    ],
)  # fmt: skip
def test_whether_cached_input_is_inside_is_what_the_event_says_or_as_posthog_guesses(
    event, said, input_tokens, convention
):
    row = one(changed(event, **said))
    assert (row["input_tokens"], row["convention"]) == (input_tokens, convention)


def test_events_that_say_otherwise_do_not_outvote_those_that_include_it():
    beside = [changed(CLAUDE) | {"uuid": f"b-{n}"} for n in range(30)]
    inside = changed(CLAUDE, cache_reporting_exclusive=False, input_tokens=2_000) | {"uuid": "i"}
    made = read([*beside, inside])
    assert sorted(made.requests["input_tokens"].to_list()) == [1_050] * 30 + [2_000]


@pytest.mark.parametrize(
    ("said", "output_tokens"),
    [
        ({}, 100),
        ({"model": "gemini-3-pro-preview"}, 100),
        ({"model": "gemini-3.1-pro"}, 100),
        ({"total_tokens": 600}, 100),
        ({"output_tokens": 100, "total_tokens": 600}, 100),  # the total has it once
        ({"model": "gemini-2.0-flash", "output_tokens": 100}, 100),
        ({"model": "google/gemini-2.5-flash", "provider": "openrouter", "output_tokens": 100}, 100),
        ({"model": "gpt-5", "provider": "openai", "output_tokens": 100}, 100),
    ],
)
def test_thoughts_of_gemini_stand_beside_its_output_and_those_of_others_inside(said, output_tokens):
    row = one(changed(GEMINI, **said))
    assert (row["output_tokens"], row["reasoning_tokens"]) == (output_tokens, 60)


@pytest.mark.parametrize(
    ("said", "start", "end"),
    [
        ({}, "08:00:01", "08:00:03"),
        ({"ingestion_source": "otel"}, "08:00:03", "08:00:05"),
        ({"latency": None}, "08:00:03", None),
        ({"latency": -5}, "08:00:03", None),
        ({"latency": 1e12}, "08:00:03", None),
    ],
)
def test_an_event_is_sent_when_the_call_ends_and_a_span_begins_with_it(said, start, end):
    row = one(changed(FIRST, **said))
    assert f"{row['started_at']:%H:%M:%S}" == start
    if end:
        assert f"{row['ended_at']:%H:%M:%S}" == end


@pytest.mark.parametrize("failed", [{"is_error": True, "http_status": 500}, {}, {"is_error": True, "http_status": 0}])
def test_a_call_of_which_no_token_is_known_is_not_free(failed):
    said = {"input_tokens": 0, "output_tokens": 0, "cache_read_input_tokens": None, "input": None}
    row = one(changed(FIRST, output_choices=None, **said, **failed))
    assert (row["input_tokens"], row["output_tokens"], row["usage_source"]) == (None, None, "absent")
    assert row["status"] == ("error" if failed else "ok")
    assert row["http_status"] != 0


@pytest.mark.parametrize(("source", "calls"), [("otel", 1), (None, 2)])
def test_of_spans_inside_each_other_the_inner_one_is_the_call(source, calls):
    outer = changed(FIRST, span_id="a", parent_id="root", completion_id=None, ingestion_source=source)
    inner = changed(FIRST, span_id="b", parent_id="a", completion_id=None, ingestion_source=source) | {"uuid": "inner"}
    made = read([outer, inner])
    assert spent(made)[:2] == (calls, calls * 1_000)
    assert made.requests.filter(made.requests["rollup"].fill_null(value=False))["request_id"].to_list() == (
        [outer["uuid"]] if source else []
    )


def test_what_is_billed_apart_is_kept_by_its_class():
    said = {"web_search_count": 2, "audio_input_tokens": 300, "cache_read_audio_tokens": 100}
    assert {e["class"]: int(e["quantity"]) for e in one(changed(FIRST, **said))["extras"]} == {
        "web_search": 2,
        "input_audio": 200,
        "cache_read_audio": 100,
    }


def same(made):
    assert fates(made)["rejects"] == 0
    assert spent(made) == spent(read(CALLS))
    assert window(made) == window(read(CALLS))


def test_a_page_of_events_is_its_events(tmp_path):
    page = {"next": None, "results": [{k: v for k, v in e.items() if k != "uuid"} | {"id": e["uuid"]} for e in CALLS]}
    for text in (json.dumps(page), json.dumps(page, indent=2)):
        (tmp_path / "page.json").write_text(text)
        same(ingest([tmp_path]))
    same(read([page], CALLS))  # once, in both


def test_traces_are_their_events():
    trace = {"id": "t", "createdAt": "2026-09-01T08:00:00Z", "inputTokens": 9_999, "totalCost": 9.9, "events": CALLS}
    same(read([{"results": [trace, {"id": "u", "createdAt": "2026-09-01T08:00:00Z", "totalCost": 1.0}]}]))
    same(read([{"results": [trace]}, trace]))


COLUMNS = ("model", "provider", "input_tokens", "output_tokens", "cache_read_input_tokens", "reasoning_tokens",
           "cache_creation_input_tokens", "latency", "ingestion_source", "trace_id")  # fmt: skip


@pytest.mark.parametrize("before", ["", "properties."])
def test_the_table_of_a_query_reads_where_its_columns_keep_their_names(tmp_path, before):
    names = ["uuid", "timestamp", "event", *(f"{before}$ai_{name}" for name in COLUMNS)]
    rows = [
        [e["uuid"], e["timestamp"], e["event"], *(e["properties"].get(f"$ai_{name}") for name in COLUMNS)]
        for e in CALLS
    ]
    same(read([{"columns": names, "results": rows, "types": []}]))
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows([names, *rows])
    same(ingest([tmp_path]))


def test_a_sum_over_calls_is_no_call():
    made = read([{"columns": ["$ai_model", "$ai_input_tokens"], "results": [["gpt-4o-mini", 9_000_000]]}])
    assert made.requests.is_empty()


def test_properties_kept_as_text_read_the_same(tmp_path):
    texts = [e | {"properties": json.dumps(e["properties"])} for e in CALLS]
    same(read(texts))
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        out = csv.DictWriter(file, list(texts[0]))
        out.writeheader()
        out.writerows(texts)
    same(ingest([tmp_path]))


def test_a_body_that_is_captured_twice_is_one_call_each():
    body = {"api_key": "phc_secret", "batch": CALLS}
    made = read([body, body])
    assert spent(made) == spent(read(CALLS))
    assert made.fates.duplicates == len(CALLS)
    assert "phc_secret" not in str(made.requests.to_dicts())


def test_an_element_that_is_no_event_costs_itself():
    made = read([{"batch": [CALLS[0], "x", None, 7]}])
    assert fates(made)["rejects"] == 3
    assert made.requests.height == 1


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
