"""The formats in which `check` answers."""

from __future__ import annotations

from collections.abc import Callable

from costaudit.report import View
from costaudit.report._gate import machine, markdown, terminal
from costaudit.report._gate_ci import github, junit
from costaudit.verdict import Gate

RENDERERS: dict[str, Callable[[Gate, View], str]] = {
    "terminal": terminal,
    "json": machine,
    "markdown": markdown,
    "github": github,
    "junit": junit,
}
