"""Priced calls as a FOCUS cost and usage table (focus.finops.org), one row a day, tenant key, model and usage class.

Costs are ours, not the provider's bill: `ListCost` is the public price, the other three hold the user's own prices. A
call without a known price is left out and counted, never written as 0; so is one without a time, for a charge has a
period. Tokens are the consumed quantity; what a class is stands in the SKU, and as `x_` keys in `SkuPriceDetails`, for
FOCUS has no token columns up to 1.4.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any

import msgspec
import polars as pl
from msgspec.structs import replace

from costaudit.price.book import PriceBook
from costaudit.price.classes import CLASSES, INPUT_SIDE, TOKENS
from costaudit.price.engine import bill_by
from costaudit.price.exact import sum_usd
from costaudit.report._text import clean
from costaudit.schema import USD

VERSIONS = ("1.2", "1.3", "1.4")
KEYS = ("provider", "price_entry", "model", "service_tier", "region", "key_id", "tenant", "task", "environment")
PRODUCTS = {
    "openai": "OpenAI API",
    "anthropic": "Anthropic API",
    "azure": "Azure OpenAI",
    "bedrock": "Amazon Bedrock",
    "vertex": "Vertex AI",
    "google": "Gemini API",
}
METERS = {
    "input": "Input Tokens",
    "cache_read": "Cache Read Input Tokens",
    "output": "Output Tokens",
    "reasoning": "Output Tokens",
}
PRECISION = 60
PLACES = Decimal("1e-18")
DAY = timedelta(days=1)


class Account(msgspec.Struct, frozen=True):
    """What only the user knows: the billing account, its name, and the invoice of the charges, if there is one."""

    id: str
    name: str = ""
    invoice: str = ""


class Left(msgspec.Struct, frozen=True):
    """Calls that are not in the table, why, and what they cost [USD]."""

    why: str
    calls: int
    usd: Decimal


class Written(msgspec.Struct, frozen=True):
    """A table and what it leaves out: dollars of both are the spend."""

    table: pl.DataFrame
    left_out: tuple[Left, ...]


def table(calls: pl.DataFrame, book: PriceBook, *, version: str, account: Account) -> Written:
    """Priced calls [schema.CALLS] as rows of FOCUS; `BilledCost` and what is left out add up to the spend."""
    known, dated = pl.col("price_status").is_in(["priced", "free"]), pl.col("started_at").is_not_null()
    priced = calls.filter(known & dated)
    left = (
        ("without a known price", pl.col("price_status") == "unpriced"),
        ("under a subscription", pl.col("price_status") == "subscription"),
        ("without a time, which no day can hold", known & ~dated),
    )
    out = (_left(why, calls.filter(which)) for why, which in left)
    text = {key: pl.col(key).cast(pl.String).fill_null("") for key in KEYS}
    keys = priced.select(day=pl.col("started_at").dt.truncate("1d"), **text)
    ours = bill_by(priced, book, keys)
    listed = bill_by(priced, replace(book, overrides=(), memo={}), keys) if book.overrides else ours
    both = ours.join(
        listed.select("day", *KEYS, "class", list_usd="usd"), on=["day", *KEYS, "class"], how="left", nulls_equal=True
    )
    n = keys.group_by("day", *KEYS).len().rename({"len": "requests"})
    rows = both.join(n, on=["day", *KEYS], how="left").sort("day", *KEYS, "class")
    with localcontext(prec=PRECISION):
        made = [_row(row, version, account) for row in rows.iter_rows(named=True)]
    return Written(pl.DataFrame(made, schema=_schema(version), orient="row"), tuple(one for one in out if one.calls))


def _left(why: str, calls: pl.DataFrame) -> Left:
    return Left(why, calls.height, sum_usd(calls["cost_usd"]))


def _row(row: Mapping[str, Any], version: str, account: Account) -> dict[str, Any]:
    day: datetime = row["day"]
    month = day.replace(day=1)
    following = month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)
    quantity = Decimal(row["quantity"] or 0)
    cost, listed = row["usd"] or Decimal(0), row["list_usd"] or row["usd"] or Decimal(0)
    kind = CLASSES.get(row["class"])
    per = Decimal(kind.per if kind else 1)
    unit = _unit(row["class"])
    amount = _over(quantity, per)
    seller = row["price_entry"].partition(":")[0] or row["provider"]
    product = PRODUCTS.get(seller, seller)
    sku = "/".join(part for part in (seller, row["model"], row["class"], row["service_tier"], row["region"]) if part)
    tags = {f"costaudit/{key}": row[key] for key in ("tenant", "task", "environment") if row[key]}
    whole = {
        "AvailabilityZone": None,
        "BilledCost": cost,
        "BillingAccountId": account.id,
        "BillingAccountName": account.name or account.id,
        "BillingAccountType": None,
        "BillingCurrency": "USD",
        "BillingPeriodEnd": _at(following),
        "BillingPeriodStart": _at(month),
        "ChargeCategory": "Usage",
        "ChargeClass": None,
        "ChargeDescription": f"{_meter(row['class'])}, {row['model'] or 'unknown model'}",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodEnd": _at(day + DAY),
        "ChargePeriodStart": _at(day),
        "ConsumedQuantity": quantity,
        "ConsumedUnit": unit,
        "ContractedCost": cost,
        "ContractedUnitPrice": _over(cost, amount),
        "EffectiveCost": cost,
        "InvoiceId": account.invoice or None,
        "InvoiceIssuerName": product,
        "ListCost": listed,
        "ListUnitPrice": _over(listed, amount),
        "PricingCategory": "Standard",
        "PricingCurrency": "USD",
        "PricingQuantity": amount,
        "PricingUnit": f"{per:f} {unit}" if per != 1 else unit,
        "ProviderName": product,
        "PublisherName": product,
        "RegionId": row["region"] or None,
        "RegionName": row["region"] or None,
        "ResourceId": row["model"] or None,
        "ResourceName": row["model"] or None,
        "ResourceType": "Model",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": product,
        "ServiceSubcategory": "Generative AI",
        "SkuId": sku,
        "SkuMeter": _meter(row["class"]),
        "SkuPriceDetails": _details(row),
        "SkuPriceId": f"{sku}@{day:%Y-%m-%d}",
        "SubAccountId": row["key_id"] or None,
        "SubAccountName": row["key_id"] or None,
        "SubAccountType": "API key" if row["key_id"] else None,
        "Tags": json.dumps({k: clean(v) for k, v in tags.items()}, ensure_ascii=False) if tags else None,
    }
    own = {"x_Requests": row["requests"], "x_UsageClass": row["class"], "x_PriceEntry": row["price_entry"]}
    if version != "1.2":
        whole |= {"HostProviderName": product, "ServiceProviderName": product}
    if version == "1.4":
        del whole["ProviderName"], whole["PublisherName"]
    named = {key: clean(value) if isinstance(value, str) and key != "Tags" else value for key, value in whole.items()}
    return dict(sorted(named.items())) | own


def _over(amount: Decimal, by: Decimal) -> Decimal:
    """A quotient to 18 places: that of amounts at several rates, and that of seconds by the hour, need not end."""
    return (amount / by).quantize(PLACES) if by else Decimal(0)


def _details(row: Mapping[str, Any]) -> str:
    """Model identity and class: keys of our own, which have to begin with `x_` up to FOCUS 1.4."""
    name = row["class"]
    details: dict[str, str] = {"x_ModelId": clean(row["model"])}
    if name in TOKENS:
        inside = name in INPUT_SIDE
        details["x_TokenDirection"] = "Input" if inside else "Output"
        if inside:
            cache = (
                "Read" if name.startswith("cache_read") else "Write" if name.startswith("cache_write") else "Uncached"
            )
            details["x_TokenCacheAction"] = cache
        if name.startswith("cache_write_"):
            details["x_CacheTtl"] = name.removeprefix("cache_write_")
    if row["service_tier"]:
        details["x_ServiceTier"] = clean(row["service_tier"])
    return json.dumps(details, ensure_ascii=False)


def _meter(name: str) -> str:
    if name.startswith("cache_write"):
        return "Cache Write Input Tokens"
    return METERS.get(name, name.replace("_", " ").title() + (" Tokens" if name in TOKENS else ""))


def _unit(name: str) -> str:
    """In the words of FOCUS: capitalised, plural."""
    if name in TOKENS:
        return "Tokens"
    unit = CLASSES[name].unit if name in CLASSES else "units"
    return {"s": "Seconds", "token-hours": "Token-Hours"}.get(unit, unit.title())


def _at(when: datetime) -> str:
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"


def _schema(version: str) -> dict[str, Any]:
    """Types of the columns, in the order in which they are written: those of FOCUS by name, then our own."""
    sample = _row(_SAMPLE, version, Account(""))
    kinds: dict[str, Any] = {}
    for name in sample:
        kinds[name] = pl.Int64 if name == "x_Requests" else USD if name in _MONEY else pl.String
    return kinds


_MONEY = frozenset(
    {
        *("BilledCost", "ContractedCost", "EffectiveCost", "ListCost", "ConsumedQuantity", "PricingQuantity"),
        *("ContractedUnitPrice", "ListUnitPrice"),
    }
)
_SAMPLE = dict.fromkeys((*KEYS, "class"), "") | {
    "day": datetime(2026, 1, 1, tzinfo=UTC),
    "quantity": None,
    "usd": None,
    "list_usd": None,
    "requests": 0,
}
