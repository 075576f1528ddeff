"""A request and its text, as its log has them. The only pages with text of prompts, and only when asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from costaudit.prompts import Difference, Parting, Place
from costaudit.report import _money as money
from costaudit.report._text import clean
from costaudit.report.json import value

FACTS = (
    *("format", "started_at", "ended_at", "run_id", "step", "attempt", "task", "tenant", "user", "provider"),
    *("model_requested", "model", "service_tier", "region", "status", "http_status", "error_type", "finish_reason"),
    *("usage_source", "convention", "trust", "price_entry", "tool_name", "score", "success"),
)
CELL = 2_000  # characters of one text; a prompt of a megabyte helps nobody on a screen

# What a text that changes from call to call looks like.
CLASSES = (
    ("an id", re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{16,}\b", re.I)),
    (
        "a time",
        re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?|\d\d?:\d\d(:\d\d)?|\b1[5-9]\d{8}(\d{3})?\b"),
    ),
    ("a number", re.compile(r"\d+")),
)


def facts(row: Mapping[str, Any]) -> str:
    """What is known of a call beside its bill: only what the log says."""
    known = [(name, value(row[name])) for name in FACTS if row.get(name) is not None]
    place = f"{row['source_file']}:{row['source_line']}"
    lines = [f"request {clean(str(row['request_id']))}", "", f"  {'source':<16}  {clean(place)}"]
    lines += [f"  {name:<16}  {clean(str(what))}" for name, what in known]
    return "\n".join(lines) + "\n"


def record(found: Mapping[str, Any]) -> str:
    """The record as it stands in the log, indented; every text cleaned, long ones cut with their length."""
    text = json.dumps(_shown(found), indent=2, ensure_ascii=False, default=str)
    return "\n".join(f"  {clean(line)}" for line in text.splitlines()) + "\n"


def _shown(given: Any, depth: int = 0) -> Any:
    if depth > 40:
        return "…"
    match given:
        case str() if len(given) > CELL:
            return f"{given[:CELL]}… ({len(given):,} characters)"
        case Mapping():
            return {str(name): _shown(v, depth + 1) for name, v in given.items()}
        case list() | tuple():
            return [_shown(v, depth + 1) for v in given]
        case _:
            return given


def parting(found: Parting | None, characters: Difference | None, *, asked: bool) -> str:
    """Where the prompts of neighbouring calls part; with the log's own text, the characters."""
    if found is None:
        return "\nPrompts\n  no two neighbours part: no prompt blocks, or every prompt continues the one before\n"
    behind = "" if found.tokens_behind is None else f", {money.tokens(found.tokens_behind)} tokens from there on"
    lines = [
        "",
        "Prompts",
        f"  {found.calls:,} of {found.of:,} neighbours part first at block {found.block} (of {found.blocks}){behind}",
        f"  for example  {_named(found.before)}",
        f"  and          {_named(found.after)}",
    ]
    if characters is not None:
        lines += [
            f"  they part at character {characters.character:,} of {clean(characters.place)}: {kind(characters)}",
            f"    before  {clean(characters.before)}",
            f"    after   {clean(characters.after)}",
        ]
    elif asked:
        lines.append("  the two records hold the same prompt text, or none")
    else:
        lines.append("  --text opens both in their logs and shows the characters")
    return "\n".join(lines) + "\n"


def kind(found: Difference) -> str:
    """What it looks like that changed: a time, an id, a number, the order of things, or text."""
    if ".tools[" in f".{found.place}" or found.place.startswith("tools"):
        return "the tools differ, or their order"
    at = found.character - 1 - found.starts
    for word, pattern in CLASSES:
        if all(any(m.start() <= at < m.end() for m in pattern.finditer(side)) for side in (found.before, found.after)):
            return f"{word} changes"
    return "the text differs"


def _named(place: Place) -> str:
    where = f"{place.source_file}:{place.source_line}"
    return clean(f"{place.request_id} at {where}" if place.request_id else where)
