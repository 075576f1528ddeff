"""What findings own is what a replay saves that makes one change after another, on logs of overlapping problems."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from random import Random
from typing import Any

import polars as pl
import pytest
from ledgers import at, book, calls, ledger

from costaudit.analyze import acts
from costaudit.analyze._ledger import replayed
from costaudit.config import Settings
from costaudit.price.engine import price
from costaudit.schema import USD

ALL = Settings(floor_usd=Decimal(0), floor_share=0.0)
TOOLS = [{"name": "search", "sha": 1, "tokens": 50}, {"name": "idle", "sha": 2, "tokens": 300}]
KINDS = ("loop", "copies", "failures", "cut", "chat", "tools")

Row = dict[str, Any]


def log(seed: int) -> list[Row]:
    """Five problems of three tasks on three models, close together: the same call is part of several of them."""
    random, time, rows = Random(seed), 0, []
    for _ in range(5):
        kind, mark = random.choice(KINDS), random.randrange(1, 10**6)
        common = {"task": random.choice("abc"), "model": random.choice(["big", "big", "auto", "small"])}
        for row in part(kind, mark, random):
            time += row.pop("pause", random.choice([1, 5, 20, 60, 400]))
            times = {"started_at": at(time), "ended_at": at(time + 3)}
            rows.append(times | {"tenant": random.choice("xy"), "finish_reason": "stop"} | common | row)
    return rows


def part(kind: str, mark: int, random: Random) -> Iterator[Row]:
    if kind == "loop":
        for k in range(random.randrange(4, 12)):
            said = mark if k > 2 else mark + k
            yield conversation(mark, k, 700) | {
                "tool_name": "search", "tool_args_sha": said, "tool_result_sha": said, "tools_declared": TOOLS,
                "success": random.choice([True, False, None]), "tool_results": [{"id": 9, "sha": 5}] * (k % 3),
            }  # fmt: skip
    elif kind == "chat":
        for k in range(random.randrange(3, 9)):
            yield conversation(mark, k, 1_000) | {"cache_read_tokens": random.choice([0, 0, 1_000])}
    elif kind == "copies":
        same = {"request_sha": mark, "output_sha": mark, "temperature": 0.0, "input_tokens": 3_000}
        yield from ({**same, "block_sha": [mark, mark + 1], "block_tokens": [2_000, 1_000]} for _ in range(4))
    elif kind == "failures":
        for k in range(random.randrange(2, 5)):
            failed = {"status": "error", "http_status": 500, "finish_reason": None} if k < 2 else {}
            yield {"request_sha": mark, "input_tokens": 3_000, "output_tokens": 50} | failed
    elif kind == "cut":
        cut = conversation(mark, 1, 1_000)
        yield cut | {"finish_reason": "length", "max_tokens": 100, "reply_sha": mark + 2}
        yield conversation(mark, 2, 1_000) | {"block_sha": [*cut["block_sha"], mark + 2]}
    else:
        yield from ({"request_sha": mark + k, "input_tokens": 1_500, "tools_declared": TOOLS, "pause": 15_000}
                    for k in range(55))  # fmt: skip


def conversation(mark: int, k: int, turn: int) -> Row:
    return {
        "run_id": f"run {mark}", "step": k + 1, "request_sha": mark * 100 + k, "output_sha": mark + k,
        "block_sha": [mark, *range(mark * 50, mark * 50 + k + 1)], "block_tokens": [1_300] + [turn] * (k + 1),
        "input_tokens": 1_300 + turn * (k + 1),
    }  # fmt: skip


def cost(rows: dict[int, Row], schema: pl.Schema) -> Decimal:
    frame = pl.DataFrame(list(rows.values()), schema=schema)
    total = price(frame.drop("cost_usd", "price_status", "price_entry"), book())["cost_usd"].sum()
    return Decimal(total or 0)


@pytest.mark.parametrize("seed", [0, 10, 39, 43])
def test_what_is_owned_is_what_one_change_after_another_saves(seed):
    frame = calls(log(seed))
    made = [act for act in acts(ledger(frame), ALL) if act.finding.owned_usd]
    assert len({act.finding.rule for act in made}) > 1
    rows: dict[int, Row] = {row["row"]: row for row in frame.to_dicts()}
    spent = start = cost(rows, frame.schema)
    added = Decimal(0)
    for act in made:
        key, patch = act.claim.evidence_key, act.claim.patch
        assert patch is not None
        groups: dict[str, list[Row]] = {}
        for change in patch.join(act.claim.evidence.select(key).unique(), on=key, how="semi").to_dicts():
            groups.setdefault(str(change.get("group")), []).append(change)
        before = spent
        for group in groups.values():
            after = dict(rows)
            for change in group:
                gone = change.get("exists") is False
                old = after.pop(change["row"], None)
                if old is not None and not gone:
                    new = {k: v for k, v in change.items() if k in old and v is not None}
                    after[change["row"]] = old | new
            if (now := cost(after, frame.schema)) < spent:
                rows, spent = after, now
        again = act.claim.evidence["added_usd"].sum() if "added_usd" in act.claim.evidence.columns else Decimal(0)
        added += again
        assert before - spent - again == act.finding.owned_usd, act.finding.title
    assert replayed(ledger(frame), made).calls["cost_usd"].sum() == spent
    assert start - spent - added == sum((act.finding.owned_usd for act in made), Decimal(0))
    assert frame["cost_usd"].dtype == USD
