"""price(): one vectorised pass from requests to dollars, exact to the last of 18 decimals.

A log has few kinds of calls and many rows. Each kind (provider, model, tier, region, search size) is resolved once
to dated rates; every row then picks its line of one small rate table by integer arithmetic alone: kind × price
epoch, hours of a schedule, long-context steps.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from functools import partial
from typing import NamedTuple

import polars as pl

from costaudit import scratch
from costaudit.price._table import Lines, lines
from costaudit.price._usage import COUNTS, QUANTITY, Totals, text_classes, totals
from costaudit.price.book import PriceBook
from costaudit.price.classes import CLASSES, rate_of
from costaudit.price.exact import NOTHING, amount, amounts
from costaudit.price.tariff import Key
from costaudit.schema import USD

AT_ONCE = 500_000  # calls; pricing holds some 250 bytes of working columns a call
SLICES = 2  # at the same time: most of the work of a slice is done by one thread
SAFE = 2**62  # sums below this cannot wrap in Int64
PLACES = Decimal(1).scaleb(-15)  # USD; hourly rates over seconds need not end
_NO_COST = ["free", "subscription"]
LENGTH = "_prompt"  # of a row that stands for many calls: a length of prompt priced like each of theirs
READS = (
    *Key._fields,
    *COUNTS,
    *("extras", "status", "rollup", "summed", "gateway_cache_hit", "started_at", "ended_at"),
)


def price(calls: pl.DataFrame, book: PriceBook, *, filed: bool = False) -> pl.DataFrame:
    """Add to each call its cost on the day it was sent.

    in      columns of schema.REQUESTS, any number of rows; a missing time is priced at the book's own date
    out     the same rows with cost_usd [USD], price_status and price_entry added or replaced. cost_usd is null where
            no price is known for something the call used. Roll-ups, gateway cache hits and errors without usage
            cost 0 with status null: nothing was billed. Free calls and calls under a subscription cost 0.
    exact   decimal throughout; only durations are rounded (half-even at 15 places)
    filed   what is added to many calls stands in a file (`scratch`)
    """
    if calls.height <= AT_ONCE and not filed:
        return calls.with_columns(_costs(calls, book).get_columns())
    read = calls.select(name for name in (*READS, LENGTH) if name in calls.columns)
    return scratch.with_columns(calls, in_slices(read, lambda part: _costs(part, book), filed=filed))


def in_slices(
    calls: pl.DataFrame,
    said: Callable[[pl.DataFrame], pl.DataFrame],
    *,
    filed: bool = False,
    beside: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """What is said of each call by itself, of so many at a time that their working columns stay small.

    filed   it goes to a file, if the calls are many; `beside` as in `scratch.kept`
    """
    if filed and calls.height:
        parts = (partial(said, part) for part in calls.iter_slices(AT_ONCE))
        return scratch.made(calls.height, parts, beside)
    if calls.height <= AT_ONCE:
        return said(calls)
    with ThreadPoolExecutor(SLICES) as pool:
        return pl.concat(pool.map(said, calls.iter_slices(AT_ONCE)))


def _costs(calls: pl.DataFrame, book: PriceBook) -> pl.DataFrame:
    """cost_usd, price_status and price_entry of each call."""
    bill = _Bill(calls, book)
    frame = pl.DataFrame(
        {
            "billed": _billed(calls),
            "listed": bill.usd(),
            "status": bill.of_tariff("status"),
            "entry": bill.of_tariff("entry"),
        }
    )
    free = pl.col("status").is_in(_NO_COST)
    unknown = (pl.col("status") == "unpriced") | (pl.col("listed").is_null() & ~free)
    return frame.select(
        cost_usd=pl.when(~pl.col("billed") | free).then(NOTHING).when(~unknown).then("listed"),
        price_status=pl.when("billed").then(pl.when(unknown).then(pl.lit("unpriced")).otherwise("status")),
        price_entry=pl.when(pl.col("billed") & (pl.col("entry") != "")).then("entry"),
    )


def list_usd(calls: pl.DataFrame, book: PriceBook) -> pl.Series:
    """What each call costs at the list price, under a subscription too [USD]; null where no price is known."""
    return _Bill(calls, book).usd()


def bill(calls: pl.DataFrame, book: PriceBook) -> pl.DataFrame:
    """The arithmetic of each call's list price, one row a class it used.

    out   row (position in `calls`, from 0), class, quantity (as billed), rate [USD per unit], unit, multiplier,
          usd [USD; null: no rate is known]; the parts of a call add up to its list price exactly
    """
    return _Bill(calls, book).parts()


def bill_by(calls: pl.DataFrame, book: PriceBook, keys: pl.DataFrame) -> pl.DataFrame:
    """The bills of all calls, summed by class over those that share the values of `keys` (one row a call).

    out   the columns of `keys`, class, quantity, usd [USD; null: no rate is known for some of it]; the same sums as
          those of `bill`, without a row a call. Reasoning is always apart from output, priced apart or not.
    """
    return _Bill(calls, book).sums(keys)


def _billed(calls: pl.DataFrame) -> pl.Series:
    """Whether the provider was called and counted: not a roll-up, not a gateway's own cache, not an empty error."""
    have = calls.columns
    nothing = pl.lit(value=False)
    for flag in ("rollup", "gateway_cache_hit"):
        if flag in have:
            nothing = nothing | pl.col(flag).fill_null(value=False)
    if "status" in have:
        used = pl.lit(value=False)
        for count in {"input_tokens", "output_tokens"} & set(have):
            used = used | (pl.col(count).fill_null(0) > 0)
        if "extras" in have:
            used = used | (pl.col("extras").list.len().fill_null(0) > 0)
        nothing = nothing | ((pl.col("status") == "error").fill_null(value=False) & ~used)
    return calls.select(billed=pl.repeat(value=True, n=pl.len()) & ~nothing).to_series()


def _longest(calls: pl.DataFrame, prompt: pl.Series) -> pl.Series:
    """The prompt that decides long-context steps: that of the call; of a total of several calls a short one.

    Where one row stands for many calls, a column says it (`costaudit.price.linear`).
    """
    if LENGTH in calls.columns:
        return calls[LENGTH]
    if "summed" not in calls.columns or not calls["summed"].any():
        return prompt
    return prompt.set(calls["summed"].fill_null(value=False), 0)


class _Rate(NamedTuple):
    """What one unit of a class costs on a line, and the least quantity billed; null: not known."""

    rate: Decimal | None = None
    multiplier: Decimal | None = None
    unit_usd: Decimal | None = None
    least: Decimal | None = None
    unit: str = ""


class _Bill:
    """The calls of one pass with their quantities and rate lines: what `price` sums and `bill` shows."""

    def __init__(self, calls: pl.DataFrame, book: PriceBook) -> None:
        self.height = calls.height
        self.totals: Totals = totals(calls)
        self.lines: Lines = lines(calls, _longest(calls, self.totals.prompt), book)
        self.extras = self._all_extras(calls)
        self.counts = self.totals.counts.with_columns(
            line=self.lines.line,
            rest_30m=self.lines.pick(self.lines.table.writes_live_30m(), pl.Boolean),
            own_reasoning=self.lines.pick(self.lines.table.has("reasoning"), pl.Boolean),
        )
        self.classes = text_classes(self.totals, self.lines)

    def of_tariff(self, name: str) -> pl.Series:
        return self.lines.pick([getattr(t, name) for t in self.lines.table.tariffs], pl.String)

    def usd(self) -> pl.Series:
        """List price of each call."""
        cost = self._text_usd()
        if self.extras.height:
            fees = self._extra_parts().group_by("at", maintain_order=True).agg(_sum_or_null("usd"))
            spread = pl.DataFrame({"at": pl.int_range(self.height, dtype=pl.UInt32, eager=True)}).join(
                fees, on="at", how="left", maintain_order="left"
            )
            touched = spread["at"].is_in(fees["at"].implode())
            cost = (
                pl.DataFrame({"text": cost, "fee": spread["usd"], "touched": touched})
                .select(pl.when("touched").then(pl.col("text") + pl.col("fee")).otherwise("text"))
                .to_series()
            )
        return cost.cast(USD)

    def parts(self) -> pl.DataFrame:
        """One row a call and class used, in order of call and class."""
        text = [
            self.counts.select(at=pl.int_range(pl.len(), dtype=pl.UInt32), quantity=tokens.cast(QUANTITY), line="line")
            .filter(pl.col("quantity") > 0)
            .with_columns(pl.lit(name).alias("class"))
            .select("at", "class", "quantity", "line")
            for name, tokens in self.classes.items()
        ]
        long = pl.concat([*text, self.extras.filter(pl.col("quantity").is_null() | (pl.col("quantity") > 0))])
        shown = self._with_rates(long)
        order = {name: nth for nth, name in enumerate(CLASSES)}
        rank = pl.col("class").replace_strict(order, default=len(order), return_dtype=pl.Int64)
        return shown.sort("at", rank, "class").select(
            pl.col("at").alias("row"), "class", "quantity", "rate", "unit", "multiplier", "usd"
        )

    def sums(self, keys: pl.DataFrame) -> pl.DataFrame:
        """Quantity and list price by `keys` and class: tokens are summed by rate line first, and priced once."""
        names = keys.columns
        classes = self._reasoning_apart()
        summed = (
            pl.concat([keys, self.counts], how="horizontal")
            .group_by(*names, "line")
            .agg(tokens.cast(pl.Int128).sum().alias(name) for name, tokens in classes.items())
        )
        text = [
            summed.select(*names, "line", pl.lit(name).alias("class"), quantity=pl.col(name).cast(QUANTITY))
            for name in classes
        ]
        fees = pl.concat([keys[self.extras["at"]], self._extra_parts()], how="horizontal")
        parts = [*([self._with_rates(pl.concat(text))] if text else []), fees]
        return (
            pl.concat([part.select(*names, "class", "quantity", "usd") for part in parts])
            .filter(pl.col("quantity").is_null() | (pl.col("quantity") > 0))
            .group_by(*names, "class")
            .agg(pl.col("quantity").sum(), _sum_or_null("usd"))
        )

    def _reasoning_apart(self) -> dict[str, pl.Expr]:
        """The text classes with all hidden output in `reasoning`, which has the rate of output where it has none."""
        if "output" not in self.classes:
            return self.classes
        written = self.classes["output"]
        inside = pl.min_horizontal("reasoning_tokens", written)
        hidden = pl.when("own_reasoning").then(pl.lit(0)).otherwise(inside)
        apart = hidden + self.classes["reasoning"] if "reasoning" in self.classes else hidden
        return self.classes | {"output": written - hidden, "reasoning": apart}

    def _text_usd(self) -> pl.Series:
        """Σ tokens × rate over the text classes; null where a used class has no rate."""
        rates = {name: self.lines.table.unit_rates(name) for name in self.classes}
        scale = max((_decimals(r) for column in rates.values() for r in column if r is not None), default=0)
        most = self.counts.select(pl.max("input_tokens", "output_tokens", "cache_write_tokens")).row(0)
        tokens = max((n for n in most if n), default=0)
        dearest = max((r for column in rates.values() for r in column if r is not None), default=Decimal(0))
        whole = scale <= 18 and tokens * int(dearest.scaleb(scale)) * len(rates) < SAFE
        terms = [self._term(name, column, scale if whole else None) for name, column in rates.items()]
        if not terms:
            return pl.repeat(0, self.height, eager=True).cast(USD)
        total = sum(terms[1:], terms[0])
        if whole:
            total = total.cast(pl.Decimal(38, 0)) * amount(Decimal(1).scaleb(-scale), USD)
        return self.counts.select(total.cast(USD)).to_series()

    def _term(self, name: str, column: list[Decimal | None], scale: int | None) -> pl.Expr:
        """tokens × rate of one class: in whole units of 10^-scale USD where they fit Int64, else in decimals."""
        tokens = self.classes[name]
        if scale is None:
            rate = self.lines.spread(amounts(column))
            tokens = tokens.cast(pl.Decimal(38, 0))
        else:
            rate = self.lines.pick([None if r is None else int(r.scaleb(scale)) for r in column], pl.Int64)
        product = tokens * pl.lit(rate)
        if None in column:
            return pl.when(tokens == 0).then(pl.lit(0)).otherwise(product)
        return product

    def _all_extras(self, calls: pl.DataFrame) -> pl.DataFrame:
        """Classes named in `extras`, and those a call uses by being made: at, class, quantity, line."""
        named = self.totals.extras.with_columns(line=self.lines.line.gather(self.totals.extras["at"]))
        made = [named]
        if any(self.lines.table.has("requests")):
            made.append(self._implied("requests", calls, pl.lit(1)))
        if any(self.lines.table.has("machine_seconds")):
            made.append(self._implied("machine_seconds", calls, _duration(calls)))
        return pl.concat(made) if len(made) > 1 else named

    def _implied(self, name: str, calls: pl.DataFrame, quantity: pl.Expr) -> pl.DataFrame:
        """One quantity for each call whose rates have the class and whose log does not count it."""
        own = self.lines.pick(self.lines.table.has(name), pl.Boolean)
        counted = self.totals.extras.filter(pl.col("class") == name)["at"]
        return (
            calls.with_columns(pl.int_range(pl.len(), dtype=pl.UInt32).alias("at"), line=self.lines.line, own=own)
            .filter(pl.col("own") & ~pl.col("at").is_in(counted.implode()))
            .select("at", pl.lit(name).alias("class"), quantity.cast(QUANTITY).alias("quantity"), "line")
        )

    def _extra_parts(self) -> pl.DataFrame:
        return self._with_rates(self.extras)

    def _with_rates(self, long: pl.DataFrame) -> pl.DataFrame:
        """Quantities as billed, with rate, unit, multiplier and their product."""
        kinds = long.select("class", "line").unique(maintain_order=True)
        rates = [self._rate(name, line) for name, line in kinds.iter_rows()]
        known = kinds.with_columns(
            amounts((rate.rate for rate in rates), name="rate"),
            amounts((rate.multiplier for rate in rates), pl.Decimal(38, 9), "multiplier"),
            amounts((rate.unit_usd for rate in rates), name="unit_usd"),
            amounts((rate.least for rate in rates), QUANTITY, "least"),
            pl.Series("unit", [rate.unit for rate in rates], dtype=pl.String),
        )
        priced = long.join(known, on=["class", "line"], how="left", maintain_order="left").with_columns(
            quantity=pl.when(pl.col("quantity") > 0).then(pl.max_horizontal("quantity", "least")).otherwise("quantity")
        )
        hourly = pl.col("class").is_in([c.name for c in CLASSES.values() if c.per == 3_600])
        return priced.with_columns(
            usd=pl.when(pl.col("quantity") == 0)
            .then(NOTHING)
            .when(hourly)
            .then(_timed(priced.filter(hourly), priced.height, priced.select(hourly).to_series()))
            .otherwise((pl.col("quantity") * pl.col("unit_usd")).cast(USD))
        )

    def _rate(self, name: str, line: int) -> _Rate:
        """The rate of a class on a line."""
        if name not in CLASSES:
            return _Rate()
        found = rate_of(name, self.lines.table.rates[line])
        least = (self.lines.table.tariffs[line].least or {}).get(name)
        per = CLASSES[name].per
        unit = f"per {per:,} {CLASSES[name].unit}" if per not in (1, 3_600) else "per hour" if per == 3_600 else "each"
        if found is None:
            return _Rate(least=least, unit=unit)
        return _Rate(found.rate, found.multiplier, found.per_unit(name), least, unit)


def _timed(rows: pl.DataFrame, height: int, where: pl.Series) -> pl.Series:
    """quantity × hourly rate ÷ 3,600 of the rows, half-even at 15 places, spread to `height` rows."""
    spread = pl.Series([None], dtype=USD).new_from_index(0, height)
    if rows.is_empty():
        return spread
    with localcontext(prec=60, rounding=ROUND_HALF_EVEN):
        usd = [
            None if quantity is None or rate is None else (quantity * rate * multiplier / 3_600).quantize(PLACES)
            for quantity, rate, multiplier in rows.select("quantity", "rate", "multiplier").iter_rows()
        ]
    return spread.scatter(where.arg_true(), pl.Series(usd, dtype=USD))


def _sum_or_null(name: str) -> pl.Expr:
    """A sum that is null when any part is: a part without a price is not a part that costs nothing."""
    return pl.when(pl.col(name).is_null().any()).then(None).otherwise(pl.col(name).sum()).alias(name)


def _duration(calls: pl.DataFrame) -> pl.Expr:
    """Seconds from start to end of a call; null where the log does not give both."""
    if not {"started_at", "ended_at"} <= set(calls.columns):
        return pl.lit(None, pl.Int64)
    micro = (pl.col("ended_at") - pl.col("started_at")).dt.total_microseconds().clip(0)
    return micro.cast(QUANTITY) * pl.lit(Decimal("0.000001"), QUANTITY)


def _decimals(rate: Decimal) -> int:
    exponent = rate.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
