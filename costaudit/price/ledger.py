"""The ledger: priced calls of the audited window, and how to ask what they would have cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import polars as pl
from msgspec.structs import replace

from costaudit.config import Settings
from costaudit.price.book import PriceBook
from costaudit.price.engine import READS, in_slices, price

_PRICE = ("cost_usd", "price_status", "price_entry")
DENSE = 16  # places a number, up to which a table of all of them is found faster in than by halving
FEW = 8  # calls asked for one that has changed, from which the changed ones are looked for among them
AT_ONCE = 1_000_000  # calls whose columns, lists among them, are gathered in one go
SAID = 1_000_000  # calls of which something is said in one go, where it is kept of some of them
_ALWAYS = ("row", "rollup", "summed", "gateway_cache_hit")


class Ledger(msgspec.Struct, frozen=True):
    """Priced calls [schema.CALLS], one row a call, in order of `row`.

    Most of the table is never changed and never copied: a state of the ledger is the calls as logged, which of them are
    gone, and the few values that are different.

    original  the calls as logged (the first state of the ledger)
    book      prices, to ask "what if"
    baseline  calls of the window before, where the report compares; None otherwise
    settings  what the user decided: time zone, budgets, revenue, forecast
    columns   those that `calls` has; None: all
    gone      [Boolean] by place in `original`: calls that a patch removed; None: all exist
    news      tables of `place` and the columns that changed there, the oldest first
    """

    original: pl.DataFrame
    book: PriceBook
    baseline: pl.DataFrame | None = None
    settings: Settings = msgspec.field(default_factory=Settings)
    columns: tuple[str, ...] | None = None
    gone: pl.Series | None = None
    news: tuple[pl.DataFrame, ...] = ()

    @classmethod
    def of(
        cls,
        calls: pl.DataFrame,
        book: PriceBook,
        baseline: pl.DataFrame | None = None,
        settings: Settings | None = None,
    ) -> Ledger:
        ordered = calls if calls["row"].is_sorted() else calls.sort("row")
        return cls(ordered, book, baseline, settings or Settings())

    @property
    def calls(self) -> pl.DataFrame:
        """The calls that still exist in this state, at their counterfactual cost."""
        frame = self._now(self.original.columns if self.columns is None else list(self.columns))
        return frame if self.gone is None else frame.filter(~self.gone)

    def _now(self, names: Sequence[str]) -> pl.DataFrame:
        """Columns of this state, one row a call of `original`, gone ones included."""
        changed = {name for table in self.news for name in table.columns} & set(names)
        frame = self.original[list(names)]
        return frame.with_columns(self.value(name) for name in names if name in changed) if changed else frame

    def each(self, made: Sequence[str | pl.Expr], where: pl.Expr | None = None) -> pl.DataFrame:
        """Columns of every call that still exists, or of some of these, and what expressions say about each.

        The original is looked at where it is, and only what is asked for is copied; so every expression must look at
        one call at a time and name its columns.
        """
        kept = None if self.gone is None else ~self.gone
        if where is not None:
            some = self._now(_roots([where])).select(where).to_series()
            kept = some if kept is None else kept & some
        kept = None if kept is None or kept.all(ignore_nulls=False) else kept
        if kept is None and (self.untouched or all(isinstance(one, str) for one in made)):
            return self._said(made, None)
        # Neither what has changed nor what is said of the others is ever held for all calls.
        starts = range(0, max(1, self.original.height), SAID)
        return joined([self._some(at)._said(made, None if kept is None else kept.slice(at)) for at in starts])

    def in_parts(self, made: Sequence[str | pl.Expr], where: pl.Expr) -> Iterator[pl.DataFrame]:
        """The same of so many calls at a time: for what the first of them may answer, and for sums."""
        for start in range(0, max(1, self.original.height), SAID):
            some = self._some(start)
            kept = some._now(_roots([where])).select(where).to_series()
            kept = kept if some.gone is None else kept & ~some.gone.head(kept.len())
            yield some._said(made, None if kept.all(ignore_nulls=False) else kept)

    def _some(self, start: int) -> Ledger:
        """The same of some calls."""
        if self.original.height <= SAID:
            return self
        gone = None if self.gone is None else self.gone.slice(start, SAID)
        news = []
        for table in self.news:
            first, last = (int(table["place"].search_sorted(at)) for at in (start, start + SAID))
            if last > first:
                news.append(table.slice(first, last - first).with_columns(pl.col("place") - start))
        return replace(self, original=self.original.slice(start, SAID), gone=gone, news=tuple(news))

    def _said(self, made: Sequence[str | pl.Expr], kept: pl.Series | None) -> pl.DataFrame:
        frame = self._now(_roots(made))
        if not all(isinstance(one, str) for one in made):  # names alone are there, without a query
            frame = frame.select(made)
        return frame if kept is None else frame.filter(kept.head(frame.height))

    def reading(self, columns: Sequence[str] | None) -> Ledger:
        """The same state with `calls` of these columns only, and of those that every reader needs; None: all."""
        return replace(self, columns=None if columns is None else tuple(dict.fromkeys((*_ALWAYS, *columns))))

    def as_logged(self) -> Ledger:
        """State 0: nothing is gone, nothing is new."""
        return self if self.untouched else replace(self, gone=None, news=())

    @property
    def untouched(self) -> bool:
        return self.gone is None and not self.news

    def value(self, name: str) -> pl.Series:
        """A column in this state, one value a call of `original`, gone ones included."""
        column = self.original.select(name).to_series()  # taken out of the table itself, it would take room for good
        for table in self.news:
            if name in table.columns:
                column = column.scatter(table["place"], table[name])
        return column

    def place(self, rows: pl.Series) -> pl.Series:
        """Where calls stand in `original` [UInt32]; null for numbers that the ledger does not hold, or no longer."""
        own = self.original["row"]
        last = own.len() - 1
        if last >= 0 and own[0] == 0 and own[last] == last:  # sorted and unique: every row is its own place
            at = rows.cast(pl.UInt32)
            at = at.set((at > last).fill_null(value=True), None)
        else:
            at = positions(rows.cast(own.dtype), own)
        return at if self.gone is None else at.set(self.gone.gather(at).fill_null(value=False), None)

    def patched(self, patch: pl.DataFrame) -> Ledger:
        """The ledger after a patch [row, exists?, changed columns]: removed calls are gone, changed ones priced again.

        Only touched calls are priced. Null in a patch column keeps the call's own value; calls the ledger no longer
        holds are left alone.
        """
        changed = self.changed(patch)
        return self.replaced(patch.filter(~_exists(patch))["row"], changed)

    def changed(self, patch: pl.DataFrame) -> pl.DataFrame:
        """The calls that a patch changes and does not remove, as they would have been: row, the patch's columns, and
        what `price` says, in order of `row`."""
        kept = patch.filter(_exists(patch)).drop("exists", strict=False)
        kept = kept.filter(self.place(kept["row"]).is_not_null())
        names = [name for name in kept.columns if name != "row"]
        if not (kept["row"] > kept["row"].shift()).all():
            kept = kept.sort("row", maintain_order=True).unique("row", keep="last", maintain_order=True)
        return in_slices(kept, lambda part: self._changed(part, names))

    def _changed(self, kept: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
        read = [name for name in dict.fromkeys((*READS, *_PRICE, *names)) if name in self.original.columns]
        touched = self.at(kept["row"], read)
        if names and touched.height:
            news = [
                kept[name].cast(touched.schema[name]).zip_with(kept[name].is_not_null(), touched[name])
                for name in names
            ]
            touched = price(touched.with_columns(news), self.book)
        return touched.select("row", *names, *(name for name in _PRICE if name not in names))

    def at(self, rows: pl.Series, columns: Sequence[str]) -> pl.DataFrame:
        """These calls, in this order: row and some columns of this state. The ledger must hold them."""
        place = self.place(rows)
        found = self.original.select(columns)[place]
        for table in self.news:
            if names := [name for name in columns if name in table.columns]:
                found = _renewed(found, place, table.select("place", *names))
        return found.insert_column(0, rows.alias("row"))

    def told(self, rows: pl.Series, made: Sequence[str | pl.Expr]) -> pl.DataFrame:
        """What expressions say about each of these calls, in this order; the columns themselves are not kept."""
        read = [name for name in _roots(made) if name != "row"]
        parts = [
            self.at(rows.slice(start, AT_ONCE), read).select(made) for start in range(0, max(1, rows.len()), AT_ONCE)
        ]
        return parts[0] if len(parts) == 1 else pl.concat(parts)

    def touched(self, rows: pl.Series) -> pl.Series:
        """Whether calls are gone in this state or have values that are not those of the log [Boolean]."""
        place = self.as_logged().place(rows)
        found = pl.repeat(value=False, n=rows.len(), eager=True) if self.gone is None else self.gone.gather(place)
        for table in self.news:
            found = found | positions(place, table["place"]).is_not_null()
        return found.fill_null(value=False)

    def replaced(self, removed: pl.Series, changed: pl.DataFrame) -> Ledger:
        """The ledger without some calls, and with others as `changed` says; columns it lacks stay as they are."""
        gone, news = self.gone, self.news
        if (places := self.place(removed).drop_nulls()).len():
            gone = pl.repeat(value=False, n=self.original.height, eager=True) if gone is None else gone.clone()
            gone = gone.scatter(places, values=True)
        if changed.height:
            news = (*news, changed.select(self.place(changed["row"]).alias("place"), pl.exclude("row")))
        return replace(self, gone=gone, news=news)


def joined(parts: list[pl.DataFrame]) -> pl.DataFrame:
    """The parts as one table, each column in one piece; the list is emptied, and no column but the one at work is
    there twice. A table that grows part by part would be copied with every part."""
    if len(parts) == 1:
        return parts[0]
    columns = []
    for name in parts[0].columns:
        own = [part.select(name) for part in parts]
        parts[:] = [part.drop(name) for part in parts]
        columns.append(pl.concat(own, how="vertical_relaxed", rechunk=True).to_series())
        del own
    parts.clear()
    return pl.DataFrame(columns)


def _roots(made: Sequence[str | pl.Expr]) -> list[str]:
    named = ([one] if isinstance(one, str) else one.meta.root_names() for one in made)
    return list(dict.fromkeys(name for names in named for name in names))


def positions(values: pl.Series, column: pl.Series) -> pl.Series:
    """Where values stand in a sorted column without repeats [UInt32]; null where they do not."""
    if column.is_empty():
        return pl.repeat(None, values.len(), dtype=pl.UInt32, eager=True)
    last = int(column[-1])
    if last < DENSE * values.len():
        places = pl.int_range(column.len(), dtype=pl.UInt32, eager=True)
        table = pl.repeat(None, last + 1, dtype=pl.UInt32, eager=True).scatter(column, places)
        return table.gather(values.set((values > last).fill_null(value=False), None))
    at = column.search_sorted(values).clip(0, column.len() - 1).cast(pl.UInt32)
    return at.set((column.gather(at) != values).fill_null(value=True), None)


def _renewed(found: pl.DataFrame, place: pl.Series, news: pl.DataFrame) -> pl.DataFrame:
    """Columns of the calls at some places, with the values of those that have changed [place, columns]."""
    changed = news.drop("place").get_columns()
    if news.height * FEW < place.len() and _rising(place):
        own = positions(news["place"], place)
        met = own.is_not_null()
        return found.with_columns(found[s.name].scatter(own.drop_nulls(), s.filter(met)) for s in changed)
    now = positions(place, news["place"])
    new = now.is_not_null()
    return found.with_columns(s.gather(now).zip_with(new, found[s.name]) for s in changed) if new.any() else found


def _rising(places: pl.Series) -> bool:
    """Whether each place is after the one before it."""
    plain = places.to_numpy()
    return bool((plain[1:] > plain[:-1]).all())


def _exists(patch: pl.DataFrame) -> pl.Expr:
    return pl.col("exists").fill_null(value=True) if "exists" in patch.columns else pl.lit(value=True)
