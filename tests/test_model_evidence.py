"""The evidence behind a model comparison: who chose the model, bounds, p-values, what a swap does to tokens."""

from __future__ import annotations

import math
from decimal import Decimal
from random import Random

import polars as pl
import pytest

from costaudit.analyze._candidates import candidates
from costaudit.analyze._compare_models import paired, unpaired
from costaudit.analyze._design import balance, mechanism, switch_time
from costaudit.analyze._pairs import _arms
from costaudit.analyze._swap import able, swap
from costaudit.analyze._units import LISTED, Arm, units
from costaudit.price.book import PriceBook
from costaudit.price.entry import Facts
from costaudit.schema import USD
from costaudit.stats import newcombe
from tests.ledgers import at, calls, ledger


def call(nth, model, **columns):
    usual = {"model": model, "task": "triage", "started_at": at(600 * nth), "input_tokens": 1_000, "output_tokens": 300}
    return usual | columns


def seen(models, **columns):
    """Units of these models, in turn, and which of them are of the small one."""
    rows = [call(nth, model, **{k: v(nth, model) for k, v in columns.items()}) for nth, model in enumerate(models)]
    frame = units(ledger(rows))
    return frame, frame.select(pl.col("model") == "small").to_series()


def coin(n, seed=0):
    random = Random(seed)
    return [random.choice(["big", "small"]) for _ in range(n)]


@pytest.mark.parametrize(
    ("models", "columns", "words"),
    [
        (["big", "small"] * 100, {}, "load balancing in turns"),
        ((["big"] * 40 + ["small"] * 40) * 4, {}, "split by time"),
        ((["big"] * 30 + ["small"] * 30) * 4, {}, None),
        (coin(200), {"key_id": lambda nth, model: f"key {nth % 2} of {model}"}, "split by key"),
        (coin(200), {"key_id": lambda _nth, model: f"key of {model}"}, None),
        (coin(200), {"key_id": lambda nth, _model: f"key {nth % 3}"}, None),
        (coin(200), {}, None),
    ],
    ids=["turns", "stretches", "conversations", "keys", "a key each", "keys that use both", "no pattern"],
)
def test_who_chose_the_model_is_read_from_the_log_or_not_at_all(models, columns, words):
    assert mechanism(*seen(models, **columns)) == words


def test_a_fallback_after_outages_is_a_mechanism():
    rows = []
    for nth in range(200):
        run = {"run_id": f"run {nth}"}
        if nth % 4 == 0:
            rows.append(call(nth, "big", status="error", http_status=529, output_tokens=0, **run))
            rows.append(call(nth, "small", **run))
        else:
            rows.append(call(nth, "big", **run))
    frame = units(ledger(rows))
    assert frame.height == 200
    assert mechanism(frame, frame.select(pl.col("model") == "small").to_series()) == "fallback after limits and outages"


def test_a_switch_is_found_with_its_moment_and_direction():
    frame, cheap = seen(["big"] * 100 + ["small"] * 60)
    assert switch_time(frame, cheap) == (at(600 * 100), 1)
    assert switch_time(frame, ~cheap) == (at(600 * 100), -1)
    assert switch_time(*seen(coin(200))) is None


def test_balance_names_what_differs_and_passes_what_does_not():
    even = balance(*seen(coin(2_000), input_tokens=lambda nth, _model: 900 + nth * 37 % 200), seed=1)
    assert even.passed
    tilted = balance(
        *seen(coin(2_000), input_tokens=lambda nth, model: (900 if model == "big" else 700) + nth * 37 % 400), seed=1
    )
    assert not tilted.passed
    assert tilted.feature == "log_tokens"
    assert tilted.auc > 0.55


IMAGE = [{"class": "input_image", "quantity": 1}]
TOOL = [{"name": "search", "sha": 1, "tokens": 10}]


@pytest.mark.parametrize(
    ("facts", "columns", "ran_here", "never_ran"),
    [
        (Facts(context=10_000), {"input_tokens": 6_000}, True, True),
        (Facts(context=10_000), {"input_tokens": 9_000}, False, False),  # 9,000 × 1.4 + 300 > 10,000
        (Facts(), {"input_tokens": 9_000}, True, False),
        (Facts(context=100_000, output=1_000), {"output_tokens": 700}, True, True),
        (Facts(context=100_000, output=1_000), {"output_tokens": 800}, False, False),  # 800 × 1.4 > 1,000
        (Facts(context=100_000), {"output_tokens": 4_000}, True, False),
        (Facts(context=10_000, tools=False), {"tools_declared": TOOL}, False, False),
        (Facts(context=10_000), {"tools_declared": TOOL}, True, False),
        (Facts(context=10_000, tools=True), {"tools_declared": TOOL}, True, True),
        (Facts(context=10_000, vision=False), {"extras": IMAGE}, False, False),
        (Facts(context=10_000, structured_output=True), {"schema_ok": True}, True, True),
    ],
)
def test_a_model_takes_only_calls_it_can_answer(facts, columns, ran_here, never_ran):
    frame = calls([call(0, "big", **columns)]).with_columns(LISTED)
    assert frame.select(able(facts, known=False)).item() is ran_here
    assert frame.select(able(facts, known=True)).item() is never_ran


def test_a_swap_finds_a_cold_cache_and_the_cache_minimum_of_the_new_model():
    cached = {"input_tokens": 2_000, "cache_read_tokens": 1_500, "system_sha": 5}
    rows = [call(0, "big", **cached), call(1, "big", **cached), call(2, "big", input_tokens=500)]
    frame = calls(rows).with_columns(LISTED)
    patch = swap(frame, Arm("acme", "small"), Facts(cache_minimum=1_024), 1.0, 1.0)
    columns = ["input_tokens", "cache_read_tokens", "cache_write_tokens"]
    assert patch.select(columns).rows() == [(2_000, 0, 1_500), (2_000, 1_500, 0), (500, 0, 0)]
    patch = swap(frame, Arm("acme", "small"), Facts(cache_minimum=4_096), 1.0, 1.0)
    assert patch.select(columns).rows() == [(2_000, 0, 0), (2_000, 0, 0), (500, 0, 0)]


def test_few_pairs_use_newcombe_and_many_the_normal_mean():
    few = paired([1.0] * 50, [1.0] * 45 + [0.0] * 5, binary=True)
    assert few.difference.value == pytest.approx(0.1)
    assert few.difference.low < 0.1
    sides = [1.0] * 150 + [0.0] * 50, [1.0] * 130 + [0.0] * 30 + [1.0] * 40
    many = paired(*sides, binary=True)
    d = [c - x for c, x in zip(*sides, strict=True)]
    mean = sum(d) / 200
    sd = math.sqrt(sum((x - mean) ** 2 for x in d) / 199)
    assert many.difference.low == pytest.approx(mean - 1.645 * sd / math.sqrt(200))


def test_the_p_value_is_where_the_bound_meets_the_margin():
    found = unpaired([1.0] * 90 + [0.0] * 10, [1.0] * 91 + [0.0] * 9, binary=True, design="overlap")
    assert found.difference == newcombe(90, 100, 91, 100)
    for margin in (0.02, 0.05, 0.1):
        assert (found.p_worse(margin) < 0.05) == found.as_good(margin)


@pytest.mark.parametrize(("cheap", "e_value"), [(0.8, 2 + math.sqrt(2)), (0.4, 1.0)])
def test_the_e_value_is_that_of_its_authors(cheap, e_value):
    good = round(1_000 * cheap)
    # The margin leaves 0.42 - 0.02 = 0.4 to beat: a risk ratio of 0.8/0.4 = 2, of failures 0.6/0.2 = 3.
    sides = [1.0] * good + [0.0] * (1_000 - good), [1.0] * 420 + [0.0] * 580
    assert unpaired(*sides, binary=True, design="overlap").e_value(0.02) == pytest.approx(e_value)


def test_equal_models_pass_at_the_printed_number_of_pairs_in_four_of_five_experiments():
    """Ten per cent of the pairs disagree, either way alike; 1,547 pairs are printed for a margin of 2 points."""
    random = Random(7)
    passed = 0
    for _ in range(200):
        split = [random.random() for _ in range(1_547)]
        cheap = [0.0 if x < 0.05 else 1.0 for x in split]
        dear = [0.0 if 0.05 <= x < 0.10 else 1.0 for x in split]
        passed += paired(cheap, dear, binary=True).as_good(0.02)
    assert passed >= 143  # 80 % of 200 is 160; fewer than 143 has a probability under 0.2 %


def test_a_model_at_the_margin_passes_in_one_of_twenty_experiments():
    random = Random(8)
    passed = 0
    for _ in range(200):
        split = [random.random() for _ in range(600)]
        cheap = [0.0 if x < 0.06 else 1.0 for x in split]
        dear = [0.0 if 0.06 <= x < 0.10 else 1.0 for x in split]
        passed += paired(cheap, dear, binary=True).as_good(0.02)
    assert passed <= 20  # 5 % of 200 is 10; more than 20 has a probability of 0.1 %


def test_of_many_models_the_dearest_are_looked_at_and_the_cheapest_are_offered():
    """Sixteen models answered as often each: the cheapest spends least, and is the one that is looked for."""
    names = [f"model {n:02d}" for n in range(16)]
    rows = [(name, 1.0, Decimal(n + 1)) for n, name in enumerate(names) for _ in range(40)]
    values = pl.DataFrame(rows, schema={"model": pl.String, "quality": pl.Float64, "cost_usd": USD}, orient="row")
    arms, dear = _arms(values.with_columns(provider=pl.lit("acme")), 30)
    assert [arm.model for arm in arms] == names
    assert {arm.model for arm in dear} == set(names[-6:])


LISTED_MODELS = (
    *(
        "gpt-5.4",
        "gpt-5.4-mini",
        "gpt-5-nano",
        "gpt-5.4-nano",
        "gpt-5.4-nano-2026-03-17",
        "gpt-4.1-nano",
        "gpt-5.4-codex",
    ),
    *("eu/gpt-5.4", "eu/gpt-5.4-mini", "claude-opus-4-6", "claude-haiku-4-5", "claude-haiku-4-5-20251001"),
    *("claude-haiku-5-5", "claude-sonnet-4-6", "gpt-5.4-mini-transcribe", "large-latest", "small-latest"),
)


@pytest.mark.parametrize(
    ("dear", "offered"),
    [
        ("gpt-5.4", ["gpt-5.4-mini", "gpt-5.4-nano"]),  # the newest of each size, neither dated nor for something else
        ("eu/gpt-5.4", ["eu/gpt-5.4-mini"]),  # where it is bought
        ("gpt-4.1-nano", ["gpt-4.1-nano"]),  # nothing smaller: `cheapest` drops what is not half the price
        ("claude-opus-4-6", ["claude-haiku-4-5"]),  # not of another generation
        ("large-latest", []),  # another family, as far as names tell
        ("unlisted-model", []),
    ],
)
def test_small_models_of_the_same_provider_and_generation_are_offered(dear, offered, tmp_path):
    (tmp_path / "_names.yaml").write_text("as_of: 2026-11-01\nproviders:\n  acme: []\n")
    models = "".join(f"  {name}:\n    facts: {{context: 100000}}\n    prices: [{{source: page, rates: {{input: 1}}}}]\n"
                     for name in LISTED_MODELS)  # fmt: skip
    page = "provider: acme\nsources:\n  page: {title: prices, read_on: 2026-11-01}\nmodels:\n"
    (tmp_path / "acme.yaml").write_text(page + models)
    book, arm = PriceBook.load(tmp_path, providers=["acme"], cache=None), Arm("acme", dear)
    assert sorted(c.arm.model for c in candidates({arm: f"acme:{dear}"}, arm, book, ())) == offered
