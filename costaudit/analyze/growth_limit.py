"""Rule growth-limit: which declared rate limit breaks first when the traffic grows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

import polars as pl

from costaudit.analyze._analyzer import Analyzer, CannotCheck, Claim, need, total_usd
from costaudit.analyze._limits import KINDS, Limit, limits
from costaudit.analyze._units import spend_rows
from costaudit.finding import Confidence, Kind, Severity
from costaudit.price.ledger import Ledger
from costaudit.schema import USD

PEAK = 0.999  # quantile of the minutes that counts as the peak: a minute in a thousand may be retried
LEAST = 1_440  # minutes of log: a day, or the peak hour may not have been seen
PLACES = Decimal(1).scaleb(-18)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True)
class GrowthLimit(Analyzer):
    """Rate limits that break before the growth you plan for is reached.

    ## What it finds
    For each limit of the file `limits:` in costaudit.yaml, the requests and tokens of the fullest minutes (99.9 % of
    all minutes, quiet ones included), and the growth factor at which the limit is reached, with the hour and weekday of
    the peak. It speaks where that factor is below the largest one planned (`forecast: growth:`). The forecast of the
    spend itself is not part of this rule.
    ## Why it costs money
    What is refused is retried, moved to a dearer model or lost, in the hour in which most customers are there.
    ## What to do
    Raise the limit before that growth, spread the load over the hour, batch what can wait (`batchable`), or move a task
    to a model with room.
    ## Example
    ```console
    $ costaudit analyze --config sample_logs/analyzers/growth-limit.yaml sample_logs/analyzers/growth-limit.jsonl
    …
           $7.51  claude-sonnet-4-5: tokens per minute break at 3.0× today's traffic, $7.51 of it
                  refused at 10×
                  low     growth-limit · F-bfad53 · $7.51 · confidence medium · 41 requests
    …
    ```
    """

    name = "growth-limit"
    kind = Kind.EXPOSURE
    reads = ("started_at", "provider", "model", "input_tokens", "output_tokens", "cost_usd")

    def look(self, ledger: Ledger) -> Iterator[Claim]:
        if ledger.settings.limits is None:
            raise CannotCheck("no limits file: name one with `limits:` in costaudit.yaml (requests, tokens per minute)")
        calls = spend_rows(ledger.calls).filter(pl.col("started_at").is_not_null())
        need(calls, {"started_at": "no call has a time", "model": "no model is named"})
        span = (
            int(calls.select((pl.col("started_at").max() - pl.col("started_at").min()).dt.total_minutes()).item()) + 1
        )
        if span < LEAST:
            raise CannotCheck("under a day of log: the peak hour may not have been seen")
        names = calls.select(pl.col("provider").fill_null(""), "model").drop_nulls().unique().sort("provider", "model")
        planned = sorted(ledger.settings.forecast.growth)
        for limit in limits(ledger.settings.limits):
            mine = names.filter(
                pl.Series([limit.holds(provider, model) for provider, model in names.iter_rows()], dtype=pl.Boolean)
            )
            used = calls.with_columns(pl.col("provider").fill_null("")).join(mine, on=["provider", "model"], how="semi")
            if used.is_empty():
                continue
            claim = _claim(limit, used, span, planned, str(ledger.settings.zone))
            if claim is not None:
                yield claim


def _claim(limit: Limit, calls: pl.DataFrame, span: int, planned: list[float], zone: str) -> Claim | None:
    """The limit that breaks first, where it does before the largest growth planned."""
    minutes = (
        calls.group_by(pl.col("started_at").dt.truncate("1m").alias("minute"))
        .agg(
            requests_per_minute=pl.len().cast(pl.Int64),
            tokens_per_minute=(pl.col("input_tokens").fill_null(0) + pl.col("output_tokens").fill_null(0)).sum(),
            cost_usd=pl.col("cost_usd").sum(),
        )
        .sort("minute")
    )
    rows = []
    for kind in KINDS:
        allowed = getattr(limit, kind)
        peak = _quantile(minutes[kind], span)
        if allowed is not None and peak > 0:
            rows.append((allowed / peak, kind, allowed, peak))
    if not rows or min(rows)[0] >= planned[-1]:
        return None
    factor, kind, allowed, peak = min(rows)
    growth = next(f for f in planned if f > factor)
    # Of a minute that would ask for more than the limit, the part above it is refused.
    over = minutes.with_columns(part=(1 - allowed / (pl.col(kind) * growth)).clip(0)).filter(pl.col("part") > 0)
    refused = [
        (usd * Decimal(repr(growth)) * Decimal(repr(part))).quantize(PLACES)
        for usd, part in over.select("cost_usd", "part").iter_rows()
    ]
    local = pl.col("minute").dt.convert_time_zone(zone)
    evidence = over.select(
        local.dt.replace_time_zone(None).alias("minute"), pl.col(kind).alias("now"), pl.lit(allowed).alias("limit")
    ).with_columns(refused_usd=pl.Series(refused, dtype=USD))
    evidence = evidence.sort("refused_usd", "minute", descending=[True, False])
    fullest = minutes.sort(kind, "minute", descending=[True, False]).select(local).item(0, 0)
    words = kind.replace("_", " ")
    return Claim(
        subject={"limit": limit.match},
        title=f"{limit.match}: {words} break at {factor:.1f}× today's traffic, {{usd}} of it refused at {growth:g}×",
        remedy=f"raise the limit, spread the load around {fullest:%H}:00, or batch what can wait",
        severity=Severity.HIGH if factor < 1 else Severity.MEDIUM if factor < planned[0] else Severity.LOW,
        confidence=Confidence.MEDIUM,
        evidence=evidence,
        because=(
            f"peak of {peak:,} {words} (99.9 % of {span:,} minutes), limit {allowed:,}; "
            f"fullest on a {WEEKDAYS[fullest.weekday()]} at {fullest:%H:%M}",
            "traffic is assumed to grow in every minute alike",
        ),
        stake_usd=total_usd(evidence, "refused_usd"),
        requests=calls.height,
        details={
            "limits": pl.DataFrame(sorted(rows), schema=["breaks_at_growth", "what", "limit", "peak"], orient="row")
        },
    )


def _quantile(values: pl.Series, span: int) -> int:
    """The 99.9 % quantile of all minutes of a window, those without a call included."""
    place = math.ceil(PEAK * span) - (span - values.len())  # rank among the minutes that have calls
    return int(values.sort()[place - 1]) if place > 0 else 0
