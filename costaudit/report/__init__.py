"""An audit as text: a folder is a registry, a module without a leading underscore is a report format.

Each has `render(audit, view) -> str`. Text from logs passes `_text.clean` (or the escapes of its format), amounts are
rounded by `_money`, sentences that several formats share stand in `_words`.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from costaudit import plugins
from costaudit.errors import UsageError

if TYPE_CHECKING:  # pages and error messages use this package without any table
    from costaudit.audit import Audit

NARROW, WIDE = 60, 120  # columns a report is laid out for; narrower terminals wrap, wider ones leave air


class View(msgspec.Struct, frozen=True):
    """How a report is looked at; nothing here changes what it says.

    width  columns
    color  ANSI colours may be used
    plain  the reader is a pipe or a file: no bars
    ascii  the output's encoding has no block characters
    verbose  what is usually only counted is listed
    by     tables asked for (task, model, tenant, day), in full; empty: the usual ones, shortened
    """

    width: int = 100
    color: bool = False
    plain: bool = True
    by: tuple[str, ...] = ()
    ascii: bool = False
    verbose: bool = False

    @property
    def columns(self) -> int:
        return min(max(self.width, NARROW), WIDE)


Render: TypeAlias = "Callable[[Audit, View], str]"


def names() -> tuple[str, ...]:
    """The report formats."""
    return plugins.names(__name__)


def renderer(name: str, allowed: Sequence[str] = ()) -> Render:
    """The function that writes a report format; UsageError with a suggestion for an unknown name."""
    known = tuple(allowed) or names()
    if name not in known:
        raise UsageError(f"no report format {name!r}", hint=suggested(name, known))
    render: Render = importlib.import_module(f"{__name__}.{name}").render
    return render


def suggested(name: str, known: Iterable[str]) -> str:
    """The nearest known format, then all of them."""
    near = difflib.get_close_matches(name, known := tuple(known), n=1)
    suggestion = f"did you mean {near[0]}? " if near else ""
    return f"{suggestion}formats: {', '.join(known)}"
