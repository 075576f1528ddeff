"""Reads the records of a file by a format's table: typed decoding, columns, and where each record belongs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, ClassVar

import polars as pl

from costaudit.ingest._blocks import Lines
from costaudit.ingest._decode import dig, glimpsed, parsed, silent
from costaudit.ingest._detect import SURE, elsewhere
from costaudit.ingest._early import Early, undone
from costaudit.ingest._files import UNREADABLE, Bad, LogFile, Record, split
from costaudit.ingest._format import Found, Out, TableFormat
from costaudit.ingest._lean import SEVERAL, Lean
from costaudit.ingest._limits import TOO_DEEP
from costaudit.ingest._plan import plan_of
from costaudit.ingest._prompt import Facts, short, wanted
from costaudit.ingest._prompt import columns as fingerprints
from costaudit.ingest._together import BATCH, SMALL, Held, Owners, framed
from costaudit.ingest._values import Reader

PORTION = 2 << 20  # bytes of records that are decoded together: their rows wait for others
TOLD = 2_000  # rows held back of which prompts and answers are read
LARGE = 1 << 20  # bytes of records that are held back as they are, of a portion of a file


class TableReader:
    """Reads one file by a compiled table.

    passes  whether a reader that adds to this one never looks into messages
    """

    passes: ClassVar[bool] = False

    def __init__(self, form: TableFormat, file: LogFile, found: Found) -> None:
        self.form, self.file, self.plan, self.found = form, file, plan_of(form, found, file.only), found
        self.lean: Lean | None = self.plan.lean()
        self.taught = False
        self.told = wanted(file.only, *form.called)
        if form.alone:
            self.portion = PORTION
        self.early: Early | None = None
        passes = self.passes or (type(self) is TableReader and type(form).explode is TableFormat.explode)
        if passes and not self.told and self.plan.repeated is not None:
            self.early = Early(self.plan.repeated, self.plan.counted, self.plan.beginnings)
        self.waits = False  # rows may wait to share a frame with others, also of other files

    def records_of(self, block: Lines) -> Iterable[Record | Bad]:
        """The records of a block; of some it is decoded already what sums need, and left out what was seen before."""
        if self.early is None or self.lean is None:
            return split(block)
        if not self.lean.generation:
            self._learn([item for item in islice(split(block), SEVERAL) if isinstance(item, Record)])
        return self.early.records(block, self.lean)

    def alone(self, records: Sequence[Record]) -> bool:
        """Whether each line is read by itself; a reader that adds to this one has to say so."""
        del records
        return type(self) is TableReader and self.form.alone

    def feed(self, records: Sequence[Record], out: Out) -> None:
        mine = Out()
        try:
            self._feed(records, mine)
        except RecursionError:  # a value nested almost as deeply as JSON can be; halves find the record that has it
            if len(records) == 1:
                out.rejects.append((records[0].line, TOO_DEEP))
                return
            middle = len(records) // 2
            self.feed(records[:middle], out)
            self.feed(records[middle:], out)
        else:
            out.add(mine)
            if sum(len(held.records) for held in out.held) >= (TOLD if self.told else BATCH):
                framed([out])

    def _feed(self, records: Sequence[Record], out: Out) -> None:
        parts = [part for record in records for part in self.form.explode(record)]
        out.extra_lines += len(parts) - len(records)
        rows = [part.data for part in parts if isinstance(part.data, dict)]
        if rows and len(rows) == len(parts):
            self._frame(parts, self.plan.decoder.columns(rows), out)
        else:
            self._decode(parts, out)

    def _decode(self, records: Sequence[Record], out: Out) -> None:
        if self.lean is not None and not self.lean.generation:
            self._learn(records)
        if self.lean is None or self.lean.exhausted:
            self.lean, one = None, self.plan.decoder.typed
        else:
            one = self.lean.one
        lean, generation = self.lean, self.lean.generation if self.lean else 0
        kept: list[Record] = []
        rows: list[Any] = []
        odd: dict[int, tuple[Any, ...]] = {}  # rows of unexpected shape
        rejects: list[tuple[int, str]] = []
        for record in records:
            if (early := record.early) is not None and early.generation == generation:
                kept.append(record)
                rows.append(early.row)
                continue
            record = undone(record)
            data = record.data
            try:
                row = None if isinstance(data, dict) else one(data)
            except UNREADABLE:
                row = None
            if lean is not None and lean.generation != generation:  # a new key: what is decoded has the old shape
                self._learn(records)
                self._decode(records, out)
                return
            if row is None:
                value = data if isinstance(data, dict) else self._plain(data, record.line, rejects)
                if value is None:
                    continue
                odd[len(rows)] = self.plan.decoder.plain(value)
            kept.append(record)
            rows.append(row)
        out.rejects += rejects
        if rows:
            self._frame(kept, self._columns(rows, odd), out)

    def _learn(self, records: Sequence[Record]) -> None:
        """The keys of the first records, so that few of them are decoded twice."""
        if self.lean is not None and not self.taught:
            self.taught = True
            with suppress(*UNREADABLE):
                self.lean.learn([record.data for record in records[:SEVERAL] if isinstance(record.data, bytes)])

    def _plain(self, data: bytes, line: int, rejects: list[tuple[int, str]]) -> dict[str, Any] | None:
        value = parsed(data)
        if isinstance(value, dict):
            return value
        rejects.append((line, value))
        return None

    def _columns(self, rows: list[Any], odd: dict[int, tuple[Any, ...]]) -> Sequence[Sequence[Any]]:
        if self.lean is None:
            return list(zip(*(odd.get(n, row) for n, row in enumerate(rows)), strict=True))
        absent = self.lean.shape.absent
        values = self.lean.columns([absent if row is None else row for row in rows])
        if odd:
            values = [list(cells) for cells in values]
            for n, cells in odd.items():
                for column, cell in zip(values, cells, strict=True):
                    column[n] = cell  # type: ignore[index]
        return values

    def close(self, out: Out) -> None:
        """Nothing is held back between records."""

    def _frame(self, records: list[Record], values: Sequence[Sequence[Any]], out: Out) -> None:
        held = self._held(records, values) if self.waits and self.form.alone else None
        if held is not None:
            out.held.append(held)
        else:
            self.frame(records, values, Owners.of([out], [len(records)]))

    def _held(self, records: list[Record], values: Sequence[Sequence[Any]]) -> Held | None:
        """The records for a frame that they share with others: few as they are, many without their lines; None where
        that is little less.

        A record with a count is one of this format, and nothing will be estimated from what it says.
        """
        if sum(len(record.data) for record in records) <= SMALL and all(record.early is None for record in records):
            return Held(self, records, values)
        counted = [False] * len(records)
        for n in self.plan.counts:
            counted = [known or type(cell) is int for known, cell in zip(counted, values[n], strict=True)]
        for n in (*self._of_others(values), *_without(values, self.plan.signs, len(records))):
            counted[n] = False
        if sum(len(r.data) for r, known in zip(records, counted, strict=True) if not known) > LARGE:
            return None
        kept = [Record(r.line, r.offset, b"") if known else r for r, known in zip(records, counted, strict=True)]
        facts = self._facts(values, len(records))
        slim = list(values)
        for n in self.plan.raws:
            if not silent(values[n]):
                cells = zip(values[n], counted, strict=True)
                if n in self.plan.lasting:
                    slim[n] = [short(v) if known else v for v, known in cells]
                else:  # of which nothing is asked once facts are known
                    slim[n] = [None if known else v for v, known in cells]
        return Held(self, kept, slim, facts)

    def _facts(self, values: Sequence[Sequence[Any]], height: int) -> Facts | None:
        """What prompts and answers say; None where that is not wanted, or there are none."""
        if self.plan.prompt is None or not self.told:
            return None
        return self.plan.prompt.facts([values[n] for n in self.plan.raws], height)

    def frame(
        self, records: list[Record], values: Sequence[Sequence[Any]], owners: Owners, facts: Facts | None = None
    ) -> None:
        """Values at the places of the plan to requests, each record to whom it belongs.

        facts  what their prompts and answers say, where it has been read
        """
        try:
            frame, refused = self._tidied(records, values, facts)
        except RecursionError:  # as in `feed`
            if len(records) == 1:
                owners.whose(0).rejects.append((records[0].line, TOO_DEEP))
                return
            middle = len(records) // 2
            for start, end in ((0, middle), (middle, len(records))):
                some = None if facts is None else facts[start:end]
                self.frame(records[start:end], [cells[start:end] for cells in values], owners.part(start, end), some)
            return
        owners.reject(refused, "_bad")
        if frame.height:
            _sort(frame, records, owners)

    def _tidied(
        self, records: list[Record], values: Sequence[Sequence[Any]], facts: Facts | None
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The columns of the records, and of those with a value that was refused the reason as `_bad`."""
        height = len(records)
        bad: dict[int, str] = {}
        columns: dict[str, pl.Series] = {}
        for name, picks in self.plan.picks:
            columns[name] = _column(name, picks, values, height, bad)
        for name, dtype in self.plan.left:
            columns[name] = pl.Series(name, [None], dtype).new_from_index(0, height)
        if self.plan.prompt is not None:
            facts = self._facts(values, height) if facts is None else facts
            if facts is None:
                columns |= self.plan.prompt.presence([values[n] for n in self.plan.raws], height)
            else:
                columns |= fingerprints(facts)
        foreign = self._foreign(values, records)
        for n in list(bad):
            if foreign[n] or self._of_another(records[n]):
                foreign[n] = bad.pop(n) is not None
        frame = pl.DataFrame(columns).with_columns(
            pl.Series("source_line", [r.line for r in records], dtype=pl.Int64),
            pl.Series("source_offset", [r.offset for r in records], dtype=pl.Int64),
            pl.int_range(pl.len(), dtype=pl.UInt32).alias("_row"),
            pl.Series("_foreign", foreign, dtype=pl.Boolean),
            pl.Series("_bad", [bad.get(n) for n in range(height)] if bad else [None] * height, dtype=pl.String),
        )
        refused = frame.filter(pl.col("_bad").is_not_null()) if bad else frame.clear()
        frame = (frame.filter(pl.col("_bad").is_null()) if bad else frame).drop("_bad")
        if frame.height:
            frame = self.form.tidy(frame)
            if self.plan.prompt is not None:
                frame = self._estimate(frame, values)
        return frame, refused

    def _foreign(self, values: Sequence[Sequence[Any]], records: Sequence[Record]) -> list[bool]:
        """For each row, whether it has nothing that this format looks for, or is another's as that one tells.

        An id and a model are what calls of most formats have: who counts nothing is looked at, and who has no sign.
        """
        foreign = self._empty(values, records)
        unsigned = frozenset(_without(values, self.plan.signs, len(records)))
        for n in unsigned.union(_without(values, self.plan.counts, len(records))):
            foreign[n] = foreign[n] or self._of_another(records[n], 1 if n in unsigned else SURE)
        for n in self._of_others(values):
            foreign[n] = True
        return foreign

    def _of_others(self, values: Sequence[Sequence[Any]]) -> list[int]:
        """The rows that say of themselves that they are of a format which calls its counts as this one does."""
        if self.form.others is None:
            return []
        place, kinds = self.form.others
        said = values[self.plan.decoder.at[*self.found.self, *place.split(".")]]
        return [n for n, kind in enumerate(said) if type(kind) is str and kind in kinds]

    def _of_another(self, record: Record, least: int = SURE) -> bool:
        data = undone(record).data
        value = data if isinstance(data, dict) else glimpsed(data)
        return not isinstance(value, str) and elsewhere(self.form, value, dig(value, self.found.self), least)

    def _empty(self, values: Sequence[Sequence[Any]], records: Sequence[Record]) -> list[bool]:
        """For each row, whether it has nothing that this format looks for."""
        height = len(records)
        empty = [True] * height
        for cells in (values[n] for n in self.plan.own):
            known = height - cells.count(None)
            if known == height:
                return [False] * height
            if known:
                empty = [was and cell is None for was, cell in zip(empty, cells, strict=True)]
        if self.plan.unread:  # they are asked only about a record that has nothing else
            empty = [was and not self._signed(record) for was, record in zip(empty, records, strict=True)]
        return empty

    def _signed(self, record: Record) -> bool:
        """Whether a record has one of the signs that were not read."""
        data = undone(record).data
        value = data if isinstance(data, dict) else parsed(data)
        return any(dig(value, place) is not None for place in self.plan.unread)

    def _estimate(self, frame: pl.DataFrame, values: Sequence[Sequence[Any]]) -> pl.DataFrame:
        """Tokens of the answered calls whose log has their text and no counts, marked as estimates."""
        prompt = self.plan.prompt
        if "output_tokens" not in frame.columns:  # embeddings
            return frame
        bare = frame.filter(pl.col("input_tokens").is_null() & pl.col("output_tokens").is_null() & pl.col("has_text"))
        if prompt is None or bare.is_empty():
            return frame
        raws = [values[n] for n in self.plan.raws]
        known = []
        for row, model in bare.select("_row", "model").iter_rows():
            tokens = prompt.estimates([column[row] for column in raws], model)
            if tokens is not None:
                known.append((row, *tokens, "tokenizer"))
        schema = {
            "_row": pl.UInt32,
            "input_tokens": pl.Int64,
            "output_tokens": pl.Int64,
            "usage_source": pl.String,
        }
        estimates = pl.DataFrame(known, schema=schema, orient="row")
        if "usage_source" not in frame.columns:
            frame = frame.with_columns(usage_source=pl.lit(None, pl.String))
        return frame.update(estimates, on="_row", how="left")


def _without(values: Sequence[Sequence[Any]], places: Sequence[int], height: int) -> Sequence[int]:
    """The rows without a value in any of some places; none where there are no places."""
    bare: Sequence[int] = range(height) if places else ()
    for cells in (values[n] for n in places):
        bare = [n for n in bare if cells[n] is None] if cells.count(None) else ()
    return bare


def _sort(frame: pl.DataFrame, records: list[Record], owners: Owners) -> None:
    """Rows the format calls no request, foreign or broken go where they belong; the rest are requests."""
    if frame["_foreign"].any():
        owners.foreign(frame.filter("_foreign")["_row"], records)
        frame = frame.filter(~pl.col("_foreign"))
    if "_reject" in frame.columns:
        owners.reject(frame, "_reject")
        frame = frame.filter(pl.col("_reject").is_null())
    if "_skip" in frame.columns:
        owners.skip(frame)
        frame = frame.filter(pl.col("_skip").is_null())
    frame = frame.drop("_foreign", "_reject", "_skip", strict=False)
    if frame.height:
        owners.give(frame)


def _column(
    name: str,
    picks: Sequence[tuple[int, Reader]],
    values: Sequence[Sequence[Any]],
    height: int,
    bad: dict[int, str],
) -> pl.Series:
    """One column from the first of its places that has a value; refused values are noted in `bad` by row."""
    result: pl.Series | None = None
    for n, reader in picks:
        cells = values[n]
        if silent(cells):
            continue
        if result is None:
            waiting = cells
        else:
            have = result.is_not_null()
            if have.all():
                break
            waiting = [None if known else cell for known, cell in zip(have.to_list(), cells, strict=True)]
        series, refused = reader.column(waiting)
        for row, reason in refused.items():
            bad.setdefault(row, f"{name}: {reason}")
        result = series if result is None else result.fill_null(series)
    if result is None:
        dtype = picks[0][1].dtype if picks else pl.Null
        result = pl.Series([None] * height, dtype=dtype)
    return result.alias(name)
