"""A log replayed with changes of the user's choosing: no rule decides, every change is made and priced.

Changes are made in the order of the ledger, whatever their order on the command line: calls that would not have been
made are taken away first, then caches, limits, models, tiers. Each is priced on the calls as the changes before it left
them, so that what the changes save adds up to what all of them save.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

import polars as pl
from msgspec.structs import replace

from costaudit.analyze._analyzer import NO_MODEL, NO_TASK, Analyzer, CannotCheck, requests_of, total_usd
from costaudit.analyze._changes import MAKE, Patch
from costaudit.analyze._ledger import Owned, States, settle
from costaudit.errors import UsageError
from costaudit.finding import ZERO
from costaudit.price.ledger import Ledger
from costaudit.scenario import Change, Sort, Step
from costaudit.schema import USD

ORDER = {Sort.FIX: 0, Sort.CACHE: 4, Sort.CEILING: 7, Sort.SWAP: 8, Sort.BATCH: 9}  # places in the ledger


class Replayed(NamedTuple):
    """A log with all changes made.

    steps   what each change did, in the order they were made
    usd     what the calls cost: as likely, at the least and at the largest saving, work done again included
    by_task, by_model   name, before_usd, after_usd, calls_before, calls_after; the largest change first
    """

    steps: tuple[Step, ...]
    usd: tuple[Decimal, Decimal, Decimal]
    by_task: pl.DataFrame
    by_model: pl.DataFrame


class _State(NamedTuple):
    """The calls as likely, at the least and at the largest saving."""

    point: Ledger
    low: Ledger
    high: Ledger


def replay(ledger: Ledger, changes: Sequence[Change], rules: Sequence[Analyzer]) -> Replayed:
    """Make every change, in the ledger's order. Without any, every call is priced again and costs what it did.

    rules   all rules with the user's options, for changes that act on a rule's findings
    Raises UsageError for a model, a rule or a price that does not exist.
    """
    start = ledger.as_logged()
    state = _State(start, start, start)
    steps: list[Step] = []
    again = [pl.DataFrame(schema={"row": pl.UInt32, "usd": USD})]
    for change in sorted(changes, key=lambda c: _place(c, rules)):
        step = Step(change, 0, 0, ZERO, ZERO, ZERO)
        if change.sort is Sort.FIX:
            state, step = _fixed(state, step, _rule(change, rules), again)
        else:
            patch = MAKE[change.sort](change, state.point)
            state, step = _made(state, patch, step)
            again += [] if patch.again is None else [patch.again]
        if not step.changed and not step.removed and not step.notes:
            step = replace(step, notes=("no call of the log is touched by it",))
        steps.append(step)
    if not changes:
        same = start.original.select("row", "model", "provider")
        state = _State(*[start.patched(same)] * 3)
    redone = pl.concat(again)
    extra = total_usd(redone, "usd")
    point, low, high = (total_usd(s.calls) for s in state)
    # At the largest saving nothing has to be done again: what a limit cuts would have come to nothing.
    ends = (point + extra, low + extra, high)
    return Replayed(
        tuple(steps), ends, *(_table(start, state.point, redone, by) for by in (("task", NO_TASK), ("model", NO_MODEL)))
    )


def _made(state: _State, patch: Patch, step: Step) -> tuple[_State, Step]:
    """The state with a patch applied, whether it saves or costs; and the step with what that did."""
    sides = [patch.point if end is None else end for end in (patch.point, patch.low, patch.high)]
    known = [p.join(s.calls.select("row"), on="row", how="semi") for p, s in zip(sides, state, strict=True)]
    after = _State(*(s.patched(p) for s, p in zip(state, known, strict=True)))
    if after.point.calls["cost_usd"].null_count() > state.point.calls["cost_usd"].null_count():
        raise UsageError(
            f"--{step.change.sort} {step.change.written!r}: some of the calls would have no known price",
            hint="`costaudit prices show MODEL` says since when, and for what, a model has prices",
        )
    saved = [total_usd(b.calls) - total_usd(a.calls) for b, a in zip(state, after, strict=True)]
    added = ZERO if patch.again is None else total_usd(patch.again, "usd")
    saved = [saved[0] - added, saved[1] - added, saved[2]]
    gone = state.point.calls.height - after.point.calls.height
    return after, Step(step.change, known[0].height - gone, gone, saved[0], min(saved), max(saved), added, patch.notes)


def _table(before: Ledger, after: Ledger, again: pl.DataFrame, by: tuple[str, str]) -> pl.DataFrame:
    """Cost and calls by a name, before and after; work done again counts where it is done."""
    column, nobody = by
    sides = [
        requests_of(ledger).select("row", pl.col(column).fill_null(nobody).alias("name"), "cost_usd")
        for ledger in (before, after)
    ]
    redone = again.join(sides[0].select("row", "name"), on="row").group_by("name").agg(again_usd=pl.col("usd").sum())
    some = pl.col("cost_usd").is_not_null().any()
    parts = [
        side.group_by("name").agg(
            pl.when(some).then(pl.col("cost_usd").sum()).alias(f"{word}_usd"),
            pl.len().cast(pl.Int64).alias(f"calls_{word}"),
        )
        for side, word in zip(sides, ("before", "after"), strict=True)
    ]
    joined = parts[0].join(parts[1], on="name", how="full", coalesce=True).join(redone, on="name", how="left")
    zero = pl.lit(ZERO, USD)
    gone = pl.col("calls_after").is_null() & pl.col("before_usd").is_not_null()
    then = pl.when(pl.col("after_usd").is_not_null() | gone).then(
        pl.col("after_usd").fill_null(zero) + pl.col("again_usd").fill_null(zero)
    )
    # What was not called before cost nothing; what was called and has no price cost nobody knows what.
    before_usd = pl.when(pl.col("calls_before").is_null()).then(zero).otherwise("before_usd")
    change = (pl.col("before_usd").fill_null(zero) - pl.col("after_usd").fill_null(zero)).abs()
    return (
        joined.with_columns(
            before_usd=before_usd,
            after_usd=then.cast(USD),
            **{n: pl.col(n).fill_null(0) for n in ("calls_before", "calls_after")},
        )
        .select("name", "before_usd", "after_usd", "calls_before", "calls_after")
        .sort(change, "before_usd", "name", descending=[True, True, False], nulls_last=True)
    )


def _place(change: Change, rules: Sequence[Analyzer]) -> tuple[int, str]:
    if change.sort is Sort.FIX:
        return min((t.order for t in _rule(change, rules).turns() if t.order is not None), default=0), change.written
    return ORDER[change.sort], change.written


def _rule(change: Change, rules: Sequence[Analyzer]) -> Analyzer:
    ledger = {rule.name: rule for rule in rules if any(turn.order is not None for turn in rule.turns())}
    if change.rule not in ledger:
        raise UsageError(
            f"--fix {change.rule!r}: no rule that saves anything has this name", hint=", ".join(sorted(ledger))
        )
    return ledger[change.rule]


def _fixed(state: _State, step: Step, rule: Analyzer, again: list[pl.DataFrame]) -> tuple[_State, Step]:
    """What a rule would change, made as the ledger makes it: parts that would not pay are left alone."""
    states = States(*state)
    notes = list(step.notes)
    for turn in rule.turns():
        if turn.order is None:
            continue
        try:
            claims = [claim for claim in turn.look(states.point) if claim.patch is not None]
        except CannotCheck as why:
            notes.append(f"{rule.name} cannot look: {why}")
            continue
        calls = states.point.calls.height
        states, owned = settle(states, claims)
        gone = calls - states.point.calls.height
        step = replace(step, removed=step.removed + gone, changed=step.changed - gone)
        for one in owned:
            redone = _redone(one)
            again.append(redone)
            step = replace(
                step,
                changed=step.changed + (one.requests if one.owned_usd > ZERO else 0),
                saved_usd=step.saved_usd + one.owned_usd,
                low_usd=step.low_usd + one.low_usd,
                high_usd=step.high_usd + one.high_usd,
                added_usd=step.added_usd + total_usd(redone, "usd"),
            )
    return _State(states.point, states.low, states.high), replace(step, notes=tuple(notes))


def _redone(owned: Owned) -> pl.DataFrame:
    """Work that has to be done again because of a claim that was made: row of one of its calls, usd."""
    claim = owned.claim
    nothing = pl.DataFrame(schema={"row": pl.UInt32, "usd": USD})
    if owned.owned_usd <= ZERO or claim.patch is None or "added_usd" not in claim.evidence.columns:
        return nothing
    cost = total_usd(claim.evidence, "added_usd")
    return pl.DataFrame({"row": [claim.patch["row"].min()], "usd": [cost]}, schema=nothing.schema)
