"""The changes of a scenario as patches: other models, limits, caches, tiers (see `costaudit.scenario`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple

import polars as pl

from costaudit.analyze import _cache, _cache_calls, _ceiling, cache_miss
from costaudit.analyze._analyzer import NO_MODEL, NO_TASK, ONCE, columns_of, requests_of
from costaudit.analyze._cache import LIVES, WRITES, Policy
from costaudit.analyze._cache_rates import rates_by
from costaudit.analyze._candidates import reasoning_ratio
from costaudit.analyze._judge import pairs_of
from costaudit.analyze._swap import Ratios, able, facts_of, ratios, shared_ratio, shared_requests, swap
from costaudit.analyze._units import LISTED, Arm, units
from costaudit.errors import UsageError
from costaudit.price.book import PriceBook
from costaudit.price.ledger import Ledger
from costaudit.price.match import match
from costaudit.scenario import Change, Sort
from costaudit.schema import USD
from costaudit.stats import Interval
from costaudit.words import plural

WRITE = {"all": _cache.ALL, "seen": _cache.SEEN, "turns": _cache.TURNS}
SAME = Ratios(Interval(1.0, 1.0, 1.0), Interval(1.0, 1.0, 1.0), 1.0, measured=True)  # the same weights


class Patch(NamedTuple):
    """What a change makes of calls [row, exists?, changed columns]: as likely, and at both ends (None: the same).

    again   work that has to be done again because of it: row of a call it stands for, usd
    """

    point: pl.DataFrame
    low: pl.DataFrame | None = None
    high: pl.DataFrame | None = None
    notes: tuple[str, ...] = ()
    again: pl.DataFrame | None = None


def _of_task(change: Change, calls: pl.DataFrame) -> pl.DataFrame:
    return calls if change.task is None else calls.filter(pl.col("task").fill_null(NO_TASK) == change.task)


def _none() -> pl.DataFrame:
    return pl.DataFrame(schema={"row": pl.UInt32, "exists": pl.Boolean})


def _limited(change: Change, ledger: Ledger) -> Patch:
    """Runs end at the limit; good runs that it cuts are done again in full, without it."""
    calls = requests_of(ledger, ("run_id",))
    if calls["run_id"].null_count() == calls.height:
        raise UsageError(
            f"--ceiling {change.written!r}: these logs know no runs",
            hint="`costaudit doctor PATH` says how to log them",
        )
    runs, steps = _ceiling.replayed(ledger, ONCE, [change.metric])
    runs = _of_task(change, runs.with_columns(pl.col("task").fill_null(NO_TASK), pl.col("model").fill_null(NO_MODEL)))
    parts = [_ceiling.with_reference(part) for _, part in runs.group_by("task", "model", maintain_order=True)]
    if not parts:
        return Patch(_none())
    judged = pl.concat(parts)
    cut = _ceiling.cuts(steps, judged, change.metric, [float(change.limit)]).join(
        judged.select("run", "n", "place", "reference", "total_usd", "first_row"), on="run"
    )
    removed = steps.select("row")[_ceiling.calls_of(cut, after="cut")]
    patch = removed.with_columns(exists=pl.lit(value=False))
    good = cut.filter("reference")
    labelled = judged["success"].null_count() < judged.height
    good_means = "successful" if labelled else "finished, for outcomes are not known"
    notes = (
        f"{cut.height:,} of {judged.height:,} runs {'is' if cut.height == 1 else 'are'} cut",
        f"{good.height:,} of these {'was' if good.height == 1 else 'were'} good ({good_means}) and "
        f"{'is' if good.height == 1 else 'are'} done again",
    )
    again = good.select(row="first_row", usd="total_usd").cast({"row": pl.UInt32, "usd": USD})
    return Patch(patch, notes=notes, again=again)


def _swapped(change: Change, ledger: Ledger) -> Patch:
    """Calls of one model on another: tokens in its tokenizer's ratio, every prefix cold once, limits respected."""
    everything = _of_task(change, requests_of(ledger, [*columns_of(ledger), *LISTED]))
    calls = everything.filter(pl.col("price_status") == "priced")
    chosen = calls.filter(_named(calls, change.source))
    if chosen.is_empty():
        used = ", ".join(sorted(m for m in calls["model"].drop_nulls().unique())[:8])
        raise UsageError(f"--swap {change.written!r}: no priced call on {change.source!r}", hint=f"models: {used}")
    shared = shared_requests(requests_of(ledger))
    parts: list[tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]] = []
    notes: list[str] = []
    arms = (
        chosen.group_by(pl.col("provider").fill_null(""), "model")
        .agg(pl.first("price_entry"))
        .sort("provider", "model")
    )
    for provider, model, entry in arms.iter_rows():
        old = Arm(provider, model)
        new, facts_entry = _target(ledger.book, change, old, entry, chosen)
        if new == old:
            continue
        facts = facts_of(ledger.book, facts_entry)
        own = chosen.filter((pl.col("provider").fill_null("") == provider) & (pl.col("model") == model))
        movable = own.filter(able(facts, known=False))
        if left := own.height - movable.height:
            notes.append(
                f"{plural(left, 'call stays', 'calls stay')} on {model}: "
                f"{new.model} cannot take the size, tools, images or answers"
            )
        same = facts.same_as and facts.same_as == facts_of(ledger.book, entry).same_as
        ratio = SAME if same else _ratios(change, ledger, everything, own, new, old, shared)
        notes.append(_said(ratio, new) if not same else f"{new.model} has the same weights: tokens as they are")
        ends = (
            (ratio.input.value, ratio.output.value),
            (ratio.input.high, ratio.output.high),
            (ratio.input.low, ratio.output.low),
        )
        point, low, high = (swap(movable, new, facts, r_in, r_out) for r_in, r_out in ends)
        parts.append((point, low, high))
    if not parts:
        return Patch(_none(), notes=tuple(notes) or ("the calls already run on it",))
    point, low, high = (pl.concat(list(side)) for side in zip(*parts, strict=True))
    return Patch(
        point,
        low,
        high,
        notes=(*dict.fromkeys(notes), "every cached prefix is written once more: the new cache is cold"),
    )


def _named(calls: pl.DataFrame, written: str) -> pl.Expr:
    """Calls of a model as the user may write it: as logged, as asked for, or as the book's entry; with * and ?."""
    entry = pl.col("price_entry").str.split(":").list.slice(1).list.join(":")
    names = {
        "model": pl.col("model"),
        "requested": pl.col("model_requested"),
        "entry": entry,
        "placed": pl.format("{}/{}", pl.col("provider").fill_null(""), pl.col("model")),
        "listed": pl.col("price_entry").str.replace(":", "/", literal=True),
    }
    known = calls.select(**names)
    hits = {
        name: [n for n in known[name].drop_nulls().unique() if fnmatchcase(n.lower(), written.lower())]
        for name in names
    }
    return pl.any_horizontal([expr.is_in(hits[name]).fill_null(value=False) for name, expr in names.items()])


def _target(book: PriceBook, change: Change, old: Arm, entry: str | None, calls: pl.DataFrame) -> tuple[Arm, str]:
    """The model instead, and its entry of the book: at the place named, else where the calls are served now."""
    provider, slash, name = change.target.partition("/")
    if slash and book.provider(book.canonical(provider)) is not None:
        found = match(book, provider, name)
        if found.model is not None:
            return Arm(provider, name), found.entry
    places = dict.fromkeys(
        (old.provider, (entry or "").partition(":")[0], *sorted(calls["provider"].drop_nulls().unique()))
    )
    for place in places:
        found = match(book, place or None, change.target)
        if found.model is not None:
            return Arm(place, change.target), found.entry
    sold = [file.provider for file in book.all() if change.target in file.models]
    hint = (
        f"sold by {', '.join(sold[:8])}: write PROVIDER/{change.target}"
        if sold
        else "`costaudit prices list` names what the book has"
    )
    raise UsageError(
        f"--swap {change.written!r}: no price for {change.target!r} where these calls are served", hint=hint
    )


def _ratios(
    change: Change, ledger: Ledger, calls: pl.DataFrame, own: pl.DataFrame, new: Arm, old: Arm, shared: pl.DataFrame
) -> Ratios:
    """Tokens of the new model over the old, from cases both worked on, else from equal requests, else as assumed."""
    both = pl.col("model").is_in([new.model, old.model])
    if calls.filter((pl.col("provider").fill_null("") == new.provider) & (pl.col("model") == new.model)).is_empty():
        return reasoning_ratio(own)
    mine = both if change.task is None else both & (pl.col("task").fill_null(NO_TASK) == change.task)
    work = units(ledger, ONCE & mine)
    sides = [work.filter((pl.col("provider") == arm.provider) & (pl.col("model") == arm.model)) for arm in (new, old)]
    if not all(side.height for side in sides):
        return reasoning_ratio(own)
    pairs = pairs_of(*(side.with_columns(quality=pl.lit(0.0)) for side in sides))
    return (
        ratios(*pairs, paired=True, shared=lambda: shared_ratio(shared, new, old))
        if pairs[0].height
        else reasoning_ratio(own)
    )


def _said(ratio: Ratios, new: Arm) -> str:
    parts = " and ".join(
        f"{name} × {interval.value:.2f} ({interval.low:.2f} to {interval.high:.2f})"
        for name, interval in (("input", ratio.input), ("output", ratio.output))
    )
    return f"tokens on {new.model} {'measured' if ratio.measured else 'assumed'}: {parts}"


def _cached(change: Change, ledger: Ledger) -> Patch:
    """Another cache policy, simulated on the calls' own times."""
    named = _cache_calls.named(_of_task(change, requests_of(ledger)))
    blocks = named.filter(pl.col("block_sha").list.len() > 0)
    notes: list[str] = []
    if blank := named.height - blocks.height:
        notes.append(
            f"{plural(blank, 'call without prompt blocks stays', 'calls without prompt blocks stay')} as logged"
        )
    rates = rates_by(blocks, ledger.book)
    sold = [key for key, rate in rates.items() if rate is not None and (not change.life or change.life in rate.writes)]
    wanted = blocks.filter(pl.col("cached_as").is_in(sold))
    if other := blocks.height - wanted.height:
        where = f"no cache of {change.life} is sold" if change.life else "no cache price is known"
        notes.append(f"{plural(other, 'call stays', 'calls stay')} as logged: {where} where they are served")
    if wanted.is_empty():
        return Patch(_none(), notes=tuple(notes))
    if not change.life:
        zero = pl.lit(0, pl.Int64)
        none = dict.fromkeys(("cache_read_tokens", "cache_write_tokens", *WRITES.values()), zero)
        return Patch(wanted.select("row", **none), notes=tuple(notes))
    minimum = {key: rate.minimum for key, rate in rates.items() if rate is not None}
    wanted = wanted.with_columns(
        minimum=pl.col("cached_as").replace_strict(minimum, return_dtype=pl.Int64), unstable=pl.lit(value=False)
    )
    policy = Policy(WRITE[change.write], change.life)
    done = _cache.bounded(_cache.simulate(_cache.occurrences(wanted), policy, LIVES[change.life]), wanted)
    point, low = (cache_miss.classes(wanted, done, change.life, halves) for halves in (0, 1))
    return Patch(point, low, notes=(*notes, "at the low end half of what could be read is written again"))


def _batched(change: Change, ledger: Ledger) -> Patch:
    """Calls at the batch tier, where the book has one; in the worst case every cached prefix has expired by then."""
    calls = _of_task(change, requests_of(ledger)).filter(pl.col("price_status") == "priced")
    known = {
        entry: any("batch" in period.tiers for period in model.prices)
        for entry in calls["price_entry"].drop_nulls().unique().sort()
        if (model := ledger.book.find(*entry.split(":", 1))) is not None
    }
    offered = calls.filter(pl.col("price_entry").is_in([entry for entry, has in known.items() if has]))
    notes = ["agents and streamed answers cannot wait a day: the replay does not ask"]
    if left := calls.height - offered.height:
        notes.append(f"{plural(left, 'call without a batch price stays', 'calls without a batch price stay')}")
    if offered.is_empty():
        raise UsageError(
            f"--batch {change.written!r}: none of these calls has a batch price", hint="`costaudit prices show MODEL`"
        )
    point = offered.select("row", service_tier=pl.lit("batch"))
    cold = point.with_columns(cache_read_tokens=pl.lit(0, pl.Int64))
    return Patch(point, cold if (offered["cache_read_tokens"].fill_null(0) > 0).any() else None, notes=tuple(notes))


MAKE: Mapping[Sort, Callable[[Change, Ledger], Patch]] = {
    Sort.CEILING: _limited,
    Sort.SWAP: _swapped,
    Sort.CACHE: _cached,
    Sort.BATCH: _batched,
}
