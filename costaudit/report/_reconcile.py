"""The answer of `reconcile`, for a terminal, a document and a machine."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import polars as pl

from costaudit.reconciliation import Cause, Reconciliation
from costaudit.report import View, _words
from costaudit.report import _money as money
from costaudit.report._layout import EMPTY, Column, Line, paint, paragraph, strong, table
from costaudit.report.json import document, rows, span
from costaudit.report.markdown import grid, text

SCHEMA = "costaudit.reconciliation/1"
CLOSE = 0.005  # of the export; a smaller gap is called none
ROWS = 12  # of a table; the rest in one line

NEXT = {
    Cause.MISSING: "log the hours and models below, or find who else uses the account: these logs lack calls",
    Cause.EXTRA: "check that the export covers every project, workspace and key of these logs, and ends where they do",
    Cause.TOKENS: "look at how these logs count tokens: `costaudit doctor` shows the convention of each source",
    Cause.CACHE: "let the logs keep cached and written tokens: `costaudit doctor` says which sources lack them",
    Cause.TIER: "let the logs keep the tier that served (batch, flex, priority), or give it under `prices:`",
    Cause.TOOLS: "log searches, sessions and other tools that are billed beside tokens",
    Cause.DISCOUNT: "put your contract's rates under `prices:` in costaudit.yaml, and every report is right",
    Cause.REST: "export usage by model, tier and batch too: it tells these dollars apart",
}


def terminal(said: Reconciliation, view: View) -> str:
    """One sentence, what was compared, the gap by cause, model and time, and what to do about the causes."""
    columns = view.columns
    first, *rest = paragraph(headline(said), columns)
    lines: list[Line] = [strong("".join(span.text for span in first)), *rest, EMPTY]
    for label, words in facts(said):
        lines += paragraph(words, columns, first=f"  {label:<9}  ")
    for title, heads, cells in tables(said):
        lines += [EMPTY, strong(title)]
        lines += table([Column(heads[0], right=False, flexible=True, most=48), *map(Column, heads[1:])], cells, columns)
    if said.causes:
        lines += [EMPTY, strong("What to do")]
        for cause, _ in ranked(said):
            lines += paragraph(NEXT[cause], columns, first=f"  {cause.value}: ", rest="    ")
    return paint(lines, color=view.color)


def markdown(said: Reconciliation, _view: View) -> str:
    """The same as a document."""
    parts = [f"**{text(headline(said))}**", "\n".join(f"- {label}: {text(words)}" for label, words in facts(said))]
    for title, heads, cells in tables(said):
        parts += [f"### {title}", grid(heads, [[text(cell) for cell in row] for row in cells], left=1)]
    parts.append("\n".join(f"- {cause.value}: {text(NEXT[cause])}" for cause, _ in ranked(said)))
    return "\n\n".join(part for part in parts if part) + "\n"


def json(said: Reconciliation, _view: View) -> str:
    """Schema `costaudit.reconciliation/1`: every cell, exact dollars; causes add up to the gap."""
    return document(machine(said))


def machine(said: Reconciliation) -> dict[str, Any]:
    """The members of that document."""
    return {
        "schema": SCHEMA,
        "window": span(said.window),
        "prices": {"as_of": said.prices.as_of.isoformat(), "book_sha256": said.prices.book_sha256},
        "exports": list(said.exports),
        "export_states_dollars": said.billed,
        "logs_usd": money.exact(said.logs_usd),
        "export_usd": money.exact(said.export_usd),
        "gap_usd": money.exact(said.gap_usd),
        "gap": said.gap,
        "causes": [{"cause": cause.value, "usd": money.exact(usd)} for cause, usd in said.causes],
        "calls_outside": said.outside,
        "calls_without_price": said.unpriced_calls,
        "buckets_without_price": said.unpriced_buckets,
        "notes": list(said.notes),
        "cells": rows(said.cells),
    }


def headline(said: Reconciliation) -> str:
    """Who says what, how far apart that is, and the largest cause."""
    export = "The bill says" if said.billed else "The export is worth"
    start = f"{export} {money.usd(said.export_usd)}, the logs {money.usd(said.logs_usd)}: "
    if not said.gap_usd:
        return f"{start}equal to the last digit."
    share = money.percent(abs(said.gap), 1) if said.gap is not None else "all"
    if said.gap is not None and abs(said.gap) < CLOSE and not said.unpriced_buckets:
        return f"{start}they agree to {money.usd(abs(said.gap_usd))} ({share})."
    side = "is not in the logs" if said.gap_usd > 0 else "more is in the logs"
    cause, usd = ranked(said)[0]
    return f"{start}{money.usd(abs(said.gap_usd))} ({share}) {side}, mostly {cause.value} ({signed(usd)})."


def facts(said: Reconciliation) -> list[tuple[str, str]]:
    """What was compared, and what stands on neither side."""
    said_of = [
        ("exports", ", ".join(said.exports)),
        ("window", _words.window(said.window)),
        ("prices", _words.book(said.prices)),
    ]
    if said.outside:
        said_of.append(
            (
                "outside",
                f"{money.plural(said.outside, 'call')} of the logs outside the time or the providers of the exports",
            )
        )
    if said.unpriced_calls:
        said_of.append(
            (
                "no price",
                f"{money.plural(said.unpriced_calls, 'call')} of the logs without a known price, on neither side",
            )
        )
    return said_of + [("note", note) for note in said.notes]


def ranked(said: Reconciliation) -> list[tuple[Cause, Decimal]]:
    """The causes, the largest first."""
    return sorted(said.causes, key=lambda pair: (-abs(pair[1]), list(Cause).index(pair[0])))


def tables(said: Reconciliation) -> list[tuple[str, Sequence[str], list[list[str]]]]:
    """Title, heads and rows: the gap by cause, by model and by time."""
    found: list[tuple[str, Sequence[str], list[list[str]]]] = []
    if said.causes:
        cells = [
            [cause.value, signed(usd), money.percent(money.of(abs(usd), said.export_usd), 1)]
            for cause, usd in ranked(said)
        ]
        cells.append(["gap", signed(said.gap_usd), money.percent(None if said.gap is None else abs(said.gap), 1)])
        found.append(("Why they differ", ("cause", "effect", "of the export"), cells))
    heads = ("calls: logs", "export", "cost: logs", "export", "gap", "mostly")
    found.append(("By model", ("model", *heads), _gaps(said.by("model"), lambda row: row["model"])))
    zone = _words.zone(said.window)
    spans = said.by("start", "end").filter(pl.col("export_usd") != pl.col("logs_usd"))
    if spans.height > 1 or said.cells["start"].n_unique() > 1:
        found.append(
            ("By time, the largest gaps first", ("from", *heads), _gaps(spans, lambda row: _from(row["start"], zone)))
        )
    return [(title, heads, cells) for title, heads, cells in found if cells]


def _from(start: datetime | None, zone: Any) -> str:
    return "no date" if start is None else money.moment(start, zone)


def _gaps(frame: pl.DataFrame, name: Any) -> list[list[str]]:
    cells = []
    for row in frame.head(ROWS).iter_rows(named=True):
        causes = {cause: row[cause.value] for cause in Cause if row[cause.value]}
        mostly = max(causes, key=lambda cause: abs(causes[cause])).value if causes else money.NONE
        counts = [money.count(row[key]) if row[key] else money.NONE for key in ("logs_calls", "export_calls")]
        cells.append(
            [
                name(row),
                *counts,
                *(money.usd(row[key]) for key in ("logs_usd", "export_usd")),
                signed(row["export_usd"] - row["logs_usd"]),
                mostly,
            ]
        )
    rest = frame.slice(ROWS)
    if rest.height:
        sums: list[Any] = [rest[key].sum() for key in ("logs_calls", "export_calls")]
        usd: list[Any] = [rest[key].sum() for key in ("logs_usd", "export_usd")]
        cells.append(
            [f"{rest.height} more", *map(money.count, sums), *map(money.usd, usd), signed(usd[1] - usd[0]), ""]
        )
    return cells


def signed(usd: Decimal) -> str:
    """`+$12.00`: the export says more."""
    return f"+{money.usd(usd)}" if usd > 0 else money.usd(usd)
