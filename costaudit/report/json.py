"""The report for machines, schema `costaudit.report/1`: a copy of the audit, field by field; it only ever grows.

Dollars are decimal strings to the last digit, times RFC 3339, absent is null, hashes 16 hex digits. Evidence is capped;
`evidence_rest` counts the rows left out and sums their dollars, so that evidence still adds up.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from costaudit.audit import Accepted, Audit, Coverage, Prices, Window
from costaudit.finding import ZERO, Finding, Kind
from costaudit.report import View, _words
from costaudit.report import _money as money
from costaudit.report._dials import dials
from costaudit.report._text import printable_json

SCHEMA = "costaudit.report/1"
EVIDENCE = 100  # rows of one finding; a report of 50 findings stays under a few megabytes
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
SAFE = 2**53  # integers beyond it lose digits in readers that know only doubles


def render(audit: Audit, _view: View) -> str:
    """One JSON document; the same audit gives the same bytes."""
    return document(report(audit))


def document(values: Mapping[str, Any]) -> str:
    """Plain values as JSON text that is safe to print."""
    return printable_json(_written(values, "\n")) + "\n"


def _written(given: Any, newline: str) -> str:
    """Nested values indented, flat ones on one line each: a row of a table is a line to read and to grep."""
    inner = newline + "  "
    if isinstance(given, dict) and any(isinstance(v, dict | list) for v in given.values()):
        fields = (f"{_encode(name)}: {_written(v, inner)}" for name, v in given.items())
        return "{" + inner + f",{inner}".join(fields) + newline + "}"
    if isinstance(given, list) and any(isinstance(v, dict | list) for v in given):
        return "[" + inner + f",{inner}".join(_written(v, inner) for v in given) + newline + "]"
    return _encode(given)


def report(audit: Audit) -> dict[str, Any]:
    """The document as plain values."""
    spend = audit.spend
    return {
        "schema": SCHEMA,
        "window": span(audit.window),
        "prices": prices(audit.prices),
        "coverage": coverage(audit.coverage, rows(audit.coverage.sources)),
        "spend": {
            "total_usd": money.exact(spend.total_usd),
            "subscription_usd": money.exact(spend.subscription_usd),
            "by_task": rows(spend.by_task),
            "by_model": rows(spend.by_model.with_columns(pl.col("provider").replace("", None))),
            "by_tenant": rows(spend.by_tenant),
            "by_day": rows(spend.by_day),
            "logged": rows(spend.logged),
            **{f"by_{name}": rows(table) for name, table in sorted(spend.asked.items())},
        },
        "waste_usd": money.exact(audit.owned(Kind.WASTE)),
        "decide_usd": money.exact(audit.owned(Kind.DECIDE)),
        "findings": [finding(f, dials(f, audit)) for _, findings, _ in _words.groups(audit) for f in findings],
        "clean": sorted(audit.clean),
        "not_checked": [
            {"rule": item.rule, "why": item.why} for item in sorted(audit.not_checked, key=lambda n: (n.rule, n.why))
        ],
        "below_floor": audit.below_floor,
        "suppressed": audit.suppressed,
        "suppressions": [_accepted(one) for one in audit.accepted],
    }


def _accepted(one: Accepted) -> dict[str, Any]:
    return {
        "rule": one.by.rule,
        "subject": dict(one.by.subject),
        "owner": one.by.owner,
        "reason": one.by.reason,
        "until": one.by.until.isoformat(),
        "max_usd": _usd(one.by.max_usd),
        "standing": one.standing.value,
        "finding": one.finding or None,
        "title": one.title or None,
        "usd": money.exact(one.usd) if one.finding else None,
    }


def prices(used: Prices) -> dict[str, Any]:
    """Which prices were used."""
    return {
        "as_of": used.as_of.isoformat(),
        "book_sha256": used.book_sha256,
        "stale_days": used.stale_days,
        "overrides": used.overrides,
    }


def coverage(known: Coverage, sources: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """The trust header; `sources` are the files it comes from, where they are told."""
    read = known.fates
    return {
        "lines": read.lines,
        "requests": read.requests,
        "duplicates": read.duplicates,
        "rollups": read.rollups,
        "rejects": sum(read.rejects.values()),
        "blank": read.blank,
        "skipped": sum(read.skipped.values()),
        "outside": read.outside,
        **{status: known.calls.get(status, 0) for status in _words.STATUSES},
        "tokens": {status: known.tokens.get(status, 0) for status in _words.STATUSES},
        "share": known.share,
        "floor": known.floor,
        "sampled": known.sampled,
        "low_usd": money.exact(known.low_usd),
        "high_usd": _usd(known.high_usd),
        "rejects_by_reason": dict(sorted(read.rejects.items())),
        "skipped_by_type": dict(sorted(read.skipped.items())),
        "duplicates_by_reason": dict(sorted(read.duplicates_by_reason.items())),
        "unpriced_models": rows(known.unpriced),
        **({} if sources is None else {"sources": sources}),
        "notes": list(known.notes),
    }


def finding(claim: Finding, settings: Sequence[str], most: int | None = EVIDENCE) -> dict[str, Any]:
    """A finding with the worst rows of its evidence; the others are counted and summed."""
    column = stake(claim)
    cap = claim.evidence.height if most is None else most
    shown, rest = claim.evidence.head(cap), claim.evidence.slice(cap)
    return {
        "id": claim.id,
        "rule": claim.rule,
        "kind": claim.kind.value,
        "severity": claim.severity.value,
        "confidence": claim.confidence.value,
        "grade": claim.grade.value if claim.grade else None,
        "title": claim.title,
        "subject": dict(sorted(claim.subject.items())),
        "owned_usd": money.exact(claim.owned_usd),
        "alone_usd": money.exact(claim.alone_usd),
        "stake_usd": money.exact(claim.stake_usd),
        "low_usd": money.exact(claim.low_usd),
        "high_usd": _usd(claim.high_usd),
        "requests": claim.requests,
        "remedy": claim.remedy,
        "lever": None if claim.lever is None else {"name": claim.lever.name, "value": claim.lever.value or None},
        "settings": list(settings),
        "because": list(claim.because),
        "evidence": rows(shown),
        "evidence_rest": {"rows": rest.height} | ({column: money.exact(total(rest[column]))} if column else {}),
        "details": {
            name: rows(frame.head(most) if most is not None else frame) for name, frame in sorted(claim.details.items())
        },
    }


def stake(finding: Finding) -> str | None:
    """The evidence column whose rows add up to the finding's dollars; None where it has none."""
    names = (
        ("waste_usd",)
        if finding.kind in (Kind.WASTE, Kind.DECIDE)
        else ("excess_usd", "at_risk_usd", "overrun_usd", "refused_usd", "loss_usd", "spend_usd", "usd")
    )
    columns = finding.evidence.columns
    return next((name for name in (*names, "waste_usd") if name in columns), None)


def total(column: pl.Series) -> Decimal:
    """The sum of a dollar column, nulls left out, exact."""
    return sum((Decimal(value) for value in column if value is not None), ZERO)


def rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """A table as objects, one a row, keys in the order of the columns."""
    columns = [_column(frame[name]) for name in frame.columns]
    return [dict(zip(frame.columns, row, strict=True)) for row in zip(*columns, strict=True)]


def _column(column: pl.Series) -> list[Any]:
    if column.dtype in (pl.String, pl.Boolean):
        return column.to_list()
    if is_hash(column):
        return [None if v is None else sha(v) for v in column]
    return [value(v) for v in column]


def value(given: Any) -> Any:
    """A cell as a JSON value: no number that a reader could damage, no time without a zone."""
    match given:
        case None | bool() | str():
            return given
        case Decimal():
            return money.exact(given) if given.is_finite() else None
        case float():
            return given if math.isfinite(given) else None
        case int():
            return given if -SAFE < given < SAFE else str(given)
        case datetime():
            return (given if given.tzinfo else given.replace(tzinfo=UTC)).isoformat().replace("+00:00", "Z")
        case date():
            return given.isoformat()
        case timedelta():
            return given.total_seconds()
        case bytes():
            return given.hex()
        case Mapping():
            return {str(name): value(v) for name, v in given.items()}
        case Sequence() | pl.Series():
            return [value(v) for v in given]
        case _:
            return str(given)


def is_hash(column: pl.Series) -> bool:
    return column.dtype == pl.UInt64 and column.name.endswith("sha")


def sha(given: int) -> str:
    return f"{given:016x}"


def span(window: Window) -> dict[str, str | None]:
    """A half-open window, both ends in its own zone."""
    zone = _words.zone(window)
    ends = [None if when is None else str(value(when.astimezone(zone))) for when in (window.start, window.end)]
    return {"from": ends[0], "to": ends[1], "tz": window.tz}


def _usd(amount: Decimal | None) -> str | None:
    return None if amount is None else money.exact(amount)
