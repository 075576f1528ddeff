"""A settings file to begin with: what the logs call for is proposed, everything else is named with its default.

A proposal is commented with a bare `#`: without it the line, its indentation included, is valid; prose begins with
`# `. Names from logs are written as JSON strings, which YAML reads as they stand and nothing in them can end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import ROUND_UP, Decimal

import polars as pl

from costaudit.audit import Audit
from costaudit.price.spend import NO_TASK, NO_TENANT
from costaudit.report import _money as money
from costaudit.report._text import clean, printable_yaml

TASKS = 12  # named in the file, the dearest
KEY = 1_000  # characters; YAML ends a key at 1,024
ROOM = Decimal("1.2")  # a proposed budget over the mean month so far


def proposal(audit: Audit, *, tz: str) -> str:
    """The text of a costaudit.yaml for these logs."""
    parts = [
        [
            "# Settings of costaudit: found from this folder and all below it; flags win over them.",
            "# Proposed by `costaudit init` from the logs. Remove the # of a line to put it in force.",
            "",
            f"tz: {tz}  # zone of days, months and windows",
            "#fail_on: high  # exit 1 for findings of this severity or above: low, medium, high",
            "#min_coverage: 0.8  # share of the log that must have a price",
            "#floor_usd: 1  # findings under this, or under 0.5 % of spend, are only counted",
        ],
        list(_tasks(audit)),
        list(_tenants(audit)),
        list(_prices(audit)),
        list(_budgets(audit)),
        [
            "# Outcomes tell which model does a task reliably: run_id or request_id, success, score.",
            "#outcomes: outcomes.csv",
        ],
        [
            "# Thresholds of the rules: `costaudit explain RULE` names them with their defaults.",
            "#rules:",
            "#  runaway-loop:",
            "#    repetitions: 3",
        ],
        [
            "# What you accept, with owner, reason and end; it speaks again when it expires or costs more.",
            "#suppressions:",
            "#  - rule: runaway-loop",
            "#    subject: {task: nightly}",
            "#    owner: someone",
            "#    reason: a known retry, fixed in the next release",
            f"#    until: {audit.prices.as_of:%Y-%m-%d}",
            "#    max_usd: 10",
        ],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _tasks(audit: Audit) -> Iterator[str]:
    names = [row["task"] for row in audit.spend.by_task.iter_rows(named=True) if row["requests"]]
    yield "# Tasks, the dearest first. Give a name of your own on the right; equal names are merged."
    yield from _renamed("tasks", [name for name in names if name != NO_TASK][:TASKS])
    yield "# Rules instead of names: `tasks: [{match: {key_id: ci-*}, task: nightly}]`, the first that matches decides."


def _renamed(section: str, names: Sequence[str]) -> Iterator[str]:
    written = [name for name in map(printable_yaml, names) if len(name) <= KEY]
    if written:
        yield f"#{section}:"
    for name in written:
        yield f"#  {name}: {name}"


def _tenants(audit: Audit) -> Iterator[str]:
    if audit.spend.by_tenant.filter(pl.col("tenant") != NO_TENANT).height:
        return
    yield "# No tenant is named in these logs. Whoever the call was for may stand in another field:"
    yield "#tenants:"
    yield '#  - {match: {user: "acme-*"}, tenant: acme}'


def _prices(audit: Audit) -> Iterator[str]:
    entries = audit.coverage.unpriced["entry"].to_list()
    if not entries:
        return
    yield "# Models without a price: dollars per million tokens, or rates of 0 for what costs nothing."
    yield "#prices:"
    for entry in entries:
        for text in str(entry).splitlines():
            yield f"#  {clean(text)}"


def _budgets(audit: Audit) -> Iterator[str]:
    window = audit.window
    if window.start is None or window.end is None or not audit.spend.total_usd:
        return
    days = Decimal(max(1, (window.end - window.start).days))
    mean = audit.spend.total_usd / days * Decimal("30.4375")  # 365.25 / 12
    step = Decimal(10) ** max(0, mean.adjusted() - 1)
    limit = (mean * ROOM / step).quantize(Decimal(1), rounding=ROUND_UP) * step
    yield f"# Budgets; a month so far costs about {money.headline(mean)}. Scopes: task, tenant, model, user, key_id …"
    yield "#budgets:"
    yield f"#  - {{usd: {money.exact(limit)}, per: month}}"
