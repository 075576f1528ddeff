"""What looks like a problem and is none, and evidence that looks like proof: every control here has fooled a rule."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal

from bench.events import Event, Turn, usd
from bench.problems._scene import Scene
from bench.problems.models import _answered
from bench.problems.series import DAYS, _bill, _units


def build(scene: Scene) -> None:
    scene.days = DAYS
    scene.base(1, 50)
    for control in (_side_by_side, _labels, _together, _key_a_model, _crashes):
        control(scene)
    _comes_back(scene)


def _side_by_side(scene: Scene) -> None:
    """Agents of one run that begin with the same look around, each counting its own steps."""
    task, made = scene.task(), []
    for _ in range(4):
        run, start = f"r{scene.id()}", scene.working_hours()
        for agent in range(4):
            turns: tuple[Turn, ...] = (Turn("user", f"Part {agent} of {run}: {scene.words(200)}"),)
            for k in range(5):
                args = {"path": "."} if k == 0 else {"path": f"{agent}/{k}"}
                call = Turn("call", json.dumps(args), f"call_{run}_{agent}_{k}", "fetch")
                said = "12 files" if k == 0 else f"file {agent} {k} {scene.words(60)}"
                at = start + timedelta(seconds=20 * k, milliseconds=30 * agent)
                made.append(scene.call(task, at, run=run, step=k + 1, turns=turns, call=call, result=said, answer="",
                                       model=scene.large, input=8_000 + 500 * k, output=120, seconds=Decimal(6),
                                       tenant=scene.tenants[0], user="agents"))  # fmt: skip
                turns = (*turns, call, Turn("result", said, call.id, "fetch"))
    scene.control("agents that begin alike, side by side", made, "context-bloat", "cache-miss", "duplicate-requests")


def _labels(scene: Scene) -> None:
    """A batch whose items are labelled by a forced tool call; nothing is ever given back to it."""
    task, made = scene.task(), []
    for _ in range(3):
        run, start = f"r{scene.id()}", scene.working_hours()
        for k in range(60):
            label = scene.random.choice(("spam", "spam", "spam", "ham"))
            call = Turn("call", json.dumps({"label": label}), f"call_{run}_{k}", "label")
            made.append(scene.call(task, start + timedelta(seconds=3 * k), run=run, step=k + 1, call=call, answer="",
                                   turns=(Turn("user", f"Mail {k}: {scene.words(300)}"),), model=scene.large,
                                   input=scene.lognormal(4_000), output=80, tenant=scene.tenants[0]))  # fmt: skip
    scene.control("labels by a forced tool call", made, "batchable")


def _together(scene: Scene) -> None:
    """Questions about one document sent at the same moment, rarely: each would pay the write and none would read it."""
    task = scene.task()
    document = scene.words(6_000)
    made = [
        scene.call(task, scene.when(3 * nth) + timedelta(hours=9, milliseconds=20 * k), system=document, input=20_000,
                   output=90, seconds=Decimal(6), model=scene.large)
        for nth in range(10) for k in range(6)
    ]  # fmt: skip
    scene.control("calls sent together", made)


def _key_a_model(scene: Scene) -> None:
    """A router on difficulty with a key for each model: both look equal, the small one is 15 points worse."""
    task, made = scene.task(), []
    for k in range(900):
        hard = scene.random.random() < 0.35
        large = scene.random.random() < (0.7 if hard else 0.3)
        right = scene.random.random() < ((0.72 if large else 0.45) if hard else (0.97 if large else 0.95))
        made.append(scene.call(task, scene.working_hours(), model=scene.large if large else scene.small, input=2_000,
                               output=max(80, scene.lognormal(200, 0.3)), success=right, tenant=scene.tenants[k % 3],
                               key="key-large" if large else "key-small"))  # fmt: skip
    scene.control("a router with a key for each model", made)


def _crashes(scene: Scene) -> None:
    """Both models answered the same questions; the small one crashed on one in twenty-five, which nobody scored."""
    task = scene.task()
    sides = _answered(scene, task, 700, (scene.small, scene.large), 1_500, 0.95, 0.004)
    lost = {e.id for side in sides for e in side[::25] if e.model == scene.small}
    made = [scene.change(e, success=None) if e.id in lost else e for side in sides for e in side]
    scene.control("crashes that nobody scored", made)


def _comes_back(scene: Scene) -> None:
    """A unit costs 80 % more for two weeks and a half, and then what it did before."""
    task, first, last = scene.task(), 20, 38
    want = 5.0 * scene.random.uniform(0.9, 1.1)
    base = want / ((last - first) * 5.0 * 6 / 7 * 0.8) / _bill(1, scene.large)
    made = _units(scene, task, 5.0, lambda day, _: base * (1.8 if first <= day < last else 1.0), 0.25)
    inside = [e for e in made if scene.when(first) <= e.at < scene.when(last)]
    before = [e for e in made if e.at < scene.when(first)]
    usual = _mean(before)
    excess = sum((usd(e) for e in inside), Decimal(0)) - usual * len(inside)
    scene.plant("cost-regression", "+80 % for some weeks", "4x", [], usd=excess, low=excess / 2, exactness="interval",
                day=scene.when(first), subject={"task": task})  # fmt: skip


def _mean(events: list[Event]) -> Decimal:
    return sum((usd(e) for e in events), Decimal(0)) / len(events)
