"""The variance bridge: why spend went from one amount to another, in bars that add up to the difference exactly.

    spend = Σ units · task mix · calls a unit · retries · model mix · tokens a call · class share · price

over segments of task, model and usage class. The effect of a factor x on a segment is L(V1, V0)·ln(x1/x0), where L is
the logarithmic mean (LMDI-I: Ang, Energy Policy 33, 2005): effects of a segment add up to V1 - V0 without a remainder,
and swapping the windows turns every sign. A factor that is zero in one window is handled as the limit, not with an
epsilon: the first such factor, in the order above, owns the segment's whole change.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal, localcontext

import msgspec
import polars as pl

from costaudit.price.book import PriceBook
from costaudit.price.classes import TOKENS
from costaudit.price.exact import sum_usd
from costaudit.price.mix import EXACT, Mix, Unpriced, direction, mix
from costaudit.schema import USD
from costaudit.stats import lmdi_weight

GROWTH, EFFICIENCY, PRICE = "growth", "efficiency", "price"

FACTORS: dict[str, str] = {
    "days": GROWTH,
    "units": GROWTH,
    "task mix": GROWTH,
    "new task": GROWTH,
    "gone task": GROWTH,
    "calls per unit": EFFICIENCY,
    "retries": EFFICIENCY,
    "model mix": EFFICIENCY,
    "input tokens": EFFICIENCY,
    "output tokens": EFFICIENCY,
    "reasoning tokens": EFFICIENCY,
    "fees": EFFICIENCY,
    "caching": EFFICIENCY,
    "price": PRICE,
}
"""Every bar, in the order in which bars are shown, and what kind of change it is."""

PLACES = Decimal(1).scaleb(-12)  # USD; finer than that, an effect is the rounding of a float
ZERO = Decimal(0)
ROWS = pl.Schema(
    {
        "factor": pl.String(),
        "group": pl.String(),
        "task": pl.String(),
        "model": pl.String(),
        "effect_usd": USD,
        "estimated": pl.Float64(),
    }
)

Key = tuple[str, str, str]  # factor, task, model
Factor = tuple[str, float, float]  # name, value before, value after


class Bridge(msgspec.Struct, frozen=True):
    """Spend before and after, and the bars between them.

    rows      factor, group (growth, efficiency, price), task, model, effect_usd, estimated (share of the money behind
              the row, 0..1, that rests on estimated counts); the largest change first
    unpriced  calls without a price, before and after: outside the bars
    """

    before_usd: Decimal
    after_usd: Decimal
    rows: pl.DataFrame
    unpriced: tuple[Unpriced, Unpriced] = (Unpriced(), Unpriced())

    @property
    def change_usd(self) -> Decimal:
        with localcontext(prec=EXACT):
            return self.after_usd - self.before_usd

    def by_factor(self) -> list[tuple[str, str, Decimal]]:
        """(factor, group, effect) of every bar that is not empty, in the order of FACTORS."""
        sums = self._sums("factor")
        return [(factor, group, sums[factor]) for factor, group in FACTORS.items() if factor in sums]

    def by_group(self) -> dict[str, Decimal]:
        """Growth, efficiency and price; they add up to the change."""
        sums = self._sums("group")
        return {group: sums.get(group, ZERO) for group in (GROWTH, EFFICIENCY, PRICE)}

    def top(self, count: int = 5) -> tuple[pl.DataFrame, Decimal]:
        """The `count` rows that moved most, and the effect of all others together."""
        return self.rows.head(count), sum_usd(self.rows.slice(count)["effect_usd"])

    def _sums(self, column: str) -> dict[str, Decimal]:
        return dict(self.rows.group_by(column).agg(pl.col("effect_usd").sum()).iter_rows())


def bridge(
    before: pl.DataFrame, after: pl.DataFrame, book: PriceBook, *, days: tuple[float, float] | None = None
) -> Bridge:
    """The bridge between two frames of priced calls [schema.CALLS]; the order of their rows does not matter.

    days   lengths of the windows, where they differ: more days become a bar of their own
    """
    return between(mix(before, book), mix(after, book), days=days)


def between(before: Mix, after: Mix, *, days: tuple[float, float] | None = None) -> Bridge:
    """The bridge between two mixes; see `bridge`."""
    if days is not None and min(days) <= 0:
        raise ValueError("a window has more than zero days")
    effects: defaultdict[Key, list[float]] = defaultdict(list)
    weights: defaultdict[Key, list[tuple[float, float]]] = defaultdict(list)
    for segment in _segments(before, after, days):
        for factor, effect in segment.effects():
            key = (factor, segment.task, segment.model)
            effects[key].append(effect)
            weights[key].append((segment.estimated, segment.before + segment.after))
    exact = _settled(effects, before.usd, after.usd)
    rows = [
        (factor, FACTORS[factor], task, model, effect, _share(weights[factor, task, model]))
        for (factor, task, model), effect in exact.items()
        if effect
    ]
    order = {factor: nth for nth, factor in enumerate(FACTORS)}
    rows.sort(key=lambda row: (-abs(row[4]), order[row[0]], row[2], row[3]))
    return Bridge(
        before.usd, after.usd, pl.DataFrame(rows, schema=ROWS, orient="row"), (before.unpriced, after.unpriced)
    )


class _Segment(msgspec.Struct, frozen=True):
    """One task, model and class: its dollars in both windows, and the factors whose product they are."""

    task: str
    model: str
    before: float
    after: float
    estimated: float
    factors: tuple[Factor, ...]

    def effects(self) -> Iterator[tuple[str, float]]:
        if self.before == self.after == 0:
            return
        if self.before == 0 or self.after == 0:
            empty = 1 if self.before == 0 else 2
            # A product of zero has a factor that is zero; where dollars alone are, the price is.
            yield next((f[0] for f in self.factors if f[empty] == 0), "price"), self.after - self.before
            return
        weight = lmdi_weight(max(self.before, self.after), min(self.before, self.after))
        for name, x_0, x_1 in self.factors:
            if x_0 != x_1:
                yield name, weight * (math.log(x_1) - math.log(x_0))


def _segments(before: Mix, after: Mix, days: tuple[float, float] | None) -> Iterator[_Segment]:
    windows = _Window.of(before, days[0] if days else None), _Window.of(after, days[1] if days else None)
    for task, model, name in sorted(windows[0].classes.keys() | windows[1].classes.keys()):
        usd = [w.classes.get((task, model, name), (0.0, 0.0, 0.0)) for w in windows]
        yield _Segment(task, model, usd[0][1], usd[1][1], usd[0][2] + usd[1][2], _factors(windows, task, model, name))


class _Window(msgspec.Struct, frozen=True):
    """A mix, looked up by key; `classes` holds (quantity, usd, estimated usd)."""

    days: float | None
    units: float
    tasks: dict[str, tuple[float, float, float]]
    models: dict[tuple[str, str], float]
    classes: dict[tuple[str, str, str], tuple[float, float, float]]
    directions: dict[tuple[str, str, str], float]

    @classmethod
    def of(cls, of: Mix, days: float | None) -> _Window:
        rows = list(of.classes.iter_rows())
        directions: defaultdict[tuple[str, str, str], float] = defaultdict(float)
        for task, model, name, quantity, _, _ in rows:
            directions[task, model, direction(name)] += quantity
        return cls(
            days,
            of.units,
            {task: (units, calls, ok) for task, units, calls, ok in of.tasks.iter_rows()},
            {(task, model): calls for task, model, calls in of.models.iter_rows()},
            {(t, m, name): (quantity, float(usd), float(est)) for t, m, name, quantity, usd, est in rows},
            dict(directions),
        )


def _factors(windows: tuple[_Window, _Window], task: str, model: str, name: str) -> tuple[Factor, ...]:
    """The factors of a segment, in the order in which a zero is blamed."""
    counts = [w.tasks.get(task, (0.0, 0.0, 0.0)) for w in windows]
    presence = "new task" if counts[0][0] == 0 else "gone task"
    if 0.0 in (counts[0][0], counts[1][0]):
        return ((presence, counts[0][0], counts[1][0]),)
    merged = 0.0 in (counts[0][2], counts[1][2])  # no call succeeded in one window: its retries have no measure
    values: list[list[tuple[str, float]]] = []
    for window, (units, calls, ok) in zip(windows, counts, strict=True):
        quantity, usd, _ = window.classes.get((task, model, name), (0.0, 0.0, 0.0))
        per_model = window.models.get((task, model), 0.0)
        whole = window.directions.get((task, model, direction(name)), 0.0)
        values.append(
            [
                *([("days", window.days)] if window.days is not None else []),
                ("units", window.units / (window.days or 1.0)),
                ("task mix", units / window.units),
                ("calls per unit", (calls if merged else ok) / units),
                *([] if merged else [("retries", calls / ok)]),
                ("model mix", _quotient(per_model, calls)),
                (_bar(name), _quotient(whole, per_model)),
                ("caching", _quotient(quantity, whole)),
                ("price", _quotient(usd, quantity)),
            ]
        )
    return tuple((name, x, y) for (name, x), (_, y) in zip(*values, strict=True))


def _bar(name: str) -> str:
    if name not in TOKENS:
        return "fees"
    kind = direction(name).split("_")[0]
    return f"{kind} tokens"


def _quotient(x: float, y: float) -> float:
    return x / y if y else 0.0


def _settled(effects: dict[Key, list[float]], before: Decimal, after: Decimal) -> dict[Key, Decimal]:
    """The bars to a trillionth of a dollar; what rounding left over goes to the largest, so that they add up."""
    with localcontext(prec=EXACT):
        exact = {key: Decimal(math.fsum(parts)).quantize(PLACES) for key, parts in effects.items()}
        if exact:
            largest = min(exact, key=lambda key: (-abs(exact[key]), key))
            exact[largest] += after - before - sum(exact.values(), ZERO)
    return exact


def _share(weights: list[tuple[float, float]]) -> float:
    money = math.fsum(usd for _, usd in weights)
    return math.fsum(estimated for estimated, _ in weights) / money if money else 0.0
