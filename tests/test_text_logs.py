"""Objects at the end of lines of text, and HTTP archives: the calls are those of the plain log."""

from __future__ import annotations

import base64
import json

import pytest
from samples import fates, read, sample, spent

from costaudit.ingest import ingest

CHAT = sample("openai-chat.jsonl")
MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": [],
           "stop_reason": "end_turn", "usage": {"input_tokens": 10, "output_tokens": 5}}  # fmt: skip
ANSWER = {"id": "c1", "object": "chat.completion", "created": 1_788_249_600, "model": "gpt-4o", "choices": [],
          "usage": {"prompt_tokens": 100, "completion_tokens": 50}}  # fmt: skip
ASKED = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi."}]}


@pytest.mark.parametrize(
    "before",
    ["app-1  | ", "[INFO] ", "Sep 01 08:00:00 host app[12]: ", "2026-09-01 07:00:00,123 - INFO - a, b: ", "\x1e"],
)
def test_what_stands_before_the_objects_of_a_log_changes_no_call(before):
    sound = [line for line in CHAT if line.startswith("{") and line.endswith("}")]
    plain, told = read(sound), read([before + line for line in sound])
    assert spent(told) == spent(plain)
    assert fates(told) == fates(plain)
    columns = ("request_id", "started_at", "model", "output_sha", "run_id")
    assert told.requests.select(columns).equals(plain.requests.select(columns))


@pytest.mark.parametrize(
    ("before", "at"),
    [
        ("2026-09-01T08:00:00.25Z ", "2026-09-01 08:00:00.250000"),
        ("[2026-09-01 10:00:00,5+02:00] INFO answer: ", "2026-09-01 08:00:00.500000"),
        ("started 2026-09-01T08:00:00Z ", None),  # not what the line begins with
    ],
)
def test_a_record_without_a_time_has_that_of_its_line(before, at):
    (call,) = read([before + json.dumps(MESSAGE)]).requests.to_dicts()
    assert (call["started_at"] and f"{call['started_at']:%F %T.%f}") == at


def test_lines_of_text_alone_are_no_requests_and_cut_objects_are_rejects():
    lines = ["starting, with 2 workers", "", f"INFO got {json.dumps(ANSWER)}", f"INFO got {json.dumps(ANSWER)[:90]}"]
    made = read([*lines, "done"])
    assert spent(made)[:2] == (1, 100)
    assert (made.fates.blank, sum(made.fates.rejects.values()), sum(made.fates.skipped.values())) == (1, 1, 2)
    assert made.requests["source_line"].to_list() == [3]


@pytest.mark.parametrize(
    ("mark", "cell"), [(",", '"{""task"": ""sum"", ""a"": 1}"'), ("\t", '{"task": "sum", "a": 1}')]
)
def test_a_table_with_objects_in_its_last_column_stays_a_table(mark, cell):
    made = read([mark.join(("model", "input_tokens", "output_tokens", "metadata")), mark.join(("m", "10", "5", cell))])
    assert (spent(made)[:2], made.requests["task"][0]) == ((1, 10), "sum")


def test_numbers_that_json_does_not_have_cost_no_call():
    text = json.dumps(ANSWER | {"score": float("nan"), "low": float("-inf"), "said": "NaN and \\Infinity"})
    assert spent(read([text]))[:2] == (1, 100)
    unknown = read([json.dumps(ANSWER).replace("100", "NaN")]).requests.row(0, named=True)
    assert (unknown["input_tokens"], unknown["output_tokens"]) == (None, 50)  # unknown, not 0


def entry(content, status=200, **more):
    body = {"mimeType": "application/json", "text": json.dumps(ASKED)}
    return {
        "startedDateTime": "2026-09-01T08:00:00Z", "time": 1_500,
        "request": {"method": "POST", "url": "https://openrouter.ai/api/v1/chat/completions", "postData": body},
        "response": {"status": status, "content": {"text": content} | more},
    }  # fmt: skip


def stream():
    said = {key: value for key, value in ANSWER.items() if key != "usage"} | {"object": "chat.completion.chunk"}
    piece = said | {"choices": [{"index": 0, "delta": {"content": "Hi"}}]}
    return "".join(f"data: {json.dumps(c)}\n\n" for c in (piece, said | {"usage": ANSWER["usage"]})) + "data: [DONE]\n"


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    "got",
    [
        entry(json.dumps(ANSWER)),
        entry(base64.b64encode(json.dumps(ANSWER).encode()).decode(), encoding="base64"),
        entry(stream()),
    ],
    ids=["whole", "base64", "streamed"],
)
def test_calls_in_an_http_archive_are_read_with_their_requests(got, indent, tmp_path):
    picture = entry("<svg/>") | {"request": {"method": "GET", "url": "https://example.org/a.svg"}}
    archive = {"log": {"version": "1.2", "entries": [picture, got, {"response": {"content": {"encoding": "base64"}}}]}}
    (tmp_path / "a.har").write_text(json.dumps(archive, indent=indent))
    (call,) = ingest([tmp_path]).requests.to_dicts()
    assert (call["input_tokens"], call["output_tokens"], call["provider"]) == (100, 50, "openrouter")
    assert (call["model_requested"], f"{call['started_at']:%F %T}") == ("gpt-4o", "2026-09-01 08:00:00")
    assert call["block_sha"]


def test_a_refused_call_in_an_archive_is_one_that_failed(tmp_path):
    refused = entry('{"error": {"type": "rate_limit_error"}}', status=429)
    (tmp_path / "a.har").write_text(json.dumps({"log": {"entries": [entry(json.dumps(ANSWER)), refused]}}))
    made = ingest([tmp_path]).requests.sort("http_status")
    assert made.select("status", "http_status", "input_tokens").rows() == [("ok", 200, 100), ("error", 429, None)]
