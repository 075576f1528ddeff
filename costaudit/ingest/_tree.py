"""Usage is counted once in a trace: where it was measured, not again in every span around it.

Frameworks repeat the usage of their calls on the spans around them: agent, workflow, SDK, gateway. Of the spans of one
branch that carry usage the deepest is the call; those above restate it and are roll-ups, which are never summed. A tool
that asks a model is a call of its own: a span that is a call by its kind, and has no other call below it but through
tools, did not make those calls, so it is a call too; unless it states what they add up to: exactly, or nearly in input
and in output both. What a call does not say itself (model, session, user, task) is taken from the nearest span above
that says it.

Machinery columns that formats fill beside those of the schema:
`_trace`, `_span`, `_parent`   where the row stands; a span is named within its trace
`_label`                       a name for the task of calls that have no other: that of the outermost span is taken
`_calls`                       by its kind, whether the span is one call to a model; false where it runs a tool
Spans that are no request are given as *nodes* with the same columns, so that they link and lend their context.
The rule is applied to the whole log, for the spans of a trace may stand in any order and in several files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import polars as pl

from costaudit import schema, scratch

PLACE = ("_trace", "_span", "_parent")
LENT = (
    "task",
    "tenant",
    "user",
    "environment",
    "run_id",
    "instance_id",
    "key_id",
    "provider",
    "model_requested",
    "model",
)
MODEL = ("model_requested", "model")
NODES = pl.Schema(
    {
        **dict.fromkeys((*PLACE, "_label"), pl.String()),
        "_calls": pl.Boolean(),
        **{name: schema.REQUESTS[name] for name in LENT},
    }
)
TOLD = (*NODES, "_key", "input_tokens", "output_tokens", "usage_source")  # what the tree of rows is made of
_CHANGED = (*LENT, "rollup", "_key")
AT_ONCE = 20_000  # spans that are linked together
MARKED = 20_000  # rows that what was found is said of together
AGREES = 0.01  # share by which a roll-up may differ from the sum of its calls: rounding, not a missing call


class Resolved(NamedTuple):
    """The rows with roll-ups marked and context filled in, and sentences about totals that do not add up."""

    rows: pl.DataFrame
    notes: tuple[str, ...]


def resolve(rows: pl.DataFrame, nodes: Sequence[pl.DataFrame]) -> Resolved:
    """Mark roll-ups, lend context downwards and give spans their identity.

    in       rows [schema.REQUESTS and machinery columns]; nodes [NODES]
    rollup   true where a span below carries usage, or where a call without usage stands below one that has it
    _key     trace and span where the row has no other identity; always for roll-ups, which are no copies of a call
    """
    own = pl.concat([_hashed(rows, at) for at in range(0, max(rows.height, 1), MARKED)])
    if own.is_empty():
        return Resolved(rows, ())
    above = pl.concat([NODES.to_frame(), *nodes], how="diagonal")
    theirs = pl.concat([_hashed(above, at) for at in range(0, max(above.height, 1), MARKED)])
    own = own.filter(_linked(own, theirs))
    if own.is_empty():
        # Most calls have both: what is not made anew is not copied.
        named = {"_key": pl.coalesce("_key", _SPAN), "run_id": pl.coalesce("run_id", _OWN_TRACE)}
        return Resolved(rows.with_columns(**{n: new for n, new in named.items() if rows[n].null_count()}), ())
    parts, gaps = [], Gaps([], [])
    for at, beside in _traces(own, theirs):
        some = _taken(rows, TOLD, at).with_columns(at)
        tree = _Tree(some, _taken(above, list(NODES), beside))
        told = tree.found(some)
        parts.append(told.select(c for c in told if c.name in ("_at", "_twin") or c.null_count() < told.height))
        tree.add(gaps)
    found = pl.concat(parts, how="diagonal").sort("_at")
    del parts, own, above, theirs
    pieces = (partial(_marked, rows, found, at) for at in range(0, rows.height, MARKED))
    return Resolved(rows.with_columns(scratch.made(rows.height, pieces).get_columns()), gaps.notes())


def _hashed(spans: pl.DataFrame, at: int) -> pl.DataFrame:
    """Hashes of the names of some spans, from one on, which take a tenth of the names' room."""
    some = spans.select(pl.col(n) if n in spans.columns else pl.lit("").alias(n) for n in (*PLACE, "_label", "_key"))
    trace, span, parent = pl.col("_trace").hash(0), pl.col("_span").hash(1), pl.col("_parent").hash(1)
    found = some[at : at + MARKED].select(
        pl.int_range(at, at + pl.len(), dtype=pl.get_index_type()).alias("_at"),
        pl.col("_span").is_not_null().alias("known"),
        trace=trace,
        place=trace ^ span,
        upward=pl.when(pl.col("_parent").is_not_null()).then(trace ^ parent),
        labelled=pl.col("_label").is_not_null(),
        nameless=pl.col("_key").is_null(),
    )
    scratch.release()
    return found.filter("known").drop("known") if "_key" in spans.columns else found.drop("known")


def _taken(spans: pl.DataFrame, names: Sequence[str], at: pl.Series) -> pl.DataFrame:
    """Spans by their numbers, which are in order; few pages of a file are looked at at a time."""
    looked_at = spans.select(names)
    parts, first = [looked_at.clear()], 0
    while first < at.len():
        last = int(at.search_sorted((at[first] // MARKED + 1) * MARKED))
        parts.append(looked_at[at[first:last]])
        scratch.release()
        first = last
    return pl.concat(parts)


# Null for rows of other formats: a call without any identity must stay without one.
_OWN_TRACE = pl.when(pl.col("_span").is_not_null()).then("_trace")
_SPAN = pl.lit("span ") + pl.when(pl.col("_span").is_not_null()).then(
    pl.concat_str("_trace", "_span", separator=" ", ignore_nulls=True)
)


def _marked(rows: pl.DataFrame, found: pl.DataFrame, at: int) -> pl.DataFrame:
    """The columns of some rows that trees say something about, from a row on."""
    first, last = (int(found["_at"].search_sorted(bound)) for bound in (at, at + MARKED))
    told = found[first:last]
    lent = [name for name in LENT if f"_lent_{name}" in told.columns]
    some = rows.select(*_CHANGED, "_span", "_trace")[at : at + MARKED]
    at_ = pl.int_range(at, at + some.height, dtype=pl.get_index_type(), eager=True).alias("_at").to_frame()
    joined = some.hstack(at_.join(told, on="_at", how="left", maintain_order="left").drop("_at"))
    rolled_up = pl.col("_rolled").fill_null(value=False)
    nameless = pl.col("model").is_null()  # a call that names its model was not made with another one
    marked = joined.with_columns(
        *[pl.coalesce(name, f"_lent_{name}").alias(name) for name in lent if name not in MODEL],
        *[
            pl.when(nameless).then(pl.coalesce(name, f"_lent_{name}")).otherwise(name).alias(name)
            for name in lent
            if name in MODEL
        ],
        rollup=pl.when(rolled_up).then(pl.lit(value=True)).otherwise("rollup"),
        _key=pl.when(rolled_up).then(_SPAN).otherwise(pl.coalesce("_key", "_twin", _SPAN)),
    ).with_columns(run_id=pl.coalesce("run_id", _OWN_TRACE))
    scratch.release()
    return marked.select(_CHANGED)


def _linked(own: pl.DataFrame, theirs: pl.DataFrame) -> pl.Series:
    """Which rows a tree can say anything about: not one that stands alone, as the calls of a transcript do.

    Of rows too many, whose names only have equal hashes, the tree says nothing.
    """
    spans, parents = (pl.concat([own[of], theirs[of]]).drop_nulls().unique() for of in ("place", "upward"))
    above = own["upward"].is_in(spans.implode()).fill_null(value=False)
    linked = own["labelled"] | above | own["place"].is_in(parents.implode())
    if own["nameless"].any():
        linked |= own.select(pl.col("nameless").any().over("place") & (pl.len().over("place") > 1)).to_series()
    return linked


def _where(named: pl.DataFrame, spans: pl.DataFrame) -> pl.Series:
    """The number of the span that has each of the names; null where none has."""
    found = named.join(spans, on=["_trace", "_span"], how="left", nulls_equal=True, maintain_order="left")
    return found["_first"].cast(pl.Int64)


def _traces(own: pl.DataFrame, theirs: pl.DataFrame) -> Iterator[tuple[pl.Series, pl.Series]]:
    """The rows and the nodes, by `_at`, in portions of whole traces: a span takes a thousand bytes here."""
    number = (own.height + theirs.height) // AT_ONCE + 1
    for n in range(number):
        rows, nodes = (some.filter(pl.col("trace") % number == n)["_at"] for some in (own, theirs))
        if rows.len():
            yield rows, nodes


class Gaps(NamedTuple):
    """Tokens that roll-ups state beyond the calls below them, and fewer than those: not traced, or not summed."""

    more: list[int]
    less: list[int]

    def add(self, said: int, below: int) -> None:
        if said > below * (1 + AGREES):
            self.more.append(said - below)
        elif said < below * (1 - AGREES):
            self.less.append(below - said)

    def notes(self) -> tuple[str, ...]:
        found = []
        if self.more:
            found.append(f"{_spans_state(self.more)} tokens more than the calls below: those were not traced")
        if self.less:
            found.append(f"{_spans_state(self.less)} tokens less than the calls below: the calls are what is counted")
        return tuple(found)


class _Tree:
    """All spans of the log as parent pointers: rows first, in their order, then nodes."""

    def __init__(self, placed: pl.DataFrame, nodes: pl.DataFrame) -> None:
        self.height = placed.height
        both = pl.concat([placed.select(list(NODES)), nodes.select(list(NODES))])
        self.context: list[tuple[str | None, ...]] = both.select(LENT).rows()
        self.labels: list[str | None] = both["_label"].to_list()
        self.calls: list[bool | None] = both["_calls"].to_list()
        at = both.select(PLACE).with_row_index("_first")
        spans = at.unique(["_trace", "_span"], keep="first", maintain_order=True).drop("_parent")
        # A copy of a span is the same span: it stands where the first one stands.
        self.first = _where(at.drop("_first", "_parent"), spans).to_list()
        above = _where(at.select("_trace", _span="_parent"), spans)
        self.parent: list[int] = above.zip_with(at["_parent"].is_not_null(), above.clear(1)).fill_null(-1).to_list()
        self.tokens: list[int] = (
            placed.select(pl.sum_horizontal(pl.col("input_tokens", "output_tokens").fill_null(0))).to_series().to_list()
        )
        self.output: list[int] = placed["output_tokens"].fill_null(0).to_list()
        # A backend's own count of a span's text says nothing about calls that were not traced.
        self.counted: list[bool] = placed.select(pl.col("usage_source").ne_missing("tokenizer")).to_series().to_list()
        self.below: dict[int, int] = {}  # span that has usage below it -> tokens of the calls below it

    def _above(self, n: int) -> Iterator[int]:
        """The spans above, nearest first; a loop of parents ends where it closes."""
        seen = {n, self.first[n]}
        n = self.parent[n]
        while n >= 0 and n not in seen:
            yield n
            seen.add(n)
            n = self.parent[n]

    def rollups(self) -> list[bool]:
        """For every row whether its usage is that of other rows."""
        calls = {n for n in range(self.height) if self.tokens[n] > 0 and self.first[n] == n}
        covered, around = self._covered(calls)
        covered |= self._sums(calls - covered, around)
        kept = calls - covered
        self.below = self._below(kept, calls - kept, self.tokens)
        looped = calls - kept - self.below.keys()  # each below the other, in a damaged log, and no call below them
        covered, kept = covered - looped, kept | looped
        return [self._restates(self.first[n], n, covered, kept) for n in range(self.height)]

    def _covered(self, calls: set[int]) -> tuple[set[int], set[int]]:
        """The spans above calls that restate them, and calls that have others below them only through tools."""
        covered: set[int] = set()
        around: set[int] = set()
        for n in calls:
            for up, apart in self._beyond(n):
                if up in covered or (apart and up in around):
                    break
                (around if apart else covered).add(up)
        # Whatever is above a span that is no call by its kind states the sum of what is below.
        covered |= {n for n in around if not self.calls[n]}
        return covered, around - covered

    def _beyond(self, n: int) -> Iterator[tuple[int, bool]]:
        """The spans above, nearest first, and whether a tool stands between."""
        apart = self.calls[n] is False
        for up in self._above(n):
            yield up, apart
            apart = apart or self.calls[up] is False

    def _sums(self, kept: set[int], around: set[int]) -> set[int]:
        """Of calls with others behind their tools those that state what these add up to."""
        around = around & kept
        below, output = (self._below(kept, around, counts) for counts in (self.tokens, self.output))
        found: set[int] = set()
        for n in sorted(around, key=lambda n: sum(1 for _ in self._above(n)), reverse=True):
            if n in below and self._adds_up(n, below[n], output[n]):
                found.add(n)
                for up in self._above(n):
                    if up in below:
                        below[up] -= self.tokens[n]
                        output[up] -= self.output[n]
        return found

    def _adds_up(self, n: int, below: int, output: int) -> bool:
        """Whether a span states the calls below it. Near in both counts is no chance: a count was made twice."""
        said = (self.tokens[n] - self.output[n], self.output[n])
        near = all(abs(own - sums) <= AGREES * sums for own, sums in zip(said, (below - output, output), strict=True))
        return below == self.tokens[n] or near

    def _below(self, kept: set[int], spans: set[int], counts: list[int]) -> dict[int, int]:
        """Tokens of the calls below some spans, those that have any."""
        below: dict[int, int] = {}
        for n in kept if spans else ():
            for up in self._above(n):
                if up in spans:
                    below[up] = below.get(up, 0) + counts[n]
        return below

    def twins(self, keys: pl.Series) -> list[str | None]:
        """For every row the identity that another copy of its span has: its log may know the answer's id."""
        known: dict[int, str] = {}
        if all(first == n for n, first in enumerate(self.first[: self.height])):
            return [None] * self.height
        for n, key in enumerate(keys):
            if key is not None:
                known.setdefault(self.first[n], key)
        return [known.get(self.first[n]) for n in range(self.height)]

    def _restates(self, first: int, n: int, covered: set[int], kept: set[int]) -> bool:
        if first in covered or self.tokens[n]:
            return first in covered
        return any(up in kept and not (apart and self.calls[up]) for up, apart in self._beyond(n))

    def lent(self) -> dict[str, list[str | None]]:
        """For every row and column what the nearest span above says; for the task at last the outermost label."""
        known: dict[int, tuple[str | None, ...]] = {-1: (None,) * len(LENT)}
        cells = [self._from_above(n, known) for n in range(self.height)]
        columns = {name: [said[n] for said in cells] for n, name in enumerate(LENT)}
        columns["task"] = [said if said is not None else self._outermost(n) for n, said in enumerate(columns["task"])]
        return columns

    def _from_above(self, n: int, known: dict[int, tuple[str | None, ...]]) -> tuple[str | None, ...]:
        path: list[int] = []
        for up in self._above(n):
            if up in known:
                break
            path.append(up)
        last = self.parent[path[-1]] if path else self.parent[n]
        found = known.get(last, known[-1])
        for up in reversed(path):
            found = tuple([own if own is not None else far for own, far in zip(self.context[up], found, strict=True)])
            known[up] = found
        return found

    def _outermost(self, n: int) -> str | None:
        *_, top = n, *self._above(n)
        return self.labels[top]

    def found(self, placed: pl.DataFrame) -> pl.DataFrame:
        """By `_at`: whether the row is a roll-up, the identity of its copy, and what it is lent."""
        rolled = self.rollups()
        lent = self.lent()
        return pl.DataFrame(
            {
                "_at": placed["_at"],
                "_rolled": rolled,
                "_twin": self.twins(placed["_key"]),
                **{f"_lent_{name}": cells for name, cells in lent.items()},
            },
            schema_overrides={"_twin": pl.String(), **{f"_lent_{name}": NODES[name] for name in LENT}},
        )

    def add(self, gaps: Gaps) -> None:
        """Where roll-ups and the calls below them do not add up."""
        for n, below in self.below.items():
            if self.counted[n]:
                gaps.add(self.tokens[n], below)


def _spans_state(gaps: Sequence[int]) -> str:
    return f"1 span states {gaps[0]:,}" if len(gaps) == 1 else f"{len(gaps):,} spans state {sum(gaps):,}"
