"""Audits made by hand: small enough to check by reading, shaped like real ones."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl
from msgspec.structs import replace

from costaudit.audit import Audit, Coverage, Fates, Prices, Spend, Window
from costaudit.finding import Confidence, Finding, Grade, Kind, Lever, NotChecked, Severity
from costaudit.schema import USD

TOKENS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")

FATES = Fates(
    lines=13_412,
    requests=12_044,
    duplicates=1_201,
    rollups=96,
    blank=4,
    skipped={"user": 47},
    rejects={"not JSON": 18, "token count is negative": 2},
    duplicates_by_reason={"delivered again": 1_201},
)


def money(*amounts: str) -> pl.Series:
    return pl.Series([Decimal(amount) for amount in amounts], dtype=USD)


def evidence(*rows: tuple[str, str, str]) -> pl.DataFrame:
    """request_id, source, waste_usd."""
    ids, sources, amounts = zip(*rows, strict=True)
    return pl.DataFrame({"request_id": ids, "source": sources, "waste_usd": money(*amounts)})


def finding(**changes: object) -> Finding:
    given: dict[str, object] = {
        "rule": "runaway-loop",
        "kind": Kind.WASTE,
        "severity": Severity.HIGH,
        "confidence": Confidence.HIGH,
        "title": "research: 12 runs repeat themselves, $612.34 after the stop point",
        "subject": {"task": "research"},
        "remedy": "stop a run when a call repeats with an unchanged result",
        "evidence": evidence(("r-1", "logs/a.jsonl:17", "600.34"), ("r-2", "logs/a.jsonl:90", "12")),
        "owned_usd": Decimal("612.34"),
        "alone_usd": Decimal("700"),
        "low_usd": Decimal("580.1"),
        "high_usd": Decimal(640),
        "requests": 1_204,
    }
    return Finding(**(given | changes))  # type: ignore[arg-type]


FINDINGS = (
    finding(lever=Lever("run-limit")),
    finding(
        rule="cache-miss",
        severity=Severity.MEDIUM,
        confidence=Confidence.MEDIUM,
        title="triage: a clock in the prompt breaks the cache of 9,120 calls, $0.0042",
        subject={"task": "triage", "cause": "unstable-prefix"},
        remedy="move the date behind the instructions; everything before it is then read from the cache",
        evidence=evidence(("r-9", "logs/b.jsonl:4", "0.0042")),
        owned_usd=Decimal("0.0042"),
        alone_usd=Decimal("0.0042"),
        low_usd=Decimal("0.002"),
        high_usd=Decimal("0.006"),
        requests=9_120,
        because=("the cache is simulated on the times of these calls",),
    ),
    finding(
        rule="overpowered-model",
        kind=Kind.DECIDE,
        severity=Severity.MEDIUM,
        confidence=Confidence.LOW,
        title="classify: a smaller model may do, $690.00; 446 units a side would show it",
        subject={"task": "classify"},
        remedy="send 10 % of the calls to the smaller model until 446 units are scored on each side",
        evidence=evidence(("r-3", "logs/c.jsonl:1", "690")),
        owned_usd=Decimal(690),
        alone_usd=Decimal(690),
        low_usd=Decimal(300),
        high_usd=Decimal(810),
        requests=4_000,
        grade=Grade.EXPERIMENT,
        because=("no score was logged", "the other model's tokens are counted 0.8 to 1.4 times"),
    ),
    finding(
        rule="cost-regression",
        kind=Kind.EXCESS,
        title="triage: dearer since 2026-11-04 by 52 % a run, $88.20",
        subject={"task": "triage"},
        remedy="see what changed on that day: prompts are 2.5 times as long",
        evidence=pl.DataFrame({"date": [date(2026, 11, 4)], "excess_usd": money("88.2")}),
        owned_usd=Decimal(0),
        alone_usd=Decimal(0),
        stake_usd=Decimal("88.2"),
        low_usd=Decimal("70"),
        high_usd=Decimal("101.5"),
        requests=700,
    ),
    finding(
        rule="unpriced-usage",
        kind=Kind.EXPOSURE,
        title="in-house-7b: 310 calls without a price",
        subject={"model": "in-house-7b"},
        remedy="add a price entry, or mark the model as free",
        evidence=pl.DataFrame({"model": ["in-house-7b"], "calls": [310], "at_risk_usd": money("9.1")}),
        owned_usd=Decimal(0),
        alone_usd=Decimal(0),
        stake_usd=Decimal("9.1"),
        low_usd=Decimal(0),
        high_usd=None,
        requests=310,
    ),
)

SPEND = Spend(
    total_usd=Decimal("4812.5"),
    by_task=pl.DataFrame(
        {
            "task": ["research", "classify", "triage", "(no task)"],
            "requests": [1_204, 4_000, 6_530, 310],
            "runs": [120, 0, 6_530, 0],
            "cost_usd": money("2310.2", "1790.25", "712.0458", "0.0042"),
            "share": [0.48, 0.372, 0.148, 0.0000009],
            "usd_per_request": money("1.918770764119601328", "0.4475625", "0.109042235834609495", "0.0000135"),
            "p95_usd": money("9.31", "0.61", "0.22", "0.00002"),
        }
    ),
    by_model=pl.DataFrame(
        {
            "model": ["claude-sonnet-4-5-20250929", "gpt-5-mini", "in-house-7b"],
            "provider": ["anthropic", "openai", ""],
            "requests": [5_204, 6_530, 310],
            "cost_usd": money("4100.4542", "712.0458", "0"),
            "input_tokens": [1_204_500_000, 88_120_400, 41_200],
            "cache_read_tokens": [640_000_000, 0, 0],
            "cache_write_tokens": [12_000_000, 0, 0],
            "output_tokens": [9_120_000, 2_310_440, 9_000],
            "reasoning_tokens": [0, 1_400_000, 0],
        }
    ),
    by_tenant=pl.DataFrame(
        {
            "tenant": ["acme", "(no tenant)"],
            "requests": [9_000, 3_044],
            "runs": [6_000, 650],
            "cost_usd": money("4000", "812.5"),
            "share": [0.831, 0.169],
        }
    ),
    by_day=pl.DataFrame(
        {
            "day": ["2026-10-01", "2026-10-02"],
            "requests": [6_000, 6_044],
            "cost_usd": money("2400", "2412.5"),
        }
    ),
    by_day_task=pl.DataFrame(
        {
            "day": ["2026-10-01"] * 3 + ["2026-10-02"] * 3,
            "task": ["classify", "research", "triage"] * 2,
            "cost_usd": money("900", "1300.2", "199.8", "890.25", "1010", "512.2458"),
        }
    ),
    logged=pl.DataFrame(
        {
            "model": ["gpt-5-mini"],
            "requests": [6_530],
            "agree": [6_400],
            "logged_usd": money("700"),
            "computed_usd": money("712.0458"),
            "cause": ["the log's price is cheaper: cache writes, fees or a tier left out, or a discount"],
        }
    ),
)

COVERAGE = Coverage(
    fates=FATES,
    calls={"exact": 11_600, "estimated": 134, "unpriced": 310},
    tokens={"exact": 1_290_000_000, "estimated": 4_000_000, "unpriced": 50_200},
    share=0.974,
    low_usd=Decimal("4790.12"),
    high_usd=Decimal(4834),
    unpriced=pl.DataFrame(
        {
            "model": ["in-house-7b"],
            "provider": [None],
            "requests": [310],
            "tokens": [50_200],
            "entry": ["in-house-7b:"],
        },
        schema_overrides={"provider": pl.String},
    ),
    sources=pl.DataFrame(
        {
            "path": ["logs/a.jsonl", "logs/b.jsonl"],
            "format": ["anthropic-messages", "openai-chat"],
            "requests": [5_204, 6_840],
            "convention": [None, "cached input inside input"],
            "proof": [None, "proved by 6,530 totals"],
        }
    ),
)

AUDIT = Audit(
    window=Window(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)),
    prices=Prices(as_of=date(2026, 11, 18), book_sha256="1a2b3c4d" * 8, stale_days=13),
    coverage=COVERAGE,
    spend=SPEND,
    findings=FINDINGS,
    clean=("batchable", "duplicate-requests", "failed-calls"),
    not_checked=(
        NotChecked("retry-waste", "no status field"),
        NotChecked("budget-overrun", "no budgets configured"),
        NotChecked("truncated-output", "no status field"),
    ),
    below_floor=2,
    suppressed=1,
    paths=("logs/",),
)

EMPTY = replace(
    AUDIT,
    findings=(),
    clean=(),
    not_checked=(),
    below_floor=0,
    suppressed=0,
    spend=Spend(
        Decimal(0),
        *(frame.clear() for frame in (SPEND.by_task, SPEND.by_model, SPEND.by_tenant, SPEND.by_day, SPEND.logged)),
    ),
    coverage=replace(
        COVERAGE,
        fates=Fates(),
        calls={},
        tokens={},
        share=0.0,
        low_usd=Decimal(0),
        high_usd=Decimal(0),
        unpriced=COVERAGE.unpriced.clear(),
        sources=COVERAGE.sources.clear(),
    ),
)
