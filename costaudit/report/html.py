"""The report as one file for a browser or a printer: no script, no network, light and dark, everything escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from costaudit.audit import Audit
from costaudit.finding import ZERO, Finding, Kind, Severity
from costaudit.report import View, _chart_time, _tables, _words
from costaudit.report import _money as money
from costaudit.report._chart_details import details
from costaudit.report._dials import dials
from costaudit.report._evidence import written
from costaudit.report._html import cards, document, facts, folded, grid, remarks, section, text
from costaudit.report._svg import part, patterns
from costaudit.report.json import stake, total

ROWS = 15  # of a table; the rest is one row, so that the table still adds up
EVIDENCE = 25  # rows of one finding


def render(audit: Audit, view: View) -> str:
    """A whole HTML document."""
    audit = _words.localised(audit)
    lead = [_cards(audit), _trust(audit)]
    return document(_words.verdict(audit), [patterns(), *_where(audit, view), *_fix(audit), *_rules(audit)], lead=lead)


def _cards(audit: Audit) -> str:
    said = [
        ("spent", money.headline(audit.spend.total_usd)),
        ("bought nothing", money.headline(audit.owned(Kind.WASTE))),
        ("needs a decision", money.headline(audit.owned(Kind.DECIDE))),
    ]
    return cards(said)


def _trust(audit: Audit) -> str:
    said = _words.trust(audit, _words.noted)
    return facts((label, joint.join(parts)) for label, parts, joint in said if label != "allowance")


def _where(audit: Audit, view: View) -> list[str]:
    drawn = _chart_time.spend(audit.spend.by_day, audit.spend.by_day_task)
    tables = [_spend(by, _tables.rows(audit, by, None if view.by else ROWS)) for by in _tables.asked(audit, view)]
    return [section("where", "Where it went", [drawn, *tables])]


def _spend(by: str, rows: Sequence[_tables.Row]) -> str:
    cells = [
        [row.name, row.spend, money.percent(row.share), money.count(row.requests), part(row.share)] for row in rows
    ]
    return grid(f"Spend by {by}", [by, "spend", "share", "requests", ""], cells, [True, *[False] * 4])


def _fix(audit: Audit) -> Iterable[str]:
    for kind, findings, _ in _words.claimed(audit):
        summed = _words.summed(audit, kind, sum((f.amount_usd for f in findings), ZERO))
        counted = f"{summed}{money.plural(len(findings), 'finding')}"
        apart = "" if kind in (Kind.WASTE, Kind.DECIDE) else ", in none of the sums"
        yield section(
            str(kind), f"{_words.HEADINGS[kind]}: {counted}{apart}", [_finding(f, dials(f, audit)) for f in findings]
        )
    yield section("unclaimed", _words.UNCLAIMED, [_finding(f, ()) for f in _words.unclaimed(audit)])


def _finding(finding: Finding, settings: Sequence[str]) -> str:
    first, *copied = finding.remedy.splitlines() or [""]
    sure = [finding.rule, finding.id, *_words.sure(finding), money.plural(finding.requests, "request")]
    level = "" if finding.severity is Severity.LOW else f' class="{finding.severity}"'
    parts = [
        f"<article{level}><h3>{text(finding.title)}</h3>",
        f'<p class="soft"><span class="severity">{finding.severity}</span> · {text(" · ".join(sure))}</p>',
        *(f'<p class="soft">{text(reason)}</p>' for reason in finding.because),
        f'<p class="do">do: {text(first)}</p>' + (_copied(copied) if copied else ""),
        *(f'<p class="soft">set: {text(one)}</p>' for one in settings),
        *details(finding),
        _evidence(finding),
    ]
    return "".join(parts) + "</article>"


def _copied(lines: Sequence[str]) -> str:
    return f"<pre>{chr(10).join(map(text, lines))}</pre>"


def _evidence(finding: Finding) -> str:
    frame = finding.evidence
    if not frame.height:
        return ""
    shown = frame.head(EVIDENCE)
    left = [not kind.is_numeric() for kind in frame.schema.values()]
    rows = written(shown)
    rest = frame.height - shown.height
    more = f'<p class="soft">and {money.plural(rest, "more row")}</p>' if rest else ""
    column = stake(finding)
    adds = f'<p class="soft">{column} adds up to {text(money.usd(total(frame[column])))}</p>' if column else ""
    table = grid(f"Evidence of {finding.id}", frame.columns, rows, left)
    return folded(f"Evidence: {money.plural(frame.height, 'row')}", f"{table}{more}{adds}")


def _rules(audit: Audit) -> list[str]:
    said = [("clean", ", ".join(sorted(audit.clean)))] if audit.clean else []
    said += [(f"not checked: {rules}", why) for rules, why in _words.silent(audit.not_checked)]
    said += [("held back", held)] if (held := _words.left_out(audit)) else []
    said += [("open again", _words.standing(one)) for one in audit.reopened]
    hidden = [_words.standing(one) for one in _words.silenced(audit)]
    parts = [facts(said) if said else "", folded("Accepted on purpose", remarks(hidden)) if hidden else ""]
    return [section("rules", "Clean, not checked", parts)]
