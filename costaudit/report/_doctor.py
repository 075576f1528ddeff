"""What is wrong with logs, file by file, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import polars as pl
from msgspec.structs import replace

from costaudit.audit import Coverage, Fates
from costaudit.finding import NotChecked
from costaudit.report import View, _words
from costaudit.report import _money as money
from costaudit.report._layout import EMPTY, Line, items, line, paint, paragraph, strong
from costaudit.report.json import document, rows

LINES = 5  # of one reason, named in a report
FILES = 40  # shown one by one on a terminal; more are shown by folder and format


class Wanted(NamedTuple):
    """Something that a log may say about a call: where it is kept, what it serves, how to log it."""

    name: str
    columns: tuple[str, ...]
    serves: str
    advice: str


WANTED = (
    Wanted(
        "usage",
        ("input_tokens",),
        "the total itself",
        "log the `usage` object of every response; for streams, ask for it",
    ),
    Wanted("time", ("started_at",), "windows, days, trends, caches", "log when the call was sent, with its offset"),
    Wanted("model", ("model",), "prices", "log the model that answered, as the response names it"),
    Wanted(
        "task",
        ("task",),
        "spend and advice per task",
        "put a task name into metadata, tags or the span; or --tasks FILE",
    ),
    Wanted("run", ("run_id",), "loops, ceilings, cost per unit", "give all calls of one agent execution the same id"),
    Wanted("tenant", ("tenant",), "spend and margins per customer", "log the customer in metadata or tags"),
    Wanted(
        "status", ("status", "http_status"), "failed calls, retries", "log failed calls too, with their HTTP status"
    ),
    Wanted("finish reason", ("finish_reason",), "cut answers, finished runs", "log the finish reason of the response"),
    Wanted(
        "cache counts",
        ("cache_read_tokens",),
        "what caching saves or misses",
        "log the whole `usage`, its details included",
    ),
    Wanted(
        "prompt", ("request_sha",), "duplicates, retries, caches", "log requests beside responses; only hashes are kept"
    ),
    Wanted(
        "tool calls",
        ("tool_calls", "tool_name"),
        "loops, unused tools",
        "log the answer's tool calls with their arguments",
    ),
    Wanted(
        "tool results",
        ("tool_results", "tool_result_sha"),
        "loops told from polling",
        "log the messages that carry tool results",
    ),
    Wanted(
        "outcome", ("success", "score", "schema_ok"), "cheaper models, cost per success", "join it: --outcomes FILE"
    ),
)


class Diagnosis(msgspec.Struct, frozen=True):
    """What was read from each file, and what the rules could make of all of it.

    sources  one row a file and format, counts by fate
    rejects  source_file, source_line, format, reason
    shares   source_file, format, requests and for each wanted thing the share of requests that have it
    coverage, not_checked  of the audit; None and () where there was nothing to audit
    """

    fates: Fates
    sources: pl.DataFrame
    rejects: pl.DataFrame
    shares: pl.DataFrame
    notes: tuple[str, ...] = ()
    coverage: Coverage | None = None
    not_checked: tuple[NotChecked, ...] = ()
    problem: str = ""


def shares(requests: pl.DataFrame) -> pl.DataFrame:
    """Of each file and format, the share of requests that carry each wanted thing, 0..1."""
    there = [
        pl.any_horizontal(pl.col(column).is_not_null() for column in wanted.columns).mean().alias(wanted.name)
        for wanted in WANTED
    ]
    calls = requests.filter(~pl.col("rollup").fill_null(value=False))
    return calls.group_by("source_file", "format").agg(pl.len().alias("requests"), *there).sort("source_file", "format")


def machine(found: Diagnosis) -> str:
    """The diagnosis as JSON, schema `costaudit.doctor/1`."""
    report = {
        "schema": "costaudit.doctor/1",
        "records": {"lines": found.fates.lines, "requests": found.fates.requests},
        "sources": rows(found.sources),
        "rejects": rows(_reasons(found.rejects)),
        "fields": rows(found.shares),
        "notes": list(found.notes),
        "unpriced_models": rows(found.coverage.unpriced) if found.coverage else [],
        "not_checked": [{"rule": item.rule, "why": item.why} for item in found.not_checked],
        "problem": found.problem or None,
    }
    return document(report)


def terminal(found: Diagnosis, view: View) -> str:
    """The diagnosis for a person: each file, then what is missing everywhere and how to log it."""
    lines = [*items(_words.fates(found.fates), view.columns, joint=" "), EMPTY]
    shown = _grouped(found) if found.sources.height > FILES else found
    sources = list(shown.sources.iter_rows(named=True))
    reasons = _reasons(shown.rejects)
    for source in sources[:FILES]:
        lines += _file(source, reasons, shown.shares, view.columns)
    if len(sources) > FILES:
        lines.append(line(f"and {money.plural(len(sources) - FILES, 'more source')}: --format json has all of them"))
    for note in found.notes:
        lines += paragraph(note, view.columns, first="not read  ")
    lines += [*_missing(found.shares, view.columns), *_unpriced(found.coverage), *_blind(found, view.columns)]
    return paint(lines, color=view.color)


def _grouped(found: Diagnosis) -> Diagnosis:
    """The same by folder and format: counts add up, shares are those of all requests of the group."""
    names = found.sources.select("path", "format", _group=pl.col("path").str.replace(r"[^/]*$", ""))
    size = pl.concat_str("_group", pl.lit(": "), pl.len().over("_group", "format"), pl.lit(" files"))
    names = names.with_columns(_group=pl.when(pl.len().over("_group", "format") > 1).then(size).otherwise("path"))
    counts = [name for name, kind in found.sources.schema.items() if kind.is_integer()]
    told = [pl.col(name).drop_nulls().unique().sort().str.join(" | ") for name in ("convention", "proof")]
    sources = found.sources.join(names, on=["path", "format"], nulls_equal=True).group_by(
        pl.col("_group").alias("path"), "format"
    )
    keyed = names.rename({"path": "source_file"})
    have = found.shares.join(keyed, on=["source_file", "format"])
    rejects = found.rejects.join(keyed, on=["source_file", "format"], how="left", maintain_order="left")
    mean = [((pl.col(w.name) * pl.col("requests")).sum() / pl.col("requests").sum()).alias(w.name) for w in WANTED]
    return replace(
        found,
        sources=sources.agg(pl.col(counts).sum(), *told)
        .with_columns(pl.col("convention", "proof").replace("", None))
        .sort("path", "format"),
        shares=have.group_by(pl.col("_group").alias("source_file"), "format")
        .agg(*mean, pl.col("requests").sum())
        .sort("source_file", "format"),
        rejects=rejects.with_columns(source_file=pl.coalesce("_group", "source_file")).drop("_group"),
    )


def _reasons(rejects: pl.DataFrame) -> pl.DataFrame:
    """Rejects by file, format and reason: count and the first lines."""
    return (
        rejects.group_by("source_file", "format", "reason")
        .agg(pl.len().alias("records"), pl.col("source_line").unique().sort().head(LINES).alias("first_lines"))
        .sort("source_file", "format", "records", "reason", descending=[False, False, True, False])
    )


def _file(source: Mapping[str, Any], reasons: pl.DataFrame, have: pl.DataFrame, columns: int) -> list[Line]:
    fates = [("requests", "request", "requests"), ("duplicates", "duplicate", "duplicates")]
    fates += [("rollups", "roll-up", "roll-ups"), ("skipped", "no request by design", "no requests by design")]
    fates += [("rejects", "rejected", "rejected"), ("blank", "blank", "blank")]
    said = [money.plural(source[name], one, many) for name, one, many in fates if source.get(name)]
    form = source["format"] or "no format"
    lines = paragraph(f"{source['path']}", columns - len(form) - 2)
    lines[-1] = (*lines[-1], *line(f"  {form}"))
    lines += items(said or ["nothing"], columns, first="  records   ")
    if source.get("convention"):
        proof = f" ({source['proof']})" if source.get("proof") else ""
        lines += paragraph(f"{source['convention']}{proof}", columns, first="  counts    ")
    mine = (pl.col("source_file") == source["path"]) & (pl.col("format") == source["format"])
    for row in reasons.filter(mine).iter_rows(named=True):
        at = ", ".join(map(str, row["first_lines"])) + (" …" if row["records"] > len(row["first_lines"]) else "")
        what = f"{money.count(row['records'])} {row['reason']}, {'lines' if row['records'] > 1 else 'line'} {at}"
        lines += paragraph(what, columns, first="  rejected  ")
    for row in have.filter(mine).iter_rows(named=True):
        lacks = [
            f"{w.name} ({money.percent(row[w.name])} have it)" if row[w.name] else w.name
            for w in WANTED
            if row[w.name] < 1
        ]
        lines += items(lacks, columns, first="  lacks     ") if lacks else [line("  lacks     nothing")]
    return [*lines, EMPTY]


def _missing(have: pl.DataFrame, columns: int) -> list[Line]:
    """What at least half of all requests lack, what it would serve, and how to log it."""
    calls = int(have["requests"].sum())
    lines: list[Line] = []
    for wanted in WANTED if calls else ():
        share = float((have[wanted.name] * have["requests"]).sum()) / calls
        if share < 0.5:
            serves = f"{wanted.serves} ({money.percent(share)} of calls have it)"
            lines += paragraph(serves, columns, first=f"  {wanted.name:<13}  ")
            lines += paragraph(wanted.advice, columns, first=" " * 17 + "do  ")
    return [strong("Missing, and what it would serve"), *lines, EMPTY] if lines else []


def _unpriced(coverage: Coverage | None) -> list[Line]:
    """The price entries to complete and paste under `prices:`."""
    entries = coverage.unpriced["entry"].to_list() if coverage is not None else []
    if not entries:
        return []
    pasted = [line(f"  {text}") for entry in entries for text in entry.splitlines()]
    return [strong("No price: complete these under `prices:` in costaudit.yaml"), *pasted, EMPTY]


def _blind(found: Diagnosis, columns: int) -> list[Line]:
    """The rules that cannot look at these logs."""
    lines: list[Line] = []
    if found.problem:
        lines += paragraph(found.problem, columns, first="Not audited  ")
    if found.not_checked:
        lines.append(strong("Rules that cannot look here"))
        for rules, why in _words.silent(found.not_checked):
            lines += paragraph(f"{rules}: {why}", columns, first="  ", rest="    ")
    return lines
