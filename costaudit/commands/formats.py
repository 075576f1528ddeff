"""The log formats that are understood"""

from __future__ import annotations

from typing import Annotated

import typer

from costaudit import plugins
from costaudit.commands import _options as options
from costaudit.commands._output import emit


def command(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One format, in full.")] = None,
    no_color: options.NoColor = False,
) -> None:
    """List every log format that is understood, or say of one what is read from it.

    Formats are told by what stands in the files, never by their names; one folder may mix them. Every file may hold
    JSON lines, one JSON document, an array or documents one after the other, lines of text that end in an object, or an
    HTTP archive (HAR), plain or compressed.
    """
    from costaudit.config import suggest
    from costaudit.errors import UsageError
    from costaudit.kept import learned
    from costaudit.report._layout import EMPTY, line, paint, paragraph, strong
    from costaudit.report._page import filled, shown

    view = options.view(no_color=no_color)
    (code,) = plugins.folder("costaudit.ingest")
    known = learned("pages", code, dict[str, tuple[str, bool]], _pages)
    if name is not None and name not in known:
        raise UsageError(
            f"no log format is called {name!r}", hint=suggest(name, known) or "`costaudit formats` lists all"
        )
    if name is not None:
        page = f"# {name}\n\n{known[name][0]}\n" + (_columns() if name == "generic" else "")
        emit(filled(page, view.columns) if view.plain else paint(shown(page, view.columns), color=view.color))
        return
    room = max(map(len, known))
    lines = []
    for form, (said, anywhere) in known.items():
        first = said.partition("\n\n")[0].replace("\n", " ")
        logged = " Bare, or inside any log record." if anywhere else ""
        lines += paragraph(f"{first}{logged}", view.columns, first=f"  {form:<{room}}  ")
    head = f"{len(known)} log formats, told by content, mixed and compressed as you like"
    emit(
        paint(
            [strong(head), *lines, EMPTY, line("Anything else: rename its columns, see `generic`.")], color=view.color
        )
    )


def _columns() -> str:
    """The names that a log of one's own may use or be given, as Markdown."""
    from costaudit.ingest.generic import PROVENANCE
    from costaudit.schema import REQUEST, UTC

    said = [
        f"- `{column.name}`{f' [{column.unit}]' if column.unit and column.dtype != UTC else ''}: {column.meaning}"
        for column in REQUEST
        if column.name not in PROVENANCE and column.group not in ("fingerprints", "tools")
    ]
    return "\n".join(["", "## Columns", *said]) + "\n"


def _pages() -> dict[str, tuple[str, bool]]:
    """What each format says of itself, and whether it may stand inside any record."""
    import inspect

    from costaudit.ingest import formats

    return {form.name: (inspect.getdoc(form) or form.title, form.wrappable) for form in formats()}
