"""The same calls in every format: the same request table, the same findings to the last decimal."""

from __future__ import annotations

import tempfile
from decimal import Decimal
from functools import cache
from pathlib import Path

import events
import polars as pl
import pytest

from bench import writers as event_logs
from costaudit import pipeline
from costaudit.config import Settings

SETTINGS = pipeline.checked(Settings(floor_usd=Decimal(0), floor_share=0.0))
CASES = [pytest.param(vendor, w, id=f"{vendor}-{w.__name__}") for vendor, ws in event_logs.WRITERS.items() for w in ws]
REFERENCE = {"openai": event_logs.openai_chat, "anthropic": event_logs.anthropic_messages}

# Rules that a log without messages cannot answer in full, with what hangs on them: a retry that is not seen as one
# leaves the failed call to `failed-calls`, and its two calls are two units. One text for a whole prompt has no prefix.
PARTLY = {
    "generic_csv": {"cache-miss", "context-bloat"},
    "generic_parquet": {
        "cache-miss", "context-bloat", "duplicate-requests", "failed-calls", "retry-waste", "spend-anomaly",
    },
}  # fmt: skip
STEPLESS = ("openai_chat_http", "anthropic_messages_http", "litellm", "otlp")  # nothing in them counts steps
SILENT_HTTP = ("litellm",)  # no HTTP status of a call that went well


@cache
def planted(vendor):
    return events.events(vendor)


@cache
def known(vendor, writer):
    with tempfile.TemporaryDirectory() as folder:
        for name, data in writer(planted(vendor)).items():
            (Path(folder) / name).write_bytes(data)
        read = pipeline.requests([folder], SETTINGS)
        return read, pipeline.loaded(read, SETTINGS, [folder], pipeline.prices(SETTINGS))


@cache
def audited(vendor, writer):
    return pipeline.audited(known(vendor, writer)[1], SETTINGS, ["logs"])


def table(vendor, writer, *columns):
    # A call that was refused was answered by no model; the one asked for is known.
    calls = known(vendor, writer)[1].calls.with_columns(model=pl.coalesce("model", "model_requested"))
    return calls.filter(~pl.col("rollup").fill_null(value=False)).sort("started_at").select(columns).rows()


def differing(found, wanted):
    """The first few rows that are not as planted, as `position: found, not wanted`."""
    assert len(found) == len(wanted)
    pairs = enumerate(zip(found, wanted, strict=True))
    return [f"{n}: {a}, not {b}" for n, (a, b) in pairs if a != b][:5]


@pytest.mark.parametrize(("vendor", "writer"), CASES)
def test_every_call_is_one_request(vendor, writer):
    read, _ = known(vendor, writer)
    assert read.fates.balanced
    assert (read.fates.requests, read.fates.duplicates, sum(read.fates.rejects.values())) == (
        len(planted(vendor)),
        0,
        0,
    )


@pytest.mark.parametrize(("vendor", "writer"), CASES)
def test_tokens_times_models_and_who_asked_are_as_planted(vendor, writer):
    found = table(
        vendor, writer, "started_at", "ended_at", "model", "task", "tenant", "user", "temperature", "max_tokens",
        "input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens", "status",
    )  # fmt: skip
    # A call without usage has no counts: null, or what a logger writes as 0 beside a failure.
    found = [(*row[:8], *((n or None) for n in row[8:13]), row[13]) for row in found]
    wanted = [
        (
            *(e.at, e.end, e.model, e.task, e.tenant, e.user, e.temperature, e.max_tokens),
            *(n or None for n in (e.input, e.cached, e.written, e.output, e.reasoning)),
            "error" if e.error else "ok",
        )
        for e in planted(vendor)
    ]
    assert differing(found, wanted) == []


@pytest.mark.parametrize(("vendor", "writer"), CASES)
def test_runs_steps_and_tools_are_as_planted(vendor, writer):
    found = [row for row in table(vendor, writer, "task", "run_id", "step", "tool_name") if row[0] == "research"]
    steps = writer.__name__ not in STEPLESS
    wanted = [(e.task, e.run, e.step, e.call.name if e.call else None) for e in planted(vendor) if e.run]
    assert differing([(*r[:2], r[2] if steps else None, r[3]) for r in found],
                     [(*w[:2], w[2] if steps else None, w[3]) for w in wanted]) == []  # fmt: skip


@pytest.mark.parametrize(("vendor", "writer"), CASES)
def test_tools_have_the_same_fingerprints_in_every_format(vendor, writer):
    columns = ("tool_args_sha", "tool_result_sha")
    assert differing(table(vendor, writer, *columns), table(vendor, event_logs.generic_jsonl, *columns)) == []


@pytest.mark.parametrize(("vendor", "writer"), [c for c in CASES if c.values[1].__name__ not in PARTLY])
def test_messages_weigh_the_same_in_every_format(vendor, writer):
    def weights(one):
        # A failure without usage has no scale: some loggers write 0 tokens there, some nothing.
        return [row for row in table(vendor, one, "block_tokens", "input_tokens") if row[1]]

    assert differing(weights(writer), weights(REFERENCE[vendor])) == []


@pytest.mark.parametrize(("vendor", "writer"), [c for c in CASES if c.values[1].__name__ not in SILENT_HTTP])
def test_the_http_status_is_as_planted(vendor, writer):
    assert differing(table(vendor, writer, "http_status"), [(e.http,) for e in planted(vendor)]) == []


def says(audit, without):
    """What an audit claims, one line a finding."""
    return sorted(
        f"{f.rule} {dict(f.subject)}: {f.owned_usd:f} owned, {f.stake_usd:f} at stake"
        for f in audit.findings
        if f.rule not in without
    )


@pytest.mark.parametrize(("vendor", "writer"), CASES)
def test_every_format_gives_the_same_findings(vendor, writer):
    without = PARTLY.get(writer.__name__, set())
    audit, reference = audited(vendor, writer), audited(vendor, REFERENCE[vendor])
    assert says(audit, without) == says(reference, without)
    assert audit.spend.total_usd == reference.spend.total_usd


@pytest.mark.parametrize("vendor", event_logs.WRITERS)
def test_what_was_planted_is_found(vendor):
    made, found = planted(vendor), {f.rule: f for f in audited(vendor, REFERENCE[vendor]).findings}
    assert found["runaway-loop"].requests == 15  # of 16 equal calls one was needed
    assert found["duplicate-requests"].requests == 10
    assert found["failed-calls"].requests == sum(1 for e in made if e.http == 500) - 4  # four were sent again
    assert found["retry-waste"].owned_usd > 0
    assert found["cost-regression"].subject == {"task": "triage"}


@pytest.mark.parametrize("vendor", event_logs.WRITERS)
def test_instructions_alone_do_not_make_two_calls_the_same_request(vendor):
    audit = audited(vendor, event_logs.generic_parquet)  # the log has the system prompt of each call, and no messages
    assert "duplicate-requests" in {n.rule for n in audit.not_checked}
    assert set(table(vendor, event_logs.generic_parquet, "request_sha", "block_sha")) == {(None, None)}
