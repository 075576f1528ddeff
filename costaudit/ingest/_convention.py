"""Is cached input inside the logged input, or beside it; reasoning inside the output, or beside it?

Decided per source from its own rows. What counts leave open, logged costs may decide (`price.readings`).

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

from costaudit.ingest._pieces import COUNTS, added

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
LOOKED_AT = ("source_file", "source_line", "format", "provider", "model", "convention", "_key", *COUNTS, *COLUMNS)
PROOFS = pl.Schema({"source_file": pl.String, "format": pl.String, "convention": pl.String, "proof": pl.String})


class Settled(NamedTuple):
    """Rows with inclusive totals, and one line a file and format that says how they were read."""

    rows: pl.DataFrame
    proofs: pl.DataFrame


def settle(rows: pl.DataFrame) -> Settled:
    """Make input and output inclusive in all rows of sources in doubt; say how sure that is in `convention`.

    Pieces of one response are added up before (`_pieces`).

    convention  `proved`: the source's rows agree; `assumed`: too few rows, the documented reading is used;
                `undecided`: the rows disagree or nothing is documented, and the counts hold the cheaper reading
    """
    doubtful = pl.col("_reading").is_not_null()
    if not rows.select(doubtful.any()).item():
        plain = rows.clone()  # of no column: `drop` makes one of each
        for name in COLUMNS:
            plain.drop_in_place(name)
        return Settled(plain, PROOFS.to_frame())
    # What is not looked at is neither filtered nor copied: it is most of the memory.
    looked_at = rows.select(name for name in LOOKED_AT if name in rows.columns)
    marked = added(looked_at, doubtful).with_columns(
        _said=_evidence(),
        _impossible=_cached() > pl.col("input_tokens"),
        _informative=_cached() > 0,
        _hidden_said=_hidden_evidence(),
        _hidden_impossible=_hidden() > pl.col("output_tokens"),
    )
    decided = _decided(_decided(marked, "", doubtful), "_hidden", doubtful)
    mixed = pl.col("_mixed")
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
    hidden = pl.coalesce("_hidden_said", "_hidden_verdict") == "beside"
    hidden = (doubtful & (_hidden() > 0) & hidden).fill_null(value=False)
    known = pl.col("_hidden_said").is_not_null() | pl.col("_hidden_verdict").is_in(["inside", "beside"])
    thought = pl.when(doubtful & (_hidden() > 0)).then(
        pl.when(known).then(pl.lit("proved")).otherwise(pl.lit("assumed"))
    )
    told = decided.with_columns(
        convention=pl.coalesce(_less_sure(state, thought), "convention"),
        input_tokens=pl.when(beside).then(pl.col("input_tokens") + _cached()).otherwise("input_tokens"),
        output_tokens=pl.when(hidden).then(pl.col("output_tokens") + _hidden()).otherwise("output_tokens"),
        _beside=beside,
        _hidden_beside=hidden,
    )
    proofs = _proofs(told.filter(doubtful & (pl.col("_informative") | hidden | pl.col("_pieces"))))
    changed = told.select(name for name in (*COUNTS, "convention") if name in looked_at.columns)
    return Settled(rows.drop(COLUMNS).with_columns(changed.get_columns()), proofs)


def _decided(rows: pl.DataFrame, of: str, doubtful: pl.Expr) -> pl.DataFrame:
    """`<of>_verdict` by source, and where a source is mixed by its models; `<of>_mixed`."""
    verdict, mixed = f"{of}_verdict", f"{of}_mixed"
    named = rows.with_columns(_decide(of, SOURCE, doubtful).alias(verdict))
    named = named.with_columns((pl.col(verdict) == "mixed").alias(mixed), _decide(of, [*SOURCE, "model"], doubtful))
    return named.with_columns(pl.when(mixed).then("_by_model").otherwise(verdict).alias(verdict))


def _less_sure(one: pl.Expr, other: pl.Expr) -> pl.Expr:
    """Of two states the less sure one; a question that a row does not ask has none."""
    return pl.when((one == "undecided") | other.is_null() | (one == "assumed")).then(one).otherwise(other)


def _cached() -> pl.Expr:
    return pl.col("cache_read_tokens").fill_null(0) + pl.col("cache_write_tokens").fill_null(0)


def _hidden() -> pl.Expr:
    return pl.col("reasoning_tokens").fill_null(0)


def _evidence() -> pl.Expr:
    """What one row proves: an explicit uncached count, an impossibility, a total that only one reading gives."""
    given, cached = pl.col("input_tokens"), _cached()
    output, hidden = pl.col("output_tokens").fill_null(0), _hidden()
    total = pl.col("_total")
    # Where as much was cached as was thought, the total of cached input beside is that of reasoning beside.
    apart = cached != hidden
    return (
        pl.when(cached == 0)
        .then(None)
        .when(pl.col("_uncached") == given)
        .then(pl.lit("beside"))
        .when(pl.col("_uncached") == given - cached)
        .then(pl.lit("inside"))
        .when(cached > given)
        .then(pl.lit("beside"))
        .when(((total == given + cached + output) & apart) | (total == given + cached + output + hidden))
        .then(pl.lit("beside"))
        # Weak: some exclusive writers leave the cache out of the total too.
        .when(
            ((total == given + output) | ((total == given + output + hidden) & apart))
            & (pl.col("_reading") == "inside")
        )
        .then(pl.lit("inside"))
        .otherwise(None)
    )


def _hidden_evidence() -> pl.Expr:
    """The same for reasoning: more of it than output, or a total that only one reading gives."""
    given, cached, hidden = pl.col("input_tokens").fill_null(0), _cached(), _hidden()
    output, total = pl.col("output_tokens"), pl.col("_total")
    plain = given + output
    return (
        pl.when(hidden == 0)
        .then(None)
        .when(hidden > output)
        .then(pl.lit("beside"))
        .when(((total == plain + hidden) & (cached != hidden)) | (total == plain + cached + hidden))
        .then(pl.lit("beside"))
        .when((total == plain) | ((total == plain + cached) & (cached != hidden)))
        .then(pl.lit("inside"))
        .otherwise(None)
    )


def _decide(of: str, keys: list[str], doubtful: pl.Expr) -> pl.Expr:
    """`_by_model`: what the rows of the same keys say: `inside`, `beside`, `mixed`, or `few` (too few to overrule)."""
    beside = ((pl.col(f"{of}_said") == "beside") & doubtful).sum().over(keys)
    inside = ((pl.col(f"{of}_said") == "inside") & doubtful).sum().over(keys)
    impossible = (pl.col(f"{of}_impossible").fill_null(value=False) & doubtful).sum().over(keys)
    spoke = beside + inside
    return (
        pl.when((impossible >= IMPOSSIBLE) & (inside == 0))
        .then(pl.lit("beside"))
        .when(spoke < ENOUGH)
        .then(pl.when((beside > 0) & (inside > 0)).then(pl.lit("mixed")).otherwise(pl.lit("few")))
        .when(beside >= AGREE * spoke)
        .then(pl.lit("beside"))
        .when(inside >= AGREE * spoke)
        .then(pl.lit("inside"))
        .otherwise(pl.lit("mixed"))
        .alias("_by_model")
    )


def _proofs(rows: pl.DataFrame) -> pl.DataFrame:
    """One line a file and format: the readings, how sure they are, and how many rows show them."""
    cached, hidden, pieces = pl.col("_informative"), pl.col("_hidden_beside"), pl.col("_pieces")
    beside = pl.col("_beside").filter(cached)
    said = [
        pl.when(cached.any()).then(
            pl.when(beside.all())
            .then(pl.lit("cache beside input"))
            .when(beside.any())
            .then(pl.lit("cache beside input in some rows"))
            .otherwise(pl.lit("cache inside input"))
        ),
        pl.when(hidden.any()).then(pl.lit("reasoning beside output")),
        pl.when(pieces.any()).then(pl.lit("pieces of streams added up")),
        pl.col("convention").drop_nulls().unique().sort().str.join(" and "),
    ]
    shown = [
        _shown(pl.col("_said").is_not_null() & cached, cached, "cached input"),
        _shown(pl.col("_hidden_said").is_not_null() & hidden, hidden, "reasoning beside output"),
    ]
    return (
        rows.group_by("source_file", "format", maintain_order=True)
        .agg(
            convention=pl.concat_str(said, separator=", ", ignore_nulls=True),
            proof=pl.concat_str(shown, separator="; ", ignore_nulls=True),
        )
        .select(list(PROOFS))
    )


def _shown(by: pl.Expr, of: pl.Expr, what: str) -> pl.Expr:
    counted = pl.concat_str(by.sum(), pl.lit(" of "), of.sum(), pl.lit(f" rows with {what} show it by their counts"))
    return pl.when(of.any()).then(counted)
