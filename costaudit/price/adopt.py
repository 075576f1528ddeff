"""A newer public price list over the book: what it adds, as price files to lay over it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from costaudit.price.book import PriceBook
from costaudit.price.entry import Model, Provider
from costaudit.price.match import exact, match
from costaudit.price.sources import Item, Reader
from costaudit.price.sources.append import append, item_of, renamed
from costaudit.price.sources.write import Header, provider_yaml


class Adopted(msgspec.Struct):
    """What a list brings.

    files  provider -> YAML of a layer over the book: only models that are new or changed, with their whole history
    told   one sentence a change
    kept   one sentence a figure that differs but was read elsewhere, and so stays
    """

    files: dict[str, str] = msgspec.field(default_factory=dict)
    told: list[str] = msgspec.field(default_factory=list)
    kept: list[str] = msgspec.field(default_factory=list)


def adopt(reader: Reader, key: str, book: PriceBook, today: str, *, everything: bool = False) -> Adopted:
    """Lay a price list over the book.

    key         the list's key among the book's sources (`gp`, `ll`)
    everything  let it change figures that were read elsewhere too
    A list in a newer version speaks for the figures it gave before and for models nobody listed. What the book has from
    elsewhere stays: the packages are each right on a different part.
    """
    found = Adopted()
    for provider in sorted(set(reader.names())):
        file = book.provider(book.canonical(provider))
        models: dict[str, Item] = {}
        for item in reader.items(provider):
            for span in item.spans:
                span.source = span.source or key
            renamed(item, {key: f"{key}-{today}"})
            listed = exact(book, file, item.name) if file else None
            if listed is not None:
                taken = _changed(item, listed, key, today, everything, found)
            else:  # a dated name of a listed model needs no entry
                taken = _new(item, found) if match(book, provider, item.name).model is None else None
            if taken is not None:
                models[taken.name] = taken
        if models:
            found.files[provider] = provider_yaml(_header(provider, file, reader, key, today), models, {})
    return found


def _new(item: Item, found: Adopted) -> Item:
    found.told.append(f"{item.name}: new")
    item.aliases = set()  # names the book may give to another entry
    return item


def _changed(
    item: Item, listed: tuple[str, Model], key: str, today: str, everything: bool, found: Adopted
) -> Item | None:
    """The book's entry with what the list adds; None where it adds nothing or may not speak."""
    name, model = listed
    known = item_of(name, model)
    after, told = append(known, item, today)
    if not told:
        return None
    if not everything and model.prices[-1].source.partition("-")[0] != key:
        found.kept += [sentence for sentence in told if "->" in sentence]
        return None
    found.told += told
    return after


def _header(provider: str, file: Provider | None, reader: Reader, key: str, today: str) -> Header:
    sources = {name: (s.title, str(s.read_on), s.url) for name, s in file.sources.items()} if file else {}
    sources[f"{key}-{today}"] = (reader.title, today, "")
    return Header(provider, sources, schedules=dict(_schedules(file)) if file else {})


def _schedules(file: Provider) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The schedules of a file as they are written."""
    for name, schedule in file.schedules.items():
        plain = msgspec.to_builtins(schedule)
        yield name, {field: value for field, value in plain.items() if value not in ([], (), "")}
