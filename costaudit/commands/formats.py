"""The log formats that are understood"""

from __future__ import annotations

from typing import Annotated

import typer

from costaudit.commands import _options as options
from costaudit.commands._output import emit


def command(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One format, in full.")] = None,
    no_color: options.NoColor = False,
) -> None:
    """List every log format that is understood, or say of one what is read from it.

    Formats are told by what stands in the files, never by their names; one folder may mix them. Every file may hold
    JSON lines, one JSON document, an array or documents one after the other, plain or compressed.
    """
    import inspect

    from costaudit.config import suggest
    from costaudit.errors import UsageError
    from costaudit.ingest import formats
    from costaudit.report._layout import EMPTY, line, paint, paragraph, strong
    from costaudit.report._page import shown

    view = options.view(no_color=no_color)
    known = {form.name: form for form in formats()}
    if name is not None and name not in known:
        raise UsageError(
            f"no log format is called {name!r}", hint=suggest(name, known) or "`costaudit formats` lists all"
        )
    if name is not None:
        page = f"# {name}\n\n{inspect.getdoc(known[name]) or ''}\n"
        emit(page if view.plain else paint(shown(page, view.columns), color=view.color))
        return
    room = max(map(len, known))
    lines = []
    for form in known.values():
        said = (inspect.getdoc(form) or form.title).partition("\n\n")[0].replace("\n", " ")
        logged = " Bare, or inside any log record." if form.wrappable else ""
        lines += paragraph(f"{said}{logged}", view.columns, first=f"  {form.name:<{room}}  ")
    head = f"{len(known)} log formats, told by content, mixed and compressed as you like"
    emit(
        paint(
            [strong(head), *lines, EMPTY, line("Anything else: rename its columns, see `generic`.")], color=view.color
        )
    )
