"""The spend tables as rows to show: the dearest first, all others in one row, unknown never written as zero."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import polars as pl

from costaudit.audit import Audit
from costaudit.report import View, _words
from costaudit.report import _money as money

USUAL = ("task", "model", "tenant")


class Row(NamedTuple):
    """A row of a spend table.

    usd    None where none of its calls has a price
    share  of the total, 0..1; None without a price, and where too little of the log is priced to speak of shares
    rest   the columns of the table; what cannot be added up is None in the row of all others
    """

    name: str
    usd: Decimal | None
    share: float | None
    requests: int
    rest: Mapping[str, Any]

    @property
    def spend(self) -> str:
        return "no price" if self.usd is None else money.usd(self.usd)


def asked(audit: Audit, view: View) -> list[str]:
    """The tables to show: those asked for, else the usual ones that tell more than one thing apart."""
    several = used(audit, "tenant").height > 1
    wanted = view.by or tuple(by for by in USUAL if by != "tenant" or several)
    return [by for by in wanted if used(audit, by).height]


def used(audit: Audit, by: str) -> pl.DataFrame:
    """The rows that stand for calls: a table names "nobody" even where every call has a name."""
    return audit.spend.by(by).filter(pl.col("requests") > 0)


def rows(audit: Audit, by: str, most: int | None) -> list[Row]:
    """The first rows of a table, and one that adds up all others; `most` None: every row."""
    frame = used(audit, by)
    if most is None or frame.height <= most + 1:
        most = frame.height
    unknown = _words.priceless(audit) if by == "model" else frozenset()
    twice = by == "model" and resold(frame)
    found = [
        _row(
            named(row, by, twice=twice),
            row,
            audit,
            priced=row.get("p95_usd", 0) is not None and _key(row) not in unknown,
        )
        for row in frame.head(most).iter_rows(named=True)
    ]
    others = frame.slice(most)
    if others.height:
        sums = [name for name, kind in frame.schema.items() if kind.is_integer() or name == "cost_usd"]
        added: dict[str, Any] = dict.fromkeys(frame.columns) | others.select(pl.sum(*sums)).row(0, named=True)
        found.append(_row(f"{others.height:,} more", added, audit, priced=True))
    return found


def resold(rows: pl.DataFrame) -> bool:
    """Whether some model of a table [model, provider] is bought from several sellers: all are told with their own."""
    return bool(rows.group_by("model").agg(twice=pl.col("provider").n_unique() > 1)["twice"].any())


def named(row: Mapping[str, Any], by: str, *, twice: bool) -> str:
    """What a row is called; twice: a model with its seller before it."""
    return f"{row['provider']}:{row[by]}" if twice and by == "model" and row["provider"] else str(row[by])


def _key(row: Mapping[str, Any]) -> tuple[Any, Any]:
    return row.get("model"), row.get("provider")


def _row(name: str, row: Mapping[str, Any], audit: Audit, *, priced: bool) -> Row:
    part = money.of(row["cost_usd"], audit.spend.total_usd) if priced and audit.coverage.enough else None
    return Row(name, row["cost_usd"] if priced else None, part, row["requests"], row)
