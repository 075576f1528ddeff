"""A page of simple Markdown on a terminal: headings, paragraphs, lists, code blocks; nothing else occurs in pages."""

from __future__ import annotations

from collections.abc import Iterator

from costaudit.report._layout import EMPTY, Line, Span, Style, paragraph, strong
from costaudit.report._text import clean

FENCE = "```"


def shown(markdown: str, columns: int) -> Iterator[Line]:
    """The page in at most `columns` columns; code keeps its lines."""
    text: list[str] = []
    code = False
    blank = True
    for raw in markdown.splitlines():
        if raw.startswith(FENCE):
            yield from _flushed(text, columns)
            code = not code
        elif code:
            yield (Span(f"    {clean(raw)}", Style.FAINT),)
        elif raw.startswith("#"):
            yield from _flushed(text, columns)
            if not blank:
                yield EMPTY
            yield strong(clean(raw.lstrip("# ")))
        elif not raw.strip():
            yield from _flushed(text, columns)
            yield EMPTY
        elif raw.startswith("- "):
            yield from _flushed(text, columns)
            text.append(raw)
        else:
            text.append(raw.strip())
        blank = not raw.strip()
    yield from _flushed(text, columns)


def _flushed(text: list[str], columns: int) -> list[Line]:
    """The paragraph or list item collected so far, wrapped; the collection is empty afterwards."""
    joined = " ".join(text).replace("`", "")
    text.clear()
    if joined.startswith("- "):
        return paragraph(joined[2:], columns, first="  - ")
    return paragraph(joined, columns, first="  ", rest="  ")
