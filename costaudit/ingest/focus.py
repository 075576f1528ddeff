"""FOCUS cost and usage files: the bill of any vendor in one shape."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from costaudit.ingest._aggregate import AggregateFormat, Bucket, name, number, when, whole_day
from costaudit.ingest._decode import unfolded

SERVICES = re.compile(
    r"open ?ai|anthropic|claude|bedrock|vertex|gemini|azure.{0,12}(open)?ai|mistral|cohere|generative|llm", re.I
)
MODEL = ("ModelId", "x_ModelId", "ModelFamily", "x_ModelFamily")


class Focus(AggregateFormat):
    """FOCUS 1.0 to 1.4 as CSV, JSON lines or Parquet: rows of a bill, an hour or a day each.

    Sums, not requests: in a folder of logs they are skipped; `costaudit reconcile LOGS --against FILE` compares them.

    - Rows of language models are those of the subcategory Generative AI, or of a known service; others are left out.
    - `EffectiveCost` is compared, for it holds discounts and commitments; else `BilledCost`. Dollars only.
    - The model is taken from `SkuPriceDetails`, else from the resource; it may be absent, then days are compared whole.
    """

    name = "focus"
    title = "FOCUS cost and usage (for reconcile)"

    def recognises(self, record: Mapping[str, Any]) -> int:
        return 95 if "BilledCost" in record and "ChargePeriodStart" in record else 0

    def buckets(self, record: Mapping[str, Any]) -> Iterator[Bucket]:
        service = f"{record.get('ServiceName') or ''} {record.get('ServiceSubcategory') or ''}"
        if record.get("ChargeCategory") not in (None, "", "Usage") or not SERVICES.search(service):
            return
        currency = str(record.get("BillingCurrency") or "USD").upper()
        if currency != "USD":
            raise ValueError(f"an amount in {currency[:10]}, not in US dollars")
        cost = number(record.get("EffectiveCost"))
        start, end = whole_day(when(record.get("ChargePeriodStart")), when(record.get("ChargePeriodEnd")))
        details = unfolded(record.get("SkuPriceDetails"))
        model = (
            next((name(details[key]) for key in MODEL if details.get(key)), None)
            if isinstance(details, Mapping)
            else None
        )
        sold_by = record.get("ServiceProviderName") or record.get("ProviderName") or record.get("ServiceName")
        yield {
            "start": start,
            "end": end,
            "provider": _provider(str(sold_by or "")),
            "model": model or name(record.get("ResourceId")),
            "region": None,
            "scope": name(record.get("SubAccountId")),
            "usd": cost if cost is not None else number(record.get("BilledCost")),
            "item": name(record.get("SkuMeter")) or name(record.get("ChargeDescription")),
            "kind": "cost",
        }


def _provider(sold_by: str) -> str:
    """The seller as logs name it: `Amazon Web Services` and `OpenAI API` are products."""
    word = sold_by.lower()
    known = (("openai", "azure"), ("azure", "azure"), ("microsoft", "azure"), ("amazon", "bedrock"), ("aws", "bedrock"))
    if "azure" not in word and "microsoft" not in word and "openai" in word:
        return "openai"
    found = next((p for mark, p in known if mark in word), None)
    named = (("anthropic", "anthropic"), ("google", "google"), ("vertex", "vertex"), ("mistral", "mistral"))
    return found or next((p for mark, p in named if mark in word), word.strip())
