"""Calls that two logs know without an id in common: merged where a session proves it, else only warned of.

Claude Code writes transcripts and sends OpenTelemetry events and spans of the same calls; of ids they share the session
and, in newer versions, the request. Application, gateway and provider logs of one call share the response's id or
nothing: without it a merge would be a guess about money, and only the user can say.
"""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

TRANSCRIPT = "claude-code"
COUNTS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")
NEAR_S = 20  # seconds between two logs' times of one call: queueing in a gateway, clocks, times in whole seconds
FEWEST = 2  # equal calls that make two logs suspicious of being one
MOST = 0.5  # share of the smaller log that must have a twin


class Adopted(NamedTuple):
    """The rows, those of Claude Code's telemetry under the keys of its transcripts, and sentences about the rest."""

    rows: pl.DataFrame
    notes: tuple[str, ...] = ()


def adopt(rows: pl.DataFrame) -> Adopted:
    """Give telemetry of a Claude Code session the identity of the same call in the session's transcript.

    The request's id decides; else equal counts in the same session, in order of time where several calls have them.
    """
    if not (rows["format"] != TRANSCRIPT).any():
        return Adopted(rows)  # transcripts alone, the usual case: what is not looked at is not copied
    told = rows.select("_key", "_rank", "parent_id", "started_at", *COUNTS).filter(
        (rows["format"] == TRANSCRIPT) & rows["_key"].is_not_null()
    )
    if told.is_empty():
        return Adopted(rows)
    sessions = told["parent_id"].drop_nulls().unique()
    looked_at = rows.select("_key", "run_id", "started_at", "format", "rollup", *COUNTS).with_row_index("_at")
    sent = looked_at.filter(
        (pl.col("format") != TRANSCRIPT)
        & pl.col("run_id").is_in(sessions.implode())
        & ~pl.col("rollup").fill_null(value=False)
        & (pl.col("input_tokens").is_not_null() | pl.col("output_tokens").is_not_null())
    )
    if sent.is_empty():
        return Adopted(rows)
    best = told.sort(
        pl.col("_rank").fill_null(0), pl.col("output_tokens").fill_null(-1), descending=True, maintain_order=True
    ).unique("_key", keep="first", maintain_order=True)
    by_id = sent.join(
        best.select(_home="_key", _request=pl.col("_key").str.extract(r"\|(.+)$")).drop_nulls().unique("_request"),
        left_on=pl.col("_key").str.strip_prefix("claude-code "),
        right_on="_request",
        how="inner",
    ).select("_at", "_home")
    rest = sent.join(by_id, on="_at", how="anti")
    free = best.join(by_id, left_on="_key", right_on="_home", how="anti").rename({"parent_id": "_session"})
    by_counts = (
        _numbered(rest, "run_id")
        .join(_numbered(free, "_session").select("_same", "_nth", _home="_key"), on=["_same", "_nth"], how="inner")
        .select("_at", "_home")
    )
    homes = pl.concat([by_id, by_counts])
    lost = sent.height - homes.height
    home = looked_at.select("_at").join(homes, on="_at", how="left", maintain_order="left").select("_home")
    adopted = (
        rows.hstack(home)
        .with_columns(
            _key=pl.coalesce("_home", "_key"),
            _also=pl.when(pl.col("_home").is_null()).then("_also"),
            # The transcript has the prompt's lane, its tools and the lifetimes of its cache: it stays the row.
            _rank=pl.when(pl.col("_home").is_not_null()).then(pl.lit(-1, pl.Int64)).otherwise("_rank"),
        )
        .drop("_home")
    )
    if not lost:
        return Adopted(adopted)
    calls = "1 call" if lost == 1 else f"{lost:,} calls"
    return Adopted(
        adopted,
        (
            f"{calls} in telemetry of Claude Code sessions whose transcripts are here too match no call of theirs: "
            "they may be counted twice; give transcripts or telemetry",
        ),
    )


def _numbered(rows: pl.DataFrame, session: str) -> pl.DataFrame:
    """The rows with `_same` (session and counts) and their number among the rows that share it, in order of time."""
    same = pl.concat_str(session, *[pl.col(name).fill_null(0) for name in COUNTS], separator=" ")
    return (
        rows.with_columns(_same=same)
        .sort("started_at", nulls_last=True, maintain_order=True)
        .with_columns(_nth=pl.int_range(pl.len()).over("_same"))
    )


def suspected(requests: pl.DataFrame) -> tuple[str, ...]:
    """Formats of which many calls look like calls of another format: the same model and counts at the same time."""
    if requests["format"].n_unique() < 2:
        return ()
    calls = requests.filter(
        ~pl.col("rollup").fill_null(value=False)
        & (pl.col("input_tokens") > 0)
        & pl.col("output_tokens").is_not_null()
        & pl.col("started_at").is_not_null()
        & pl.col("model").is_not_null()
    ).select("format", "started_at", "input_tokens", "output_tokens", model=_plain(pl.col("model")))
    # Two rasters half a step apart: calls that a border of one keeps apart stand together in the other.
    pairs = pl.concat([_pairs(calls, shift) for shift in (0, NEAR_S // 2)])
    twins = pairs.group_by("format", "format_b").agg(pl.max("n")).sort("format", "format_b")
    sizes = dict(calls.group_by("format").len().iter_rows())
    return tuple(
        f"at least {n:,} calls of {one} look like calls of {other} (same model and counts within {NEAR_S} s) and share "
        "no id: if both log the same traffic, give one of them"
        for one, other, n in twins.iter_rows()
        if n >= FEWEST and n >= MOST * min(sizes[one], sizes[other])
    )


def _pairs(calls: pl.DataFrame, shift: int) -> pl.DataFrame:
    """format, format_b, n: how many calls of two formats have a partner each in the same `NEAR_S` seconds."""
    same = ["model", "input_tokens", "output_tokens", "_at"]
    counted = (
        calls.with_columns(_at=(pl.col("started_at").dt.epoch("s") + shift) // NEAR_S)
        .group_by("format", *same)
        .agg(n=pl.len())
    )
    return (
        counted.join(counted, on=same, suffix="_b")
        .filter(pl.col("format") < pl.col("format_b"))
        .group_by("format", "format_b")
        .agg(n=pl.min_horizontal("n", "n_b").sum())
    )


def _plain(model: pl.Expr) -> pl.Expr:
    """A model's name without provider and date, as different logs may write it."""
    return model.str.to_lowercase().str.extract(r"([^/]+)$").str.replace(r"[-@]\d{4}-?\d{2}-?\d{2}$", "")
