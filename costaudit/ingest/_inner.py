"""Records that hold what another format reads: that format's reader reads it, and the record says more about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl

from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import Format, Found, Out


class Inner:
    """The reader of a format whose objects stand inside the records of another one, and what it makes."""

    def __init__(self, form: Format, file: LogFile, found: Found) -> None:
        self.reader, self.made = form.reader(file, found), Out()

    def feed(self, records: Sequence[Record]) -> None:
        self.reader.feed(records, self.made)

    def closed(self, own: Callable[[pl.DataFrame], pl.DataFrame], *, foreign: str = "") -> Out:
        """All that was made; `own` adds to the rows what the record around them says.

        foreign  why a record in which nothing of the format stands is a reject; without it, it is of another format
        """
        made = self.made
        self.reader.close(made)
        made.frames = [own(frame) for frame in made.frames]
        if foreign:
            made.rejects += [(record.line, foreign) for record in made.foreign]
            made.foreign = []
        return made
