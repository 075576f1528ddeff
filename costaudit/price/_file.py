"""The text of a price file as nouns; what is wrong with it is told with its file, line and model."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from costaudit.errors import PriceError
from costaudit.price.entry import Model, Provider

T = TypeVar("T")

_Loader: type[Any] = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # every scalar as it was written


def convert(raw: bytes, path: Path, kind: type[T]) -> T:
    """A file that holds one noun."""
    return _convert(_load(raw, path), kind, lambda: str(path))


def parse(raw: bytes, path: Path) -> Provider:
    """A price file's text as nouns; PriceError names the file, the line and the model that is wrong."""
    data = _load(raw, path)
    if not isinstance(data, dict):
        raise PriceError(f"{path}: not a price file: it must be a mapping with provider, sources, models")
    provider = _convert(data, Provider, lambda: _blame(raw, path, data))
    for name, model in provider.models.items():
        for period in model.prices:
            _refers(provider, period.source, period.hours, f"{path}: {name}")
    return provider


def _refers(provider: Provider, source: str, hours: Collection[str], where: str) -> None:
    if source not in provider.sources:
        raise PriceError(f"{where}: source {source!r} is not among the file's sources")
    for schedule in hours:
        if schedule not in provider.schedules:
            raise PriceError(f"{where}: schedule {schedule!r} is not among the file's schedules")


def _load(raw: bytes, path: Path) -> Any:
    try:
        return yaml.load(raw, Loader=_Loader)  # a safe loader: BaseLoader builds strings, lists, mappings
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise PriceError(f"{path}{line}: not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise PriceError(f"{path}: not valid YAML: {str(error).splitlines()[0]}") from error


def _convert(data: Any, kind: type[T], where: Callable[[], str]) -> T:
    try:
        return msgspec.convert(data, type=kind, strict=False)
    except msgspec.ValidationError as error:
        raise PriceError(f"{where()}: {error}", hint="docs/prices.md shows a price file") from error


def _blame(raw: bytes, path: Path, data: dict[str, Any]) -> str:
    """`file:line: model` of the first entry that does not convert on its own; the file where it is none of them."""
    models = data.get("models")
    for name, model in models.items() if isinstance(models, dict) else ():
        try:
            msgspec.convert(model, type=Model, strict=False)
        except msgspec.ValidationError:
            return f"{path}:{_line_of(raw, name)}: {name}"
    return str(path)


def _line_of(raw: bytes, model: str) -> int:
    """Line of a model's key, from 1."""
    document = yaml.compose(raw, Loader=yaml.SafeLoader)
    top = {key.value: value for key, value in document.value} if document else {}
    keys = (key for key, _ in top["models"].value) if "models" in top else ()
    return next((key.start_mark.line + 1 for key in keys if key.value == model), 1)
