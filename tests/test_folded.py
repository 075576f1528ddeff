"""Cells that are summed while they come: the sums of all at once, whatever memory holds of them."""

from __future__ import annotations

import random
from datetime import date, timedelta
from decimal import Decimal

import polars as pl
import pytest

from costaudit.errors import CostAuditError
from costaudit.price import folded
from costaudit.price.cells import KIND, SUMMED, added, table
from costaudit.price.exact import sum_usd
from costaudit.price.folded import Folded

FIRST = date(2026, 9, 24)
SCHEMA = pl.Schema({"day": pl.Date(), "user": pl.String(), **dict.fromkeys(KIND, pl.String()), **SUMMED})


def cells(seed: int, number: int) -> pl.DataFrame:
    dice = random.Random(seed)
    count = [name for name, dtype in SUMMED.items() if dtype == pl.Int64]
    rows = [
        {
            "day": FIRST + timedelta(days=dice.randrange(9)),
            "user": dice.choice(["ann", "bob", "a name that is longer than others", "(no user)", None]),
            "model": dice.choice(["one", "two"]),
            "trust": dice.choice(["exact", "estimated"]),
            **{name: dice.randrange(10) for name in count},
            "cost_usd": Decimal(dice.randrange(10**12)).scaleb(-18),
        }
        for _ in range(number)
    ]
    return pl.DataFrame(rows, schema=SCHEMA)


@pytest.mark.parametrize("held", [4, 50, 10_000])
@pytest.mark.parametrize("names", [("day", "user"), ()])
def test_pieces_are_the_sums_of_all_cells_with_the_keys_of_a_name_in_one(held, names, monkeypatch):
    monkeypatch.setattr(folded, "HELD", held)
    given = [cells(seed, 40).select(*names, *KIND, *SUMMED) for seed in range(8)]
    by = [*names, *KIND]
    half, whole = (Folded(names, given[0].schema) for _ in range(2))
    for nth, frame in enumerate(given):
        (half if nth % 2 else whole).add(frame)
    whole.take(half)
    assert whole.requests == sum(frame["requests"].sum() for frame in given)
    assert whole.lacking == ({"user"} if names else set())
    pieces = list(whole.pieces())
    expected = pl.concat(given).group_by(by).agg(pl.sum(*SUMMED)).sort(by, nulls_last=True)
    assert pl.concat(pieces).sort(by, nulls_last=True).equals(expected)
    if names:
        met = pl.concat(piece.select(names).unique() for piece in pieces)
        assert met.is_unique().all()
    assert sum(piece.height for piece in whole.pieces()) == 0


@pytest.mark.parametrize("by", [("day", "user"), ("user", "day"), ("week", "user"), ("day",), ("model", "month")])
def test_a_table_of_pieces_is_that_of_all_cells(by, monkeypatch):
    monkeypatch.setattr(folded, "HELD", 4)
    given = pl.concat(cells(seed, 40) for seed in range(6))
    some = Folded(("day", "user"), SCHEMA)
    some.add(given)
    (kinds, (rows,)), (others, (whole,)) = (added(pieces, [by]) for pieces in (some.pieces(), [given]))
    assert kinds.sort(KIND).equals(others.sort(KIND))
    total = sum_usd(kinds["cost_usd"])
    assert table(rows, by, total).rows.equals(table(whole, by, total).rows)


def test_cells_that_nobody_takes_leave_no_file_open(monkeypatch):
    files = []
    real = folded.scratch.nameless
    monkeypatch.setattr(folded, "HELD", 4)
    monkeypatch.setattr(folded.scratch, "nameless", lambda: files.append(real()) or files[-1])
    left = Folded(("day", "user"), SCHEMA)
    left.add(cells(1, 60))
    assert not files[0].closed
    del left
    assert files[0].closed


def test_a_full_disk_is_told_as_one(monkeypatch):
    class Full:
        def close(self):
            pass

        def __getattr__(self, name):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(folded, "HELD", 4)
    monkeypatch.setattr(folded.scratch, "nameless", Full)
    with pytest.raises(CostAuditError, match="no room for the working file") as told:
        Folded(("day", "user"), SCHEMA).add(cells(1, 60))
    assert "TMPDIR" in told.value.hint
