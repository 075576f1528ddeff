"""The published cases: every one exactly right, to the last digit of every part."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

from costaudit.commands._price_quote import quoted
from costaudit.data import bundled
from costaudit.price.book import PriceBook


def test_every_case_is_exactly_right(shared: Path):
    path = shared / "pricing" / "cases.jsonl"
    cases = [json.loads(line) for line in path.read_text().splitlines()]
    answers = [json.loads(line) for line, _ in quoted(path.read_text().splitlines(), book(), "cases")]
    assert len(answers) == len(cases) >= 300
    wrong = {
        case["id"]: answer
        for case, answer in zip(cases, answers, strict=True)
        if (case["id"], case["status"], amount(case["usd"])) != (answer["id"], answer["status"], amount(answer["usd"]))
        or {k: amount(v) for k, v in case["parts_usd"].items()}
        != {k: amount(v) for k, v in answer["parts_usd"].items()}
        or amount(case.get("list_usd")) != amount(answer.get("list_usd"))
    }
    assert wrong == {}


def test_every_raw_payload_normalises_to_the_same_bill(shared: Path):
    path = shared / "pricing" / "cases.jsonl"
    cases = [case for line in path.read_text().splitlines() if "raw" in (case := json.loads(line))]
    lines = [json.dumps({k: v for k, v in case.items() if k != "usage"}) for case in cases]
    answers = [json.loads(line) for line, _ in quoted(lines, book(), "cases")]
    assert len(cases) >= 12
    assert [amount(a["usd"]) for a in answers] == [amount(c["usd"]) for c in cases]
    assert [{k: amount(v) for k, v in a["parts_usd"].items()} for a in answers] == [
        {k: amount(v) for k, v in c["parts_usd"].items()} for c in cases
    ]


def book() -> PriceBook:
    return PriceBook.load(bundled("pricing"))


def amount(written: str | None) -> Decimal | None:
    return None if written is None else Decimal(written)
