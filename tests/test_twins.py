"""The same call in several logs: merged by an id or by its session, warned of otherwise, never merged on a guess."""

from __future__ import annotations

import json

from samples import read, sample, spent
from spans import export, span, used

SESSION = "0f6c1c3e-93f0-4f9b-9a3c-2c8ad6f7b001"


def transcript(n, fresh=10, read_=400, out=20, seconds=0, session=SESSION):
    """A call as Claude Code writes it on disk."""
    usage = {"input_tokens": fresh, "cache_read_input_tokens": read_, "output_tokens": out}
    message = {"id": f"msg_{n}", "type": "message", "role": "assistant", "model": "claude-haiku-4-5", "usage": usage,
               "content": [{"type": "text", "text": str(n)}]}  # fmt: skip
    return {"type": "assistant", "sessionId": session, "uuid": f"u-{n}", "requestId": f"req_{n}", "cwd": "/app",
            "parentUuid": None, "isSidechain": False, "version": "2.1.220",
            "timestamp": f"2026-09-02T08:00:{seconds:02}Z", "message": message}  # fmt: skip


def event(fresh=10, read_=400, out=20, seconds=0, request=None, session=SESSION):
    """The same call as its telemetry has it."""
    said = {"event.name": "api_request", "session.id": session, "model": "claude-haiku-4-5", "input_tokens": str(fresh),
            "output_tokens": str(out), "cache_read_tokens": str(read_), "cache_creation_tokens": "0",
            "cost_usd": "0.001"} | ({"request_id": request} if request else {})  # fmt: skip
    log = {
        "timeUnixNano": str((1_788_336_000 + seconds) * 10**9),
        "body": {"stringValue": "claude_code.api_request"},
        "attributes": [{"key": k, "value": {"stringValue": v}} for k, v in said.items()],
    }
    return {"resourceLogs": [{"scopeLogs": [{"logRecords": [log]}]}]}


def test_telemetry_of_claude_code_is_the_transcripts_call_by_its_request():
    made = read([transcript(1), transcript(2, fresh=11)], [event(request="req_1"), event(99, request="req_2")])
    # The second event states other counts and names the request all the same: the transcript's are kept.
    assert spent(made) == (2, 410 + 411, 800, 0, 40, 0)
    assert made.fates.duplicates_by_reason == {"the same call in another log": 2}
    assert set(made.requests["format"]) == {"claude-code"}
    assert made.requests["cost_logged_usd"].null_count() == 0
    assert not made.notes


def test_telemetry_without_the_requests_id_is_matched_by_session_and_counts():
    made = read([transcript(1), transcript(2, seconds=5)], [event(seconds=1), event(seconds=6)])
    assert spent(made) == (2, 820, 800, 0, 40, 0)
    assert made.fates.duplicates == 2


def test_telemetry_that_no_transcript_knows_is_counted_and_said():
    made = read([transcript(1)], [event(), event(fresh=77, seconds=9)])
    assert spent(made) == (2, 410 + 477, 800, 0, 40, 0)
    assert made.notes == (
        "1 call in telemetry of Claude Code sessions whose transcripts are here too match no call of theirs: "
        "they may be counted twice; give transcripts or telemetry",
    )


def test_equal_calls_of_other_sessions_are_other_calls():
    made = read([transcript(1)], [event(session="another")])
    assert spent(made) == (2, 820, 800, 0, 40, 0)
    assert made.fates.duplicates == 0


def test_events_and_spans_of_one_request_are_one_call():
    twin = span("1", input_tokens=10, output_tokens=20, cache_read_tokens=400, model="claude-haiku-4-5",
                request_id="req_1", span__type="llm_request", session__id=SESSION)  # fmt: skip
    assert spent(read([event(request="req_1")], [export(twin)])) == (1, 410, 400, 0, 20, 0)


GATEWAY = json.loads(sample("envoy.jsonl")[1])


def seen_by_both(n, **ids):
    """Calls that an application traces and its gateway logs."""
    traced = [
        span(str(k), trace=str(k), seconds=k * 60, gen_ai__response__model="gpt-5", **used(1_000 + k, 10 + k))
        for k in range(1, n + 1)
    ]
    logged = [
        GATEWAY | {"start_time": f"2026-09-02T08:{k:02}:01.5Z", "x-request-id": f"r-{k}",
                   "gen_ai.usage.input_tokens": 1_000 + k, "gen_ai.usage.output_tokens": 10 + k,
                   "gen_ai.usage.cache_read.input_tokens": 0, "gen_ai.response.model": "openai/gpt-5-2025-08-07"} | ids
        for k in range(1, n + 1)
    ]  # fmt: skip
    return [export(*traced)], logged


def test_calls_that_look_alike_in_two_logs_are_warned_of_and_not_merged():
    made = read(*seen_by_both(3))
    assert spent(made)[0] == 6
    assert made.notes == (
        "at least 3 calls of envoy look like calls of otlp (same model and counts within 20 s) and share no id: "
        "if both log the same traffic, give one of them",
    )


def test_calls_of_other_times_models_or_counts_are_not_suspicious():
    traced, logged = seen_by_both(3)
    assert not read(traced, [row | {"start_time": "2026-09-02T11:00:00Z"} for row in logged]).notes
    assert not read(traced, [row | {"gen_ai.response.model": "claude-haiku-4-5"} for row in logged]).notes
    assert not read(traced, [row | {"gen_ai.usage.output_tokens": 500} for row in logged]).notes


def test_an_application_a_gateway_and_a_provider_log_of_one_answer_are_one_call():
    answer = {"id": "chatcmpl-x", "object": "chat.completion", "created": 1_788_336_060, "model": "gpt-5-2025-08-07",
              "choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}],
              "usage": {"prompt_tokens": 100, "completion_tokens": 9, "total_tokens": 109}}  # fmt: skip
    traced = span("1", gen_ai__response__id="chatcmpl-x", gen_ai__agent__name="triage", **used(100, 9))
    logged = GATEWAY | {"gen_ai.response.id": "chatcmpl-x", "gen_ai.usage.input_tokens": 100,
                        "gen_ai.usage.output_tokens": 9, "gen_ai.usage.cache_read.input_tokens": 0}  # fmt: skip
    made = read([answer], [export(traced)], [logged])
    assert spent(made) == (1, 100, 0, 0, 9, 0)
    assert made.fates.duplicates_by_reason == {"the same call in another log": 2}
    row = made.requests.row(0, named=True)
    assert (row["task"], row["tenant"], row["finish_reason"]) == ("triage", "acme", "stop")
