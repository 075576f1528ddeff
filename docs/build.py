"""Writes the documents that can be derived from the code; `tests/test_docs.py` holds them to it.

python docs/build.py
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from costaudit import schema
from costaudit.analyze import analyzers
from costaudit.ingest import formats
from costaudit.report._dials import of_levers

HERE = Path(__file__).parent
NOTE = "<!-- Written by docs/build.py; change the code, then run it. -->\n"


def type_name(dtype: Any) -> str:
    """A column type as Parquet users know it."""
    if isinstance(dtype, pl.List):
        return f"list of {type_name(dtype.inner)}"
    if isinstance(dtype, pl.Struct):
        return "{" + ", ".join(f"{f.name}: {type_name(f.dtype)}" for f in dtype.fields) + "}"
    if isinstance(dtype, pl.Datetime):
        return "timestamp (µs, UTC)"
    if isinstance(dtype, pl.Decimal):
        return f"decimal({dtype.precision}, {dtype.scale})"
    return str(dtype).lower()


def schema_page() -> str:
    lines = ["# The request table", "", inspect.getdoc(schema) or ""]
    group = ""
    for column in (*schema.REQUEST, *schema.PRICED):
        if column.group != group:
            group = column.group
            lines += [
                "",
                f"## {group}",
                "",
                "| column | type | unit | meaning | OpenTelemetry |",
                "| --- | --- | --- | --- | --- |",
            ]
        otel = f"`{column.otel}`" if column.otel else ""
        lines.append(f"| `{column.name}` | {type_name(column.dtype)} | {column.unit} | {column.meaning} | {otel} |")
    return "\n".join(lines) + "\n"


def formats_page() -> str:
    lines = [
        "# Log formats",
        "",
        "Formats are recognised by content, never by a file's name; one folder may mix them, compressed or not",
        "(gzip, zstd, bzip2, xz). Text that loggers and containers put before an object is left out; of an HTTP",
        "archive (HAR) requests and answers are read, headers are not. `costaudit doctor PATH` says how a file of",
        "yours is read.",
    ]
    for form in formats():
        lines += ["", f"## {form.name}", "", f"*{form.title}*", "", inspect.getdoc(form) or ""]
    return "\n".join(lines) + "\n"


def analyzers_page() -> str:
    lines = [
        "# Analyzers",
        "",
        "What each rule finds, why it costs money, and what to do. `costaudit explain RULE` prints the same page.",
    ]
    for rule in analyzers():
        page = (inspect.getdoc(rule) or "").replace("\n## ", "\n### ")
        lines += ["", f"## {rule.name}", "", page]
        if named := of_levers(rule.levers):
            lines += ["", "### What it is called", "", *(f"- {said}" for said in named)]
        if rule.options():
            lines += ["", "### Options", "", "| option | default | unit | meaning |", "| --- | --- | --- | --- |"]
            for option in rule.options():
                lines.append(f"| `{option.name}` | {usual(option.default)} | {option.unit} | {option.meaning} |")
    return "\n".join(lines) + "\n"


def usual(default: Any) -> str:
    """A default as a settings file would write it."""
    if isinstance(default, bool):
        return "true" if default else "false"
    if isinstance(default, tuple | dict):
        return f"[{', '.join(map(str, default))}]" if isinstance(default, tuple) and default else "none"
    return str(default)


PAGES: dict[str, Callable[[], str]] = {
    "schema.md": schema_page,
    "formats.md": formats_page,
    "analyzers.md": analyzers_page,
}


def page(name: str) -> str:
    """The text of one derived document."""
    return NOTE + "\n" + PAGES[name]()


if __name__ == "__main__":
    for name in PAGES:
        (HERE / name).write_text(page(name), encoding="utf-8")
