"""Parts of the monthly review below its tables: regressions, findings, budgets, prices, what is coming."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from costaudit.finding import Kind
from costaudit.report import _bridge, _reconcile
from costaudit.report import _money as money
from costaudit.report._forecast import backtest, spread, total_of, trend, usd
from costaudit.report._forecast_json import outlook
from costaudit.report._layout import Column
from costaudit.report.json import rows
from costaudit.stats import Interval
from costaudit.verdict import Followed, Month, Standing

FINDINGS, DRILL, EVENTS, FIXED = 8, 5, 12, 6
MARK = "=> "

Section = tuple[str, list[Column], list[list[str]], list[str]]


def sections(month: Month) -> Iterator[Section]:
    """Title, heads, rows and remarks of every part that has something to say."""
    for part in (_drill, _regressions, _findings, _fixed, _budgets, _bill, _prices, _coming):
        found = part(month)
        if found[2] or found[3]:
            yield found


def _drill(month: Month) -> Section:
    heads = [
        Column("task", right=False, flexible=True),
        Column("model", right=False, flexible=True),
        Column("tenant", right=False, flexible=True),
        Column("before"),
        Column("spend"),
        Column("change"),
    ]
    frame = month.drill
    if frame is None or frame.is_empty() or frame["tenant"].n_unique() < 2:
        return "", heads, [], []
    cells = [
        [task, model, tenant, money.usd(before), money.usd(now), _bridge.signed(change)]
        for task, model, tenant, before, now, change in frame.head(DRILL).iter_rows()
    ]
    if frame.height > DRILL:
        rest = frame.slice(DRILL)
        sums = {name: total_of(rest, name) for name in ("before_usd", "cost_usd", "change_usd")}
        cells.append(
            [
                f"{rest.height:,} more",
                "",
                "",
                money.usd(sums["before_usd"]),
                money.usd(sums["cost_usd"]),
                _bridge.signed(sums["change_usd"]),
            ]
        )
    return "Where it happened", heads, cells, []


def _regressions(month: Month) -> Section:
    said = []
    for found in month.regressions:
        since = "against the month before" if found.since is None else f"{found.since}"
        said.append(f"{since}  {money.prose(found.title)} ({found.finding})")
    return "Regressions", [], [], said


def _findings(month: Month) -> Section:
    """What is there this month, new ones first; without a month before: the largest."""
    if month.followed is None:
        found = sorted(month.audit.findings, key=lambda f: f.order)
        said = [f"{money.prose(f.title)} ({f.kind}: {f.rule}, {f.id})" for f in found[:FINDINGS]]
        return "To fix, largest first", [], [], said + _more(len(found))
    shown = [f for f in month.followed if f.standing in (Standing.NEW, Standing.OPEN)]
    said = [f"{f.standing}{_was(f)}: {money.prose(f.title)} ({f.kind}: {f.rule}, {f.id})" for f in shown[:FINDINGS]]
    counts = [(s, sum(f.standing is s for f in month.followed)) for s in Standing]
    title = "Findings: " + ", ".join(f"{number} {standing}" for standing, number in counts if number)
    return title if month.followed else "Findings", [], [], said + _more(len(shown))


def _was(found: Followed) -> str:
    return "" if not found.before_usd else f", {money.usd(found.before_usd)} the month before"


def _more(number: int) -> list[str]:
    return [f"{number - FINDINGS:,} more"] if number > FINDINGS else []


def _fixed(month: Month) -> Section:
    """Promised against measured, of what is no longer there."""
    said = []
    gone = [f for f in month.followed or () if f.standing not in (Standing.NEW, Standing.OPEN)]
    for found in gone[:FIXED]:
        words = f"{found.standing}: {money.prose(found.title)} (the month before; {found.id})"
        if found.promised is not None:
            verb = "promised" if found.kind in (Kind.WASTE, Kind.DECIDE) else "was worth"
            low, high = found.promised[1:]
            words += f"; {verb} {money.usd(found.promised[0])} at this month's volume"
            if high is not None and (money.usd(low), money.usd(high)) != (money.usd(found.promised[0]),) * 2:
                words += f" ({money.interval(low, high)})"
            words += _measured(found.measured)
        said.append(words)
    if len(gone) > FIXED:
        said.append(f"{len(gone) - FIXED:,} more")
    return "No longer there", [], [], said


def _measured(found: Interval | None) -> str:
    if found is None:
        return ", not measured: too few units"
    if found.low <= 0 <= found.high:
        return f", measured {usd(found.value)} ({spread(found)}: no saving is certain)"
    if found.high < 0:
        return f", measured {usd(found.value)} ({spread(found)}): the work got dearer all the same"
    return f", measured {usd(found.value)} ({spread(found)})"


def _budgets(month: Month) -> Section:
    heads = [
        Column("budget", right=False, flexible=True),
        Column("a", right=False),
        Column("limit"),
        Column("spent"),
        Column("ends at", rank=2),
        Column("80 % interval", optional=True, rank=1),
        Column("", right=False),
    ]
    if month.budgets is None:
        return "Budgets", heads, [], ["none set: `budgets:` in costaudit.yaml"]
    cells = []
    for row in month.budgets.iter_rows(named=True):
        ends = "–" if row["low_usd"] == row["high_usd"] else money.interval(row["low_usd"], row["high_usd"])
        cells.append(
            [
                row["budget"],
                row["per"],
                money.usd(row["budget_usd"]),
                money.usd(row["spent_usd"]),
                money.NONE if row["per"] in ("run", "call") else money.usd(row["mid_usd"]),
                ends,
                _stands(row),
            ]
        )
    return "Budgets", heads, cells, []


def _stands(row: dict[str, Any]) -> str:
    if row["per"] in ("run", "call"):
        return f"{row['over']:,} of {row['periods']:,} over"
    if row["spent_usd"] > row["budget_usd"]:
        return f"exceeded {row['used_up']}"
    if row["over"]:
        return f"{row['over']:,} of {row['periods']:,} over"
    if row["low_usd"] > row["budget_usd"]:
        return f"will exceed {row['used_up']}"
    if row["high_usd"] > row["budget_usd"]:
        return f"may exceed {row['used_up'] or ''}".strip()
    return "inside"


def _bill(month: Month) -> Section:
    """The gap between the logs and the provider's own export, and its causes, which add up to it."""
    heads = [Column("cause", right=False, flexible=True), Column("effect"), Column("of the export")]
    said = month.bill
    if said is None:
        return "", heads, [], []
    notes = [f"{label}: {words}" for label, words in _reconcile.facts(said) if label not in ("window", "prices")]
    causes = _reconcile.tables(said)[0][2] if said.causes else []
    return "Against the bill", heads, causes, [_reconcile.headline(said), *notes]


def _prices(month: Month) -> Section:
    """One sentence a model and day."""
    said = []
    for row in price_rows(month)[:EVENTS]:
        rates = ", ".join(f"{c['class']} {_rate(c['before_usd'])} to {_rate(c['after_usd'])}" for c in row["rates"])
        when = " (announced)" if row["announced"] else ""
        effect = ""
        if row["effect_usd"] is not None:
            of = "for four weeks like the last" if row["announced"] else "since then"
            effect = f"; {_bridge.signed(Decimal(row['effect_usd']))} {of}"
        said.append(f"{row['on']} {row['model']}{when}: {rates}{effect}")
    return "Prices", [], [], said


def price_rows(month: Month) -> list[dict[str, Any]]:
    """One row a model and day: its rates before and after, and what they cost or save where a rule has said so."""
    found: dict[tuple[str, str, bool], list[dict[str, Any]]] = {}
    effects = {(model, day.isoformat()): amount for (model, day), amount in month.price_effects.items()}
    for row in rows(month.price_events):
        rates = {name: row[name] for name in ("class", "before_usd", "after_usd")}
        found.setdefault((row["model"], row["on"], row["announced"]), []).append(rates)
    return [
        {
            "model": model,
            "on": on,
            "announced": announced,
            "rates": rates,
            "effect_usd": money.exact(effects[model, on]) if (model, on) in effects else None,
        }
        for (model, on, announced), rates in found.items()
    ]


def _rate(rate: str | None) -> str:
    return "none" if rate is None else f"${rate}"


def _coming(month: Month) -> Section:
    found = month.coming
    heads = [Column("", right=False), Column("likely"), Column("80 % interval")]
    if found is None:
        return "What is coming", heads, [], []
    cells = []
    if found.end is not None:
        cells.append([f"{month.label}, to its end", usd(found.end.value), spread(found.end)])
    if found.following is not None:
        cells.append([found.following_label, usd(found.following.value), spread(found.following)])
    said = [backtest(found.outlook)]
    if found.outlook.backtest is not None:
        said.insert(0, trend(found.outlook))
    if found.following is None:
        said.append(f"{found.following_label} lies farther ahead than the log reaches back")
    return "What is coming", heads, cells, said


def followed_rows(month: Month) -> list[dict[str, Any]] | None:
    """For machines."""
    if month.followed is None:
        return None
    return [
        {
            "standing": str(f.standing),
            "id": f.id,
            "rule": f.rule,
            "kind": str(f.kind),
            "title": f.title,
            "before_usd": _exact(f.before_usd),
            "now_usd": _exact(f.now_usd),
            "promised": f.promised
            and {
                "usd": _exact(f.promised[0]),
                "low_usd": _exact(f.promised[1]),
                "high_usd": _exact(f.promised[2]),
            },
            "measured": f.measured
            and {"usd": f.measured.value, "low_usd": f.measured.low, "high_usd": f.measured.high},
        }
        for f in month.followed
    ]


def coming_row(month: Month) -> dict[str, Any] | None:
    """For machines."""
    found = month.coming
    if found is None:
        return None
    return {
        "outlook": outlook(found.outlook),
        "end": found.end and _interval(found.end),
        "following": found.following and {"month": found.following_label, **_interval(found.following)},
    }


def _interval(found: Interval) -> dict[str, float]:
    return {"usd": found.value, "low_usd": found.low, "high_usd": found.high}


def _exact(amount: Decimal | None) -> str | None:
    return None if amount is None else money.exact(amount)
