"""Opik: inclusive usage with the provider's own words beside it, and a CSV that repeats the trace."""

from __future__ import annotations

import json

from hypothesis import given, settings
from samples import fates, mangled, read, sample, spent, window

LOG = sample("opik.jsonl")


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 0, "rollups": 0, "rejects": 0}
    # The trace's own usage and cost are sums and are no row.
    assert spent(made) == (4, 1_200 + 1_300 + 60, 900 + 1_100, 50, 80 + 40, 30)
    assert window(made) == ("2026-09-02 08:00:01", "2026-09-02 08:00:08")
    assert made.fates.skipped == {"span: execute_tool": 1, "span: workflow": 2}
    assert not made.notes


def test_the_trace_lends_thread_task_tenant_and_environment():
    first, second, failed, embedded = read(LOG).requests.to_dicts()
    for row in (first, second, failed):
        assert [row[k] for k in ("run_id", "task", "tenant", "environment")] == ["s-1", "triage", "acme", "prod"]
    assert (first["ttft_s"], first["finish_reason"], first["temperature"]) == (0.4, "tool_calls", 0.2)
    assert (failed["status"], failed["error_type"], failed["usage_source"]) == ("error", "RateLimitError", "absent")
    assert (embedded["tenant"], embedded["run_id"], embedded["model"]) == ("beta", "s-2", "text-embedding-3-small")


def test_the_providers_own_words_are_never_added():
    trace = json.loads(LOG[0])
    trace["spans"] = [trace["spans"][3] | {"parent_span_id": None}]
    # Anthropic's 150 uncached, 1,100 read and 50 written are the 1,300 of the span.
    assert spent(read([trace])) == (1, 1_300, 1_100, 50, 40, 0)


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
