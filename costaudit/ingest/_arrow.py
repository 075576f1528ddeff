"""Tables as bytes and back, without the columns that say nothing: most logs fill a third of them."""

from __future__ import annotations

from io import BytesIO
from typing import Literal

import polars as pl


def arrow(frame: pl.DataFrame, compression: Literal["uncompressed", "zstd"] = "uncompressed") -> bytes:
    """The table as an Arrow file; empty where no column has a value."""
    kept = [column.name for column in frame if column.null_count() < frame.height]
    stream = BytesIO()
    if kept:
        frame.select(kept).write_ipc(stream, compression=compression)
    return stream.getvalue()


def table(data: bytes) -> pl.DataFrame:
    """The table again; where no column has a value, not even its rows."""
    return pl.read_ipc(data) if data else pl.DataFrame()
