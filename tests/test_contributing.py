"""The page for who adds to the program: its two formats are whole and read what they say they read."""

from __future__ import annotations

import json
import re

import pytest
from console import ROOT

from costaudit.analyze import analyzers
from costaudit.ingest import formats
from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import Format, Found, Out

PAGE = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")
ACME = [
    {"acme_version": 2, "kind": "health"},
    {
        "acme_version": 2, "kind": "call", "ts": "2026-10-01T10:00:00Z", "upstream": "openai", "customer": "northwind",
        "call": {"id": "a-1", "model": "gpt-5", "cost": 0.002, "usage": {"fresh": 100, "cached": 900, "out": 40}},
    },
    {"acme_version": 2, "kind": "call", "call": {"id": "a-2", "usage": {"fresh": 7, "cached": "many"}}},
]  # fmt: skip
BOLT = [
    {"bolt": 1, "kind": "start", "id": "s"},
    {
        "bolt": 1, "kind": "answer", "id": "1", "at": "2026-10-01T10:00:00Z", "model": "gpt-5",
        "usage": {"input_tokens": 100, "cache_read_tokens": 900, "output_tokens": 40},
        "calls": [{"id": "c", "name": "read", "args": {}}],
    },
    {"bolt": 1, "kind": "result", "call": "c", "output": "text"},
    {"bolt": 1, "kind": "answer", "id": "2", "usage": {"input_tokens": -1}},
]  # fmt: skip


def read(log: list[dict[str, object]]) -> Out:
    """What the format of the page that is sure of the log's last record makes of it."""
    made: dict[str, type] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(block, "contributing.md", "exec"), made)  # a page of this repository
    (form,) = (
        kind()
        for kind in made.values()
        if isinstance(kind, type) and issubclass(kind, Format) and "name" in vars(kind)
        if kind().recognises(log[-1]) >= 80
    )
    out = Out()
    reader = form.reader(LogFile(ROOT / "log.jsonl", "log.jsonl"), Found())
    reader.feed([Record(n, 0, json.dumps(record).encode()) for n, record in enumerate(log, 1)], out)
    reader.close(out)
    return out


@pytest.mark.parametrize(("log", "refused"), [(ACME, 3), (BOLT, 4)], ids=["acme", "bolt"])
def test_a_format_of_the_page_reads_a_call_with_its_cached_input(log, refused):
    out = read(log)
    (row,) = [row for frame in out.frames for row in frame.to_dicts()]
    assert (row["model"], row["input_tokens"], row["cache_read_tokens"], row["output_tokens"]) == (
        "gpt-5",
        1000,
        900,
        40,
    )
    assert [line for line, _ in out.rejects] == [refused]
    assert sum(out.skipped.values()) == len(log) - 2


def test_what_the_page_tells_to_look_at_is_there():
    told = PAGE.partition("| a record |")[2].partition("A table, whole")[0]
    named = {name for row in told.splitlines() for name in re.findall(r"`([a-z-]+)`", row.rpartition(" | ")[2])}
    assert len(named) >= 9
    assert named <= {form.name for form in formats()}
    assert "duplicate-requests" in {rule.name for rule in analyzers()}
    for path in re.findall(r"`((?:costaudit|tests|docs|pricing|sample_logs)/[\w/.]+)`", PAGE):
        assert (ROOT / path).exists(), path
    for module in re.findall(r"`(_\w+)(?:\.\w+)?`", PAGE):
        home = ("ingest", "analyze")
        own = module in {"_key", "_rank", "_trace", "_span", "_parent", "_skip", "_reject", "_reading"}
        assert own or any((ROOT / "costaudit" / folder / f"{module}.py").exists() for folder in home), module
