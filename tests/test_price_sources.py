"""Public price lists: how they are read, how a book is added to, and that nothing published is ever rewritten."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from price_book import ask, write

from costaudit.cli import main
from costaudit.price._file import parse
from costaudit.price.book import PriceBook
from costaudit.price.sources import Card, Item, Span, tidy, usd
from costaudit.price.sources.append import append, item_of
from costaudit.price.sources.ll import Litellm
from costaudit.price.sources.merge import merge
from costaudit.price.sources.write import Header, provider_yaml

M = 1_000_000


def map_of(folder: Path, **entries: dict[str, Any]) -> Path:
    (path := folder / "map.json").write_text(json.dumps({"sample_spec": {}, **entries}))
    return path


def only(folder: Path, provider: str, **entry: Any) -> Span:
    (item,) = Litellm.read(map_of(folder, model={"litellm_provider": provider, "mode": "chat", **entry})).items(
        provider.replace("_", "-").replace("xai", "x-ai")
    )
    return item.spans[0]


def test_a_cost_map_is_read_with_its_tiers_steps_and_lifetimes(tmp_path):
    span = only(
        tmp_path, "openai",
        input_cost_per_token=2e-06, output_cost_per_token=1e-05,
        input_cost_per_token_above_272k_tokens=4e-06, input_cost_per_token_above_272k_tokens_priority=8e-06,
        input_cost_per_token_priority=4e-06, input_cost_per_token_batches=1e-06,
        cache_creation_input_token_cost=2.5e-06, cache_creation_input_token_cost_above_12hr=5e-06,
        regional_processing_uplift_multiplier_eu=1.1,
    )  # fmt: skip
    assert span.card.rates == {"input": 2, "output": 10, "cache_write_30m": Decimal("2.5"), "cache_write_12h": 5}
    assert span.card.over == {272_000: {"input": 4}}
    assert span.tiers["priority"] == Card({"input": Decimal(4)}, {272_000: {"input": Decimal(8)}})
    assert span.tiers["batch"].rates == {"input": 1}
    assert span.uplift == {"eu": Decimal("1.1")}


@pytest.mark.parametrize(
    ("provider", "entry", "rates"),
    [
        ("anthropic", {"input_cost_per_token": 1e-06, "cache_creation_input_token_cost": 1.25e-06,
                       "cache_creation_input_token_cost_above_1hr": 2e-06},
         {"input": "1", "cache_write_5m": "1.25", "cache_write_1h": "2"}),
        ("openai", {"input_cost_per_token": 2.9999999999999997e-07}, {"input": "0.3"}),  # binary noise
        ("openai", {"input_cost_per_token": 1e-06, "cache_creation_input_token_cost": 0.0}, {"input": "1"}),
        ("openai", {"mode": "audio_transcription", "input_cost_per_second": 0.0001}, {"audio_seconds": "0.36"}),
        ("openai", {"mode": "video_generation", "output_cost_per_video_per_second": 0.1}, {"video_seconds": "0.1"}),
        ("cohere", {"mode": "rerank", "input_cost_per_query": 0.002}, {"rerank_search": "2"}),
        ("tavily", {"mode": "search", "input_cost_per_query": 0.008}, {"search_queries": "8"}),
        ("mistral", {"mode": "ocr", "ocr_cost_per_page": 0.002, "annotation_cost_per_page": 0.003},
         {"pages": "2", "annotated_pages": "3"}),
        ("openai", {"input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06,
                    "output_cost_per_reasoning_token": 2e-06}, {"input": "1", "output": "2"}),
    ],
)  # fmt: skip
def test_a_cost_map_says_many_things_in_many_units(tmp_path, provider, entry, rates):
    assert only(tmp_path, provider, **entry).card.rates == {name: Decimal(rate) for name, rate in rates.items()}


def test_a_price_of_0_in_a_cost_map_is_no_price(tmp_path):
    path = map_of(tmp_path, local={"litellm_provider": "ollama", "input_cost_per_token": 0.0})
    assert list(Litellm.read(path).items("ollama")) == []


def test_prices_lose_binary_noise_and_nothing_else():
    assert usd(1.0999999999999998e-06, M) == Decimal("1.1")
    assert tidy(Decimal("0.033333333333333")) == Decimal("0.033333333333")


def item(*spans: tuple[str, str]) -> Item:
    return Item("m", [Span(since=since, card=Card({"input": Decimal(rate)}), source="ll") for since, rate in spans])


@pytest.mark.parametrize(
    ("known", "fresh", "after"),
    [
        ([("", "1")], [("", "1")], [("", "1")]),
        ([("", "1")], [("", "2")], [("", "1"), ("2026-12-01", "2")]),  # a change without a date: since it was read
        ([("", "1")], [("", "1"), ("2027-01-01", "2")], [("", "1"), ("2027-01-01", "2")]),  # announced
        ([("", "1"), ("2026-05-01", "2")], [("", "9"), ("2026-05-01", "2")], [("", "1"), ("2026-05-01", "2")]),
        ([("", "1"), ("2026-05-01", "2")], [("", "2")], [("", "1"), ("2026-05-01", "2")]),  # a list without history
    ],
)
def test_what_was_published_stays_and_what_is_new_comes_after(known, fresh, after):
    once, told = append(item(*known), item(*fresh), "2026-12-01")
    assert [(s.since, str(s.card.rates["input"])) for s in once.spans] == after
    assert bool(told) == (known != after)
    twice, silence = append(once, item(*fresh), "2026-12-01")
    assert twice.spans == once.spans
    assert silence == []


def test_a_class_nobody_listed_before_is_added_to_the_period_with_its_source():
    fresh = item(("", "1"))
    fresh.spans[0].card.rates["output"] = Decimal(3)
    after, told = append(item(("", "1")), fresh, "2026-12-01")
    assert after.spans[0].card.rates == {"input": 1, "output": 3}
    assert after.spans[0].filled == {"ll": ["output"]}
    assert told == ["m: added output"]


def test_a_file_written_and_read_back_is_the_same(tmp_path):
    book = PriceBook.load(write(tmp_path), cache=None)
    file = book.provider("acme")
    assert file is not None
    items = {name: item_of(name, model) for name, model in file.models.items()}
    schedules = {
        "office": {"utc": [["01:00", "04:00"], ["06:00", "10:00"]], "weekdays": [1, 2, 3, 4, 5], "offset_hours": 8,
                   "holidays": ["2026-10-01"]},
        "night": {"utc": [["16:30", "00:30"]]},
    }  # fmt: skip
    fees = [{"source": "page", "rates": {"web_search": "10"}}]
    text = provider_yaml(Header("acme", {"page": ("The price page", "2026-11-01", "")}, "", schedules, fees), items, {})
    again = parse(text.encode(), tmp_path / "acme.yaml")
    assert again.models == file.models
    assert again.schedules == file.schedules


def test_import_adds_unknown_models_and_leaves_figures_of_other_sources(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = map_of(
        tmp_path,
        **{
            "gpt-99": {"litellm_provider": "openai", "input_cost_per_token": 7e-06, "output_cost_per_token": 9e-06},
            "gpt-4o": {"litellm_provider": "openai", "input_cost_per_token": 7e-06, "output_cost_per_token": 9e-06},
            "gpt-4o-2031-01-01": {"litellm_provider": "openai", "input_cost_per_token": 2.5e-06},
        },
    )
    with pytest.raises(SystemExit) as ended:
        main(["prices", "import", "litellm", str(path), "-o", "layer", "--today", "2026-12-01"])
    assert not ended.value.code
    out = capsys.readouterr().out
    assert "gpt-99: new" in out
    assert "2031" not in out
    assert "figures differ and stay" in out
    book = PriceBook.load(tmp_path / "layer", cache=None)
    when = "2026-12-02T00:00:00+00:00"
    assert ask(book, "openai", "gpt-99", {"input": M}, when=when).usd == 7
    assert ask(book, "openai", "gpt-4o", {"input": M}, when=when).usd == Decimal("2.5")
    with pytest.raises(SystemExit):
        main(["prices", "import", "litellm", str(path), "-o", "all", "--today", "2026-12-01", "--all"])
    book = PriceBook.load(tmp_path / "all", cache=None)
    assert ask(book, "openai", "gpt-4o", {"input": M}, when=when).usd == 7
    assert ask(book, "openai", "gpt-4o", {"input": M}, when="2026-11-30T00:00:00+00:00").usd == Decimal("2.5")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["nothing"], 2, "no price list is called"),
        (["litellm", "missing.json"], 2, "cannot read"),
        (["litellm", "broken.json"], 2, "broken.json"),
        (["litellm", "list.json"], 2, "cost map"),
    ],
)
def test_import_of_what_is_no_list_is_a_clear_error(tmp_path, monkeypatch, capsys, arguments, code, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(SystemExit) as ended:
        main(["prices", "import", *arguments])
    assert ended.value.code == code
    assert told in capsys.readouterr().err


class Listed:
    """A price list of one model with a cut, whose cached rate is the new one all along; its tier is of today."""

    def items(self, provider):
        del provider
        rates = [{"input": Decimal(n), "cache_read": Decimal("0.5")} for n in (10, 2)]
        flex = {"flex": Card({"input": Decimal(1), "cache_read": Decimal("0.25")}, {}, "gp")}
        old, new = (Span(since=day, card=Card(r, {}, "gp")) for day, r in zip(("", "2025-06-10"), rates, strict=True))
        new.tiers = flex
        yield Item("m", [old, new], set(), {})


def test_a_fact_holds_until_its_day_and_tiers_follow_it():
    fact = {"models": "m", "until": "2025-06-10", "rates": {"cache_read": 2.5}, "force": True}
    old, new = merge("acme", {"order": ["gp"], "rules": [fact]}, {"gp": Listed()}, "2026-11-23").models["m"].spans
    assert (old.card.rates["cache_read"], new.card.rates["cache_read"]) == (Decimal("2.5"), Decimal("0.5"))
    assert (old.tiers["flex"].rates["cache_read"], new.tiers["flex"].rates["cache_read"]) == (
        Decimal("1.25"), Decimal("0.25"),
    )  # fmt: skip
    assert old.filled == {"facts": ["cache_read"]}
