"""Prompts that a cache could have held: never cached, broken at the front, kept too short, written for nobody."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from bench.events import RATES, Event, Turn
from bench.problems._scene import Scene

LIVES = {"5m": 300, "1h": 3_600}
FRAME = 16  # characters that stand for what a message adds around its text


def build(scene: Scene) -> None:
    scene.base(2, 50)
    if scene.vendor == "anthropic":
        for part in (_never, _short_lived, _unread):
            part(scene)
    _unstable(scene)
    for control in (_below_minimum, _too_far_apart, _cold, _paying):
        control(scene)


def _never(scene: Scene) -> None:
    _plant(scene, "never cached", _gaps(scene, 20, 200), _as_it_is)


def _short_lived(scene: Scene) -> None:
    _plant(scene, "wrong lifetime", _gaps(scene, 600, 2_000), _written)


def _unread(scene: Scene) -> None:
    _plant(scene, "written, never read", _gaps(scene, 7_000, 20_000), _written)


def _unstable(scene: Scene) -> None:
    mark = scene.random.choice(("clock", "uuid"))

    def front(e: Event) -> str:
        if mark == "clock":
            return f"It is {e.at:%Y-%m-%d %H:%M:%S}. "
        digits = f"{scene.random.getrandbits(128):032x}"
        return f"Session {digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}. "

    _plant(scene, f"unstable prefix, {mark}", _gaps(scene, 20, 200), _as_it_is, front)


def _gaps(scene: Scene, least: int, most: int) -> Callable[[], float]:
    return lambda: scene.random.uniform(least, most)


def _as_it_is(event: Event, prefix: int) -> Event:
    del prefix
    return event


def _written(event: Event, prefix: int) -> Event:
    return replace(event, written=prefix)


Was = Callable[[Event, int], Event]


def _plant(scene: Scene, variant: str, gap: Callable[[], float], was: Was,
           front: Callable[[Event], str] | None = None) -> None:  # fmt: skip
    """Calls of one prompt at such gaps, with the input as it was billed; scaled until the low end is as asked."""
    strength, task, n = scene.strength(), scene.task(), scene.random.randrange(60, 90)
    system = scene.words(scene.random.randrange(4_000, 8_000))
    calls = _calls(scene, task, system, n, gap, front)
    made, truth = _scaled(calls, 8_000, was, unstable=front is not None)
    wanted = Decimal(str(scene.target(strength, slack=1.3)))
    for _ in range(4):  # a few rounds: whole tokens, and prompts that must stay over the minimum
        per_token = truth.low / Decimal(made[0].input or 1)
        made, truth = _scaled(calls, max(2_500, int(wanted / per_token)), was, unstable=front is not None)
    for old, new in zip(calls, made, strict=True):
        scene.change(old, **{name: getattr(new, name) for name in ("input", "cached", "written", "life")})
    shown = "1x" if Decimal("1.02") < truth.low < 2 else "0.5x" if truth.usd < Decimal("0.98") else "4x"
    if truth.low < Decimal("1.02") and truth.usd > Decimal("0.98"):
        scene.control("a saving whose interval crosses the floor", made, "cache-miss")
        return
    scene.plant("cache-miss", variant, shown, [], usd=truth.usd, low=truth.low, exactness="simulated",
                subject={"task": task, "cause": variant.split(",")[0]}, needs="blocks")  # fmt: skip


def _calls(scene: Scene, task: str, system: str, n: int, gap: Callable[[], float],
           front: Callable[[Event], str] | None = None, tenant: str | None = None) -> list[Event]:  # fmt: skip
    tenant = tenant or scene.random.choice(scene.tenants)
    at, made = scene.working_hours(), []
    for k in range(n):
        at += timedelta(seconds=gap())
        event = scene.call(task, at, tenant=tenant, model=scene.large, system=system, output=100,
                           turns=(Turn("user", f"Case {k}: {scene.words(150)}"),))  # fmt: skip
        made.append(scene.change(event, system=front(event) + system) if front else event)
    return made


@dataclass(frozen=True)
class Truth:
    usd: Decimal
    low: Decimal


def _scaled(calls: Sequence[Event], size: int, was: Was, *, unstable: bool) -> tuple[list[Event], Truth]:
    """The calls with so much input each, and what the best policy would have saved."""
    made = []
    for e in calls:
        first, whole = len(e.system) + FRAME, len(e.system) + len(e.turns[0].text) + 2 * FRAME
        made.append(was(replace(e, input=size, cached=0, written=0), size * first // whole))
    prefix = [size * (len(e.system) + FRAME) // (len(e.system) + len(e.turns[0].text) + 2 * FRAME) for e in calls]
    return made, best_policy(made, prefix, unstable=unstable)


def best_policy(made: Sequence[Event], prefix: Sequence[int], *, unstable: bool) -> Truth:
    """Replay of every policy on the calls' own times: a prompt is its prefix and a tail of its own.

    Policies: cache nothing; write everything; write a prefix the second time it is seen. Use renews the life.
    At the low end half of what could be read is written again.
    """
    rates = RATES[made[0].model]
    price, read = Decimal(rates.input), Decimal(rates.read)
    lives = {"5m": rates.write_5m, "1h": rates.write_1h} if Decimal(rates.write_5m) else {"5m": rates.input}
    actual = sum((_billed(e) for e in made), Decimal(0))
    options = [(Decimal(sum(e.input or 0 for e in made)) * price, 0, price)]
    for life, paid in lives.items():
        write = Decimal(paid)
        for policy in ("all", "seen") if write > price else ("all",):
            total, reads, last, known = Decimal(0), 0, datetime.min.replace(tzinfo=made[0].at.tzinfo), False
            for nth, e in enumerate(made):
                whole, alive = e.input or 0, known and (e.at - last).total_seconds() <= LIVES[life]
                p = prefix[nth]
                hit = alive and (policy == "all" or nth >= 2)
                written = 0
                if hit:
                    reads += p
                elif policy == "all" or nth >= 1:
                    written = p
                tail = whole - p
                wrote_tail = policy == "all" and not unstable
                total += p * read if hit else written * write + (p - written) * price
                total += tail * (write if wrote_tail and write > price else price)
                last, known = e.at, True
            options.append((total, reads, write))
    best, reads, write = min(options)
    usd = (actual - best) / 1_000_000
    again = Decimal(max(0, reads - sum(e.cached for e in made))) / 2 * (write - read) / 1_000_000
    return Truth(usd, usd - again)


def _billed(e: Event) -> Decimal:
    rates = RATES[e.model]
    write = Decimal(rates.write_1h if e.life == "1h" else rates.write_5m) or Decimal(rates.input)
    fresh = (e.input or 0) - e.cached - e.written
    return fresh * Decimal(rates.input) + e.cached * Decimal(rates.read) + e.written * write


def _below_minimum(scene: Scene) -> None:
    task = scene.task()
    calls = _calls(scene, task, scene.words(500), 80, _gaps(scene, 20, 200))
    scene.control("prefixes under the minimum", [scene.change(e, input=950) for e in calls])


def _too_far_apart(scene: Scene) -> None:
    task = scene.task()
    calls = _calls(scene, task, scene.words(5_000), 50, _gaps(scene, 50_000, 60_000))
    scene.control("gaps beyond every lifetime", [scene.change(e, input=30_000) for e in calls])


def _cold(scene: Scene) -> None:
    task = scene.task()
    events = [
        scene.call(
            task,
            scene.working_hours(),
            model=scene.large,
            input=30_000,
            system=f"{scene.words(300)} {k} {scene.words(3_000)}",
        )
        for k in range(40)
    ]
    scene.control("cold starts", events)


def _paying(scene: Scene) -> None:
    """A cache that works; and a one-hour cache that would not pay, and is not there."""
    if scene.vendor == "anthropic":
        task = scene.task()
        calls = _calls(scene, task, scene.words(6_000), 80, _gaps(scene, 20, 200))
        first, whole = len(calls[0].system) + FRAME, len(calls[0].system) + len(calls[0].turns[0].text) + 2 * FRAME
        p = 30_000 * first // whole
        made = [scene.change(e, input=30_000, cached=p if k > 1 else 0, written=p if k == 1 else 0)
                for k, e in enumerate(calls)]  # fmt: skip
        scene.control("a cache that works", made)

    def rare() -> float:
        return (
            scene.random.uniform(1_000, 3_000) if scene.random.random() < 0.35 else scene.random.uniform(8_000, 20_000)
        )

    task = scene.task()
    calls = _calls(scene, task, scene.words(5_000), 70, rare)
    scene.control("a 1 h cache that does not pay", [scene.change(e, input=25_000) for e in calls])
