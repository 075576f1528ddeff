"""`prices quote`: cases as JSON lines in, answers as JSON lines out, in the same order."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from costaudit.commands._price_pages import plain
from costaudit.errors import PriceError
from costaudit.ingest._usage import normalise
from costaudit.price.book import PriceBook
from costaudit.price.classes import CLASSES
from costaudit.price.overrides import parse_override
from costaudit.price.quote import INFORMATION, Answer, Question, quote

MOST = Decimal(10) ** 15  # of anything; keeps quantities inside Decimal(38, 9) with room for sums
BATCH = 10_000  # cases priced in one pass


class Case(msgspec.Struct, frozen=True):
    """One line of input: a question, or why it is none."""

    id: Any
    question: Question | None
    error: str = ""


def quoted(lines: Iterable[str], book: PriceBook, where: str) -> Iterator[tuple[str, bool]]:
    """For each line that is not blank its answer as JSON, and whether it was a question at all."""
    waiting: list[Case] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            waiting.append(_case(line, f"{where}:{number}"))
        if len(waiting) == BATCH:
            yield from _answered(waiting, book)
            waiting = []
    yield from _answered(waiting, book)


def _answered(cases: list[Case], book: PriceBook) -> Iterator[tuple[str, bool]]:
    answers = iter(quote([case.question for case in cases if case.question is not None], book))
    for case in cases:
        record = _invalid(case) if case.question is None else _record(case, next(answers))
        yield json.dumps(record, ensure_ascii=True), case.question is not None


def _invalid(case: Case) -> dict[str, Any]:
    return {"id": case.id, "status": "invalid", "usd": None, "parts_usd": {}, "entry": None, "steps": [case.error]}


def _record(case: Case, answer: Answer) -> dict[str, Any]:
    record = {
        "id": case.id,
        "status": answer.status,
        "usd": plain(answer.usd),
        "parts_usd": {name: plain(usd) for name, usd in answer.parts.items()},
        "entry": answer.entry or None,
        "steps": list(answer.steps),
    }
    if answer.list_usd is not None:
        record["list_usd"] = plain(answer.list_usd)
    return record


def _case(line: str, where: str) -> Case:
    try:
        data = json.loads(line, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        return Case(None, None, f"{where}: not JSON: {error}")
    if not isinstance(data, dict):
        return Case(None, None, f"{where}: a case is a JSON object")
    try:
        return Case(data.get("id"), _question(data, where))
    except PriceError as error:
        return Case(data.get("id"), None, str(error))
    except (TypeError, ValueError, OverflowError) as error:
        return Case(data.get("id"), None, f"{where}: {error}")


def _question(data: Mapping[str, Any], where: str) -> Question:
    override = _object(data, "override")
    context = _object(data, "context")
    counted = _raw(_object(data, "raw")) if data.get("usage") is None and data.get("raw") is not None else None
    return Question(
        provider=_text(data, "provider"),
        model=_text(data, "model"),
        at=moment(data["ts"]) if data.get("ts") else None,
        context={str(key): str(value) for key, value in context.items() if value is not None},
        usage=usage(_object(data, "usage")),
        counted=counted,
        override=parse_override(override, where) if override else None,
    )


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key} must be text")
    return value


def _object(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key) or {}
    if not isinstance(value, dict):
        raise TypeError(f"{key} must be an object")
    return value


def _raw(raw: Mapping[str, Any]) -> dict[str, int]:
    return normalise(_text(raw, "api"), _object(raw, "usage"))


def moment(written: Any) -> datetime:
    """An ISO 8601 time in UTC; without an offset it is meant in UTC. ValueError otherwise."""
    found = datetime.fromisoformat(str(written))
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)


def usage(stated: Mapping[str, Any]) -> dict[str, Decimal]:
    """Class -> quantity. ValueError for a class nobody bills or a quantity that is none."""
    return {name: _quantity(name, value) for name, value in stated.items() if value is not None}


def _quantity(name: str, value: Any) -> Decimal:
    if name not in CLASSES and name not in INFORMATION:
        raise ValueError(f"unknown usage class {name!r}")
    try:
        quantity = Decimal(str(value)) if not isinstance(value, bool) else Decimal("nan")
    except InvalidOperation:
        quantity = Decimal("nan")
    whole = name in INFORMATION or CLASSES[name].unit == "tokens"
    if not quantity.is_finite() or not 0 <= quantity < MOST or (whole and quantity != int(quantity)):
        raise ValueError(f"{name} is no quantity: {str(value)[:40]}")
    return quantity
