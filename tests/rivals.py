"""Logs of two models on the same work, and what the rule of overpowered models says of them."""

from __future__ import annotations

from typing import Any

from costaudit.finding import Finding, Grade
from tests.ledgers import ask, at

Row = dict[str, Any]
RULE = "overpowered-model"
UNPROVEN = {Grade.EXPERIMENT, Grade.NO_EVIDENCE}


def call(nth: int, model: str, success: bool | None = True, **columns: Any) -> Row:
    """A call of task `triage`, ten minutes after the one before, with an answer too long to be a label."""
    tokens = {"input_tokens": 1_000, "output_tokens": 300}
    return {"model": model, "task": "triage", "success": success, "started_at": at(600 * nth)} | tokens | columns


def said(rows: list[Row], **options: Any) -> list[Finding]:
    return [f for f in ask(RULE, rows, **options).findings if f.rule == RULE]


def only(rows: list[Row], **options: Any) -> Finding:
    (finding,) = said(rows, **options)
    return finding


def pairs(n: int, *, worse: int = 0, better: int = 0, **columns: Any) -> list[Row]:
    """n requests answered by both models; `small` fails where `big` does not `worse` times, and the reverse."""
    rows = []
    for nth in range(n):
        for model in ("big", "small"):
            failed = nth < worse if model == "small" else worse <= nth < worse + better
            rows.append(call(nth, model, not failed, request_sha=nth + 1, **columns))
    return rows
