"""What no format knows is told for what it is, with what to do next; and what is advised works."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile

import pytest

from costaudit.errors import LogError
from costaudit.ingest import ingest
from costaudit.ingest._unknown import mapping

CALL = {"when": "2026-09-01T08:00:00Z", "llm": "gpt-4o", "tin": 100, "tout": 50, "who": "ann"}


def packed(name):
    held = io.BytesIO()
    if name.endswith(".tar"):
        with tarfile.open(fileobj=held, mode="w") as tar:
            tar.addfile(tarfile.TarInfo("a.jsonl"))
    else:
        with zipfile.ZipFile(held, "w") as archive:
            archive.writestr(name, "{}")
    return held.getvalue()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (packed("a.jsonl"), "a zip archive, which is not opened: unpack it"),
        (packed("xl/workbook.xml"), "an Excel workbook, not a log: save the sheet"),
        (packed("a.tar"), "a tar archive, which is not opened: unpack it"),
        (b"<!DOCTYPE html><html>login</html>", "a page of HTML"),
        (b"\n\xf2\x01\n\x1d\n\x1b\n\x0cservice.name\x12\x07\n\x05a-app", "OpenTelemetry data as protobuf"),
        (b"INFO 09-01 08:00:05 [metrics.py:455] Avg prompt throughput: 1.0 tokens/s, Running: 1 reqs\n" * 2,
         "the text log of an inference server"),
        (b"\n# aider chat started at 2026-09-05 11:00:00\n\n> Tokens: 2.3k sent, 120 received.\n",
         "the chat history of Aider, whose counts are rounded"),
        (b"\0\1\2", "binary file, not a log"),
        (b"level=info model=gpt-4o prompt_tokens=100\n", "text without JSON lines or a table"),
        (b"throughput: 3 tokens/s, running: 1\n", "no log records"),  # a table without rows, for all one can tell
    ],
)  # fmt: skip
def test_a_file_that_is_no_log_is_told_for_what_it_is(data, said, tmp_path):
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(LogError, match=f"x: {said}") as told:
        ingest([tmp_path / "x"])
    assert "costaudit formats generic" in told.value.hint


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(CALL),
        ",".join(CALL) + "\n" + ",".join(map(str, CALL.values())),
        json.dumps({"at": {"ts": CALL["when"]}, "modelName": "gpt-4o", "use": {"promptTokenCount": 100, "tokOut": 50}}),
    ],
    ids=["lines", "table", "nested"],
)
def test_the_columns_that_are_advised_have_the_log_read(text, tmp_path):
    (tmp_path / "home.log").write_text(text + "\n")
    read = ingest([tmp_path])
    assert not read.requests.height
    assert "`columns: {" in read.notes[0]
    advised = read.notes[0].partition("`columns: {")[2].partition("}`")[0]
    named = dict(pair.split(": ") for pair in advised.split(", "))
    call = ingest([tmp_path], columns=named).requests.row(0, named=True)
    assert (call["model"], call["input_tokens"], call["output_tokens"]) == ("gpt-4o", 100, 50)
    assert f"{call['started_at']:%F %T}" == "2026-09-01 08:00:00"


@pytest.mark.parametrize(
    "record",
    [
        {"name": "settings", "model": "gpt-4o", "max_tokens": 100},  # a limit is no count of what was sent
        {"tin": 100, "tout": 50},  # of no model
        {"model": "gpt-4o", "input_tokens_per_second": "fast", "output": "words"},
        {"model": "gpt-4o", "tok_in_out": 5},
    ],
)
def test_records_that_are_no_calls_get_no_columns(record):
    assert mapping(record) == {}


def test_names_that_could_not_be_written_into_settings_are_not_advised(tmp_path):
    (tmp_path / "x.jsonl").write_text(json.dumps(CALL | {"tin": None, "prompt `tokens}\x1b": 4}) + "\n")
    assert ingest([tmp_path]).notes == ()
    assert ingest([tmp_path]).rejects.row(0, named=True)["detail"].startswith("when, llm, tin")
