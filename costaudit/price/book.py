"""The price book: a folder of YAML files, one a provider, read when a log names the provider.

Parsing 300 kB of YAML takes a third of a second, decoding the same as MessagePack a hundredth: a parsed file is kept in
the user's cache folder under the hash of its bytes, so that a changed file is another key and never a stale answer.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import platformdirs
import yaml

from costaudit.data import bundled
from costaudit.errors import PriceError
from costaudit.price.entry import Model, Provider
from costaudit.price.overrides import Override, holds_overrides, read_overrides

T = TypeVar("T")

NAMES = "_names.yaml"  # provider -> other names logs use for it; read for every book
PARSED = Path(platformdirs.user_cache_dir("costaudit")) / "prices"
CACHE_VERSION = 1  # of the nouns in `entry`; raised when they change

_Loader: type[Any] = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # every scalar as it was written


class Names(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What holds for the whole book: newest reading, and the names providers go by."""

    as_of: date
    providers: dict[str, tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class PriceBook:
    """Dated prices of every provider, plus what the user says about their own.

    layers     folders of price files; a later one adds providers and replaces the models it names
    as_of      newest day a figure of the book was read
    sha256     fingerprint of all files and overrides: equal books price alike
    """

    layers: tuple[Path, ...]
    as_of: date
    sha256: str
    names: dict[str, str]
    overrides: tuple[Override, ...] = ()
    cache: Path | None = None
    _files: dict[str, Provider | None] = field(default_factory=dict, repr=False)
    memo: dict[Any, Any] = field(default_factory=dict, repr=False)  # what `tariff` and `match` worked out

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        overrides: Sequence[Override] = (),
        providers: Collection[str] | None = None,
        cache: Path | None = PARSED,
    ) -> PriceBook:
        """The book of a folder. Files are parsed when first asked for; `providers` are parsed (and checked) now.

        A folder without `_names.yaml` is no book but a layer over the bundled one: its price files add to it, its files
        with a list `prices:` are overrides, before those given here.
        cache   folder of parsed files; None: parse every time
        Raises PriceError naming file and entry for anything that is no price file.
        """
        layers = (folder,) if (folder / NAMES).is_file() else (bundled("pricing"), folder)
        names = _read_names(layers[0] / NAMES)
        spelled = {other: name for name, others in names.providers.items() for other in (name, *others)}
        own = _own_files(folder) if len(layers) > 1 else ([], [])
        spelled |= {path.stem: path.stem for path in own[0]}
        given = (*(o for path in own[1] for o in read_overrides(path)), *overrides)
        digest = hashlib.sha256(msgspec.json.encode(given))
        for file in (path for layer in layers for path in _price_files(layer)):
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
        book = cls(layers, names.as_of, digest.hexdigest(), spelled, given, cache)
        for provider in providers or ():
            book.provider(provider)
        return book

    @property
    def newest_read_on(self) -> date:
        return self.as_of

    def canonical(self, provider: str) -> str:
        """The book's name for a provider as a log writes it; the same word where the book does not know it."""
        word = provider.strip().lower()
        return self.names.get(word, self.names.get(re.sub(r"[\s_./-]+", "-", word), word))

    def provider(self, name: str) -> Provider | None:
        """The prices of a provider (canonical name); None where the book has none."""
        if name not in self._files:
            paths = [layer / f"{name}.yaml" for layer in self.layers] if self.names.get(name) == name else []
            found = [read(path, self.cache) for path in paths if path.is_file()]
            self._files[name] = reduce(_over, found) if found else None
        return self._files[name]

    def all(self) -> Iterator[Provider]:
        """Every provider of the book, by name."""
        for name in sorted({name for name, own in self.names.items() if name == own}):
            if (provider := self.provider(name)) is not None:
                yield provider

    def find(self, provider: str, model: str) -> Model | None:
        """An entry by its exact name in the book."""
        file = self.provider(provider)
        return file.models.get(model) if file else None


def _over(below: Provider, above: Provider) -> Provider:
    """A user's price file over the book's: models it names are replaced, the rest stays."""
    return msgspec.structs.replace(
        below,
        sources=below.sources | above.sources,
        models=below.models | above.models,
        schedules=below.schedules | above.schedules,
        fees=above.fees or below.fees,
        list_of=above.list_of or below.list_of,
    )


def _own_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """The price files and the override files of a user's folder."""
    paths = _price_files(folder)
    if not paths:
        raise PriceError(
            f"{folder}: no price files there", hint="give a folder of .yaml files; `costaudit prices show` prints one"
        )
    lists = [path for path in paths if holds_overrides(path)]
    return [path for path in paths if path not in lists], lists


def _price_files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("*.yaml") if not p.name.startswith("_"))


def _read_names(path: Path) -> Names:
    if not path.is_file():
        raise PriceError(f"{path.parent} is no price book: {NAMES} is missing", hint="reinstall costaudit")
    return _convert(_load(path.read_bytes(), path), Names, lambda: str(path))


def read(path: Path, cache: Path | None = None) -> Provider:
    """One price file, from the cache where the same bytes were parsed before."""
    raw = path.read_bytes()
    kept = cache / f"{hashlib.sha256(raw).hexdigest()}-{CACHE_VERSION}.msgpack" if cache else None
    if kept is not None:
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            return msgspec.msgpack.decode(kept.read_bytes(), type=Provider)
    provider = parse(raw, path)
    if kept is not None:
        with contextlib.suppress(OSError):  # a read-only home costs time, never an answer
            _write_atomically(kept, msgspec.msgpack.encode(provider))
    return provider


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


def _write_atomically(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    Path(temporary).replace(path)
