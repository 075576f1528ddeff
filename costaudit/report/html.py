"""The report as one file for a browser or a printer: no script, no network, light and dark, everything escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from costaudit.audit import Audit
from costaudit.finding import ZERO, Finding, Kind, Severity
from costaudit.report import View, _tables, _words
from costaudit.report import _money as money
from costaudit.report._evidence import cell
from costaudit.report._svg import Bar, bars
from costaudit.report._text import clean
from costaudit.report.json import stake, total

ROWS = 15  # of a table; the rest is one row, so that the table still adds up
EVIDENCE = 25  # rows of one finding

STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --paper: #fff; --soft: #5c6570; --line: #d9dee3; --card: #f5f7f9;
  --bar: #3e63dd; --bad: #b42318; --warn: #8a5300; --good: #1a6b3c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --paper: #15181b; --soft: #a0a9b4; --line: #343a40;
  --card: #1e2327; --bar: #7c9cff; --bad: #ff9c8f; --warn: #f2b661; --good: #7fd6a1; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 70rem; padding: 1.5rem 1rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
h3 { font-size: 1rem; margin: 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: 1rem 0; }
dt, .soft { color: var(--soft); } dd { margin: 0; }
.wide { overflow-x: auto; } .wide:focus-visible { outline: 2px solid var(--bar); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; margin: .5rem 0 1.25rem; }
th, td { padding: .3rem .6rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 500; } .name { text-align: left; white-space: normal; min-width: 9rem; }
.part { min-width: 8rem; width: 40%; }
.part span { display: block; height: .7rem; background: var(--bar); border-radius: 2px; }
.cards { display: flex; flex-wrap: wrap; gap: 1rem; } .cards div { flex: 1 1 12rem; background: var(--card);
  border-radius: 8px; padding: .8rem 1rem; } .cards b { display: block; font-size: 1.6rem; }
article { border-left: 4px solid var(--line); background: var(--card); border-radius: 0 8px 8px 0; margin: .8rem 0;
  padding: .7rem 1rem; } article p { margin: .3rem 0; } pre { overflow-x: auto; }
.high { border-color: var(--bad); } .medium { border-color: var(--warn); }
.high .severity { color: var(--bad); } .medium .severity { color: var(--warn); } .do { color: var(--good); }
summary { cursor: pointer; } svg { width: 100%; min-width: 40rem; height: auto; } svg rect { fill: var(--bar); }
svg line { stroke: var(--line); } svg text { fill: var(--soft); font-size: 11px; }
@media print { body { max-width: none; font-size: 11px; } article { break-inside: avoid; } }
""".strip()


def render(audit: Audit, view: View) -> str:
    """A whole HTML document."""
    audit = _words.localised(audit)
    verdict = _words.verdict(audit)
    body = [
        f"<h1>{text(verdict)}</h1>",
        _cards(audit),
        _trust(audit),
        *_where(audit, view),
        *_fix(audit),
        *_rules(audit),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{text(verdict)}</title>\n<style>\n{STYLE}\n</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in body if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def text(raw: object) -> str:
    """Text as HTML text or as an attribute's value."""
    return escape(clean(str(raw)), quote=True)


def _cards(audit: Audit) -> str:
    said = [
        ("spent", money.headline(audit.spend.total_usd)),
        ("bought nothing", money.headline(audit.owned(Kind.WASTE))),
        ("needs a decision", money.headline(audit.owned(Kind.DECIDE))),
    ]
    return f'<div class="cards">{"".join(f"<div><b>{text(usd)}</b>{what}</div>" for what, usd in said)}</div>'


def _trust(audit: Audit) -> str:
    coverage = audit.coverage
    said = [
        ("trust", "; ".join(_words.trusted(coverage))),
        ("total", _words.bounds(audit)),
        ("window", _words.window(audit.window)),
        ("prices", _words.prices(audit)),
        ("read", " ".join(_words.fates(coverage.fates))),
        ("rejected", ", ".join(_words.reasons(coverage.fates.rejects))),
        ("no price", ", ".join(_words.unpriced(coverage))),
        ("log costs", _words.logged(audit.spend.logged)),
        ("counts", "; ".join(_words.conventions(coverage.sources))),
        ("note", "; ".join(coverage.notes)),
    ]
    return f"<dl>{''.join(f'<dt>{label}</dt><dd>{text(what)}</dd>' for label, what in said if what)}</dl>"


def _where(audit: Audit, view: View) -> list[str]:
    days = [Bar(row["day"], row["cost_usd"]) for row in audit.spend.by_day.iter_rows(named=True)]
    parts = [_scrolled("Spend by day", drawn)] if len(days) > 1 and (drawn := bars("Spend by day", days)) else []
    parts += [_spend(by, _tables.rows(audit, by, None if view.by else ROWS)) for by in _tables.asked(audit, view)]
    return ["<h2>Where it went</h2>", *parts] if parts else []


def _spend(by: str, rows: Sequence[_tables.Row]) -> str:
    heads = f'<tr><th class="name" scope="col">{text(by)}</th><th scope="col">spend</th><th scope="col">share</th>'
    heads += '<th scope="col">requests</th><td class="part"></td></tr>'
    body = "".join(map(_row, rows))
    return _scrolled(f"Spend by {by}", f"<table><thead>{heads}</thead><tbody>{body}</tbody></table>")


def _row(row: _tables.Row) -> str:
    drawn = f'<span style="width:{100 * row.share:.1f}%"></span>' if row.share else ""
    return (
        f'<tr><td class="name">{text(row.name)}</td><td>{text(row.spend)}</td><td>{text(money.share(row.share))}</td>'
        f'<td>{money.count(row.requests)}</td><td class="part">{drawn}</td></tr>'
    )


def _scrolled(label: str, inner: str) -> str:
    """A table that scrolls by itself where the window is narrow, with the keyboard too."""
    return f'<div class="wide" role="region" tabindex="0" aria-label="{text(label)}">{inner}</div>'


def _fix(audit: Audit) -> Iterable[str]:
    for kind, findings, _ in _words.claimed(audit):
        summed = _words.summed(audit, kind, sum((f.amount_usd for f in findings), ZERO))
        counted = f"{summed}{money.plural(len(findings), 'finding')}"
        apart = "" if kind in (Kind.WASTE, Kind.DECIDE) else ", in none of the sums"
        yield f"<h2>{_words.HEADINGS[kind]}: {text(counted)}{apart}</h2>"
        yield from map(_finding, findings)
    if silent := _words.unclaimed(audit):
        yield f"<h2>{_words.UNCLAIMED}</h2>"
        yield from map(_finding, silent)


def _finding(finding: Finding) -> str:
    first, *copied = finding.remedy.splitlines() or [""]
    sure = [finding.rule, finding.id, *_words.sure(finding), money.plural(finding.requests, "request")]
    level = "" if finding.severity is Severity.LOW else f' class="{finding.severity}"'
    parts = [
        f"<article{level}><h3>{text(finding.title)}</h3>",
        f'<p class="soft"><span class="severity">{finding.severity}</span> · {text(" · ".join(sure))}</p>',
        *(f'<p class="soft">{text(reason)}</p>' for reason in finding.because),
        f'<p class="do">do: {text(first)}</p>' + (_copied(copied) if copied else ""),
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
    numbers = [kind.is_numeric() for kind in frame.schema.values()]
    heads = "".join(
        f'<th scope="col"{_side(n)}>{text(name)}</th>' for name, n in zip(frame.columns, numbers, strict=True)
    )
    body = "".join(
        f"<tr>{''.join(f'<td{_side(n)}>{text(cell(v))}</td>' for v, n in zip(row, numbers, strict=True))}</tr>"
        for row in shown.iter_rows()
    )
    rest = frame.height - shown.height
    more = f'<p class="soft">and {money.plural(rest, "more row")}</p>' if rest else ""
    column = stake(finding)
    adds = f'<p class="soft">{column} adds up to {text(money.usd(total(frame[column])))}</p>' if column else ""
    grid = _scrolled("Evidence", f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>")
    return f"<details><summary>Evidence: {money.plural(frame.height, 'row')}</summary>{grid}{more}{adds}</details>"


def _side(number: bool) -> str:
    return "" if number else ' class="name"'


def _rules(audit: Audit) -> list[str]:
    said = [("clean", ", ".join(sorted(audit.clean)))] if audit.clean else []
    said += [(f"not checked: {rules}", why) for rules, why in _words.silent(audit.not_checked)]
    said += [("held back", held)] if (held := _words.left_out(audit)) else []
    rows = "".join(f"<dt>{text(label)}</dt><dd>{text(what)}</dd>" for label, what in said)
    return ["<h2>Clean, not checked</h2>", f"<dl>{rows}</dl>"] if rows else []
