"""The price book: what a file must be, what a user may lay over it, and what the bundled book promises."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal
from pathlib import Path
from threading import Barrier

import pytest
from price_book import ACME, ask, write

from costaudit.config._nouns import Located
from costaudit.data import bundled
from costaudit.errors import PriceError
from costaudit.price import book as books
from costaudit.price.book import PriceBook
from costaudit.price.check import check
from costaudit.price.overrides import parse_overrides

M = 1_000_000
HEAD = "provider: acme\nsources: {page: {title: Page, read_on: 2026-11-01}}\nmodels:\n"


def load(folder: Path, **files: str) -> PriceBook:
    return PriceBook.load(write(folder, **files), cache=None, providers=["acme"])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("models: [1\n2: }", "acme.yaml:2: not valid YAML"),
        ("- 1\n", "acme.yaml: not a price file"),
        (HEAD + "  m:\n    prices: []\n", "acme.yaml:4: m: no prices"),
        (HEAD + "  ok: {prices: [{source: page}]}\n\n  m: {prices: [{source: page, rates: {imput: 1}}]}\n",
         "acme.yaml:6: m: unknown usage class 'imput'"),
        (HEAD + "  m:\n    prices: [{source: page, rates: {input: -1}}]\n", "input: not a price: -1"),
        (HEAD + "  m:\n    prices: [{source: page, rates: {input: nan}}]\n", "acme.yaml:4: m: "),
        (HEAD + "  m:\n    prices: [{source: page, rates: {input: 1e-40}}]\n", "needs more than 18 decimals"),
        (HEAD + "  m:\n    prices: [{source: nowhere, rates: {input: 1}}]\n", "acme.yaml: m: source 'nowhere'"),
        (HEAD + "  m:\n    prices: [{source: page, hours: {never: {rates: {input: 1}}}}]\n", "schedule 'never'"),
        (HEAD + "  m:\n    prices: [{source: page, since: soon, rates: {input: 1}}]\n", "acme.yaml:4: m: "),
        (HEAD + "  m:\n    prices: [{source: page, since: 2026-02-01}, {source: page, since: 2026-01-01}]\n",
         "periods must be in order"),
        (HEAD + "  m: {prices: [{source: page, over: [{above: 2, rates: {}}, {above: 1, rates: {}}]}]}\n",
         "rising order"),
        (HEAD + "  m:\n    prices: [{source: page, uplift: {eu: 0}}]\n", "no multiplier"),
        (HEAD + "  m:\n    prices: [{source: page, colour: red}]\n", "unknown field `colour`"),
    ],
)  # fmt: skip
def test_a_wrong_price_file_is_refused_by_file_line_and_model(tmp_path, text, told):
    with pytest.raises(PriceError, match=re.escape(told)):
        load(tmp_path, acme=text)


def test_a_folder_that_is_no_book_says_so(tmp_path):
    with pytest.raises(PriceError, match="no price files there"):
        PriceBook.load(tmp_path)


def test_parsed_files_are_kept_by_content_and_a_broken_cache_is_no_matter(tmp_path):
    (cache := tmp_path / "cache").mkdir()
    (files := tmp_path / "book").mkdir()
    write(files)
    first = PriceBook.load(files, cache=cache).provider("acme")
    kept = sorted(cache.iterdir())
    assert len(kept) == 2  # the names of the providers, and the one that was asked for
    assert PriceBook.load(files, cache=cache).provider("acme") == first
    for damage in (lambda data: data[:-1], lambda data: data[:-1] + bytes([data[-1] ^ 1])):
        for file in kept:
            file.write_bytes(damage(file.read_bytes()))
        assert PriceBook.load(files, cache=cache).provider("acme") == first
    write(files, acme=ACME.replace("rates: {input: 2, cache_read: 0.2, output: 8}", "rates: {input: 7, output: 8}"))
    changed = PriceBook.load(files, cache=cache).provider("acme")
    assert changed is not None
    assert changed.models["plain"].prices[0].rates["input"] == Decimal(7)


def test_only_the_providers_asked_for_are_parsed(tmp_path):
    book = PriceBook.load(write(tmp_path, other="models: ["), cache=None)
    assert book.provider("acme") is not None
    with pytest.raises(PriceError):
        book.provider("other")


def test_equal_books_have_equal_fingerprints_and_an_override_changes_it(tmp_path):
    folder = write(tmp_path)
    own = parse_overrides([Located({"match": "acme/*", "token_multiplier": "0.9"}, "f", 1)])
    assert PriceBook.load(folder).sha256 == PriceBook.load(folder).sha256
    assert PriceBook.load(folder).sha256 != PriceBook.load(folder, overrides=own).sha256


def test_a_users_folder_lies_over_the_bundled_book(tmp_path):
    (tmp_path / "ours.yaml").write_text("prices:\n- {match: openai/o3, token_multiplier: 0.5}\n")
    (tmp_path / "house.yaml").write_text(
        "provider: house\nsources: {us: {title: Ours, read_on: 2026-11-01}}\n"
        "models: {llama: {prices: [{source: us, rates: {input: 0.1}}]}}\n"
    )
    book = PriceBook.load(tmp_path, cache=None)
    assert ask(book, "openai", "o3", {"input": M}, when="2026-11-05T00:00:00+00:00").usd == Decimal(1)
    assert ask(book, "house", "llama", {"input": M}).usd == Decimal("0.1")
    assert ask(book, "anthropic", "claude-opus-5", {"input": M}, when="2026-11-05T00:00:00+00:00").usd == Decimal(5)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("prices:\n- {match: openai}\n", "own.yaml:2: a price needs `match: provider/model`"),
        ("prices:\n- match: openai/*\n  token_multipler: 0.9\n", "own.yaml:2: unknown key 'token_multipler'"),
        ("- {match: 'openai/*'}\n", "own.yaml:1: the price of openai/* says nothing"),
        ("- {match: 'openai/*', token_multiplier: lots}\n", "token_multiplier must be a number"),
        ("- {match: 'openai/*', token_multiplier: -1}\n", "token_multiplier must be a number"),
        ("- {match: 'openai/*', rates_per_mtok: {web_search: 1}}\n", "unknown usage class 'web_search'"),
        ("- {match: 'openai/*', rates_per_mtok: 3}\n", "must be a mapping"),
        ("- {match: 'openai/*', token_multiplier: 1, valid_from: someday}\n", "valid_from"),
        ("- {match: 'openai/*', token_multiplier: 1, valid_from: 2026-02-01, valid_to: 2026-01-01}\n", "not after"),
        ("- openai\n", "own.yaml:1: a price must be a mapping"),
    ],
)
def test_a_wrong_override_is_refused_by_file_and_line(tmp_path, text, told):
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(PriceError, match=re.escape(told)):
        PriceBook.load(tmp_path)


@pytest.mark.parametrize(
    ("prices", "told"),
    [
        ("[{source: page, until: 2026-03-01, rates: {input: 1}}, {source: page, since: 2026-02-01, rates: {input: 1}}]",
         "periods overlap"),
        ("[{source: page, until: 2026-02-01, rates: {input: 1}}, {source: page, since: 2026-03-01, rates: {input: 1}}]",
         "no price from"),
        ("[{source: page, rates: {input: 1}}, {source: page, since: 2026-03-01, rates: {input: 100}}]", "jumps"),
        ("[{source: page, rates: {input: 1, cache_read: 2}}]", "a cached token costs more"),
        ("[{source: page, rates: {input: 0}}]", "no price above 0"),
        ("[{source: page, rates: {input: 2000}}]", "over $1,000"),
    ],
)  # fmt: skip
def test_check_names_what_looks_wrong(tmp_path, prices, told):
    book = load(tmp_path, acme=HEAD + f"  m: {{prices: {prices}}}\n")
    assert any(told in problem.what for problem in check(book, date(2026, 11, 2)))


def test_check_says_when_prices_are_old_and_is_silent_about_a_sound_book(tmp_path):
    book = load(tmp_path)
    assert check(book, date(2026, 11, 2)) == []
    assert {p.what.partition(" days")[0] for p in check(book, date(2027, 1, 1))} == {"prices were read 61"}


@pytest.fixture(scope="module")
def bundle() -> PriceBook:
    return PriceBook.load(bundled("pricing"))


def test_the_bundled_book_has_no_errors_and_the_breadth_it_promises(bundle):
    problems = check(bundle, bundle.as_of)
    assert [p for p in problems if p.kind == "error"] == []
    models = [m for file in bundle.all() for m in file.models.values()]
    assert len(models) >= 2_500
    assert sum(len(m.prices) > 1 for m in models) >= 250  # with a dated history


def test_every_figure_of_the_bundled_book_has_a_source_with_its_day(bundle):
    for file in bundle.all():
        for name, model in file.models.items():
            for period in model.prices:
                keys = {period.source, *period.filled, *(c.source for c in period.tiers.values() if c.source)}
                assert keys <= file.sources.keys(), f"{file.provider}:{name}"


def test_no_price_list_is_needed_at_run_time():
    source = "".join(path.read_text() for path in Path(bundled("pricing")).parent.glob("costaudit/**/*.py"))
    assert not re.search(r"^\s*(?:import|from) (?:genai_prices|litellm|model_prices)\b", source, re.M)


def test_a_price_file_is_read_by_one_thread_however_many_ask_for_it(tmp_path, monkeypatch):
    book, together, at_work, parsed = load(tmp_path, acme=ACME), Barrier(4), [], []
    read = books.read

    def once(path, cache=None):
        assert not at_work  # nobody else is reading
        at_work.append(path)
        found = read(path, cache)
        at_work.clear()
        parsed.append(path.name)
        return found

    def ask_for(name):
        together.wait(60)  # s; only a test that fails waits for so long
        return book.provider(name)

    book._files.clear()
    monkeypatch.setattr(books, "read", once)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(ask_for, ["acme"] * 4))
    assert parsed == ["acme.yaml"]
    assert all(one is found[0] for one in found)


def test_a_price_file_under_another_name_is_told_and_not_left_unused(tmp_path):
    page = (bundled("pricing") / "cohere.yaml").read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(page, encoding="utf-8")
    with pytest.raises(PriceError, match=r"mine\.yaml has the prices of 'cohere'") as error:
        PriceBook.load(tmp_path)
    assert error.value.hint == "rename it cohere.yaml"


@pytest.mark.parametrize(
    ("day", "usd"),
    [
        # o3 on the day before its input fell from 10 to 2, and cached input from 2.50 to 0.50.
        ("2025-06-09", "12.5"),
        ("2025-06-10", "2.5"),
    ],
)
def test_cached_input_of_o3_cost_a_quarter_of_its_input_before_and_after_the_cut(bundle, day, usd):
    usage = {"input": M, "cache_read": M}
    assert ask(bundle, "openai", "o3", usage, when=f"{day}T12:00:00+00:00").usd == Decimal(usd)


@pytest.mark.parametrize(
    ("provider", "model", "usage", "usd"),
    [
        # Retired on Vertex, so that no price list has it any more; logs of 2025 do.
        (
            "vertex",
            "claude-opus-4-1@20250805",
            {"input": M, "cache_read": M, "cache_write_5m": M, "output": M},
            "110.25",
        ),
        # A list that took dollars per thousand tokens for dollars per token.
        ("azure", "jais-30b-chat", {"input": M, "output": M}, "12.91"),
        # A list that has the rate of a model's first weeks.
        ("mistral", "open-mistral-nemo", {"input": M, "cache_read": M, "output": M}, "0.315"),
    ],
)
def test_what_the_lists_have_wrong_costs_what_the_provider_charges(bundle, provider, model, usage, usd):
    assert ask(bundle, provider, model, usage, when="2025-10-01T12:00:00+00:00").usd == Decimal(usd)


@pytest.mark.parametrize(("provider", "session"), [("openai", "0.03"), ("azure", "0.033")])
def test_what_a_response_shows_of_hosted_tools_has_a_price_with_the_models_that_use_them(bundle, provider, session):
    used = {"web_search": 1, "file_search": 1, "code_sessions": 2}
    for model in ("gpt-4o", "gpt-5.4", "gpt-6-sol"):
        said = {kind: ask(bundle, provider, model, {kind: n}).usd for kind, n in used.items()}
        assert said["code_sessions"] == 2 * Decimal(session)
        assert provider == "azure" or None not in said.values()
