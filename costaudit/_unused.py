"""What polars imports at its start and this program never uses: its readers of lakes, and e-mail with them.

The rest of polars asks a reader for a few names and calls none of them. Each stands in for its own here, and imports
the true one when it is called; whoever imports the reader later gets the true one too.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

READERS = ("polars.catalog.unity", "polars.io.delta", "polars.io.iceberg", "polars.io.lance")


class Unused:
    """For `sys.meta_path`: gives the stand-in of each reader, once, to whoever asks first."""

    def __init__(self) -> None:
        self.left = set(READERS)

    def find_spec(self, name: str, path: Sequence[str] | None = None, _: Any = None) -> ModuleSpec | None:
        if name not in self.left:
            return None
        self.left.remove(name)
        spec = ModuleSpec(name, self, is_package=True)  # type: ignore[arg-type]
        spec.submodule_search_locations = [f"{folder}/{name.rpartition('.')[2]}" for folder in path or ()]
        return spec

    def create_module(self, _: ModuleSpec) -> None:
        """The usual one."""

    def exec_module(self, module: ModuleType) -> None:
        module.__getattr__ = _Named(module.__name__)  # type: ignore[method-assign]


class _Named:
    """What a name of a reader is: while polars is imported what stands in for it, afterwards itself."""

    def __init__(self, reader: str) -> None:
        self.reader = reader

    def __call__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if not getattr(sys.modules["polars"].__spec__, "_initializing", False):
            return self.true(name)
        return type(name, (), {"__new__": lambda _, *given, **named: self.true(name)(*given, **named)})

    def true(self, name: str) -> Any:
        if vars(sys.modules[self.reader]).get("__getattr__") is self:
            del sys.modules[self.reader]
        return getattr(import_module(self.reader), name)
