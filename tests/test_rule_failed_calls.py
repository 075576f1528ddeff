"""failed-calls: a failure costs what it was billed, and nothing where it was not."""

from __future__ import annotations

from decimal import Decimal

import pytest
from ledgers import ask, calls, ledger

from costaudit.analyze import analyze
from costaudit.config import Settings
from costaudit.stats import wilson

CALL = Decimal("0.015")
GOOD = [{"task": "triage"}] * 9
BILLED = {"task": "triage", "status": "error", "http_status": 500}
UNBILLED = BILLED | {"input_tokens": None, "output_tokens": None}


def waste(rows, **options):
    return sum((f.owned_usd for f in ask("failed-calls", rows, **options).findings), Decimal(0))


@pytest.mark.parametrize(
    ("failures", "billed"),
    [
        ([BILLED], 1),
        ([UNBILLED], 0),
        ([BILLED, UNBILLED], 1),
        ([{"task": "triage", "finish_reason": "content_filter"}], 1),
        ([{"task": "triage", "finish_reason": "refusal"}], 1),
        ([{"task": "triage", "finish_reason": "length"}], 0),
        ([{"task": "triage", "status": "cancelled"}], 0),
        ([BILLED | {"rollup": True}], 0),
        ([{"task": "triage", "status": None, "http_status": 503}], 1),
    ],
)
def test_failures_cost_exactly_their_bill(failures, billed):
    assert waste([*GOOD, *failures]) == billed * CALL
    total = sum(calls([*GOOD, *failures])["cost_usd"].to_list())
    assert total - sum(calls(GOOD)["cost_usd"].to_list()) >= billed * CALL


def test_failures_under_the_rate_are_part_of_life():
    assert waste([{"task": "triage"}] * 100 + [BILLED]) == 0
    assert waste([{"task": "triage"}] * 99 + [BILLED]) == CALL


def test_expected_refusals_are_silent():
    rows = [*GOOD, {"task": "moderation", "finish_reason": "refusal"}]
    assert waste(rows, allow=["moderation"]) == 0
    assert waste([*GOOD, BILLED], allow=["triage"]) == CALL


def test_the_evidence_groups_by_kind_with_a_rate():
    timeout = {"task": "triage", "status": "error", "error_type": "Timeout"}
    (finding,) = ask("failed-calls", [*GOOD, BILLED, BILLED, UNBILLED, timeout]).findings
    rows = finding.evidence.select("cause", "calls", "billed", "rate", "waste_usd").rows()
    assert rows == [("HTTP 500", 3, 2, 3 / 13, 2 * CALL), ("Timeout", 1, 1, 1 / 13, CALL)]
    assert finding.evidence["rate_low"][0] == wilson(3, 13).low
    assert finding.because == ("4 calls failed, 1 of them without a bill",)
    assert finding.title == "triage: 3 failed calls billed, $0.045"


def test_attempts_that_were_sent_again_belong_to_retries():
    rows = [BILLED | {"request_sha": 7}, {"task": "triage", "request_sha": 7}, *GOOD]
    said = analyze(ledger(rows), Settings(floor_usd=Decimal(0), floor_share=0.0))
    assert [f.rule for f in said.findings if f.owned_usd] == ["retry-waste"]


def test_it_says_what_it_lacks():
    assert [n.why for n in ask("failed-calls", [{"status": None}]).not_checked] == ["no status field"]
