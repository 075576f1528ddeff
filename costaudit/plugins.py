"""A folder is a registry: a module without a leading underscore is a plugin and is found by being there."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import TypeVar

T = TypeVar("T")


@cache
def names(package: str) -> tuple[str, ...]:
    """The plugin modules of a package, sorted; nothing is imported, not even the package."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(folder(package)) if not m.name.startswith("_")))


def folder(package: str) -> list[str]:
    """Where the modules of a package are."""
    spec = find_spec(package)
    return list(spec.submodule_search_locations or ()) if spec else []


@cache
def modules(package: str) -> tuple[ModuleType, ...]:
    """All plugin modules of a package, imported."""
    return tuple(importlib.import_module(f"{package}.{name}") for name in names(package))


def classes(package: str, kind: type[T]) -> tuple[type[T], ...]:
    """Every subclass of `kind` that a plugin module defines, in order of its name."""
    found = [value for module in modules(package) for value in classes_of(module, kind)]
    return tuple(sorted(found, key=lambda c: str(vars(c)["name"])))


def classes_of(module: ModuleType, kind: type[T]) -> list[type[T]]:
    """The same of one module."""
    return [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, kind) and value.__module__ == module.__name__
        if "name" in vars(value)
    ]
