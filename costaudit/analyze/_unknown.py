"""What the rules about unknown dollars share: calls whose cost lies in a range, by file of the log."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import msgspec
import polars as pl

from costaudit.analyze._analyzer import Claim, total_usd
from costaudit.finding import ZERO, Confidence, Lever, Severity

LARGE, NOTABLE = 0.2, 0.01  # share of the audited calls from which an unknown is severe, or worth a look


class Said(msgspec.Struct, frozen=True):
    """The words of one claim about unknown dollars."""

    subject: Mapping[str, str]
    title: str
    remedy: str
    because: tuple[str, ...]
    lever: Lever | None = None


def claim(said: Said, calls: pl.DataFrame, share: float, *, known_usd: Decimal = ZERO) -> Claim:
    """A claim that the cost of these calls is not known.

    calls      with `cause`, low_usd, high_usd [USD; high null: no upper bound]
    share      of the audited calls, 0..1
    known_usd  the part of the range that the total already counts; at stake is what may come on top of it
    """
    evidence = (
        calls.with_columns(tokens=pl.col("input_tokens").fill_null(0) + pl.col("output_tokens").fill_null(0))
        .group_by("source_file", "cause")
        .agg(
            calls=pl.len().cast(pl.Int64),
            tokens=pl.col("tokens").sum(),
            low_usd=pl.col("low_usd").sum(),
            high_usd=pl.when(pl.col("high_usd").null_count() == 0).then(pl.col("high_usd").sum()),
            at_risk_usd=(pl.col("high_usd") - pl.col("cost_usd").fill_null(ZERO)).sum(),
            source=pl.format("{}:{}", "source_file", pl.col("source_line").min()).first(),
        )
        .sort("at_risk_usd", "tokens", "source_file", "cause", descending=[True, True, False, False], nulls_last=True)
    )
    unbounded = calls["high_usd"].null_count() > 0
    stake = total_usd(evidence, "at_risk_usd")
    return Claim(
        subject=said.subject,
        title=said.title,
        remedy=said.remedy,
        severity=Severity.HIGH if share >= LARGE else Severity.MEDIUM if share >= NOTABLE else Severity.LOW,
        confidence=Confidence.HIGH,
        evidence=evidence,
        stake_usd=stake,
        stake_low=total_usd(calls, "low_usd") - known_usd,
        stake_high=stake,
        unbounded=unbounded,
        requests=calls.height,
        because=said.because,
        lever=said.lever,
    )
