"""Are the counts of a stream's records final, running, or pieces that add up? Told from the records.

Records of one response are taken for final or running counts, of which the most complete one holds (`_identity`). They
are pieces where that is impossible, or where the logged total says so; then their counts are added up here.
"""

from __future__ import annotations

import polars as pl

IMPOSSIBLE = 3  # responses of a source that can only be pieces: these decide for all of it
RESPONSE = ["_key", "source_file", "format"]
SOURCE = ["format", "_scope", "provider"]
COUNTS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens",
          "output_tokens", "reasoning_tokens")  # fmt: skip


def added(rows: pl.DataFrame, doubtful: pl.Expr) -> pl.DataFrame:
    """The rows with `_pieces`: true where a row now holds the sum of the pieces of its response.

    doubtful  rows of sources whose writers disagree
    The row with most output holds the sum, and so is the one that is kept of its response.
    """
    several = doubtful & pl.col("_key").is_not_null() & (pl.len().over(RESPONSE) > 1)
    marked = rows.with_columns(_pieces=several.fill_null(value=False))
    if not marked["_pieces"].any():
        return marked
    of_one = marked.with_row_index("_row").filter("_pieces")
    of_one = of_one.sort(pl.col("output_tokens").fill_null(-1), "source_line", descending=[True, False])
    counts = [name for name in COUNTS if name in rows.columns]
    sums = [pl.when(pl.col(name).is_not_null().any()).then(pl.col(name).sum()).alias(name) for name in counts]
    first = [pl.col(name).first().alias(f"_top_{name}") for name in counts]
    responses = of_one.group_by(RESPONSE, maintain_order=True).agg(
        *sums,
        *first,
        pl.col("_row").first(),
        pl.col("_scope", "provider").first(),
        pl.col("_total").max(),
        _bare=_bare(),
    )
    by_sum, by_top = _explains(""), _explains("_top_")
    responses = responses.with_columns(
        _summing=pl.when(by_sum & ~by_top).then(pl.lit(value=True)).when(by_top & ~by_sum).then(pl.lit(value=False))
    ).with_columns(_summing=pl.coalesce("_summing", pl.when("_bare").then(pl.lit(value=True))))
    for_it, against = ((pl.col("_summing") == word).sum().over(SOURCE) for word in (True, False))
    own = pl.col("_summing") & (by_sum & ~by_top)
    source = (for_it >= IMPOSSIBLE) & (against == 0)
    pieces = responses.filter(own.fill_null(value=False) | (source & pl.col("_summing").fill_null(value=True)))
    at = pieces["_row"]
    return marked.with_columns(
        pl.int_range(pl.len()).is_in(at.to_list()).alias("_pieces"),
        *[marked[name].scatter(at, pieces[name]) for name in (*counts, "_total")],
    )


def _bare() -> pl.Expr:
    """Output without any input, beside a record of the same response that has input: no running total can be that."""
    given, made = pl.col("input_tokens"), pl.col("output_tokens")
    return ((given == 0) & (made > 0)).any() & (given > 0).any()


def _explains(of: str) -> pl.Expr:
    """Whether the logged total is the sum of counts, under any reading of cached input and reasoning."""
    given, read, write, made, hidden = (
        pl.col(f"{of}{name}").fill_null(0)
        for name in ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
    )
    plain = given + made
    readings = (plain, plain + hidden, plain + read + write, plain + read + write + hidden)
    return pl.any_horizontal(pl.col("_total") == reading for reading in readings).fill_null(value=False)
