"""What calls would have been on another model: tokens counted its way, its cache cold, its limits respected."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import polars as pl

from costaudit.analyze._units import Arm
from costaudit.price.book import PriceBook
from costaudit.price.entry import Facts, Model
from costaudit.stats import Interval, mean_ratio, mean_ratio_paired

R_IN = (0.8, 1.4)  # tokens of the same text under another vendor's tokenizer
R_OUT = (0.7, 1.4)  # answer length of another model for the same work
R_OUT_REASONING = (0.5, 3.0)  # the same where hidden reasoning is part of it
LEAST_OUTPUT = 4_096  # tokens; the longest answer that every model in use can give
SHARED = 10  # equal requests answered by both models that make a ratio of one's own
ENOUGH = 30  # units an arm from which ratios are measured

_PARTS = ("cache_write_5m_tokens", "cache_write_30m_tokens", "cache_write_1h_tokens", "cache_write_12h_tokens")


class Ratios(NamedTuple):
    """Tokens of the new model over those of the old, for the same work: per call times calls a unit.

    measured   whether they come from units of this task; else they are assumed ranges
    calls      calls a unit, new over old; inside both ratios where they are measured
    """

    input: Interval
    output: Interval
    calls: float
    measured: bool


def assumed(low_high: tuple[float, float]) -> Interval:
    """A range as an interval around its geometric middle."""
    low, high = low_high
    return Interval(math.sqrt(low * high), low, high)


def ratios(new: pl.DataFrame, old: pl.DataFrame, *, paired: bool, shared: Callable[[], Interval | None]) -> Ratios:
    """Measured on units [calls, input_tokens, output_tokens] of both models; assumed where they are too few.

    paired   row i of both frames is the same work
    shared   ratio of input tokens on equal requests elsewhere in the log; asked where this task cannot tell
    """
    if min(new.height, old.height) < ENOUGH:
        return _assumed(new, old, shared())
    try:
        r_in, r_out, calls = (
            _ratio(new[name].to_list(), old[name].to_list(), paired=paired)
            for name in ("input_tokens", "output_tokens", "calls")
        )
    except ValueError:  # a mean of zero: no counts to measure
        return _assumed(new, old, shared())
    return Ratios(r_in, r_out, calls.value, measured=True)


def _assumed(new: pl.DataFrame, old: pl.DataFrame, shared: Interval | None) -> Ratios:
    reasoning = any((side["reasoning"] > 0).any() for side in (new, old) if side.height)
    return Ratios(shared or assumed(R_IN), assumed(R_OUT_REASONING if reasoning else R_OUT), 1.0, measured=False)


def _ratio(new: Sequence[float], old: Sequence[float], *, paired: bool) -> Interval:
    return (mean_ratio_paired if paired else mean_ratio)(old, new).interval()


def shared_requests(calls: pl.DataFrame) -> pl.DataFrame:
    """Requests that several models answered: request_sha, provider, model, tokens (mean input); usually few or none."""
    asked = calls.select("request_sha", "provider", "model", "input_tokens")
    known = asked.filter(pl.col("request_sha").is_not_null() & (pl.col("input_tokens") > 0))
    repeated = known.filter(pl.col("request_sha").is_duplicated())  # most requests are sent once
    several = repeated.group_by("request_sha").agg(pl.col("model").n_unique()).filter(pl.col("model") > 1)
    both = repeated.join(several.select("request_sha"), on="request_sha", how="semi")
    return both.group_by("request_sha", pl.col("provider").fill_null(""), "model").agg(tokens=pl.mean("input_tokens"))


def shared_ratio(shared: pl.DataFrame, new: Arm, old: Arm) -> Interval | None:
    """Input tokens of one model over another's on requests that both answered; None where fewer than 10 are."""
    sides = [
        shared.filter((pl.col("provider") == arm.provider) & (pl.col("model") == arm.model)).select(
            "request_sha", "tokens"
        )
        for arm in (new, old)
    ]
    both = sides[0].join(sides[1], on="request_sha", suffix="_old")
    if both.height < SHARED:
        return None
    quotients = (both["tokens"] / both["tokens_old"]).sort()
    # Distribution-free 90 % interval of the median: order statistics at n/2 ± 1.645·√n/2.
    half = 1.645 * math.sqrt(both.height) / 2
    low = max(0, math.floor(both.height / 2 - half) - 1)
    high = min(both.height - 1, math.ceil(both.height / 2 + half))
    return Interval(float(quotients.median()), float(quotients[low]), float(quotients[high]))  # type: ignore[arg-type]


def facts_of(book: PriceBook, entry: str | None) -> Facts:
    """What the book knows about the model of a price entry (`provider:name`); nothing where it has none."""
    provider, _, name = (entry or "").partition(":")
    model: Model | None = book.find(provider, name) if name else None
    return model.facts if model else Facts()


def able(facts: Facts, *, known: bool) -> pl.Expr:
    """Whether a model can take a call: tools, images, structured output, the size of its window and of its answers.

    of      calls with LISTED
    known   what the book does not say counts as missing (for a model that never ran the task)
    """
    needs = (
        (facts.tools, (pl.col("tools") > 0) | (pl.col("asks") > 0)),
        (facts.vision, _images()),
        (facts.structured_output, pl.col("schema_ok").is_not_null()),
    )
    fits = pl.lit(value=True)
    for fact, needed in needs:
        if not (fact if fact is not None else not known):
            fits = fits & ~needed.fill_null(value=False)
    most = facts.output if facts.output is not None else LEAST_OUTPUT if known else None
    if most is not None:
        fits = fits & (pl.col("output_tokens").fill_null(0) * R_OUT[1] <= most)
    if facts.context is not None:
        fits = fits & (
            pl.col("input_tokens").fill_null(0) * R_IN[1] + pl.col("output_tokens").fill_null(0) <= facts.context
        )
    elif known:
        return pl.lit(value=False)
    return fits


def _images() -> pl.Expr:
    classes = pl.col("extras").list.eval(pl.element().struct.field("class"))
    seen = [classes.list.contains(name) for name in ("input_image", "input_video", "cache_read_image")]
    return pl.any_horizontal(seen)


def swap(calls: pl.DataFrame, to: Arm, facts: Facts, r_in: float, r_out: float) -> pl.DataFrame:
    """A patch that moves calls [with LISTED] to another model.

    Every prefix is written once before it is read: its first call on the new model finds a cold cache. Prompts under
    the new model's cache minimum are not cached at all. Write lifetimes of another provider become its default one.
    """

    def scaled(name: str, ratio: float) -> pl.Expr:
        return (pl.col(name).fill_null(0) * ratio).round().cast(pl.Int64)

    prefix = pl.coalesce("system_sha", "first_block", "template_sha", pl.lit(0, pl.UInt64))
    used = pl.col("cache_read_tokens").fill_null(0) > 0
    first = pl.when(used).then(pl.col("row")).min().over(prefix) == pl.col("row")
    same_home = pl.col("provider").fill_null("") == to.provider
    read, written = scaled("cache_read_tokens", r_in), scaled("cache_write_tokens", r_in)
    whole = pl.max_horizontal(scaled("input_tokens", r_in), read + written)  # rounding must not lose a cached token
    cached = whole >= (facts.cache_minimum or 0)
    cold = (used & first).fill_null(value=False)
    return calls.select(
        "row",
        pl.lit(to.provider or None, pl.String).alias("provider"),
        pl.lit(to.model).alias("model"),
        whole.alias("input_tokens"),
        pl.when(cached & ~cold).then(read).otherwise(0).alias("cache_read_tokens"),
        pl.when(cached)
        .then(pl.when(cold).then(read + written).otherwise(written))
        .otherwise(0)
        .alias("cache_write_tokens"),
        *(pl.when(cached & same_home).then(scaled(part, r_in)).otherwise(0).alias(part) for part in _PARTS),
        scaled("output_tokens", r_out),
        scaled("reasoning_tokens", r_out),
    )
