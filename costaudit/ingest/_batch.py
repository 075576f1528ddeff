"""Result files of batch endpoints: each line wraps the answer that the endpoint would have given by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import polars as pl

from costaudit import schema
from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import FileReader, Format, Found, Out, loaded
from costaudit.ingest._inner import Inner

DTYPES = {
    name: schema.REQUESTS[name]
    for name in ("request_id", "instance_id", "service_tier", "status", "http_status", "error_type", "source_line",
                 "source_offset", "provider")
}  # fmt: skip


class Answered(msgspec.Struct, frozen=True):
    """A line whose answer a format of its own reads, and where the answer stands."""

    form: type[Format]
    path: tuple[str, ...]


class Failed(msgspec.Struct, frozen=True):
    """A line without an answer: nothing was billed."""

    request_id: str | None
    status: str
    http_status: int | None
    error_type: str | None


class BatchFormat(Format):
    """A kind of batch file: how it marks its lines."""

    def line(self, record: Mapping[str, Any]) -> Answered | Failed | str | None:
        """What a line is: answered, failed, a type that is skipped, or None for a record of another format."""
        raise NotImplementedError

    def recognises(self, record: Mapping[str, Any]) -> int:
        return 90 if self.line(record) is not None else 0

    def reader(self, file: LogFile, found: Found) -> FileReader:
        del found  # the lines of a batch file are never wrapped
        return _Reader(self, file)


class _Reader:
    """Hands each answer to its own format's reader and prices it as a batch: nothing in the answer says so."""

    def __init__(self, lines: BatchFormat, file: LogFile) -> None:
        self.lines, self.file = lines, file
        self.inner: dict[Answered, Inner] = {}

    def feed(self, records: Sequence[Record], out: Out) -> None:
        failed: list[dict[str, Any]] = []
        groups: dict[Answered, list[Record]] = {}
        for record, value in loaded(records, out):
            kind = self.lines.line(value)
            if kind is None:
                out.foreign.append(record)
            elif isinstance(kind, str):
                out.skipped[kind] += 1
            elif isinstance(kind, Failed):
                failed.append(_failure(kind, record, value))
            else:
                groups.setdefault(kind, []).append(record._replace(data=value))
        for kind, group in groups.items():
            if kind not in self.inner:
                self.inner[kind] = Inner(_form(kind.form), self.file, Found(kind.path))
            self.inner[kind].feed(group)
        out.rows(failed, DTYPES)

    def close(self, out: Out) -> None:
        for inner in self.inner.values():
            out.add(inner.closed(_batched))


_FORMS: dict[type[Format], Format] = {}


def _form(form: type[Format]) -> Format:
    return _FORMS.setdefault(form, form())


def _batched(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(service_tier=pl.lit("batch"), service_tier_requested=pl.lit("batch"))


def _failure(kind: Failed, record: Record, value: Mapping[str, Any]) -> dict[str, Any]:
    case = value.get("custom_id")
    return {
        "request_id": kind.request_id,
        "instance_id": case if isinstance(case, str) else None,
        "service_tier": "batch",
        "status": kind.status,
        "http_status": kind.http_status,
        "error_type": kind.error_type,
        "source_line": record.line,
        "source_offset": record.offset,
    }
