"""The report for a pull request, an issue or a wiki: short tables first, details folded."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from costaudit.audit import Audit
from costaudit.finding import Finding, Kind
from costaudit.report import View, _tables, _words
from costaudit.report import _money as money
from costaudit.report._dials import dials
from costaudit.report._text import clean

ROWS = 10  # of a table; the rest is one row, so that the table still adds up
FINDINGS = 20
MARKER = "<!-- costaudit report -->"  # by which a bot finds its own comment again
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|~&$])")
_OPENING = re.compile(r"^(\s*)([-+#=]|\d+(?=[.)]))")  # what would begin a list or a heading inside a list item
_PINGS = re.compile(r"([@#])(?=\w)")


def render(audit: Audit, view: View) -> str:
    """GitHub-flavoured Markdown."""
    audit = _words.localised(audit)
    parts = [
        MARKER,
        f"**{text(_words.verdict(audit))}**",
        "\n".join(f"- {label}: {text(said)}" for label, said in _trust(audit) if said),
        *_where(audit, view),
        *_fix(audit),
        *_rules(audit),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def text(raw: object) -> str:
    """Text that Markdown, HTML and the mention filter of a code host all leave as it stands."""
    escaped = _OPENING.sub(_opened, _SPECIAL.sub(r"\\\1", clean(str(raw))))
    # A zero-width space keeps `@name` and `#12` from calling a person or linking an issue.
    return _PINGS.sub(r"\1&#8203;", escaped).replace("://", ":&#8203;//").replace("www", "ww&#8203;w")


def _opened(found: re.Match[str]) -> str:
    mark = found[2]
    return f"{found[1]}{mark}\\" if mark.isdigit() else f"{found[1]}\\{mark}"


def grid(heads: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """A table; the first `left` columns are names, the others numbers."""
    rule = [":--" if number < left else "--:" for number in range(len(heads))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows)).replace(" $", r" \$")


def _trust(audit: Audit) -> list[tuple[str, str]]:
    said = _words.trust(audit, _words.notes)
    return [(label, joint.join(parts)) for label, parts, joint in said if label not in ("allowance", "counts")]


def _where(audit: Audit, view: View) -> list[str]:
    parts = []
    for by in _tables.asked(audit, view):
        rows = _tables.rows(audit, by, None if view.by else ROWS)
        cells = [[text(row.name), row.spend, money.percent(row.share), money.count(row.requests)] for row in rows]
        parts.append(grid([by, "spend", "share", "requests"], cells))
    return ["## Where it went", *parts] if parts else []


def _fix(audit: Audit) -> list[str]:
    parts = []
    for kind, findings, total in _words.claimed(audit):
        in_ledger = kind in (Kind.WASTE, Kind.DECIDE)
        summed = f": {text(money.usd(total))}" if in_ledger else ", in no sum above"
        shown = findings[:FINDINGS]
        rows = [[text(f.title), f"{f.severity}, {f.confidence}", text(f.rule), text(_words.amount(f))] for f in shown]
        more = f"\n\nand {money.plural(len(findings) - FINDINGS, 'more', 'more')}" if len(findings) > FINDINGS else ""
        parts += [
            f"## {_words.HEADINGS[kind]}{summed}",
            grid(["finding", "severity, confidence", "rule", "amount"], rows, left=3) + more,
            folded("What to do, and how sure it is", "\n".join(_advice(f, dials(f, audit)) for f in shown)),
        ]
    if silent := _words.unclaimed(audit):
        parts += [f"## {_words.UNCLAIMED}", "\n".join(_advice(f, ()) for f in silent[:FINDINGS])]
    return parts


def _advice(finding: Finding, settings: Sequence[str]) -> str:
    but = "".join(f"; {text(reason)}" for reason in finding.because)
    first, *copied = finding.remedy.splitlines() or [""]
    said = f"- {text(finding.title)}: **{text(first)}** ({text(', '.join(_words.sure(finding)))}{but})"
    # To be copied as it stands: inside a fence nothing but a longer fence means anything.
    block = ["  ````yaml", *(f"  {clean(line).replace('`', chr(39))}" for line in copied), "  ````"] if copied else []
    return "\n".join([said, *(f"  - set: {text(one)}" for one in settings), *block])


def folded(title: str, body: str) -> str:
    """A section that opens on a click; `title` as it is, `body` Markdown."""
    return f"<details>\n<summary>{_in_html(title)}</summary>\n\n{body}\n\n</details>"


def _in_html(raw: str) -> str:
    """Text for a line of HTML, where Markdown's own escapes would stand as they are."""
    return _PINGS.sub(r"\1&#8203;", html.escape(clean(raw), quote=False)).replace("://", ":&#8203;//")


def _rules(audit: Audit) -> list[str]:
    lines = []
    if audit.clean:
        lines.append(f"- clean: {', '.join(text(rule) for rule in sorted(audit.clean))}")
    lines += [f"- not checked: {text(rules)}: {text(why)}" for rules, why in _words.silent(audit.not_checked)]
    if said := _words.left_out(audit):
        lines.append(f"- held back: {said}")
    lines += [f"- open again: {text(_words.standing(one))}" for one in audit.reopened]
    if hidden := _words.silenced(audit):
        held = "\n".join(f"- {text(_words.standing(one))}" for one in hidden)
        lines.append("\n" + folded("Accepted on purpose", held))
    return ["## Clean, not checked", "\n".join(lines)] if lines else []
