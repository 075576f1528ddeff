"""Prompt families: calls whose prompts come from one template.

Only hashes are looked at: of the masked prompt (`template_sha`), of its first masked lines (`line_sha`) and of the
names of the declared tools (`tools_sha`).
"""

from __future__ import annotations

import polars as pl

UNIQUE = 0.5  # families per call above which a prompt varies more than its mask knows (step 3)
ENOUGH = 50  # calls from which that can be judged (step 3)
COMMON_SHARE, COMMON = 0.005, 3  # share and number of calls from which a line belongs to the template (step 3)
SMALL = 5  # calls; a family under it joins the nearest (step 5)
ALIKE = 0.7  # line Jaccard from which a small family joins (step 5)
LARGEST = 50  # families of one tool set that small ones are compared with

MIX = 0x9E3779B97F4A7C15  # 2^64 / golden ratio; odd, so multiplication by it loses nothing


def families(calls: pl.DataFrame) -> pl.DataFrame:
    """row, family [a hash; null: too small to be one] of the calls that have a prompt fingerprint.

    in    row, print [hash of the masked prompt], lines [hashes of its lines], tools_sha
    Calls whose prompts are nearly all different, share no line and declare no tools are left out.
    """
    prompts = calls.drop_nulls("print").with_columns(
        n=pl.len().over("tools_sha"), prints=pl.col("print").n_unique().over("tools_sha")
    )
    varies = (pl.col("n") >= ENOUGH) & (pl.col("prints") > UNIQUE * pl.col("n"))
    exact = prompts.filter(~varies).with_columns(family="print")
    by_lines = _by_common_lines(prompts.filter(varies))
    return _join_small(pl.concat([exact, by_lines]))


def _by_common_lines(prompts: pl.DataFrame) -> pl.DataFrame:
    """The prompts with a family made of the lines that many of the same tool set share, in order; else of the tools."""
    lines = (
        prompts.select("row", "tools_sha", "n", line="lines")
        .explode("line", empty_as_null=False, keep_nulls=False)
        .unique(["row", "line"], keep="first", maintain_order=True)
        .filter(pl.len().over("tools_sha", "line") >= pl.max_horizontal(COMMON, COMMON_SHARE * pl.col("n")))
        .with_columns(place=pl.int_range(1, pl.len() + 1, dtype=pl.UInt64).over("row"))
    )
    tools = pl.col("tools_sha").fill_null(0)
    template = lines.group_by("row").agg(
        family=(((pl.col("line") ^ (pl.col("place") * MIX)) * MIX).sum() ^ tools.first())
    )
    return (
        prompts.join(template, on="row", how="left")
        .with_columns(family=pl.coalesce("family", "tools_sha"))
        .drop_nulls("family")
    )


def _join_small(calls: pl.DataFrame) -> pl.DataFrame:
    """row, family with small families in the nearest large one, or null; as they are where all are small."""
    sizes = (
        calls.group_by("family")
        .agg(pl.len().alias("calls"), pl.col("tools_sha", "lines").get(pl.col("order").arg_min()))
        .sort("calls", "family", descending=[True, False])
    )
    large, small = sizes.filter(pl.col("calls") >= SMALL), sizes.filter(pl.col("calls") < SMALL)
    if large.is_empty() or small.is_empty():
        return calls.select("row", "family")
    nearest = _nearest(small, large)
    joined = calls.select("row", "family").join(
        small.select("family", small=pl.lit(value=True)), on="family", how="left"
    )
    return joined.join(nearest, on="family", how="left").select(
        "row", family=pl.when(pl.col("small")).then("nearest").otherwise("family")
    )


def _nearest(small: pl.DataFrame, large: pl.DataFrame) -> pl.DataFrame:
    """family, nearest: for each small family the large one with the same tools that shares most of its lines.

    Compared with one large family after the other: a join over shared lines would hold every pair that has a
    preamble in common.
    """
    lines = small.select("family", "tools_sha", line=pl.col("lines").list.unique())
    lines = lines.with_columns(size=pl.col("line").list.len()).explode("line", empty_as_null=False, keep_nulls=False)
    by_tools = lines.partition_by("tools_sha", as_dict=True)
    likeness = [pl.DataFrame(schema={"family": pl.UInt64, "nearest": pl.UInt64, "jaccard": pl.Float64})]
    for name, tools, template in (
        large.group_by("tools_sha", maintain_order=True)
        .head(LARGEST)
        .select("family", "tools_sha", "lines")
        .iter_rows()
    ):
        if template and (tools,) in by_tools:
            likeness.append(_jaccard(by_tools[(tools,)], name, set(template)))
    return (
        pl.concat(likeness)
        .filter(pl.col("jaccard") >= ALIKE)
        .sort("family", "jaccard", descending=[False, True], maintain_order=True)
        .unique("family", keep="first", maintain_order=True)
        .select("family", "nearest")
    )


def _jaccard(lines: pl.DataFrame, name: int, template: set[int]) -> pl.DataFrame:
    """family, nearest, jaccard: how much of each small family's lines and of the template's are the same."""
    shared = lines.filter(pl.col("line").is_in(pl.Series([sorted(template)], dtype=pl.List(pl.UInt64))))
    return shared.group_by("family").agg(
        nearest=pl.lit(name, pl.UInt64),
        jaccard=pl.len() / (pl.col("size").first() + len(template) - pl.len()),
    )
