"""The price book as text: a history, an arithmetic, a comparison."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

from costaudit.price.book import PriceBook
from costaudit.price.entry import Model, Period, Provider, Rates
from costaudit.report import _layout
from costaudit.report._layout import Column, paint
from costaudit.report._text import clean, width, wrap

if TYPE_CHECKING:
    import polars as pl

    from costaudit.price.quote import Answer

RARE = {"cache_write_12h": 4, "cache_write_30m": 3, "cache_write_1h": 2, "cache_write_5m": 1}  # the first go first
SHOWN = ("input", "cache_read", "cache_write_5m", "cache_write_30m", "cache_write_1h", "cache_write_12h", "output")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> str:
    """Columns two spaces apart; the first `left` are text, the others numbers set right."""
    cells = [tuple(head), *(tuple(clean(cell) for cell in row) for row in rows)]
    widths = [max(width(row[n]) for row in cells) for n in range(len(head))]
    lines = []
    for row in cells:
        padded = (
            cell + " " * (room - width(cell)) if n < left else " " * (room - width(cell)) + cell
            for n, (cell, room) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines) + "\n"


def providers(book: PriceBook) -> str:
    """Every provider: models, periods, newest reading."""
    rows = [
        (
            file.provider,
            f"{len(file.models):,}",
            f"{sum(len(m.prices) for m in file.models.values()):,}",
            str(max((s.read_on for s in file.sources.values()), default="")) or f"as {file.list_of}",
        )
        for file in book.all()
    ]
    models = sum(int(row[1].replace(",", "")) for row in rows)
    note = f"{models:,} models of {len(rows)} providers, newest prices read {book.as_of}, book {book.sha256[:12]}\n"
    return table(("provider", "models", "periods", "read on"), rows) + "\n" + note


def models(file: Provider, day: date, columns: int) -> str:
    """Every model of a provider with its rates on a day; where `columns` are few, without rare rates."""
    now = {name: model.prices[in_force(model, day)] for name, model in file.models.items()}
    rows = [(name, *(_rate(p.rates, c) for c in SHOWN), p.since or "launch") for name, p in now.items()]
    heads = [Column(file.provider, right=False, flexible=True, least=24, most=columns)]
    heads += [Column(name, optional=True, rank=RARE.get(name, 0)) for name in SHOWN]
    return fitted([*heads, Column("since")], rows, columns) + "\nUSD per million tokens\n"


def fitted(columns: Sequence[Column], rows: Sequence[Sequence[str]], room: int) -> str:
    """A table in at most `room` columns, as reports have them."""
    return paint(_layout.table(columns, rows, room, indent=0), color=False)


def problems(found: Sequence[tuple[str, str, str]], columns: int) -> str:
    """What a check found (kind, where, what); where a line of it is too long, without columns."""
    page = table(("kind", "where", "what"), found, left=3)
    if max(map(width, page.splitlines())) <= columns:
        return page
    lines = [_wrapped(f"{kind}  {clean(where)}: {clean(what)}", columns) for kind, where, what in found]
    return "\n".join(lines) + "\n"


def _wrapped(text: str, columns: int) -> str:
    """A clean text in lines of at most `columns`, the later ones set in."""
    return "\n  ".join(wrap(text, columns - 2))


def in_force(model: Model, day: date) -> int:
    """Which period of a model holds on a day; the first one where all begin later."""
    begun = [nth for nth, period in enumerate(model.prices) if period.start is None or period.start.date() <= day]
    return max(begun, default=0)


def history(provider: Provider, name: str, model: Model, day: date, columns: int) -> str:
    """The dated prices of one model, its tiers, steps and facts on a day, and those that are announced."""
    classes = list(dict.fromkeys(c for p in model.prices for c in p.rates))
    rows = [
        (p.since or "launch", *(_rate(p.rates, c) for c in classes), provider.sources[p.source].title)
        for p in model.prices
    ]
    lines = [f"{provider.provider}:{clean(name)}", "", table(("since", *classes, "source"), rows)]
    now = in_force(model, day)
    for nth, period in enumerate(model.prices):
        told = _details(period) if nth >= now else _steps(period)
        dated = f"from {period.since or 'launch'}, " if nth != now else ""
        lines += [dated + clean(line) for line in told]
    for fee in provider.fees:
        dated = f"from {fee.since}, " if fee.since else ""
        lines += [f"{dated}with every model: {_rates(fee.rates)}"]
    if model.aliases:
        lines.append(_wrapped("also called: " + ", ".join(map(clean, model.aliases)), columns))
    if model.facts.same_as:
        lines.append(f"same weights elsewhere: group {clean(model.facts.same_as)}")
    return "\n".join(lines).rstrip() + "\n"


def _steps(period: Period) -> list[str]:
    return [f"prompts above {step.above:,} tokens: {_rates(step.rates)}" for step in period.over]


def _details(period: Period) -> list[str]:
    lines = _steps(period)
    for kind, cards in (("tier", period.tiers), ("hours", period.hours)):
        for name, card in cards.items():
            lines.append(f"{kind} {name}: {_rates(card.rates)}")
            lines += [f"  above {step.above:,} tokens: {_rates(step.rates)}" for step in card.over]
    lines += [f"search context {size}: {_rates(fees)}" for size, fees in period.sizes.items()]
    lines += [f"region {place}: ×{factor:f} on tokens" for place, factor in period.uplift.items() if factor != 1]
    lines += [f"at least {least:f} {name} a request" for name, least in period.least.items()]
    return lines


def _rates(rates: Rates) -> str:
    return ", ".join(f"{name} {rate:f}" for name, rate in rates.items())


def _rate(rates: Rates, name: str) -> str:
    return f"{rates[name]:f}" if name in rates else ""


def arithmetic(answer: Answer, title: str) -> str:
    """A price with how it was found and what it is made of, line by line."""
    said = {"free": "free", "subscription": "under a subscription: nothing by the token"}
    total = f"${plain(answer.usd)}" if answer.usd is not None else "no price is known"
    lines = [f"{clean(title)}: {said.get(answer.status, total)}", ""]
    lines += [f"  {clean(step)}" for step in answer.steps]
    if answer.lines.height:
        lines += ["", *(f"  {line}" for line in _sum(answer).splitlines())]
    if answer.list_usd is not None:
        lines.append(f"  at list price: ${plain(answer.list_usd)}")
    return "\n".join(lines) + "\n"


def _sum(answer: Answer) -> str:
    rows = []
    for part in answer.lines.iter_rows(named=True):
        rate = f"${plain(part['rate'])} {part['unit']}" if part["rate"] is not None else "no rate"
        factor = f"× {plain(part['multiplier'])}" if part["multiplier"] not in (None, Decimal(1)) else ""
        cost = f"= ${plain(part['usd'])}" if part["usd"] is not None else "= unknown"
        rows.append((part["class"], f"{_grouped(part['quantity'])} × {rate}", factor, cost))
    return table(("class", "quantity × rate", "uplift", "cost"), rows, left=4)


def plain(amount: Decimal | None) -> str | None:
    """A decimal string without exponent or trailing zeros."""
    if amount is None:
        return None
    text = f"{amount:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def _grouped(quantity: Decimal | None) -> str:
    """A quantity with its thousands apart and no zeros at the end."""
    if quantity is None:
        return "unknown"
    whole, _, fraction = (plain(quantity) or "").partition(".")
    return f"{int(whole):,}" + (f".{fraction}" if fraction else "")


def changes(old: PriceBook, new: PriceBook) -> str:
    """Models that only one of two books has, and models whose newest rates differ."""
    before, after = _newest(old), _newest(new)
    rows = [(name, "only in the new book", "") for name in sorted(after.keys() - before.keys())]
    rows += [(name, "only in the old book", "") for name in sorted(before.keys() - after.keys())]
    for name in sorted(before.keys() & after.keys()):
        rows += [(name, what, told) for what, told in _changed(before[name], after[name])]
    if not rows:
        return "the books price every model alike\n"
    return table(("model", "what", "change"), rows, left=3)


def _newest(book: PriceBook) -> dict[str, Rates]:
    return {f"{f.provider}:{name}": m.prices[-1].rates for f in book.all() for name, m in f.models.items()}


def _changed(before: Rates, after: Rates) -> Iterable[tuple[str, str]]:
    for name in dict.fromkeys((*before, *after)):
        was, now = before.get(name), after.get(name)
        if was != now:
            yield name, f"{'none' if was is None else f'{was:f}'} -> {'none' if now is None else f'{now:f}'}"


def costs(requests: pl.DataFrame, old: PriceBook, new: PriceBook) -> str:
    """What the same calls cost under two books, by model, the largest change first; unpriced calls count nothing."""
    import polars as pl

    from costaudit.price.engine import price
    from costaudit.price.exact import sum_usd

    def by_model(book: PriceBook, name: str) -> pl.DataFrame:
        priced = price(requests, book)
        total = pl.col("cost_usd").fill_null(Decimal(0)).sum().alias(name)
        return priced.group_by(pl.col("model").fill_null("(no model)")).agg(total)

    both = (
        by_model(old, "old")
        .join(by_model(new, "new"), on="model")
        .sort((pl.col("new") - pl.col("old")).abs(), "model", descending=[True, False])
    )
    rows = [(model, f"${was:.2f}", f"${now:.2f}", f"${now - was:+.2f}") for model, was, now in both.iter_rows()]
    was, now = sum_usd(both["old"]), sum_usd(both["new"])
    rows.append(("all", f"${was:.2f}", f"${now:.2f}", f"${now - was:+.2f}"))
    return table(("model", "old", "new", "change"), rows)
