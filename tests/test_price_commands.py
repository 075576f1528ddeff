"""`costaudit prices …`: what the commands print, in words and in JSON lines."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from price_book import write

from costaudit.cli import main


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (folder := tmp_path / "book").mkdir()
    return write(folder)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["prices", *map(str, arguments)])
    out = capsys.readouterr()
    return int(ended.value.code or 0), out.out, out.err


def test_quote_answers_every_line_in_order_with_decimal_strings(book, capsys, tmp_path):
    cases = [
        {"id": "b", "model": "plain", "ts": "2026-11-05T12:00:00Z", "context": {}, "usage": {"input": 1}},
        {"id": "a", "model": "what", "usage": {"input": 1}},
        {"id": 3, "model": "plain", "raw": {"api": "openai.chat", "usage": {"prompt_tokens": 10**6}}},
        {"id": 4, "model": "plain", "usage": {"input": 10}, "override": {"match": "acme/*", "token_multiplier": "0.5"}},
    ]
    cases = [case | {"provider": "acme"} for case in cases]
    (file := tmp_path / "cases.jsonl").write_text("\n\n".join(map(json.dumps, cases)))
    code, out, _ = run(capsys, "quote", file, "--prices", book)
    told = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [(t["id"], t["status"], t["usd"], t["entry"]) for t in told] == [
        ("b", "priced", "0.000002", "acme:plain"),
        ("a", "unpriced", None, None),
        (3, "priced", "2", "acme:plain"),
        (4, "priced", "0.00001", "acme:plain"),
    ]
    assert told[0]["parts_usd"] == {"input": "0.000002"}
    assert told[0]["steps"][0] == "exact: acme:plain"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("nonsense", "not JSON"),
        ("[]", "a JSON object"),
        ('{"provider": "acme"}', "model must be text"),
        ('{"provider": "acme", "model": "plain", "usage": {"inputs": 1}}', "unknown usage class"),
        ('{"provider": "acme", "model": "plain", "usage": {"input": -1}}', "no quantity"),
        ('{"provider": "acme", "model": "plain", "usage": {"input": 1.5}}', "no quantity"),
        ('{"provider": "acme", "model": "plain", "usage": {"input": NaN}}', "no quantity"),
        ('{"provider": "acme", "model": "plain", "usage": {"input": 1e99}}', "no quantity"),
        ('{"provider": "acme", "model": "plain", "usage": []}', ""),
        ('{"provider": "acme", "model": "plain", "usage": [1]}', "usage must be an object"),
        ('{"provider": "acme", "model": "plain", "ts": "soon"}', "soon"),
        ('{"provider": "acme", "model": "plain", "override": {"match": "x"}}', "match: provider/model"),
        ('{"provider": "acme", "model": "plain", "raw": {"api": "openai.chat", "usage": {"prompt_tokens": -1}}}',
         "not a token count"),
        ("[" * 100_000, "not JSON"),
    ],
)  # fmt: skip
def test_a_line_that_is_no_call_is_answered_too(book, capsys, tmp_path, line, why):
    (file := tmp_path / "cases.jsonl").write_text(line + '\n{"id": 1, "provider": "acme", "model": "plain"}\n')
    code, out, _ = run(capsys, "quote", file, "--prices", book)
    first, second = map(json.loads, out.splitlines())
    assert second["status"] == "priced"
    if why:
        assert code == 2
        assert first["status"] == "invalid"
        assert why in first["steps"][0]


def test_explain_prints_the_arithmetic_line_by_line(book, capsys):
    code, out, _ = run(
        capsys, "explain", "--provider", "acme", "--model", "acme/long", "--usage", "input=200000,output=1000",
        "--tier", "batch", "--at", "2026-11-05", "--prices", book,
    )  # fmt: skip
    assert code == 0
    assert out == (
        "acme/acme/long: $0.5125\n\n"
        "  prefix 'acme/' stripped\n"
        "  exact: acme:long\n"
        "  batch tier\n"
        "  a prompt of 200,000 tokens is above 100,000: the whole request at that step's rates\n"
        "  rates: The price page, read 2026-11-01\n\n"
        "  class   quantity × rate                      uplift  cost\n"
        "  input   200,000 × $2.5 per 1,000,000 tokens          = $0.5\n"
        "  output  1,000 × $12.5 per 1,000,000 tokens           = $0.0125\n"
    )


def test_explain_finds_a_request_in_a_log(book, capsys, tmp_path):
    row = {"request_id": "r1", "provider": "acme", "model": "plain", "input_tokens": 1_000_000, "output_tokens": 0}
    (log := tmp_path / "log.jsonl").write_text(json.dumps(row | {"started_at": "2026-11-05T12:00:00Z"}) + "\n")
    assert "request r1: $2" in run(capsys, "explain", "r1", log, "--prices", book)[1]
    code, _, error = run(capsys, "explain", "r2", log, "--prices", book)
    assert (code, "no request 'r2'" in error) == (2, True)


def test_show_prints_the_history_of_a_model(book, capsys):
    code, out, _ = run(capsys, "show", "dated", "--provider", "acme", "--prices", book)
    assert code == 0
    assert [line.split() for line in out.splitlines()[2:7]] == [
        ["since", "input", "output", "source"],
        ["launch", "10", "40", "The", "price", "page"],
        ["2026-06-10", "2", "8", "The", "price", "page"],
        ["2026-08-16T16:00:00Z", "3", "9", "The", "price", "page"],
        ["2027-01-01", "4", "12", "The", "price", "page"],
    ]
    assert run(capsys, "show", "acme:dated", "--prices", book)[:2] == (0, out)  # as reports name it
    assert "no entry for 'nothing'" in run(capsys, "show", "nothing", "--prices", book)[2]


ANNOUNCED = """
provider: soon
sources: {page: {title: P, read_on: 2026-11-01}}
fees:
- {source: page, rates: {code_sessions: 0.03}}
models:
  riser:
    prices:
    - {source: page, rates: {input: 1}, tiers: {flex: {rates: {input: 0.7}}}}
    - {since: 2026-06-01, source: page, rates: {input: 2}, tiers: {batch: {rates: {input: 1}}}, uplift: {eu: 1.1}}
    - {since: 2027-01-01, source: page, rates: {input: 4}, tiers: {batch: {rates: {input: 2}}}}
"""


def test_what_is_announced_stands_under_its_day_and_not_as_the_price_of_today(capsys, tmp_path):
    (tmp_path / "soon.yaml").write_text(ANNOUNCED)
    assert run(capsys, "show", "riser", "--prices", tmp_path)[1].splitlines()[-4:] == [
        "tier batch: input 1",
        "region eu: ×1.1 on tokens",
        "from 2027-01-01, tier batch: input 2",
        "with every model: code_sessions 0.03",
    ]
    assert run(capsys, "list", "soon", "--prices", tmp_path)[1].splitlines()[1].split() == ["riser", "2", "2026-06-01"]


def test_list_counts_providers_and_lists_models(book, capsys):
    assert "models of 3 providers" in run(capsys, "list", "--prices", book)[1]
    assert "halfhour" in run(capsys, "list", "acme", "--prices", book)[1]
    assert run(capsys, "list", "acmee", "--prices", book)[0] == 2


def test_check_ends_with_1_for_an_error_only(book, capsys):
    assert run(capsys, "check", "--today", "2026-11-02", "--prices", book)[:2] == (0, "0 errors, 0 warnings\n")
    acme = book / "acme.yaml"
    acme.write_text(acme.read_text().replace("{input: 2, cache_read: 0.2, output: 8}", "{input: 0}"))
    code, out, _ = run(capsys, "check", "--today", "2026-11-02", "--prices", book)
    assert code == 1
    assert "acme:plain" in out


def test_diff_says_what_changed_and_what_a_log_would_cost(book, capsys, tmp_path):
    (newer := tmp_path / "newer").mkdir()
    write(newer)
    acme = newer / "acme.yaml"
    acme.write_text(acme.read_text().replace("{input: 2, cache_read: 0.2, output: 8}", "{input: 3, output: 8}"))
    row = {"request_id": "r1", "provider": "acme", "model": "plain", "input_tokens": 1_000_000, "output_tokens": 0}
    (log := tmp_path / "log.jsonl").write_text(json.dumps(row | {"started_at": "2026-11-05T12:00:00Z"}) + "\n")
    code, out, _ = run(capsys, "diff", book, newer, log)
    assert code == 0
    assert [line.split() for line in out.splitlines()] == [
        ["model", "what", "change"],
        ["acme:plain", "input", "2", "->", "3"],
        ["acme:plain", "cache_read", "0.2", "->", "none"],
        [],
        ["model", "old", "new", "change"],
        ["plain", "$2.00", "$3.00", "$+1.00"],
        ["all", "$2.00", "$3.00", "$+1.00"],
    ]
    assert run(capsys, "diff", book, book)[1] == "the books price every model alike\n"


def test_a_hostile_model_name_reaches_no_terminal(book, capsys):
    _, out, error = run(
        capsys, "explain", "--provider", "x", "--model", "\x1b[2Jm", "--usage", "input=1", "--prices", book
    )
    assert "\x1b" not in out + error


@pytest.mark.parametrize("columns", [80, 120])
def test_pages_of_the_book_fit_a_terminal(columns):
    from costaudit.commands import _price_pages as pages
    from costaudit.config import Settings
    from costaudit.price.book import PriceBook

    openai = PriceBook.of(Settings()).provider("openai")
    assert openai is not None
    found = [
        ("warning", f"openai:{name}", f"input jumps from 0.05 to 0.351 {'on 2026-10-19 ' * 4}")
        for name in openai.models
    ]
    models, shown = pages.models(openai, date(2026, 11, 23), columns), pages.problems(found, columns)
    assert max(map(len, (models + shown).splitlines())) <= columns
    assert shown.count("2026-10-19") == 4 * len(found)
