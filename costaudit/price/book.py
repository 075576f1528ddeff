"""The price book: a folder of YAML files, one a provider, read when a log names the provider.

Parsing 300 kB of YAML takes a third of a second, decoding the same as MessagePack a hundredth: a parsed file is kept in
the cache folder under the hash of its bytes, so that a changed file is another key and never a stale answer.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Collection, Iterator, Sequence
from datetime import date
from functools import reduce
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar

import msgspec

from costaudit.config import Settings
from costaudit.data import bundled
from costaudit.errors import PriceError
from costaudit.kept import keep, place, take
from costaudit.price.entry import Model, Provider
from costaudit.price.overrides import Override, parse_overrides

T = TypeVar("T")

NAMES = "_names.yaml"  # provider -> other names logs use for it; read for every book
PARSED = Path("prices")  # in the cache folder
CACHE_VERSION = 1  # of the nouns in `entry`; raised when they change
_READING = RLock()


class Names(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What holds for the whole book: newest reading, and the names providers go by."""

    as_of: date
    providers: dict[str, tuple[str, ...]]


class PriceBook(msgspec.Struct, frozen=True, eq=False):
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
    _files: dict[str, Provider | None] = msgspec.field(default_factory=dict)
    memo: dict[Any, Any] = msgspec.field(default_factory=dict)  # what `tariff` and `match` worked out

    @classmethod
    def of(cls, settings: Settings) -> PriceBook:
        """The book of the settings: the bundled one or with a folder of the user's, and with the user's overrides."""
        return cls.load(settings.prices_dir or bundled("pricing"), overrides=parse_overrides(settings.prices))

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
        cache   folder of parsed files, in the cache folder unless it is absolute; None: parse every time
        Raises PriceError naming file and entry for anything that is no price file.
        """
        cache = None if cache is None else place() / cache
        layers = (folder,) if (folder / NAMES).is_file() else (bundled("pricing"), folder)
        names = _read_names(layers[0] / NAMES, cache)
        spelled = {other: name for name, others in names.providers.items() for other in (name, *others)}
        files, lists = _own_files(folder, cache) if len(layers) > 1 else ([], [])
        spelled |= {path.stem: path.stem for path in files}
        given = (*lists, *overrides)
        digest = hashlib.sha256(msgspec.json.encode(given))
        for file in (path for layer in layers for path in _price_files(layer)):
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
        book = cls(layers, names.as_of, digest.hexdigest(), spelled, given, cache)
        for provider in providers or ():
            book.provider(provider)
        return book

    def canonical(self, provider: str) -> str:
        """The book's name for a provider as a log writes it; the same word where the book does not know it."""
        word = provider.strip().lower()
        return self.names.get(word, self.names.get(re.sub(r"[\s_./-]+", "-", word), word))

    def provider(self, name: str) -> Provider | None:
        """The prices of a provider (canonical name); None where the book has none."""
        # Calls are priced by several threads: each file is read once, and msgspec, which may crash where two threads
        # decode a type for the first time, sees one of them.
        with _READING:
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


def _own_files(folder: Path, cache: Path | None) -> tuple[list[Path], list[Override]]:
    """The price files of a user's folder, and the overrides of its other files. All are read now: one that no log asks
    for, because it has the name of another provider, would be prices that silently do not hold."""
    from costaudit.price._override_files import holds_overrides, read_overrides

    paths = _price_files(folder)
    if not paths:
        raise PriceError(
            f"{folder}: no price files there" if folder.is_dir() else f"{folder}: there is no such folder",
            hint="put a file own.yaml there, e.g. with the line: - {match: openai/gpt-5*, token_multiplier: 0.9}",
        )
    lists = [path for path in paths if holds_overrides(path)]
    own = [path for path in paths if path not in lists]
    for path in own:
        if (name := read(path, cache).provider) != path.stem:
            raise PriceError(
                f"{path} has the prices of {name!r}, which are looked for under that name",
                hint=f"rename it {name}.yaml",
            )
    return own, [o for path in lists for o in read_overrides(path)]


def _price_files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("*.yaml") if not p.name.startswith("_"))


def _read_names(path: Path, cache: Path | None) -> Names:
    if not path.is_file():
        raise PriceError(f"{path.parent} is no price book: {NAMES} is missing", hint="reinstall costaudit")
    return _kept(path, Names, cache)


def read(path: Path, cache: Path | None = None) -> Provider:
    """One price file, from the cache where the same bytes were parsed before."""
    return _kept(path, Provider, cache)


def _kept(path: Path, kind: type[T], cache: Path | None) -> T:
    """A file of the book, from the cache where the same bytes were parsed before."""
    raw = path.read_bytes()
    kept = cache / f"{hashlib.sha256(raw).hexdigest()}-{CACHE_VERSION}.answer" if cache else None
    if kept is not None and (whole := take(kept)) is not None:
        with contextlib.suppress(msgspec.MsgspecError):
            return msgspec.msgpack.decode(whole, type=kind)
    from costaudit.price import _file  # the reader of YAML is imported where there is some to parse

    parsed: Any = _file.parse(raw, path) if kind is Provider else _file.convert(raw, path, kind)
    if kept is not None:
        with contextlib.suppress(OSError):  # a read-only home costs time, never an answer
            keep(kept, msgspec.msgpack.encode(parsed))
    return parsed  # type: ignore[no-any-return]
