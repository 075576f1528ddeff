"""What all rules together say, when the same work is logged otherwise: in another order, week or name, at other prices,
beside a stranger, twice."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from functools import cache
from random import Random
from typing import Any

import pytest
from ledgers import at, book, calls, priced

from costaudit import schema
from costaudit.analyze import analyze
from costaudit.config import Settings
from costaudit.finding import Finding
from costaudit.price.ledger import Ledger

DAY = 86_400
OPEN = Settings(floor_usd=Decimal(0), floor_share=0.0)
HASHES = ("request_sha", "output_sha", "tool_args_sha", "tool_result_sha")

Row = dict[str, Any]
Told = dict[tuple[str, tuple[tuple[str, str], ...]], tuple[Any, ...]]


def agents(random: Random) -> list[Row]:
    """Runs of an agent in which problems stand on top of each other: loops, failures, repeats, cut answers, tools
    nobody calls, prompts nobody caches."""
    rows: list[Row] = []
    tools = [{"name": name, "sha": nth, "tokens": 300} for nth, name in enumerate(("search", "idle"))]
    for run in range(17):
        start, stuck = random.randrange(9 * DAY), random.random() < 0.3
        chain, sizes = [1, 100 + run], [1_500, 100]
        for step in range(random.choice([2, 3, 5, 8, 24])):
            loops = stuck and step > 2
            row: Row = {
                **{"task": "agent", "run_id": f"run-{run}", "step": step + 1, "tenant": random.choice("xxy")},
                **{"started_at": at(start), "ended_at": at(start + 2), "temperature": 0.0, "tools_declared": tools},
                **{"block_sha": list(chain), "block_tokens": list(sizes), "input_tokens": sum(sizes)},
                **{"request_sha": 1_000 * run + step, "output_sha": random.randrange(2**40), "http_status": 200},
                **{"finish_reason": "stop" if step % 3 else "tool_calls", "output_tokens": random.choice([20, 400])},
                **{"tool_name": "search", "tool_args_sha": 1 if loops else random.randrange(99)},
                **{"tool_result_sha": 1 if loops else random.randrange(99)},
            }
            if step:
                row["tool_results"] = [{"id": None, "sha": 1 if loops else random.randrange(9), "error": None}]
            if random.random() < 0.1:
                row |= {"status": "error", "http_status": 500}
            elif random.random() < 0.1:
                row["finish_reason"] = "length"
            rows.append(row)
            if random.random() < 0.15:
                start += 12
                rows.append(row | {"started_at": at(start), "ended_at": at(start + 2), "status": "ok"})
            start += random.choice([5, 30, 400])
            chain += [random.randrange(2**40), random.randrange(2**40)]
            sizes += [30, 900 if loops else random.choice([100, 2_000])]
    return rows


def weeks(random: Random) -> list[Row]:
    """Four weeks of two tasks: weekends, a day of eight times the calls, prompts twice as long from one day on."""
    rows: list[Row] = []
    for task, a_day in (("import", 24), ("mail", 22)):
        for day in range(28):
            n = a_day // 2 if day % 7 > 4 else a_day
            for _ in range(8 * n if (task, day) == ("import", 12) else n):
                row = {
                    **{"task": task, "tenant": random.choice("aaabcdefgh"), "started_at": at(DAY * day)},
                    **{"input_tokens": round(random.lognormvariate(8, 0.3)) * (1 + (task == "mail" and day >= 14))},
                    **{"request_sha": random.randrange(2**40), "model": random.choice(["big", "small"])},
                }
                rows.append(row | {"started_at": row["started_at"] + timedelta(seconds=random.randrange(50_000))})
    return rows


LOGS = {"agents": agents, "weeks": weeks}


@cache
def log(kind: str) -> tuple[Mapping[str, Any], ...]:
    rows = LOGS[kind](Random(5))
    return tuple(row | {"request_id": f"r{nth}", "source_line": nth + 1} for nth, row in enumerate(rows))


def said(rows: Any, times: int = 1) -> tuple[Finding, ...]:
    frame = calls(rows) if times == 1 else priced(calls(rows).select(*schema.REQUESTS), times)
    return analyze(Ledger.of(frame, book(times)), OPEN).findings


def told(findings: tuple[Finding, ...], times: int = 1) -> Told:
    """Rule and subject -> dollars to the cent of a cent, and how many requests; dollars `times` over."""
    found: Told = {}
    for f in findings:
        amounts = (f.owned_usd, f.alone_usd, f.low_usd, f.high_usd, f.stake_usd)
        dollars = tuple(None if usd is None else round(usd * times, 8) for usd in amounts)
        found[f.rule, tuple(sorted(f.subject.items()))] = (*dollars, f.requests, f.severity, f.confidence, f.grade)
    return found


@cache
def usual(kind: str) -> tuple[Finding, ...]:
    return said(log(kind))


both = pytest.mark.parametrize("kind", LOGS)


def test_the_logs_of_these_laws_have_something_to_say():
    rules = {f.rule for kind in LOGS for f in usual(kind)}
    assert rules >= {
        *("runaway-loop", "retry-waste", "failed-calls", "cache-miss", "context-bloat", "cost-regression"),
        *("spend-anomaly", "tenant-concentration", "duplicate-requests"),
    }


@both
def test_the_order_of_lines_says_nothing(kind):
    rows = list(log(kind))
    Random(1).shuffle(rows)
    assert told(said(rows)) == told(usual(kind))


@both
def test_the_same_log_some_weeks_later_says_the_same(kind):
    later = timedelta(weeks=27)
    moved = [{k: v + later if k.endswith("_at") else v for k, v in row.items()} for row in log(kind)]
    assert told(said(moved)) == told(usual(kind))


@both
def test_names_of_runs_and_requests_are_only_names(kind):
    named = [row | {k: f"n-{row[k]}" for k in ("request_id", "run_id") if k in row} for row in log(kind)]
    assert told(said(named)) == told(usual(kind))


@both
def test_ten_times_the_prices_are_ten_times_the_dollars(kind):
    assert told(said(log(kind), times=10)) == told(usual(kind), times=10)


def test_amounts_of_a_broken_counter_break_no_rule():
    """Ten billion dollars to 18 places are more digits than a decimal has unless it is told to have more."""
    found = said([row | {"input_tokens": row["input_tokens"] * 2**33} for row in log("weeks")])
    assert {f.rule for f in found} >= {"cost-regression", "spend-anomaly"}
    assert max(f.stake_usd for f in found) > 10**10


@both
def test_a_clean_tenant_beside_it_takes_nothing_away(kind):
    stranger = [
        {
            "task": "clean",
            "tenant": "clean",
            "request_id": f"c{k}",
            "source_line": 10_000 + k,
            "request_sha": -k % 2**60,
        }
        | {"started_at": at(DAY * 9 * k / 100), "temperature": 0.0, "finish_reason": "stop", "http_status": 200}
        for k in range(100)
    ]
    found = told(said([*log(kind), *stranger]))
    assert {key: found.get(key) for key in told(usual(kind))} == told(usual(kind))


def test_the_same_work_done_twice_wastes_twice_as_much():
    """By other runs, with other prompts and answers: nothing of it repeats the first."""
    again = []
    for row in log("agents"):
        new = {k: row[k] ^ 2**50 for k in HASHES} | {"block_sha": [sha ^ 2**50 for sha in row["block_sha"]]}
        new |= {"run_id": f"{row['run_id']}-b", "request_id": f"{row['request_id']}-b"}
        again.append(row | new | {"source_line": row["source_line"] + 10_000})
    found, before = told(said([*log("agents"), *again])), told(usual("agents"))
    exact = {key: dollars for key, (*dollars, _, _, _, _) in before.items() if key[0] != "missing-ceiling"}
    assert len(exact) > 5
    assert {key: [2 * usd for usd in dollars] for key, dollars in exact.items()} == {
        key: list(found[key][:5]) for key in exact
    }
