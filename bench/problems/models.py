"""Tasks on two models or two efforts, short answers on a dear model, and jobs nobody waits for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

from bench.events import RATES, Event, Turn, usd
from bench.problems._scene import Scene

LABELS = ("spam", "ham", "unsure")


def build(scene: Scene) -> None:
    scene.base(2, 50)
    for part in (_paired, _assigned, _short, _efforts, _nightly):
        part(scene)
    for control in (_worse, _router, _broken, _hard, _chat):
        control(scene)


def _answered(scene: Scene, task: str, n: int, models: Sequence[str], size: int, good: float, apart: float,
              **facts: object) -> list[list[Event]]:  # fmt: skip
    """n questions answered by each of the models; pairs disagree with probability `apart`, either way alike."""
    sides: list[list[Event]] = [[] for _ in models]
    longer = scene.random.uniform(0.8, 1.2)  # answers of the second model over those of the first
    winner = 0
    for k in range(n):
        outcome = scene.random.random() < good
        odd = scene.random.random() < apart
        winner = (winner + odd) % len(models)  # in turns: this sample shows what is true of both
        at = scene.working_hours()
        question = Turn("user", f"Question {task} {k}: {scene.words(30)}")
        for side, model in enumerate(models):
            right = (side == winner) if odd else outcome
            output = max(80, int(scene.lognormal(200, 0.3) * (longer if side else 1)))
            sides[side].append(
                scene.call(task, at + timedelta(minutes=side * 30), model=model, tenant=scene.tenants[k % 3],
                           turns=(question,), input=size, output=output, success=right, **facts)
            )  # fmt: skip
    return sides


def _paired(scene: Scene) -> None:
    """Both models answered the same questions; they are equally good."""
    strength, task, n = scene.strength(), scene.task(), 320
    gain = Decimal(str(scene.target(strength, slack=1.5))) / n * 1_000_000
    rates = [RATES[scene.small], RATES[scene.large]]
    size = max(300, int((gain - 200 * (Decimal(rates[1].output) - Decimal(rates[0].output)))
                        / (Decimal(rates[1].input) - Decimal(rates[0].input))))  # fmt: skip
    cheap, dear = _answered(scene, task, n, (scene.small, scene.large), size, 0.93, 0.008)
    saved = sum((usd(d) - usd(c) for c, d in zip(cheap, dear, strict=True)), Decimal(0))
    _note(scene, "overpowered-model", "paired, equally good", dear, saved, "PROVEN",
          {"task": task, "from": scene.large, "to": scene.small}, "outcomes messages")  # fmt: skip


def _note(scene: Scene, rule: str, variant: str, events: Sequence[Event], saved: Decimal, grade: str,
          subject: dict[str, str], needs: str) -> None:  # fmt: skip
    """A plant whose dollars lie in an interval: just around the floor it may be shown or not."""
    low = saved * Decimal("0.93")  # what an interval of measured tokens leaves at its low end, about
    if saved > Decimal("0.9") and low < Decimal("1.02"):
        scene.control(f"{variant}, at the floor", events, rule)
        return
    real = "0.5x" if saved <= Decimal("0.9") else "1x" if saved < 2 else "4x"
    scene.plant(rule, variant, real, events, usd=saved, low=low, exactness="interval", subject=subject, grade=grade,
                needs=needs)  # fmt: skip


def _assigned(scene: Scene) -> None:
    """Models assigned at random, and declared so; both nearly always right."""
    task, n = scene.task("ab"), 450
    events: list[Event] = []
    asked = dict.fromkeys((scene.small, scene.large), 0)
    for k in range(2 * n):
        model = (scene.small, scene.large)[scene.random.randrange(2)]
        asked[model] += 1
        events.append(scene.call(task, scene.working_hours(), model=model, tenant=scene.tenants[k % 3],
                                 input=1_500 + scene.random.randrange(500), output=max(80, scene.lognormal(200, 0.3)),
                                 success=asked[model] % 100 > 0))  # fmt: skip
    scene.settings.setdefault("rules", {})["overpowered-model"] = {"randomised": (task,)}
    dear = [e for e in events if e.model == scene.large]
    then = Decimal(sum(usd(e) for e in events if e.model == scene.small)) / (len(events) - len(dear)) * len(dear)
    saved = sum((usd(e) for e in dear), Decimal(0)) - then
    good = [sum(bool(e.success) for e in side) / len(side)
            for side in (dear, [e for e in events if e.model == scene.small])]  # fmt: skip
    if good[0] - good[1] > 0.006:  # by chance this sample cannot show it
        scene.control("assigned at random, unlucky", events, "overpowered-model")
        return
    _note(scene, "overpowered-model", "assigned at random", dear, saved, "PROVEN",
          {"task": task, "from": scene.large, "to": scene.small}, "outcomes")  # fmt: skip


def _short(scene: Scene) -> None:
    """One word answers, temperature 0, small prompts, on the large model; no outcome is known."""
    task, n = scene.task("label"), scene.random.randrange(150, 260)
    size = scene.random.randrange(2_400, 3_600)
    at = scene.working_hours
    events = [scene.call(task, at(), model=scene.large, input=size, output=scene.random.randrange(3, 9),
                         temperature=0.0, answer=scene.random.choice(LABELS), tenant=scene.tenants[0])
              for _ in range(n)]  # fmt: skip
    lower = scene.random.uniform(0.85, 1.3)
    saved = sum((usd(e) for e in events), Decimal(0)) - sum(
        (usd(e, scene.small) * Decimal(repr(lower)) for e in events), Decimal(0)
    )
    if saved * Decimal("0.7") < Decimal("1.02") and saved > Decimal("0.5"):
        scene.control("short answers, at the floor", events, "overpowered-model")
        return
    _note(scene, "overpowered-model", "short answers", events, saved, "EXPERIMENT",
          {"task": task, "from": scene.large}, "")  # fmt: skip


def _efforts(scene: Scene) -> None:
    """The same questions at two efforts, equally well answered; the higher one reasons six times as long."""
    if scene.vendor != "openai":
        return  # the formats of the other vendor do not log an effort
    strength, task, n = scene.strength(), scene.task("solve"), 300
    rate = Decimal(RATES[scene.large].output)
    longer = max(300, int(Decimal(str(scene.target(strength, slack=1.4))) / n * 1_000_000 / rate))
    events, calm, winner = [], [], 0
    for k in range(n):
        outcome = scene.random.random() < 0.9
        odd = scene.random.random() < 0.006
        winner = (winner + odd) % 2
        question = Turn("user", f"Problem {task} {k}: {scene.words(30)}")
        at = scene.working_hours()
        for side, effort in enumerate(("low", "high")):
            hidden = 200 + scene.random.randrange(-20, 21) + (longer if side else 0)
            right = (side == winner) if odd else outcome
            e = scene.call(task, at + timedelta(minutes=side * 30), model=scene.large, turns=(question,), effort=effort,
                           input=700, output=hidden + 150, reasoning=hidden, success=right,
                           tenant=scene.tenants[k % 3])  # fmt: skip
            (events if side else calm).append(e)
    usual = sorted(e.reasoning for e in calm)[(n - 1) // 2]
    saved = sum((Decimal(max(0, e.reasoning - usual)) for e in events), Decimal(0)) * rate / 1_000_000
    _note(scene, "reasoning-overspend", "two efforts, equally good", events, saved, "PROVEN", {"task": task},
          "outcomes messages effort")  # fmt: skip


def _nightly(scene: Scene) -> None:
    strength = scene.strength()
    task = scene.task("nightly")
    nights, each = 8, scene.random.randrange(28, 40)
    n = nights * each
    amounts = scene.shares(2 * scene.target(strength), n)
    events = []
    for k, amount in enumerate(amounts):
        at = scene.when(k // each * 2) + timedelta(hours=2, seconds=20 + k % each * 1.4)
        output = 60
        events.append(scene.call(task, at, model=scene.large, output=output, temperature=0.5, tenant=scene.tenants[0],
                                 system="Sum up.", turns=(Turn("user", f"Row {k} {scene.words(700)}"),),
                                 input=scene.tokens_for(amount, output, scene.large)))  # fmt: skip
    half = sum((usd(e) for e in events), Decimal(0)) / 2
    scene.plant("batchable", "nightly job", strength, events, usd=half, low=half, exactness="exact",
                subject={"task": task})  # fmt: skip


def _worse(scene: Scene) -> None:
    """Both models answered the same questions; the cheap one is wrong twenty times in a hundred more."""
    task = scene.task()
    made: list[Event] = []
    for side in _answered(scene, task, 120, (scene.small, scene.large), 6_000, 0.9, 0.0):
        for e in side:
            hurt = e.model == scene.small and scene.random.random() < 0.2
            made.append(scene.change(e, success=False) if hurt else e)
    scene.control("the cheap model is worse", made)


def _router(scene: Scene) -> None:
    """Hard questions go to the large model: the small one looks better and is worse."""
    task, made = scene.task(), []
    for k in range(400):
        hard = scene.random.random() < 0.35
        large = scene.random.random() < (0.8 if hard else 0.2)
        right = scene.random.random() < ((0.7 if large else 0.45) if hard else (0.97 if large else 0.95))
        made.append(scene.call(task, scene.working_hours(), model=scene.large if large else scene.small, input=5_000,
                               output=max(80, scene.lognormal(200, 0.3)), success=right,
                               tenant=scene.tenants[k % 3]))  # fmt: skip
    scene.control("a router that flips the sign", made)


def _broken(scene: Scene) -> None:
    kind = scene.random.choice(("constant", "missing for one model"))
    task = scene.task()
    made = []
    for side in _answered(scene, task, 110, (scene.small, scene.large), 6_000, 1.0 if kind == "constant" else 0.9, 0.0):
        for e in side:
            lost = kind != "constant" and e.model == scene.small and not e.success and scene.random.random() < 0.9
            made.append(scene.change(e, success=None) if lost else e)
    scene.control(f"broken scores: {kind}", made)


def _hard(scene: Scene) -> None:
    task = scene.task()
    made = [scene.call(task, scene.working_hours(), model=scene.large, output=5_000, reasoning=4_200, input=3_000,
                       temperature=None) for _ in range(40)]  # fmt: skip
    scene.control("hard tasks with long reasoning", made)


def _chat(scene: Scene) -> None:
    """People in a hurry: many calls at once, at any minute of the day; and an agent at work, step by step."""
    task, made = scene.task(), []
    for _ in range(14):
        at = scene.working_hours()
        for k in range(18):
            later = timedelta(seconds=scene.random.uniform(0, 90))
            made.append(scene.call(task, at + later, model=scene.large, input=4_000, user=f"person-{k}"))
    scene.control("bursts of people", made)
    task, made = scene.task(), []
    for _ in range(30):
        made += scene.run(task, scene.working_hours(), scene.healthy_steps(7), "Done.", opening=3_000)
    scene.control("an agent, step by step", made)
