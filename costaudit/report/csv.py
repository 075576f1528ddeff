"""A table for a spreadsheet: one row a finding, or with `--by` one row a task, model, tenant or day.

Amounts are exact. A text cell that a spreadsheet would run as a formula gets an apostrophe in front.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

from costaudit.audit import Audit
from costaudit.errors import UsageError
from costaudit.report import View, _words
from costaudit.report._text import clean
from costaudit.report.json import is_hash, sha, value

FINDING = (
    *("id", "rule", "kind", "severity", "confidence", "grade", "title", "owned_usd", "alone_usd", "stake_usd"),
    *("low_usd", "high_usd", "requests", "remedy", "subject"),
)
FORMULA = ("=", "+", "-", "@", "\t", "\r", "|", "%")  # what Excel, LibreOffice or Sheets may run or call


def render(audit: Audit, view: View) -> str:
    """RFC 4180 with lines ending in CR LF, one table."""
    if len(view.by) > 1:
        raise UsageError("a CSV file holds one table", hint=f"ask for one: --by {view.by[0]}")
    if view.by:
        return written(audit.spend.by(view.by[0]))
    return _written(FINDING, (_row(f) for _, found, _ in _words.groups(audit) for f in found))


def written(frame: pl.DataFrame) -> str:
    """A table as it is; lists and structures as JSON. Hashes as 16 digits: a spreadsheet would round their numbers."""
    hashes = [is_hash(column) for column in frame]
    rows = (
        [sha(value) if hashed and value is not None else value for value, hashed in zip(row, hashes, strict=True)]
        for row in frame.iter_rows()
    )
    return _written(frame.columns, rows if any(hashes) else frame.iter_rows())


def _row(finding: Any) -> list[Any]:
    named = "; ".join(f"{name}={what}" for name, what in sorted(finding.subject.items()))
    return [named if name == "subject" else getattr(finding, name) for name in FINDING]


def _written(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(heads)
    writer.writerows([_cell(cell) for cell in row] for row in rows)
    return buffer.getvalue()


def _cell(cell: Any) -> Any:
    if isinstance(cell, str):
        shown = clean(cell)
        return f"'{shown}" if shown.lstrip().startswith(FORMULA) else shown
    plain = value(cell)
    return _cell(json.dumps(plain, ensure_ascii=False)) if isinstance(plain, list | dict) else plain
