"""The answer of `reconcile` as a page: the gap as a waterfall of its causes, by model and time, and what to do."""

from __future__ import annotations

from costaudit.reconciliation import Reconciliation
from costaudit.report import View, _reconcile, _svg
from costaudit.report import _money as money
from costaudit.report._chart_waterfall import Effect, waterfall
from costaudit.report._html import document, facts, grid, remarks, section


def render(said: Reconciliation, _view: View) -> str:
    """A whole HTML document."""
    parts = [_svg.patterns()]
    for number, (title, heads, cells) in enumerate(_reconcile.tables(said)):
        words = [head in ("cause", "model", "from", "mostly") for head in heads]
        drawn = _gap(said) if said.causes and not number else ""
        parts.append(section(f"table-{number}", title, [drawn, grid(title, heads, cells, words)]))
    advice = [f"{cause.value}: {_reconcile.NEXT[cause]}" for cause, _ in _reconcile.ranked(said)]
    parts.append(section("next", "What to do", [remarks(advice)]))
    return document(_reconcile.headline(said), parts, lead=[facts(_reconcile.facts(said))])


def _gap(said: Reconciliation) -> str:
    start = Effect("logs", said.logs_usd, money.usd(said.logs_usd))
    end = Effect("export", said.export_usd, money.usd(said.export_usd))
    bars = [Effect(cause.value, usd, _reconcile.signed(usd)) for cause, usd in _reconcile.ranked(said)]
    return waterfall("From the logs to the export", start, bars, end)
