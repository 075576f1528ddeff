"""LibreChat: two transactions are one call, messages restate calls, and where cached input stands is not written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import fates, mangled, read, sample, spent, window

from costaudit.data import bundled
from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import Found, Out
from costaudit.ingest.librechat import Librechat
from costaudit.price.book import PriceBook
from costaudit.price.engine import price
from costaudit.price.trust import trust

LOG = sample("librechat.jsonl")
ROWS = [json.loads(line) for line in LOG]
PROMPT, COMPLETION = ROWS[:2]
CACHED, ANSWERED = ROWS[6:8]
NONE = {"duplicates": 0, "rollups": 0, "rejects": 0}


def half(kind, number, tokens, second=0, **more):
    """A transaction whose id no other one follows or precedes."""
    base = PROMPT if kind == "prompt" else COMPLETION
    identity = {"$oid": f"{0x6A96AE00 + second:08x}aabbccddee{number * 16:06x}"}
    at = {"$date": f"2026-09-02T08:{second // 60:02}:{second % 60:02}.000Z"}
    return {**base, "_id": identity, "rawAmount": -tokens, "createdAt": at, **more}


def test_the_sample_reads_as_it_is_meant():
    made = read(LOG)
    assert fates(made) == {"duplicates": 1, "rollups": 1, "rejects": 0}
    # Two calls of one answer, a title, one with more cached than its input, a half, a stopped one, a message's sum.
    given = 1_200 + 1_500 + 100 + (150 + 50 + 1_100) + 300 + 400 + 600
    assert spent(made) == (7, given, 1_100, 50, 80 + 90 + 7 + 40 + 20 + 30, 0)
    assert window(made) == ("2026-09-02 08:00:01", "2026-09-02 08:00:08")
    assert made.fates.skipped == {
        "answer without usage": 1, "completion that is part of a call": 5, "message of a user": 1,
        "transaction: credits": 1,
    }  # fmt: skip
    assert made.notes == ("LibreChat: 1 answer names no usage and counts as no call: give its transactions",)


def test_columns_are_those_of_the_transactions():
    rows = {row["source_line"]: row for row in read(LOG).requests.to_dicts()}
    first, title, stopped = rows[1], rows[5], rows[10]
    assert [first[k] for k in ("run_id", "task", "user", "model")] == [
        "c-1", "chat", "66a000000000000000000001", "gpt-5-mini",
    ]  # fmt: skip
    assert float(first["cost_logged_usd"]) == (1_200 * 0.25 + 80 * 2) / 1e6
    assert (title["task"], title["output_tokens"]) == ("title", 7)
    assert (stopped["usage_source"], stopped["status"], stopped["cost_logged_usd"]) == ("tokenizer", "cancelled", None)


def test_halves_whose_ids_follow_each_other_are_one_call_whatever_stands_between():
    three = ROWS[:4]
    for order in (three, three[::-1], [three[0], three[2], three[3], three[1]]):
        made = read([*order, *ROWS[6:8]])
        pairs = sorted(made.requests.select("input_tokens", "output_tokens").rows())
        assert pairs == [(1_200, 80), (1_300, 40), (1_500, 90)]


def test_other_halves_are_joined_in_their_order_within_a_minute():
    sent = [half("prompt", n, 100 * n, second=n) for n in (1, 2, 3)]
    made = [half("completion", n + 8, n, second=n + 5) for n in (1, 2, 3)]
    assert sorted(read([*sent, *made]).requests.select("input_tokens", "output_tokens").rows()) == [
        (100, 1), (200, 2), (300, 3),
    ]  # fmt: skip
    late = half("completion", 9, 5, second=100)
    alone = read([sent[0], late, *ROWS[6:8]]).requests.select("input_tokens", "output_tokens").rows()
    assert (100, None) in alone
    assert (None, 5) in alone


@pytest.mark.parametrize("name", ["user", "conversationId", "model", "context", "messageId"])
def test_halves_of_different_calls_are_never_joined(name):
    other = {**half("completion", 9, 5), name: "another"}
    rows = read([half("prompt", 1, 100), other]).requests
    assert sorted(rows["input_tokens"].to_list(), key=str) == [100, None]
    book = PriceBook.load(bundled("pricing"))
    told = trust(price(rows, book), book)
    # What the other half was is unknown, not nothing.
    assert dict(told.select("input_tokens", "trust").rows()) == {100: "estimated", None: "unmetered"}


@given(st.permutations(range(12)))
@settings(max_examples=20, deadline=None)
def test_sums_do_not_depend_on_the_order_of_the_export(order):
    rows = [half("prompt", n, 100 + n, second=n) for n in range(6)]
    rows += [half("completion", n + 20, 10 + n, second=n + 3) for n in range(6)]
    made = read([rows[n] for n in order])
    assert spent(made) == (6, 615, 0, 0, 75, 0)
    assert fates(made) == NONE


def test_exports_that_overlap_count_a_call_once():
    whole = [PROMPT, COMPLETION]
    for cut in ([PROMPT], [COMPLETION], whole):
        for logs in ((whole, cut), (cut, whole)):
            made = read(*logs)
            assert spent(made) == (1, 1_200, 0, 0, 80, 0)
            assert made.requests.height == 1


def test_an_export_given_twice_in_one_file_counts_once():
    rows = [PROMPT, COMPLETION, half("prompt", 5, 300)]
    for twice in ([*rows, *rows], [row for row in rows for _ in range(2)], [*rows[::-1], *rows]):
        made = read(twice)
        assert spent(made) == (2, 1_500, 0, 0, 80, 0)
        assert fates(made) == NONE | {"duplicates": 3}


def test_a_large_collection_is_not_held_whole():
    reader = Librechat().reader(LogFile(Path("transactions.json"), "transactions.json"), Found())
    out = Out()
    for n in range(20_000):
        at = {"$date": "2026-09-02T08:00:00.000Z"}
        ids = [{"$oid": f"6a96ae00aabbccddee{2 * n + i:06x}"} for i in range(2)]
        pair = [{**row, "_id": own, "createdAt": at} for row, own in zip((PROMPT, COMPLETION), ids, strict=True)]
        reader.feed([Record(2 * n + i, 0, row) for i, row in enumerate(pair)], out)
        assert len(reader.rows) <= 5_000
    reader.close(out)
    assert sum(frame.height for frame in out.frames) == 20_000


@pytest.mark.parametrize(("given", "read_"), [(2_700, 900), (100, 900)])
def test_what_a_message_says_was_cached_stands_beside_its_input(given, read_):
    usage = {"input": given, "output": 170, "cacheWrite": 50, "cacheRead": read_, "cost": 0.001}
    row = read([ROWS[13] | {"metadata": {"usage": usage}}]).requests.row(0, named=True)
    assert (row["input_tokens"], row["cache_read_tokens"], row["cache_write_tokens"]) == (given + read_ + 50, read_, 50)
    assert (row["convention"], str(row["cost_logged_usd"]).rstrip("0")) == (None, "0.001")


def test_a_message_is_the_sum_of_its_transactions_in_whatever_files():
    message = ROWS[13]
    for logs in ((ROWS[:4], [message]), ([message], ROWS[:4]), ([message, *ROWS[:4]],)):
        made = read(*logs)
        assert spent(made) == (2, 2_700, 0, 0, 170, 0)
        assert fates(made)["rollups"] == 1
    alone = read([message])
    assert spent(alone) == (1, 2_700, 0, 0, 170, 0)
    assert alone.requests["summed"].to_list() == [True]


def cached(number, given, read_, model):
    parts = {"inputTokens": -given, "writeTokens": 0, "readTokens": -read_}
    return half("prompt", number, given + read_, second=number, model=model, **parts)


def test_where_cached_input_stands_is_open_until_counts_decide():
    def conventions(*rows):
        return sorted(read(list(rows)).requests.select("input_tokens", "convention").rows())

    # The same numbers are 1,000 with 900 cached inside, or 1,900: the cheaper is held, and said to be open.
    assert conventions(cached(1, 1_000, 900, "gpt-5-mini")) == [(1_000, "undecided")]
    # Three calls of the model that can only be read one way speak for the others of the month.
    beside = [cached(n, 10, 900, "gpt-5-mini") for n in (2, 3, 4)]
    assert conventions(cached(1, 1_000, 900, "gpt-5-mini"), *beside) == [
        (910, "proved"), (910, "proved"), (910, "proved"), (1_900, "proved"),
    ]  # fmt: skip
    # Not for another model.
    assert (1_000, "undecided") in conventions(cached(1, 1_000, 900, "claude-haiku-4-5"), *beside)


def test_librechats_own_price_decides_nothing():
    # It was computed by the reading that is in doubt.
    assert read([CACHED, ANSWERED]).requests["cost_logged_usd"].to_list() == [None]


@pytest.mark.parametrize(
    "amount", [{"$numberInt": "-1200"}, {"$numberLong": "-1200"}, {"$numberDouble": "-1200.0"}, -1200.0, "-1200"]
)
def test_numbers_of_extended_json(amount):
    date = {"$date": {"$numberLong": "1788336001000"}}
    assert spent(read([{**PROMPT, "rawAmount": amount, "createdAt": date}, COMPLETION])) == (1, 1_200, 0, 0, 80, 0)


def test_csv_names_the_same():
    names = ["_id", "user", "conversationId", "tokenType", "model", "context", "rawAmount", "tokenValue", "createdAt"]
    lines = [",".join(names)]
    for row, at in ((PROMPT, "2026-09-02T08:00:01.000Z"), (COMPLETION, "2026-09-02T08:00:01.000Z")):
        cells = {**row, "_id": f"ObjectId({row['_id']['$oid']})", "user": "ObjectId(66a000000000000000000001)"}
        lines.append(",".join(str({**cells, "createdAt": at}[name]) for name in names))
    assert spent(read(lines)) == (1, 1_200, 0, 0, 80, 0)


def test_an_amount_that_is_none_costs_its_line():
    bad = [{**PROMPT, "rawAmount": value} for value in (1_200, "NaN", {"a": 1}, True)]
    made = read([*bad, *ROWS[6:8]])
    assert fates(made)["rejects"] == len(bad)
    assert spent(made)[0] == 1


@given(mangled(LOG))
@settings(max_examples=12, deadline=None)
def test_no_line_is_lost_whatever_stands_in_it(lines):
    assert read(lines).fates.balanced
