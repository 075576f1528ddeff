"""An audit as bytes and back: MessagePack, its tables as Arrow IPC. No code is in it, so nothing in it is run."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import msgspec
import polars as pl

from costaudit.audit import Audit

PACKED = 1 << 16  # bytes of a table from which packing it takes less time than writing it


def encoded(audit: Audit, most: int) -> bytes | None:
    """The audit as bytes; None where its tables take more than `most` bytes."""
    if sum(table.estimated_size() for table in _tables(audit)) > most:
        return None
    return msgspec.msgpack.encode(audit, enc_hook=_written)


def decoded(data: bytes) -> Audit | None:
    """The audit that the bytes are of; None if they are of none."""
    try:
        return msgspec.msgpack.decode(data, type=Audit, dec_hook=_read)
    except (msgspec.MsgspecError, pl.exceptions.PolarsError):
        return None


def _tables(audit: Audit) -> Iterator[pl.DataFrame]:
    spend = audit.spend
    yield from (audit.coverage.unpriced, audit.coverage.sources, spend.by_task, spend.by_model, spend.by_tenant)
    yield from (spend.by_day, spend.logged, spend.by_day_task, *spend.asked.values())
    for finding in audit.findings:
        yield from (finding.evidence, *finding.details.values())


def _written(value: Any) -> bytes:
    if not isinstance(value, pl.DataFrame):
        raise TypeError(f"not a part of an audit: {type(value)}")
    stream = io.BytesIO()
    value.write_ipc(stream, compression="zstd" if value.estimated_size() > PACKED else "uncompressed")
    return stream.getvalue()


def _read(kind: type, value: Any) -> pl.DataFrame:
    if kind is not pl.DataFrame:
        raise TypeError(f"not a part of an audit: {kind}")
    return pl.read_ipc(value)
