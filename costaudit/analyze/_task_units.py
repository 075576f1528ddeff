"""The units of work of one task after another: those of all tasks at once would be most of the memory."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from functools import cached_property

import polars as pl

from costaudit.analyze._quality import broken, measure
from costaudit.analyze._units import units
from costaudit.analyze._work import Work
from costaudit.price.exact import amount


class TaskUnits:
    """The calls of every known task that are one call each, and the units they make, gathered task by task."""

    def __init__(self, work: Work) -> None:
        self._work, self._ledger = work, work.ledger
        self._witnesses: dict[str, pl.DataFrame | None] = {}

    @cached_property
    def _groups(self) -> pl.DataFrame:
        """task, by name; at: where its calls stand, a list for each of its models; spend [USD]."""
        known = self._work.every.drop_nulls("task")
        return known.group_by("task").agg("at", spend=pl.sum("cost")).sort("task")

    @cached_property
    def _at(self) -> dict[str, pl.Series]:
        return dict(zip(self._groups["task"], self._groups["at"], strict=True))

    def comparable(self, floor: Decimal) -> list[str]:
        """The tasks, by name, that more than one model worked on and that may spend so much [USD]."""
        may = (pl.col("at").list.len() > 1) & (pl.col("spend") >= amount(floor))
        return self._groups.filter(may)["task"].to_list()

    def size(self, task: str) -> int:
        """How many calls a task has."""
        return int(self._at[task].list.len().sum())

    def rows(self, task: str) -> pl.Series:
        """The `row` of the calls of a task, in order."""
        return self._work.rows(self._at[task].explode().sort())

    def of(self, task: str, *, fronts: bool = False) -> pl.DataFrame:
        """The units of a task, as `units` gives them."""
        return units(self._ledger, rows=self.rows(task), fronts=fronts)

    def answers(self, task: str, first: int | None = None) -> pl.Series:
        """What the calls of a task, or the first of them, answered: their `output_sha`."""
        rows = self.rows(task)
        return self._ledger.at(rows if first is None else rows.head(first), ("output_sha",))["output_sha"]

    def controls(self, task: str, moment: datetime, minimum: int) -> list[tuple[int, int, int, int]]:
        """The other tasks that kept one model across a moment: good after, n after, good before, n before."""
        found = []
        for other in self._at:
            known = None if other == task else self._witness(other)
            if known is None:
                continue
            sides = [known.filter(pl.col("started_at") >= moment), known.filter(pl.col("started_at") < moment)]
            if min(side.height for side in sides) >= minimum:
                good = [round(float(side["quality"].sum())) for side in sides]
                found.append((good[0], sides[0].height, good[1], sides[1].height))
        return found

    def _witness(self, task: str) -> pl.DataFrame | None:
        """started_at and quality of the units of a task that ran on one model, where it is good or bad; else None."""
        if task not in self._witnesses:
            values, quality = measure(self.of(task))
            known = values.filter(pl.col("quality").is_not_null() & pl.col("model").is_not_null())
            # An outcome that is always the same shows no change of anything.
            usable = (
                quality is not None
                and quality.binary
                and known.select("provider", "model").n_unique() == 1
                and broken(known, quality, None, None) is None
            )
            self._witnesses[task] = known.select("started_at", "quality") if usable else None
        return self._witnesses[task]
