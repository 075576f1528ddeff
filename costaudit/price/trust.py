"""How far each dollar can be believed: a trust status and an interval for every call.

low ≤ cost ≤ high; a null high means that nothing bounds the cost from above.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

import polars as pl

from costaudit import scratch
from costaudit.price._usage import LIFETIMES
from costaudit.price.book import PriceBook
from costaudit.price.classes import INPUT_SIDE
from costaudit.price.engine import LENGTH, in_slices, price
from costaudit.price.engine import READS as PRICING
from costaudit.price.entry import Card, Period, Rates
from costaudit.price.exact import NOTHING, amount
from costaudit.schema import USD

LEAST, MOST = Decimal("0.8"), Decimal("1.4")  # another vendor's tokenizer: -20 % / +40 %
# Sellers that cache long prompts unasked: there a count that is not logged is unknown, elsewhere it is none.
UNASKED = "^(openai|azure|google|deepseek|x-ai|moonshotai):"
CACHED_FROM = 1_024  # tokens; the shortest prompt that OpenAI caches
BESIDE = ("anthropic-messages", "anthropic-batch")  # bodies that always state cache counts, beside the input

READS = (
    *PRICING,
    *("format", "source_file", "task", "model_requested", "usage_source", "convention", "has_text"),
    *("cost_usd", "price_status", "price_entry"),
)
_MODEL = pl.coalesce("model", "model_requested").alias("_model")
NO_PEERS = pl.Schema({"task": pl.String(), "_model": pl.String(), "_peer": USD})


class Others(NamedTuple):
    """What is known of calls that are not at hand, where one part of a log is judged at a time.

    files  format, source_file that state in any row what was read from a cache; None: the calls at hand say it
    peers  `dearest_calls` of all calls; None: of those at hand
    named  False: nobody has looked for tasks, so that two calls without one are not of the same
    """

    files: pl.DataFrame | None = None
    peers: pl.DataFrame | None = None
    named: bool = True


def trust(
    calls: pl.DataFrame,
    book: PriceBook,
    others: Others = Others(),  # noqa: B008
    *,
    filed: bool = False,
) -> pl.DataFrame:
    """Add to each priced call its trust status and the interval its cost lies in.

    in      priced calls [schema.REQUESTS + cost_usd, price_status]
    out     low_usd, high_usd [USD; high null: no upper bound], trust (null for roll-ups, which are no calls)
    filed   what is added to many calls stands in a file (`scratch`)
    """
    frame = calls.select(name for name in (*READS, LENGTH) if name in calls.columns)
    frame = frame.with_columns(_stated(frame, others.files).alias("_stated"))
    judged = in_slices(frame, lambda part: _judged(part, book), filed=filed, beside=calls.select("cost_usd"))
    alone = judged["_alone"].arg_true()
    high = judged["high_usd"]
    if alone.len():
        peers = dearest_calls(frame.with_columns(judged["trust"])) if others.peers is None else others.peers
        high = high.scatter(alone, _with_peers(frame[alone], peers, named=others.named))
        judged = judged.with_columns(high)
        judged = scratch.kept(judged, ["high_usd"]) if filed else judged
    return scratch.with_columns(calls, judged.select("trust", "low_usd", "high_usd"))


def bounded_by_others(calls: pl.DataFrame) -> bool:
    """Whether only other calls of its task can say what some trusted call can have cost at most."""
    return bool(calls.select(by_others().any()).item())


def by_others() -> pl.Expr:
    """The same of one trusted call, as long as no other has said it."""
    return pl.col("high_usd").is_null() & pl.col("trust").is_in(["unmetered", "estimated"])


def _judged(calls: pl.DataFrame, book: PriceBook) -> pl.DataFrame:
    """trust, low_usd, high_usd of some calls; `_alone`: only other calls can say what one can have cost at most."""
    frame = calls.with_columns(
        tokens().alias("_tokens"), _dropped().alias("_dropped"), _mute(calls, book), _unsaid_of(calls)
    )
    frame = frame.with_columns(_status().alias("trust"))
    frame = frame.with_columns(_dearer(frame, book), _cheaper(frame, book), _bound(frame, book))
    frame = frame.with_columns(_settled().alias("trust"))
    cost = pl.col("cost_usd").fill_null(NOTHING)
    least = pl.min_horizontal(cost, "_cheaper")
    estimated = pl.col("trust") == "estimated"
    open_end = pl.col("_dropped") | pl.col("_mute")
    alone = ((pl.col("trust") == "unmetered") | (estimated & open_end)).fill_null(value=False)
    guessed = estimated & (pl.col("usage_source") == "tokenizer").fill_null(value=False)
    no_price = pl.col("trust") == "unpriced"
    low = pl.when(no_price).then(NOTHING).when(guessed).then(least * amount(LEAST)).otherwise(least)
    low = pl.when(pl.col("trust").is_in(["free", "subscription"])).then(cost).otherwise(low)
    high = (
        pl.when(no_price)
        .then("_bound")
        .when(alone)
        .then(None)
        .when(guessed)
        .then(cost * amount(MOST))
        .when(estimated)
        .then(pl.max_horizontal(cost, "_dearer"))
        .otherwise(cost)
    )
    return frame.select("trust", low_usd=low.cast(USD), high_usd=high.cast(USD), _alone=alone)


def dearest_calls(calls: pl.DataFrame) -> pl.DataFrame:
    """The cost of the dearest metered call of each task and model: task, _model, _peer.

    A call without an answer was answered by no model: the one it asked for is the one it is compared with.
    """
    metered = pl.col("trust").is_in(["exact", "estimated"]) & (tokens() > 0) & ~_silent()
    return calls.group_by("task", _MODEL).agg(_peer=pl.when(metered).then("cost_usd").max())


def _with_peers(calls: pl.DataFrame, peers: pl.DataFrame, *, named: bool) -> pl.Series:
    """Most that some calls can have cost: as the dearest metered call of the same task and model; null without one."""
    asked = calls.select("task", "cost_usd", _MODEL).join(
        peers, on=["task", "_model"], how="left", nulls_equal=named, maintain_order="left"
    )
    known = pl.col("_peer").is_not_null()
    cost = pl.col("cost_usd").fill_null(NOTHING)
    return asked.select(high_usd=pl.when(known).then(pl.max_horizontal(cost, "_peer"))).to_series()


def hinges(calls: pl.DataFrame) -> pl.Series:
    """What else could change the trust and the cost of trusted calls, as bits; 0: nothing.

    1  other rows of its file (`Others.files`), other calls of its task (`Others.peers`)
    2  the costs that other calls state (`readings.by_cost`); 4: this one states one
    """
    frame = calls.select(name for name in (*READS, "cost_logged_usd", "trust") if name in calls.columns)
    unsaid = _unsaid() & (pl.col("price_status") == "priced").fill_null(value=False)
    mute = _silent() & (pl.col("trust") == "estimated")
    lonely = ((pl.col("trust") == "unmetered") | mute) & pl.col("task").is_not_null()
    doubtful = pl.col("convention").is_in(["undecided", "assumed"]) & pl.col("cost_usd").is_not_null()
    stated = pl.col("cost_logged_usd") > 0
    lacks = _lacks() & pl.col("price_status").is_not_null()  # what nobody was billed for rests on nothing
    one, two, four = (
        pl.when(bit.fill_null(value=False)).then(pl.lit(value, pl.Int8)).otherwise(pl.lit(0, pl.Int8))
        for bit, value in ((unsaid | lacks | lonely, 1), (doubtful, 2), (doubtful & stated, 4))
    )
    return frame.select(pl.when(pl.col("trust").is_not_null()).then(one + two + four).alias("hinges")).to_series()


def tokens() -> pl.Expr:
    """Tokens of a call, both ways; unknown ones are none."""
    return pl.col("input_tokens").fill_null(0) + pl.col("output_tokens").fill_null(0)


def _status() -> pl.Expr:
    """The status, the first that applies."""
    nothing = pl.col("price_status").is_null()
    extras = pl.col("extras").list.len().fill_null(0) > 0
    blank = (pl.col("usage_source") == "absent").fill_null(value=False) | (
        (pl.col("_tokens") == 0) & ~extras & pl.col("has_text").fill_null(value=False)
    )
    half = pl.col("input_tokens").is_null() & (pl.col("output_tokens") > 0).fill_null(value=False) & ~extras
    return (
        pl.when(pl.col("rollup").fill_null(value=False))
        .then(None)
        .when(nothing)
        .then(pl.lit("exact"))
        .when(pl.col("price_status").is_in(["free", "subscription"]))
        .then("price_status")
        .when((blank & (tokens() == 0)) | half)
        .then(pl.lit("unmetered"))
        .when(pl.col("price_status") == "unpriced")
        .then(pl.lit("unpriced"))
        .when(
            _guessed()
            | _lifetime_unknown()
            | pl.col("summed").fill_null(value=False)
            | _unsaid_here()
            | pl.col("_dropped")
            | pl.col("_mute")
        )
        .then(pl.lit("estimated"))
        .otherwise(pl.lit("exact"))
    )


def doubts() -> dict[str, pl.Expr]:
    """Why calls are estimated, and for which it holds; what none of these says is a cache count that is missing."""
    counted = {
        "tokenizer": "tokens are counted from the text",
        "gateway": "tokens are counted by the gateway",
    }
    return {
        **{why: pl.col("usage_source") == who for who, why in counted.items()},
        "cached input can stand inside or beside the input": pl.col("convention") == "undecided",
        "how long cache writes live is not logged, 5 minutes to 1 hour": _lifetime_unknown(),
        "totals of several calls": pl.col("summed"),
        "what was answered is not counted": _silent(),
    }


def _lifetime_unknown() -> pl.Expr:
    split = pl.any_horizontal(pl.col(f"cache_write_{life}_tokens").is_not_null() for life in LIFETIMES)
    return (pl.col("cache_write_tokens").fill_null(0) > 0) & ~split


def _guessed() -> pl.Expr:
    """Whether the counts themselves are in doubt: not the provider's, or read by an undecided convention."""
    counted_elsewhere = pl.col("usage_source").is_in(["tokenizer", "gateway"]).fill_null(value=False)
    return counted_elsewhere | (pl.col("convention") == "undecided").fill_null(value=False)


def _unsaid() -> pl.Expr:
    """Whether part of the input may have been cached and nobody says so: the call may have cost less."""
    whole = pl.col("summed").fill_null(value=False) | (pl.col("usage_source") == "tokenizer").fill_null(value=False)
    alone = pl.col("price_entry").str.contains(UNASKED) & ~pl.col("price_entry").str.contains("claude")
    written = pl.col("cache_write_tokens").is_not_null()  # who counts what is written has something to read
    return reads_unsaid() & (whole | alone.fill_null(value=False) | written)


def reads_unsaid() -> pl.Expr:
    """Whether a prompt is long enough to be cached, and nobody says how much of it was read from one."""
    long = (pl.col("input_tokens") >= CACHED_FROM).fill_null(value=False)
    return pl.col("cache_read_tokens").is_null() & long


def _unsaid_of(calls: pl.DataFrame) -> pl.Series:
    """The same of each call: entries are looked through where a count is missing, not in every call."""
    unsaid = calls.select(reads_unsaid().alias("_unsaid")).to_series()
    if (places := unsaid.arg_true()).is_empty():
        return unsaid
    read = ("summed", "usage_source", "price_entry", "input_tokens", "cache_read_tokens", "cache_write_tokens")
    return unsaid.scatter(places, calls.select(read)[places].select(_unsaid()).to_series())


def _unsaid_here() -> pl.Expr:
    """The same, where other rows of the file do say: usage of this row is not all there.

    Where no row of a log says, its usage is the provider's as it is logged, exact but for a lower end of the range.
    """
    return pl.col("_unsaid") & pl.col("_stated")


def _stated(calls: pl.DataFrame, files: pl.DataFrame | None) -> pl.Series:
    """Whether any row of the file states what was read from a cache."""
    if files is not None:
        marked = files.with_columns(_in=pl.lit(value=True))
        found = calls.select("format", "source_file").join(
            marked, on=["format", "source_file"], how="left", nulls_equal=True, maintain_order="left"
        )
        return found["_in"].fill_null(value=False)
    silent = calls["cache_read_tokens"].null_count()
    if silent in (0, calls.height):  # then every file does, or none
        return pl.repeat(value=not silent, n=calls.height, eager=True)
    stated = pl.col("cache_read_tokens").is_not_null().any().over("format", "source_file")
    return calls.select(stated.fill_null(value=False)).to_series()


def _dropped() -> pl.Expr:
    """Whether a row lacks the cache counts that others of its file have, where they stand beside the input.

    What was cached is then missing from the input too: the call may have cost more.
    """
    return _lacks() & pl.col("_stated")


def _lacks() -> pl.Expr:
    """The same, whatever the others of its file have."""
    counted = (pl.col("usage_source") == "provider").fill_null(value=False) & (pl.col("input_tokens") > 0).fill_null(
        value=False
    )
    return bare() & counted


def bare() -> pl.Expr:
    """Whether cache counts that its format always states are not there."""
    nobody = pl.col("cache_read_tokens").is_null() & pl.col("cache_write_tokens").is_null()
    return nobody & pl.col("format").is_in(BESIDE).fill_null(value=False)


def _silent() -> pl.Expr:
    """Whether a call that went well does not say how much it answered."""
    went_well = (pl.col("status").fill_null("ok") != "error") & pl.col("price_status").is_not_null()
    return (pl.col("output_tokens").is_null() & (pl.col("input_tokens") > 0) & went_well).fill_null(value=False)


def _mute(calls: pl.DataFrame, book: PriceBook) -> pl.Series:
    """Whether a call does not say how much it answered, and an answer has a price: it cost more, nobody knows what."""
    mute = pl.repeat(value=False, n=calls.height, eager=True).alias("_mute")
    silent = calls.select(_silent() & (pl.col("price_status") == "priced")).to_series()
    if not silent.any():
        return mute
    rows = calls.filter(silent)
    more = price(rows.with_columns(output_tokens=pl.lit(1, pl.Int64)), book)["cost_usd"] > rows["cost_usd"]
    return mute.scatter(silent.arg_true(), more.fill_null(value=False))


def _settled() -> pl.Expr:
    """The status once both ends are known: what nobody states is no doubt where every reading costs the same."""
    same = (
        ~_guessed()
        & ~pl.col("_dropped")
        & ~pl.col("_mute")
        & (pl.col("_dearer") == pl.col("cost_usd")).fill_null(value=False)
    )
    same &= pl.col("_cheaper").is_null() | (pl.col("_cheaper") == pl.col("cost_usd"))
    return pl.when((pl.col("trust") == "estimated") & same).then(pl.lit("exact")).otherwise("trust")


def _dearer(frame: pl.DataFrame, book: PriceBook) -> pl.Series:
    """Cost of each estimated call under its dearest reading.

    Cache counts beside the input, writes kept for an hour, a total of several calls as one long prompt.
    """
    cost = pl.Series("_dearer", [None], dtype=USD).new_from_index(0, frame.height)
    doubtful = frame["trust"] == "estimated"
    rows = frame.filter(doubtful)
    if rows.is_empty():
        return cost
    undecided = (pl.col("convention") == "undecided").fill_null(value=False)
    cached = pl.col("cache_read_tokens").fill_null(0) + pl.col("cache_write_tokens").fill_null(0)
    stated = pl.sum_horizontal(pl.col(f"cache_write_{life}_tokens").fill_null(0) for life in LIFETIMES)
    kept = (pl.col("cache_write_tokens").fill_null(0) - stated).clip(0)
    dear = price(
        rows.with_columns(
            input_tokens=pl.col("input_tokens") + pl.when(undecided).then(cached).otherwise(0),
            cache_write_1h_tokens=pl.col("cache_write_1h_tokens").fill_null(0) + kept,
            summed=pl.lit(value=False),  # the longest prompt a total can hold is all of it
        ),
        book,
    )
    return cost.scatter(doubtful.fill_null(value=False).arg_true(), dear["cost_usd"])


def _cheaper(frame: pl.DataFrame, book: PriceBook) -> pl.Series:
    """Cost of each metered call whose cache counts are unknown, as if all its input had been read from a cache."""
    cost = pl.Series("_cheaper", [None], dtype=USD).new_from_index(0, frame.height)
    metered = pl.col("trust").is_in(["estimated", "exact"]) & (pl.col("price_status") == "priced")
    open_ = frame.select((metered & pl.col("_unsaid")).fill_null(value=False)).to_series()
    if not open_.any():
        return cost
    rest = (pl.col("input_tokens") - pl.col("cache_write_tokens").fill_null(0)).clip(0)
    cheap = price(frame.filter(open_).with_columns(cache_read_tokens=rest), book)
    return cost.scatter(open_.arg_true(), cheap["cost_usd"])


def _bound(frame: pl.DataFrame, book: PriceBook) -> pl.Series:
    """Tokens × the dearest listed price of the provider, for calls without a price; null where none is listed."""
    bound = pl.Series("_bound", [None], dtype=USD).new_from_index(0, frame.height)
    unpriced_ = (frame["trust"] == "unpriced").fill_null(value=False)
    if not unpriced_.any():
        return bound
    rows = frame.select("provider", "input_tokens", "output_tokens", "extras").filter(unpriced_)
    providers = rows["provider"].unique().drop_nulls().sort().to_list()
    dearest = [(name, *_dearest(book, name)) for name in providers]
    table = pl.DataFrame(dearest, schema={"provider": pl.String, "_in": USD, "_out": USD}, orient="row")
    # A fee that nobody lists has no bound either: only calls of tokens alone have one.
    plain = pl.col("extras").list.len().fill_null(0) == 0
    joined = rows.join(table, on="provider", how="left", maintain_order="left")
    found = joined.select(
        pl.when(plain).then(
            pl.col("input_tokens").fill_null(0).cast(pl.Decimal(38, 0)) * pl.col("_in")
            + pl.col("output_tokens").fill_null(0).cast(pl.Decimal(38, 0)) * pl.col("_out")
        )
    ).to_series()
    return bound.scatter(unpriced_.arg_true(), found.cast(USD))


def _dearest(book: PriceBook, provider: str) -> tuple[Decimal | None, Decimal | None]:
    """The dearest rate a provider lists for a token of input and of output, any day, tier and length [USD]."""
    file = book.provider(book.canonical(provider))
    inputs: list[Decimal] = []
    outputs: list[Decimal] = []
    for model in file.models.values() if file else ():
        for period in model.prices:
            for rates in _all_rates(period):
                inputs += [rate for name, rate in rates.items() if name in INPUT_SIDE]
                outputs += [rate for name, rate in rates.items() if name.startswith(("output", "reasoning"))]
    per = Decimal(1_000_000)
    return max(inputs, default=None) and max(inputs) / per, max(outputs, default=None) and max(outputs) / per


def _all_rates(period: Period) -> Iterator[Rates]:
    cards: tuple[Period | Card, ...] = (period, *period.tiers.values(), *period.hours.values())
    for card in cards:
        yield card.rates
        yield from (step.rates for step in card.over)
