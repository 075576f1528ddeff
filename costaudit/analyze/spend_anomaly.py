"""Rule spend-anomaly: a day (or hour) unlike its neighbours."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from statistics import median

import polars as pl

from costaudit.analyze._analyzer import Analyzer, CannotCheck, Claim, need, option, total_usd
from costaudit.analyze._places import places
from costaudit.analyze._series import partial_day, spending, work
from costaudit.finding import Confidence, Kind, Severity
from costaudit.price.engine import READS as PRICING
from costaudit.price.exact import amount
from costaudit.price.ledger import Ledger
from costaudit.schema import USD

DAYS, HOURS = 14, 72  # points needed
SEASONS = 3  # times a weekday (an hour) must have been seen before it has a level of its own
LEAST_SPREAD = 0.05  # of logarithms: a series that never moved calls nothing under 1.22× unusual at z 4
PLACES = Decimal(1).scaleb(-18)


class SpendAnomaly(Analyzer):
    """Single days that cost far more than their weekday usually does.

    ## What it finds
    Days on which a task's volume or its unit cost stood out while the days around were normal (a lasting change is
    `cost-regression`), and what that cost beyond the usual. With less than two weeks of log, hours instead of days.
    Weekly waves, the last day where it is cut, and month-ends that were high before are not unusual.
    ## Why it costs money
    A stuck job, a double import or a replayed queue burns a week's budget overnight and is forgotten before the bill.
    ## What to do
    Look at the day's tenants and runs. If it was planned, suppress the finding with the reason; if not, set a daily
    budget.
    ## Example
    ```console
    $ costaudit analyze --select spend-anomaly sample_logs/analyzers/spend-anomaly.jsonl
    …
           $1.17  import: 2026-09-18 stands out, growth, not price: volume ×7.0, unit cost flat; $1.17
                  beyond the usual
                  medium  spend-anomaly · F-52732d · $1.17 · confidence medium · 14 requests
    …
    ```
    """

    name = "spend-anomaly"
    kind = Kind.EXCESS
    reads = (
        *("run_id", "task", "tenant", "cost_usd", "price_status"),
        *PRICING,
    )

    z: float = option(4.0, "robust standard deviations", "Distance from the usual that stands out.")

    def look(self, ledger: Ledger) -> Iterator[Claim]:
        calls = spending(ledger)
        need(calls, {"started_at": "no call has a time", "cost_usd": "no call has a price"})
        zone = ledger.settings.zone
        floor = ledger.settings.floor(total_usd(calls))
        units = work(calls, zone)
        if units.is_empty():
            raise CannotCheck("no unit of work has both a time and a price")
        days = int(units.select((pl.col("day").max() - pl.col("day").min()).dt.total_days()).item()) + 1
        daily = days >= DAYS
        if daily and (last := partial_day(calls, zone)) is not None:
            units = units.filter(pl.col("day") != last)
        local = pl.col("started_at").dt.convert_time_zone(str(zone))
        # With its zone: the hour that a clock shows twice is two hours.
        units = units.with_columns(at=local.dt.truncate("1d" if daily else "1h"))
        looked = False
        groups = places(units.select("task", "cost_usd"), ["task"], spend=pl.sum("cost_usd"))
        groups = groups.filter(pl.col("spend") >= amount(floor))
        for task, at in zip(groups["task"], groups["at"], strict=True):
            mine = units[at]
            points = _points(mine)
            if points.height < (DAYS if daily else HOURS):
                continue
            looked = True
            if (claim := self._claim(task, points, mine, floor, daily=daily)) is not None:
                yield claim
        if not looked:
            raise CannotCheck(f"no task has {DAYS} days or {HOURS} hours with calls")

    def _claim(
        self, task: str, points: pl.DataFrame, units: pl.DataFrame, floor: Decimal, *, daily: bool
    ) -> Claim | None:
        """The days of one task that stand out, in one finding."""
        times = points["at"].dt.replace_time_zone(None).to_list()
        seasons = [t.weekday() if daily else t.hour for t in times]
        volume = [math.log(n) for n in points["units"]]
        per_unit = [math.log(float(usd) / n) for usd, n in points.select("cost_usd", "units").iter_rows()]
        usual = _usual(volume, seasons), _usual(per_unit, seasons)
        drawn = [1 / math.sqrt(n) for n in points["units"]]
        scores = distances(volume, usual[0], drawn), distances(per_unit, usual[1], _noise(points))
        found = []
        for nth in standing_out(scores, self.z):
            expected = Decimal(repr(math.exp(usual[0][nth] + usual[1][nth]))).quantize(PLACES)
            actual = points["cost_usd"][nth]
            if actual - expected < floor or (daily and _seen_before(times, nth, scores, self.z)):
                continue
            factors = math.exp(volume[nth] - usual[0][nth]), math.exp(per_unit[nth] - usual[1][nth])
            row = times[nth], expected, actual, actual - expected, max(scores[0][nth], scores[1][nth]), *factors
            found.append((-row[3], nth, row))
        if not found:
            return None
        found.sort()
        evidence = pl.DataFrame(
            [row for *_, row in found],
            schema={
                "at": pl.Datetime("us"),
                "expected_usd": USD,
                "actual_usd": USD,
                "excess_usd": USD,
                "z": pl.Float64,
                "volume_factor": pl.Float64,
                "unit_cost_factor": pl.Float64,
            },
            orient="row",
        )
        worst = evidence.row(0, named=True)
        when = f"{worst['at']:%Y-%m-%d}" if daily else f"{worst['at']:%Y-%m-%d %H:00}"
        more = f" and {evidence.height - 1} more" if evidence.height > 1 else ""
        return Claim(
            subject={"task": task},
            title=f"{task}: {when}{more} stands out, {_cause(worst)}; {{usd}} beyond the usual",
            remedy="look at the tenants and runs of that day; suppress it if it was planned, else set a daily budget",
            severity=Severity.MEDIUM,
            confidence=Confidence.MEDIUM,
            evidence=evidence,
            because=(f"{points.height} {'days' if daily else 'hours'}; usual is the median of the same "
                     f"{'weekday' if daily else 'hour'}",),
            stake_usd=total_usd(evidence, "excess_usd"),
            requests=int(points["calls"].gather([nth for _, nth, _ in found]).sum()),
            details={"tenants": _tenants(units, points["at"].gather([found[0][1]]))},
        )  # fmt: skip


def standing_out(scores: Sequence[Sequence[float]], z: float) -> list[int]:
    """Points where a score is above z while both neighbours are normal in all; a run of high points is no anomaly."""
    n = len(scores[0])
    high = [any(abs(s[i]) > z for s in scores) for i in range(n)]
    up = [any(s[i] > z for s in scores) for i in range(n)]
    return [i for i in range(n) if up[i] and not (i > 0 and high[i - 1]) and not (i + 1 < n and high[i + 1])]


def distances(values: Sequence[float], usual: Sequence[float], noise: Sequence[float] = ()) -> list[float]:
    """Robust z of each value's distance from its usual level.

    noise   standard error of each value as a sample of units: days of few units differ by chance alone
    The spread is never below that of the sample, nor below a floor.
    """
    apart = [v - u for v, u in zip(values, usual, strict=True)]
    spread = max(median(abs(a) for a in apart) / 0.6745, LEAST_SPREAD)
    return [a / max(spread, own) for a, own in zip(apart, noise or [0.0] * len(apart), strict=True)]


def _noise(points: pl.DataFrame) -> list[float]:
    """Standard error of ln(unit cost) of each point: the spread of all other units, over the root of its own number."""
    table = points.select(n="units", s="total", q="squares").sum().row(0)
    errors = []
    for n, s, q in points.select("units", "total", "squares").iter_rows():
        rest, mean = table[0] - n, (table[1] - s) / max(1, table[0] - n)
        spread = math.sqrt(max(0.0, (table[2] - q) / max(1, rest) - mean**2))
        errors.append(spread / mean / math.sqrt(n) if mean > 0 else 0.0)
    return errors


def _usual(values: Sequence[float], seasons: Sequence[int]) -> list[float]:
    """What would be expected of each point if it were not there: the median of the others of its weekday (hour), where
    there are enough, else of all others."""
    levels = []
    for nth, season in enumerate(seasons):
        same = [v for k, v in enumerate(values) if seasons[k] == season and k != nth]
        levels.append(median(same if len(same) >= SEASONS else [*values[:nth], *values[nth + 1 :]]))
    return levels


def _seen_before(times: Sequence[datetime], nth: int, scores: Sequence[Sequence[float]], z: float) -> bool:
    """Whether the same place in the month before, by date or as its last day, was high too."""
    day = times[nth].date()
    high = {t.date() for i, t in enumerate(times) if i != nth and any(s[i] > z for s in scores)}
    return any(
        _same_place(day, other) for other in high if timedelta(days=26) <= abs(day - other) <= timedelta(days=33)
    )


def _same_place(day: date, other: date) -> bool:
    last = [(d + timedelta(days=1)).day == 1 for d in (day, other)]
    return day.day == other.day or all(last)


def _points(units: pl.DataFrame) -> pl.DataFrame:
    usd = pl.col("cost_usd").cast(pl.Float64)
    sums = units.group_by("at").agg(
        pl.sum("calls", "cost_usd"), units=pl.len().cast(pl.Int64), total=usd.sum(), squares=(usd**2).sum()
    )
    return sums.filter(pl.col("cost_usd") > 0).sort("at")


def _cause(row: dict[str, float]) -> str:
    volume, unit = row["volume_factor"], row["unit_cost_factor"]
    if unit < 1.1:
        return f"growth, not price: volume ×{volume:.1f}, unit cost flat"
    if volume < 1.1:
        return f"unit cost ×{unit:.1f}, volume flat"
    return f"volume ×{volume:.1f}, unit cost ×{unit:.1f}"


def _tenants(units: pl.DataFrame, at: pl.Series) -> pl.DataFrame:
    """Who spent on the worst day: tenant, units, cost_usd."""
    mine = units.filter(pl.col("at") == pl.lit(at)).group_by(pl.col("tenant").fill_null("(no tenant)"))
    sums = mine.agg(units=pl.len(), cost_usd=pl.sum("cost_usd"))
    return sums.sort("cost_usd", "tenant", descending=[True, False]).head(10)
