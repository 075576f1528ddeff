"""The one order of calls: by time, then by where the log has them. Row order never decides anything."""

from __future__ import annotations

import polars as pl

ORDER = ("started_at", "step", "source_file", "source_line", "source_offset", "request_id", "request_sha")


def order(requests: pl.DataFrame) -> pl.Series:
    """The place of each row in the order of calls [UInt32, from 0], aligned with the rows."""
    by_time = requests.select("started_at").with_row_index("row").sort("started_at", nulls_last=True)
    time, rows = by_time["started_at"], by_time["row"]
    # Most calls have a time of their own; only the others need the dear sort over text.
    tied = time.eq_missing(time.shift()) | time.eq_missing(time.shift(-1))
    ties = rows.filter(tied)
    settled = requests.select(ORDER)[ties].with_columns(row=ties).sort(ORDER, nulls_last=True)["row"]
    return rows.scatter(tied.arg_true(), settled).arg_sort().alias("order")


def spread(found: pl.DataFrame, height: int) -> pl.DataFrame:
    """The columns of a table [row, ...] over rows 0 to `height`, each at its row; null where the table has none."""
    at = pl.repeat(None, height, dtype=pl.UInt32, eager=True)
    at = at.scatter(found["row"], pl.int_range(found.height, dtype=pl.UInt32, eager=True))
    return found.drop("row").select(pl.all().gather(at))
