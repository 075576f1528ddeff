"""Every price dimension on a made-up book: tables whose arithmetic can be read, and the laws of `price`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from price_book import ask, at, write

from costaudit import schema
from costaudit.price.book import PriceBook
from costaudit.price.engine import bill, list_usd, price
from costaudit.price.overrides import parse_override
from costaudit.price.quote import Answer

M = 1_000_000
NOON = "2026-11-05T12:00:00+00:00"


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> PriceBook:
    return PriceBook.load(write(tmp_path_factory.mktemp("book")), cache=None)


def usd(answer: Answer) -> str | None:
    return None if answer.usd is None else f"{answer.usd.normalize():f}"


@pytest.mark.parametrize(
    ("model", "usage", "expected"),
    [
        ("plain", {"input": M}, "2"),
        ("plain", {"output": M}, "8"),
        ("plain", {"input": M, "cache_read": M, "output": M}, "10.2"),
        ("plain", {}, "0"),
        ("plain", {"input": 1}, "0.000002"),
        ("plain", {"cache_write_1h": M}, "2"),  # no rate of its own, no shorter lifetime: plain input
        ("caching", {"input": M, "cache_read": M, "cache_write_5m": M, "cache_write_1h": M, "output": M}, "37.2"),
        ("caching", {"cache_write_12h": M}, "8"),  # the longest lifetime that has a rate
        ("halfhour", {"cache_write_30m": M, "cache_write_12h": M}, "7.5"),
        ("halfhour", {"cache_write_5m": M}, "2.5"),
        ("thinker", {"output": M, "reasoning": M, "citation": M}, "13"),
        ("plain", {"output": M, "reasoning": M}, "16"),  # not priced apart: output
        ("plain", {"output": M, "reasoning_of_output": M}, "8"),  # a count inside output
        ("senses", {"input": M, "input_audio": M, "input_image": M, "output": M, "output_audio": M}, "121"),
        ("senses", {"cache_read": M, "cache_read_audio": M}, "1.2"),
        ("senses", {"cache_read_image": M}, "0.4"),  # its parents: cached text first
        ("senses", {"input_video": M}, "4"),
        ("senses", {"output_video": M, "output_image": M}, "46"),
        ("plain", {"input": M, "web_search": 3}, "2.03"),  # the provider's fee
        ("listener", {"audio_seconds": 3600}, "0.111"),
        ("listener", {"audio_seconds": "4.2"}, "0.000308333333333"),  # 10 s x 0.111 / 3600, half-even at 15 places
        ("listener", {}, "0"),
        ("speaker", {"characters": 2_000}, "0.03"),
        ("reader", {"pages": 30, "annotated_pages": 7}, "0.081"),
        ("capacity", {"provisioned_seconds": 3600}, "63"),
        ("gift", {"input": M}, "0"),
    ],
)
def test_a_call_costs_what_the_price_page_says(book, model, usage, expected):
    assert usd(ask(book, "acme", model, usage, when=NOON)) == expected


@pytest.mark.parametrize(
    ("model", "usage", "context", "expected"),
    [
        ("long", {"input": 100_000}, {}, "0.1"),
        ("long", {"input": 100_001}, {}, "0.500005"),  # the whole request moves
        ("long", {"input": 1, "cache_read": 100_000}, {}, "0.050005"),  # cached tokens count
        ("long", {"input": 90_000, "output": 90_000}, {}, "0.54"),  # output does not
        ("long", {"input": 200_000, "cache_read": M}, {"processing": "batch"}, "1"),  # 0.2 x 2.5 + the standard 0.5
        ("long", {"input": 200_000, "output": M}, {"service_tier": "priority"}, "10.4"),  # no step of its own
        ("long", {"cache_read": 100_000}, {"service_tier": "ultrafast"}, "0.01"),  # the standard 0.1, until its step
        ("long", {"cache_read": M}, {"service_tier": "ultrafast"}, "3"),  # … which says what it costs there
        ("long", {"input": M}, {"service_tier": "fast"}, "2"),  # priority under its newer name
        ("long", {"input": 1_000, "output": 0}, {"service_tier": "flex"}, "0.001"),  # none listed: standard
        ("long", {"input": 1_000}, {"service_tier": "default"}, "0.001"),
        ("ladder", {"input": 32_000}, {}, "0.032"),
        ("ladder", {"input": 32_001}, {}, "0.064002"),
        ("ladder", {"input": 128_001}, {}, "0.384003"),
        ("residence", {"input": M, "web_search": 1}, {"data_residency": "eu"}, "1.11"),  # fees are not uplifted
        ("residence", {"input": M}, {"endpoint_location": "global"}, "1"),
        ("residence", {"input": M}, {"endpoint_location": "europe-west1"}, "1.2"),
        ("residence", {"input": M}, {}, "1"),
        ("searcher", {"requests": 1}, {"search_context_size": "low"}, "0.006"),
        ("searcher", {"requests": 1}, {"search_context_size": "high"}, "0.014"),
        ("searcher", {"requests": 1}, {}, "0.006"),  # low is what the vendor takes when nothing is asked
        ("zoned", {"input": M}, {"zone": "us"}, "2"),  # zones are entries of their own at one provider only
    ],
)
def test_tier_length_place_and_size_decide_the_rate(book, model, usage, context, expected):
    assert usd(ask(book, "acme", model, usage, when=NOON, **context)) == expected


@pytest.mark.parametrize(
    ("model", "when", "expected"),
    [
        ("dated", "2026-06-09T23:59:59+00:00", "10"),
        ("dated", "2026-06-10T00:00:00+00:00", "2"),
        ("dated", "2026-06-09T20:30:00-05:00", "2"),  # the 10th in UTC
        ("dated", "2026-08-16T15:59:59+00:00", "2"),
        ("dated", "2026-08-16T16:00:00+00:00", "3"),
        ("dated", "2026-12-31T23:59:59+00:00", "3"),
        ("dated", "2027-01-01T00:00:00+00:00", "4"),
        ("ended", "2026-01-31T23:59:59+00:00", "1"),
        ("ended", "2026-02-01T00:00:00+00:00", None),
        ("ended", "2025-12-31T00:00:00+00:00", None),
        ("hourly", "2026-11-02T00:59:59+00:00", "1"),  # Monday
        ("hourly", "2026-11-02T01:00:00+00:00", "2"),
        ("hourly", "2026-11-02T04:00:00+00:00", "1"),
        ("hourly", "2026-11-02T17:00:00+08:00", "2"),  # 09:00 UTC
        ("hourly", "2026-11-07T02:00:00+00:00", "1"),  # Saturday
        ("hourly", "2026-10-01T02:00:00+00:00", "1"),  # a holiday
        ("nightly", "2026-11-05T16:29:59+00:00", "1"),
        ("nightly", "2026-11-05T16:30:00+00:00", "0.5"),
        ("nightly", "2026-11-06T00:29:59+00:00", "0.5"),
        ("nightly", "2026-11-06T00:30:00+00:00", "1"),
    ],
)
def test_the_price_is_that_of_the_moment_in_utc(book, model, when, expected):
    assert usd(ask(book, "acme", model, {"input": M}, when=when)) == expected


@pytest.mark.parametrize(
    ("provider", "model", "usage", "status", "cost"),
    [
        ("acme", "plain", {"input": M}, "priced", "2"),
        ("acme", "gift", {"input": M}, "free", "0"),
        ("plan", "plain", {"input": M}, "subscription", "0"),
        ("acme", "plain-2", {"input": M}, "unpriced", None),
        ("acme", "plain", {"pages": 1}, "unpriced", None),  # a part nobody prices makes the whole unknown
        ("nobody", "plain", {"input": M}, "unpriced", None),
        ("acme", "speaker", {"input": M}, "unpriced", None),  # a model sold by the character has no token price
    ],
)
def test_free_subscription_and_unknown_are_three_things(book, provider, model, usage, status, cost):
    answer = ask(book, provider, model, usage, when=NOON)
    assert (answer.status, usd(answer)) == (status, cost)


def test_a_subscription_states_its_list_price_apart(book):
    answer = ask(book, "plan", "plain", {"input": M, "output": M}, when=NOON)
    assert (answer.list_usd, answer.entry) == (Decimal(10), "plan:plain")


@pytest.mark.parametrize(
    ("override", "usage", "expected"),
    [
        ({"match": "acme/*", "token_multiplier": "0.88"}, {"input": M, "web_search": 1}, "1.77"),
        (
            {"match": "acme/plain", "rates_per_mtok": {"input": "1.7"}},
            {"input": M, "cache_read": M, "output": M},
            "9.9",
        ),
        ({"match": "acme/plain", "rates_per_mtok": {"input": 0, "output": 0}}, {"input": M}, "0"),
        ({"match": "acme/plain", "rates": {"web_search": "5"}}, {"web_search": 1000}, "5"),
        ({"match": "acme/plain", "token_multiplier": "0.5", "valid_from": "2026-11-06"}, {"input": M}, "2"),
        ({"match": "acme/plain", "token_multiplier": "0.5", "valid_to": "2026-11-06"}, {"input": M}, "1"),
        ({"match": "other/*", "token_multiplier": "0.5"}, {"input": M}, "2"),
        ({"match": "acme/plain", "base_model": "acme/caching"}, {"input": M}, "4"),
        ({"match": "acme/plain", "base_model": "other/plain"}, {"input": M}, "1"),
    ],
)
def test_what_the_user_pays_wins_over_the_list(book, override, usage, expected):
    assert usd(ask(book, "acme", "plain", usage, when=NOON, override=override)) == expected


@pytest.mark.parametrize(
    ("day", "expected"),
    [("2025-01-01", "10"), ("2026-06-12", "2"), ("2026-06-20", "1"), ("2026-07-02", "2"), ("2026-08-20", "3")],
)
def test_what_the_user_paid_for_a_while_leaves_prices_before_and_after_alone(book, day, expected):
    for_a_while = {
        "match": "acme/dated",
        "token_multiplier": "0.5",
        "valid_from": "2026-06-15",
        "valid_to": "2026-07-01",
    }
    answer = ask(book, "acme", "dated", {"input": M}, when=f"{day}T12:00:00+00:00", override=for_a_while)
    assert usd(answer) == expected


@pytest.mark.parametrize("tier", ["priority", None])
def test_a_name_that_asks_for_the_batch_is_billed_as_one(book, tier):
    context = {"service_tier": tier} if tier else {}
    assert usd(ask(book, "acme", "long:batch", {"input": 1_000}, **context)) == "0.0005"


def test_an_unknown_deployment_is_priced_by_the_user(book):
    override = {"match": "vllm/my-llama", "rates_per_mtok": {"input": "0.04", "output": "0.16"}}
    assert usd(ask(book, "vllm", "my-llama", {"input": M, "output": M}, override=override)) == "0.2"


def test_a_machine_of_ones_own_costs_its_time_and_no_tokens(book):
    override = {"match": "local/*", "usd_per_hour": "7.2"}
    assert usd(ask(book, "local", "llama", {"input": M, "machine_seconds": 10}, override=override)) == "0.02"


def test_a_machine_is_paid_from_start_to_end_of_each_call(tmp_path):
    mine = parse_override({"match": "local/*", "usd_per_hour": "7.2"}, "test")
    book = PriceBook.load(write(tmp_path), overrides=[mine], cache=None)
    start = at(NOON)
    calls = pl.DataFrame(
        {
            "provider": ["local", "local"],
            "model": ["llama", "llama"],
            "input_tokens": [5, 5],
            "started_at": [start, start],
            "ended_at": [start + timedelta(seconds=5), None],
        }
    )
    priced = price(calls, book)
    assert priced["cost_usd"].to_list() == [Decimal("0.01"), None]  # 5 s x 7.2 / 3600; no end: not known
    assert priced["price_status"].to_list() == ["priced", "unpriced"]


def test_a_request_fee_is_due_although_no_log_counts_it(book):
    calls = pl.DataFrame({"provider": ["acme"], "model": ["searcher"], "input_tokens": [M], "output_tokens": [0]})
    assert price(calls, book)["cost_usd"].to_list() == [Decimal("3.006")]


@pytest.mark.parametrize(
    "flags",
    [{"rollup": True}, {"gateway_cache_hit": True}, {"status": "error", "input_tokens": None, "output_tokens": 0}],
)
def test_what_was_never_billed_costs_nothing_and_is_not_free(book, flags):
    row = {"provider": "acme", "model": "plain", "input_tokens": M, "output_tokens": 5} | flags
    priced = price(schema.conform(pl.DataFrame([row])), book)
    assert priced.select("cost_usd", "price_status", "price_entry").row(0) == (Decimal(0), None, None)


@pytest.mark.parametrize(
    ("model", "counts", "expected"),
    [
        # More from the cache than in all: what was read is paid, and no input below nothing pays for it.
        ("plain", {"input_tokens": 100, "cache_read_tokens": M}, "0.2"),
        # Only what was cached is counted: reads and writes make the prompt that is above the step.
        ("long", {"cache_read_tokens": 60_000, "cache_write_tokens": 60_000}, "0.33"),
        ("long", {"cache_read_tokens": 40_000, "cache_write_tokens": 60_000}, "0.064"),
        # Two places of a log count searches of one call.
        ("residence", {"extras": [{"class": "web_search", "quantity": Decimal(n)} for n in (2, 3)]}, "0.05"),
    ],
)
def test_counts_that_do_not_fit_each_other_are_billed_as_they_are(book, model, counts, expected):
    row = {"provider": "acme", "model": model, "started_at": at(NOON), "output_tokens": 0} | counts
    (cost,) = price(schema.conform(pl.DataFrame([row])), book)["cost_usd"]
    assert cost == Decimal(expected)


def test_a_failed_call_with_usage_is_billed(book):
    row = {"provider": "acme", "model": "plain", "status": "error", "input_tokens": M, "output_tokens": 0}
    assert price(pl.DataFrame([row]), book)["cost_usd"].to_list() == [Decimal(2)]


def test_nothing_in_is_nothing_out(book):
    empty = pl.DataFrame(schema=schema.REQUESTS)
    assert price(empty, book).height == 0
    assert bill(empty, book).height == 0


def test_a_bill_shows_quantity_rate_unit_and_uplift(book):
    answer = ask(book, "acme", "residence", {"input": 500_000, "web_search": 2}, when=NOON, data_residency="eu")
    assert answer.lines.select("class", "quantity", "rate", "unit", "multiplier", "usd").rows() == [
        ("input", Decimal(500_000), Decimal(1), "per 1,000,000 tokens", Decimal("1.1"), Decimal("0.55")),
        ("web_search", Decimal(2), Decimal(10), "per 1,000 searches", Decimal(1), Decimal("0.02")),
    ]


MODELS = ("plain", "dated", "caching", "halfhour", "long", "ladder", "hourly", "thinker", "residence", "nothing")
COUNT = st.integers(0, 400_000)


@st.composite
def calls(draw: st.DrawFn) -> pl.DataFrame:
    """Calls of any kind the request table allows, inclusive totals, a few without time, tier or usage."""
    rows = []
    for _ in range(draw(st.integers(1, 8))):
        read, write, hour, fresh, reasoning = (draw(COUNT) for _ in range(5))
        rows.append(
            {
                "provider": draw(st.sampled_from(["acme", "other", "plan", None])),
                "model": draw(st.sampled_from(MODELS)),
                "service_tier": draw(st.sampled_from([None, "batch", "priority"])),
                "region": draw(st.sampled_from([None, "eu"])),
                "started_at": draw(
                    st.none()
                    | st.datetimes(datetime(2026, 1, 1), datetime(2027, 6, 1)).map(lambda t: t.replace(tzinfo=UTC))
                ),
                "input_tokens": fresh + read + write,
                "cache_read_tokens": read,
                "cache_write_tokens": write,
                "cache_write_1h_tokens": min(hour, write),
                "output_tokens": draw(COUNT) + reasoning,
                "reasoning_tokens": reasoning,
                "extras": draw(st.sampled_from([None, [], [{"class": "web_search", "quantity": Decimal(2)}]])),
            }
        )
    return schema.conform(pl.DataFrame(rows, schema={k: schema.REQUESTS[k] for k in rows[0]}))


@settings(max_examples=30, deadline=None)
@given(calls())
def test_the_parts_of_a_bill_add_up_to_it(book, calls):
    parts = bill(calls, book).group_by("row").agg(pl.col("usd").sum(), unknown=pl.col("usd").is_null().any())
    whole = list_usd(calls, book)
    for row, usd, unknown in parts.iter_rows():
        assert (whole[row] is None) if unknown else (whole[row] == usd)


@settings(max_examples=20, deadline=None)
@given(calls(), st.integers(0, 8))
def test_cost_is_additive_over_any_split_of_the_log(book, calls, cut):
    parts = pl.concat([price(calls[:cut], book), price(calls[cut:], book)])
    assert parts.select("cost_usd", "price_status", "price_entry").equals(
        price(calls, book).select("cost_usd", "price_status", "price_entry")
    )


@settings(max_examples=20, deadline=None)
@given(calls(), st.sampled_from(["input_tokens", "output_tokens"]), st.integers(1, 300_000))
def test_more_tokens_never_cost_less(book, calls, column, more):
    before, after = price(calls, book), price(calls.with_columns(pl.col(column) + more), book)
    for was, now in zip(before["cost_usd"], after["cost_usd"], strict=True):
        assert (was is None) == (now is None) or was == 0
        assert was is None or now is None or was <= now


@settings(max_examples=20, deadline=None)
@given(calls(), st.randoms())
def test_the_order_of_calls_changes_no_price(book, calls, random):
    order = list(range(calls.height))
    random.shuffle(order)
    assert price(calls[order], book)["cost_usd"].to_list() == price(calls, book)["cost_usd"][order].to_list()


@settings(max_examples=15, deadline=None)
@given(calls(), st.integers(1, 2**40))
def test_whole_units_and_decimals_give_the_same_cost(book, calls, huge):
    """Sums that fit 64 bits are added as integers; one enormous call moves the whole log to decimals."""
    giant = calls[:1].with_columns(input_tokens=pl.lit(2**45 + huge), model=pl.lit("plain"), provider=pl.lit("acme"))
    mixed = price(pl.concat([calls, giant]), book)
    assert mixed["cost_usd"][: calls.height].to_list() == price(calls, book)["cost_usd"].to_list()


def test_counts_that_no_price_can_hold_are_refused_and_not_wrapped(book):
    rows = {"provider": ["acme"], "model": ["plain"], "input_tokens": [2**53], "output_tokens": [2**53]}
    expected = Decimal(2**53) * 2 / M + Decimal(2**53) * 8 / M
    assert price(pl.DataFrame(rows), book)["cost_usd"].to_list() == [expected]


def test_hostile_names_are_unknown_and_harmless(book, tmp_path: Path):
    names = [
        "",
        " ",
        "\x1b[31mred",
        "a" * 10_000,
        "../../etc/passwd",
        "[*?",
        "ft:",
        "arn:aws:bedrock:",
        "/",
        "x/" * 500,
    ]
    frame = pl.DataFrame({"provider": names, "model": names, "input_tokens": [1] * len(names)})
    assert price(frame, book)["price_status"].to_list() == ["unpriced"] * len(names)
