"""Rule tenant-concentration: how much of the bill hangs on one tenant."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from random import Random

import polars as pl

from costaudit.analyze._analyzer import COST, NO_TASK, Analyzer, CannotCheck, Claim, option, total_usd
from costaudit.analyze._units import spend_rows
from costaudit.finding import Confidence, Kind, Lever, Severity
from costaudit.price.ledger import AT_ONCE, Ledger
from costaudit.price.spend import NO_TENANT
from costaudit.stats import Interval, gini, herfindahl, seed_of, theil_sen
from costaudit.words import percent, plural

ENOUGH = 8  # tenants from which spend against size has a slope
APART = math.log(4)  # of the largest tenant's calls over the smallest's; a slope over less is noise
DRAWS = 500
MOST = 400  # tenants in a bootstrap; the largest, as they decide the bill
TOP = (1, 5, 20)
WEEKS = 4  # whole weeks from which a tenant has a trend


class TenantConcentration(Analyzer):
    """One tenant carries a large part of the bill.

    ## What it finds
    The share of the largest tenant where it reaches `top_share`, with the shares of the top 5 and 20, the Gini
    coefficient and the Herfindahl index. Calls without a tenant are a row of their own, never spread over others.
    Where there are eight tenants or more it says whether spend grows faster than use.
    ## Why it costs money
    A plan priced for the average tenant loses on the largest one, and its growth is the growth of the bill.
    ## What to do
    Set a budget for that tenant, look at its tasks first, and price large plans by use.
    ## Example
    ```console
    $ costaudit analyze --select tenant-concentration sample_logs/analyzers/tenant-concentration.jsonl
    …
           $1.69  northwind: 60 % of the spend of 3 tenants, $1.69
                  medium  tenant-concentration · F-996894 · $1.69 · confidence high · 9 requests
    …
    ```
    """

    name = "tenant-concentration"
    kind = Kind.EXPOSURE
    levers = ("budget",)
    reads = ("started_at", "task", "tenant", "model", "cost_usd", "low_usd", "high_usd")

    top_share: float = option(0.40, "share", "Part of the spend of the largest tenant from which it is a finding.")

    def look(self, ledger: Ledger) -> Iterator[Claim]:
        calls = spend_rows(ledger.calls)
        tenants = by_tenant(calls)
        known = tenants.filter(pl.col("tenant") != NO_TENANT)
        if known.is_empty():
            raise CannotCheck("no tenant field: map one with `tenants:` in costaudit.yaml, e.g. from user or key_id")
        if known.height < 2:
            return
        total = total_usd(tenants, "spend_usd")
        largest = known.row(0, named=True)
        if total <= 0 or float(largest["spend_usd"] / total) < self.top_share:
            return
        mine = calls.filter(pl.col("tenant") == largest["tenant"])
        evidence = (
            mine.group_by(pl.col("task").fill_null(NO_TASK), pl.col("model").fill_null(""))
            .agg(calls=pl.len(), spend_usd=COST.sum())
            .sort("spend_usd", "task", "model", descending=[True, False, False])
        )
        share = float(largest["spend_usd"] / total)
        yield Claim(
            subject={"tenant": largest["tenant"]},
            title=f"{largest['tenant']}: {percent(share)} of the spend of {plural(known.height, 'tenant')}, {{usd}}",
            remedy="set a budget for this tenant, look at its tasks first, price large plans by use",
            lever=Lever("budget"),
            severity=Severity.MEDIUM if share >= 0.6 else Severity.LOW,
            confidence=Confidence.HIGH,
            evidence=evidence,
            because=(_shape(known), *_elasticity(known)),
            stake_usd=largest["spend_usd"],
            requests=mine.height,
            details={"tenants": tenants, "growth": _growth(calls, known["tenant"].head(3))},
        )


def by_tenant(calls: pl.DataFrame) -> pl.DataFrame:
    """tenant, calls, spend_usd, low_usd, high_usd (null: no upper bound); the largest first; adds up to the spend."""
    high = pl.coalesce("high_usd", "cost_usd")
    name = pl.col("tenant").fill_null(NO_TENANT)
    # Slices: what is said of each call, dollars three times over, is never held of all of them.
    parts = [
        part.group_by(name).agg(
            calls=pl.len(),
            spend_usd=COST.sum(),
            low_usd=pl.coalesce("low_usd", COST).sum(),
            high_usd=high.sum(),
            unknown=high.null_count(),
        )
        for part in (calls.slice(start, AT_ONCE) for start in range(0, max(1, calls.height), AT_ONCE))
    ]
    sums = pl.concat(parts).group_by("tenant").agg(pl.all().sum())
    return sums.select(
        *("tenant", "calls", "spend_usd", "low_usd"), pl.when(pl.col("unknown") == 0).then("high_usd").alias("high_usd")
    ).sort("spend_usd", "tenant", descending=[True, False])


def _shape(known: pl.DataFrame) -> str:
    values = known["spend_usd"].cast(pl.Float64).to_list()
    whole = math.fsum(values) or 1.0
    tops = ", ".join(f"top {n} {percent(math.fsum(values[:n]) / whole)}" for n in TOP if n < len(values) or n == 1)
    return f"{tops} of what tenants spend; Gini {gini(values):.2f}, Herfindahl {herfindahl(values):.2f}"


def elasticity(known: pl.DataFrame, level: float = 0.90) -> Interval | None:
    """How spend grows with use: slope of ln spend on ln calls over tenants, with an interval bootstrapped over tenants;
    None under eight tenants, where they are of much the same size, and where they are two clouds.

    known  tenant, calls, spend_usd of named tenants, the largest first
    """
    points = [
        (math.log(calls), math.log(float(usd)))
        for calls, usd in known.select("calls", "spend_usd").head(MOST).iter_rows()
        if usd > 0
    ]
    sizes = sorted(x for x, _ in points)
    if len(points) < ENOUGH or sizes[-1] - sizes[0] < APART or _two_clouds(sizes):
        return None
    slope = _slope(points)
    random = Random(seed_of("tenant-concentration", "elasticity"))
    draws = DRAWS if len(points) <= 100 else DRAWS // 5  # the slope takes all pairs of tenants
    samples = ([points[int(random.random() * len(points))] for _ in points] for _ in range(draws))
    drawn = sorted(_slope(sample) for sample in samples if len({x for x, _ in sample}) > 1)
    tail = int((1 - level) / 2 * len(drawn))
    return Interval(slope, drawn[tail], drawn[-1 - tail])


def _two_clouds(sizes: Sequence[float]) -> bool:
    """Whether one gap takes more than half of the range, and most pairs of tenants lie across it.

    Then the slope compares two kinds of customers, who differ in more than their size; between them nothing is known.
    """
    gap, below = max((high - low, place) for place, (low, high) in enumerate(pairwise(sizes), start=1))
    across, pairs = below * (len(sizes) - below), len(sizes) * (len(sizes) - 1) / 2
    return gap > (sizes[-1] - sizes[0]) / 2 and across > pairs / 2


def _elasticity(known: pl.DataFrame) -> tuple[str, ...]:
    found = elasticity(known)
    if found is None:
        return ()
    words = "dearer with scale" if found.low > 1 else "cheaper with scale" if found.high < 1 else "no dearer with scale"
    return (f"{words}: spend grows as calls^{found.value:.2f} ({found.low:.2f} to {found.high:.2f})",)


def _slope(points: list[tuple[float, float]]) -> float:
    return theil_sen([x for x, _ in points], [y for _, y in points])


def _growth(calls: pl.DataFrame, tenants: pl.Series) -> pl.DataFrame:
    """The weekly spend of the largest tenants, its trend, and four weeks ahead; nothing under four whole weeks."""
    schema = {"tenant": pl.String, "usd_a_week": pl.Float64, "trend_usd": pl.Float64, "in_four_weeks_usd": pl.Float64}
    first = calls["started_at"].min()
    rows = []
    for tenant in tenants if first is not None else ():
        mine = calls.filter((pl.col("tenant") == tenant) & pl.col("started_at").is_not_null())
        week = ((pl.col("started_at") - first).dt.total_seconds() // (7 * 86_400)).alias("week")
        last = calls.select(week).max().item()
        weekly = dict(mine.group_by(week).agg(COST.sum().cast(pl.Float64)).iter_rows())
        values = [weekly.get(n, 0.0) for n in range(int(last))]  # the last week is not whole
        if len(values) >= WEEKS:
            trend = theil_sen(range(len(values)), values)
            level = math.fsum(values[-WEEKS:]) / WEEKS
            rows.append((tenant, level, trend, max(0.0, level + trend * (WEEKS + (WEEKS - 1) / 2))))
    return pl.DataFrame(rows, schema=schema, orient="row")
