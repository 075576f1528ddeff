"""How far dollars can be believed, and that the tables of spend add up."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import ledgers
import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from price_book import write

from costaudit import schema
from costaudit.audit import Fates
from costaudit.price.book import PriceBook
from costaudit.price.coverage import coverage
from costaudit.price.engine import price
from costaudit.price.overrides import parse_override
from costaudit.price.spend import logged, spend
from costaudit.price.trust import trust

M = 1_000_000
NOON = datetime(2026, 11, 5, 12, tzinfo=UTC)
SOURCES = pl.DataFrame({"path": ["log"], "format": ["generic"], "requests": [1], "convention": [""], "proof": [""]})


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> PriceBook:
    return PriceBook.load(write(tmp_path_factory.mktemp("book")), cache=None)


def calls(*rows: dict[str, Any]) -> pl.DataFrame:
    plain = {"provider": "acme", "model": "plain", "input_tokens": M, "output_tokens": 0, "usage_source": "provider"}
    return schema.conform(pl.DataFrame([{"started_at": NOON} | plain | row for row in rows]), schema.REQUESTS)


def trusted(book: PriceBook, *rows: dict[str, Any]) -> pl.DataFrame:
    return trust(price(calls(*rows), book), book)


@pytest.mark.parametrize(
    ("row", "status", "low", "high"),
    [
        ({}, "exact", "2", "2"),
        # A text says nothing of caches: -20 % of all of it read from one, +40 % of none.
        ({"usage_source": "tokenizer"}, "estimated", "0.16", "2.8"),
        ({"usage_source": "tokenizer", "cache_read_tokens": 0}, "estimated", "1.6", "2.8"),
        ({"summed": True}, "estimated", "0.2", "2"),  # a session without cache counts: an upper bound
        ({"summed": True, "cache_read_tokens": 0}, "exact", "2", "2"),
        ({"summed": True, "input_tokens": 1_000}, "exact", "0.002", "0.002"),  # too short for any cache
        ({"input_tokens": None, "output_tokens": M}, "unmetered", "8", None),  # the input is missing
        ({"output_tokens": None}, "estimated", "2", None),  # the answer is missing, and has a price
        ({"output_tokens": None, "status": "error"}, "exact", "2", "2"),
        ({"usage_source": "gateway"}, "estimated", "2", "2"),
        # Undecided counts hold the cheaper reading; the dearer one has the cached tokens beside the input.
        ({"cache_read_tokens": M, "convention": "undecided"}, "estimated", "0.2", "2.2"),
        ({"model": "caching", "cache_write_tokens": M}, "estimated", "5", "8"),  # kept five minutes, or an hour
        ({"model": "caching", "cache_write_tokens": M, "cache_write_5m_tokens": M}, "exact", "5", "5"),
        # Half of the input was written to a cache, and nobody says how much of the rest was read from it.
        (
            {"model": "caching", "input_tokens": 2 * M, "cache_write_tokens": M, "cache_write_5m_tokens": M},
            "exact",
            "5.2",
            "9",
        ),
        ({"model": "halfhour", "cache_write_tokens": M}, "exact", "2.5", "2.5"),  # no dearer hour to doubt
        ({"model": "unheard-of", "output_tokens": M}, "unpriced", "0", "96"),  # 32 for audio in, 64 for audio out
        ({"provider": "nobody", "model": "x"}, "unpriced", "0", None),
        ({"input_tokens": None, "output_tokens": None, "usage_source": "absent"}, "unmetered", "0", None),
        ({"input_tokens": 0, "has_text": True}, "unmetered", "0", None),
        ({"model": "gift"}, "free", "0", "0"),
        ({"provider": "plan"}, "subscription", "0", "0"),
        ({"rollup": True}, None, "0", "0"),
        ({"gateway_cache_hit": True}, "exact", "0", "0"),
        ({"status": "error", "input_tokens": 0, "usage_source": "absent"}, "exact", "0", "0"),
    ],
)
def test_every_call_has_one_status_and_an_interval(book, row, status, low, high):
    one = trusted(book, row).row(0, named=True)
    assert one["trust"] == status
    assert one["low_usd"] == Decimal(low)
    assert one["high_usd"] == (None if high is None else Decimal(high))


def test_a_call_without_usage_is_bounded_by_the_dearest_like_it(book):
    rows = trusted(book, {"task": "a"}, {"task": "a", "input_tokens": 3 * M}, {"task": "a", "usage_source": "absent",
                   "input_tokens": None}, {"task": "b", "usage_source": "absent", "input_tokens": None})  # fmt: skip
    assert rows["high_usd"].to_list() == [Decimal(2), Decimal(6), Decimal(6), None]


def test_coverage_is_the_worse_of_calls_and_tokens_and_rejects_widen_the_range(book):
    rows = trusted(book, {}, {"input_tokens": 3 * M}, {"model": "unheard-of", "input_tokens": M})
    told = coverage(rows, fates=Fates(lines=4, requests=3, rejects={"not JSON": 1}), sources=SOURCES)
    assert told.calls == {"exact": 2, "estimated": 0, "unpriced": 1, "unmetered": 0, "free": 0, "subscription": 0}
    assert told.share == pytest.approx(2 / 3)  # calls; 4 of 5 million tokens would be more
    assert told.low_usd == Decimal(8)
    assert told.high_usd == Decimal(8) + Decimal(32) + Decimal(6)  # the rejected line may have been the dearest call


def test_no_upper_bound_is_said_and_not_invented(book):
    assert coverage(trusted(book, {"provider": "nobody"}), fates=Fates(), sources=SOURCES).high_usd is None


def test_an_unpriced_model_comes_with_an_entry_that_can_be_pasted(book):
    rows = trusted(book, {"model": "new*[model]\x1b", "input_tokens": 5}, {"model": "other"}, {"model": "other"})
    table = coverage(rows, fates=Fates(), sources=SOURCES).unpriced
    assert table.select("model", "requests", "tokens").rows() == [("other", 2, 2 * M), ("new*[model]\x1b", 1, 5)]
    pasted = table["entry"][1].replace("input: ,", "input: 1,").replace("output: }", "output: 2}")
    (entry,) = yaml.safe_load(pasted)
    assert parse_override(entry, "pasted").matches("acme", "new*[model]\x1b")
    assert not parse_override(entry, "pasted").matches("acme", "newer-model")


def test_every_table_adds_up_to_the_total_and_nobody_is_left_out(book):
    rows = trusted(book, {"task": "b", "tenant": "x", "run_id": "1"}, {"task": "a", "run_id": "1"},
                   {"task": "a", "input_tokens": 2 * M, "run_id": "2"}, {"model": "unheard-of"},
                   {"rollup": True, "task": "a"})  # fmt: skip
    told = spend(rows)
    assert told.total_usd == Decimal(8)
    assert told.by_task.select("task", "requests", "runs", "cost_usd", "usd_per_request", "p95_usd").rows() == [
        ("a", 2, 2, Decimal(6), Decimal(3), Decimal(4)),
        ("b", 1, 1, Decimal(2), Decimal(2), Decimal(2)),
        ("(no task)", 1, 0, Decimal(0), None, None),
    ]
    for table in (told.by_task, told.by_model, told.by_tenant, told.by_day):
        assert table["cost_usd"].sum() == told.total_usd
        assert table["requests"].sum() == 4


def test_the_rows_for_nobody_are_always_there(book):
    told = spend(trusted(book, {"task": "a", "tenant": "x"}))
    assert told.by_task["task"].to_list() == ["a", "(no task)"]
    assert told.by_tenant["tenant"].to_list() == ["x", "(no tenant)"]


def test_a_subscription_is_stated_at_list_price_beside_the_total(book):
    told = spend(trusted(book, {"provider": "plan"}, {}), book)
    assert (told.total_usd, told.subscription_usd) == (Decimal(2), Decimal(2))


def test_days_are_those_of_the_zone_asked_for(book):
    late = {"started_at": datetime(2026, 11, 5, 23, 30, tzinfo=UTC)}
    assert spend(trusted(book, late)).by_day["day"].to_list() == ["2026-11-05"]
    assert spend(trusted(book, late), tz="Europe/Berlin").by_day["day"].to_list() == ["2026-11-06"]


def test_logged_cost_is_compared_and_never_summed(book):
    rows = trusted(
        book,
        {"cost_logged_usd": Decimal("2.001")},
        {"cost_logged_usd": Decimal(0)},
        {"cost_logged_usd": Decimal(0)},
        {},
    )
    table = logged(rows)
    assert table.select("model", "requests", "agree", "logged_usd", "computed_usd").rows() == [
        ("plain", 3, 1, Decimal("2.001"), Decimal(6))
    ]
    assert "writes 0" in table["cause"][0]
    assert spend(rows).total_usd == Decimal(8)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "model": st.sampled_from(["plain", "caching", "gift", "unheard-of", "long"]),
                "input_tokens": st.none() | st.integers(0, 300_000),
                "cache_write_tokens": st.integers(0, 1_000),
                "usage_source": st.sampled_from(["provider", "tokenizer", "gateway", "absent"]),
                "convention": st.sampled_from([None, "undecided", "proved"]),
                "task": st.sampled_from([None, "a", "b"]),
            }
        ),
        min_size=1,
        max_size=10,
    )
)
def test_low_never_exceeds_cost_and_cost_never_exceeds_high(book, rows):
    told = trusted(book, *rows)
    assert told.filter(pl.col("cost_usd") < pl.col("low_usd")).is_empty()
    assert told.filter((pl.col("cost_usd") > pl.col("high_usd")) & (pl.col("trust") != "unmetered")).is_empty()
    assert told["trust"].null_count() == 0
    header = coverage(told, fates=Fates(), sources=SOURCES)
    assert sum(header.calls.values()) == len(rows)
    assert 0 <= header.share <= 1
    assert header.high_usd is None or header.low_usd <= header.high_usd


@pytest.mark.parametrize(
    ("columns", "note"),
    [
        (
            {"cache_write_tokens": 400},
            ("estimated: how long cache writes live is not logged, 5 minutes to 1 hour (1 call)",),
        ),
        ({"cache_write_tokens": 400, "cache_write_5m_tokens": 400}, ()),
        ({"usage_source": "tokenizer"}, ("estimated: tokens are counted from the text (1 call)",)),
        ({"usage_source": "provider"}, ()),
    ],
)
def test_the_header_says_why_calls_are_estimated(columns, note):
    believed = coverage(ledgers.calls([columns]), fates=Fates(requests=1), sources=SOURCES)
    assert believed.notes == note
