"""Calls summed before they are priced cost what they cost one by one, whatever the book says of them."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from costaudit import pipeline, schema
from costaudit.config import Located, Settings
from costaudit.price import linear
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
    write = dice.choice([None, 0, tokens // 4]) if read is not None else 0
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
    few = linear.condensed(frame.lazy(), plain, known, BOOK, by, frame["started_at"].max()).collect()
    many = frame.filter(plain)
    assert few["_calls"].sum() == many.height > 1_000
    assert few.height < many.height * 0.8
    assert added(few, names).equals(added(many, names))


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
