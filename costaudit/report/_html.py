"""Parts of a page for a browser or a printer: no script, no network, light and dark, everything escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from costaudit.report._text import clean

STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --paper: #fff; --soft: #5c6570; --line: #d9dee3; --card: #f5f7f9;
  --bar: #3e63dd; --bad: #b42318; --warn: #8a5300; --good: #1a6b3c;
  --s1: #0b62a4; --s2: #c04a00; --s3: #0a7a58; --s4: #9a3a86; --s5: #7a5c00; --s6: #77828e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --paper: #15181b; --soft: #a0a9b4; --line: #343a40;
  --card: #1e2327; --bar: #7c9cff; --bad: #ff9c8f; --warn: #f2b661; --good: #7fd6a1;
  --s1: #6cb2f2; --s2: #f5935a; --s3: #4cc79f; --s4: #e08ad0; --s5: #d9b84a; --s6: #9aa3ad; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 70rem; padding: 1.5rem 1rem 4rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; } h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; }
h3 { font-size: 1rem; margin: 0; }
a { color: inherit; } .skip { position: absolute; left: -99rem; } .skip:focus { position: static; }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; list-style: none; padding: 0; margin: .5rem 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: 1rem 0; }
dt, .soft { color: var(--soft); } dd { margin: 0; }
.wide { overflow-x: auto; position: relative; } :focus-visible { outline: 2px solid var(--bar); outline-offset: 2px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; margin: .5rem 0 1.25rem; }
caption { text-align: left; color: var(--soft); padding: .2rem 0; }
h2 + .wide caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
th, td { padding: .3rem .6rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 500; } .name { text-align: left; white-space: normal; min-width: 8rem; }
th.name[scope=row] { color: inherit; font-weight: inherit; } tr.bad td, tr.bad th { color: var(--bad); }
.part { min-width: 8rem; width: 40%; } .part svg { display: block; width: 100%; height: .7rem; }
.cards { display: flex; flex-wrap: wrap; gap: 1rem; } .cards div { flex: 1 1 9rem; background: var(--card);
  border-radius: 8px; padding: .8rem 1rem; } .cards b { display: block; font-size: 1.6rem; }
article { border-left: 4px solid var(--line); background: var(--card); border-radius: 0 8px 8px 0; margin: .8rem 0;
  padding: .7rem 1rem; } article p { margin: .3rem 0; } pre { overflow-x: auto; }
.high { border-color: var(--bad); } .medium { border-color: var(--warn); }
.high .severity { color: var(--bad); } .medium .severity { color: var(--warn); } .do { color: var(--good); }
.fail { color: var(--bad); } .pass { color: var(--good); } .unsure { color: var(--warn); }
summary { cursor: pointer; }
figure { margin: .5rem 0 1.25rem; } figcaption { font-weight: 500; margin-bottom: .4rem; }
svg.chart { display: block; width: 100%; min-width: 36rem; max-width: 60rem; height: auto; }
svg.spark { width: 6rem; height: 1.2rem; vertical-align: middle; }
svg rect { fill: var(--bar); } svg line, svg path { stroke: var(--line); fill: none; }
svg text { fill: var(--soft); font-size: 12px; } svg text.ink { fill: var(--ink); } svg .end { text-anchor: end; }
svg .mid { text-anchor: middle; } svg line.ink, svg path.ink { stroke: var(--ink); stroke-width: 1.5; }
svg .dash { stroke-dasharray: 5 4; } svg .cut { stroke: var(--paper); stroke-width: 1.2; }
svg .s1 { fill: var(--s1); } svg .s2 { fill: var(--s2); } svg .s3 { fill: var(--s3); } svg .s4 { fill: var(--s4); }
svg .s5 { fill: var(--s5); } svg .s6 { fill: var(--s6); } svg .hollow { fill: var(--paper); stroke: var(--bar); }
svg .band { fill: var(--bar); fill-opacity: .25; } svg path.run { stroke: var(--s1); stroke-width: 2; }
.key { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; list-style: none; padding: 0; margin: .4rem 0; }
.key svg { width: 1.1rem; height: .8rem; margin-right: .4rem; }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: .4rem; } .part { display: none; }
  th, td { padding: .3rem .25rem; } table { font-size: .85rem; } }
@media print { :root { font-size: 11px; } body { max-width: none; padding: 0; }
  details::details-content { content-visibility: visible; block-size: auto; } summary { list-style: none; }
  details table { font-size: .85em; }
  article, figure, tr { break-inside: avoid; }
  h2, caption, thead, summary, figcaption { break-after: avoid; }
  nav, .skip { display: none; } .wide { overflow: visible; }
  th, td { padding: .15rem .4rem; } th { white-space: normal; } .name { min-width: 3.5rem; } svg.chart { min-width: 0; }
  svg, article { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
""".strip()


class Drawn(str):
    """HTML that is ready: it is not escaped again."""

    __slots__ = ()


def text(raw: object) -> str:
    """Text as HTML text or as an attribute's value; what is drawn already stays as it is."""
    return raw if isinstance(raw, Drawn) else escape(clean(str(raw)), quote=True)


def document(title: str, parts: Iterable[str], *, lead: Iterable[str] = ()) -> str:
    """A whole page. Sections are named by their headings and listed at the top.

    lead   what stands under the title, before the list of sections
    parts  sections, see `section`; empty ones are left out
    """
    body = [part for part in parts if part]
    listed = [part for part in body if isinstance(part, Section)]
    links = "".join(f'<li><a href="#{part.anchor}">{text(part.heading)}</a></li>' for part in listed)
    contents = f'<nav aria-label="Sections"><ul>{links}</ul></nav>' if len(listed) > 1 else ""
    top = "\n".join([f"<h1>{text(title)}</h1>", *(part for part in lead if part)])
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{text(title)}</title>\n<style>\n{STYLE}\n</style>\n</head>\n<body>\n"
        f'<a class="skip" href="#report">Skip to the report</a>\n<header>\n{top}\n</header>\n{contents}\n'
        '<main id="report">\n' + "\n".join(body) + "\n</main>\n</body>\n</html>\n"
    )


class Section(str):
    """A part of a page under its heading; its anchor is one of our own words."""

    anchor: str
    heading: str


def section(name: str, title: str, inner: Iterable[str]) -> str:
    """A part with a heading; nothing for a part with nothing in it."""
    body = "\n".join(part for part in inner if part)
    if not body:
        return ""
    made = Section(
        f'<section id="{name}" aria-labelledby="{name}-h"><h2 id="{name}-h">{text(title)}</h2>\n{body}\n</section>'
    )
    made.anchor, made.heading = name, title
    return made


def facts(said: Iterable[tuple[str, str]]) -> str:
    """Label and sentence, as the trust header has them; empty sentences are left out."""
    return f"<dl>{''.join(f'<dt>{text(label)}</dt><dd>{text(what)}</dd>' for label, what in said if what)}</dl>"


def cards(said: Iterable[tuple[str, str]]) -> str:
    """Few figures to be seen first: label and amount."""
    return f'<div class="cards">{"".join(f"<div><b>{text(usd)}</b>{text(what)}</div>" for what, usd in said)}</div>'


def remarks(said: Sequence[str]) -> str:
    """Sentences, one a line."""
    if len(said) < 2:
        return "".join(f"<p>{text(words)}</p>" for words in said)
    return f"<ul>{''.join(f'<li>{text(words)}</li>' for words in said)}</ul>"


def scrolled(label: str, inner: str) -> str:
    """What scrolls by itself where the window is narrow, with the keyboard too."""
    return f'<div class="wide" role="region" tabindex="0" aria-label="{text(label)}">{inner}</div>'


def grid(
    caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[bool], *, bad: Sequence[bool] = ()
) -> str:
    """A table with a caption that scrolls by itself; the first cell of a row is its name.

    left  columns of words; the others are numbers, or bars where the head is empty
    bad   rows that stand out
    """
    looks = [_looks(name, words=words) for name, words in zip(heads, left, strict=True)]
    head = "".join(
        f'<th scope="col"{look}>{text(name)}</th>' if name else f"<td{look}></td>"
        for name, look in zip(heads, looks, strict=True)
    )
    body = "\n".join(_row(row, looks, bad=bool(bad) and bad[n]) for n, row in enumerate(rows))
    return scrolled(
        caption,
        f"<table><caption>{text(caption)}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>",
    )


def _row(cells: Sequence[str], looks: Sequence[str], *, bad: bool) -> str:
    first, *rest = cells
    name = f'<th scope="row"{looks[0]}>{text(first)}</th>'
    others = "".join(f"<td{look}>{text(cell)}</td>" for cell, look in zip(rest, looks[1:], strict=True))
    return f'<tr class="bad">{name}{others}</tr>' if bad else f"<tr>{name}{others}</tr>"


def _looks(head: str, *, words: bool) -> str:
    return ' class="name"' if words else "" if head else ' class="part"'


def folded(title: str, inner: str) -> str:
    """A part that opens on a click or a key."""
    return f"<details><summary>{text(title)}</summary>{inner}</details>" if inner else ""
