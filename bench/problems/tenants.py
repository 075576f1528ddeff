"""Tenants that pay less than they cost, budgets that are exceeded, limits that growth will break."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from bench.events import Event, usd
from bench.problems._scene import Scene
from costaudit.config import Budget


def build(scene: Scene) -> None:
    scene.days, scene.start = 30, datetime(2026, 9, 1, tzinfo=UTC)  # a whole month
    task, blind = scene.task(), scene.task()
    weights = [1.0 + scene.random.random() for _ in scene.tenants]
    if scene.random.random() < 0.5:
        weights[0] = sum(weights)  # half of the spend or more
    events: list[Event] = []
    for day in range(scene.days):
        for _ in range(12):
            tenant = scene.random.choices(scene.tenants, weights)[0]
            at = scene.when(day) + timedelta(hours=8, minutes=scene.random.randrange(720))
            events.append(scene.call(task, at, tenant=tenant, model=scene.large, input=scene.lognormal(9_000)))
    # Calls without usage: of one tenant nobody can say on which side of the line it is.
    doubtful = scene.tenants[-1]
    for k in range(6):
        at = scene.when(k * 4) + timedelta(hours=9)
        scene.call(blind, at, tenant=doubtful, model=scene.small, input=400_000, output=100)
        scene.call(blind, at + timedelta(hours=1), tenant=doubtful, model=scene.small, input=None, output=None)
    scene.control("daily work of all tenants", events, "tenant-concentration", "unmetered-usage")
    _budgets(scene)
    _limits(scene)
    _revenue(scene, doubtful)  # last: every call counts


def _spent(scene: Scene, tenant: str) -> Decimal:
    return sum((usd(e) for e in scene.made if e.tenant == tenant), Decimal(0))


def _revenue(scene: Scene, doubtful: str) -> None:
    strength, loser = scene.strength(), scene.tenants[1]
    loss = Decimal(repr(scene.target(strength)))
    lines = ["tenant,usd_per_month"]
    for tenant in scene.tenants:
        cost = _spent(scene, tenant)
        if tenant == loser:
            pays = max(Decimal("0.01"), cost - loss)
        elif tenant == doubtful:
            pays = cost + Decimal("0.2")  # less than what its calls without usage may have cost
        else:
            pays = cost * 2
        pays = pays.quantize(Decimal("0.01"))
        lines.append(f"{tenant},{pays}")
        if tenant == loser:
            loss = cost - pays
    scene.files["revenue.csv"] = "\n".join(lines) + "\n"
    scene.settings["revenue"] = "revenue.csv"
    shown = "0.5x" if loss < Decimal("0.98") else "1x" if loss < 2 else "4x"
    if abs(loss - 1) >= Decimal("0.02"):
        scene.plant("tenant-under-water", "pays less than it costs", shown, [], usd=loss, low=loss,
                    subject={"tenant": loser}, needs="tenants")  # fmt: skip


def _budgets(scene: Scene) -> None:
    strength, task = scene.strength(), scene.task()
    made = [scene.call(task, scene.working_hours(), model=scene.large, input=20_000) for _ in range(60)]
    total = sum((usd(e) for e in made), Decimal(0))
    over = Decimal(repr(scene.target(strength)))
    limit = (total - over).quantize(Decimal("0.01")) if over < total else (total / 10).quantize(Decimal("0.01"))
    over = total - limit
    roomy = scene.task()
    calm = [scene.call(roomy, scene.working_hours(), model=scene.large, input=20_000) for _ in range(60)]
    scene.control("spend well inside its budget", calm)
    scene.settings["budgets"] = (
        Budget(limit, "month", {"task": task}),
        Budget(3 * sum((usd(e) for e in calm), Decimal(0)).quantize(Decimal("0.01")), "month", {"task": roomy}),
    )
    shown = "0.5x" if over < Decimal("0.98") else "1x" if over < 2 else "4x"
    if abs(over - 1) >= Decimal("0.02"):
        scene.plant("budget-overrun", "exceeded", shown, [], usd=over, low=over, exactness="interval",
                    subject={"task": task})  # fmt: skip


def _limits(scene: Scene) -> None:
    """Three times today's peak minute is allowed: ten times the traffic is too much. The other model has room."""
    task = scene.task()
    for k in range(1_200):  # busy minutes: the 99.9 % quantile of all minutes is among them
        at = scene.when(k % 30) + timedelta(hours=10, minutes=k // 30 % 40, seconds=scene.random.randrange(60))
        scene.call(task, at, model=scene.large, input=2_000, output=80)
    used = {scene.large: Counter[datetime](), scene.small: Counter[datetime]()}
    for e in scene.made:
        if e.model in used:
            used[e.model][e.at.replace(second=0, microsecond=0)] += 1
    first, last = min(e.at for e in scene.made), max(e.at for e in scene.made)
    minutes = int((last - first).total_seconds() // 60) + 1
    counts = sorted(used[scene.large].values())
    rank = math.ceil(0.999 * minutes) - (minutes - len(counts))
    peak = counts[rank - 1] if rank > 0 else 0
    allowed = 3 * peak
    scene.files["limits.yaml"] = (
        f"{scene.large}: {{requests_per_minute: {allowed}}}\n{scene.small}: {{requests_per_minute: 100000}}\n"
    )
    scene.settings["limits"] = "limits.yaml"
    refused = Decimal(0)
    for e in scene.made:
        if e.model == scene.large:
            asked = used[e.model][e.at.replace(second=0, microsecond=0)] * 10
            refused += usd(e) * 10 * max(Decimal(0), 1 - Decimal(allowed) / asked)
    scene.plant("growth-limit", "breaks at 3x", "4x" if refused >= 2 else "1x", [], usd=refused, low=refused,
                subject={"limit": scene.large})  # fmt: skip
