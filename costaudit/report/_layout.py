"""Lines for a terminal: styled spans, tables with right-aligned numbers, wrapped paragraphs.

Everything is laid out as text first and coloured last, so that colour can never move a column.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

import msgspec

from costaudit.report._money import NONE
from costaudit.report._text import clean, pad, width, wrap

GAP = 2  # columns between two cells
BAR = "█"
_WORDS = re.compile(r"""(?:'[^']*'|"[^"]*"|[^\s'"])+""")  # of a command whose words `shlex.quote` wrote
PARTS = " ▏▎▍▌▋▊▉"  # eighths of a cell


class Style(Enum):
    """What a span means; at most three colours, each beside a word that says the same."""

    PLAIN = ""
    STRONG = "1"
    FAINT = "2"
    BAD = "1;31"
    WARN = "33"
    GOOD = "32"


class Span(NamedTuple):
    text: str
    style: Style = Style.PLAIN


Line = tuple[Span, ...]
EMPTY: Line = ()


def line(*parts: str | Span) -> Line:
    """A line of texts and spans."""
    return tuple(part if isinstance(part, Span) else Span(part) for part in parts)


def strong(text: str) -> Line:
    return (Span(text, Style.STRONG),)


def paragraph(text: str, columns: int, *, first: str = "", rest: str | None = None) -> list[Line]:
    """A text in lines of at most `columns`, the first one after `first`, the others after `rest` (else blanks)."""
    text = clean(text)
    rest = " " * width(first) if rest is None else rest
    lines = wrap(text, columns - max(width(first), width(rest))) or [""]
    return [line((first if i == 0 else rest) + words) for i, words in enumerate(lines)]


def items(parts: Iterable[str], columns: int, *, first: str = "", joint: str = ", ") -> list[Line]:
    """Parts joined into lines after `first`, broken between parts where that is possible."""
    margin = " " * width(first)
    room = columns - width(first) - width(joint.rstrip())
    lines: list[str] = []
    for part in map(clean, parts):
        if lines and width(lines[-1] + joint + part) <= room:
            lines[-1] += joint + part
            continue
        if lines:
            lines[-1] += joint.rstrip()
        lines += wrap(part, room)
    return [line((margin if number else first) + text) for number, text in enumerate(lines)]


def facts(said: Iterable[tuple[str, Sequence[str], str]], columns: int) -> list[Line]:
    """What a header says, (label, parts, joint) each; a label without a part is left out."""
    lines: list[Line] = []
    for label, parts, joint in said:
        if any(parts):
            lines += items(parts, columns, first=f"  {label:<9}  ", joint=joint)
    return lines


def typed(command: str, columns: int, *, indent: int = 2) -> list[Line]:
    """A command that a shell reads as it stands: a long one goes on behind a backslash, never inside of quotes."""
    words = _WORDS.findall(command)
    lines = [" " * indent + words[0]]
    for word in words[1:]:
        if width(f"{lines[-1]} {word} \\") > columns:
            lines[-1] += " \\"
            lines.append(" " * (indent + 4) + word)
        else:
            lines[-1] += f" {word}"
    return [line(text) for text in lines]


def following(commands: Sequence[tuple[str, str]], columns: int) -> list[Line]:
    """Commands to go on with, each with what it tells, where all of that fits."""
    room = max(len(command) for command, _ in commands)
    said = room + max(len(why) for _, why in commands) + 6 <= columns
    return [
        strong("Next"),
        *(line(f"  {command:<{room}}  ", Span(f"# {why}" if said else "", Style.FAINT)) for command, why in commands),
    ]


def shown_paths(paths: Sequence[str]) -> str:
    """The paths as the shell reads them; PATH where one holds what must not be printed, or there are too many."""
    quoted = " ".join(shlex.quote(path) for path in paths)
    return quoted if paths and clean(quoted) == quoted and len(paths) <= 3 else "PATH"


class Column(msgspec.Struct, frozen=True):
    """A column of a table.

    flexible  takes the columns that the others leave, at least `least`, at most `most`
    optional  is left out where no row has anything to say in it
    rank      where the room is short, columns are left out from the highest rank down; 0: never
    """

    head: str
    right: bool = True
    flexible: bool = False
    optional: bool = False
    rank: int = 0
    least: int = 8
    most: int = 48
    style: Style = Style.PLAIN


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], room: int, *, indent: int = 2) -> list[Line]:
    """A head and rows, aligned, in at most `room` columns: the flexible column gives way, in the middle of its text,
    then columns of a rank.

    Cells are cleaned here: whatever a log put into a name cannot leave its cell.
    """
    kept = [i for i, c in enumerate(columns) if not c.optional or any(row[i] not in ("", NONE) for row in rows)]
    texts = {i: [clean(row[i]) for row in rows] for i in kept}
    needs = {i: max([width(columns[i].head), *map(width, texts[i])]) for i in kept}
    kept = _fitting(kept, columns, needs, room - indent + GAP)
    columns, widths = [columns[i] for i in kept], [needs[i] for i in kept]
    cells = list(zip(*(texts[i] for i in kept), strict=True))
    spare = room - indent - GAP * (len(columns) - 1)
    fixed = sum(w for w, c in zip(widths, columns, strict=True) if not c.flexible)
    flexible = max(1, sum(c.flexible for c in columns))
    widths = [
        max(min(w, c.most, (spare - fixed) // flexible), c.least) if c.flexible else w
        for w, c in zip(widths, columns, strict=True)
    ]
    heads = [Span(pad(c.head, w, right=c.right), Style.FAINT) for c, w in zip(columns, widths, strict=True)]
    lines = [_joined(heads, indent)] if any(c.head for c in columns) else []
    for row in cells:
        spans = [Span(pad(cell, w, right=c.right), c.style) for cell, c, w in zip(row, columns, widths, strict=True)]
        lines.append(_joined(spans, indent))
    return lines


def _fitting(kept: list[int], columns: Sequence[Column], needs: Mapping[int, int], room: int) -> list[int]:
    """The columns that fit side by side with the gaps between them."""
    while sum((columns[i].least if columns[i].flexible else needs[i]) + GAP for i in kept) > room:
        rank, worst = max((columns[i].rank, i) for i in kept)
        if not rank:
            break
        kept = [i for i in kept if i != worst]
    return kept


def _joined(spans: Iterable[Span], indent: int) -> Line:
    joined: list[Span] = []
    for span in spans:
        joined += [Span(" " * (GAP if joined else indent)), span]
    return tuple(joined)


def bar(part: float | None, columns: int) -> str:
    """A share of 1 as a bar, to an eighth of a column; never empty where there is something."""
    if not part or part <= 0:
        return ""
    eighths = max(1, round(min(part, 1.0) * columns * 8))
    return (BAR * (eighths // 8) + PARTS[eighths % 8]).rstrip()


def paint(lines: Iterable[Line], *, color: bool) -> str:
    """The lines as text, with ANSI colours where asked for; no blanks at a line's end."""
    return "".join(_painted(spans, color=color) + "\n" for spans in lines)


def _painted(spans: Line, *, color: bool) -> str:
    text = "".join(span.text for span in spans).rstrip()
    if not color:
        return text
    kept = len(text)
    painted: list[str] = []
    for span in spans:
        piece = span.text[:kept]
        kept -= len(piece)
        styled = piece and span.style is not Style.PLAIN
        painted.append(f"\x1b[{span.style.value}m{piece}\x1b[0m" if styled else piece)
    return "".join(painted)
