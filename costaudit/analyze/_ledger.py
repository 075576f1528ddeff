"""The waste ledger: one owner per dollar.

Rules speak in a fixed order. Each says what calls would have been; the ledger changes them, prices them again, and
what the total drops by is what the rule owns. A dollar that is gone cannot be claimed again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from decimal import Decimal

import msgspec
import polars as pl

from costaudit.analyze._analyzer import Claim
from costaudit.finding import ZERO, Finding
from costaudit.price.exact import NOTHING, sum_usd
from costaudit.price.ledger import Ledger, positions
from costaudit.schema import USD

_PRICED = pl.Schema(
    {
        **{"row": pl.UInt32(), "group": pl.String(), "_claim": pl.UInt32(), "_key": pl.String()},
        **{"saved": USD, "priced": pl.Boolean()},
    }
)
_MARKS = ("group", "_claim", "_key")


class Owned(msgspec.Struct, frozen=True):
    """A claim with the dollars it got.

    alone_usd            what this change would save if it were the only one
    low_usd, high_usd    the least and the most it owns over the passes with low, likely and high patches
    evidence             the claim's rows with `waste_usd`, the worst first; they add up to `owned_usd`
    requests             calls changed or removed
    """

    claim: Claim
    evidence: pl.DataFrame
    owned_usd: Decimal = ZERO
    alone_usd: Decimal = ZERO
    low_usd: Decimal = ZERO
    high_usd: Decimal = ZERO
    requests: int = 0


class States(msgspec.Struct, frozen=True):
    """The calls as they would have been after the claims so far: as likely, and with all-low and all-high patches."""

    point: Ledger
    low: Ledger
    high: Ledger

    @classmethod
    def of(cls, ledger: Ledger) -> States:
        start = ledger.as_logged()
        return cls(start, start, start)


class Act(msgspec.Struct, frozen=True):
    """A change that somebody could make: the claim, when it was made, and the finding it became."""

    turn: int
    claim: Claim
    finding: Finding


class _Effect(msgspec.Struct, frozen=True):
    """What one batch of patches did.

    ledger   the calls after it
    saved    one row a call of the parts that were applied: _claim, _key, row, saved
    priced   the same of all parts, with `group` and whether the changed call has a price
    """

    ledger: Ledger
    saved: pl.DataFrame
    priced: pl.DataFrame


def settle(states: States, claims: Sequence[Claim]) -> tuple[States, list[Owned]]:
    """The claims of one look, applied in order of their subjects, with the dollars each of them owns."""
    owned: list[Owned] = []
    for batch in _disjoint(sorted(claims, key=_subject)):
        states, settled = _settle(states, batch)
        owned += settled
    return states, owned


def replayed(ledger: Ledger, acts: Sequence[Act]) -> Ledger:
    """The ledger after some of the changes, in the order in which they were found and priced again; a change that does
    not pay there is not made. All of them together leave what the findings do not own."""
    for turn in sorted({act.turn for act in acts}):
        for batch in _disjoint(sorted((act.claim for act in acts if act.turn == turn), key=_subject)):
            ledger = _apply(ledger, batch, _merged(batch, [claim.patch for claim in batch])).ledger
    return ledger


def _subject(claim: Claim) -> str:
    return json.dumps(sorted(claim.subject.items()))


def _settle(states: States, claims: Sequence[Claim]) -> tuple[States, list[Owned]]:
    """Claims of which no two touch the same call."""
    patch = _merged(claims, [c.patch for c in claims])
    point = _apply(states.point, claims, patch)
    ends = (states.low, [c.low for c in claims]), (states.high, [c.high for c in claims])
    low, high = (
        point if state is states.point and not any(end is not None for end in own) else _end(state, claims, own)
        for state, own in ends
    )
    alone = _alone(states.point, claims, patch, point.priced)
    saved = [_by_claim(table) for table in (point.saved, low.saved, high.saved, alone)]
    owned = [_owned(claim, *(parts.get(nth, _nothing()) for parts in saved)) for nth, claim in enumerate(claims)]
    return States(point.ledger, low.ledger, high.ledger), owned


def _end(state: Ledger, claims: Sequence[Claim], ends: Sequence[pl.DataFrame | None]) -> _Effect:
    """The patches of one end of the claims, where they have one."""
    return _apply(
        state, claims, _merged(claims, [c.patch if e is None else e for c, e in zip(claims, ends, strict=True)])
    )


def _alone(now: Ledger, claims: Sequence[Claim], patch: pl.DataFrame, priced: pl.DataFrame) -> pl.DataFrame:
    """What the patches would save if no claim had come before.

    priced   what they save now, call by call: the same for every call that no earlier claim touched
    """
    if now.untouched or patch.is_empty():
        return _paying(priced, claims)
    again = patch.filter(now.touched(patch["row"]))
    if again.is_empty():
        return _paying(priced, claims)
    same = priced.filter(~now.touched(priced["row"]))
    return _paying(pl.concat([same, _priced(now.as_logged(), again)[1]], how="vertical_relaxed"), claims)


def _by_claim(saved: pl.DataFrame) -> dict[int, pl.DataFrame]:
    return {int(nth): part for (nth,), part in saved.partition_by("_claim", as_dict=True).items()}


def _owned(claim: Claim, point: pl.DataFrame, low: pl.DataFrame, high: pl.DataFrame, alone: pl.DataFrame) -> Owned:
    evidence = _filled(claim, point)
    owned = sum_usd(evidence["waste_usd"])
    ends = [owned, _net(claim, low), _net(claim, high)]
    return Owned(claim, evidence, owned, _net(claim, alone), min(ends), max(ends), claim.requests or point.height)


def _net(claim: Claim, saved: pl.DataFrame) -> Decimal:
    """What the claim's patch saves, less what the change itself costs."""
    return sum_usd(saved["saved"]) - _added(claim) if saved.height else ZERO


def _filled(claim: Claim, saved: pl.DataFrame) -> pl.DataFrame:
    """The evidence with what each row of it saved, less what its change costs; zero where nothing was applied."""
    if claim.patch is None:
        return claim.evidence.with_columns(waste_usd=NOTHING)
    key = claim.evidence_key
    evidence = claim.evidence.unique(key, keep="first", maintain_order=True)
    if saved.is_empty():
        return evidence.drop("added_usd", strict=False).with_columns(waste_usd=NOTHING)
    rows = saved.select(pl.col("_key").alias(key), "saved").cast({key: evidence.schema[key]})
    by_key = rows.group_by(key).agg(waste_usd=pl.col("saved").sum())
    filled = evidence.drop("waste_usd", strict=False).join(by_key, on=key, how="left", maintain_order="left")
    added = pl.col("added_usd").fill_null(NOTHING) if "added_usd" in evidence.columns else NOTHING
    return (
        filled.with_columns(waste_usd=(pl.col("waste_usd").fill_null(NOTHING) - added).cast(USD))
        .drop("added_usd", strict=False)
        .sort("waste_usd", key, descending=[True, False], nulls_last=True)
    )


def _apply(ledger: Ledger, claims: Sequence[Claim], patch: pl.DataFrame) -> _Effect:
    """The parts of a patch that save something, applied to the calls that still exist."""
    changed, priced = _priced(ledger, patch)
    good = _paying(priced, claims)
    if good.is_empty():
        return _Effect(ledger, good, priced)
    removed = good.join(changed.select("row"), on="row", how="anti")["row"]
    kept = changed.join(good.select("row"), on="row", how="semi", maintain_order="left")
    return _Effect(ledger.replaced(removed, kept), good, priced)


def _priced(ledger: Ledger, patch: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The calls that a patch changes, priced again; and what each of its calls saves, as `_saved` says."""
    patch = patch.filter(ledger.place(patch["row"]).is_not_null())
    if patch.is_empty():
        return patch, _nothing()
    changed = ledger.changed(_plain(patch))
    return changed, _saved(ledger, changed, patch)


def _merged(claims: Sequence[Claim], patches: Sequence[pl.DataFrame | None]) -> pl.DataFrame:
    """All patches in one table with the claim and the evidence key of each row, in order of `row`."""
    marked = []
    keys = {patch.schema[c.evidence_key] for c, patch in zip(claims, patches, strict=True) if patch is not None}
    kind = keys.pop() if len(keys) == 1 else pl.String()
    for nth, (claim, patch) in enumerate(zip(claims, patches, strict=True)):
        if patch is None or patch.is_empty():
            continue
        key = claim.evidence_key
        answered = patch.join(claim.evidence.select(key).unique(), on=key, how="semi", maintain_order="left")
        group = pl.col("group").cast(pl.String) if "group" in patch.columns else pl.lit("")
        columns = [
            group.alias("group"),
            pl.lit(nth, pl.UInt32).alias("_claim"),
            pl.col(key).cast(kind).alias("_key"),
        ]
        marked.append(answered.with_columns(columns).drop([key] if key not in ("row", "model", "provider") else []))
    if not marked:
        return pl.DataFrame(schema={"row": pl.UInt32})
    return pl.concat(marked, how="diagonal_relaxed").sort("row", maintain_order=True)


def _saved(before: Ledger, changed: pl.DataFrame, patch: pl.DataFrame) -> pl.DataFrame:
    """What each patched call costs less: `_claim`, `_key`, `group`, `row`, `saved` [USD].

    `priced` is false where the changed call has no known price: such a change is no saving and is not made.
    """
    at = positions(patch["row"], changed["row"])
    table = patch.select("row", *_MARKS).with_columns(
        before=before.at(patch["row"], ["cost_usd"])["cost_usd"],
        after=changed["cost_usd"].gather(at),
        remains=at.is_not_null(),
    )
    lost = pl.col("remains") & pl.col("after").is_null() & pl.col("before").is_not_null()
    saved = pl.when(pl.col("before").is_not_null()).then(pl.col("before") - pl.col("after").fill_null(NOTHING))
    return table.with_columns(saved=saved.otherwise(NOTHING).cast(USD), priced=~lost).drop("before", "after", "remains")


def _paying(saved: pl.DataFrame, claims: Sequence[Claim]) -> pl.DataFrame:
    """The patched calls of groups that save more than they cost, of claims that do so in all."""
    parts = ["_claim", "group"] if (saved["group"] != "").any() else ["_claim"]
    groups = saved.filter("priced").filter(pl.col("saved").sum().over(parts) > ZERO)
    sums = groups.group_by("_claim").agg(pl.col("saved").sum())
    paying = [nth for nth, total in sums.iter_rows() if total > _added(claims[nth])]
    return groups.filter(pl.col("_claim").is_in(paying)).drop("group", "priced")


def _added(claim: Claim) -> Decimal:
    return sum_usd(claim.evidence["added_usd"]) if "added_usd" in claim.evidence.columns else ZERO


def _plain(patch: pl.DataFrame) -> pl.DataFrame:
    return patch.drop(_MARKS, strict=False)


def _nothing() -> pl.DataFrame:
    return pl.DataFrame(schema=_PRICED)


def _touched(claim: Claim) -> pl.Series:
    """The `row` of every call that a claim may change, each once."""
    patches = [patch for patch in (claim.patch, claim.low, claim.high) if patch is not None]
    return pl.concat([pl.Series([], dtype=pl.UInt32), *(patch["row"].cast(pl.UInt32) for patch in patches)]).unique()


def _disjoint(claims: Sequence[Claim]) -> Iterator[list[Claim]]:
    """Consecutive claims in batches that touch no call twice, so that a batch is priced in one pass."""
    batch: list[Claim] = []
    touched = pl.Series([], dtype=pl.UInt32)
    all_rows = [_touched(claim) for claim in claims] if len(claims) > 1 else []
    if sum(rows.len() for rows in all_rows) == pl.concat([touched, *all_rows]).n_unique():
        if claims:
            yield list(claims)
        return
    for claim, rows in zip(claims, all_rows, strict=True):
        both = pl.concat([touched, rows])
        if batch and both.n_unique() < both.len():
            yield batch
            batch, both = [], rows
        batch.append(claim)
        touched = both
    if batch:
        yield batch
