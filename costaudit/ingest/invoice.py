"""Invoices as tables: a date, an amount, perhaps a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from costaudit.ingest._aggregate import AggregateFormat, Bucket, name, number, when, whole_day

DATES = ("date", "day", "usage_date", "period_start", "start_date", "start", "usage date", "charge date")
ENDS = ("end_date", "period_end", "end")
AMOUNTS = ("amount", "amount_usd", "cost_usd", "total_usd", "cost ($)", "amount ($)", "cost (usd)", "amount (usd)")
LINES = ("description", "line_item", "item", "sku", "product", "service")
KNOWN = {
    *DATES,
    *ENDS,
    *AMOUNTS,
    *LINES,
    "model",
    "provider",
    "vendor",
    "currency",
    "quantity",
    "unit",
    "project",
    "workspace",
}


class Invoice(AggregateFormat):
    """An invoice or a bill's detail as a table of dates, amounts and, where it has them, models and descriptions.

    Sums, not requests: in a folder of logs they are skipped; `costaudit reconcile LOGS --against FILE` compares them.

    Columns are known by name, in any case: a date (`date`, `usage_date`, `period_start` …), an amount (`amount`,
    `cost_usd` …), and of these what there is: `model`, `provider`, `description`, `currency`, `period_end`, `project`.
    A table with a column of any other name is not taken for an invoice, unless it is named so.
    """

    name = "invoice"
    title = "Invoices as CSV (for reconcile)"

    def recognises(self, record: Mapping[str, Any]) -> int:
        names = {str(key).strip().lower() for key in record}
        dated, amounts = names & {*DATES}, names & {*AMOUNTS}
        return 40 if dated and amounts and names <= KNOWN else 0

    def buckets(self, record: Mapping[str, Any]) -> Iterator[Bucket]:
        row = {str(key).strip().lower(): value for key, value in record.items()}

        def first(names: tuple[str, ...]) -> Any:
            return next((row[n] for n in names if row.get(n) not in (None, "")), None)

        currency = str(row.get("currency") or "USD").upper()
        if currency not in ("USD", "$", "US$"):
            raise ValueError(f"an amount in {currency[:10]}, not in US dollars")
        start, end = whole_day(when(first(DATES)), when(first(ENDS)))
        yield {
            "start": start,
            "end": end,
            "provider": name(first(("provider", "vendor"))),
            "model": name(row.get("model")),
            "scope": name(first(("project", "workspace"))),
            "usd": number(first(AMOUNTS)),
            "item": name(first(LINES)),
            "kind": "cost",
        }
