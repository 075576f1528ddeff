"""One call, one row: duplicates are found by identity, never by position.

Machinery columns that formats may fill beside those of the schema:
`_key`   identity of the call; by default its `request_id`, which is the provider's and so the same in every logger
`_also`  the provider's id of the response where `_key` is narrower: rows known by that id alone, and rows of it with
         a lower rank, are copies of the best ranked
`_rank`  which copy wins, the largest (then the one with most output, then the earliest)
`_rows`  how many rows of its file the row stands for, where the format has merged them already; null is one
`_own_at`  the row's own time, where `started_at` is that of the first of them
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import polars as pl

from costaudit import schema, scratch
from costaudit.ingest import _convention, _tree

MACHINERY = ("_key", "_also", "_rank", "_rows", "_own_at", *_tree.PLACE, "_label", "_calls")
ROWS = pl.Schema(
    {
        **schema.REQUESTS,
        **dict.fromkeys(MACHINERY, pl.String()),
        "_rank": pl.Int64(),
        "_rows": pl.Int64(),
        "_own_at": schema.UTC,
        "_calls": pl.Boolean(),
        **_convention.COLUMNS,
    }
)
USAGE = [c.name for c in schema.REQUEST if c.group == "usage"]
PARTS = ("cache_read_tokens", "cache_write_tokens", "reasoning_tokens")  # of the totals
FATE = pl.Schema({"source_file": pl.String, "format": pl.String, "reason": pl.String, "count": pl.UInt32})


COPY = "another copy of the same response"
AT_ONCE = 50_000  # copies that are looked at together
HASHED = 25_000  # keys that are


class Collapsed(NamedTuple):
    """Requests without copies, and the copies by file, format and reason."""

    requests: pl.DataFrame
    duplicates: pl.DataFrame


class Apart(NamedTuple):
    """Calls of which there is one copy, and those of which there are several.

    alone       places of the first in `rows`; None: all of them are
    best        of each of the second the one row that is kept [as `rows`]
    duplicates  [FATE]
    """

    rows: pl.DataFrame
    alone: pl.Series | None
    best: pl.DataFrame
    duplicates: pl.DataFrame

    @property
    def height(self) -> int:
        """Calls of both kinds."""
        return (self.rows.height if self.alone is None else self.alone.len()) + self.best.height

    def some(self, at: int, number: int, names: Iterable[str] | None = None) -> pl.DataFrame:
        """So many calls from one on, the single ones first; all columns, or the named ones."""
        rows, best = (self.rows, self.best) if names is None else (self.rows.select(names), self.best.select(names))
        if self.alone is None:
            return rows[at : at + number]
        single = rows[self.alone[at : at + number]]
        if single.height == number:
            return single
        first = max(at - self.alone.len(), 0)
        return pl.concat([single, best[first : first + number - single.height]])


def collapse(frame: pl.DataFrame) -> Collapsed:
    """Keep one row of every identity: usage from the best copy whole, never mixed or summed.

    Columns other than usage that the best copy lacks are taken from the next best one: a gateway knows the tenant, the
    application knows the task, a stream's last chunk knows the counts. The earliest start is the call's start.
    Rows without identity are all kept. The machinery columns are kept too, for those who merge once more.
    """
    found = apart(frame)
    if found.alone is None:
        return Collapsed(found.rows, found.duplicates)
    return Collapsed(pl.concat([found.rows[found.alone], found.best]), found.duplicates)


def apart(frame: pl.DataFrame) -> Apart:
    """The same without a copy of the rows that are as they were: most logs hold each call once."""
    rows = _widened(frame)
    copied = _copied(rows, pl.col("_key"))
    several = copied.any()
    if not several and not (rows["_rows"].max() or 1) > 1:  # type: ignore[operator]
        return Apart(rows, None, rows.clear(), pl.DataFrame(schema=FATE))
    alone = (~copied).arg_true()
    kept = [_best(rows[places]) for places in _portions(rows, copied)] if several else []
    dropped = (
        pl.concat([*(duplicates for _, duplicates in kept), *_merged(rows, alone)])
        .group_by("source_file", "format", "reason")
        .agg(pl.sum("count"))
        .filter(pl.col("count") > 0)
        .sort("source_file", "format", "reason")
    )
    best = pl.concat([rows.clear(), *(best for best, _ in kept)])
    return Apart(rows, alone if several else None, best, schema.conform(dropped, FATE))


def _merged(rows: pl.DataFrame, alone: pl.Series) -> Iterator[pl.DataFrame]:
    """Copies that their formats have merged already; not all at once, for each row has the name of its file."""
    said = rows.select("source_file", "format", "_rows")
    for at in range(0, max(alone.len(), 1), AT_ONCE):
        some = said[alone[at : at + AT_ONCE]].filter(pl.col("_rows") > 1)
        copies = some.group_by("source_file", "format").agg(count=(pl.col("_rows") - 1).sum())
        yield copies.select("source_file", "format", pl.lit(COPY).alias("reason"), "count")


def _copied(rows: pl.DataFrame, key: pl.Expr) -> pl.Series:
    """Of which rows the key is that of another row too. Hashes are compared first: a key takes ten times their room."""
    looked_at = rows.select(key.meta.root_names())
    slices = scratch.slices(looked_at, HASHED)
    hashes = pl.concat([pl.Series(dtype=pl.UInt64), *(_hashed(some, key) for some in slices)])
    ordered = hashes.sort()
    met = ordered[1:].filter(ordered[1:] == ordered[:-1]).unique()
    del ordered
    alike = hashes.is_in(met.implode()).fill_null(value=False)
    if not met.len():
        return alike
    places = alike.arg_true()
    same = looked_at[places].select((pl.len().over(key) > 1).alias("")).to_series()
    return alike.scatter(places.filter(~same), values=False)


def _hashed(rows: pl.DataFrame, key: pl.Expr) -> pl.Series:
    return rows.select(pl.when(key.is_not_null()).then(key.hash()).alias("")).to_series()


def _portions(rows: pl.DataFrame, copied: pl.Series) -> Iterator[pl.Series]:
    """Places of the copies in order of their keys, all of a key together; not all of them at once."""
    keys = rows.select("_key").with_row_index("_at").filter(copied).sort("_key", maintain_order=True)
    ends = keys.select((pl.col("_key") != pl.col("_key").shift(-1)).fill_null(value=True)).to_series().arg_true() + 1
    first = 0
    while first < keys.height:
        last = int(ends[min(int(ends.search_sorted(first + AT_ONCE)), ends.len() - 1)])
        yield keys["_at"][first:last]
        first = last


def _best(several: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Of each key the row that is kept, and what became of the others."""
    needed = {
        "_key",
        "_rank",
        "_rows",
        "_own_at",
        "output_tokens",
        "input_tokens",
        "started_at",
        "source_file",
        "source_line",
        "format",
    }
    held = [name for name in several.columns if name in needed or several[name].null_count() < several.height]
    own = pl.coalesce("_own_at", "started_at") if "_own_at" in held else pl.col("started_at")
    ordered = several.select(held).sort(
        "_key",
        pl.col("_rank").fill_null(0),
        pl.col("output_tokens").fill_null(-1),
        pl.col("input_tokens").fill_null(-1),
        own,
        "format",
        "source_file",
        "source_line",
        descending=[False, True, True, True, False, False, False, False],
        nulls_last=True,
    )
    ordered = _told_apart(ordered)
    rest = [name for name in held if name not in ("_key", "_rank", "started_at", "rollup", *USAGE)]
    whole = ["source_file", "source_line", "source_offset", "format"]
    best = ordered.group_by("_key", maintain_order=True).agg(
        *[pl.col(name).first() for name in [*USAGE, *whole] if name in held and name != "rollup"],
        *[one(name) for name, one in (("rollup", _ever), ("_rank", _own)) if name in held],
        pl.col("started_at").min(),
        *[_first_known(name) for name in rest if name not in whole],
    )
    first = pl.col("source_file").first().over("_key")
    reason = (
        pl.when(pl.col("format") != pl.col("format").first().over("_key"))
        .then(pl.lit("the same call in another log"))
        .when(pl.col("source_file") != first)
        .then(pl.lit("the same record in another file"))
        .otherwise(pl.lit(COPY))
    )
    dropped = (
        ordered.with_columns(reason=reason, nth=pl.int_range(pl.len()).over("_key"))
        .with_columns(count=pl.col("_rows").fill_null(1) - (pl.col("nth") == 0).cast(pl.Int64))
        .select("source_file", "format", "reason", "count")
    )
    return schema.conform(best, several.schema), dropped


def _told_apart(ordered: pl.DataFrame) -> pl.DataFrame:
    """The copies with one first that has the best one's totals and tells their parts, if the best one does not.

    A gateway may count what was read from a cache as any other input, and the application's log know it. A copy of a
    rank below zero is one that another stands in for, whatever it tells.
    """
    parts = [name for name in PARTS if name in ordered.columns]
    if not parts or not ordered.select(pl.any_horizontal(pl.col(parts).is_null().any())).item():
        return ordered
    told = pl.sum_horizontal(pl.col(parts).is_not_null())
    totals = [name for name in ("input_tokens", "output_tokens") if name in ordered.columns]
    same = [pl.col(name).eq_missing(pl.col(name).first().over("_key")) for name in totals]
    behind = pl.col("_rank").fill_null(0) < 0 if "_rank" in ordered.columns else pl.lit(value=False)
    ranked = ordered.with_columns(_told=pl.when(pl.all_horizontal(~behind, *same)).then(told).otherwise(-1))
    if (ranked["_told"] <= ranked.select(pl.col("_told").first().over("_key")).to_series()).all():
        return ordered
    return ranked.sort("_key", "_told", descending=[False, True], maintain_order=True).drop("_told")


def _ever(name: str) -> pl.Expr:
    """Whether it is so of any copy: read with other spans of its trace, a call may turn out to restate them."""
    return pl.col(name).max()


def _own(name: str) -> pl.Expr:
    """What the best copy has, if only nothing: met again in a store, it stands where it stood among the others."""
    return pl.col(name).first()


def _widened(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with one `_key` for all rows of a response of which some are known by the response's id alone."""
    if frame["_also"].null_count() == frame.height:
        return frame
    response = pl.coalesce("_also", "_key")
    several = _copied(frame, response).arg_true()  # a row that has its response for itself keeps its key
    told = frame.select("_also", "_key", "_rank", "started_at")[several]
    rank = pl.col("_rank").fill_null(0)
    homes = (
        told.filter(pl.col("_also").is_not_null() & (pl.col("_also") != pl.col("_key")))
        .sort(rank, "started_at", "_key", descending=[True, False, False], nulls_last=True)
        .group_by("_also", maintain_order=True)
        .agg(_home=pl.col("_key").first(), _best=rank.first())
        .rename({"_also": "_id"})
    )
    if homes.is_empty():
        return frame
    joined = told.select("_key", _id=response, _rank=rank).join(homes, on="_id", how="left", maintain_order="left")
    copy = (pl.col("_key") == pl.col("_id")) | (pl.col("_rank") < pl.col("_best"))
    key = pl.when(pl.col("_home").is_not_null() & copy).then("_home").otherwise("_key")
    return frame.with_columns(frame["_key"].scatter(several, joined.select(_key=key).to_series()))


def _first_known(name: str) -> pl.Expr:
    column = pl.col(name)
    if name == "tool_calls":  # a response logged in pieces holds one call a piece
        pieces = column.explode(empty_as_null=True).drop_nulls().unique(maintain_order=True)
        return pl.when(pieces.len() > 0).then(pieces.implode()).alias(name)
    return column.max() if name == "ended_at" else column.drop_nulls().first()
