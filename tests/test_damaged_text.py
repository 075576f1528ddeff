"""Texts that were cut inside an emoji, and zero bytes between the lines of a log, cost a character or a line."""

import gzip
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costaudit.errors import LogError
from costaudit.ingest import ingest
from costaudit.ingest._decode import mended, opened, parsed

HALF = "half an emoji: \ud83d, the other half: \ude00"


def chat(number, text):
    return {
        "id": f"c-{number}", "object": "chat.completion", "created": 1_790_000_000 + number,
        "model": "gpt-4o-2024-08-06", "messages": [{"role": "user", "content": text}],
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 1_000 + number, "completion_tokens": 100}, "metadata": {"task": "a task"},
    }  # fmt: skip


def transcript(number, text):
    return {
        "type": "assistant", "sessionId": "s", "uuid": f"u{number}", "parentUuid": None, "requestId": f"r{number}",
        "timestamp": f"2026-10-01T10:00:0{number}Z",
        "message": {"id": f"m{number}", "type": "message", "role": "assistant", "model": "claude-sonnet-4-20250514",
                    "content": [{"type": "text", "text": text}],
                    "usage": {"input_tokens": 1_000 + number, "output_tokens": 100}},
    }  # fmt: skip


def lines(rows):
    return "".join(f"{json.dumps(row)}\n" for row in rows)


WRITTEN = {
    "lines": lines,
    "array": json.dumps,
    "pretty array": lambda rows: json.dumps(rows, indent=1),
    "documents": lambda rows: "\n".join(json.dumps(row, indent=1) for row in rows),
    "stream": lambda rows: "".join(f"data: {json.dumps(row)}\n\n" for row in rows),
    "text in a record": lambda rows: lines({"at": n, "response": json.dumps(row)} for n, row in enumerate(rows)),
}


@pytest.mark.parametrize("row", [chat, transcript])
@pytest.mark.parametrize("write", WRITTEN.values(), ids=WRITTEN)
def test_half_an_emoji_costs_one_character(write, row, tmp_path):
    told = {}
    for what, text in (("whole", "a text"), ("half", HALF)):
        path = tmp_path / f"{what}.jsonl"
        path.write_text(write([row(n, text) for n in range(4)]))
        told[what] = ingest([path])
    whole, half = told["whole"], told["half"]
    seen = ["request_id", "model", "input_tokens", "output_tokens", "started_at", "task", "format"]
    assert half.requests.select(seen).equals(whole.requests.select(seen))
    assert half.fates == whole.fates
    assert half.requests.height == 4


def test_half_an_emoji_in_a_long_record_costs_one_character(tmp_path):
    path = tmp_path / "long.jsonl"
    path.write_text(lines(chat(n, HALF + "y" * 1_100_000) for n in range(2)))
    assert ingest([path]).requests["input_tokens"].sum() == 2_001


@given(st.text(st.characters(exclude_categories=()), max_size=20))
@settings(max_examples=60)
def test_mending_takes_halves_and_leaves_all_else(text):
    written = json.dumps({"text": text, "\\": "\\ud83d"}).encode()
    # Two halves side by side are one character to every reader of JSON.
    meant = "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in json.loads(written)["text"])
    assert parsed(written) == {"text": meant, "\\": "\\ud83d"}
    assert opened(written.decode()) == {"text": meant, "\\": "\\ud83d"}
    assert mended(mended(written)) == mended(written)


def test_what_is_no_escape_is_not_mended():
    assert "not JSON" in parsed(rb'{"a": "\ud8zz"}')
    assert parsed(rb'{"a": "\\ud83d \ud83d\ude00"}') == {"a": "\\ud83d \N{GRINNING FACE}"}


@pytest.mark.parametrize("only", [None, ("input_tokens", "output_tokens")], ids=["all", "sums"])
@pytest.mark.parametrize("number", ["1e999", "-1E+400", "9" * 400, "1.5e310"])
@pytest.mark.parametrize(("sound", "lost"), [('"index": 0', 0), ('"prompt_tokens": 1000', 1)])
def test_a_number_beyond_all_numbers_costs_the_line_only_where_it_is_a_count(sound, lost, number, only, tmp_path):
    path = tmp_path / "log.jsonl"
    name = sound.partition(":")[0]
    text = lines(chat(n, '1e999 and "9' + "9" * 300) for n in range(2))
    path.write_text(text.replace(sound, f"{name}: {number}", 1))
    read = ingest([path], only=only)
    assert (read.fates.requests, sum(read.fates.rejects.values())) == (2 - lost, lost)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    ("zeros", "rejects"),
    [("{0}{1}{2}", 0), ("\0\0\0{0}{1}{2}", 1), ("{0}\0\0\0\n{1}{2}", 1), ("{0}{1}{2}\0\0\0", 1)],
    ids=["none", "at the beginning", "a line of their own", "at the end"],
)
def test_zero_bytes_cost_the_line_that_has_them(zeros, rejects, pack, tmp_path):
    rows = [lines([chat(n, "a text")]) for n in range(3)]
    path = tmp_path / "cut.jsonl"
    path.write_bytes(pack(zeros.format(*rows).encode()))
    read = ingest([path])
    lost = 1 if zeros.startswith("\0") else 0
    assert (read.fates.requests, sum(read.fates.rejects.values())) == (3 - lost, rejects)


@pytest.mark.parametrize("data", [b"\0" * 5_000, b"\x7fELF\0\0{}\n{broken\n\0", '{"a": 1}\n'.encode("utf-16-le")])
def test_a_binary_file_stays_no_log(data, tmp_path):
    (tmp_path / "program.jsonl").write_bytes(data)
    with pytest.raises(LogError, match="binary file, not a log"):
        ingest([tmp_path / "program.jsonl"])


def test_a_file_whose_name_is_no_text_is_read_and_named_with_escapes(tmp_path):
    path = tmp_path / os.fsdecode(b"a\xff.jsonl")
    try:
        path.write_text(json.dumps({"object": "chat.completion", "model": "gpt-5.4", "usage": {"prompt_tokens": 7}}))
    except OSError:
        pytest.skip("this file system takes no such name")
    assert ingest([tmp_path]).requests["source_file"].to_list() == [f"{tmp_path.as_posix()}/a\\udcff.jsonl"]
