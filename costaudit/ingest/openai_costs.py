"""Cost exports of OpenAI: pages of the Costs API, and the dashboard's CSV."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from costaudit.ingest._aggregate import AggregateFormat, Bucket, name, number, pages, when, whole_day

RESULT = "organization.costs.result"


class OpenAICosts(AggregateFormat):
    """What OpenAI billed, by day: pages of the organisation's Costs API, or the dashboard's cost CSV.

    Sums, not requests: in a folder of logs they are skipped; `costaudit reconcile LOGS --against FILE` compares them.

    - Amounts are in the currency named, dollars as a rule; another currency is refused, for no rate is known here.
    - There is no model: where the export is grouped by line item, it is read off the beginning of the line.
    """

    name = "openai-costs"
    title = "OpenAI cost exports (for reconcile)"

    def recognises(self, record: Mapping[str, Any]) -> int:
        if "amount_value" in record and "amount_currency" in record:
            return 95
        if "start_time_iso" in record and "num_model_requests" not in record:
            return 60  # a day without cost: only the times are filled
        return 95 if any(result.get("object") == RESULT for _, result in pages(record)) else 0

    def buckets(self, record: Mapping[str, Any]) -> Iterator[Bucket]:
        for bucket, result in pages(record):
            amount = result.get("amount")
            amount = amount if isinstance(amount, Mapping) else {}
            usd = number(amount.get("value", result.get("amount_value")))
            if usd is None:
                continue  # a day without cost
            currency = str(amount.get("currency") or result.get("amount_currency") or "usd").lower()
            if currency != "usd":
                raise ValueError(f"an amount in {currency[:10]}, not in US dollars")
            start, end = whole_day(when(bucket.get("start_time")), when(bucket.get("end_time")))
            item = name(result.get("line_item"))
            yield {
                "start": start,
                "end": end,
                "provider": "openai",
                "model": _model(item),
                "scope": name(result.get("project_id")),
                "usd": usd,
                "item": item,
                "kind": "cost",
            }


def _model(item: str | None) -> str | None:
    """`gpt-4o-2024-08-06, input` names a model; `web search tool calls` names none."""
    head, comma, _ = (item or "").partition(",")
    return head.strip() if comma and " " not in head.strip() else None
