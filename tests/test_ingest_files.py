"""Any bytes: whatever stands in a file is read, or counted with its reason."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import random
from decimal import Decimal

import pytest
import zstandard
from console import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import read, sample, spent

from costaudit.errors import LogError, UsageError
from costaudit.ingest import ingest
from costaudit.ingest._files import walk

CALL = {
    "object": "chat.completion",
    "created": 1_760_000_000,
    "model": "gpt-4o",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "42"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 5},
}


def call(n, **changes):
    return json.dumps(CALL | {"id": f"chatcmpl-{n}"} | changes)


LINES = [call(n) for n in range(200)]
TEXT = "\n".join(LINES).encode()


@pytest.mark.parametrize(
    "data",
    [
        TEXT,
        TEXT + b"\n",
        TEXT.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + TEXT,
        TEXT.decode().encode("utf-16"),
        b"\n\n".join(TEXT.split(b"\n")),
        ("[" + ",".join(LINES) + "]").encode(),
        ("[\n" + ",\n".join(LINES) + "\n]").encode(),
        "\n".join(json.dumps(json.loads(line), indent=2) for line in LINES).encode(),
        "\n".join(json.dumps(json.loads(line), separators=(",", ":")) for line in LINES).encode(),
        "\n\n".join("data: " + line for line in LINES).encode() + b"\n\ndata: [DONE]\n",
        json.dumps([json.loads(line) for line in LINES], indent=1).encode(),
        "\n".join("[" + ",".join(LINES[n : n + 50]) + "]" for n in range(0, 200, 50)).encode(),
        gzip.compress(TEXT),
        gzip.compress(TEXT[:999]) + gzip.compress(TEXT[999:]),
        bz2.compress(TEXT),
        lzma.compress(TEXT),
        zstandard.compress(TEXT),
    ],
    ids=[
        "lines", "newline at the end", "CRLF", "byte order mark", "UTF-16", "blank lines", "array", "array by lines",
        "pretty documents", "no spaces", "server-sent events", "pretty array", "lines of arrays", "gzip",
        "gzip members", "bzip2", "xz", "zstd",
    ],
)  # fmt: skip
def test_the_same_calls_in_any_wrapping_are_the_same_requests(tmp_path, data):
    (tmp_path / "log").write_bytes(data)
    read = ingest([tmp_path])
    assert read.requests.height == 200
    assert read.requests["input_tokens"].sum() == 2_000
    assert not read.fates.rejects
    assert read.fates.balanced


def test_a_cut_gzip_file_gives_what_stands_before_the_cut(tmp_path):
    random.seed(1)
    text = "\n".join(call(n, system_fingerprint=random.randbytes(50).hex()) for n in range(1_000)).encode()
    whole = gzip.compress(text)
    (tmp_path / "log.gz").write_bytes(whole[: len(whole) // 2])
    read = ingest([tmp_path])
    assert read.requests.height > 300
    assert read.fates.rejects["compressed stream is cut off"] == 1
    assert read.fates.balanced


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("plain text", "not JSON"),
        (call(1)[:-5], "not JSON"),
        ("[1, 2]", "not a JSON object"),
        ("null", "not a JSON object"),
        (call(1).replace("10", "nan"), "not JSON"),
        (call(1, usage={"prompt_tokens": -5}), "input_tokens: not a token count"),
        (call(1, usage={"prompt_tokens": 10**30}), "input_tokens: not a token count"),
        (call(1, usage={"prompt_tokens": 1.5}), "input_tokens: not a token count"),
        (call(1, usage={"prompt_tokens": [10]}), "input_tokens: not a token count"),
        (call(1, usage={"prompt_tokens": True}), "input_tokens: not a token count"),
        (call(1, created="yesterday"), "started_at: not a time"),
        (call(1, created=10**30), "started_at: not a time of this century"),
        (call(1, deep=0).replace('"deep": 0', '"deep": ' + "[" * 100_000 + "]" * 100_000), "nested too deeply"),
        ('{"kind": "audit", "usage": 7}', "no format recognises this record"),
    ],
)
def test_one_bad_line_costs_one_line_and_says_why(tmp_path, line, reason):
    (tmp_path / "log.jsonl").write_text("\n".join([*LINES[:5], line, *LINES[5:9]]))
    read = ingest([tmp_path])
    assert read.requests.height == 9
    assert list(read.fates.rejects) == [reason]
    assert set(read.rejects["source_line"]) == {6}
    assert read.fates.balanced


@pytest.mark.parametrize(
    ("changes", "tokens"),
    [
        ({"usage": {"prompt_tokens": "12", "completion_tokens": 3.0}}, (12, 3)),
        ({"usage": None}, (None, None)),
        ({"usage": "x"}, (None, None)),
        ({"id": None, "model": None}, (10, 5)),
        ({"surprise": {"usage": None}}, (10, 5)),
    ],
)
def test_odd_values_are_read_or_absent_but_never_zero(tmp_path, changes, tokens):
    (tmp_path / "log.jsonl").write_text(call(1, choices=[], **changes))
    read = ingest([tmp_path])
    assert read.requests.select("input_tokens", "output_tokens").row(0) == tokens
    assert read.requests["usage_source"].item() == ("absent" if tokens == (None, None) else "provider")


def test_a_byte_that_is_no_utf8_costs_a_character_not_a_call(tmp_path):
    (tmp_path / "log.jsonl").write_bytes(call(1).encode().replace(b"42", b"4\xff2"))
    assert ingest([tmp_path]).requests.height == 1


def test_a_record_that_is_no_request_is_skipped_by_type_not_rejected(tmp_path):
    (tmp_path / "log.jsonl").write_text("\n".join([*LINES[:5], '{"level": "info", "message": "started"}']))
    read = ingest([tmp_path])
    assert read.fates.skipped == {"other record": 1}
    assert read.fates.balanced


@pytest.mark.parametrize(
    ("name", "data", "error", "says"),
    [
        (None, b"", UsageError, "no such file"),
        ("empty", b"", LogError, "no log records"),
        ("notes.md", b"# Notes\n\nWhat the logs of this folder are.\n", LogError, "not a log"),
        ("image", b"\x89PNG\r\n\x1a\n\x00\x00", LogError, "binary"),
        ("broken.parquet", b"PAR1 and nothing", LogError, "Parquet"),
    ],
)
def test_what_is_no_log_at_all_stops_with_a_sentence(tmp_path, name, data, error, says):
    path = tmp_path / (name or "missing")
    if name:
        path.write_bytes(data)
    with pytest.raises(error, match=says):
        ingest([path])


def test_an_empty_folder_stops_with_a_sentence(tmp_path):
    with pytest.raises(LogError, match="no files"):
        ingest([tmp_path])


def test_a_file_named_twice_is_read_once(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(TEXT)
    assert ingest([path, tmp_path, str(tmp_path / "*.jsonl")]).fates.lines == 200


mangled = st.lists(
    st.one_of(
        st.sampled_from(LINES[:20]).map(str.encode),
        st.binary(max_size=40).map(lambda b: b.replace(b"\n", b" ").replace(b"\r", b" ").replace(b"\0", b" ")),
        st.tuples(st.sampled_from(LINES[:20]), st.integers(0, 300)).map(lambda c: c[0].encode()[: c[1]]),
        st.tuples(st.sampled_from(LINES[:20]), st.integers(0, 250), st.binary(max_size=3)).map(
            lambda c: (c[0].encode()[: c[1]] + c[2] + c[0].encode()[c[1] :]).replace(b"\n", b" ").replace(b"\0", b" ")
        ),
    ),
    min_size=1,
    max_size=30,
)


@given(lines=mangled)
@settings(max_examples=80, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("mangled") / "log"
    path.write_bytes(b"\n".join([LINES[0].encode(), *lines]))
    read = ingest([path])
    assert read.fates.balanced
    assert read.requests.height + read.fates.duplicates >= 1


DEEP = "[" * 900 + "]" * 900  # shallow enough for a decoder, too deep to be written again


@pytest.mark.parametrize("path", sorted((ROOT / "sample_logs" / "formats").glob("*.jsonl")), ids=lambda p: p.stem)
def test_deep_nesting_costs_at_most_the_records_that_have_it(tmp_path, path):
    plain, deep = [], []
    for line in path.read_text().splitlines():
        record = json.loads(line)
        marked = {k: v | {"input": "%"} if isinstance(v, dict) else v for k, v in record.items()} | {"extra": "%"}
        plain.append(line)
        deep.append(json.dumps(marked).replace('"%"', DEEP))
    (tmp_path / "log.jsonl").write_text("\n".join([*plain, *deep]))
    read = ingest([tmp_path])
    assert read.fates.balanced
    assert read.requests.height >= ingest([path]).requests.height


def test_a_folder_is_walked_in_the_order_of_paths_without_hidden_folders_links_to_folders_or_the_same_file_twice(
    tmp_path,
):
    for name in (
        "b.log",
        "a/z.log",
        "a.log",
        "a/.git/x.log",
        "a/B/y.log",
        "node_modules/m.log",
        "calls.db",
        "calls.db-wal",
    ):
        (tmp_path / "logs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "logs" / name).write_text(LINES[0])
    (tmp_path / "logs" / "c.log").symlink_to(tmp_path / "logs" / "a.log")
    (tmp_path / "logs" / "linked").symlink_to(tmp_path / "logs" / "a")
    (tmp_path / "logs" / "loop").symlink_to(tmp_path / "logs")
    (tmp_path / "logs" / "gone").symlink_to(tmp_path / "nothing")
    (tmp_path / "logs" / "itself").symlink_to(tmp_path / "logs" / "itself")
    shown = [
        file.shown.removeprefix(f"{tmp_path}/logs/") for file in walk([tmp_path / "logs", tmp_path / "logs" / "a"])
    ]
    assert shown == ["a/B/y.log", "a/z.log", "a.log", "b.log", "calls.db"]
    assert [file.path for file in walk([tmp_path / "logs"])] == sorted(file.path for file in walk([tmp_path / "logs"]))


@pytest.mark.parametrize("name", ["helicone", "langsmith", "litellm", "openai-chat", "portkey", "otlp"])
@pytest.mark.parametrize("around", ["data", "runs"])
def test_the_records_of_a_page_are_read_as_if_each_stood_on_a_line(name, around):
    log = [json.loads(line) for line in sample(f"{name}.jsonl")]
    page = read([{around: log, "next": "2"}])
    assert spent(page) == spent(read(log))
    assert page.fates.balanced


def test_an_answer_with_one_record_is_a_page_and_one_with_two_lists_is_none():
    log = [json.loads(line) for line in sample("helicone.jsonl")]
    assert spent(read([{"data": log[0], "error": None}]))[0] == 1
    assert read([{"data": log, "rows": log}]).fates.rejects == {"no format recognises this record": 1}


@pytest.mark.parametrize(
    ("mark", "cost", "usd"),
    [(";", "0,0125", "0.0125"), (";", "1.234,5", "1234.5"), (";", "0.0125", "0.0125"), (",", '"1,234.5"', "1234.5")],
)
def test_where_cells_end_with_semicolons_decimals_may_begin_with_commas(tmp_path, mark, cost, usd):
    head = ["request_id", "started_at", "model", "input_tokens", "output_tokens", "cost_logged_usd"]
    cells = ["r-1", "2026-09-02T08:00:00Z", "gpt-5", "100", r"\N", cost]
    (tmp_path / "a.csv").write_text(f"{mark.join(head)}\n{mark.join(cells)}\n")
    row = ingest([tmp_path]).requests.row(0, named=True)
    assert (row["output_tokens"], row["cost_logged_usd"]) == (None, Decimal(usd))


CHAT = {**CALL, "id": "c-1", "usage": {"prompt_tokens": 100, "completion_tokens": 20}}
MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-4-5", "content": [],
    "stop_reason": "end_turn", "usage": {"input_tokens": 30, "cache_read_input_tokens": 70, "output_tokens": 20},
}  # fmt: skip
RESPONSE = {
    "id": "resp_1", "object": "response", "created_at": 1_760_000_000, "status": "completed", "model": "gpt-4o",
    "output": [], "usage": {"input_tokens": 100, "input_tokens_details": {"cached_tokens": 70}, "output_tokens": 20},
}  # fmt: skip
VECTORS = {
    "object": "list", "model": "text-embedding-3-small", "data": [{"object": "embedding", "embedding": [0.1]}],
    "usage": {"prompt_tokens": 100, "total_tokens": 100},
}  # fmt: skip
ANSWER = {
    "responseId": "g-1", "modelVersion": "gemini-2.5-flash", "candidates": [],
    "usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": 20, "totalTokenCount": 120},
}  # fmt: skip
OBSERVATION = {
    "id": "o-1", "traceId": "t-1", "type": "GENERATION", "parentObservationId": None, "model": "gpt-4o",
    "startTime": "2025-10-09T08:53:20Z", "usageDetails": {"input": 100, "output": 20, "total": 120},
}  # fmt: skip
APIS = {
    "openai-chat": (CHAT, 0, 20),
    "anthropic-messages": (MESSAGE, 70, 20),
    "openai-responses": (RESPONSE, 70, 20),
    "openai-embeddings": (VECTORS, 0, 0),
    "gemini-api": (ANSWER, 0, 20),
    "langfuse": (OBSERVATION, 0, 20),
}  # 100 tokens of input each: answer, cached input, output


@pytest.mark.parametrize("most", APIS)
@pytest.mark.parametrize(("wrapped", "number"), [(False, 5), (False, 400), (True, 400)])  # few are read otherwise
def test_a_log_of_one_interface_may_have_answers_of_any_other(most, wrapped, number):
    answers = [APIS[most][0] | {"id": f"id-{n}", "responseId": f"id-{n}"} for n in range(number)]
    answers += [answer for name, (answer, *_) in APIS.items() if name != most]
    if wrapped:  # as an application of several providers writes them
        answers = [{"timestamp": "2025-10-09T08:53:20Z", "response": answer} for answer in answers]
    found = read(answers)
    made = found.requests
    assert wrapped or not found.fates.rejects
    wanted = {
        (name, 100, cached, output) for name, (_, cached, output) in APIS.items() if not wrapped or name != "langfuse"
    }
    counts = [made["format"], *(made[f"{name}_tokens"].fill_null(0) for name in ("input", "cache_read", "output"))]
    assert set(zip(*counts, strict=True)) >= wanted


def test_what_two_formats_of_a_file_leave_out_under_one_name_is_counted_twice():
    spans = [{"traceID": "a" * 32, "spanID": "b" * 16, "operationName": "run",
              "tags": [{"key": "gen_ai.operation.name", "value": "invoke_agent"}]}]  # fmt: skip
    said = [{"key": "gen_ai.operation.name", "value": {"stringValue": "invoke_agent"}}]
    of = {"traceId": "a" * 32, "spanId": "c" * 16, "name": "run", "attributes": said}
    made = read([{"data": [{"spans": spans}]}, {"resourceSpans": [{"scopeSpans": [{"spans": [of]}]}]}])
    assert made.fates.skipped == {"span: invoke_agent": 2}
    assert made.fates.balanced
