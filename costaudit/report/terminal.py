"""The report for a person: verdict, trust, where it went, what to fix, what was not seen, what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

from costaudit.audit import Accepted, Audit
from costaudit.finding import ZERO, Confidence, Finding, Kind, Severity
from costaudit.report import View, _tables, _words
from costaudit.report import _money as money
from costaudit.report._dials import dials
from costaudit.report._layout import (
    EMPTY,
    Column,
    Line,
    Span,
    Style,
    bar,
    facts,
    following,
    items,
    line,
    paint,
    paragraph,
    shown_paths,
    strong,
    table,
)
from costaudit.report._tables import Row
from costaudit.report._text import clean, fit

ROWS = 8  # of a table on the first screen; the rest is one row, so that each table still adds up
MODEL_COLUMNS = ("requests", "input", "cached", "output", "thinking")
SPARSE = {"cached": 3, "thinking": 4}  # with their ranks
FINDINGS = 6  # of one kind; the rest is counted with its sum
BAR_COLUMNS = 12

_SEVERITY = {Severity.HIGH: Style.BAD, Severity.MEDIUM: Style.WARN, Severity.LOW: Style.PLAIN}


def render(audit: Audit, view: View) -> str:
    """The audit in `view.columns` columns."""
    audit = _words.localised(audit)
    sections = (
        paragraph(_words.verdict(audit), view.columns),
        facts(_words.trust(audit, _words.notes), view.columns),
        _where(audit, view),
        _fix(audit, view.columns),
        _rules(audit, view.columns, verbose=view.verbose),
        _next(audit, view.columns),
    )
    lines: list[Line] = []
    for section in sections:
        if section:
            lines += [*([EMPTY] if lines else []), *section]
    lines[0] = tuple(Span(span.text, Style.STRONG) for span in lines[0])
    return paint(lines, color=view.color)


def _where(audit: Audit, view: View) -> list[Line]:
    lines = [strong("Where it went")]
    for by in _tables.asked(audit, view):
        rows = _tables.rows(audit, by, None if view.by else ROWS)
        lines += [*([EMPTY] if len(lines) > 1 else []), *_table(by, rows, audit, view)]
    return lines if len(lines) > 1 else []


def _table(by: str, rows: Sequence[Row], audit: Audit, view: View) -> list[Line]:
    if by == "model":
        return _by_model(rows, view)
    return _by_day(rows, view) if by == "day" else _units(by, rows, audit, view)


def _of_most(row: Row, rows: Sequence[Row]) -> float | None:
    """The row's spend as a part of the dearest row's: what a bar draws, beside the share in figures."""
    return money.of(row.usd or ZERO, max(other.usd or ZERO for other in rows))


def _bars(view: View) -> bool:
    return not view.plain and view.columns >= 90


def _units(key: str, rows: Sequence[Row], audit: Audit, view: View) -> list[Line]:
    columns = [Column(key, right=False, flexible=True), Column("spend"), Column("share", optional=True, rank=2)]
    if _bars(view):
        columns.append(Column("", right=False, style=Style.FAINT))
    columns += [Column("requests"), Column("runs", optional=True, rank=3)]
    columns += [Column(money.per("request"), optional=True, rank=1), Column("p95", optional=True, rank=4)]
    cells = []
    for row in rows:
        each = row.usd / row.requests if row.usd is not None and audit.coverage.enough else None
        cell = [row.name, row.spend, money.percent(row.share)]
        if _bars(view):
            cell.append(bar(_of_most(row, rows), BAR_COLUMNS))
        cell += [money.count(row.requests), money.count(row.rest["runs"] or None), money.usd(each)]
        cells.append([*cell, money.usd(row.rest.get("p95_usd"))])
    return table(columns, cells, view.columns)


def _by_model(rows: Sequence[Row], view: View) -> list[Line]:
    columns = [
        Column("model", right=False, flexible=True),
        Column("spend"),
        Column("share", optional=True, rank=2),
        *((Column("", right=False, style=Style.FAINT, rank=5),) if _bars(view) else ()),
        *(Column(head, optional=head in SPARSE, rank=SPARSE.get(head, 0)) for head in MODEL_COLUMNS),
    ]
    cells = []
    for row in rows:
        tokens = row.rest
        cached = tokens["cache_read_tokens"] / tokens["input_tokens"] if tokens["input_tokens"] else None
        cells.append(
            [
                row.name,
                row.spend,
                money.percent(row.share),
                *((bar(_of_most(row, rows), BAR_COLUMNS),) if _bars(view) else ()),
                money.count(row.requests),
                money.tokens(tokens["input_tokens"]),
                money.percent(cached or None),
                money.tokens(tokens["output_tokens"]),
                money.tokens(tokens["reasoning_tokens"] or None),
            ]
        )
    return table(columns, cells, view.columns)


def _by_day(rows: Sequence[Row], view: View) -> list[Line]:
    columns = [Column("day", right=False), Column("spend"), Column("requests")]
    if not view.plain:
        columns.append(Column("", right=False, style=Style.FAINT))
    cells = [
        [
            row.name,
            row.spend,
            money.count(row.requests),
            *((bar(_of_most(row, rows), 3 * BAR_COLUMNS),) if not view.plain else ()),
        ]
        for row in rows
    ]
    return table(columns, cells, view.columns)


def _fix(audit: Audit, columns: int) -> list[Line]:
    groups = _words.claimed(audit)
    lines: list[Line] = []
    for title, kinds in (
        ("What to fix, each dollar counted once", (Kind.WASTE, Kind.DECIDE)),
        ("Beside it, in none of these sums", (Kind.EXCESS, Kind.EXPOSURE)),
    ):
        part = [group for group in groups if group[0] in kinds]
        if part:
            lines += [*([EMPTY] if lines else []), strong(title)]
        for number, (kind, findings, total) in enumerate(part):
            lines += [EMPTY] if number else []
            lines += _group(audit, kind, findings, total, columns)
    if silent := _words.unclaimed(audit):
        lines += [*([EMPTY] if lines else []), *_unclaimed(silent, columns)]
    return lines


def _unclaimed(findings: Sequence[Finding], columns: int) -> Iterator[Line]:
    yield strong(_words.UNCLAIMED)
    for finding in findings[:FINDINGS]:
        yield from paragraph(f"{finding.title} ({finding.rule}, {finding.id})", columns, first="  ")
        yield from paragraph(finding.remedy.partition("\n")[0], columns, first="    do  ")
    if len(findings) > FINDINGS:
        yield line(f"  and {money.plural(len(findings) - FINDINGS, 'more', 'more')}")


def _group(audit: Audit, kind: Kind, findings: Sequence[Finding], total: Decimal, columns: int) -> Iterator[Line]:
    in_ledger = kind in (Kind.WASTE, Kind.DECIDE)
    yield line(
        f"  {_words.HEADINGS[kind]}: {_words.summed(audit, kind, total)}{money.plural(len(findings), 'finding')}"
    )
    shown = findings if len(findings) <= FINDINGS + 1 else findings[:FINDINGS]
    room = max(10, *(len(_words.amount(f)) for f in shown))
    for finding in shown:
        yield from _finding(finding, dials(finding, audit), room, columns)
    if rest := findings[len(shown) :]:
        amount = sum((f.amount_usd for f in rest), ZERO)
        summed = f" worth {money.usd(amount)}" if in_ledger else ""
        yield line(" " * (room + 4), f"and {money.plural(len(rest), 'more', 'more')}{summed}")


def _finding(finding: Finding, settings: Sequence[str], room: int, columns: int) -> Iterator[Line]:
    margin = " " * (room + 4)
    amount = f"  {_words.amount(finding):>{room}}  "
    yield from paragraph(finding.title, columns, first=amount, rest=margin)
    alone = [f"alone {money.usd(finding.alone_usd)}"] if finding.alone_usd > finding.owned_usd else []
    requests = [money.plural(finding.requests, "request")] if finding.requests else []
    said = [finding.rule, finding.id, *_words.sure(finding), *alone, *requests]
    words, *more = items(said, columns, first=" " * (room + 12), joint=" · ")
    yield (
        Span(margin),
        Span(f"{finding.severity:<8}", _SEVERITY[finding.severity]),
        Span(words[0].text[room + 12 :]),
    )
    yield from more
    for number, reason in enumerate(finding.because if finding.confidence is not Confidence.HIGH else ()):
        yield from paragraph(reason, columns, first=f"{margin}{'' if number else 'basis':<8}")
    yield from _remedy(finding.remedy, margin, columns)
    for number, setting in enumerate(settings):
        yield from paragraph(setting, columns, first=f"{margin}{'' if number else 'set':<8}")


def _remedy(remedy: str, margin: str, columns: int) -> Iterator[Line]:
    """What to do; the lines after its first one are to be copied, and keep their form."""
    first, *copied = remedy.splitlines() or [""]
    for number, (words,) in enumerate(paragraph(first, columns, first=" " * (len(margin) + 8))):
        yield (Span(f"{margin}{'' if number else 'do':<8}"), Span(words.text[len(margin) + 8 :], Style.GOOD))
    for text in copied:  # far to the left, so that few are too long to stay whole
        yield line(f"      {fit(clean(text), columns - 6)}")


def _rules(audit: Audit, columns: int, *, verbose: bool) -> list[Line]:
    lines: list[Line] = []
    if audit.clean:
        lines += items(sorted(audit.clean), columns, first=f"Clean ({len(audit.clean)})  ")
    if audit.not_checked:
        lines.append(line(f"Not checked ({_words.blind(audit)})"))
        for rules, why in _words.silent(audit.not_checked):
            lines += paragraph(f"  {rules}: {why}", columns, first="  ", rest="    ")
    if said := _words.left_out(audit):
        lines += paragraph(said, columns, first="Held back  ")
    if audit.reopened:
        lines.append(line(f"Accepted once, open again ({len(audit.reopened)})"))
        lines += [row for one in audit.reopened for row in _standing(one, columns)]
    if verbose and (hidden := _words.silenced(audit)):
        lines.append(line(f"Accepted on purpose ({len(hidden)})"))
        lines += [row for one in hidden for row in _standing(one, columns)]
    return lines


def _standing(one: Accepted, columns: int) -> list[Line]:
    return paragraph(f"  {_words.standing(one)}", columns, first="  ", rest="    ")


def _next(audit: Audit, columns: int) -> list[Line]:
    """Commands that work as they stand: the user's own paths, the dearest finding."""
    paths = shown_paths(audit.paths)
    shown = [*(f for _, found, _ in _words.claimed(audit) for f in found), *_words.unclaimed(audit)]
    commands = []
    if shown:
        commands += [
            (f"costaudit show {shown[0].id} {paths}", "the rows behind the first finding"),
            (f"costaudit explain {shown[0].rule}", "what the rule looks for, and the remedy"),
        ]
    if shown and shown[0].owned_usd:
        commands.append((f"costaudit simulate {paths} --fix {shown[0].rule}", "what these logs cost without it"))
    if audit.not_checked or audit.coverage.unpriced.height or audit.coverage.fates.rejects:
        commands.append((f"costaudit doctor {paths}", "what these logs lack, and how to log it"))
    commands.append((f"costaudit analyze {paths} --format json -o audit.json", "the same for machines"))
    return following(commands, columns)
