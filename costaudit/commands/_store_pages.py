"""What `costaudit store` prints."""

from __future__ import annotations

import json as _json
from decimal import Decimal

import polars as pl

from costaudit.commands._price_pages import fitted, table
from costaudit.ingest._store_check import Info, Verified
from costaudit.price.exact import sum_usd
from costaudit.price.sums import added, quantile
from costaudit.report import _money as money
from costaudit.report._layout import Column
from costaudit.report._text import clean
from costaudit.schema import VERSION

MODELS = 10  # rows of the table by model; the rest is one row
HEADS = {"spend": 0, "requests": 0, "input": 2, "output": 1, "p50": 4, "p95": 3}  # and which give way first
UNITS = ("B", "kB", "MB", "GB", "TB")


def info(known: Info, columns: int) -> str:
    """Months, sources, and what the sums of the parts say without a row being read."""
    requests = sum(month.requests for month in known.months)
    parts = sum(month.parts for month in known.months)
    lines = [
        f"{clean(known.path)}: {money.plural(requests, 'request')}, {money.plural(len(known.months), 'month')}, "
        f"{money.plural(parts, 'part')}, {size(known.size)}, schema {VERSION}",
        "",
    ]
    rows = []
    spent = _by_month(known.sums)
    for month in known.months:
        span = f"{month.first:%Y-%m-%d} to {month.last:%Y-%m-%d}" if month.first and month.last else money.NONE
        cost = money.usd(spent.get(month.month)) if known.sums is not None else money.NONE
        rows.append((month.month, span, cost, f"{month.requests:,}", f"{month.parts:,}", size(month.size)))
    lines += [table(("month", "days", "spend", "requests", "parts", "size"), rows, left=2), ""]
    if known.sums is None:
        lines += ["spend unknown: sums are missing, or of other prices; `costaudit store compact` writes them", ""]
    else:
        lines += [_models(known.sums, columns), ""]
    files = [(clean(form), f"{number:,}", f"{calls:,}") for form, number, calls in known.sources.iter_rows()]
    lines.append(table(("format", "files", "requests"), files))
    return "\n".join(line.rstrip("\n") for line in lines).rstrip() + "\n"


def _by_month(sums: pl.DataFrame | None) -> dict[str, Decimal]:
    if sums is None:
        return {}
    month = pl.col("day").dt.strftime("%Y-%m").fill_null("undated").alias("month")
    return dict(added(sums.with_columns(month), "month").select("month", "cost_usd").iter_rows())


def _models(sums: pl.DataFrame, columns: int) -> str:
    rows = []
    by_model = added(sums, "provider", "model")
    for row in by_model.head(MODELS).iter_rows(named=True):
        own = sums.filter(pl.col("provider").eq_missing(row["provider"]) & pl.col("model").eq_missing(row["model"]))
        known = row["requests"] > row["unpriced"]
        rows.append(
            (
                clean(f"{row['provider'] or '(no provider)'}:{row['model'] or '(no model)'}"),
                money.usd(row["cost_usd"]) if known else "no price",
                f"{row['requests']:,}",
                money.tokens(row["input_tokens"]),
                money.tokens(row["output_tokens"]),
                _about(quantile(own, 0.5)),
                _about(quantile(own, 0.95)),
            )
        )
    rest = by_model.slice(MODELS)
    if rest.height:
        sum_of = {name: int(rest[name].sum()) for name in ("requests", "input_tokens", "output_tokens")}
        rows.append(
            (f"{rest.height} more", money.usd(sum_usd(rest["cost_usd"])), f"{sum_of['requests']:,}",
             money.tokens(sum_of["input_tokens"]), money.tokens(sum_of["output_tokens"]), "", "")
        )  # fmt: skip
    heads = [Column(name, rank=rank) for name, rank in HEADS.items()]
    return fitted([Column("model", right=False, flexible=True, least=16, most=columns), *heads], rows, columns)


def _about(amount: Decimal | None) -> str:
    """A quantile of bins: two digits are more than it knows."""
    return money.NONE if amount is None else f"~${float(f'{amount:.2g}'):g}"


def size(number: int) -> str:
    """`640 B`, `1.2 MB`."""
    amount = float(number)
    for unit in UNITS:
        if amount < 1000 or unit == UNITS[-1]:
            break
        amount /= 1000
    return f"{number:,} {unit}" if unit == "B" else f"{amount:.1f} {unit}"


def json(known: Info) -> str:
    """The same for machines; dollars are decimal strings, absent is null."""
    spent = _by_month(known.sums)
    document = {
        "schema": "costaudit.store/1",
        "path": known.path,
        "request_schema": VERSION,
        "bytes": known.size,
        "months": [
            {
                "month": m.month,
                "requests": m.requests,
                "rollups": m.restated,
                "parts": m.parts,
                "bytes": m.size,
                "from": m.first.isoformat() if m.first else None,
                "to": m.last.isoformat() if m.last else None,
                "cost_usd": money.exact(spent[m.month]) if m.month in spent else None,
            }
            for m in known.months
        ],
        "sources": known.sources.to_dicts(),
    }
    return _json.dumps(document, indent=2) + "\n"


def verified(found: Verified) -> str:
    """One line for each thing that is wrong, or one that says that nothing is."""
    said = f"{clean(found.path)}: {money.plural(found.parts, 'part')}, {money.plural(found.rows, 'row')}"
    if not found.problems:
        return f"{said}: whole\n"
    lines = [f"{said}: {money.plural(len(found.problems), 'problem')}", *(f"  {clean(p)}" for p in found.problems)]
    return "\n".join([*lines, "  restore these files from a backup, or ingest the logs again into a new folder"]) + "\n"
