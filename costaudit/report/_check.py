"""The formats in which `check` answers."""

from __future__ import annotations

from collections.abc import Callable

from costaudit.errors import UsageError
from costaudit.report import View, _gate_ci, _gate_html, _gate_json, _gate_markdown, suggested
from costaudit.report._gate import terminal
from costaudit.verdict import Gate

Render = Callable[[Gate, View], str]
RENDERERS: dict[str, Render] = {
    "terminal": terminal,
    "json": _gate_json.render,
    "markdown": _gate_markdown.render,
    "html": _gate_html.render,
    "github": _gate_ci.github,
    "gitlab": _gate_ci.gitlab,
    "sarif": _gate_ci.sarif,
    "junit": _gate_ci.junit,
}


def renderer(name: str) -> Render:
    """The function that writes a format; UsageError with a suggestion for an unknown name."""
    if name not in RENDERERS:
        raise UsageError(f"check has no format {name!r}", hint=suggested(name, RENDERERS))
    return RENDERERS[name]
