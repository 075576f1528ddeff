"""Calls summed before they are priced cost what they cost one by one, whatever the book says of them."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from costaudit import pipeline, schema
from costaudit.config import Located, Settings
from costaudit.ingest._footer import facts
from costaudit.price import linear
from costaudit.price._facts import Facts
from costaudit.price.cells import KIND, SUMMED, cells, moments
from costaudit.price.engine import price
from costaudit.price.tariff import Key
from costaudit.price.trust import Others, hinges, trust

OWN = {"match": "anthropic/*", "token_multiplier": "0.837", "valid_from": "2026-03-03T09:20:00Z"}
BOOK = pipeline.prices(Settings(prices=(Located(OWN, "costaudit.yaml", 1),)))
SELLERS = ("anthropic", "openai", "google", "deepseek", "x-ai", "mistral", "perplexity", "azure", "claude-subscription")
MODELS = sorted((name, model) for name in SELLERS if (file := BOOK.provider(name)) for model in file.models)
FIRST = datetime(2026, 3, 1, tzinfo=UTC)
STATED = pl.DataFrame({"format": ["openai-chat", "anthropic-messages"], "source_file": ["x", "x"]})


def call(dice: random.Random, kinds) -> dict[str, object]:
    """A call of the kind that logs are full of; lengths on both sides of every step, and a few that are special."""
    provider, model = dice.choice(kinds)
    tokens = dice.choice([3, 1_023, 1_024, 40_000, 128_001, 199_999, 200_001, 272_001, 600_000])
    read = dice.choice([None, 0, tokens // 2])
    write = dice.choice([None, 0, tokens // 4]) if read is not None else dice.choice([None, 0])
    odd = dice.random() < 0.1
    return {
        "provider": provider,
        "model": model,
        "service_tier": dice.choice([None, None, None, None, "batch", "priority"]),
        "region": dice.choice([None] * 6 + ["eu"]),
        "started_at": FIRST + timedelta(minutes=dice.randrange(3 * 1_440)),
        "tenant": dice.choice(["a", "b", None]),
        "format": dice.choice(["openai-chat", "anthropic-messages"]),
        "source_file": dice.choice(["x", "y"]),
        "input_tokens": tokens,
        "cache_read_tokens": read,
        "cache_write_tokens": write,
        "cache_write_5m_tokens": dice.choice([write, 0, None]),
        "cache_write_1h_tokens": 0 if write else None,
        "output_tokens": dice.choice([None, 0, 0, 9, 9, 2_000]),
        "reasoning_tokens": dice.choice([None, 0, 5]),
        "usage_source": "tokenizer" if odd and dice.random() < 0.5 else "provider",
        "status": "error" if odd else "ok",
        "gateway_cache_hit": True if dice.random() < 0.05 else None,
    }


@pytest.mark.parametrize("seed", range(6))
def test_sums_of_calls_cost_what_the_calls_cost_to_the_last_digit(seed):
    dice = random.Random(seed)
    kinds = dice.sample(MODELS, 3)
    rows = [call(dice, kinds) for _ in range(3_000)]
    frame = schema.conform(pl.DataFrame(rows, schema={name: schema.REQUESTS[name] for name in rows[0]}))
    known = frame.select(Key._fields).unique()
    plain = linear.plain(known, BOOK)
    names = ("day", "tenant")
    by = [*moments(names, "UTC"), pl.col("tenant")]
    few = linear.condensed(frame.lazy(), plain, known, BOOK, by, None, frame["started_at"].max()).collect()
    many = frame.filter(plain)
    assert few["_calls"].sum() == many.height > 1_000
    assert few.height < many.height * 0.8
    assert added(few, names).equals(added(many, names))


LESS = {
    "sent at once": {"started_at": pl.lit(FIRST, schema.REQUESTS["started_at"])},
    "one model": {"provider": pl.lit("anthropic"), "model": pl.lit("claude-opus-4-8")},
    "no tier": {name: pl.lit(None, pl.String) for name in ("service_tier", "region")},
    "all went well": {"status": pl.lit("ok"), "gateway_cache_hit": pl.lit(None, pl.Boolean)},
    "all answered": {"output_tokens": pl.col("output_tokens").fill_null(0) + 1},
    "reads said": {"cache_read_tokens": pl.col("cache_read_tokens").fill_null(0)},
    "reads never said": {"cache_read_tokens": pl.lit(None, pl.Int64)},
    "no writes": {name: pl.lit(None, pl.Int64) for name in schema.REQUESTS if name.startswith("cache_write")},
    "short": {"input_tokens": pl.col("input_tokens").clip(1, 900), "cache_read_tokens": pl.lit(0, pl.Int64)},
    "no reasoning": {"reasoning_tokens": pl.lit(None, pl.Int64)},
    "all counted": {"usage_source": pl.lit("provider")},
    "one format": {"format": pl.lit("openai-chat")},
}


@pytest.mark.parametrize("seed", range(12))
def test_what_a_file_says_of_all_its_calls_changes_no_sum(seed, tmp_path):
    dice = random.Random(seed)
    kinds = dice.sample(MODELS, 3)
    rows = [call(dice, kinds) for _ in range(400)]
    frame = schema.conform(pl.DataFrame(rows, schema={name: schema.REQUESTS[name] for name in rows[0]}))
    for name in dice.sample(sorted(LESS), seed):
        frame = frame.with_columns(**LESS[name])
    path = tmp_path / "part.parquet"
    frame.write_parquet(path, row_group_size=150)
    told = facts(str(path), linear.READ)
    known = frame.select(Key._fields).unique()
    names = ("day", "tenant") if seed % 2 else ()
    by = [*moments(names, "UTC"), *map(pl.col, names[1:])]
    first, last = frame["started_at"].min(), frame["started_at"].max()
    sums = []
    for said in (told, linear.NOTHING_KNOWN):
        plain = linear.plain(known, BOOK, said)
        few = linear.condensed(pl.scan_parquet(path), plain, known, BOOK, by, first, last, said).collect()
        alike = frame if plain is None else frame.filter(plain)
        assert few["_calls"].sum() == alike.height
        sums.append((alike.height, added(few, names)))
    (some, ours), (others, theirs) = sums
    assert some == others
    assert ours.equals(theirs)


def test_a_store_of_one_model_that_says_everything_is_one_sum():
    told = Facts(
        absent=set(linear.READ) - {"provider", "model", "input_tokens", "output_tokens", "cache_read_tokens", "format"},
        full={"provider", "model", "input_tokens", "output_tokens", "cache_read_tokens", "format"},
        counts={"input_tokens": (10, 900), "output_tokens": (1, 9), "cache_read_tokens": (0, 5)},
        words={"provider": ("openai", "openai"), "model": ("gpt-5.4", "gpt-5.4")},
    )
    usual = {"provider": "openai", "model": "gpt-5.4", "input_tokens": 50, "cache_read_tokens": 0, "output_tokens": 5}
    frame = schema.conform(pl.DataFrame([usual] * 4))
    known = frame.select(Key._fields).unique()
    assert linear.plain(known, BOOK, told) is None
    few = linear.condensed(frame.lazy(), None, known, BOOK, [], FIRST, FIRST, told).collect()
    assert few.select("model", "input_tokens", "_calls").rows() == [("gpt-5.4", 200, 4)]


def test_a_footer_says_what_is_null_and_the_ends_of_the_rest(tmp_path):
    path = tmp_path / "part.parquet"
    long = "é" * 100  # in a footer it is cut, within a character
    frame = pl.DataFrame(
        {
            "input_tokens": [5, 3, 9, 4],
            "output_tokens": [None, None, 7, None],
            "reasoning_tokens": [None] * 4,
            "status": ["ok", "error", "ok", "ok"],
            "model": [f"a{long}"] * 4,
            "extras": [None] * 4,
            "run_id": ["r"] * 4,
        },
        schema_overrides={"extras": schema.EXTRAS, "reasoning_tokens": pl.Int64},
    )
    names = [name for name in frame.columns if name != "run_id"]
    frame.write_parquet(path, row_group_size=2)
    told = facts(str(path), [*names, "task"])
    assert told.absent == {"reasoning_tokens", "extras"}
    assert told.full == {"input_tokens", "status", "model"}
    assert told.counts == {"input_tokens": (3, 9), "output_tokens": (7, 7)}
    assert told.bounds("output_tokens") == (0, 7)
    assert told.bounds("reasoning_tokens") == (0, 0)
    assert told.words["status"] == ("error", "ok")
    assert told.holds("status", "nought")
    assert not told.holds("status", "zero", "absent")
    assert told.one("model") is None
    assert told.holds("task", "anything")
    some = [{"class": "web_search", "quantity": 1}]
    frame.with_columns(extras=pl.Series([None, some, None, None], dtype=schema.EXTRAS)).write_parquet(path)
    assert facts(str(path), ["extras"]) == Facts()
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(OSError, match="footer"):
        facts(str(path), names)


def added(calls: pl.DataFrame, names) -> pl.DataFrame:
    trusted = trust(price(calls, BOOK), BOOK, Others(files=STATED))
    found = cells(trusted.with_columns(hinges(trusted)), BOOK, (*names, "hinges"))
    order = [*names, *KIND, "hinges"]
    return found.group_by(order).agg(pl.sum(*SUMMED)).sort(order, nulls_last=True)


def test_what_takes_looking_at_each_call_is_left_to_the_engine():
    usual = {"provider": "anthropic", "model": "claude-opus-4-8", "input_tokens": 50, "cache_read_tokens": 0}
    usual |= {"output_tokens": 5}
    rows = {
        "plain": {},
        "no input count": {"input_tokens": None},
        "no output count": {"output_tokens": None},
        "several calls": {"summed": True},
        "estimated": {"usage_source": "tokenizer"},
        "open convention": {"convention": "undecided"},
        "more cached than sent": {"cache_read_tokens": 60},
        "a write of unknown lifetime": {"cache_write_tokens": 5},
        "a search": {"extras": [{"class": "web_search", "quantity": 1}]},
        "a fee for each call": {"provider": "perplexity", "model": "sonar"},
        "dearer by day": {"provider": "deepseek", "model": "deepseek-flash"},
        "restates others": {"rollup": True},
    }
    frame = pl.DataFrame([usual | row for row in rows.values()], schema_overrides={"extras": schema.EXTRAS})
    frame = schema.conform(frame)
    found = frame.select(linear.plain(frame.select(Key._fields).unique(), BOOK)).to_series()
    assert [name for name, alike in zip(rows, found, strict=True) if alike] == ["plain"]
