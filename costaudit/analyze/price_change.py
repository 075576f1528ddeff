"""Rule price-change: what each move of a list price did to this log, and what announced ones will do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

import polars as pl

from costaudit.analyze._analyzer import Analyzer, Claim, need, these, total_usd
from costaudit.analyze._beside import beside
from costaudit.analyze._units import KIND, SPENT
from costaudit.finding import Confidence, Kind, Severity
from costaudit.price.book import PriceBook
from costaudit.price.engine import READS as PRICING
from costaudit.price.engine import bill
from costaudit.price.ledger import Ledger
from costaudit.price.tariff import ALWAYS, Key, timeline
from costaudit.schema import USD

RECENT = timedelta(days=28)  # use that an announced price is applied to: four whole weeks
WEEK = timedelta(weeks=1)
AT_ONCE = 500_000  # calls whose bills are held at a time
KEYS: tuple[str, ...] = Key._fields


class Move(NamedTuple):
    """A price that changes at a moment, for one kind of call.

    kind    a number for the key
    hours   whether a rate by the hour of the day is involved
    """

    key: Key
    kind: int
    moment: datetime
    hours: bool


class PriceChange(Analyzer):
    """List prices that moved inside the window, and announced ones that will.

    ## What it finds
    For each dated change of a price in the book: what the calls after it cost at the new and at the old price, class by
    class, exactly. A cut counts with a minus. Announced changes are applied to the last 28 days of use.
    ## Why it costs money
    A price move changes every later bill without anybody having changed anything, and hides or fakes changes of your
    own: it is kept out of `cost-regression` and stands here instead.
    ## What to do
    Plan with the new price. Before an announced rise, compare models again (`overpowered-model`, `dearer-sibling`).
    ## Example
    ```console
    $ costaudit analyze --select price-change sample_logs/analyzers/price-change.jsonl
    …
          -$1.57  openai:o3: price changed on 2025-06-10, -$1.57 since then
                  low     price-change · F-75fa04 · -$1.57 · confidence high · 2 requests
    …
    ```
    """

    name = "price-change"
    kind = Kind.EXCESS
    reads = (
        *("task", "cost_usd", "price_status", "price_entry"),
        *PRICING,
    )

    def look(self, ledger: Ledger) -> Iterator[Claim]:
        priced = (pl.col("price_status") == "priced") & pl.col("started_at").is_not_null()
        paid = ledger.each(("row", "started_at", KIND), SPENT & priced)
        if paid.is_empty():  # what is priced is so by an entry of the book
            calls = ledger.each(("started_at", "price_entry"), SPENT)
            need(calls, {"started_at": "no call has a time", "price_entry": "no call has a price of the book"})
            return
        first, last = paid["started_at"].min(), paid["started_at"].max()
        assert isinstance(first, datetime)
        assert isinstance(last, datetime)
        recent = paid.filter(pl.col("started_at") > last - RECENT)
        ahead: set[Key] = set()
        past: dict[tuple[str, datetime], list[pl.DataFrame]] = {}
        future: dict[tuple[str, datetime], list[pl.DataFrame]] = {}
        for move in _moves(paid, ledger):
            of_kind = pl.col("kind") == move.kind
            if first < move.moment <= last:
                after = pl.col("started_at").is_between(move.moment, _next(move, ledger.book, last), closed="left")
                mine = paid.filter(of_kind & after)["row"]
                _note(past, move, ledger, mine, _by_class(mine, ledger, partial(_past, move)))
            elif move.moment > last and move.key not in ahead:  # only the next one: later ones start from its price
                ahead.add(move.key)
                mine = recent.filter(of_kind)["row"]
                _note(future, move, ledger, mine, _by_class(mine, ledger, partial(_ahead, move)))
        yield from (_claim(model, moment, parts, announced=False) for (model, moment), parts in sorted(past.items()))
        yield from (_claim(model, moment, parts, announced=True) for (model, moment), parts in sorted(future.items()))


def _moves(paid: pl.DataFrame, ledger: Ledger) -> Iterator[Move]:
    """Every moment at which the tariff of a kind of call changes."""
    some = paid.group_by("kind").agg(pl.first("row"))
    for kind, *row in some.select("kind").hstack(ledger.at(some["row"], KEYS).drop("row")).sort(KEYS).iter_rows():
        key = Key(*row)
        line = timeline(ledger.book, key)
        for nth, moment in enumerate(line.starts):
            if moment == ALWAYS or nth == 0:
                continue
            before, after = line.tariffs[nth - 1], line.tariffs[nth]
            if "priced" == before.status == after.status and (before.steps, before.hours) != (after.steps, after.hours):
                yield Move(key, kind, moment, bool(before.hours or after.hours))


def _next(move: Move, book: PriceBook, last: datetime) -> datetime:
    """When the change after this one comes: from then on dollars belong to that one."""
    later = [moment for moment in timeline(book, move.key).starts if moment > move.moment]
    return min([*later, last + timedelta(microseconds=1)])


def _past(move: Move, calls: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    return _before(calls, move), calls


def _ahead(move: Move, calls: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    return calls, _after(calls, move)


def _before(calls: pl.DataFrame, move: Move) -> pl.DataFrame:
    """The calls sent just before the change; where the hour matters, at the same hour of whole weeks earlier."""
    if not move.hours:
        return _sent(calls, pl.lit(move.moment - timedelta(microseconds=1)))
    ahead = (pl.col("started_at") - pl.lit(move.moment)).dt.total_seconds() // WEEK.total_seconds() + 1
    return _sent(calls, pl.col("started_at") - ahead * pl.lit(WEEK))


def _after(calls: pl.DataFrame, move: Move) -> pl.DataFrame:
    """The calls sent at the change; where the hour matters, at the same hour of whole weeks later."""
    if not move.hours:
        return _sent(calls, pl.lit(move.moment))
    short = (pl.lit(move.moment) - pl.col("started_at")).dt.total_seconds() // WEEK.total_seconds() + 1
    return _sent(calls, pl.col("started_at") + short * pl.lit(WEEK))


def _sent(calls: pl.DataFrame, moment: pl.Expr) -> pl.DataFrame:
    return calls.with_columns(started_at=moment.cast(calls.schema["started_at"]))


def _by_class(
    rows: pl.Series, ledger: Ledger, sides: Callable[[pl.DataFrame], tuple[pl.DataFrame, pl.DataFrame]]
) -> pl.DataFrame:
    """class, old_rate, new_rate [USD per unit of the class], calls, excess_usd; without classes whose price stayed.

    sides   calls as billed at the old, and at the new price
    Calls that one of the two prices does not cover are left out: a first price is no change.
    """
    starts = range(0, max(1, rows.len()), AT_ONCE)
    parts = (sides(these(ledger, rows.slice(start, AT_ONCE))) for start in starts)
    billed = beside(lambda part: _apart(*part, ledger.book), parts, lambda part: part[0].height)
    sums = pl.concat(billed).group_by("class")
    return (
        sums.agg(pl.max("old_rate", "new_rate"), pl.sum("calls", "excess_usd"))
        .filter(pl.col("excess_usd") != 0)
        .with_columns(pl.col("excess_usd").cast(USD), requests=pl.lit(rows.len(), pl.Int64))
    )


def _apart(old: pl.DataFrame, new: pl.DataFrame, book: PriceBook) -> pl.DataFrame:
    """The same of some of the calls, for every class."""
    sides = [bill(side, book).select("row", "class", "rate", "multiplier", "usd") for side in (old, new)]
    both = sides[0].join(sides[1], on=["row", "class"], how="full", suffix="_new", coalesce=True)
    bad = both.filter(pl.col("usd").is_null() | pl.col("usd_new").is_null())["row"].unique()
    return (
        both.filter(~pl.col("row").is_in(bad.implode()))
        .group_by("class")
        .agg(
            old_rate=(pl.col("rate") * pl.col("multiplier")).max(),
            new_rate=(pl.col("rate_new") * pl.col("multiplier_new")).max(),
            calls=pl.len(),
            excess_usd=pl.col("usd_new").sum() - pl.col("usd").sum(),
        )
    )


def _note(
    book: dict[tuple[str, datetime], list[pl.DataFrame]],
    move: Move,
    ledger: Ledger,
    rows: pl.Series,
    parts: pl.DataFrame,
) -> None:
    if parts.is_empty():
        return
    tier = move.key.service_tier or "standard"
    model = str(ledger.at(rows.head(1), ("price_entry",))["price_entry"][0])
    book.setdefault((model, move.moment), []).append(parts.with_columns(service_tier=pl.lit(tier)))


def _claim(model: str, moment: datetime, parts: list[pl.DataFrame], *, announced: bool) -> Claim:
    rows = pl.concat([part.with_columns(nth=pl.lit(nth)) for nth, part in enumerate(parts)])
    requests = sum(int(part["requests"][0]) for part in parts)
    stake = total_usd(rows, "excess_usd")
    day = f"{moment:%Y-%m-%d}"
    title = (
        f"{model}: price announced for {day}, {{usd}} for four weeks like the last"
        if announced
        else f"{model}: price changed on {day}, {{usd}} since then"
    )
    ordered = rows.drop("requests", "nth").sort("excess_usd", "service_tier", "class", descending=[True, False, False])
    return Claim(
        subject={"model": model, "date": day},
        title=title,
        remedy="compare models again before that day" if announced else "plan with the new price",
        severity=Severity.MEDIUM if stake > 0 else Severity.LOW,
        confidence=Confidence.MEDIUM if announced else Confidence.HIGH,
        evidence=ordered.with_columns(model=pl.lit(model), date=pl.lit(day)),
        because=("use is taken from the last 28 days",) if announced else ("both prices applied to the same calls",),
        stake_usd=stake,
        requests=requests,
    )
