"""Rule cost-regression: since when a unit of work costs more, and what changed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from itertools import pairwise

import msgspec
import polars as pl
from msgspec.structs import replace

from costaudit.analyze._analyzer import Analyzer, CannotCheck, Claim, columns_of, need, option, total_usd
from costaudit.analyze._places import places
from costaudit.analyze._segments import FIRM as SHUFFLES
from costaudit.analyze._segments import Step, came_back, lasting, only_down, steps
from costaudit.analyze._series import TASK, Series, at_one_price, partial_day, series, spending, work
from costaudit.analyze._units import spend_rows, with_unit
from costaudit.finding import Confidence, Kind, Severity
from costaudit.price.bridge import FACTORS, between
from costaudit.price.engine import READS as PRICING
from costaudit.price.exact import amount, sum_usd
from costaudit.price.ledger import Ledger
from costaudit.price.mix import mix
from costaudit.schema import USD
from costaudit.stats import benjamini_hochberg, change_point, mann_kendall, mean_ratio, seed_of, theil_sen
from costaudit.words import rise

FOLLOW = 5  # points after a change before it is more than something to watch
LEAST = 12  # points of a series
FIRM = 0.001  # p-value, with FIRM_POINTS on either side, from which a change is certain
FIRM_POINTS = 10
SLOPE_OVER_STEP = Decimal("1.5")  # times the dollars of the largest step, from which a rise is a slope
STAIRS = 3  # upward changes in a row that are a slope rather than steps
PLACES = Decimal(1).scaleb(-18)
ZERO = Decimal(0)


class Change(msgspec.Struct, frozen=True):
    """A series that got dearer.

    start, index, end  points [start, index) are the level before, [index, end) what followed
    p                  of seeing it by chance
    low, high          range of the first point after
    drift              it came slowly
    """

    series: Series
    start: int
    index: int
    end: int
    p: float
    low: int
    high: int
    ratio: float
    drift: bool


class CostRegression(Analyzer):
    """Tasks whose unit of work has become dearer, since when, and through what.

    ## What it finds
    A lasting change in what one unit of a task costs (a run, else a request), day by day, at constant prices. More
    traffic is not a regression; neither is a price change (`price-change`), another mix of tasks or tenants, a weekly
    wave or one bad day (`spend-anomaly`). The range of days in which the change can have happened is printed.
    ## Why it costs money
    A longer prompt, one more step a run or a lost cache hit is billed for every unit from that day on, and totals that
    grow anyway hide it.
    ## What to do
    Look at what was deployed on the days printed; the bridge says which factor moved. Put the task under `costaudit
    check` so that the next change fails the build that makes it.
    ## Example
    ```console
    $ costaudit analyze --select cost-regression sample_logs/analyzers/cost-regression.jsonl
    …
           $1.98  answer: a unit costs +86 % since 2026-09-20, mostly input tokens; $1.98 beyond the
                  cost before
                  medium  cost-regression · F-54797a · $1.74 to $2.22 · confidence medium ·
    …
    ```
    """

    name = "cost-regression"
    kind = Kind.EXCESS
    reads = (
        *("request_id", "source_file", "source_line", "run_id", "task", "instance_id", "tenant", "cost_usd"),
        *("price_status", "price_entry", "high_usd", "trust"),
        *PRICING,
    )

    alpha: float = option(0.01, "probability", "False alarms allowed a series.")
    min_change: float = option(0.10, "share", "Change of unit cost that matters.")
    min_units: int = option(20, "units a day", "Units that make a day a point.")
    min_units_bin: int = option(5, "units", "Units of a bin, where a task has too few a day.")
    q: float = option(0.10, "share", "False discoveries allowed among all series of an audit.")

    def look(self, ledger: Ledger) -> Iterator[Claim]:
        calls = spending(ledger)
        need(calls, {"started_at": "no call has a time", "cost_usd": "no call has a price"})
        zone = ledger.settings.zone
        floor = ledger.settings.floor(total_usd(calls))
        constant = at_one_price(calls, ledger)
        units = work(constant, zone)
        if (last := partial_day(calls, zone)) is not None:
            units = units.filter(pl.col("day") != last)
        found, looked = self._changes(units, floor)
        compared = [] if ledger.baseline is None else list(self._months(ledger, units, looked))
        if not looked and not compared:
            raise CannotCheck(f"no task has {LEAST} days (or bins) with enough units")
        for change in found:
            claim = _claim(change, units, constant, ledger)
            if claim is not None:
                yield claim
        yield from compared

    def _changes(self, units: pl.DataFrame, floor: Decimal) -> tuple[list[Change], set[str]]:
        """The changes that survive false-discovery control over all series, and the tasks that could be looked at.

        A tenant is looked at on its own only where its task as a whole has not changed.
        """
        tested: list[tuple[float, Change | None]] = []
        looked: set[str] = set()
        for task, mine in _worth(units, "task", floor):
            one = self._series(mine, task, None)
            if one is None:
                continue
            looked.add(task)
            found = self._test(one)
            tested.append(found)
            if found[1] is not None or mine["tenant"].null_count() == mine.height:
                continue
            for tenant, part in _worth(mine.drop_nulls("tenant"), "tenant", floor):
                if (of_tenant := self._series(part, task, tenant)) is not None:
                    tested.append(self._test(of_tenant))
        tested = _sharpened(tested, self.q)
        kept = benjamini_hochberg([p for p, _ in tested])
        return [c for (_, c), p in zip(tested, kept, strict=True) if c is not None and p <= self.q], looked

    def _series(self, units: pl.DataFrame, task: str, tenant: str | None) -> Series | None:
        return series(units, task, tenant, a_day=self.min_units, a_bin=self.min_units_bin, least=LEAST)

    def _test(self, one: Series) -> tuple[float, Change | None]:
        """The p-value of a series, and its costliest change upwards."""
        values = one.logs
        seed = seed_of(self.name, *one.subject.values())
        found = steps(values, seed, alpha=self.alpha, min_change=self.min_change, follow=FOLLOW)
        least = math.log1p(self.min_change)
        rises = [
            lasting(s, found, values, least) for s in found if s.ratio > 1 and not came_back(s, found, values, least)
        ]
        slope = None if only_down(found) else self._slope(one)
        if rises and not (len(rises) == len(found) >= STAIRS):
            best = max(rises, key=lambda s: (_excess(one, s), -s.index))
            step = Change(one, best.start, best.index, best.end, best.p, best.low, best.high, best.ratio, False)
            # The last stretch of a slope looks like a step, and is a small part of what it cost.
            if slope is None or _beyond_usd(slope) <= SLOPE_OVER_STEP * _beyond_usd(step):
                return step.p, step
        if slope is not None:
            return slope.p, slope
        return (min((s.p for s in found), default=1.0), None)

    def _slope(self, one: Series) -> Change | None:
        """A series that rises all along; None where it does not, or by too little."""
        values = one.logs
        settled = values[:-FOLLOW]  # a jump at the very end is not a slope, it is to be watched
        p = mann_kendall(settled)
        risen = theil_sen(range(len(settled)), settled) * (len(settled) - 1)
        if p > self.alpha or risen < math.log1p(self.min_change):
            return None
        early = max(1, len(values) // 4)
        return Change(one, 0, early, len(values), p, early, len(values) - 1, math.exp(risen), True)

    def _months(self, ledger: Ledger, units: pl.DataFrame, looked: set[str]) -> Iterator[Claim]:
        """Tasks with too few points for a series, against the window before."""
        assert ledger.baseline is not None
        before = work(spend_rows(ledger.baseline), ledger.settings.zone)
        for task in sorted(set(units["task"].unique()) - looked):
            sides = [f.filter(pl.col("task") == task)["cost_usd"].cast(pl.Float64).to_list() for f in (before, units)]
            if min(len(side) for side in sides) < self.min_units_bin or not all(map(any, sides)):
                continue
            ratio = mean_ratio(sides[0], sides[1])
            interval = ratio.student()
            if interval.low > 1 + self.min_change:
                yield _against_baseline(task, before, units, interval.low, interval.high, ratio.ratio)


def _sharpened(tested: list[tuple[float, Change | None]], q: float) -> list[tuple[float, Change | None]]:
    """The same with more shuffles where the least p they can give is too large to survive among so many series."""
    least, draws = 1 / (1 + SHUFFLES), math.ceil(3 * len(tested) / q)
    if len(tested) * least <= q:
        return tested
    sharp: list[tuple[float, Change | None]] = []
    for p, change in tested:
        if change is not None and not change.drift and p <= least:
            values = change.series.logs[change.start : change.end]
            p = change_point(values, seed_of(*change.series.subject.values()), draws=draws).p
            change = replace(change, p=p)
        sharp.append((p, change))
    return sharp


def _worth(units: pl.DataFrame, by: str, floor: Decimal) -> Iterator[tuple[str, pl.DataFrame]]:
    """Groups that spend enough to hold a finding, by name."""
    groups = places(units.select(by, "cost_usd"), [by], spend=pl.sum("cost_usd"))
    groups = groups.filter(pl.col("spend") >= amount(floor))
    for nth, name in enumerate(groups[by]):
        yield name, units[groups["at"][nth]]


def _excess(one: Series, step: Step) -> Decimal:
    return sum_usd(_beyond(one.points, step.start, step.index, step.end)["excess_usd"])


def _beyond_usd(change: Change) -> Decimal:
    return sum_usd(_beyond(change.series.points, change.start, change.index, change.end)["excess_usd"])


def _beyond(points: pl.DataFrame, start: int, index: int, end: int) -> pl.DataFrame:
    """Points [index, end) with the unit cost before and what they cost beyond it; sums are exact."""
    before = points.slice(start, index - start)
    usual = (sum_usd(before["cost_usd"]) / Decimal(int(before["units"].sum()))).quantize(PLACES)
    after = points.slice(index, end - index)
    excess = [usd - usual * n for usd, n in after.select("cost_usd", "units").iter_rows()]
    return after.with_columns(usd_per_unit_before=pl.lit(usual, USD), excess_usd=pl.Series(excess, dtype=USD))


def _claim(change: Change, units: pl.DataFrame, constant: pl.DataFrame, ledger: Ledger) -> Claim | None:
    """The claim of a change; None where only the mix of tenants moved, or nothing was lost.

    constant   the spending calls, as `at_one_price` gives them
    """
    one, points = change.series, change.series.points
    beyond = _beyond(points, change.start, change.index, change.end)
    excess = sum_usd(beyond["excess_usd"])
    sides = [_within(units, one, points, a, b) for a, b in ((change.start, change.index), (change.index, change.end))]
    if excess <= ZERO or _only_mix(sides[0], sides[1], change.ratio):
        return None
    calls = with_unit(constant.select("row", "run_id", TASK, "cost_usd").filter(pl.col("task") == one.task))
    now = pl.lit(constant["started_at"].max(), constant.schema["started_at"])
    bars = _bars(sides, calls, now, ledger)
    since, until = points["day"][change.low], points["last_day"][change.high]
    low, high = _ends(points, change, excess)
    certain = change.p <= FIRM and min(change.index - change.start, change.end - change.index) >= FIRM_POINTS
    confidence = Confidence.LOW if change.drift else Confidence.HIGH if certain else Confidence.MEDIUM
    opening = beyond["first"].filter(beyond["first"].is_in(calls["unit"].implode()))
    first = ledger.at(opening, ("request_id", "source_file", "source_line"))
    evidence = beyond.join(first, left_on="first", right_on="row", how="left", maintain_order="left").select(
        "day",
        "last_day",
        "units",
        "cost_usd",
        "usd_per_unit_before",
        "excess_usd",
        "request_id",
        pl.concat_str("source_file", pl.lit(":"), "source_line").alias("source"),
    )
    name = one.task if one.tenant is None else f"{one.task} of {one.tenant}"
    factor = bars["factor"][0] if bars.height else "its mix"
    when = f"slowly since {since}" if change.drift else f"since {points['day'][change.index]}"
    if change.end < points.height:
        when = f"from {points['day'][change.index]} to {points['last_day'][change.end - 1]}"
    days = f"on {since}" if since == until else f"between {since} and {until}"
    return Claim(
        subject=one.subject,
        title=f"{name}: a unit costs {rise(change.ratio - 1)} {when}, mostly {factor}; {{usd}} beyond the cost before",
        remedy=f"look at what changed {days}: {factor}; guard the task with `costaudit check`",
        severity=_severity(change, confidence),
        confidence=confidence,
        evidence=evidence.sort("day"),
        because=_because(change, since, until),
        stake_usd=excess,
        stake_low=low,
        stake_high=high,
        requests=int(beyond["calls"].sum()),
        details={
            "days": points.select("day", "last_day", "units", "cost_usd", segment=_segments(change)),
            "bridge": bars,
        },
    )


def _segments(change: Change) -> pl.Series:
    """Of each point: compared with, dearer, or on the far side of another change of the same series."""
    ends = (0, change.start, change.index, change.end, change.series.points.height)
    names = ("earlier", "before", "after", "later")
    return pl.Series([name for name, (a, b) in zip(names, pairwise(ends), strict=True) for _ in range(a, b)])


def _severity(change: Change, confidence: Confidence) -> Severity:
    if confidence is Confidence.LOW:
        return Severity.LOW
    return Severity.HIGH if confidence is Confidence.HIGH and change.ratio >= 1.2 else Severity.MEDIUM


def _because(change: Change, since: date, until: date) -> tuple[str, ...]:
    points = change.series.points
    n = change.index - change.start, change.end - change.index
    kind = "days" if change.series.daily else "bins of consecutive units"
    said = f"{n[0]} {kind} before and {n[1]} after, {int(points['units'].sum()):,} units, p = {change.p:.3g}"
    when = f"the change lies between {since} and {until}" if since < until else f"the change lies on {since}"
    when = "a trend, no step: the start is a guess" if change.drift else when
    return said, when, "constant prices; weekly pattern and partial last day taken out"


def _within(units: pl.DataFrame, one: Series, points: pl.DataFrame, start: int, end: int) -> pl.DataFrame:
    """The units of a stretch of a series."""
    mine = pl.col("task") == one.task
    if one.tenant is not None:
        mine = mine & (pl.col("tenant") == one.tenant)
    if one.daily:
        return units.filter(mine & pl.col("day").is_in(points["day"].slice(start, end - start).implode()))
    size = points["units"]
    ahead = int(size.head(start).sum())
    return units.filter(mine).slice(ahead, int(size.slice(start, end - start).sum()))


def _only_mix(before: pl.DataFrame, after: pl.DataFrame, ratio: float) -> bool:
    """Whether each tenant costs what it did, and only their shares moved."""
    if before["tenant"].n_unique() < 2:
        return False
    mean = pl.col("cost_usd").cast(pl.Float64).mean()
    sides = [f.group_by("tenant").agg(n=pl.len(), mean=mean) for f in (before, after)]
    both = sides[0].join(sides[1], on="tenant", suffix="_after", nulls_equal=True)
    if both.is_empty():
        return True  # not one tenant of before is left
    then, now = both.select(
        then=(pl.col("n") * pl.col("mean")).sum(), now=(pl.col("n") * pl.col("mean_after")).sum()
    ).row(0)
    return bool(then > 0 and math.log(max(now, 1e-300) / then) < math.log(ratio) / 2)


def _bars(sides: list[pl.DataFrame], calls: pl.DataFrame, now: pl.Expr, ledger: Ledger) -> pl.DataFrame:
    """The bridge of unit cost between two stretches: factor, group, usd_per_unit; the largest rise first.

    calls   of the task: row, unit, task, cost_usd
    """
    read = [name for name in columns_of(ledger) if name not in ("row", "task", "cost_usd")]
    mixes = []
    for units in sides:
        mine = calls.join(units.select("unit"), on="unit", how="semi", maintain_order="left")
        told = ledger.at(mine["row"], read).with_columns(mine["task", "cost_usd"].get_columns())
        mixes.append(mix(told.with_columns(now.alias("started_at")), ledger.book).per_unit(units["task"][0]))
    rows = [(f, group, usd) for f, group, usd in between(mixes[0], mixes[1]).by_factor() if FACTORS[f] != "growth"]
    bars = pl.DataFrame(rows, schema={"factor": pl.String, "group": pl.String, "usd_per_unit": USD}, orient="row")
    return bars.sort("usd_per_unit", "factor", descending=[True, False])


def _ends(points: pl.DataFrame, change: Change, excess: Decimal) -> tuple[Decimal, Decimal]:
    """The excess at the ends of the 90 % interval of the ratio of unit costs, day by day."""
    per_unit = (points["cost_usd"].cast(pl.Float64) / points["units"]).to_list()
    try:
        ratio = mean_ratio(per_unit[change.start : change.index], per_unit[change.index : change.end])
    except ValueError:  # fewer than two points a side
        return ZERO, excess
    interval = ratio.student()
    if interval.value <= 1:
        return min(ZERO, excess), excess
    scale = [Decimal(repr((end - 1) / (interval.value - 1))) for end in (interval.low, interval.high)]
    low, high = ((excess * s).quantize(PLACES) for s in scale)
    return max(low, ZERO), high


def _against_baseline(
    task: str, before: pl.DataFrame, units: pl.DataFrame, low: float, high: float, ratio: float
) -> Claim:
    then, now = (f.filter(pl.col("task") == task) for f in (before, units))
    usual = (sum_usd(then["cost_usd"]) / then.height).quantize(PLACES)
    excess = sum_usd(now["cost_usd"]) - usual * now.height
    ends = [(usual * now.height * Decimal(repr(end - 1))).quantize(PLACES) for end in (low, high)]
    evidence = pl.DataFrame(
        {
            "task": [task],
            "units_before": [then.height],
            "units": [now.height],
            "usd_per_unit_before": pl.Series([usual], dtype=USD),
            "excess_usd": pl.Series([excess], dtype=USD),
        }
    )
    return Claim(
        subject={"task": task},
        title=f"{task}: a unit costs {rise(ratio - 1)} against the window before, {{usd}} more",
        remedy="look at what was deployed between the two windows; `costaudit report` shows the bridge",
        severity=Severity.MEDIUM,
        confidence=Confidence.MEDIUM,
        evidence=evidence,
        because=(f"{then.height} units before, {now.height} now: too few days for a date",),
        stake_usd=excess,
        stake_low=ends[0],
        stake_high=ends[1],
        requests=int(now["calls"].sum()),
    )
