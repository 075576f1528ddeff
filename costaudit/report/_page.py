"""A page of simple Markdown on a terminal: headings, paragraphs, lists, code blocks; nothing else occurs in pages."""

from __future__ import annotations

from collections.abc import Iterator

from costaudit.report._layout import EMPTY, Line, Span, Style, line, paragraph, strong, typed
from costaudit.report._text import clean

FENCE = "```"


def shown(markdown: str, columns: int) -> Iterator[Line]:
    """The page in at most `columns` columns; code keeps its lines, but for those that are too long."""
    text: list[str] = []
    code = False
    blank = True
    for raw in markdown.splitlines():
        if raw.startswith(FENCE):
            yield from _flushed(text, columns)
            code = not code
        elif code:
            yield from _copied(clean(raw), columns)
        elif raw.startswith("#"):
            yield from _flushed(text, columns)
            if not blank:
                yield EMPTY
            yield strong(clean(raw.lstrip("# ")))
        elif not raw.strip():
            yield from _flushed(text, columns)
            if not blank:
                yield EMPTY
        elif raw.startswith("- "):
            yield from _flushed(text, columns)
            text.append(raw)
        else:
            text.append(raw.strip())
        blank = not raw.strip()
    yield from _flushed(text, columns)


def filled(markdown: str, columns: int) -> str:
    """The page as Markdown whose paragraphs and list items have lines of at most `columns`; code as it is."""
    rows: list[str] = []
    text: list[str] = []
    code = False
    for raw in [*markdown.splitlines(), ""]:
        fence = raw.startswith(FENCE)
        apart = code or fence or raw.startswith("#") or not raw.strip()
        if text and (apart or raw.startswith("- ")):
            joined = " ".join(text)
            item = "- " if joined.startswith("- ") else ""
            rows += [row[0].text for row in paragraph(joined.removeprefix(item), columns, first=item)]
            text.clear()
        if apart:
            rows.append(raw)
        else:
            text.append(raw.strip())
        code = code != fence
    return "\n".join(rows)


def _copied(text: str, columns: int) -> Iterator[Line]:
    """A line of code: a long command goes on in the next line, a long answer below its own beginning."""
    prompt, _, command = text.partition("$ ")
    if not prompt and command:
        rows = typed(command, columns, indent=6)
        yield (Span(f"    $ {rows[0][0].text.strip()}", Style.FAINT),)
    else:
        rows = [line(row) for row in _folded(f"    {text}", columns)]
        yield (Span(rows[0][0].text, Style.FAINT),)
    yield from ((Span(row[0].text, Style.FAINT),) for row in rows[1:])


def _folded(text: str, columns: int) -> list[str]:
    """A line with its blanks as they are, in lines of at most `columns` where a blank lets it be cut."""
    margin = len(text) - len(text.lstrip())
    rows = []
    while len(text) > columns and (at := text.rfind(" ", margin + 1, columns + 1)) > margin:
        rows.append(text[:at].rstrip())
        text = " " * margin + text[at:].lstrip()
    return [*rows, text]


def _flushed(text: list[str], columns: int) -> list[Line]:
    """The paragraph or list item collected so far, wrapped; the collection is empty afterwards."""
    joined = " ".join(text).replace("`", "")
    text.clear()
    if not joined:
        return []
    if joined.startswith("- "):
        return paragraph(joined[2:], columns, first="  - ")
    return paragraph(joined, columns, first="  ", rest="  ")
