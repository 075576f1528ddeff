"""Weeks of traffic: a unit gets dearer, a day stands out, a price moves; and growth that is only growth."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from statistics import median

from bench.events import EARLIER, RATES, Event, usd
from bench.problems._scene import Scene

DAYS = 56


def build(scene: Scene) -> None:
    scene.days, scene.start = DAYS, datetime(2026, 7, 6, tzinfo=UTC)
    for part in (_step, _drift, _day, _price):
        part(scene)
    for control in (_growth, _launch, _mix, _flat):
        control(scene)


def _units(scene: Scene, task: str, a_day: float, size: Callable[[float, str], float], spread: float = 0.3,
           volume: Callable[[int], float] = lambda _: 1.0, **facts: object) -> list[Event]:  # fmt: skip
    """Calls of a task over all days: `a_day` of them on a weekday, fewer at weekends; size [tokens] by day, tenant."""
    made = []
    tenants = scene.tenants[:3]
    for day in range(DAYS):
        expected = a_day * volume(day) * (1.0 if day % 7 < 5 else 0.5)
        n = int(expected) + (scene.random.random() < expected % 1)
        for _ in range(n):
            tenant = scene.random.choice(tenants)
            at = scene.when(day) + timedelta(hours=8, minutes=scene.random.randrange(600))
            tokens = scene.lognormal(size(day, tenant), spread)
            made.append(scene.call(task, at, tenant=tenant, input=tokens, output=max(70, tokens // 40),
                                   **({"model": scene.large} | facts)))  # fmt: skip
    return made


def _bill(tokens: float, model: str) -> float:
    """Dollars of a unit of `_units`."""
    return (tokens * float(RATES[model].input) + tokens / 40 * float(RATES[model].output)) / 1_000_000


def _step(scene: Scene) -> None:
    strength, task = scene.strength(), scene.task()
    variant, rise, spread = scene.random.choice(
        (("+20 %", 1.2, 0.12), ("+50 %", 1.5, 0.4), ("prompt 2.5 times as long", 2.5, 0.4))
    )
    change = scene.random.randrange(18, 36)
    a_day = 5.0
    after = (DAYS - change) * a_day * 6 / 7
    # The interval of the change is wide: the lower end is what meets the floor.
    want = {"0.5x": 0.5, "1x": 2.0, "4x": 6.0}[strength] * scene.random.uniform(0.9, 1.1)
    base = want / (after * (rise - 1)) / _bill(1, scene.large)
    made = _units(scene, task, a_day, lambda day, _: base * (rise if day >= change else 1.0), spread)
    first = scene.when(change)
    before, later = [e for e in made if e.at < first], [e for e in made if e.at >= first]
    usual = sum((usd(e) for e in before), Decimal(0)) / len(before)
    excess = sum((usd(e) for e in later), Decimal(0)) - usual * len(later)
    scene.plant("cost-regression", variant, strength, [], usd=excess, low=excess / 2, exactness="interval", day=first,
                subject={"task": task})  # fmt: skip


def _drift(scene: Scene) -> None:
    task = scene.task()
    base = 3.0 / (DAYS * 5) / _bill(1, scene.large) * 3
    _units(scene, task, 5.0, lambda day, _: base * (1 + 0.8 * day / DAYS), 0.2)
    scene.plant("cost-regression", "slow drift", "4x", [], usd=Decimal(0), exactness="none", subject={"task": task})


def _day(scene: Scene) -> None:
    strength, task = scene.strength(), scene.task()
    special, factor, a_day = scene.random.randrange(10, 45), 7, 4
    while special % 7 > 4:
        special += 1
    want = scene.target(strength, slack=1.4)
    base = want / (a_day * (factor - 1)) / _bill(1, scene.large)
    made = _units(scene, task, a_day, lambda *_: base, 0.15, lambda day: factor if day == special else 1.0)
    day = scene.when(special)
    cost: dict[object, Decimal] = {}
    for e in made:
        cost[e.at.date()] = cost.get(e.at.date(), Decimal(0)) + usd(e)
    same = [float(v) for d, v in cost.items() if d.weekday() == day.weekday() and d != day.date()]
    excess = cost[day.date()] - Decimal(repr(median(same)))
    if Decimal("0.85") < excess < Decimal("1.15"):
        scene.control("a day at the floor", made, "spend-anomaly")
        return
    shown = "0.5x" if excess < 1 else "1x" if excess < 2 else "4x"
    scene.plant("spend-anomaly", "a day of seven times the volume", shown, [], usd=excess, low=excess,
                exactness="simulated", day=day, subject={"task": task})  # fmt: skip


def _price(scene: Scene) -> None:
    """A list price that falls while the task stays as it is."""
    if scene.vendor != "openai":
        return
    model, task = "gpt-5.6-terra", scene.task()
    since, before = EARLIER[model]
    made = _units(scene, task, 4.0, lambda *_: 15_000, 0.3, model=model)
    moved = Decimal(0)
    for e in made:
        if e.at >= since:
            old = (e.input or 0) * Decimal(before.input) + (e.output or 0) * Decimal(before.output)
            moved += usd(e) - old / 1_000_000
    shown = "0.5x" if abs(moved) < 1 else "1x" if abs(moved) < 2 else "4x"
    scene.plant("price-change", "a cut", shown, [], usd=moved, low=abs(moved), day=since,
                subject={"model": f"openai:{model}", "date": f"{since:%Y-%m-%d}"})  # fmt: skip


def _growth(scene: Scene) -> None:
    made = _units(scene, scene.task(), 4.0, lambda *_: 8_000, 0.4,
                  lambda day: (1 + 2.5 * day / DAYS) * (1.0 if day % 7 != 0 else 1.3))  # fmt: skip
    scene.control("seasonal growth", made)


def _launch(scene: Scene) -> None:
    """From one day on there is five times the work, at the same price a unit."""
    made = _units(scene, scene.task(), 3.0, lambda *_: 8_000, 0.4, lambda day: 5.0 if day >= 40 else 1.0)
    scene.control("launch day", made)


def _mix(scene: Scene) -> None:
    """Large customers come to use the task more; each of them costs what it did."""
    task, sizes = scene.task(), dict(zip(scene.tenants[:3], (3_000, 6_000, 12_000), strict=True))
    made = []
    for day in range(DAYS):
        for _ in range(5 if day % 7 < 5 else 2):
            late = day >= 28
            tenant = scene.random.choices(scene.tenants[:3], (1, 2, 5) if late else (5, 2, 1))[0]
            at = scene.when(day) + timedelta(hours=8, minutes=scene.random.randrange(600))
            tokens = scene.lognormal(sizes[tenant], 0.3)
            made.append(scene.call(task, at, tenant=tenant, model=scene.large, input=tokens, output=200))
    scene.control("mix shift", made)


def _flat(scene: Scene) -> None:
    """A weekly wave in what a unit costs, and a last day that is cut off in the morning."""
    made = _units(scene, scene.task(), 6.0, lambda day, _: 8_000 * (1 + 0.3 * math.sin(2 * math.pi * day / 7)), 0.4)
    last = scene.when(DAYS)
    made += [scene.call(made[0].task, last + timedelta(hours=8, minutes=k), model=scene.large, input=20_000, output=500,
                        tenant=scene.tenants[0]) for k in range(3)]  # fmt: skip
    scene.control("flat spend, partial last day", made)
