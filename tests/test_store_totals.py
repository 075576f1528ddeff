"""Totals of a store, by its sums or by the columns that are needed: the figures of all rows in one table."""

from __future__ import annotations

import random
import tempfile
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import Phase, given
from hypothesis import settings as trials
from hypothesis import strategies as st

from costaudit import pipeline, schema, stored, totals
from costaudit.commands import _sums
from costaudit.config import Assignment, Located, Settings
from costaudit.errors import LogError
from costaudit.ingest import _parts, _store, _store_check
from costaudit.price import folded
from costaudit.price.book import PriceBook
from costaudit.price.engine import price
from costaudit.schema import REQUESTS

FIRST = datetime(2026, 9, 28, 20, tzinfo=UTC)
TABLES = (("day", "model"), ("month", "task"), ("provider",))
OTHERS = (("tenant", "hour"), ("source_file", "format"))
MODELS = (
    ("anthropic", "claude-opus-4-8"),
    ("openai", "gpt-5.4"),  # a step for long prompts; a cache that nobody asked for
    ("google", "gemini-2.5-pro"),
    ("deepseek", "deepseek-flash"),  # dearer by day
    ("perplexity", "sonar"),  # a fee for each request
    ("openai", "text-embedding-3-small"),
    ("claude-max", "claude-opus-4-8"),
    ("nobody", "secret-7"),
    (None, "gpt-5.4"),
    ("openai", None),
)


@pytest.fixture(autouse=True, scope="module")
def books():
    """Each price book is loaded once."""
    load, known = pipeline.prices, {}

    def prices(settings: Settings) -> PriceBook:
        name = repr(settings.prices)
        known[name] = known.get(name) or load(settings)
        return known[name]

    with pytest.MonkeyPatch.context() as once:
        for module in (pipeline, _sums):
            once.setattr(module, "prices", prices)
        yield


def call(n: int, dice: random.Random) -> dict[str, object]:
    """Anything that trust, prices or tables look at, rare things often."""
    provider, model = dice.choice(MODELS)
    anthropic = provider == "anthropic"
    tokens = dice.choice([0, 40, 900, 1_500, 210_000, 280_000])
    cached = dice.choice([None, None, 0, tokens // 3, tokens])
    form = dice.choice(["anthropic-messages", "generic"] if anthropic else ["openai-chat", "generic"])
    return {
        "request_id": f"r{n}",
        "format": form,
        "source_file": dice.choice(["a.jsonl", "b.jsonl", f"c{n}.jsonl"]),
        "source_line": n,
        "started_at": None if dice.random() < 0.02 else FIRST + timedelta(minutes=dice.randrange(4_300)),
        "task": dice.choice(["triage", "answer"]),
        "tenant": dice.choice(["northwind", "contoso", None]),
        "provider": provider,
        "model": model,
        "model_requested": model or "gpt-5.4",
        "service_tier": dice.choice([None, None, "batch", "priority"]),
        "region": dice.choice([None, None, "eu"]),
        "input_tokens": dice.choice([tokens, tokens, tokens, None]),
        "cache_read_tokens": cached,
        "cache_write_tokens": dice.choice([None, 0, tokens // 4]),
        "cache_write_5m_tokens": dice.choice([None, None, tokens // 4]),
        "output_tokens": dice.choice([0, 7, 90, 3_000]),
        "reasoning_tokens": dice.choice([None, 0, 60]),
        "extras": dice.choice([None, None, None, [{"class": "web_search", "quantity": Decimal(2)}]]),
        "usage_source": dice.choice(["provider"] * 6 + ["gateway", "tokenizer", "absent"]),
        "convention": dice.choice([None] * 8 + ["proved", "undecided", "assumed"]),
        "cost_logged_usd": None,
        "rollup": dice.choice([None] * 9 + [True]),
        "summed": dice.choice([None] * 9 + [True]),
        "gateway_cache_hit": dice.choice([None] * 9 + [True]),
        "has_text": dice.choice([None, True]),
        "status": dice.choice(["ok"] * 5 + ["error"]),
    }


def calls(seed: int, number: int, *, costs: bool = False, plain: bool = False) -> pl.DataFrame:
    """Requests of some days; with costs that show how those of one source count."""
    dice = random.Random(seed)
    rows = [call(n, dice) for n in range(number)]
    for row in rows if plain else ():
        row |= {"convention": None, "cache_read_tokens": row["cache_read_tokens"] or 0, "usage_source": "provider"}
        row |= {"input_tokens": row["input_tokens"] or 10, "output_tokens": 5}
    frame = schema.conform(pl.DataFrame(rows, schema={name: REQUESTS[name] for name in rows[0]}))
    if not costs:
        return frame
    book = pipeline.prices(Settings())
    cached = pl.col("cache_read_tokens").fill_null(0) + pl.col("cache_write_tokens").fill_null(0)
    beside = price(frame.with_columns(input_tokens=pl.col("input_tokens") + cached), book)["cost_usd"]
    return frame.with_columns(cost_logged_usd=pl.Series([c if n % 2 else None for n, c in enumerate(beside)]))


def in_one_table(rows: pl.DataFrame, settings: Settings, by):
    """What is said of the same calls where all of them stand in one table."""
    known = pipeline.loaded(pipeline.stored(rows), settings, ["x"], as_logged=True)
    return totals.answered(known, by, settings, ["x"])


def same(one, other) -> None:
    assert (one.total_usd, one.subscription_usd) == (other.total_usd, other.subscription_usd)
    assert one.window == other.window
    assert one.prices == other.prices
    for ours, theirs in zip(one.tables, other.tables, strict=True):
        assert ours.by == theirs.by
        assert ours.rows.equals(theirs.rows)
    for name in ("fates", "calls", "tokens", "share", "low_usd", "high_usd"):
        assert getattr(one.coverage, name) == getattr(other.coverage, name), name
    assert one.coverage.unpriced.equals(other.coverage.unpriced)


def of_store(rows: pl.DataFrame, settings: Settings, by, *, summed: bool, at: Settings | None = None, footers=True):
    """What a store of these rows says, in some five parts and one of calls without a time; with or without footers."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as few:
        few.setattr(_store, "ROWS", rows.height // 4)
        few.setattr(_store, "PARTS", 1_000)
        few.setattr(stored, "MANY", 0 if footers else rows.height + 1)
        store = Path(folder) / "store"
        _store.merge(rows, store, summary=_sums.summary(at or settings) if summed else None)
        return totals.spent([str(store)], settings, by)


@given(
    seed=st.integers(0, 10_000),
    costs=st.booleans(),
    plain=st.booleans(),
    summed=st.booleans(),
    footers=st.booleans(),
    by=st.sampled_from([TABLES, OTHERS]),
)
@trials(max_examples=3, deadline=None, phases=[Phase.generate])  # a smaller number is no smaller case
def test_a_store_says_what_all_rows_in_one_table_say(seed, costs, plain, summed, footers, by):
    rows = calls(seed, 120, costs=costs, plain=plain)
    same(of_store(rows, Settings(), by, summed=summed, footers=footers), in_one_table(rows, Settings(), by))


def test_cells_that_are_many_are_summed_bucket_by_bucket_to_the_same(monkeypatch):
    rows = calls(9, 120)
    files = []
    real = folded.scratch.nameless
    monkeypatch.setattr(stored, "AT_ONCE", 10)
    monkeypatch.setattr(folded, "HELD", 10)
    monkeypatch.setattr(folded.scratch, "nameless", lambda: files.append(real()) or files[-1])
    same(of_store(rows, Settings(), OTHERS, summed=False), in_one_table(rows, Settings(), OTHERS))
    assert files
    assert all(file.closed for file in files)


@pytest.mark.parametrize("summed", [True, False])
@pytest.mark.parametrize(
    "window",
    [
        {"since": datetime(2026, 9, 30, tzinfo=UTC)},
        {"since": datetime(2026, 9, 29, 7, 30, tzinfo=UTC), "until": datetime(2026, 10, 1, 18, tzinfo=UTC)},
        {"tz": "Asia/Tokyo", "since": datetime(2026, 9, 30).date()},
    ],
    ids=["since", "hours", "zone"],
)
def test_a_window_of_a_store_is_that_of_its_rows(window, summed):
    rows, settings = calls(7, 60), Settings(**window)
    same(of_store(rows, settings, TABLES, summed=summed), in_one_table(rows, settings, TABLES))


def test_prices_of_the_user_hold_in_a_store_whatever_its_sums_were_made_with():
    own = {"match": "openai/gpt-5.4*", "token_multiplier": "0.83", "valid_from": "2026-09-30T09:20:00Z"}
    settings = Settings(prices=(Located(own, "costaudit.yaml", 3),))
    rows = calls(3, 60)
    for at in (settings, Settings()):
        same(of_store(rows, settings, TABLES, summed=True, at=at), in_one_table(rows, settings, TABLES))


def test_what_decides_in_other_parts_is_asked_for_there(monkeypatch):
    asked = []
    for name in ("_votes", "_files", "_peers"):
        real = getattr(stored._Reading, name)
        monkeypatch.setattr(stored._Reading, name, lambda *a, real=real, name=name: asked.append(name) or real(*a))
    of_store(calls(0, 120, costs=True), Settings(), TABLES, summed=True)
    assert asked == ["_votes", "_files", "_peers"]
    asked.clear()
    of_store(calls(0, 60, plain=True), Settings(), TABLES, summed=True)
    assert set(asked) <= {"_files", "_peers"}


def test_sums_that_say_it_are_all_that_is_read(monkeypatch):
    rows = calls(2, 90, plain=True).filter(pl.col("usage_source") == "provider", pl.col("status") == "ok")
    monkeypatch.setattr(stored._Reading, "_rows", lambda *_: pytest.fail("read"))
    assert of_store(rows, Settings(), TABLES, summed=True).total_usd > 0


def test_sums_that_are_damaged_leave_the_others_to_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(_store, "ROWS", 20)
    monkeypatch.setattr(_store, "PARTS", 1_000)
    rows = calls(6, 60)
    _store.merge(rows, tmp_path, summary=_sums.summary(Settings()))
    held = _parts.load(tmp_path)
    assert len(held) > 2
    (tmp_path / held[1].sums).write_bytes(b"PAR1 and no more")
    frames, without = _parts.read_sums(tmp_path, [*held, *held])
    assert without == {1, len(held) + 1}
    told = dict(pl.concat(frames).group_by("part").agg(pl.sum("requests")).iter_rows())
    assert sum(told.values()) > 0
    assert all(told.get(n) == told.get(n + len(held)) for n in range(len(held)))
    again = []
    real = stored._Reading._read
    monkeypatch.setattr(stored._Reading, "_read", lambda self, place: again.append(place[1]) or real(self, place))
    same(totals.spent([str(tmp_path)], Settings(), TABLES), in_one_table(rows, Settings(), TABLES))
    assert held[1] in again


def test_tasks_that_the_log_does_not_name_are_looked_for_in_all_rows():
    rows = calls(4, 60).with_columns(task=pl.when(pl.col("source_line") > 5).then("task"))
    answer = of_store(rows, Settings(), [["task"]], summed=True)
    known = pipeline.loaded(pipeline.stored(rows), Settings(), ["x"])
    same(answer, totals.answered(known, [["task"]], Settings(), ["x"]))
    assert "(no task)" not in answer.tables[0].rows["task"]


def test_names_of_the_user_are_those_of_the_tables():
    named = Assignment(names={"contoso": "fabrikam"})
    rows, settings = calls(5, 60), Settings(tenants=named)
    answer = of_store(rows, settings, [["tenant"]], summed=True)
    assert set(answer.tables[0].rows["tenant"]) == {"northwind", "fabrikam", "(no tenant)"}


def test_a_window_without_a_call_is_told_with_the_times_there_are():
    with pytest.raises(LogError, match="no request in the window") as told:
        of_store(calls(5, 30), Settings(since=datetime(2027, 1, 1, tzinfo=UTC)), TABLES, summed=True)
    assert told.value.hint.startswith("the log runs from 2026-09-2")


def test_compacting_brings_sums_up_to_date_without_writing_a_call_anew(tmp_path):
    store = tmp_path / "store"
    own = Settings(prices=(Located({"match": "*/*", "token_multiplier": "0.5"}, "costaudit.yaml", 3),))
    _store.merge(calls(6, 60), store, summary=_sums.summary(own))
    before = {path: path.stat().st_mtime_ns for path in store.glob("requests/*/*")}
    assert totals.spent([str(store)], Settings(), TABLES).stale > 0
    _store.compact(store, _sums.summary(Settings()))
    assert totals.spent([str(store)], Settings(), TABLES).stale == 0
    assert {path: path.stat().st_mtime_ns for path in store.glob("requests/*/*")} == before
    assert not _store_check.verify(store).problems
