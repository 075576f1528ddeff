"""unpriced-usage, unmetered-usage, undecided-convention: unknown is not zero, and never waste."""

from __future__ import annotations

from decimal import Decimal

import pytest
from ledgers import ask

from costaudit.finding import Confidence, Kind, Severity

NO_USAGE = {"input_tokens": None, "output_tokens": None, "usage_source": "absent"}


def only(rule, rows):
    (finding,) = ask(rule, rows).findings
    assert finding.kind is Kind.EXPOSURE
    assert (finding.owned_usd, finding.alone_usd) == (0, 0)
    assert finding.confidence is Confidence.HIGH
    assert sum(finding.evidence["at_risk_usd"].drop_nulls().to_list(), Decimal(0)) == finding.stake_usd
    return finding


def test_an_unknown_model_is_bounded_by_the_dearest_price_of_its_provider():
    finding = only("unpriced-usage", [{"model": "new-one"}, {}])
    assert finding.title == "new-one: 1 call without a known price"
    # 1,000 tokens at the dearest input class (20, a one-hour write), 100 at the dearest output (50)
    assert (finding.low_usd, finding.high_usd) == (0, Decimal("0.025"))
    assert "match" in finding.remedy
    assert "new-one" in finding.remedy
    assert finding.severity is Severity.HIGH


def test_a_provider_without_prices_has_no_upper_bound():
    finding = only("unpriced-usage", [{"model": "new-one", "provider": "nobody"}])
    assert finding.high_usd is None
    assert finding.subject == {"provider": "nobody", "model": "new-one"}


def test_an_opaque_deployment_is_named_as_such():
    name = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"
    assert only("unpriced-usage", [{"model": name}]).evidence["cause"].to_list() == ["opaque deployment name"]


@pytest.mark.parametrize(
    ("row", "cause"),
    [
        (NO_USAGE, "no usage"),
        (NO_USAGE | {"status": "cancelled"}, "closed stream"),
        ({"input_tokens": 0, "output_tokens": 0, "has_text": True}, "zero usage beside text"),
    ],
)
def test_a_call_without_usage_is_worth_up_to_its_dearest_peer(row, cause):
    finding = only("unmetered-usage", [row, {}, {"input_tokens": 5_000}])
    assert finding.title == "big: 1 call without usage"
    assert finding.evidence["cause"].to_list() == [cause]
    assert (finding.low_usd, finding.high_usd) == (0, Decimal("0.055"))


@pytest.mark.parametrize(("output", "at_stake"), [(100, "0.05"), (1_100, "0"), (2_000, "0")])
def test_what_an_answer_cost_whose_prompt_nobody_counted_is_in_the_total_already(output, at_stake):
    """The dearest peer cost 0.055; the answer alone 0.005, as much, and more."""
    finding = only("unmetered-usage", [{"input_tokens": None, "output_tokens": output}, {"input_tokens": 5_000}])
    assert finding.evidence["cause"].to_list() == ["input not counted"]
    assert (finding.low_usd, finding.high_usd) == (0, Decimal(at_stake))


def test_a_call_without_usage_and_without_peers_has_no_upper_bound():
    assert only("unmetered-usage", [NO_USAGE]).high_usd is None


def test_an_undecided_reading_is_at_stake_with_what_the_dearer_one_adds():
    rows = [{"format": "gateway", "input_tokens": 1_000, "cache_read_tokens": 400, "convention": "undecided"}]
    finding = only("undecided-convention", rows)
    # Beside: 1,400 in, of which 400 cached: 400 tokens at 10 USD a million more than inside.
    assert (finding.stake_usd, finding.low_usd, finding.high_usd) == (Decimal("0.004"), 0, Decimal("0.004"))
    assert finding.title.endswith("up to $0.0040 more")


@pytest.mark.parametrize("rule", ["unpriced-usage", "unmetered-usage", "undecided-convention"])
@pytest.mark.parametrize(
    "row", [{}, {"model": "gift"}, {"rollup": True, "model": "new-one"}, {"convention": "assumed"}]
)
def test_known_and_free_calls_are_silent(rule, row):
    said = ask(rule, [row])
    assert said.findings == ()
    assert said.clean == (rule,)


def test_an_error_without_usage_was_not_billed():
    assert ask("unmetered-usage", [NO_USAGE | {"status": "error"}]).findings == ()


def test_evidence_is_by_file_the_worst_first():
    sizes = [("a", 100), ("b", 900), ("a", 200)]
    finding = only("unpriced-usage", [{"model": "new-one", "source_file": f, "input_tokens": n} for f, n in sizes])
    assert finding.evidence.select("source_file", "calls", "tokens").rows() == [("b", 1, 1_000), ("a", 2, 500)]
    assert finding.requests == 3
