"""tenant-concentration and tenant-under-water: who carries the bill, and who costs more than they pay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from msgspec.structs import replace

from costaudit.analyze import Analysis, analyze
from costaudit.analyze._revenue import revenue
from costaudit.config import Settings
from costaudit.errors import ConfigError
from costaudit.finding import Confidence, Severity
from costaudit.price.ledger import Ledger
from tests.priced import book, call, calls

OCTOBER = datetime(2026, 10, 1, tzinfo=UTC)
A_CALL = Decimal("0.014")  # 1,000 × 10/1e6 + 100 × 40/1e6


def month(tenant: str | None, n: int, **columns: Any) -> list[dict[str, Any]]:
    """n calls spread over October, the first at its start and the last on its last day."""
    step = timedelta(days=30, hours=23) / max(n - 1, 1)
    return [call(tenant=tenant, started_at=OCTOBER + k * step, **columns) for k in range(n)]


def ask(rule: str, rows: list[dict[str, Any]], settings: Settings | None = None, **options: Any) -> Analysis:
    given = settings or Settings()
    given = replace(given, select=(rule,), floor_usd=Decimal(0), floor_share=0.0, rules={rule: options})
    return analyze(Ledger.of(calls(rows), book()), given)


def test_the_largest_tenant_is_named_and_all_tenants_add_up_to_the_spend():
    rows = month("north", 60) + month("south", 20) + month("east", 10) + month(None, 10)
    (finding,) = ask("tenant-concentration", rows).findings
    assert finding.subject == {"tenant": "north"}
    assert finding.stake_usd == 60 * A_CALL == finding.evidence["spend_usd"].sum()
    tenants = finding.details["tenants"]
    assert tenants["tenant"].to_list() == ["north", "south", "(no tenant)", "east"]  # ties by name
    assert tenants["spend_usd"].sum() == 100 * A_CALL
    assert "60 %" in finding.title


def test_spend_that_grows_faster_than_use_is_said_with_its_interval():
    rows = []
    for k in range(10):
        n = 2 ** (k // 2) * (1 + k % 2)
        rows += month(f"t{k}", n, input_tokens=1_000 * n, output_tokens=0)
    (finding,) = ask("tenant-concentration", rows, top_share=0.1).findings
    assert any("dearer with scale: spend grows as calls^2.00" in b for b in finding.because)


@pytest.mark.parametrize(
    ("rows", "state"),
    [
        (month("only", 50), "clean"),
        (month("a", 20) + month("b", 20) + month("c", 20), "clean"),
        (month(None, 20), "not checked"),
    ],
    ids=["one tenant", "even tenants", "no tenant field"],
)
def test_concentration_is_silent_on(rows, state):
    answer = ask("tenant-concentration", rows)
    assert answer.findings == ()
    assert bool(answer.clean) == (state == "clean")


@pytest.fixture
def paying(tmp_path: Path):
    def write(text: str) -> Settings:
        path = tmp_path / "revenue.csv"
        path.write_text(text)
        return Settings(revenue=path)

    return write


def test_a_tenant_that_costs_more_than_it_pays(paying):
    rows = month("north", 1_000) + month("south", 10)
    (finding,) = ask("tenant-under-water", rows, paying("tenant,usd\nnorth,5\nsouth,5\n")).findings
    assert finding.subject == {"tenant": "north"}
    assert finding.stake_usd == 1_000 * A_CALL - 5 == finding.evidence["loss_usd"].sum()
    assert finding.confidence is Confidence.HIGH
    assert finding.severity is Severity.HIGH
    assert finding.details["drivers"]["spend_usd"].sum() == 14


def test_half_a_month_is_held_against_half_the_revenue(paying):
    step = timedelta(hours=12)
    rows = [call(tenant="north", started_at=OCTOBER + k * step) for k in range(31)]  # 1 to 16 October
    (finding,) = ask("tenant-under-water", rows, paying("tenant,usd\nnorth,0.62\n")).findings
    assert finding.evidence["revenue_usd"].item() == Decimal("0.32")  # 0.62 × 16/31
    assert finding.confidence is Confidence.MEDIUM


def test_a_margin_moves_the_line(paying):
    rows = month("north", 100)  # $1.40
    assert ask("tenant-under-water", rows, paying("tenant,usd\nnorth,2\n")).findings == ()
    (finding,) = ask("tenant-under-water", rows, paying("tenant,usd\nnorth,2\n"), margin=0.4).findings
    assert finding.stake_usd == Decimal("0.2")  # 40 % of $2 must stay: $1.20 may be spent


def test_a_range_that_crosses_the_line_cannot_tell(paying):
    priced = calls(month("north", 100)).with_columns(low_usd=pl.col("cost_usd") * Decimal("0.5"))
    settings = paying("tenant,usd\nnorth,1\n")
    settings = replace(settings, select=("tenant-under-water",), floor_usd=Decimal(0), floor_share=0.0)
    assert analyze(Ledger.of(priced, book()), settings).findings == ()


def test_cost_of_nobody_makes_no_tenant_lose(paying):
    rows = month("north", 10) + month(None, 10_000)
    assert ask("tenant-under-water", rows, paying("tenant,usd\nnorth,1\n")).findings == ()


def test_without_a_revenue_file_it_is_not_checked():
    (why,) = (n.why for n in ask("tenant-under-water", month("north", 10)).not_checked)
    assert "revenue" in why


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("who,usd\na,1\n", "no revenue file"),
        ("tenant,usd\na,many\n", ":2: 'many' is no amount"),
        ("tenant,usd\na,NaN\n", "no amount"),
        ("tenant,usd\na,-1\n", "no amount"),
        ("tenant,usd\na,1\na,2\n", ":3: 'a' is there twice"),
        ("tenant,usd,month\na,1,October\n", "is no month"),
        ("tenant,usd\n,1\n", "no tenant"),
    ],
)
def test_a_wrong_revenue_file_is_named_with_its_line(tmp_path, text, words):
    path = tmp_path / "revenue.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        revenue(path)
