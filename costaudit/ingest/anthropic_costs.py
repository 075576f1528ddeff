"""Cost reports of Anthropic's Admin API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from costaudit.ingest._aggregate import AggregateFormat, Bucket, name, number, pages
from costaudit.ingest.anthropic_usage import common

CENTS = Decimal("0.01")


class AnthropicCosts(AggregateFormat):
    """What Anthropic billed, by day: pages of the organisation's cost report.

    Sums, not requests: in a folder of logs they are skipped; `costaudit reconcile LOGS --against FILE` compares them.

    - `amount` is a decimal string in the smallest unit: "123.45" is $1.23.
    - Model, tier and token type are there only where the report is grouped by description.
    - Spend under a priority contract is not in the report.
    """

    name = "anthropic-costs"
    title = "Anthropic cost reports (for reconcile)"

    def recognises(self, record: Mapping[str, Any]) -> int:
        for bucket, result in pages(record):
            if "amount" in result and "currency" in result and "starting_at" in bucket:
                return 95
        return 0

    def buckets(self, record: Mapping[str, Any]) -> Iterator[Bucket]:
        for bucket, result in pages(record):
            amount = number(result.get("amount"))
            if amount is None:
                continue
            if str(result.get("currency") or "USD").upper() != "USD":
                raise ValueError(f"an amount in {str(result.get('currency'))[:10]}, not in US dollars")
            yield common(bucket, result) | {
                "usd": amount * CENTS,
                "item": name(result.get("token_type"))
                or name(result.get("cost_type"))
                or name(result.get("description")),
                "kind": "cost",
            }
