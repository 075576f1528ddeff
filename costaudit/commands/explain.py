"""The page of a rule: what it finds, why it costs, what to do"""

from __future__ import annotations

from typing import Annotated

import typer

from costaudit.commands import _options as options
from costaudit.commands._output import emit
from costaudit.commands._pages import Page, page, pages


def _names(incomplete: str) -> list[str]:
    return [one.rule for one in pages() if one.rule.startswith(incomplete)]


def command(
    rule: Annotated[
        str | None, typer.Argument(metavar="RULE", autocompletion=_names, help="A rule; left out: all of them.")
    ] = None,
    no_color: options.NoColor = False,
) -> None:
    """Print the page of a rule: what it finds, why it costs money, what to do, and its thresholds.

    Without a rule, list all of them. On a terminal the page is set for its width; piped, it is Markdown.
    """
    from costaudit.report._layout import paint, paragraph
    from costaudit.report._page import filled, shown

    view = options.view(no_color=no_color)
    if rule is None:
        every = pages()
        room = max((len(one.rule) for one in every), default=0)
        for one in every:
            lines = paragraph(one.text.partition("\n")[0], view.columns, first=f"{one.rule:<{room}}  ")
            emit(paint(lines, color=view.color))
        return
    text = markdown(page(rule))
    emit(filled(text, view.columns) if view.plain else paint(shown(text, view.columns), color=view.color))


def markdown(one: Page) -> str:
    """The page with the rule's name above, what its remedies are called and its thresholds below."""
    from costaudit.report._dials import of_levers

    settings = [f"- `{name}` ({_usual(str(default), unit)}): {meaning}" for name, default, unit, meaning in one.options]
    below = ["## Thresholds", f"In `costaudit.yaml` under `rules: {one.rule}:`", *settings] if settings else []
    named = [f"- {said}" for said in of_levers(one.levers)]
    where = ["", "## What it is called", *named] if named else []
    return "\n".join([f"# {one.rule}", "", one.text.strip(), *where, *([""] if below else []), *below]) + "\n"


def _usual(default: str, unit: str) -> str:
    """`3 repeats`, `none; provider/model`, `no`."""
    if unit == "yes or no":
        return "yes" if default == "True" else "no"
    joint = "; " if default == "none" else " "
    return f"{default}{joint}{unit}" if unit else default
