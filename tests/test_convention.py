"""Token conventions: the same calls written under either reading are understood, or called undecided; never wrong."""

from __future__ import annotations

import itertools
import json
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import read as ingested

from costaudit import pipeline, schema
from costaudit.config import Settings
from costaudit.ingest._convention import settle
from costaudit.ingest._identity import ROWS

calls = st.lists(
    st.tuples(st.integers(0, 5_000), st.integers(1, 9_000), st.integers(0, 3_000), st.integers(1, 2_000)),
    min_size=20,
    max_size=60,
)


def rows(calls, *, beside, total, reading="unknown"):
    """(fresh, read, written, output) tokens as a source would log them."""
    logged = [
        {
            "format": "f",
            "source_file": "log",
            "provider": "p",
            "input_tokens": fresh if beside else fresh + read + written,
            "cache_read_tokens": read,
            "cache_write_tokens": written,
            "output_tokens": out,
            "_total": fresh + read + written + out if total else None,
            "_reading": reading,
        }
        for fresh, read, written, out in calls
    ]
    return schema.conform(pl.DataFrame(logged, schema_overrides={"_total": pl.Int64}), ROWS)


@settings(max_examples=20)
@given(calls=calls, beside=st.booleans())
def test_totals_prove_the_convention_of_a_source(calls, beside):
    settled = settle(rows(calls, beside=beside, total=True, reading="beside" if beside else "inside"))
    assert settled.rows["input_tokens"].to_list() == [f + r + w for f, r, w, _ in calls]
    assert set(settled.rows["convention"]) == {"proved"}


@settings(max_examples=20)
@given(calls=calls)
def test_rows_overrule_a_documented_reading_that_they_disprove(calls):
    settled = settle(rows(calls, beside=True, total=True, reading="inside"))
    assert settled.rows["input_tokens"].to_list() == [f + r + w for f, r, w, _ in calls]


@settings(max_examples=20)
@given(calls=calls, beside=st.booleans(), total=st.booleans())
def test_without_proof_a_reading_is_undecided_but_never_called_proved_when_wrong(calls, beside, total):
    settled = settle(rows(calls, beside=beside, total=total))
    right = pl.Series([f + r + w for f, r, w, _ in calls])
    wrong = settled.rows.filter(settled.rows["input_tokens"] != right)
    assert set(wrong["convention"]) <= {"undecided"}


@pytest.mark.parametrize(
    ("read", "convention", "tokens"),
    [
        ([200, 300, 400], "proved", [300, 400, 500]),  # more cached than input, three times: it stands beside
        ([20, 30, 40], "assumed", [100, 100, 100]),  # nothing to prove it by: the documented reading, marked
        ([0, 0, 0], None, [100, 100, 100]),  # no cache: every reading is the same
    ],
)
def test_few_rows_are_decided_by_impossibility_or_assumed(read, convention, tokens):
    log = rows([(100, r, 0, 1) for r in read], beside=True, total=False, reading="inside")
    settled = settle(log)
    assert settled.rows["input_tokens"].to_list() == tokens
    assert set(settled.rows["convention"]) == {convention}


@pytest.mark.parametrize(
    ("logged", "total", "tokens"),
    [
        # input, cached, output, reasoning as logged; input and output with everything in them
        ((100, 0, 50, 20), 170, (100, 70)),  # only with the reasoning beside it
        ((100, 0, 50, 20), 150, (100, 50)),  # only with the reasoning inside
        ((100, 40, 50, 20), 170, (100, 70)),
        ((100, 40, 50, 20), 190, (140, 50)),
        ((100, 40, 50, 20), 210, (140, 70)),
        ((100, 20, 50, 20), 170, (100, 50)),  # as much cached as thought: one of them is beside, and nobody knows which
    ],
)
def test_the_total_of_one_row_tells_what_stands_beside(logged, total, tokens):
    given, cached, output, hidden = logged
    log = rows([(given, cached, 0, output)], beside=True, total=False).with_columns(
        reasoning_tokens=pl.lit(hidden, pl.Int64), _total=pl.lit(total, pl.Int64)
    )
    assert settle(log).rows.select("input_tokens", "output_tokens").row(0) == tokens


def test_the_proof_is_told_by_file():
    settled = settle(rows([(100, 200, 0, 1)] * 30, beside=True, total=False, reading="inside"))
    assert settled.proofs.row(0) == (
        "log",
        "f",
        "cache beside input, proved",
        "30 of 30 rows with cached input show it by their counts",
    )


# --- the same calls under every convention ----------------------------------------------------------------------------

CONVENTIONS = list(itertools.product((False, True), (False, True), ("final", "cumulative", "pieces")))


def call(n):
    """(fresh, read, written, output with reasoning, reasoning); some are cached, or thought, for the most part."""
    read = (n % 5) * 700
    return 400 + 13 * n, read, (n % 3) * 110, 900 + 7 * n, (n % 4) * 211


def encoded(count, *, cache_beside, hidden_beside, stream, total=False):
    """Records of the calls as a logger of that convention writes them."""
    records = []
    for n in range(count):
        fresh, read, written, output, hidden = call(n)
        usage = {
            "input_tokens": fresh if cache_beside else fresh + read + written, "cache_read_tokens": read,
            "cache_write_tokens": written, "output_tokens": output - hidden if hidden_beside else output,
            "reasoning_tokens": hidden,
        }  # fmt: skip
        seen = {"request_id": f"msg_convention_{n:06}", "model": "claude-sonnet-4-6", "provider": "anthropic",
                "started_at": f"2026-11-10T10:{n:02}:00Z"}  # fmt: skip
        end = {"total_tokens": fresh + read + written + output} if total else {}
        begun = {
            name: value // 3 if name in ("output_tokens", "reasoning_tokens") else value
            for name, value in usage.items()
        }
        rest = {name: value - begun[name] for name, value in usage.items()}
        records += {
            "final": [seen | usage | end],
            "cumulative": [seen | begun, seen | usage | end],
            "pieces": [seen | begun, seen | rest | end],
        }[stream]
    return records


def right(read):
    """By call, whether its counts are as they were."""
    rows = read.requests.sort("started_at")
    columns = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
    wanted = [(f + r + w, r, w, o, h) for f, r, w, o, h in map(call, range(rows.height))]
    return [found == want for found, want in zip(rows.select(columns).rows(), wanted, strict=True)]


@pytest.mark.parametrize(("cache_beside", "hidden_beside", "stream"), CONVENTIONS)
def test_totals_tell_every_convention_apart(cache_beside, hidden_beside, stream):
    log = encoded(40, cache_beside=cache_beside, hidden_beside=hidden_beside, stream=stream, total=True)
    read = ingested(log)
    assert (read.fates.requests, all(right(read))) == (40, True)
    assert set(read.requests["convention"].drop_nulls()) == {"proved"}
    assert read.fates.balanced


@pytest.mark.parametrize("count", [8, 40])
@pytest.mark.parametrize(("cache_beside", "hidden_beside", "stream"), CONVENTIONS)
def test_what_nothing_proves_is_never_called_proved_when_wrong(cache_beside, hidden_beside, stream, count):
    log = encoded(count, cache_beside=cache_beside, hidden_beside=hidden_beside, stream=stream)
    read = ingested(log)
    assert read.fates.requests == count
    wrong = read.requests.sort("started_at").filter(pl.Series([not good for good in right(read)], dtype=pl.Boolean))
    assert set(wrong["convention"]) <= {"assumed", "undecided"}


# --- what a logged cost decides ---------------------------------------------------------------------------------------


def priced(log, tmp_path, name="log.jsonl"):
    (tmp_path / name).write_text("".join(json.dumps(record) + "\n" for record in log), encoding="utf-8")
    return pipeline.load([str(tmp_path)], pipeline.checked(Settings(cache=False)))


def costed(count, *, beside, cost=True):
    """Calls whose caches are smaller than the rest of their input: only the cost shows where they stand."""
    made = []
    for n in range(count):
        fresh, read, output = 3_000 + 13 * n, 500 + 100 * (n % 5), 50 + n
        made.append({
            "request_id": f"msg_costed_{n:06}", "model": "claude-sonnet-4-6", "provider": "anthropic",
            "started_at": f"2026-11-10T10:{n:02}:00Z", "input_tokens": fresh if beside else fresh + read,
            "cache_read_tokens": read, "cache_write_tokens": 0, "output_tokens": output,
            "cost_logged_usd": (fresh * 3 + read * 0.3 + output * 15) / 1e6 if cost else None,
        })  # fmt: skip
    return made


def bill(count):
    """What the calls cost by plain arithmetic."""
    return sum((Decimal(str(round(record["cost_logged_usd"], 9))) for record in costed(count, beside=True)), Decimal(0))


def helicone(record):
    """The same call as Helicone exports it, whose documents leave open what its input counts hold."""
    return {
        "request_created_at": record["started_at"], "response_created_at": record["started_at"],
        "response_status": 200, "response_id": record["request_id"], "request_model": record["model"],
        "response_model": record["model"], "provider": "ANTHROPIC", "prompt_tokens": record["input_tokens"],
        "prompt_cache_read_tokens": record["cache_read_tokens"],
        "prompt_cache_write_tokens": record["cache_write_tokens"], "completion_tokens": record["output_tokens"],
        "cost": record["cost_logged_usd"],
    }  # fmt: skip


@pytest.mark.parametrize("count", [8, 40])
@pytest.mark.parametrize("beside", [False, True], ids=["inside", "beside"])
def test_a_logged_cost_decides_what_counts_leave_open(beside, count, tmp_path):
    known = priced(map(helicone, costed(count, beside=beside)), tmp_path)
    assert known.coverage.low_usd == known.coverage.high_usd == bill(count)
    assert set(known.calls["convention"].drop_nulls()) == {"proved"}
    assert ("beside" in known.coverage.sources["convention"][0]) == beside


@pytest.mark.parametrize("beside", [False, True], ids=["inside", "beside"])
def test_without_a_cost_the_range_holds_both_readings(beside, tmp_path):
    told = priced(map(helicone, costed(40, beside=beside, cost=False)), tmp_path).coverage
    assert told.low_usd <= bill(40) <= told.high_usd
    assert told.calls["estimated"] > 0


@pytest.mark.parametrize("count", [8, 40])
def test_costs_of_twenty_calls_overrule_the_documented_reading_and_of_eight_do_not(count, tmp_path):
    calls = priced(costed(count, beside=True), tmp_path).calls
    assert set(calls["convention"]) == {"proved" if count == 40 else "assumed"}
    assert (sum(calls["cost_usd"], Decimal(0)) == bill(count)) == (count == 40)
