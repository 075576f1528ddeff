"""What of a format is read: its decoder, and where the values of its columns stand; compiled once a process."""

from __future__ import annotations

from typing import Any

from costaudit.ingest._beginnings import Beginnings
from costaudit.ingest._decode import Decoder, Path
from costaudit.ingest._format import Found, TableFormat
from costaudit.ingest._lean import MOST, Lean
from costaudit.ingest._prompt import PromptReader
from costaudit.ingest._values import Reader

COUNTS = ("input_tokens", "output_tokens")


class Plan:
    """The decoder of one format at one place, and which of its values make up which column.

    left   columns that are not read, and null
    """

    def __init__(self, form: TableFormat, found: Found, left: frozenset[str]) -> None:
        self.form = form
        scopes = {"self": found.self, "request": found.request, "around": ()}
        self.columns: list[tuple[str, list[tuple[Path, Reader]]]] = []
        self.left: list[tuple[str, Any]] = []
        for name, fields in form.table().items():
            if name in left:
                self.left.append((name, fields[0].reader.dtype))
                continue
            places: list[tuple[Path, Reader]] = []
            for item in fields:
                base = scopes[item.scope]
                if base is None:
                    continue
                places += [((*base, *path.split(".")), item.reader) for path in item.paths]
            self.columns.append((name, list(dict.fromkeys(places))))
        self.prompt = PromptReader(form.prompt, scopes) if form.prompt else None
        raws = self.prompt.paths if self.prompt else []
        self.decoder = Decoder((path for _, places in self.columns for path, _ in places), raws)
        at = self.decoder.at
        self.picks = [(name, [(at[path], reader) for path, reader in places]) for name, places in self.columns]
        self.raws = [at[path] for path in raws]
        columns = {n for _, picks in self.picks for n, _ in picks}
        self.lasting = {self.raws[n] for n in self.prompt.saying} | columns if self.prompt else columns
        # Values of the object itself, not of its surroundings: a record that has none of them is of another format.
        # An object of which only parts are looked for (`usage`) is no sign by itself, whatever stands in its place.
        own = {p for fields in form.own().values() for f in fields if f.scope == "self" for p in f.paths}
        signs = sorted(p for p in own if not any(other.startswith(f"{p}.") for other in own))
        signed = [(*found.self, *path.split(".")) for path in signs]
        self.own = [at[path] for path in signed if path in at]
        self.unread = [path for path in signed if path not in at]
        counts = [n for name, picks in self.picks if name in COUNTS for n, _ in picks]
        self.counts = [n for n in counts if n in self.own]
        self.signs = [n for name, picks in self.picks if name in form.signs for n, _ in picks if n in self.own]
        self.counted = [self.decoder.order[n] for n in self.counts]
        self.repeated = self._repeated()
        self.beginnings = Beginnings()  # of all files of a process: they are bounded together
        self._lean: Lean | None = None

    def _repeated(self) -> Path | None:
        """Where messages stand of which nothing but their fingerprints is taken; None where there are none."""
        if self.prompt is None or not self.form.alone:
            return None
        paths = [self.prompt.paths[n] for n in self.prompt.parts["messages"]]
        taken = [path for _, places in self.columns for path, _ in places]
        return next((p for p in paths if not any(other[: len(p)] == p for other in taken)), None)

    def lean(self) -> Lean:
        """What is known of the keys of files like this one; forgotten when they are too many."""
        if self._lean is None or self._lean.generation > MOST // 2:
            self._lean = Lean(self.decoder)
        return self._lean


_PLANS: dict[tuple[TableFormat, Found, frozenset[str]], Plan] = {}


def plan_of(form: TableFormat, found: Found, only: frozenset[str] | None) -> Plan:
    """The plan of a format at a place, compiled once a process: a folder has many files of few shapes."""
    key = (form, found, frozenset() if only is None else form.leaves - only)
    if key not in _PLANS:
        _PLANS[key] = Plan(*key)
    return _PLANS[key]
