"""What polars imports at its start and this program never uses: its reader of Iceberg tables, and e-mail with it.

The rest of polars asks the reader for a few names and calls none of them. Each stands in for its own here, and imports
the true one when it is called; whoever imports the reader later gets the true one too.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

NAME = "polars.io.iceberg"


class Unused:
    """For `sys.meta_path`: gives the stand-in once, to whoever asks first."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, _: Any = None) -> ModuleSpec | None:
        if name != NAME:
            return None
        sys.meta_path.remove(self)
        spec = ModuleSpec(name, self, is_package=True)  # type: ignore[arg-type]
        spec.submodule_search_locations = [f"{folder}/iceberg" for folder in path or ()]
        return spec

    def create_module(self, _: ModuleSpec) -> None:
        """The usual one."""

    def exec_module(self, module: ModuleType) -> None:
        module.__getattr__ = _named  # type: ignore[method-assign]


def _named(name: str) -> Any:
    """What a name of the reader is: while polars is imported what stands in for it, afterwards itself."""
    if name.startswith("__"):
        raise AttributeError(name)
    if getattr(sys.modules["polars"].__spec__, "_initializing", False):
        return type(name, (), {"__new__": lambda _, *args, **named: getattr(_true(), name)(*args, **named)})
    return getattr(_true(), name)


def _true() -> ModuleType:
    if vars(sys.modules[NAME]).get("__getattr__") is _named:
        del sys.modules[NAME]
    return import_module(NAME)
