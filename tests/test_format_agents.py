"""Coding agents: what each sample bills, as sums of what stands in it; twins and totals counted once."""

from __future__ import annotations

import importlib.util
import json

import polars as pl
import pytest
from console import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import SAMPLES, fates, mangled, read, sample, spent, window

from costaudit.data import bundled
from costaudit.ingest import ingest
from costaudit.price.book import PriceBook
from costaudit.price.engine import price
from costaudit.price.trust import trust

spec = importlib.util.spec_from_file_location("sample_databases", ROOT / "sample_logs" / "databases.py")
databases = importlib.util.module_from_spec(spec)
spec.loader.exec_module(databases)

NONE = {"duplicates": 0, "rollups": 0, "rejects": 0}

# file: calls and tokens (input, read, write, output, reasoning), fates that are not zero
BILLS = [
    # Two turns, input 5,000 with 4,000 read and 500 written inside; an answer of a turn that was never counted.
    ("grok.jsonl", (3, 5_000 + 6_000, 4_000 + 5_600, 500, 300 + 80, 120), {"rollups": 1}),
    # One session 1,000 + 4,000 + 300, thinking beside the output; its two answers restate it; a stream without counts.
    ("droid.jsonl", (2, 5_300, 4_000, 300, 200 + 50, 50), {"rollups": 2}),
    # A ledger (two events; the message it led to knows the cache) and a newer thread.
    ("amp.jsonl", (3, 1_050 + 20 + 67, 960, 50, 40 + 5 + 3, 0), {}),
    # The chunk and the message are one step; two events are copies of the parent's; reasoning beside the output.
    ("dsh.jsonl", (2, 260 + 405, 600, 50, 100 + 110, 30), {}),
    # Two answers of unknown size, one usage record with thinking beside the output.
    ("antigravity.jsonl", (3, 1_000, 0, 0, 100, 70), {}),
    ("mux.jsonl", (2, 1_150, 900, 50, 90, 20), {}),
    # The session's file and an older copy of it.
    ("mistral-vibe.jsonl", (1, 90_000, 0, 0, 1_500, 0), {"duplicates": 1}),
    ("cline.jsonl", (3, 1_050 + 10, 900, 50, 40 + 4, 0), {}),
    ("cline-cli.jsonl", (2, 1_050 + 67, 960, 50, 43, 0), {"rollups": 1}),
    # Anthropic's names stand beside the input, OpenAI's inside; the second place restates the first.
    ("codebuff.jsonl", (3, 1_050 + 1_000, 900 + 800, 50, 40 + 30, 0), {}),
    ("cursor-events.jsonl", (2, 1_050, 900, 50, 40, 0), {"duplicates": 1}),
    ("cursor-agent.jsonl", (2, 0, 0, 0, 0, 0), {}),
    ("kiro.jsonl", (3, 0, 0, 0, 0, 0), {}),
    # A message of its own, and one whose counts stand on its two steps.
    ("opencode.db", (3, 1_150 + 7 + 9, 100, 50, 500 + 3 + 4, 0), {"rollups": 1}),
    # The session's counts, not its last request's; a row without them has its last request's.
    ("goose.db", (2, 180_000 + 900, 0, 0, 4_200 + 40, 0), {}),
    ("hermes.db", (2, 47_000 + 100, 40_000, 5_000, 720, 120), {}),
    # The session inside another is in its parent's counts.
    ("crush.db", (1, 30_000, 0, 0, 900, 0), {}),
    # Two requests, and what the thread's total has more: 20 + 1,300 read and 5 out.
    ("zed.db", (3, 1_050 + 1_130 + 1_320, 3_300, 50, 55, 0), {}),
    # Inside (10,000 ⊇ 8,000), and a row that can only mean beside (500 + 9,000).
    ("zcode.db", (2, 10_000 + 9_500, 17_000, 0, 350 + 20, 50), {}),
    ("forge.db", (2, 1_000 + 1_200, 1_600, 0, 70, 0), {}),
    # Cached input inside for OpenAI, beside for Anthropic; a plugin that counts nothing; a turn of newer versions.
    ("llm-cli.db", (4, 1_000 + 1_050 + 300, 800 + 900, 50, 50 + 40 + 30, 20 + 10), {}),
    # The sum of an answer's requests (in both tables), one of Ollama, one without counts; one of a chat not here.
    ("open-webui.db", (4, 2_300 + 26 + 70, 800, 0, 90 + 12 + 5, 20), {"duplicates": 1}),
    # Two requests; another event of the same folder.
    ("continue-dev.jsonl", (2, 900 + 40, 0, 0, 60 + 12, 0), {}),
    # Two messages; a message restates nothing, other events have no counts.
    ("aider.jsonl", (2, 4_200 + 5_000, 0, 0, 300 + 120, 0), {}),
    # Two answers and one that could not be parsed; the model's statistics restate them.
    ("mini-swe-agent.jsonl", (3, 1_000 + 1_300 + 1_400, 900 + 1_200, 100, 60 + 20 + 30, 15), {}),
    ("copilot-store.db", (2, 2_200, 1_800, 100, 80, 20), {}),
    # The agent's span restates its two requests.
    ("copilot-traces.db", (2, 3_000, 1_800, 0, 90, 10), {"rollups": 1}),
]


@pytest.mark.parametrize(("name", "bill", "others"), BILLS, ids=[name for name, *_ in BILLS])
def test_a_sample_bills_what_its_rows_add_up_to(name, bill, others):
    made = ingest([SAMPLES / name])
    assert spent(made) == bill
    assert fates(made) == NONE | others


@pytest.mark.parametrize(
    ("path", "bill", "seen"),
    [
        # 10 + 200 + 50, 5 + 400, and 1 that only a chunk tells; reasoning 30 beside 80.
        ("dsh/vct-session.jsonl", (3, 666, 600, 50, 212, 30), ("2026-08-14 17:34:09", "2026-08-14 17:34:27")),
        ("grok/vct-updates.jsonl", (0, 0, 0, 0, 0, 0), None),
        ("grok/agent-sessions-chat_history.jsonl", (2, 0, 0, 0, 0, 0), None),
        ("droid/agent-sessions-session_store_large.jsonl", (4, 0, 0, 0, 0, 0),
         ("2025-12-26 00:10:01", "2025-12-26 00:10:06")),
        ("droid/agent-sessions-session_store_small.jsonl", (1, 0, 0, 0, 0, 0),
         ("2025-12-26 23:50:01", "2025-12-26 23:50:01")),
        ("droid/agent-sessions-stream_json_large.jsonl", (1, 0, 0, 0, 0, 0),
         ("2025-12-26 02:00:02", "2025-12-26 02:00:02")),
        ("antigravity/agent-sessions-cli_small.jsonl", (3, 0, 0, 0, 0, 0),
         ("2026-06-26 21:16:17", "2026-06-26 21:16:23")),
        ("cursor/agent-sessions-large.jsonl", (5, 0, 0, 0, 0, 0), None),
        ("openclaw", (5, 0, 0, 0, 0, 0), ("2026-02-24 09:00:03", "2026-02-24 11:00:02")),
    ],
)  # fmt: skip
def test_real_sessions_read_right(shared, path, bill, seen):
    made = ingest([shared / "formats" / path])
    assert spent(made) == bill
    assert window(made) == seen
    assert fates(made) == NONE


def test_a_transcript_of_cursor_may_have_more_keys():
    log = [json.loads(line) | {"id": "m", "createdAt": "x"} for line in sample("cursor-agent.jsonl")]
    assert spent(read(log)) == (2, 0, 0, 0, 0, 0)
    assert set(read(log).requests["format"]) == {"cursor-agent"}


def test_what_is_not_counted_is_unknown_and_not_nothing():
    for name in ("cursor-agent.jsonl", "kiro.jsonl"):
        calls = ingest([SAMPLES / name]).requests
        assert calls["input_tokens"].null_count() == calls.height
        assert set(calls["usage_source"]) == {"absent"}


def test_credits_are_told_and_no_dollars():
    made = ingest([SAMPLES / "kiro.jsonl"])
    assert made.requests["cost_logged_usd"].null_count() == 3
    assert [note.partition(": ")[2] for note in made.notes] == ["Kiro states 2.5 credits and no tokens"]  # .25+.5+1+.75


def test_cents_are_not_dollars():
    calls = ingest([SAMPLES / "cursor-events.jsonl"]).requests
    assert [str(c.normalize()) for c in calls["cost_logged_usd"].drop_nulls()] == ["0.0025"]


def test_seconds_are_not_milliseconds():
    assert window(ingest([SAMPLES / "crush.db"])) == ("2026-09-05 11:00:00", "2026-09-05 11:00:00")


def test_the_actual_cost_goes_before_the_estimate():
    calls = ingest([SAMPLES / "hermes.db"]).requests
    assert sorted(str(c.normalize()) for c in calls["cost_logged_usd"]) == ["0.002", "0.04"]


def test_a_model_said_elsewhere_is_known():
    """In the conversation beside the requests, in the answers of a session, in its summary, where it changed."""
    assert set(ingest([SAMPLES / "cline.jsonl"]).requests["model"]) == {"claude-sonnet-5", "gpt-5-mini"}
    assert set(ingest([SAMPLES / "crush.db"]).requests["model"]) == {"claude-sonnet-5"}
    assert set(ingest([SAMPLES / "grok.jsonl"]).requests["model"]) == {"grok-4.5"}
    assert set(ingest([SAMPLES / "antigravity.jsonl"]).requests["model"]) == {"gemini-3.5-flash"}


def test_tools_and_their_fate_are_known():
    calls = ingest([SAMPLES / "dsh.jsonl"]).requests.sort("step")
    assert calls["tool_calls"].to_list()[0][0]["name"] == "read"
    assert calls["tool_results"].to_list()[1][0]["error"] is True


def test_what_a_program_counts_by_itself_is_an_estimate():
    for name in ("continue-dev.jsonl", "aider.jsonl"):
        assert set(ingest([SAMPLES / name]).requests["usage_source"]) == {"tokenizer"}


def test_a_request_in_the_file_and_in_the_database_of_continue_is_one(tmp_path):
    row = {"model": "gpt-5-mini", "provider": "openai", "tokens_generated": 60, "tokens_prompt": 900}
    (tmp_path / "a.jsonl").write_bytes((SAMPLES / "continue-dev.jsonl").read_bytes())
    databases.write(tmp_path / "b.sqlite", {"tokens_generated": [{"id": 1, **row, "timestamp": "2026-09-05 11:00:00"}]})
    made = ingest([tmp_path])
    assert spent(made) == (2, 940, 0, 0, 72, 0)
    assert fates(made)["duplicates"] == 1


def test_an_exported_chat_of_open_webui_is_the_same_calls(tmp_path):
    (row,) = databases.open_webui()["chat"]
    (tmp_path / "chat-export.json").write_text(json.dumps([row | {"chat": json.loads(row["chat"])}]))
    assert spent(ingest([tmp_path])) == (3, 2_300 + 26, 800, 0, 90 + 12, 20)
    (tmp_path / "webui.db").write_bytes((SAMPLES / "open-webui.db").read_bytes())
    assert spent(ingest([tmp_path])) == spent(ingest([SAMPLES / "open-webui.db"]))


def test_the_case_the_commands_and_what_they_gave_are_known_of_a_trajectory(tmp_path):
    log = tmp_path / "astropy__astropy-1.traj.json"
    log.write_bytes((SAMPLES / "mini-swe-agent.jsonl").read_bytes())
    calls = ingest([log]).requests.sort("started_at").to_dicts()
    assert {row["instance_id"] for row in calls} == {"astropy__astropy-1"}
    assert [len(row["tool_calls"] or ()) for row in calls] == [1, 0, 1]
    assert [row["error"] for row in calls[1]["tool_results"]] == [False]


def test_a_migrated_message_is_one_call_and_the_database_wins(tmp_path):
    """The database before the file it was made from, whichever is read first."""
    data = {"role": "assistant", "modelID": "m", "providerID": "p", "time": {"created": 1788606000000}}
    old = {"id": "msg_1", "sessionID": "ses_9", **data, "tokens": {"input": 9_999, "output": 9, "cache": {}}}
    (tmp_path / "a.json").write_text(json.dumps(old))
    (tmp_path / "b.db").write_bytes((SAMPLES / "opencode.db").read_bytes())
    made = ingest([tmp_path])
    assert spent(made) == (3, 1_166, 100, 50, 507, 0)
    assert fates(made) == {"duplicates": 1, "rollups": 1, "rejects": 0}


def test_every_channel_of_opencode_is_read_and_a_message_in_two_is_one(tmp_path):
    for name in ("opencode.db", "opencode-nightly.db"):
        (tmp_path / name).write_bytes((SAMPLES / "opencode.db").read_bytes())
    made = ingest([tmp_path])
    assert spent(made)[:2] == (3, 1_166)
    assert fates(made)["duplicates"] == 4


def test_totals_of_a_copilot_session_count_only_where_its_requests_are_not_known(tmp_path):
    usage = {"inputTokens": 2_200, "outputTokens": 80, "cacheReadTokens": 1_800, "cacheWriteTokens": 100}

    def event(n, kind, data):
        return {"type": kind, "id": f"e{n}", "parentId": f"e{n - 1}" if n > 1 else None, "data": data}

    events = [
        event(1, "session.start", {"sessionId": "cs1", "copilotVersion": "1.0.77"}),
        event(2, "assistant.message", {"model": "gpt-5-mini", "outputTokens": 50}),
        event(3, "session.shutdown", {"modelMetrics": {"gpt-5-mini": {"usage": usage}}}),
    ]
    log = tmp_path / "events.jsonl"
    log.write_text("\n".join(map(json.dumps, events)))
    assert spent(ingest([log]))[:2] == (1, 2_200)
    assert spent(ingest([log, SAMPLES / "copilot-store.db"]))[:2] == (2, 2_200)
    log.write_text("\n".join(map(json.dumps, events[:2])))  # a crash: no totals, answers with output only
    assert spent(ingest([log, SAMPLES / "copilot-store.db"]))[:2] == (2, 2_200)


def test_a_deleted_or_reset_openclaw_session_was_paid_for(tmp_path):
    usage = {"input": 10, "output": 5, "cacheRead": 100, "cacheWrite": 0, "cost": {"total": 0.01}}
    for n, name in enumerate(["s.jsonl", "t.jsonl.deleted.2026-09-05T11-00-00Z", "u.jsonl.reset.1788606000"]):
        rows = [
            {"type": "session", "id": f"s{n}", "version": 3, "cwd": "/x"},
            {"type": "custom", "customType": "model-snapshot", "id": "c", "parentId": "x",
             "data": {"provider": "anthropic", "modelId": "claude-sonnet-5"}},
            {"type": "message", "id": "m2", "parentId": "m1", "timestamp": f"2026-09-05T11:00:0{n}Z",
             "message": {"role": "assistant", "content": [], "usage": usage}},
        ]  # fmt: skip
        (tmp_path / name).write_text("\n".join(map(json.dumps, rows)))
    made = ingest([tmp_path])
    assert spent(made) == (3, 330, 300, 0, 15, 0)
    assert set(made.requests["model"]) == {"claude-sonnet-5"}
    assert fates(made) == NONE


def test_totals_of_the_codex_app_server_are_differences_and_yield_to_the_rollout():
    def told(read_, output, turn):
        total = {"inputTokens": 1_000 * turn, "cachedInputTokens": read_, "outputTokens": output, "totalTokens": 0}
        params = {"threadId": "th-1", "turnId": f"turn-{turn}", "tokenUsage": {"total": total, "last": total}}
        return {"method": "thread/tokenUsage/updated", "params": params}

    served = [told(0, 50, 1), told(0, 50, 1), told(900, 80, 2)]
    assert spent(read(served)) == (2, 2_000, 900, 0, 80, 0)
    usage = {"input_tokens": 2_000, "cached_input_tokens": 900, "output_tokens": 80, "total_tokens": 2_080}
    rollout = [
        {"timestamp": "2026-09-05T11:00:00Z", "type": "session_meta", "payload": {"id": "th-1"}},
        {"timestamp": "2026-09-05T11:00:05Z", "type": "event_msg",
         "payload": {"type": "token_count", "info": {"total_token_usage": usage}}},
    ]  # fmt: skip
    assert spent(read(served, rollout)) == (1, 2_000, 900, 0, 80, 0)


def test_a_total_of_a_session_is_no_call_with_a_huge_prompt(tmp_path):
    """900,000 tokens of many requests: none of them need have been above the step at 200,000 tokens."""
    tables = {"sessions": [{"id": "s", "provider_name": "google", "created_at": "2026-11-10 12:00:00",
        "model_config_json": json.dumps({"model_name": "gemini-3.1-pro-preview"}), "accumulated_total_tokens": 900_000,
        "accumulated_input_tokens": 900_000, "accumulated_output_tokens": 0}]}  # fmt: skip
    databases.write(tmp_path / "sessions.db", tables)
    book = PriceBook.load(bundled("pricing"))
    call = trust(price(ingest([tmp_path]).requests, book), book).row(0, named=True)
    million = call["input_tokens"] / 1_000_000
    assert (float(call["cost_usd"]), float(call["high_usd"])) == (million * 2, million * 4)
    # Goose counts no caches: all of it may have been read from one, at a tenth.
    assert (call["low_usd"] * 10, call["trust"]) == (call["cost_usd"], "estimated")


@pytest.mark.parametrize("name", ["goose.db", "hermes.db", "crush.db", "mistral-vibe.jsonl"])
def test_totals_of_sessions_are_marked_and_claim_no_step_and_no_prompt(name):
    calls = ingest([SAMPLES / name]).requests
    assert calls["summed"].all()
    assert calls["cache_read_tokens"].is_null().all() or name == "hermes.db"
    assert calls.select(pl.all_horizontal(pl.col("step", "block_sha", "request_sha").is_null()).all()).item()


@given(st.sampled_from([name for name, *_ in BILLS if name.endswith(".jsonl")]).flatmap(lambda n: mangled(sample(n))))
@settings(max_examples=25, deadline=None)
def test_damaged_lines_of_one_agent_cost_themselves_and_nothing_else(lines):
    assert read(lines).fates.balanced


def test_the_tier_and_the_lifetimes_that_a_plugin_keeps_are_known(tmp_path):
    written = {"cache_creation_input_tokens": 300, "cache_creation": {"ephemeral_1h_input_tokens": 300}}
    details = json.dumps({**written, "service_tier": "batch", "output_tokens_details": {"thinking_tokens": 5}})
    row = {"id": "01a", "model": "anthropic/claude-sonnet-5", "conversation_id": "c", "input_tokens": 10,
           "output_tokens": 20, "token_details": details, "datetime_utc": "2026-09-05T11:00:00"}  # fmt: skip
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n")
    made = ingest([tmp_path])
    assert spent(made) == (1, 310, 0, 300, 20, 5)
    assert made.requests.select("cache_write_1h_tokens", "service_tier").row(0) == (300, "batch")


@pytest.mark.parametrize(
    ("said", "known"),
    [("None", (None, None)), ("openrouter/REDACTED", ("openrouter", None)), ("gpt-5-mini", (None, "gpt-5-mini"))],
)
def test_a_name_that_aider_hides_is_no_model_and_a_cost_it_does_not_know_is_none(tmp_path, said, known):
    told = {"main_model": said, "prompt_tokens": 9, "completion_tokens": 1, "cost": 0.0, "total_cost": 0.0}
    event = {"event": "message_send", "properties": told, "user_id": "u", "time": 1788606000}
    (tmp_path / "a.jsonl").write_text(json.dumps(event) + "\n")
    call = ingest([tmp_path]).requests.row(0, named=True)
    assert (call["provider"], call["model"]) == known
    assert call["cost_logged_usd"] is None


def test_the_same_instance_of_two_output_folders_is_two_runs(tmp_path):
    log = json.loads((SAMPLES / "mini-swe-agent.jsonl").read_text())
    for n, message in enumerate(log["messages"]):
        message.get("extra", {}).get("response", {}).pop("id", None)
        message.setdefault("extra", {})["timestamp"] = 1788606000 + n
    for model in ("one", "two"):
        place = tmp_path / model / "astropy__astropy-1" / "astropy__astropy-1.traj.json"
        place.parent.mkdir(parents=True)
        place.write_text(json.dumps(log).replace("17886060", "17886061" if model == "two" else "17886060"))
    made = ingest([tmp_path])
    assert set(made.requests["run_id"]) == {"one/astropy__astropy-1", "two/astropy__astropy-1"}
    assert spent(made)[0] == 6


def test_a_cloned_chat_is_no_second_answer_and_llama_cpp_counts_what_it_had_not_cached(tmp_path):
    timed = {"prompt_n": 30, "cache_n": 500, "predicted_n": 7}
    answer = {"role": "assistant", "model": "qwen3", "content": "Yes.", "timestamp": 1788606000, "usage": timed}
    history = {"messages": {"0b9d7a52-0000-4000-8000-000000000007": answer}}
    chats = [{"id": own, "user_id": user, "title": "t", "chat": {"history": history}}
             for own, user in (("c-1", "shared-c-2"), ("c-2", "ann"))]  # fmt: skip
    (tmp_path / "chat-export.json").write_text(json.dumps(chats))
    made = ingest([tmp_path])
    assert spent(made) == (1, 530, 500, 0, 7, 0)
    assert made.requests["user"].item() == "ann"


def test_ids_drawn_out_of_a_thousand_are_not_one_call(tmp_path):
    for n in (1, 2):
        own = {"provider_response_id": "chatcmpl-12", "timestamp": f"2026-09-05T11:00:0{n}Z"}
        answer = {"kind": "response", "parts": [], "model_name": "llama3.2", "usage": {"input_tokens": n}, **own}
        extra = {"timestamp": 1788609000 + n, "response": {"id": "chatcmpl-12", "usage": {"prompt_tokens": 10 * n}}}
        messages = [{"role": "assistant", "content": "x", "extra": extra}]
        state = {"token_usages": [{"prompt_tokens": 100 * n, "response_id": "chatcmpl-12"}]}
        records = (answer, {"trajectory_format": "mini-swe-agent-1.1", "messages": messages},
                   {"id": f"conversation-{n}", "stats": {"usage_to_metrics": {"agent": state}}})  # fmt: skip
        for of, record in zip("abc", records, strict=True):
            (tmp_path / f"{of}{n}.json").write_text(json.dumps(record))
    assert spent(ingest([tmp_path]))[:2] == (6, 3 + 30 + 300)
