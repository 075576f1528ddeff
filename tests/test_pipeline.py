"""Windows, fates and stages: what happens between reading and the report."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costaudit import pipeline, schema, totals
from costaudit.audit import Fates
from costaudit.config import Settings
from costaudit.errors import LogError, UsageError
from costaudit.ingest import Ingested, _store, ingest

NOON = datetime(2026, 10, 24, 12, tzinfo=UTC)


def calls(*times: datetime | None, **columns: object) -> pl.DataFrame:
    rows = [
        {"request_id": f"r{n}", "started_at": when, "model": "gpt-4o", "provider": "openai", "task": "triage"}
        | {"input_tokens": 1_000, "output_tokens": 100, "source_file": "a.jsonl", "source_line": n + 1}
        | columns
        for n, when in enumerate(times)
    ]
    return schema.conform(pl.DataFrame(rows, schema_overrides={"started_at": schema.UTC}))


def read(frame: pl.DataFrame) -> Ingested:
    rollups = int(frame["rollup"].fill_null(value=False).sum())
    fates = Fates(lines=frame.height, requests=frame.height - rollups, rollups=rollups)
    sources = pl.DataFrame(schema={"path": pl.String, "format": pl.String, "convention": pl.String, "proof": pl.String})
    return Ingested(frame, fates, sources, pl.DataFrame())


@pytest.mark.parametrize(
    ("first", "last", "zone", "start", "end"),
    [
        # under two days: the minutes that hold the calls
        ("2026-10-24T12:00:30", "2026-10-24T12:41:59", "UTC", "2026-10-24T12:00", "2026-10-24T12:42"),
        ("2026-10-24T12:00:00", "2026-10-24T12:00:00", "UTC", "2026-10-24T12:00", "2026-10-24T12:01"),
        # whole days of the zone
        ("2026-10-20T12:00:00", "2026-10-24T00:00:00", "UTC", "2026-10-20T00:00", "2026-10-25T00:00"),
        ("2026-10-20T23:00:00", "2026-10-24T12:00:00", "Europe/Berlin", "2026-10-20T22:00", "2026-10-24T22:00"),
        # the day on which Berlin's clocks go back has 25 hours
        ("2026-10-20T12:00:00", "2026-10-25T12:00:00", "Europe/Berlin", "2026-10-19T22:00", "2026-10-25T23:00"),
    ],
)
def test_an_open_window_is_the_whole_days_or_minutes_that_hold_the_calls(first, last, zone, start, end):
    times = [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (first, last)]
    window = pipeline.window_of(calls(*times), Settings(tz=zone))
    assert window.start == datetime.fromisoformat(start).replace(tzinfo=UTC)
    assert window.end == datetime.fromisoformat(end).replace(tzinfo=UTC)
    assert window.start <= times[0] <= times[1] < window.end


def test_a_window_asked_for_is_kept_and_calls_without_a_time_are_in_no_window():
    settings = Settings(since=date(2026, 10, 24), until=date(2026, 10, 25))
    inside, outside = pipeline.split(calls(NOON, NOON + timedelta(days=1), None), settings)
    assert (inside.height, outside) == (1, 2)
    window = pipeline.window_of(inside, settings)
    assert (window.start, window.end) == settings.window
    assert pipeline.split(calls(NOON, None), Settings())[1] == 0


@given(
    st.lists(st.integers(0, 100), min_size=1, max_size=20),
    st.lists(st.booleans(), min_size=20, max_size=20),
    st.integers(0, 100),
    st.integers(1, 100),
)
def test_every_request_is_inside_or_outside_and_windows_that_meet_lose_none(hours, rolled, start, length):
    frame = calls(*(NOON + timedelta(hours=h) for h in hours)).with_columns(
        rollup=pl.Series(rolled[: len(hours)], dtype=pl.Boolean)
    )
    cuts = [NOON + timedelta(hours=start), NOON + timedelta(hours=start + length)]
    windows = [Settings(until=cuts[0]), Settings(since=cuts[0], until=cuts[1]), Settings(since=cuts[1])]
    parts = [pipeline.split(frame, settings)[0] for settings in windows]
    assert sum(part.height for part in parts) == frame.height
    requests = len(hours) - sum(rolled[: len(hours)])
    for settings, part in zip(windows, parts, strict=True):
        outside = pipeline.split(frame, settings)[1]
        assert part.filter(~pl.col("rollup")).height + outside == requests


def test_calls_that_no_window_can_hold_are_named_with_their_dollars(tmp_path):
    log = tmp_path / "log.jsonl"
    times = ["2026-10-01", "2026-10-05", None, None]
    rows = [
        {"request_id": n, "model": "gpt-4o", "input_tokens": 1_000_000, "output_tokens": 0, "started_at": when}
        for n, when in enumerate(times)
    ]
    rows.append({"request_id": "x", "model": "nobody-knows-7b", "input_tokens": 1, "output_tokens": 0})
    log.write_text("\n".join(map(json.dumps, rows)))
    october = Settings(since=date(2026, 10, 2), cache=False)
    said = "3 calls without a time, in no window and left out: $5.00, 1 of them without a known price"  # 2 * $2.50
    assert pipeline.load([str(log)], october).coverage.notes == (said,)
    assert pipeline.load([str(log)], Settings(cache=False)).coverage.notes == ()
    store = tmp_path / "store"
    read = ingest([log])
    _store.merge(read.requests, store, read.identities)
    assert pipeline.load([str(store)], october).coverage.notes == (said,)
    assert totals.spent([str(store)], october).coverage.notes == (said.partition(":")[0],)


def test_a_stated_cost_below_nothing_is_counted_and_compared_with_nothing(tmp_path):
    log = tmp_path / "log.jsonl"
    stated = [2.5, -4, -0.5, 0]
    rows = [
        {"request_id": n, "model": "gpt-4o", "input_tokens": 1_000_000, "output_tokens": 0, "cost_logged_usd": usd}
        for n, usd in enumerate(stated)
    ]
    log.write_text("\n".join(map(json.dumps, rows)))
    audit = pipeline.audit([str(log)], Settings(cache=False))
    assert audit.coverage.notes == ("2 costs that the log states are below zero and compared with nothing",)
    assert audit.spend.logged.select("requests", "logged_usd").row(0) == (2, Decimal("2.5"))
    assert audit.spend.total_usd == 10


def test_an_audit_of_calls_is_priced_and_balanced():
    settings = Settings(since=NOON)
    audit = pipeline.audited(
        pipeline.loaded(read(calls(NOON - timedelta(hours=1), NOON, NOON)), settings, ["a"]), settings, ["a"]
    )
    assert audit.coverage.fates == Fates(lines=3, requests=2, outside=1)
    assert audit.coverage.fates.balanced
    assert audit.spend.total_usd == Decimal("0.007")  # 2 * (1,000 * $2.50 + 100 * $10) a million
    assert audit.coverage.low_usd <= audit.spend.total_usd <= (audit.coverage.high_usd or audit.spend.total_usd)
    assert audit.paths == ("a",)


def test_a_price_book_older_than_the_window_says_by_how_many_days():
    settings = Settings()
    book = pipeline.prices(settings)
    later = datetime.combine(book.as_of, datetime.min.time(), UTC) + timedelta(days=30)
    used = pipeline.used(book, pipeline.window_of(calls(later), settings))
    assert used.stale_days == 30
    assert pipeline.used(book, pipeline.window_of(calls(NOON - timedelta(days=400)), settings)).stale_days == 0


def test_nothing_in_the_window_says_where_the_log_is():
    with pytest.raises(LogError, match="no request in the window asked for") as error:
        pipeline.loaded(read(calls(NOON)), Settings(until=date(2020, 1, 1)), ["a"])
    assert error.value.hint == "the log runs from 2026-10-24 12:00 to 2026-10-24 12:00 UTC"


def test_a_store_is_read_as_the_requests_it_holds(tmp_path):
    frame = calls(NOON, NOON + timedelta(days=40)).with_columns(rollup=pl.Series([False, True]))
    _store.merge(frame, tmp_path / "history")
    held = pipeline.requests([str(tmp_path / "history")], Settings())
    assert held.fates == Fates(lines=2, requests=1, rollups=1)
    assert held.sources.select("path", "requests").rows() == [("a.jsonl", 1)]
    with pytest.raises(UsageError, match="is a store"):
        pipeline.requests([str(tmp_path / "history"), "other"], Settings())
