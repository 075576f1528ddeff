"""The plan for scale for machines, and its forecast as the monthly review has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from costaudit.plan import Growth, Plan, Way
from costaudit.report import View
from costaudit.report import _money as money
from costaudit.report.json import document, rows
from costaudit.stats import Outlook
from costaudit.stats.forecast import RATE

SCHEMA = "costaudit.forecast/1"


def machine(plan: Plan, _view: View) -> str:
    """Schema `costaudit.forecast/1`."""
    window, base = plan.window, plan.base
    return document(
        {
            "schema": SCHEMA,
            "window": _span(window.start, window.end, window.tz),
            "base": {**_span(base.start, base.end, base.tz), "days": plan.days},
            "prices": {"as_of": plan.prices.as_of.isoformat(), "book_sha256": plan.prices.book_sha256},
            "coverage": plan.coverage.share,
            "growth_by": plan.by,
            "outlook": outlook(plan.outlook),
            "history": rows(plan.history),
            "ahead": [
                {
                    "from": week.start.isoformat(),
                    "to": week.end.isoformat(),
                    "usd": week.usd.value,
                    "low_usd": week.usd.low,
                    "high_usd": week.usd.high,
                    "last_week_again_usd": week.naive_usd,
                }
                for week in plan.ahead
            ],
            "growth": [_growth(g) for g in plan.growth],
            "tenants": rows(plan.tenants),
            "limits": None if plan.limits is None else rows(plan.limits),
            "way": None if plan.way is None else _way(plan.way),
            "notes": list(plan.notes),
        }
    )


def outlook(found: Outlook) -> dict[str, Any]:
    """For machines."""
    tests = found.backtest
    return {
        "kind": found.kind,
        "history_to": found.last.isoformat(),
        "days": found.days,
        "weeks": found.weeks,
        "growth_per_week": None if found.kind == RATE else found.growth,
        "interval": found.level,
        "widened": found.widened,
        "backtest": tests
        and {
            "origins": tests.origins,
            "weeks_ahead": tests.weeks,
            "hits": tests.hits,
            "hit_rate": tests.hit_rate,
            "error": tests.error,
            "last_week_again_error": tests.naive_error,
        },
    }


def _span(start: Any, end: Any, tz: str) -> dict[str, Any]:
    return {"from": start and start.isoformat(), "to": end and end.isoformat(), "tz": tz}


def _growth(growth: Growth) -> dict[str, Any]:
    return {
        "factor": growth.factor,
        "now_usd": money.exact(growth.now_usd),
        "then_usd": money.exact(growth.then_usd),
        "low_usd": money.exact(growth.low_usd),
        "high_usd": money.exact(growth.high_usd),
        "drivers": [
            {
                "driver": d.name,
                "usd": money.exact(d.usd),
                "low_usd": money.exact(d.low_usd),
                "high_usd": money.exact(d.high_usd),
            }
            for d in growth.drivers
        ],
        "tenants": rows(growth.tenants),
        "over_step": growth.over_step and {"now": growth.over_step[0], "then": growth.over_step[1]},
        "notes": list(growth.notes),
    }


def _way(way: Way) -> dict[str, Any]:
    steps: Sequence[dict[str, Any]] = [
        {**step._asdict(), "saves_usd": money.exact(step.saves_usd)} for step in way.steps
    ]
    return {
        "target_usd": money.exact(way.target_usd),
        "growth": way.factor,
        "before_usd": money.exact(way.before_usd),
        "after_usd": money.exact(way.after_usd),
        "reached": way.reached,
        "sets_tried": way.tried,
        "steps": list(steps),
    }
