"""Outcomes that stand in another file: did the run, the call or the case succeed, and how well."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
from polars.exceptions import PolarsError

from costaudit.errors import ConfigError

IDS = ("request_id", "run_id", "instance_id")  # the most specific first: it decides
FIELDS = (*IDS, "success", "score")
YES_NO = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}

Row = tuple[str, Mapping[str, Any]]  # where it stands, for messages; column -> value


class Outcome(msgspec.Struct, frozen=True):
    """What is known of one request, run or case."""

    id_column: str
    id: str
    success: bool | None
    score: float | None
    where: str


def join_outcomes(requests: pl.DataFrame, path: Path) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The requests with success and score of the file, which win over those of the log; and notes on the join.

    path  CSV, JSON lines, a JSON array or Parquet with one of request_id, run_id, instance_id and success
          (true, false, 1, 0, yes, no), score (a number), or both; other columns are not looked at
    Every call of a run or case gets its outcome; one given for the request itself wins over that.
    Raises ConfigError, with the line, for values that are neither, and for an id that is given twice.
    """
    outcomes = _read(path)
    unmatched = 0
    for id_column in reversed(IDS):
        about = [outcome for outcome in outcomes if outcome.id_column == id_column]
        if about:
            table = _table(about)
            unmatched += table.filter(~pl.col("id").is_in(requests[id_column].drop_nulls().unique().implode())).height
            requests = _join(requests, id_column, table)
    if not unmatched:
        return requests, ()
    return requests, (f"{path}: {unmatched} of {len(outcomes)} outcomes belong to no call of this audit",)


def _join(requests: pl.DataFrame, id_column: str, table: pl.DataFrame) -> pl.DataFrame:
    found = requests.select(id_column).join(table, left_on=id_column, right_on="id", how="left", maintain_order="left")
    return requests.with_columns(pl.coalesce(found[name], pl.col(name)).alias(name) for name in ("success", "score"))


def _table(outcomes: list[Outcome]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "id": [o.id for o in outcomes],
            "success": [o.success for o in outcomes],
            "score": [o.score for o in outcomes],
        },
        schema={"id": pl.String, "success": pl.Boolean, "score": pl.Float64},
    )


def _read(path: Path) -> list[Outcome]:
    outcomes: list[Outcome] = []
    columns: set[str] = set()
    first: dict[tuple[str, str], str] = {}
    try:
        for where, row in _rows(path):
            outcome = _outcome(where, row)
            key = (outcome.id_column, outcome.id)
            if key in first:
                raise ConfigError(
                    f"{where}: the outcome of {outcome.id_column} {outcome.id!r} is given twice",
                    hint=f"first in {first[key]}; keep one",
                )
            first[key] = where
            outcomes.append(outcome)
            columns |= row.keys()
    except OSError as error:
        hint = "check the path; `outcomes:` and --outcomes name a CSV or JSON file"
        raise ConfigError(f"cannot read {path}: {error.strerror or error}", hint=hint) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text", hint="save the file as UTF-8") from error
    if all(outcome.success is None and outcome.score is None for outcome in outcomes):
        found = f"columns found: {', '.join(sorted(columns))}" if columns else "the file is empty"
        raise ConfigError(f"{path}: no row has a success or a score", hint=found)
    return outcomes


# --- rows ---------------------------------------------------------------------------------------------------------


def _outcome(where: str, row: Mapping[str, Any]) -> Outcome:
    for id_column in IDS:
        if (identity := row.get(id_column)) not in (None, ""):
            success, score = _success(row.get("success"), where), _score(row.get("score"), where)
            return Outcome(id_column, str(identity), success, score, where)
    raise ConfigError(f"{where}: no request_id, run_id or instance_id", hint=f"it has: {', '.join(row)}")


def _success(value: Any, where: str) -> bool | None:
    if _is_absent(value):
        return None
    word = str(int(value)) if isinstance(value, float) and value in (0.0, 1.0) else str(value).strip().lower()
    if word not in YES_NO:
        raise ConfigError(f"{where}: success must be one of {', '.join(YES_NO)}, not {str(value)[:60]!r}")
    return YES_NO[word]


def _score(value: Any, where: str) -> float | None:
    if _is_absent(value):
        return None
    try:
        score = float(value)
    except (TypeError, ValueError, OverflowError):
        score = math.inf
    if not math.isfinite(score):
        raise ConfigError(f"{where}: score must be a number, not {str(value)[:60]!r}")
    return score


def _is_absent(value: Any) -> bool:
    """Null, an empty cell, or not-a-number: how dataframe libraries write a missing value."""
    if isinstance(value, str):
        return value.strip().lower() in ("", "nan", "null", "none")
    return value is None or (isinstance(value, float) and math.isnan(value))


# --- files --------------------------------------------------------------------------------------------------------


def _rows(path: Path) -> Iterator[Row]:
    with path.open("rb") as file:
        start = file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"PAR1"):
        return _parquet(path)
    if start.startswith(b"["):
        return _json_array(path)
    return _json_lines(path) if start.startswith(b"{") else _csv(path)


def _csv(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file, strict=True)
        try:
            for row in rows:
                if None in row or None in row.values():
                    raise ConfigError(f"{path}:{rows.line_num}: the row has not as many cells as the header")
                yield f"{path}:{rows.line_num}", row
        except csv.Error as error:
            raise ConfigError(f"{path}:{rows.line_num}: not readable as CSV: {error}") from error


def _json_lines(path: Path) -> Iterator[Row]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield f"{path}:{number}", _object(line, f"{path}:{number}")


def _json_array(path: Path) -> Iterator[Row]:
    try:
        items = msgspec.json.decode(path.read_bytes(), type=list[msgspec.Raw])
    except (msgspec.DecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: not readable as JSON: {error}") from error
    for number, item in enumerate(items, start=1):
        yield f"{path}, item {number}", _object(bytes(item), f"{path}, item {number}")


def _object(data: bytes, where: str) -> Mapping[str, Any]:
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise ConfigError(f"{where}: not a JSON object: {error}") from error


def _parquet(path: Path) -> Iterator[Row]:
    try:
        frame = pl.read_parquet(path, glob=False)
    except PolarsError as error:
        raise ConfigError(f"{path}: not readable as Parquet: {str(error).splitlines()[0]}") from error
    frame = frame.select(name for name in FIELDS if name in frame.columns)
    for number, row in enumerate(frame.iter_rows(named=True), start=1):
        yield f"{path}, row {number}", row
