"""A baseline as a small file to commit: unit costs, the mix behind them, hashes of how prompts begin; no content.

One line a task, so that a diff shows which task moved; the same side gives the same bytes. Case ids are hashed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any

import msgspec
import polars as pl
from msgspec import Meta

from costaudit.audit import Window
from costaudit.compare.side import UNITS, Block, Opening, Side
from costaudit.config import is_zone
from costaudit.errors import CostAuditError
from costaudit.price.mix import CLASS_ROWS, MODELS, TASKS, Mix, Unpriced

SCHEMA = "costaudit.baseline/1"
MOST_UNITS = 2_000  # kept a task: an interval of ±4 % at cv 1; a file of them is 70 kB
MAX_BYTES = 256 * 2**20

MOST_USD = Decimal(10) ** 15  # fits Decimal(38, 18) with room for sums
Count = Annotated[int, Meta(ge=0, le=2**53)]
Quantity = Annotated[float, Meta(ge=0, le=1e18)]
Share = Annotated[float, Meta(ge=0, le=1)]


class _Class(msgspec.Struct, frozen=True, array_like=True):
    model: str
    name: str
    quantity: Quantity
    usd: Decimal
    estimated_usd: Decimal


class _Block(msgspec.Struct, frozen=True, array_like=True):
    sha: str
    share: Share
    tokens: Count


class _Units(msgspec.Struct, frozen=True):
    """Columns, one value a unit; `of` units were measured, of which these are kept."""

    of: Count
    case: list[str | None]
    runs: list[Annotated[int, Meta(ge=1, le=2**31)]]
    usd: list[Decimal | None]
    tokens: list[Count]


class _Task(msgspec.Struct, frozen=True):
    units: _Units
    runs: Quantity
    calls: Quantity
    ok_calls: Quantity
    models: dict[str, Quantity]
    classes: list[_Class]
    tools: str | None = None
    opening: list[_Block] = []
    opening_tokens: Count | None = None


class _Unpriced(msgspec.Struct, frozen=True):
    calls: Count
    high_usd: Decimal | None


class _File(msgspec.Struct, frozen=True):
    schema: str
    name: str
    since: datetime | None
    until: datetime | None
    tz: str
    calls: Count
    coverage: Share
    priced_on: date | None
    rates: dict[str, str]
    unpriced: _Unpriced
    tasks: dict[str, _Task]


def is_baseline(head: bytes) -> bool:
    """Whether a file that begins so says it is a baseline, of whatever version; logs are told by content too."""
    return b'"schema": "costaudit.baseline/' in head[:200]


def dumps(side: Side) -> str:
    """The baseline file of a side."""
    head: dict[str, Any] = {
        "schema": SCHEMA,
        "name": side.name,
        "since": side.window.start and side.window.start.isoformat(),
        "until": side.window.end and side.window.end.isoformat(),
        "tz": side.window.tz,
        "calls": side.calls,
        "coverage": side.coverage,
        "priced_on": side.priced_on and side.priced_on.isoformat(),
        "rates": dict(sorted(side.rates.items())),
        "unpriced": {"calls": side.mix.unpriced.calls, "high_usd": _text(side.mix.unpriced.high_usd)},
    }
    lines = [f"  {_json(key)}: {_json(value)}," for key, value in head.items()]
    tasks = sorted(set(side.units["task"].to_list()))
    rows = [f"    {_json(task)}: {_json(_task(side, task))}" for task in tasks]
    body = ",\n".join(rows)
    return "\n".join(["{", *lines, '  "tasks": {', *([body] if body else []), "  }", "}"]) + "\n"


def loads(text: bytes, path: str, problem: str = "") -> Side:
    """The side that the text of a baseline file holds; CostAuditError (exit 3: cannot judge) where it holds none.

    problem  the damage that the text ends in, if whoever read it met some
    """
    hint = "save it again: costaudit baseline save PATH... -o FILE"
    if len(text) > MAX_BYTES:
        raise CostAuditError(f"{path} is over {MAX_BYTES // 2**20} MB: no baseline is", hint=hint)
    try:
        file = msgspec.json.decode(text, type=_File)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise CostAuditError(f"{path} is not a baseline that can be read: {problem or error}", hint=hint) from error
    if file.schema != SCHEMA:
        raise CostAuditError(f"{path} has the schema {file.schema[:60]!r}, this program reads {SCHEMA}", hint=hint)
    try:
        return _side(file)
    except (ValueError, ArithmeticError, pl.exceptions.PolarsError) as error:
        raise CostAuditError(f"{path} does not fit together: {error}", hint=hint) from error


def _task(side: Side, task: str) -> dict[str, Any]:
    mine = pl.col("task") == task
    units = side.units.filter(mine)
    kept = _thinned(units)
    counts = side.mix.tasks.filter(mine)
    runs, calls, ok_calls = counts.row(0)[1:] if counts.height else (0.0, 0.0, 0.0)
    opening = side.openings.get(task, Opening())
    return {
        "units": {
            "of": units.height,
            "case": kept["case"].to_list(),
            "runs": kept["runs"].to_list(),
            "usd": [_text(usd) for usd in kept["usd"]],
            "tokens": kept["tokens"].to_list(),
        },
        "runs": runs,
        "calls": calls,
        "ok_calls": ok_calls,
        "models": dict(side.mix.models.filter(mine).select("model", "calls").iter_rows()),
        "classes": [
            [model, name, quantity, _text(usd), _text(estimated)]
            for _, model, name, quantity, usd, estimated in side.mix.classes.filter(mine).iter_rows()
        ],
        "tools": None if opening.tools is None else f"{opening.tools:016x}",
        "opening": [[f"{b.sha:016x}", round(b.share, 6), b.tokens] for b in opening.blocks],
        "opening_tokens": opening.tokens,
    }


def _thinned(units: pl.DataFrame) -> pl.DataFrame:
    """At most MOST_UNITS of the units, chosen by hash: a sample that does not depend on what they cost."""
    if units.height <= MOST_UNITS:
        return units
    keys = [
        hashlib.sha256(f"{case or ''}/{place}".encode()).hexdigest()
        for place, case in enumerate(units["case"].to_list())
    ]
    return (
        units.with_columns(pl.Series("key", keys), place=pl.int_range(pl.len()))
        .sort("key")
        .head(MOST_UNITS)
        .sort("place")
        .drop("key", "place")
    )


def _side(file: _File) -> Side:
    for usd in _amounts(file):
        if not usd.is_finite() or not 0 <= usd < MOST_USD:
            raise ValueError(f"{usd} is no cost")
    if not is_zone(file.tz):
        raise ValueError(f"{file.tz!r} is no time zone")
    units, tasks, models, classes = [], [], [], []
    for task, of in file.tasks.items():
        columns = {"case": of.units.case, "runs": of.units.runs, "usd": of.units.usd, "tokens": of.units.tokens}
        units.append(pl.DataFrame({"task": [task] * len(of.units.case), **columns}, schema=UNITS))
        if of.runs:
            tasks.append((task, of.runs, of.calls, of.ok_calls))
        models += [(task, model, calls) for model, calls in of.models.items()]
        classes += [(task, c.model, c.name, c.quantity, c.usd, c.estimated_usd) for c in of.classes]
    return Side(
        name=file.name,
        units=pl.concat([UNITS.to_frame(), *units]),
        mix=Mix(
            pl.DataFrame(tasks, schema=TASKS, orient="row"),
            pl.DataFrame(models, schema=MODELS, orient="row"),
            pl.DataFrame(classes, schema=CLASS_ROWS, orient="row"),
            Unpriced(file.unpriced.calls, file.unpriced.high_usd),
        ),
        openings={task: _opening(of) for task, of in file.tasks.items() if of.opening or of.tools},
        window=Window(_utc(file.since), _utc(file.until), file.tz),
        calls=file.calls,
        coverage=file.coverage,
        priced_on=file.priced_on,
        rates=file.rates,
    )


def _amounts(file: _File) -> Iterator[Decimal]:
    if file.unpriced.high_usd is not None:
        yield file.unpriced.high_usd
    for task in file.tasks.values():
        yield from (usd for usd in task.units.usd if usd is not None)
        yield from (usd for c in task.classes for usd in (c.usd, c.estimated_usd))


def _opening(task: _Task) -> Opening:
    blocks = tuple(Block(int(b.sha, 16), b.share, b.tokens) for b in task.opening)
    return Opening(int(task.tools, 16) if task.tools is not None else None, blocks, task.opening_tokens)


def _utc(when: datetime | None) -> datetime | None:
    return None if when is None else when.astimezone(UTC)


def _text(usd: Decimal | None) -> str | None:
    """Every digit and no trailing zeros."""
    if usd is None:
        return None
    text = f"{usd:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _json(value: Any) -> str:
    """ASCII, so that nothing a log put into a name acts on whoever opens the file."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False)
