"""What the same log would have cost at f times the traffic, or with f times the tenants: the calls replayed, the
difference in drivers that add up (LMDI-I: Ang, Energy Policy 33, 2005)."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal, localcontext
from itertools import pairwise
from statistics import fmean

import msgspec
import polars as pl

from costaudit.analyze import _cache
from costaudit.analyze._analyzer import NO_TASK
from costaudit.analyze._cache import LIVES, WRITES, Policy
from costaudit.analyze._cache_calls import named
from costaudit.analyze._series import local_day, partial_day
from costaudit.analyze.tenant_concentration import by_tenant, elasticity
from costaudit.plan import DRIVERS, Driver, Growth
from costaudit.price.book import PriceBook
from costaudit.price.classes import INPUT_SIDE, TOKENS
from costaudit.price.engine import bill
from costaudit.price.ledger import Ledger
from costaudit.price.mix import EXACT
from costaudit.price.spend import NO_TENANT
from costaudit.price.tariff import Key, timeline
from costaudit.schema import USD
from costaudit.stats import Interval, benjamini_hochberg, lmdi_weight, mann_kendall, theil_sen

TRAFFIC, TENANTS = "traffic", "tenants"
NEW_TENANTS = "(new tenants)"
PROVED = 0.99  # level of the interval of an elasticity with which use is projected
FIRM = 0.5  # width of an elasticity; a wider one multiplies ten times the traffic by anything
SURE = 0.05  # p of a trend of the prompts' length from which it is continued
LEAST = 0.02  # a change of the prompts' length that is worth a line
ROUNDED = Decimal("0.0001")  # of a call's cost; tokens are whole, so that a longer prompt is not exactly in proportion
WEEKS = 5  # whole weeks that can show one
FARTHEST = 4.0  # a prompt is not projected to more than this many times its length, or less than a part of it
BASE = 28  # days whose use is scaled: whole weeks
DAYS_OF_MONTH = Decimal("30.4375")  # 365.25 / 12
CENTS = Decimal(1).scaleb(-18)
ZERO = Decimal(0)


class Projected(msgspec.Struct, frozen=True):
    """The calls of a base window as they would be at growth f.

    calls     [schema.CALLS], each at its projected cost, once
    weights   tenant -> how often a call of theirs is made; more of the same
    parts     tenant, runaway, then sums of cost: usd, cached, linear, then, and fee in each [USD of the base window]
    """

    factor: float
    by: str
    calls: pl.DataFrame
    weights: Mapping[str, Decimal]
    parts: pl.DataFrame
    elasticity: Interval | None
    over_step: tuple[float, float] | None
    notes: tuple[str, ...]

    def usd(self, calls: pl.DataFrame) -> Decimal:
        """What some version of the calls costs at growth f [USD of the base window]."""
        sums = calls.group_by(pl.col("tenant").fill_null(NO_TENANT)).agg(pl.col("cost_usd").sum())
        with localcontext(prec=EXACT):
            return sum(((usd or ZERO) * self.weights[tenant] for tenant, usd in sums.iter_rows()), ZERO)


def project(
    calls: pl.DataFrame, book: PriceBook, *, factor: float, by: str, context: Mapping[str, float], runaway: pl.Series
) -> Projected:
    """The calls at growth f.

    calls    spending calls [schema.CALLS] of the base window
    context  task -> by how much its prompts will have grown; see `lengthening`
    runaway  rows of calls that a stuck run made
    """
    known = calls.filter(pl.col("cost_usd").is_not_null())
    start = Ledger.of(known, book)
    notes: list[str] = []
    cached = start
    if by == TRAFFIC:
        patch = _sooner(known, factor)
        cached = start.patched(patch) if patch is not None and patch.height else start
        if patch is None and known["cache_read_tokens"].sum():
            notes.append("no prompt blocks beside cached tokens: caching is taken as it is")
    longer = _longer(cached.calls, context)
    then = cached.patched(longer) if longer.height else cached
    power = proved(known) if by == TRAFFIC else None
    weight = Decimal(repr(factor)) * Decimal(repr(factor ** (power.value - 1) if power else 1.0))
    names = known["tenant"].fill_null(NO_TENANT).unique().sort().to_list()
    table = known.select(
        "row", pl.col("tenant").fill_null(NO_TENANT), runaway=pl.col("row").is_in(runaway.implode()), usd="cost_usd"
    ).with_columns(
        cached=cached.calls["cost_usd"],
        linear=_linear(cached.calls, context, book),
        then=then.calls["cost_usd"],
        fee=_fees(known, book),
    )
    rounded = (pl.col("linear") - pl.col("then")).abs() <= pl.col("then") * ROUNDED
    table = table.with_columns(linear=pl.when(rounded).then("then").otherwise("linear"))
    parts = table.group_by("tenant", "runaway").agg(pl.col("usd", "cached", "linear", "then", "fee").sum())
    return Projected(
        factor,
        by,
        then.calls,
        dict.fromkeys(names, weight),
        parts.sort("tenant", "runaway"),
        power,
        _over_step(known, then.calls, book),
        tuple(notes),
    )


def growth(found: Projected, month: Decimal, spread: Interval) -> Growth:
    """The projected calls as a month's spend and its drivers.

    month   months to the base window: what a sum is multiplied with
    spread  the 80 % interval of the spend of such a window, relative to its likely value
    """
    power = found.elasticity
    f = Decimal(repr(found.factor))
    effects: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
    now: defaultdict[str, Decimal] = defaultdict(Decimal)
    then: defaultdict[str, Decimal] = defaultdict(Decimal)
    with localcontext(prec=EXACT):
        for tenant, runaway, *sums in found.parts.iter_rows():
            *tokens, fee = sums
            weight = found.weights[tenant]
            for kind, chain in (
                ("runaways" if runaway else "requests", [usd - fee for usd in tokens]),
                ("fees", [fee] * 4),
            ):
                end = chain[3] * weight
                now[tenant] += chain[0] * month
                if found.by == TRAFFIC:
                    then[tenant] += end * month
                    moved = _effects(kind, chain, float(f), float(weight / f), end)
                else:
                    then[tenant] += chain[3] * month
                    then[NEW_TENANTS] += (end - chain[3]) * month
                    effects[NEW_TENANTS, kind] += (end - chain[3]) * month
                    moved = _effects(kind, chain, 1.0, 1.0, chain[3])
                for name, usd in moved:
                    effects[tenant, name] += usd * month
        total_now, total_then = sum(now.values(), ZERO), sum(then.values(), ZERO)
        drivers = {name: sum((usd for (_, n), usd in effects.items() if n == name), ZERO) for name in DRIVERS}
        low, high = total_then * Decimal(repr(spread.low)), total_then * Decimal(repr(spread.high))
        if power is not None:
            low *= Decimal(repr(found.factor ** (min(power.low, power.value) - power.value)))
            high *= Decimal(repr(found.factor ** (max(power.high, power.value) - power.value)))
        ends = (low / total_then, high / total_then) if total_then else (Decimal(1), Decimal(1))
        shown = tuple(
            Driver(name, usd, *sorted((usd * ends[0], usd * ends[1]))) for name, usd in drivers.items() if usd
        )
    names = sorted(now.keys() | then.keys(), key=lambda t: (-then[t], t))
    rows = [
        {"tenant": t, "now_usd": now[t], "then_usd": then[t], **{n: effects.get((t, n), ZERO) for n in DRIVERS}}
        for t in names
    ]
    schema = {"tenant": pl.String(), "now_usd": USD, "then_usd": USD, **dict.fromkeys(DRIVERS, USD)}
    with localcontext(prec=EXACT):
        quantized = [{k: v.quantize(CENTS) if isinstance(v, Decimal) else v for k, v in row.items()} for row in rows]
    return Growth(
        found.factor,
        total_now,
        total_then,
        low,
        high,
        shown,
        pl.DataFrame(quantized, schema=schema, orient="row"),
        found.over_step,
        found.notes,
    )


def _effects(kind: str, chain: list[Decimal], f: float, beyond: float, end: Decimal) -> Iterator[tuple[str, Decimal]]:
    """The effects of one segment; they add up to `end - chain[0]` exactly.

    chain   dollars as logged, with caching, with longer prompts at the same price, and with the price of their length
    f, beyond, end   requests; what elasticity adds; dollars at the end
    """
    change = end - chain[0]
    if not change:
        return
    if min(chain) <= 0 or end <= 0:
        yield kind, change
        return
    weight = lmdi_weight(float(end), float(chain[0]))
    ratios = zip(
        (kind, "elasticity", "caching", "context", "tiers"),
        (f, beyond, *(float(b) / float(a) for a, b in pairwise(chain))),
        strict=True,
    )
    effects = {name: Decimal(repr(weight * math.log(ratio))) for name, ratio in ratios if ratio != 1}
    if not effects:
        yield kind, change
        return
    largest = max(effects, key=lambda name: (abs(effects[name]), name))
    effects[largest] += change - sum(effects.values(), ZERO)
    yield from effects.items()


def _sooner(calls: pl.DataFrame, factor: float) -> pl.DataFrame | None:
    """The token classes of calls whose prefixes would be sent again `factor` times sooner; None where the log does not
    hold both the prompts' blocks and what was read from a cache.

    What the log read and wrote is moved by the difference of two simulations with the same policy: at today's gaps, and
    at those divided by the factor. Models that never read a cache are left as they are.
    """
    seen = named(calls).filter(pl.col("block_sha").list.len() > 0)
    used = seen.filter(pl.col("cache_read_tokens").sum().over("cached_as") > 0)
    if used.is_empty():
        return None
    used = used.with_columns(unstable=pl.lit(value=False), minimum=pl.lit(0, pl.Int64))
    told = {life: int(used[name].sum()) for life, name in WRITES.items()}
    life = max(told, key=lambda name: told[name]) if any(told.values()) else "5m"
    found = _cache.occurrences(used)
    sides = [
        _cache.bounded(_cache.simulate(found.sooner(f), Policy(_cache.ALL, life), LIVES[life]), used)
        for f in (1.0, factor)
    ]
    moved = sides[0].join(sides[1], on="row", suffix="_then")
    names = ("cache_read_tokens", "cache_write_tokens", *WRITES.values())
    table = used.select("row", *names).join(moved, on="row", maintain_order="left")
    # Never more than the simulation reads: what the log read beyond today's simulation is not read twice.
    more = pl.min_horizontal(pl.col("read_then") - pl.col("read"), pl.col("read_then") - pl.col("cache_read_tokens"))
    table = table.with_columns(more=more).filter(pl.col("more") > 0)
    # What is read was written before, or paid as fresh input: writes give way first.
    gone = pl.min_horizontal("more", "cache_write_tokens")
    left = pl.when(pl.col("cache_write_tokens") > 0).then(1 - gone / pl.col("cache_write_tokens")).otherwise(1.0)
    return table.select(
        "row",
        cache_read_tokens=pl.col("cache_read_tokens") + pl.col("more"),
        cache_write_tokens=pl.col("cache_write_tokens") - gone,
        **{name: (pl.col(name) * left).floor().cast(pl.Int64) for name in WRITES.values()},
    )


def lengthening(calls: pl.DataFrame, weeks: int) -> dict[str, float]:
    """task -> by how much its mean prompt will have grown after some weeks, where it has been growing or shrinking.

    Theil-Sen on ln(mean input tokens of a request) over whole weeks, where Mann-Kendall sees a trend (p < 0.05,
    adjusted for the number of tasks: one of twenty always seems to grow) and a line fits better than the best single
    step: a step that is over does not go on.
    """
    timed = calls.select("task", "started_at", "input_tokens").filter(
        pl.col("started_at").is_not_null() & (pl.col("input_tokens") > 0)
    )
    last = timed["started_at"].max()
    if last is None:
        return {}
    week = ((pl.lit(last) - pl.col("started_at")).dt.total_seconds() // (7 * 86_400)).alias("week")
    first = timed.select(week.max()).item()
    means = (
        timed.filter(week < first)  # the oldest week is not whole
        .group_by(pl.col("task").fill_null(NO_TASK), week)
        .agg(mean=pl.col("input_tokens").mean())
        .sort("task", "week", descending=[False, True])
    )
    whole = {
        str(task): ([-float(w) for w in rows["week"]], [math.log(mean) for mean in rows["mean"]])
        for (task,), rows in means.group_by("task", maintain_order=True)
        if rows.height >= WEEKS
    }
    chances = benjamini_hochberg([mann_kendall(logs) for _, logs in whole.values()])
    found = {}
    for (task, (times, logs)), chance in zip(whole.items(), chances, strict=True):
        slope = theil_sen(times, logs)
        if chance < SURE and _apart([y - slope * t for t, y in zip(times, logs, strict=True)]) < _step(logs):
            found[task] = min(max(math.exp(slope * weeks), 1 / FARTHEST), FARTHEST)
    return {task: ratio for task, ratio in found.items() if abs(ratio - 1) >= LEAST}


def _apart(values: Sequence[float]) -> float:
    """The sum of squared distances from the mean."""
    mean = fmean(values)
    return math.fsum((x - mean) ** 2 for x in values)


def _step(values: Sequence[float]) -> float:
    """The same about the two means of the best single step."""
    return min(_apart(values[:k]) + _apart(values[k:]) for k in range(1, len(values)))


def _longer(calls: pl.DataFrame, context: Mapping[str, float]) -> pl.DataFrame:
    """The input of calls whose task's prompts get longer, all of its classes alike."""
    names = ("input_tokens", "cache_read_tokens", "cache_write_tokens", *WRITES.values())
    ratio = _ratio(context)
    return calls.filter((ratio != 1) & (pl.col("price_status") == "priced")).select(
        "row", *((pl.col(name) * ratio).round().cast(pl.Int64) for name in names)
    )


def _ratio(context: Mapping[str, float]) -> pl.Expr:
    if not context:
        return pl.lit(1.0)
    return pl.col("task").fill_null(NO_TASK).replace_strict(context, default=1.0, return_dtype=pl.Float64)


def _linear(calls: pl.DataFrame, context: Mapping[str, float], book: PriceBook) -> pl.Series:
    """Cost of each call if its longer prompt were paid at today's price for a token."""
    longer = calls.filter((_ratio(context) != 1) & (pl.col("price_status") == "priced"))
    if longer.is_empty():
        return calls["cost_usd"]
    spent = _billed(longer, book, pl.col("class").is_in(sorted(INPUT_SIDE)))
    more = longer.select("row", spent=spent, ratio=_ratio(context) - 1)
    added = (pl.col("spent").cast(pl.Float64) * pl.col("ratio")).round(12).cast(USD)
    return calls.join(more.select("row", added=added), on="row", how="left", maintain_order="left").select(
        (pl.col("cost_usd") + pl.col("added").fill_null(ZERO)).cast(USD)
    )["cost_usd"]


def _fees(calls: pl.DataFrame, book: PriceBook) -> pl.Series:
    """What each call pays for searches, pages and other things that are no tokens."""
    some = calls.filter((pl.col("extras").list.len() > 0) & (pl.col("price_status") == "priced"))
    if some.is_empty():
        return pl.repeat(ZERO, calls.height, dtype=USD, eager=True).alias("fee")
    fees = some.select("row", fee=_billed(some, book, ~pl.col("class").is_in(sorted(TOKENS))))
    joined = calls.select("row", "cost_usd").join(fees, on="row", how="left", maintain_order="left")
    return joined.select(fee=pl.min_horizontal(pl.col("fee").fill_null(ZERO), "cost_usd"))["fee"]


def _billed(calls: pl.DataFrame, book: PriceBook, classes: pl.Expr) -> pl.Series:
    """Dollars of some classes, by call."""
    sums = bill(calls, book).filter(classes).group_by("row").agg(pl.col("usd").sum())
    place = pl.DataFrame({"row": range(calls.height)}, schema={"row": sums.schema["row"]})
    return place.join(sums, on="row", how="left", maintain_order="left")["usd"].fill_null(ZERO)


def proved(calls: pl.DataFrame) -> Interval | None:
    """The elasticity of spend over tenants, where its interval excludes 1 and is narrow enough to be a power of ten.

    Ten times the traffic multiply dollars by it: at 90 % one log in ten would say so of tenants that differ by chance.
    """
    found = elasticity(by_tenant(calls).filter(pl.col("tenant") != NO_TENANT), PROVED)
    if found is None or found.high - found.low > FIRM:
        return None
    return found if found.low > 1 or found.high < 1 else None


def last_days(calls: pl.DataFrame, zone: tzinfo) -> tuple[pl.DataFrame, int]:
    """The calls of the last 28 whole days, of all of them where there are fewer, and how many days they are."""
    timed = calls.filter(pl.col("started_at").is_not_null())
    if timed.is_empty():
        return calls, 1
    day = local_day(zone)
    first, last = timed.select(first=day.min(), last=day.max()).row(0)
    if first < last and partial_day(timed, zone) is not None:
        last -= timedelta(days=1)
    start = max(first, last - timedelta(days=BASE - 1))
    return timed.filter(day.is_between(start, last)), (last - start).days + 1


def _over_step(now: pl.DataFrame, then: pl.DataFrame, book: PriceBook) -> tuple[float, float] | None:
    """Share of the requests whose input lies beyond the first long-context step of their model, in both frames."""
    last = now["started_at"].max()
    if not isinstance(last, datetime):
        return None
    steps = []
    for values in now.select(Key._fields).unique().iter_rows():
        tariff = timeline(book, Key(*values)).at(last)
        if len(tariff.steps) > 1:
            steps.append((*values, tariff.steps[1][0]))
    if not steps:
        return None
    schema = {name: now.schema[name] for name in Key._fields} | {"above": pl.Int64()}
    table = pl.DataFrame(steps, schema=schema, orient="row")
    shares = []
    for calls in (now, then):
        beyond = calls.join(table, on=Key._fields, how="left", nulls_equal=True)
        shares.append(int((beyond["input_tokens"] > beyond["above"]).sum()) / max(1, calls.height))
    return shares[0], shares[1]
