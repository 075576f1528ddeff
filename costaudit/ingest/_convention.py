"""Is cached input inside the logged input, or beside it? Decided per source from its own rows (METHODS 4).

A format whose writers disagree leaves its counts as logged and fills, beside them,
`_reading`   the documented reading: `inside`, `beside`, or `unknown`; null where the format leaves no doubt
`_total`     the logged total of the call, if there is one
`_uncached`  an explicit count of uncached input, if there is one
`_scope`     what wrote the row: instrumentation scope and version
Rows whose `_reading` is null are not touched.
"""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

COLUMNS: dict[str, pl.DataType] = {
    "_reading": pl.String(),
    "_total": pl.Int64(),
    "_uncached": pl.Int64(),
    "_scope": pl.String(),
}
ENOUGH = 20  # informative rows with evidence before the rows overrule the documented reading
AGREE = 0.99  # share of them that must agree
IMPOSSIBLE = 3  # rows whose cached part exceeds their input: these alone decide

SOURCE = ["format", "_scope", "provider"]
PROOFS = pl.Schema({"source_file": pl.String, "format": pl.String, "convention": pl.String, "proof": pl.String})


class Settled(NamedTuple):
    """Rows with inclusive totals, and one line a file and format that says how they were read."""

    rows: pl.DataFrame
    proofs: pl.DataFrame


def settle(rows: pl.DataFrame) -> Settled:
    """Make `input_tokens` inclusive in all rows of sources in doubt; say how sure that is in `convention`.

    convention  `proved`: the source's rows agree; `assumed`: too few rows, the documented reading is used;
                `undecided`: the rows disagree or nothing is documented, and the counts hold the cheaper reading
    """
    doubtful = pl.col("_reading").is_not_null()
    if not rows.select(doubtful.any()).item():
        return Settled(rows.drop(COLUMNS), PROOFS.to_frame())
    marked = rows.with_columns(
        _said=_evidence(), _impossible=_cached() > pl.col("input_tokens"), _informative=_cached() > 0
    )
    decided = _decide(marked, SOURCE, doubtful)
    mixed = pl.col("_verdict") == "mixed"
    by_model = _decide(marked, [*SOURCE, "model"], doubtful).select("_verdict").rename({"_verdict": "_by_model"})
    decided = pl.concat([decided, by_model], how="horizontal").with_columns(
        _verdict=pl.when(mixed).then("_by_model").otherwise("_verdict")
    )
    said = pl.col("_said")
    ours = pl.col("_verdict").is_in(["inside", "beside"])
    reading = (
        pl.when(ours).then("_verdict").when(mixed).then(said).when(pl.col("_verdict") == "few").then("_reading")
    ).otherwise(None)
    beside = doubtful & (pl.coalesce(said, reading) == "beside").fill_null(value=False)
    state = (
        pl.when(~doubtful | ~pl.col("_informative"))
        .then(None)
        .when(ours | said.is_not_null())
        .then(pl.lit("proved"))
        .when((pl.col("_verdict") == "few") & (pl.col("_reading") != "unknown"))
        .then(pl.lit("assumed"))
        .otherwise(pl.lit("undecided"))
    )
    told = decided.with_columns(
        convention=pl.coalesce(state, "convention"),
        input_tokens=pl.when(beside).then(pl.col("input_tokens") + _cached()).otherwise("input_tokens"),
        _beside=beside,
    )
    proofs = _proofs(told.filter(doubtful & pl.col("_informative")))
    return Settled(told.select(name for name in rows.columns if name not in COLUMNS), proofs)


def _cached() -> pl.Expr:
    return pl.col("cache_read_tokens").fill_null(0) + pl.col("cache_write_tokens").fill_null(0)


def _evidence() -> pl.Expr:
    """What one row proves: an explicit uncached count, an impossibility, a total that only one reading gives."""
    given, cached = pl.col("input_tokens"), _cached()
    output, hidden = pl.col("output_tokens").fill_null(0), pl.col("reasoning_tokens").fill_null(0)
    total = pl.col("_total")
    return (
        pl.when(cached == 0)
        .then(None)
        .when(pl.col("_uncached") == given)
        .then(pl.lit("beside"))
        .when(pl.col("_uncached") == given - cached)
        .then(pl.lit("inside"))
        .when(cached > given)
        .then(pl.lit("beside"))
        .when((total == given + cached + output) | (total == given + cached + output + hidden))
        .then(pl.lit("beside"))
        .when((total == given + output) & (pl.col("_reading") == "inside"))  # weak: some exclusive writers do it too
        .then(pl.lit("inside"))
        .otherwise(None)
    )


def _decide(rows: pl.DataFrame, keys: list[str], doubtful: pl.Expr) -> pl.DataFrame:
    """`_verdict` of each row's source: `inside`, `beside`, `mixed`, or `few` (too little evidence to overrule)."""
    beside = ((pl.col("_said") == "beside") & doubtful).sum().over(keys)
    inside = ((pl.col("_said") == "inside") & doubtful).sum().over(keys)
    impossible = (pl.col("_impossible").fill_null(value=False) & doubtful).sum().over(keys)
    spoke = beside + inside
    return rows.with_columns(
        _verdict=pl.when((impossible >= IMPOSSIBLE) & (inside == 0))
        .then(pl.lit("beside"))
        .when(spoke < ENOUGH)
        .then(pl.when((beside > 0) & (inside > 0)).then(pl.lit("mixed")).otherwise(pl.lit("few")))
        .when(beside >= AGREE * spoke)
        .then(pl.lit("beside"))
        .when(inside >= AGREE * spoke)
        .then(pl.lit("inside"))
        .otherwise(pl.lit("mixed"))
    )


def _proofs(rows: pl.DataFrame) -> pl.DataFrame:
    return (
        rows.group_by("source_file", "format", maintain_order=True)
        .agg(
            convention=pl.concat_str(
                pl.when(pl.col("_beside").all())
                .then(pl.lit("cache beside input"))
                .when(pl.col("_beside").any())
                .then(pl.lit("cache beside input in some rows"))
                .otherwise(pl.lit("cache inside input")),
                pl.lit(", "),
                pl.col("convention").unique().sort().str.join(" and "),
            ),
            proof=pl.concat_str(
                pl.col("_said").is_not_null().sum(),
                pl.lit(" of "),
                pl.len(),
                pl.lit(" rows with cached input show it by their counts"),
            ),
        )
        .select(list(PROOFS))
    )
