"""The one order of calls: by time, then by where the log has them. Row order never decides anything."""

from __future__ import annotations

import polars as pl

ORDER = ("started_at", "step", "source_file", "source_line", "source_offset", "request_id", "request_sha")


def order(requests: pl.DataFrame) -> pl.Series:
    """The place of each row in the order of calls [UInt32, from 0], aligned with the rows."""
    sorted_rows = requests.select(pl.arg_sort_by(*ORDER, nulls_last=True).alias("order")).to_series()
    return sorted_rows.arg_sort().cast(pl.UInt32).alias("order")
