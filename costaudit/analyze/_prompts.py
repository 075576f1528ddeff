"""Where the prompts of one task part: the first block that differs between one call and the next."""

from __future__ import annotations

import polars as pl

from costaudit.prompts import Parting, Place


def parting(calls: pl.DataFrame) -> Parting | None:
    """The block at which most neighbours of one template part first; None where no prompt blocks are known.

    A call whose prompt only continues the one before it does not part from it.
    """
    known = (
        calls.filter((pl.col("block_sha").list.len() > 0) & pl.col("started_at").is_not_null())
        .sort("row")
        .with_columns(template=pl.coalesce("template_sha", "tools_sha", pl.lit(0, pl.UInt64)))
        .select("row", "template", "block_sha", "block_tokens", "source_file", "source_line", "request_id")
    )
    before = [
        pl.col(name).shift().over("template").alias(f"{name}_before")
        for name in ("block_sha", "source_file", "source_line", "request_id")
    ]
    pairs = known.with_columns(before).drop_nulls("block_sha_before")
    if pairs.is_empty():
        return None
    both = pl.min_horizontal(pl.col("block_sha").list.len(), pl.col("block_sha_before").list.len())
    # Hashes are a chain: equal at a place means equal up to there, so the equal ones are a prefix.
    equal = pl.col("block_sha").list.set_intersection("block_sha_before").list.len()
    marked = pairs.with_columns(both=both, equal=equal).filter(pl.col("equal") < pl.col("both"))
    if marked.is_empty():
        return None
    counts = marked.group_by("equal").len().sort("len", "equal", descending=[True, False])
    block, calls_at = counts.row(0)
    first = marked.filter(pl.col("equal") == block).row(0, named=True)
    sizes = first["block_tokens"]
    return Parting(
        block=block + 1,
        blocks=len(first["block_sha"]),
        tokens_behind=sum(n or 0 for n in sizes[block:]) if sizes else None,
        calls=calls_at,
        of=pairs.height,
        before=Place(first["source_file_before"], first["source_line_before"], first["request_id_before"]),
        after=Place(first["source_file"], first["source_line"], first["request_id"]),
    )
