"""Rule growth-limit: which declared rate limit breaks first when the traffic grows, and growth out of proportion."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, localcontext

import polars as pl

from costaudit.analyze import _peaks
from costaudit.analyze._analyzer import Analyzer, CannotCheck, Claim, Turn, need, option, total_usd
from costaudit.analyze._growth import DAYS_OF_MONTH, TRAFFIC, growth, last_days, lengthening, project, proved
from costaudit.analyze._limits import Limit, limits
from costaudit.analyze._units import spend_rows
from costaudit.finding import Confidence, Kind, Severity
from costaudit.price.ledger import Ledger
from costaudit.price.mix import EXACT
from costaudit.schema import USD
from costaudit.stats import Interval

LEAST = 1_440  # minutes of log: a day, or the peak hour may not have been seen
PLACES = Decimal(1).scaleb(-18)


class GrowthLimit(Analyzer):
    """Rate limits that break before the growth you plan for is reached.

    ## What it finds
    For each limit of the file `limits:` in costaudit.yaml, the requests and tokens of the fullest minutes (99.9 % of
    all minutes, quiet ones included), and the growth factor at which the limit is reached, with the hour and weekday of
    the peak. It speaks where that factor is below the largest one planned (`forecast: growth:`). Limits or not, it
    replays the last four weeks at that growth, and speaks where they would cost more than in proportion: tenants that
    get dearer with use, prompts that get longer. `costaudit forecast` prints the whole plan.
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
    reads = (
        *("started_at", "provider", "model", "task", "tenant", "input_tokens", "output_tokens"),
        *("cache_read_tokens", "price_entry", "cost_usd", "low_usd", "high_usd"),
    )
    out_of_proportion: float = option(0.1, "share", "Cost beyond proportion to the growth from which it is named.")

    def turns(self) -> tuple[Turn, ...]:
        return Turn(None, self.kind, self.look), Turn(None, self.kind, self.beyond)

    def look(self, ledger: Ledger) -> Iterator[Claim]:
        if ledger.settings.limits is None:
            raise CannotCheck("no limits file: name one with `limits:` in costaudit.yaml (requests, tokens per minute)")
        calls = spend_rows(ledger.calls).filter(pl.col("started_at").is_not_null())
        need(calls, {"started_at": "no call has a time", "model": "no model is named"})
        if _peaks.span_of(calls) < LEAST:
            raise CannotCheck("under a day of log: the peak hour may not have been seen")
        planned = sorted(ledger.settings.forecast.growth)
        for limit in limits(ledger.settings.limits):
            used = _peaks.used(limit, calls)
            claim = None if used.is_empty() else _claim(limit, used, calls, planned, str(ledger.settings.zone))
            if claim is not None:
                yield claim

    def beyond(self, ledger: Ledger) -> Iterator[Claim]:
        """What the largest growth planned costs more than in proportion."""
        calls = spend_rows(ledger.calls)
        factor, by = max(ledger.settings.forecast.growth), ledger.settings.forecast.growth_by
        context = lengthening(calls, ledger.settings.forecast.horizon_weeks)
        if factor <= 1 or not (context or (by == TRAFFIC and proved(calls))):
            return
        base, days = last_days(spend_rows(ledger.reading(None).calls), ledger.settings.zone)  # prices read more columns
        none = pl.Series("row", [], base.schema["row"])
        found = project(base, ledger.book, factor=factor, by=by, context=context, runaway=none)
        grown = growth(found, DAYS_OF_MONTH / days, Interval(1.0, 1.0, 1.0))
        with localcontext(prec=EXACT):
            proportion = (Decimal(repr(factor)) - 1) * grown.now_usd
            if grown.then_usd - grown.now_usd - proportion <= Decimal(repr(self.out_of_proportion)) * proportion:
                return
        rows = [(name, usd.quantize(PLACES)) for name, usd, _, _ in grown.drivers]
        rows.append(("in proportion", -proportion.quantize(PLACES)))
        evidence = pl.DataFrame(rows, schema={"driver": pl.String(), "usd": USD}, orient="row")
        times = float(grown.then_usd / grown.now_usd)
        yield Claim(
            subject={"growth": f"{factor:g}"},
            title=f"{factor:g} times the {by} costs {times:.1f} times as much, {{usd}} a month beyond proportion",
            remedy="look at what grows with use: `costaudit forecast` names the drivers; trim histories, cap tenants",
            severity=Severity.LOW,
            confidence=Confidence.LOW,
            evidence=evidence.sort("usd", "driver", descending=[True, False]),
            because=("use of the last days scaled; drivers by replay of the log",),
            stake_usd=total_usd(evidence, "usd"),
            requests=base.height,
        )


def _claim(limit: Limit, calls: pl.DataFrame, every: pl.DataFrame, planned: list[float], zone: str) -> Claim | None:
    """The limit that breaks first, where it does before the largest growth planned."""
    span = _peaks.span_of(every)
    minutes = _peaks.minutes(limit, calls)
    uses = sorted(_peaks.uses(limit, calls, every, zone), key=lambda use: (use.breaks_at, use.what))
    if not uses or uses[0].breaks_at >= planned[-1]:
        return None
    first = uses[0]
    factor, kind, allowed, peak = first.breaks_at, first.what, first.allowed, first.peak
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
    fullest = first.fullest
    words = kind.replace("_", " ")
    return Claim(
        subject={"limit": limit.match},
        title=f"{limit.match}: {words} break at {factor:.1f}× today's traffic, {{usd}} of it refused at {growth:g}×",
        remedy=f"raise the limit, spread the load around {fullest:%H}:00, or batch what can wait",
        severity=Severity.HIGH if factor < 1 else Severity.MEDIUM if factor < planned[0] else Severity.LOW,
        confidence=Confidence.MEDIUM,
        evidence=evidence,
        because=(
            f"peak of {peak:,} {words} (99.9 % of {span:,} minutes; in as many to come {first.low:,.0f} to "
            f"{first.high:,.0f}, 95 % interval), limit {allowed:,}; "
            f"fullest on a {_peaks.WEEKDAYS[fullest.weekday()]} at {fullest:%H:%M}",
            "traffic is assumed to grow in every minute alike",
        ),
        stake_usd=total_usd(evidence, "refused_usd"),
        requests=calls.height,
        details={
            "limits": pl.DataFrame(
                [(use.breaks_at, use.what, use.allowed, use.peak, use.low, use.high) for use in uses],
                schema=["breaks_at_growth", "what", "limit", "peak", "peak_low", "peak_high"],
                orient="row",
            )
        },
    )
