"""Priced calls for others: a Parquet file without text, and a FOCUS table that adds up to the spend."""

from __future__ import annotations

import csv
import json
import shutil
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from console import ROOT
from ledgers import at, book, calls
from price_book import write
from program import run as run

from costaudit import schema
from costaudit.price.book import PriceBook
from costaudit.price.engine import price
from costaudit.report._focus import VERSIONS, Account, Left, table

LOG = [
    {"task": "a", "tenant": "x", "input_tokens": 3_000, "cache_read_tokens": 1_000, "cache_write_tokens": 500},
    {"task": "a", "tenant": "x", "reasoning_tokens": 40},
    {"task": "b", "service_tier": "batch", "started_at": at(86_400)},
    {"model": "gift"},
    {"model": "no-such-model"},
    {"started_at": None, "task": "a"},
]
# Columns of FOCUS that may not be null, whatever the charge (1.2, conformance level "mandatory").
NEVER_NULL = (
    *("BilledCost", "BillingAccountId", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory"),
    *("ChargePeriodEnd", "ChargePeriodStart", "ContractedCost", "EffectiveCost", "InvoiceIssuerName", "ListCost"),
    *("PricingQuantity", "PricingUnit", "ServiceCategory", "ServiceName"),
)


def focus(log, version="1.2"):
    return table(calls(log), book(), version=version, account=Account("acme-1"))


@pytest.mark.parametrize("version", VERSIONS)
def test_the_table_adds_up_to_the_spend_and_leaves_nothing_null_that_must_not_be(version):
    made = focus(LOG, version)
    undated = calls(LOG[-1:])["cost_usd"].sum()
    assert made.table["BilledCost"].sum() + undated == calls(LOG)["cost_usd"].sum()
    assert undated
    assert made.left_out == (
        Left("without a known price", 1, Decimal(0)),
        Left("without a time, which no day can hold", 1, undated),
    )
    assert made.table.select(NEVER_NULL).null_count().sum_horizontal().item() == 0
    assert ("ProviderName" in made.table.columns) is (version != "1.4")


def test_quantity_times_unit_price_is_the_cost():
    for row in focus(LOG).table.iter_rows(named=True):
        assert abs(row["PricingQuantity"] * row["ListUnitPrice"] - row["ListCost"]) < Decimal("1e-15")
        per = Decimal(row["PricingUnit"].split()[0])
        assert row["ConsumedQuantity"] == row["PricingQuantity"] * per


def test_a_day_at_several_rates_and_seconds_by_the_hour_have_unit_prices_that_end(tmp_path):
    rows = [
        {"model": "long", "input_tokens": 100_000},
        {
            "model": "long",
            "input_tokens": 200_003,
        },  # above the step: together 1,100,015 of 300,003 millionths of a dollar
        {"model": "listener", "extras": [{"class": "audio_seconds", "quantity": Decimal(11)}]},
    ]
    ours = PriceBook.load(write(tmp_path), cache=None)
    asked = pl.DataFrame([row | {"provider": "acme", "started_at": at(0)} for row in rows])
    priced = schema.conform(price(schema.conform(asked), ours), schema.CALLS)
    made = {
        row["x_UsageClass"]: row for row in table(priced, ours, version="1.2", account=Account("a")).table.to_dicts()
    }
    assert made["input"]["BilledCost"] == Decimal("1.100015")
    assert made["input"]["ListUnitPrice"] == round(Decimal("1.100015") / Decimal("0.300003"), 18)
    assert made["audio_seconds"]["PricingQuantity"] == round(Decimal(11) / 3_600, 18)
    assert sum(row["BilledCost"] for row in made.values()) == priced["cost_usd"].sum()


def test_each_class_of_tokens_is_a_sku_of_its_own():
    rows = {
        (r["x_UsageClass"], r["SkuMeter"]): json.loads(r["SkuPriceDetails"])
        for r in focus(LOG[:1]).table.iter_rows(named=True)
    }
    assert {name for name, _ in rows} == {"input", "cache_read", "cache_write_5m", "output"}
    assert rows["cache_read", "Cache Read Input Tokens"]["x_TokenCacheAction"] == "Read"
    assert (
        rows["cache_write_5m", "Cache Write Input Tokens"] | {"x_CacheTtl": "5m"}
        == rows["cache_write_5m", "Cache Write Input Tokens"]
    )
    assert rows["output", "Output Tokens"] == {"x_ModelId": "big", "x_TokenDirection": "Output"}


def test_periods_are_half_open_days_and_months_over_the_turn_of_the_year():
    december = calls([{"started_at": at(0).replace(month=12, day=31, hour=23)}])
    row = table(december, book(), version="1.2", account=Account("a")).table.row(0, named=True)
    assert (row["ChargePeriodStart"], row["ChargePeriodEnd"]) == ("2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z")
    assert (row["BillingPeriodStart"], row["BillingPeriodEnd"]) == ("2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z")


def test_the_files_are_written_whole_and_hold_no_text(run):
    shutil.copy(ROOT / "sample_logs" / "analyzers" / "duplicate-requests.jsonl", "log.jsonl")
    assert run("export", "log.jsonl", "-o", "out.parquet").code == 0
    made = pl.read_parquet("out.parquet")
    assert set(made.columns) == set(schema.CALLS)
    assert run("export", "log.jsonl", "-f", "focus", "--account", "acme", "-o", "out.csv").code == 0
    with Path("out.csv").open(newline="") as file:
        assert sum(Decimal(row["BilledCost"]) for row in csv.DictReader(file)) == made["cost_usd"].sum()


def test_dollars_that_have_no_day_are_named_by_every_command_that_needs_one(run):
    lines = [
        {"model": "gpt-5-mini", "input_tokens": 1_000_000, "output_tokens": 0, "request_id": str(n), "started_at": when}
        for n, when in enumerate(("2026-09-03T10:00:00Z", None, None))
    ]
    Path("log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert "$0.75 spent" in run("spend", "log.jsonl").out
    month = run("report", "log.jsonl", "--month", "2026-09").out
    assert "$0.25 spent" in month
    assert "2 calls without a time, in no window and left out: $0.50" in month
    focus = run("export", "log.jsonl", "-f", "focus", "--account", "acme", "-o", "out.csv")
    assert "left out: 2 calls without a time, which no day can hold: $0.50\n" in focus.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("form", [(), ("-f", "focus", "--account", "acme")], ids=["parquet", "focus"])
def test_a_full_disk_is_no_bug(run, form):
    shutil.copy(ROOT / "sample_logs" / "analyzers" / "duplicate-requests.jsonl", "log.jsonl")
    Path("out.parquet").symlink_to("/dev/full")
    ran = run("export", "log.jsonl", *form, "-o", "out.parquet")
    assert (ran.code, ran.out) == (2, "")
    assert "cannot write /dev/full: No space left on device\n" in ran.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-f", "focus", "-o", "x.csv"], "billing account"),
        (["-f", "focus", "--account", "a", "--focus-version", "9", "-o", "x.csv"], "FOCUS 9"),
        (["--account", "a", "-o", "x.parquet"], "add -f focus"),
        (["-f", "xlsx", "-o", "x"], "no format 'xlsx'"),
        (["-o", "no/such/folder/x.parquet"], "cannot write"),
    ],
)
def test_what_cannot_be_exported_is_said(run, arguments, says):
    shutil.copy(ROOT / "sample_logs" / "analyzers" / "duplicate-requests.jsonl", "log.jsonl")
    ran = run("export", "log.jsonl", *arguments)
    assert ran.code == 2
    assert says in ran.err
