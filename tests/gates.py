"""Sides of the gate, made by hand."""

from __future__ import annotations

import math
import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from priced import book, call, calls

from costaudit.audit import Window
from costaudit.compare import budgets
from costaudit.compare.gate import check
from costaudit.compare.side import Side, measure
from costaudit.config import Budget
from costaudit.config import Gate as Limits
from costaudit.verdict import Gate

OCTOBER = date(2026, 10, 1)


def of_log(rows, name="log", **options) -> Side:
    return measure(calls(rows), book(), name=name, window=Window(), coverage=1.0, **options)


BUDGETS = (
    Budget(Decimal("0.05"), "run", {"task": "task-2"}),
    Budget(Decimal(20), "month"),
    Budget(Decimal(1), "call", {"tenant": "nobody"}),
)


def a_gate() -> Gate:
    source = random.Random(1)
    start = datetime(2026, 10, 1, tzinfo=UTC)

    def log(scale: float, tasks: int) -> list[dict[str, object]]:
        return [
            call(
                task=f"task-{t}",
                instance_id=f"case-{i}",
                run_id=f"{t}-{i}-{step}",
                started_at=start + timedelta(minutes=i),
                input_tokens=int((500 + 40 * i) * (scale if t == 0 else 1) * source.uniform(0.98, 1.02)),
                output_tokens=int(source.lognormvariate(5, 1.5)) if t == 2 else 100,
                block_sha=[int(scale * 10), 99 + i],
                block_tokens=[int(300 * scale), 40],
            )
            for t in range(tasks)
            for i in range(30 if t else 24)
            for step in range(2)
        ]

    window_of = Window(start, start + timedelta(days=1))
    sides = [
        measure(calls(log(scale, tasks)), book(), name=name, window=window_of, coverage=1.0, on=OCTOBER)
        for name, scale, tasks in (("main", 1.0, 3), ("logs/candidate", 1.6, 4))
    ]
    return check(
        sides[1],
        sides[0],
        Limits(),
        floor_usd=Decimal(1),
        month={"task-0": 40_000.0, "task-1": 10.0},
        month_name="september, 30 days",
        budgets=budgets.judge(calls(log(1.6, 4)), BUDGETS, tz="UTC", end=None),
    )


def draw(source: random.Random, n: int, cv: float = 1.0, mean: float = 1.0) -> list[float]:
    sigma = math.sqrt(math.log(1 + cv * cv))
    return [mean * source.lognormvariate(-sigma * sigma / 2, sigma) for _ in range(n)]
