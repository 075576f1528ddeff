"""Every real sample, each read alone: one table that a reviewer reads, and no sample read by more than one format."""

from __future__ import annotations

import pytest
from samples import fates, spent, window

from costaudit.ingest import ingest

HEAD = ("format", "records", "requests", "input", "read", "write", "output", "reasoning",
        "duplicates", "rollups", "rejects", "skipped", "blank", "first", "last")  # fmt: skip
# Read by the format of the record inside, which says more: a gateway's log of bodies, a session of another agent.
READ_AS = {
    "openclaw/agent-sessions-schema_drift.jsonl": "droid",
    "portkey/sample_log_file.json": "openai-chat",
}
# No JSON (a comma before a brace, as the documentation prints it); a history that names no counts, by no known program.
UNREAD = {"openai-api/batch-object.json", "gemini-cli/agent-sessions-schema_drift.json"}
# Folder of the sample -> formats of its files, where they are not called the same.
FAMILIES = {
    "anthropic-api": ("anthropic-",), "openai-api": ("openai-",), "cursor": ("cursor-agent",),
    "datadog-llmobs": ("datadog",), "envoy-ai-gateway": ("envoy",), "openclaw": ("pi",), "otel-sdk-dump": ("otel-sdk",),
    "otlp-json": ("otlp",), "otlp-openinference": ("otlp",), "phoenix": ("otel-sdk",),
}  # fmt: skip


@pytest.fixture(scope="module")
def found(shared):
    """(path below the folder, what was read) of every sample."""
    root = shared / "formats"
    files = sorted(p for p in root.rglob("*") if p.is_file() and p.suffix != ".md")
    return [(path.relative_to(root).as_posix(), ingest([path])) for path in files]


def row(read):
    kinds = [form or "no format" for form in read.sources["format"]]
    skipped = sum(read.fates.skipped.values())
    seen = window(read) or ("-", "-")
    return (" and ".join(sorted(kinds)), read.fates.lines, *spent(read), *fates(read).values(), skipped,
            read.fates.blank, *(text.replace(" ", "T") for text in seen))  # fmt: skip


def test_every_sample_reads_as_reviewed(found, golden):
    table = [("sample", *HEAD), *((name, *map(str, row(read))) for name, read in found)]
    wide = [max(len(line[n]) for line in table) for n in range(len(HEAD) + 1)]
    text = ("  ".join(cell.ljust(w) for cell, w in zip(line, wide, strict=True)).rstrip() for line in table)
    golden("samples.txt", "\n".join(text) + "\n")


def test_every_sample_is_read_by_its_own_format_and_no_other(found):
    for name, read in found:
        kinds = {form for form in read.sources["format"] if form}
        folder = name.partition("/")[0]
        wanted = (READ_AS[name],) if name in READ_AS else FAMILIES.get(folder, (folder,))
        assert len(kinds) <= 1, name
        assert all(kind.startswith(wanted) for kind in kinds), (name, kinds)


def test_only_what_is_no_log_is_left_unread(found):
    assert {name for name, read in found if set(read.sources["format"]) == {""}} == UNREAD
