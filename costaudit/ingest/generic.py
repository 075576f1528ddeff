"""Any log whose columns carry the names of the request table, or names that the settings translate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import polars as pl

from costaudit import schema
from costaudit.config import suggest
from costaudit.errors import ConfigError
from costaudit.ingest import _cells, _prompt
from costaudit.ingest._context import CONTEXT
from costaudit.ingest._decode import dig
from costaudit.ingest._detect import Claims
from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import (
    COUNTED,
    Field,
    Found,
    Out,
    TableFormat,
    count,
    custom,
    flag,
    loaded,
    maybe,
    moment,
    number,
    text,
    usd,
    whole,
)  # fmt: skip
from costaudit.ingest._messages import args_sha
from costaudit.ingest._prompt import Prompt
from costaudit.ingest._table import TableReader

TEXTS = ("system", "prompt", "messages", "response", "tools", "tool_args", "tool_result")
"""Columns of text that are accepted beside those of the request table, hashed, and not kept."""

PROVENANCE = ("format", "source_file", "source_line", "source_offset")  # said by this reading, not by the log
AGGREGATE = ("num_model_requests", "num_requests", "request_count", "requests", "n_requests", "api_requests")
NAMED = 12  # unknown columns that a note names

# Names of the provider APIs, flat or below `usage`, for logs that kept them.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "model": ("model_name",),
    "input_tokens": ("prompt_tokens", "usage.input_tokens", "usage.prompt_tokens"),
    "output_tokens": ("completion_tokens", "usage.output_tokens", "usage.completion_tokens"),
    "cache_read_tokens": (
        "cached_tokens", "cached_input_tokens", "cache_read_input_tokens", "usage.cache_read_input_tokens",
        "usage.prompt_tokens_details.cached_tokens", "usage.input_tokens_details.cached_tokens",
    ),
    "cache_write_tokens": (
        "cache_creation_input_tokens", "usage.cache_creation_input_tokens",
        "usage.prompt_tokens_details.cache_write_tokens", "usage.input_tokens_details.cache_write_tokens",
    ),
    "cache_write_5m_tokens": ("usage.cache_creation.ephemeral_5m_input_tokens",),
    "cache_write_1h_tokens": ("usage.cache_creation.ephemeral_1h_input_tokens",),
    "reasoning_tokens": (
        "usage.completion_tokens_details.reasoning_tokens", "usage.output_tokens_details.reasoning_tokens",
    ),
    "extras": ("fees",),
}  # fmt: skip


def _field(column: schema.Column) -> Field:
    """How a column of the request table is read from a log that has it by name."""
    name, dtype = column.name, column.dtype
    names = (name, *SYNONYMS.get(name, ()))
    if name == "status":
        return custom(_cells.status, dtype, *names)
    if name == "extras":
        return custom(_cells.extras, dtype, *names)
    if dtype == schema.TOOL_CALLS:
        return custom(_cells.each(_cells.tool_call), dtype, *names)
    if dtype == schema.TOOL_RESULTS:
        return custom(_cells.each(_cells.tool_result), dtype, *names)
    if dtype == schema.TOOLS:
        return custom(_cells.each(_cells.tool), dtype, *names)
    if dtype == pl.List(schema.SHA):
        return custom(_cells.each(_cells.fingerprint), dtype, *names)
    if dtype == pl.List(pl.Int64):
        return maybe(custom(_cells.each(lambda n: n if type(n) is int else None), dtype, *names))
    if dtype == schema.SHA:
        return custom(_cells.fingerprint, dtype, *names)
    if dtype == schema.UTC:
        return moment(*names) if name == "started_at" else maybe(moment(*names))
    if dtype == schema.USD:
        return usd(*names)
    if dtype == pl.Int64:
        return count(*names) if column.group == "usage" else whole(*names)
    return {pl.Float64: number, pl.Boolean: flag}.get(type(dtype) if isinstance(dtype, pl.DataType) else dtype, text)(
        *names
    )


# Columns that the text of a prompt gives too; what the log states wins.
HASHED = tuple(name for name in _prompt.COLUMNS if not name.startswith("_"))


class Generic(TableFormat):
    """CSV, JSON lines or Parquet whose columns are named as in the request table; the way to bring in any other log.

    A call needs a model and either counts (`input_tokens`, `output_tokens`) or text; everything else is optional and
    means what `docs/schema.md` says: `input_tokens` includes cached input, `output_tokens` includes reasoning, times
    without a zone are UTC, money is US dollars. `extras` holds what is billed beyond text tokens, as JSON:
    `{"web_search": 2}`. Text may be given as `system`, `prompt`, `messages`, `response`, `tools`, `tool_args` and
    `tool_result`: it is hashed while reading and never kept; where text is there and counts are not, tokens are
    estimated and marked so. The providers' own names (`prompt_tokens`, `usage.completion_tokens`) are understood too.

    Other names are translated by the settings, with dots for what stands deeper:

        columns: {input_tokens: tok_in, tenant: account.name}

    Unknown columns are ignored and named once. Rows that count several requests are aggregates and not calls. A
    `request_id` should be the provider's: it is what makes a call that two logs have one call.
    """

    name = "generic"
    title = "CSV, JSON lines or Parquet with the request table's column names"
    fields: ClassVar[dict[str, Field | tuple[Field, ...]]] = {
        **{c.name: _field(c) for c in schema.REQUEST if c.name not in (*PROVENANCE, *HASHED)},
        **{f"_{c.name}": _field(c) for c in schema.REQUEST if c.name in HASHED},
        "tool_args_sha": (
            custom(_cells.fingerprint, schema.SHA, "tool_args_sha"),
            custom(args_sha, schema.SHA, "tool_args"),
        ),
        "tool_result_sha": (
            custom(_cells.fingerprint, schema.SHA, "tool_result_sha"),
            custom(_cells.body_sha, schema.SHA, "tool_result"),
        ),
        "_total": whole("total_tokens", "usage.total_tokens"),
        "_uncached": whole("uncached_tokens", "uncached_input_tokens", "input_uncached_tokens"),
        "_beside": whole(
            "cache_read_input_tokens",
            "usage.cache_read_input_tokens",
            "cache_creation_input_tokens",
            "usage.cache_creation_input_tokens",
        ),
        "_inside": whole("cache_read_tokens", "cache_write_tokens", "prompt_tokens", "usage.prompt_tokens"),
    }
    prompt = Prompt(
        messages=("self:messages",),
        system=("self:system",),
        tools=("self:tools",),
        parameters=("self:temperature", "self:top_p", "self:seed"),
        answer=("self:response",),
    )

    def __init__(self, columns: Mapping[str, str] | None = None) -> None:
        super().__init__(columns)
        self.paths = {column: tuple(name.split(".")) for column, name in self.columns.items()}
        known = [*(c.name for c in schema.REQUEST if c.name not in PROVENANCE), *TEXTS]
        for column in self.columns:
            if column not in known:
                raise ConfigError(f"columns: the request table has no column {column!r}", hint=suggest(column, known))

    def translated(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """The record with the request table's names; prompts and answers that are plain text become messages."""
        found = dict(record)
        for column, path in self.paths.items():
            value = dig(record, path)
            if value is not None:
                found[column] = value
        prompt, response = found.get("prompt"), found.get("response")
        if prompt is not None and found.get("messages") is None:
            found["messages"] = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        if isinstance(response, str):
            found["response"] = [{"message": {"role": "assistant", "content": response}}]
        return found

    def recognises(self, record: Mapping[str, Any]) -> int:
        if any(record.get(name) is not None for name in AGGREGATE):
            return 0
        row = self.translated(record)
        counted = any(dig(row, path) is not None for path in COUNTS)
        told = row.get("messages") is not None and row.get("response") is not None
        asked = any(isinstance(row.get(name), str) for name in ("model", "model_requested", "model_name"))
        if asked and (counted or told or row.get("extras") is not None):
            return 40
        return 20 if row.get("input_tokens") is not None and row.get("output_tokens") is not None else 0

    def tidy(self, picked: pl.DataFrame) -> pl.DataFrame:
        bare = [pl.col(name).is_null() for name in ("model", "model_requested", "request_id", "input_tokens")]
        beside = pl.col("_beside").is_not_null() & pl.col("_inside").is_null()
        return picked.with_columns(
            *[pl.coalesce(f"_{name}", name).alias(name) for name in HASHED],
            # Anthropic's names stand beside the input, all others inside it; the rows themselves may prove otherwise.
            _reading=pl.when(beside).then(pl.lit("beside")).otherwise(pl.lit("inside")),
            _foreign=pl.col("_foreign")
            | pl.all_horizontal(*bare, pl.col("output_tokens").is_null(), ~pl.col("has_text")),
            _key=_identity(),
            _rank=COUNTED,
        ).drop(*(f"_{name}" for name in HASHED), "_beside", "_inside")


COUNTS = [tuple(path.split(".")) for name in ("input_tokens", "output_tokens") for path in (name, *SYNONYMS[name])]


def _identity() -> pl.Expr:
    """A provider's id is the call's identity everywhere; a row number only together with what the row says."""
    given = pl.col("request_id")
    row = pl.concat_str(
        pl.lit("row"),
        given,
        *[pl.col(name).cast(pl.String) for name in ("started_at", "model", "input_tokens", "output_tokens")],
        separator="\n",
        ignore_nulls=True,
    )
    return pl.when(given.is_null()).then(None).when(given.str.len_chars() >= 12).then(given).otherwise(row)


@Generic.read_by
class GenericReader(TableReader):
    """Reads records whole, for names may stand anywhere, and remembers which columns nobody understood."""

    def __init__(self, form: Generic, file: LogFile, found: Found) -> None:
        super().__init__(form, file, found)
        self.generic = form
        self.claimed = Claims(form)
        self.seen: dict[str, None] = {}
        self.mapped: set[str] = set()

    def feed(self, records: Sequence[Record], out: Out) -> None:
        rows: list[Record] = []
        understood = self._understood()
        for record, value in loaded(records, out):
            # The rows of a table have the same columns; a line may be anything, and names here are anybody's.
            if not isinstance(record.data, dict) and not value.keys() <= understood and self.claimed(value):
                out.foreign.append(record)
                continue
            self.seen.update(dict.fromkeys(value))
            row = self.generic.translated(value)
            if len(self.mapped) < len(self.generic.columns):
                self.mapped.update(c for c, path in self.generic.paths.items() if dig(value, path) is not None)
            rows.append(record._replace(data=row))
        super().feed(rows, out)

    def _understood(self) -> set[str]:
        return KNOWN | {path[0] for path in self.generic.paths.values()}

    def close(self, out: Out) -> None:
        understood = self._understood()
        unknown = [name for name in self.seen if name not in understood and name.partition(".")[0] not in understood]
        if unknown:
            names = ", ".join(repr(name[:40]) for name in unknown[:NAMED])
            more = f" and {len(unknown) - NAMED} more" if len(unknown) > NAMED else ""
            out.notes.append(f"{self.file.shown}: columns that are not understood and were left out: {names}{more}")
        missing = sorted(set(self.generic.columns) - self.mapped)
        if missing:
            places = ", ".join(f"{column} ({self.generic.columns[column]!r})" for column in missing)
            out.notes.append(f"{self.file.shown}: columns of the settings that no record has: {places}")


def _roots(fields: Any) -> set[str]:
    if isinstance(fields, Field):
        return {path.partition(".")[0] for path in fields.paths}
    return {root for item in fields for root in _roots(item)}


KNOWN = {root for table in (Generic.fields, CONTEXT) for item in table.values() for root in _roots(item)}
KNOWN |= {*TEXTS, *PROVENANCE}
"""Top-level names that the format or its surroundings look at."""
