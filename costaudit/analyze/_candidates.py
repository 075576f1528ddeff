"""Models worth an experiment: short structured answers on a dear model, and what could give them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import polars as pl

from costaudit.analyze._analyzer import total_usd
from costaudit.analyze._swap import R_IN, R_OUT, R_OUT_REASONING, Ratios, able, assumed, facts_of, swap
from costaudit.analyze._units import Arm
from costaudit.price.book import PriceBook
from costaudit.price.engine import price
from costaudit.price.entry import Facts

SHORT = 50  # tokens of visible answer, 90 % of the calls
SMALL = 4_000  # tokens of input, 90 % of the calls
FEW_TOOLS = 3
LITTLE_THOUGHT = 200  # hidden tokens, median
PLAIN = 0.95  # share of calls that end normally in one step
TRIED = 300  # calls a candidate is priced on before it is chosen
HALF = Decimal("0.5")  # a candidate must cost at most this share: less is inside the uncertainty of its tokens
SIZES = frozenset({"nano", "micro", "mini", "lite", "flash", "haiku", "luna", "small", "air"})  # small, by name
DATE = re.compile(r"[-@]\d{4}-?\d{2}-?\d{2}(?!\d)")
SHAPE = ("temperature", "run_id", "finish_reason")  # what `simple` looks at beside tokens and tools
SAME_TASK = 30  # calls below which a shape is no shape


class Candidate(NamedTuple):
    """A model that could be tried: how a log would name it, what the book knows of it, why it is named here."""

    arm: Arm
    facts: Facts
    known: bool  # it ran in this log, so what the book does not say is not held against it
    why: str


def brief(calls: pl.DataFrame) -> bool:
    """Whether the calls of one task and model are enough to have a shape, and that of short answers to small prompts.

    calls   input_tokens, output_tokens, reasoning_tokens
    """
    if calls.height < SAME_TASK:
        return False
    answer, asked = calls.select(
        (pl.col("output_tokens") - pl.col("reasoning_tokens").fill_null(0)).quantile(0.9, "higher"),
        pl.col("input_tokens").quantile(0.9, "higher"),
    ).row(0)
    return answer is not None and asked is not None and answer <= SHORT and asked < SMALL


def simple(calls: pl.DataFrame, *, thoughtful: bool = False) -> bool:
    """Whether the calls of one task and model look like classification: short answers, one step, cold, small.

    calls        with SHAPE and the number of declared `tools`
    thoughtful   hidden reasoning may be long
    """
    if not brief(calls):
        return False
    runs = pl.col("run_id").drop_nulls()
    shape = calls.select(
        hidden=pl.col("reasoning_tokens").fill_null(0).median(),
        warm=(pl.col("temperature") > 0).any(),
        tools=pl.col("tools").max(),
        steps=runs.len() / (runs.n_unique().clip(1)),
        ended=pl.col("finish_reason").is_in(["stop", "tool_calls"]).fill_null(value=True).mean(),
    ).row(0, named=True)
    return (
        (thoughtful or shape["hidden"] <= LITTLE_THOUGHT)
        and not shape["warm"]
        and (shape["tools"] or 0) <= FEW_TOOLS
        and shape["steps"] <= 1.5
        and shape["ended"] >= PLAIN
    )


def entries(calls: pl.DataFrame) -> dict[Arm, str]:
    """The models of a log whose calls have a price, by provider and name, and the entry that prices each."""
    seen = (
        calls.lazy()
        .filter(pl.col("price_status") == "priced")
        .group_by(pl.col("provider").fill_null(""), "model")
        .agg(pl.first("price_entry"))
        .sort("provider", "model")
        .collect()
    )
    return {Arm(provider, model): entry for provider, model, entry in seen.iter_rows()}


def candidates(used: Mapping[Arm, str], dear: Arm, book: PriceBook, named: Sequence[str]) -> Iterator[Candidate]:
    """Models to try instead of one: those the user names, else those of this log, else small ones of its provider and
    generation, each size in its newest version.

    used    `entries` of all calls of the log
    named   `provider/model`, by the user
    """
    if named:
        for name in named:
            provider, _, model = name.partition("/")
            yield Candidate(Arm(provider, model), facts_of(book, f"{provider}:{model}"), True, "named in the settings")
        return
    for arm, entry in used.items():
        if arm != dear:
            yield Candidate(arm, facts_of(book, entry), True, "already used in this log")
    provider, _, name = (used.get(dear) or "").partition(":")
    file, of = book.provider(provider) if name else None, _line(name)
    if file is None or of is None:
        return
    newest: dict[frozenset[str], tuple[tuple[int, ...], int, str]] = {}
    for other, listed in file.models.items():
        line = _line(other)
        if line is None or not listed.facts.context or not line.words or not line.words <= SIZES:
            continue
        if (line.place, line.family, line.version[:1]) == (of.place, of.family, of.version[:1]):
            rank = (line.version, -len(other), other)  # of two names of one model, that without a date
            newest[line.words] = max(newest.get(line.words, rank), rank)
    for *_, other in sorted(newest.values()):
        yield Candidate(Arm(provider, other), file.models[other].facts, False, "of the same provider and generation")


class _Line(NamedTuple):
    """What the name of a model says: `claude-haiku-4-5` is the family claude, the version 4.5 and the word haiku."""

    place: str  # what stands before it: eu/gpt-5.4
    family: str
    version: tuple[int, ...]
    words: frozenset[str]


def _line(name: str) -> _Line | None:
    """The family, version and size in the name of a model; None: it is not named so.

    Books list no day of release. A date in a name, and `latest`, are neither version nor size.
    """
    place, _, model = DATE.sub("", name.lower()).rpartition("/")
    family, *rest = re.split(r"[-@:]", model)
    numbers = [re.fullmatch(r"v?(\d{1,2})o?(?:\.(\d{1,2}))?", part) for part in rest]
    version = tuple(int(n) for found in numbers if found for n in found.groups() if n is not None)
    words = {part for part, found in zip(rest, numbers, strict=True) if not found and not part.isdigit()}
    return _Line(place, family, version, frozenset(words - {"latest"})) if family else None


def reasoning_ratio(calls: pl.DataFrame) -> Ratios:
    hidden = bool(calls["reasoning_tokens"].fill_null(0).sum())
    return Ratios(assumed(R_IN), assumed(R_OUT_REASONING if hidden else R_OUT), 1.0, measured=False)


def cheapest(sample: pl.DataFrame, options: Iterator[Candidate], book: PriceBook) -> Candidate | None:
    """The option that does a sample of a task's calls for the least, at half the price or less; None: there is none.

    Options of this log come before others of the book.
    """
    now = total_usd(sample)
    best: tuple[bool, Decimal, Arm, Candidate] | None = None
    for option in options:
        if not sample.select(able(option.facts, known=not option.known).all()).item():
            continue
        patch = swap(sample, option.arm, option.facts, 1.0, 1.0)
        priced = price(sample.update(patch, on="row", how="left"), book)
        if priced["cost_usd"].null_count() or (priced["price_status"] != "priced").any():
            continue
        then = total_usd(priced)
        if then > HALF * now:
            continue
        rank = (not option.known, then, option.arm, option)
        if best is None or rank[:3] < best[:3]:
            best = rank
    return best[3] if best else None
