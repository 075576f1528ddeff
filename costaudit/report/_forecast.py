"""The plan for scale, for a terminal, a page, a spreadsheet and a machine."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal

import polars as pl

from costaudit.plan import DRIVERS, Growth, Plan, Way
from costaudit.price.exact import sum_usd
from costaudit.report import View, _words
from costaudit.report import _money as money
from costaudit.report._bridge import signed
from costaudit.report._forecast_json import machine
from costaudit.report._layout import EMPTY, Column, Line, Span, Style, paint, paragraph, strong, table
from costaudit.report.csv import written
from costaudit.report.markdown import grid, text
from costaudit.stats import Interval, Outlook
from costaudit.stats.forecast import FEW, NAIVE, RATE

MARKER = "<!-- costaudit forecast -->"
TENANTS = 8
GRADE = 0.75  # hit rate from which a back-test is a medium grade, else low
SHOWN = {
    "trend": "trend of whole weeks",
    NAIVE: "last week again: the trend was no nearer",
    RATE: "run-rate, no forecast",
}


def terminal(plan: Plan, view: View) -> str:
    """Sentence, trust, weeks ahead, drivers, tenants, limits, way under the target."""
    columns = view.columns
    lines: list[Line] = [(Span(line[0].text, Style.STRONG),) for line in paragraph(headline(plan), columns)]
    lines.append(EMPTY)
    for label, said in trust(plan):
        lines += paragraph(said, columns, first=f"  {label:<9}  ")
    for title, heads, cells, remarks in sections(plan, columns):
        lines += [EMPTY, strong(title)]
        if cells:
            lines += table(heads, cells, columns)
        lines += [line for words in remarks for line in paragraph(words, columns, first="  ")]
    return paint(lines, color=view.color)


def markdown(plan: Plan, view: View) -> str:
    """The same as a page."""
    parts = [MARKER, f"**{text(headline(plan))}**", "\n".join(f"- {a}: {text(b)}" for a, b in trust(plan))]
    for title, heads, cells, said in sections(plan, view.columns):
        parts.append(f"## {text(title)}")
        if cells:
            left = sum(not head.right for head in heads[:2])
            parts.append(grid([h.head for h in heads], [[text(c) for c in row] for row in cells], left=max(1, left)))
        parts += [text(words) for words in said]
    return "\n\n".join(parts) + "\n"


def csv(plan: Plan, _view: View) -> str:
    """One row a tenant and growth factor: a month now and then, and its drivers."""
    frames = [g.tenants.select(pl.lit(g.factor).alias("growth"), pl.all()) for g in plan.growth]
    return written(pl.concat(frames))


def html(plan: Plan, view: View) -> str:
    """A page for a browser or a printer."""
    from costaudit.report import _forecast_html

    return _forecast_html.render(plan, view)


RENDERERS: dict[str, Callable[[Plan, View], str]] = {
    "terminal": terminal,
    "json": machine,
    "markdown": markdown,
    "csv": csv,
    "html": html,
}

Section = tuple[str, list[Column], list[list[str]], list[str]]


def headline(plan: Plan) -> str:
    """The next weeks, the largest growth, and what breaks first."""
    whole = plan.ahead[-1]
    days = (whole.end - whole.start).days + 1
    rate = "at the run-rate" if plan.outlook.kind == RATE else "likely"
    said = f"The next {days} days: {usd(whole.usd.value)} {rate} ({spread(whole.usd)})"
    if plan.growth:
        g = plan.growth[-1]
        times = f", {float(g.then_usd / g.now_usd):.1f} times today's {money.headline(g.now_usd)}" if g.now_usd else ""
        what = "traffic" if plan.by == "traffic" else "tenants"
        said += f"; at {g.factor:g}× the {what} a month costs {money.headline(g.then_usd)}{times}"
    first = _first(plan)
    return f"{said}; {first}." if first else f"{said}."


def _first(plan: Plan) -> str:
    if plan.limits is None or plan.limits.is_empty():
        return ""
    row = plan.limits.row(0, named=True)
    return f"{row['limit']} breaks first, at {row['breaks_at']:.1f}×"


def usd(amount: float) -> str:
    return money.usd(Decimal(repr(round(amount, 9))))


def spread(found: Interval) -> str:
    return f"{usd(found.low)} to {usd(found.high)}"


def backtest(found: Outlook) -> str:
    """What earlier forecasts of the same kind were worth, in a sentence."""
    if found.kind == RATE:
        days = money.plural(found.days, "day")
        spread_ = "a spread as large as it" if found.days < FEW else "the spread of days"
        return f"{days} of log: the mean day and {spread_}; four whole weeks make a trend"
    tests = found.backtest
    if tests is None:
        return f"{found.weeks} weeks of log are too few for a back-test: confidence low"
    week = money.plural(tests.weeks, "week")
    said = (
        f"back-test: {tests.hits} of {money.plural(tests.origins, 'forecast')} {week} ahead held "
        f"({money.percent(tests.hit_rate)}), error of the trend {money.percent(tests.error)}, of the last week "
        f"again {money.percent(tests.naive_error)}; confidence {'medium' if tests.hit_rate >= GRADE else 'low'}"
    )
    if found.widened:
        said += "; interval widened to what the back-test missed"
    return said


def trend(found: Outlook) -> str:
    growth = money.rise(found.growth, 1)
    return f"{SHOWN[found.kind]}; weekly spend {growth} a week over {found.weeks} weeks"


def trust(plan: Plan) -> list[tuple[str, str]]:
    said = [
        ("trust", "; ".join(_words.trusted(plan.coverage))),
        ("window", _words.window(plan.window)),
        ("base", f"{_words.window(plan.base)}: {money.plural(plan.days, 'day')}, scaled to a month of 30.4"),
        *(("note", note) for note in plan.notes),
    ]
    return [(label, words) for label, words in said if words]


def sections(plan: Plan, columns: int) -> list[Section]:
    """Title, heads, rows and remarks of every part."""
    parts = [_ahead(plan), _drivers(plan), _tenants(plan, columns), _limits(plan, columns)]
    return [*parts, _under(plan.way)] if plan.way is not None else parts


def _ahead(plan: Plan) -> Section:
    heads = [
        Column("days", right=False),
        Column("likely" if plan.outlook.kind != RATE else "run-rate"),
        Column(f"{money.percent(plan.outlook.level)} interval"),
        Column("last week again" if plan.outlook.kind != RATE else "", optional=True, rank=1),
    ]
    cells = []
    for week in plan.ahead:
        again = usd(week.naive_usd) if plan.outlook.kind != RATE else ""
        cells.append([_days(week.start, week.end), usd(week.usd.value), spread(week.usd), again])
    said = [trend(plan.outlook)] if plan.outlook.kind != RATE else []
    return "Where spend goes", heads, cells, [*said, backtest(plan.outlook)]


def _days(start: date, end: date) -> str:
    return f"{start} to {end}"


def _drivers(plan: Plan) -> Section:
    names = [name for name in DRIVERS if any(d.name == name for g in plan.growth for d in g.drivers)]
    heads = [
        Column("driver", right=False),
        Column("which is", right=False, flexible=True, least=16),
        *(Column(f"{g.factor:g}×") for g in plan.growth),
    ]
    cells = []
    for name in names:
        by = [next((d.usd for d in g.drivers if d.name == name), Decimal(0)) for g in plan.growth]
        cells.append([name, DRIVERS[name], *(signed(x) if x else money.NONE for x in by)])
    now = money.usd(plan.growth[0].now_usd) if plan.growth else ""
    cells.append(["a month", f"instead of {now}", *(money.usd(g.then_usd) for g in plan.growth)])
    cells.append(["from", "80 % interval", *(money.usd(g.low_usd) for g in plan.growth)])
    cells.append(["to", "", *(money.usd(g.high_usd) for g in plan.growth)])
    said = []
    if plan.growth and plan.growth[-1].over_step is not None:
        now_, then = plan.growth[-1].over_step
        said.append(
            f"{money.percent(now_, 1)} of the requests lie beyond a long-context step, {money.percent(then, 1)} with "
            "the prompts to come; traffic does not move them"
        )
    what = "traffic" if plan.by == "traffic" else "number of tenants"
    return f"What growth of the {what} costs, a month", heads, cells, said


def _tenants(plan: Plan, columns: int) -> Section:
    if plan.tenants.height < 2:
        return "Tenants", [], [], ["the log names one tenant or none: `tenants:` in costaudit.yaml maps a field"]
    wide = columns >= 100
    heads = [
        Column("tenant", right=False, flexible=True),
        Column("a month"),
        Column("share", rank=3),
        Column("trend/week", rank=2),
        Column(f"next {(plan.ahead[-1].end - plan.ahead[-1].start).days + 1} days"),
        *([Column("80 % interval", rank=4)] if wide else []),
        *(Column(f"at {g.factor:g}×") for g in plan.growth),
    ]
    cells = []
    shown = plan.tenants.head(TENANTS)
    for row in shown.iter_rows(named=True):
        growth = "–" if row["trend"] is None else money.rise(row["trend"], 1)
        ahead = Interval(row["next_usd"], row["low_usd"], row["high_usd"])
        then = [_of(g, row["tenant"]) for g in plan.growth]
        cells.append(
            [
                row["tenant"],
                "no price" if row["now_usd"] is None else money.usd(row["now_usd"]),
                money.percent(row["share"]),
                growth,
                money.NONE if row["now_usd"] is None else usd(ahead.value),
                *([money.NONE if row["now_usd"] is None else spread(ahead)] if wide else []),
                *(money.NONE if row["now_usd"] is None else money.usd(x) for x in then),
            ]
        )
    cells += _rest(plan, shown["tenant"].to_list(), wide)
    return "Tenants", heads, cells, []


def _of(growth: Growth, tenant: str) -> Decimal:
    found = growth.tenants.filter(pl.col("tenant") == tenant)["then_usd"]
    return found.item() if found.len() else Decimal(0)


def _rest(plan: Plan, shown: list[str], wide: bool) -> list[list[str]]:
    """All other tenants together, and the new ones: the columns add up."""
    if not plan.growth:
        return []
    others = [g.tenants.filter(~pl.col("tenant").is_in([*shown, "(new tenants)"])) for g in plan.growth]
    rest = []
    empty = ["–", "–", *(["–"] if wide else [])]
    if others[0].height:
        total = plan.growth[0].now_usd
        now = total_of(others[0], "now_usd")
        sums = [money.usd(total_of(frame, "then_usd")) for frame in others]
        rest.append([f"{others[0].height:,} more", money.usd(now), money.percent(money.of(now, total)), *empty, *sums])
    if plan.by != "traffic":
        new = [money.usd(_of(g, "(new tenants)")) for g in plan.growth]
        rest.append(["(new tenants)", money.usd(Decimal(0)), "–", *empty, *new])
    return rest


def total_of(frame: pl.DataFrame, column: str) -> Decimal:
    """The sum of a column of dollars."""
    return sum_usd(frame[column])


def _limits(plan: Plan, columns: int) -> Section:
    if plan.limits is None:
        return "What breaks first", [], [], ["not checked: no limits file; name one with --limits FILE, or `limits:`"]
    wide = columns >= 100
    heads = [
        Column("limit", right=False, flexible=True),
        Column("of", right=False),
        Column("allowed", rank=1),
        Column("peak"),
        Column("to come, 95 %" if wide else "up to"),
        Column("breaks at"),
        Column("fullest", right=False, rank=2),
    ]
    cells = [
        [
            row["limit"],
            row["what"].replace("_per_minute", "/min"),
            money.count(row["allowed"]),
            money.count(row["peak"]),
            f"{row['low']:,.0f} to {row['high']:,.0f}" if wide else f"{row['high']:,.0f}",
            f"{row['breaks_at']:.1f}×",
            f"{row['weekday'][:3]} {row['hour']:02}:00",
        ]
        for row in plan.limits.iter_rows(named=True)
    ]
    said = ["peak: 99.9 % of all minutes, quiet ones included; in as many to come it may reach the upper figure"]
    if wide:
        said = ["peak: 99.9 % of all minutes, quiet ones included; beside it where that of as many to come lies"]
    if not cells:
        said = ["no request falls under a limit of the file"]
    return "What breaks first", heads, cells, said


def _under(way: Way) -> Section:
    title = f"Under {money.usd(way.target_usd)} a month at {way.factor:g}×"
    heads = [
        Column("saves"),
        Column("risk", right=False, rank=1),
        Column("change", right=False, flexible=True, most=70),
        Column("finding", right=False),
    ]
    cells = [[money.usd(s.saves_usd), s.risk, f"{s.rule}: {s.subject}", s.finding] for s in way.steps]
    if way.before_usd <= way.target_usd:
        return title, [], [], [f"nothing to do: {money.usd(way.before_usd)} a month is under it already"]
    ends = money.usd(way.before_usd), money.usd(way.after_usd)
    end = f"{ends[0]} becomes {ends[1]} a month, by replay of {money.plural(way.tried, 'set')} of changes"
    if not way.reached:
        end = f"not reached: {end}; no other finding of this log saves more"
    return title, heads, cells, [end]
