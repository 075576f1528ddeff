"""The answer of `check` for machines, schema `costaudit.check/1`; it only ever grows."""

from __future__ import annotations

import math
from typing import Any

from costaudit.report import View, _bridge, _gate
from costaudit.report import _money as money
from costaudit.report.json import document
from costaudit.stats import Interval
from costaudit.verdict import BudgetVerdict, Gate, PromptChange, SideLabel, TaskVerdict

SCHEMA = "costaudit.check/1"


def render(gate: Gate, _view: View) -> str:
    """Schema `costaudit.check/1`; dollars are decimal strings, absent is null."""
    return document(
        {
            "schema": SCHEMA,
            "verdict": gate.verdict.value,
            "exit_code": gate.exit_code,
            "limits": {"tolerance": gate.tolerance, "pass_margin": gate.pass_margin},
            "priced_on": gate.priced_on and gate.priced_on.isoformat(),
            "baseline": _side(gate.baseline),
            "candidate": _side(gate.candidate),
            "overall": _interval(gate.overall),
            "overall_tokens": _number(gate.overall_tokens),
            "tasks": [_row(row) for row in gate.rows],
            "month": gate.month or None,
            "budgets": [_budget(row) for row in gate.budgets],
            "notes": list(gate.notes),
        }
    )


def _interval(interval: Interval | None) -> dict[str, float | None] | None:
    if interval is None:
        return None
    return {"ratio": _number(interval.value), "low": _number(interval.low), "high": _number(interval.high)}


def _number(value: float | None) -> float | None:
    """Eight digits: more of a statistic would differ between mathematical libraries; null where there is no bound."""
    return None if value is None or math.isinf(value) else float(f"{value:.8g}")


def _side(side: SideLabel | None) -> dict[str, Any] | None:
    if side is None:
        return None
    start, end = side.window.start, side.window.end
    return {
        "name": side.name,
        "from": start and start.isoformat(),
        "to": end and end.isoformat(),
        "tz": side.window.tz,
        "calls": side.calls,
        "coverage": side.coverage,
    }


def _row(row: TaskVerdict) -> dict[str, Any]:
    return {
        "task": row.task,
        "verdict": row.verdict.value,
        "why": row.why,
        "accepted": row.accepted,
        "paired": row.paired,
        "base_units": row.units[0],
        "head_units": row.units[1],
        "base_left_out": row.left_out[0],
        "head_left_out": row.left_out[1],
        "base_usd": None if row.unit_usd[0] is None else money.exact(row.unit_usd[0]),
        "head_usd": None if row.unit_usd[1] is None else money.exact(row.unit_usd[1]),
        "cost": _interval(row.ratio),
        "median_ratio": _number(row.median_ratio),
        "token_ratio": _number(row.token_ratio),
        "p_adjusted": _number(row.p),
        "detectable": _number(row.detectable),
        "needed": row.needed,
        "month_units": _number(row.month_units),
        "month_usd": None if row.month_usd is None else money.exact(row.month_usd),
        "prompt": _gate.prompt(row.prompt) or None,
        "prompt_change": _prompt(row.prompt),
        "advice": row.advice or None,
        "bridge": _bridge.machine(row.bridge),
    }


def _prompt(found: PromptChange | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "position": found.position,
        "before_tokens": found.before_tokens,
        "after_tokens": found.after_tokens,
        "share": _number(found.share),
        "behind_tokens": found.behind_tokens,
        "tools": found.tools,
    }


def _budget(row: BudgetVerdict) -> dict[str, Any]:
    return {
        "budget": row.name,
        "subject": dict(row.subject),
        "verdict": row.verdict.value,
        "why": row.why,
        "accepted": row.accepted,
        "limit_usd": money.exact(row.limit_usd),
        "of": row.of,
        "over": row.over,
        "worst": row.worst or None,
        "worst_usd": None if row.worst_usd is None else money.exact(row.worst_usd),
        "beyond_usd": money.exact(row.beyond_usd),
    }
