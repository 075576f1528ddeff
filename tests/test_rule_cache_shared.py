"""cache-miss where tasks share a prefix: what one of them writes and another reads is paid for once."""

from __future__ import annotations

from decimal import Decimal

import pytest
from ledgers import ask, at


def steps(tasks, **written):
    """Four runs, two hours apart: a call of each task in a minute's time, all with the same 4,000 tokens."""
    return [
        {
            "task": task,
            "model": "big",
            "started_at": at(7_200 * run + 60 * nth),
            "block_sha": [1],
            "block_tokens": [4_000],
            "input_tokens": 4_000,
            "output_tokens": 0,
        }
        | (written if nth == 0 else {})
        for run in range(4)
        for nth, task in enumerate(tasks)
    ]


@pytest.mark.parametrize(
    ("rows", "usd", "others"),
    [
        # A run: two reads for 1 instead of 10 USD a million, and the write of the first call for 12.5 instead of 10.
        (steps(["plan", "search", "write"]), 4 * (2 * Decimal("0.036") - Decimal("0.010")), [0, 4]),
        (steps(["plan", "search"]), 4 * (Decimal("0.036") - Decimal("0.010")), [4]),
        # The same calls of one task: nobody pays for others.
        (steps(["search", "search"]), 4 * (Decimal("0.036") - Decimal("0.010")), [0]),
        # The first call writes already, as it is logged: it pays for itself.
        (
            steps(["plan", "search"], cache_write_tokens=4_000, cache_write_5m_tokens=4_000, cache_read_tokens=0),
            4 * Decimal("0.036"),
            [0],
        ),
    ],
)
def test_a_task_that_reads_what_another_writes_pays_for_the_writing(rows, usd, others):
    findings = ask("cache-miss", rows).findings
    assert sum(finding.owned_usd for finding in findings) == usd
    told = [[text for text in finding.because if "of other tasks" in text] for finding in findings]
    paid = ["4 calls of other tasks write what they read, and pay for it here"]
    assert sorted(told) == [paid if n else [] for n in others]
