"""The plan for scale: where spend goes, what growth costs, what breaks first, and the way back under a target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, localcontext

import polars as pl
from msgspec.structs import replace

from costaudit.analyze import Act, _peaks, acts
from costaudit.analyze._analyzer import total_usd
from costaudit.analyze._growth import DAYS_OF_MONTH, Projected, growth, last_days, lengthening, project
from costaudit.analyze._ledger import replayed
from costaudit.analyze._limits import limits
from costaudit.analyze._series import local_day, partial_day
from costaudit.analyze._units import spend_rows
from costaudit.audit import Coverage, Prices, Window
from costaudit.config import Settings
from costaudit.errors import LogError
from costaudit.finding import ZERO, Confidence, Grade, Kind
from costaudit.plan import Growth, Plan, Step, Way, Week
from costaudit.price.book import PriceBook
from costaudit.price.ledger import Ledger
from costaudit.price.mix import EXACT
from costaudit.price.spend import NO_TENANT
from costaudit.stats import Interval, Outlook, forecast
from costaudit.words import plural

MOST = 12  # tenants with a forecast of their own
RATE_WEEKS = 4  # weeks a run-rate is stated for
LOOP = "runaway-loop"
RISKS = {  # least risky first: waste by how sure it is, then decisions by their evidence
    "waste, certain": 0,
    "waste, likely": 1,
    "waste, by shape": 2,
    "decision, proven": 3,
    "decision, supported": 4,
    "decision, to be tried": 5,
}
SCHEMA = pl.Schema(
    {
        "tenant": pl.String(),
        "now_usd": pl.Decimal(38, 18),
        "share": pl.Float64(),
        "trend": pl.Float64(),
        "next_usd": pl.Float64(),
        "low_usd": pl.Float64(),
        "high_usd": pl.Float64(),
    }
)
LIMITS = pl.Schema(
    {
        "limit": pl.String(),
        "what": pl.String(),
        "allowed": pl.Int64(),
        "peak": pl.Int64(),
        "low": pl.Float64(),
        "high": pl.Float64(),
        "breaks_at": pl.Float64(),
        "breaks_low": pl.Float64(),
        "breaks_high": pl.Float64(),
        "weekday": pl.String(),
        "hour": pl.Int64(),
    }
)


def plan(
    calls: pl.DataFrame,
    book: PriceBook,
    settings: Settings,
    *,
    window: Window,
    prices: Prices,
    coverage: Coverage,
    target: Decimal | None = None,
) -> Plan:
    """The plan for the growth that the settings name.

    calls   priced calls [schema.CALLS] of the whole log
    target  what a month may cost at the largest growth [USD]; None: no way is looked for
    Raises LogError where no call has a time, or none has a price.
    """
    spending = spend_rows(calls)
    if spending["started_at"].null_count() == spending.height:
        raise LogError("no call has a time: where spend goes cannot be said", hint="`costaudit doctor PATH` says why")
    if spending["cost_usd"].null_count() == spending.height:
        raise LogError("no call has a price: what growth costs is not known", hint="`costaudit doctor PATH` says why")
    base, days = last_days(spending, settings.zone)
    month = DAYS_OF_MONTH / days
    asked = settings if target is not None else replace(settings, select=(LOOP,), ignore=())
    found = acts(Ledger.of(base, book, settings=asked), asked)
    stuck = [a.claim.patch["row"] for a in found if a.finding.rule == LOOP and a.claim.patch is not None]
    runaway = pl.concat(stuck).cast(base.schema["row"]) if stuck else pl.Series("row", [], base.schema["row"])
    context = lengthening(spending, settings.forecast.horizon_weeks)
    by = settings.forecast.growth_by
    projected = [
        project(base, book, factor=f, by=by, context=context, runaway=runaway)
        for f in sorted(set(settings.forecast.growth))
    ]
    history = _daily(spending, settings)
    outlook, ahead = _ahead(history, settings)
    grown = tuple(growth(each, month, _spread(outlook, days)) for each in projected)
    return Plan(
        window=window,
        base=_window(base, days, settings),
        days=days,
        prices=prices,
        coverage=coverage,
        by=by,
        outlook=outlook,
        history=pl.DataFrame(
            {"day": list(history), "usd": list(history.values())}, schema={"day": pl.Date, "usd": pl.Float64}
        ),
        ahead=ahead,
        growth=grown,
        tenants=_tenants(spending, base, month, outlook, settings),
        limits=_limits(spending, settings),
        way=None if target is None else _way(projected[-1], found, book, settings, month, target),
        notes=tuple(_notes(spending, days, context, grown)),
    )


def _notes(calls: pl.DataFrame, days: int, context: Mapping[str, float], grown: Sequence[Growth]) -> list[str]:
    said = []
    if days < 28:
        said.append(f"a month is {plural(days, 'day')} of log, scaled to 30.4")
    if unpriced := calls["cost_usd"].null_count():
        said.append(
            plural(unpriced, "call without a price is", "calls without a price are") + " in none of these amounts"
        )
    said += [f"prompts of {task} go on growing: ×{ratio:.2f}" for task, ratio in sorted(context.items())]
    return said + [note for note in grown[-1].notes if grown]


def _days(calls: pl.DataFrame, settings: Settings) -> dict[date, float]:
    """Spend by day of the report's zone."""
    timed = calls.filter(pl.col("started_at").is_not_null())
    days = timed.group_by(local_day(settings.zone).alias("day")).agg(usd=pl.col("cost_usd").sum()).sort("day")
    return {day: float(usd or 0) for day, usd in days.iter_rows()}


def _daily(calls: pl.DataFrame, settings: Settings) -> dict[date, float]:
    """The same, the day the log ends in only where it looks whole."""
    found = _days(calls, settings)
    cut = partial_day(calls, settings.zone)
    if cut is not None and len(found) > 1:
        found.pop(cut, None)
    return found


def _ahead(history: Mapping[date, float], settings: Settings) -> tuple[Outlook, tuple[Week, ...]]:
    """The weeks to come, then all of them: no more of them than the history has."""
    last = max(history)
    whole = ((last - min(history)).days + 1) // 7
    weeks = min(settings.forecast.horizon_weeks, max(whole, RATE_WEEKS))
    end = last + timedelta(days=7 * weeks)
    found = forecast(history, last, end, level=settings.forecast.interval)
    spans = [(last + timedelta(days=7 * k + 1), last + timedelta(days=7 * k + 7)) for k in range(weeks)]
    spans.append((spans[0][0], end))
    return found, tuple(
        Week(a, b, found.over(a, b), sum(found.naive[(a - last).days - 1 : (b - last).days])) for a, b in spans
    )


def _spread(outlook: Outlook, days: int) -> Interval:
    """The interval of the spend of a base window, relative to its likely value."""
    span = min(days, len(outlook.daily))
    found = outlook.over(outlook.last + timedelta(days=1), outlook.last + timedelta(days=span))
    if found.value <= 0:
        return Interval(1.0, 1.0, 1.0)
    return Interval(1.0, min(1.0, found.low / found.value), max(1.0, found.high / found.value))


def _window(base: pl.DataFrame, days: int, settings: Settings) -> Window:
    first = base.select(local_day(settings.zone).min()).item() if base.height else None
    if first is None:
        return Window(tz=settings.tz)
    start, end = (datetime.combine(first + timedelta(days=n), time(), settings.zone) for n in (0, days))
    return Window(start.astimezone(UTC), end.astimezone(UTC), settings.tz)


def _tenants(
    calls: pl.DataFrame, base: pl.DataFrame, month: Decimal, outlook: Outlook, settings: Settings
) -> pl.DataFrame:
    """The largest tenants of the base window: what a month costs, its share, its trend, and the weeks ahead."""
    tenant = pl.col("tenant").fill_null(NO_TENANT)
    sums = (
        base.group_by(tenant)
        .agg(cost_usd=pl.when(pl.col("cost_usd").count() > 0).then(pl.col("cost_usd").sum()))
        .sort("cost_usd", "tenant", descending=[True, False], nulls_last=True)
    )
    total = float(sums["cost_usd"].sum() or 0) or 1.0
    until = outlook.last + timedelta(days=len(outlook.daily))
    known = calls.with_columns(tenant)
    rows = []
    for name, usd in sums.head(MOST).iter_rows():
        mine = _days(known.filter(pl.col("tenant") == name), settings)
        days = {day: spent for day, spent in mine.items() if day <= outlook.last}
        found = forecast(days or {outlook.last: 0.0}, outlook.last, until, level=settings.forecast.interval)
        span = found.over(outlook.last + timedelta(days=1), until)
        with localcontext(prec=EXACT):
            now = None if usd is None else (usd * month).quantize(Decimal(1).scaleb(-18))
        trend = found.growth if found.backtest is not None else None
        rows.append((name, now, None if usd is None else float(usd) / total, trend, *span))
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _limits(calls: pl.DataFrame, settings: Settings) -> pl.DataFrame | None:
    """Every declared limit against its use, the first to break first; None without a limits file."""
    if settings.limits is None:
        return None
    timed = calls.filter(pl.col("started_at").is_not_null())
    rows = []
    for limit in limits(settings.limits):
        mine = _peaks.used(limit, timed)
        for use in _peaks.uses(limit, mine, timed, str(settings.zone)) if mine.height else ():
            ends = use.allowed / use.high, use.allowed / use.low if use.low else None
            when = (_peaks.WEEKDAYS[use.fullest.weekday()], use.fullest.hour)
            rows.append((use.limit, use.what, use.allowed, use.peak, use.low, use.high, use.breaks_at, *ends, *when))
    return pl.DataFrame(rows, schema=LIMITS, orient="row").sort("breaks_at", "limit", "what")


def _risk(act: Act) -> str:
    if act.finding.kind is Kind.WASTE:
        sure = act.finding.confidence
        return (
            "waste, certain"
            if sure is Confidence.HIGH
            else f"waste, {'likely' if sure is Confidence.MEDIUM else 'by shape'}"
        )
    if act.finding.grade in (Grade.PROVEN, Grade.PROVEN_PRICE):
        return "decision, proven"
    tried = act.finding.grade in (Grade.EXPERIMENT, Grade.NO_EVIDENCE)
    return "decision, to be tried" if tried else "decision, supported"


def _redoes(act: Act) -> bool:
    """Whether the change itself costs something: runs that are done again."""
    return "added_usd" in act.claim.evidence.columns


def _way(
    found: Projected, changes: Sequence[Act], book: PriceBook, settings: Settings, month: Decimal, target: Decimal
) -> Way:
    """The least risky changes that bring a month at the projected growth under the target.

    Changes are taken by ascending risk, those that save most first, until a replay of all of them together is under it;
    then those as risky as the last one that are not needed are left out again. No saving is ever added to another.
    """
    ledger = Ledger.of(found.calls, book, settings=settings)
    tried = 0

    def cost(chosen: Sequence[Act]) -> Decimal:
        nonlocal tried
        tried += 1
        with localcontext(prec=EXACT):
            redone = sum((total_usd(a.claim.evidence, "added_usd") for a in chosen if _redoes(a)), ZERO)
            spent = found.usd(replayed(ledger, chosen).calls)
            return (spent + redone * Decimal(repr(found.factor))) * month

    order = sorted(changes, key=lambda a: (RISKS[_risk(a)], *a.finding.order))
    before = after = cost([])
    chosen: list[Act] = []
    for act in order:
        if after <= target:
            break
        now = cost([*chosen, act])
        if now < after:
            chosen, after = [*chosen, act], now
    if after <= target:
        for act in [a for a in reversed(chosen[:-1]) if _risk(a) == _risk(chosen[-1])]:
            rest = [a for a in chosen if a is not act]
            if (now := cost(rest)) <= target:
                chosen, after = rest, now
    steps, last = [], before
    for n, act in enumerate(chosen, 1):
        now = after if n == len(chosen) else cost(chosen[:n])
        f = act.finding
        subject = ", ".join(f.subject[key] for key in sorted(f.subject, key=lambda k: (k != "task", k != "tenant", k)))
        steps.append(Step(f.id, f.rule, _risk(act), subject, f.title, f.remedy, last - now))
        last = now
    return Way(target, found.factor, before, after, tuple(steps), tried)
