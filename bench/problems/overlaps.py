"""Problems on top of each other: every dollar has one owner, the cause that stands first."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from bench.events import RATES, Event, Turn, usd
from bench.problems._scene import Scene


def build(scene: Scene) -> None:
    scene.base(2, 60)
    _uncached_loop(scene)
    _retried_duplicates(scene)
    _batch_of_duplicates(scene)


def _uncached_loop(scene: Scene) -> None:
    """A loop without a cache on the large model: removed calls need no cache, so the loop owns them whole."""
    task = scene.task()
    for _ in range(5):
        scene.run(task, scene.working_hours(), scene.healthy_steps(4), "Done.", model=scene.small)
    before = scene.healthy_steps(2)
    rounds = scene.random.randrange(10, 16)
    opening = int(Decimal("5") * 1_000_000 / Decimal(RATES[scene.large].input) / rounds)
    again: list[tuple[str, dict[str, object], str]] = [("fetch", {"url": "kb/0"}, "nothing there")] * rounds
    at = scene.working_hours()
    made = scene.run(task, at, [*before, *again], None, opening=opening, growth=100, cache=False)
    scene.plant("runaway-loop", "uncached, on a large model", "4x", made[3:], needs="tools")


def _retried_duplicates(scene: Scene) -> None:
    """A question asked again whose first attempt fails, billed: the failed attempt is a retry, the second a copy."""
    task, retried, copied = scene.task(), [], []
    n = 8
    for amount in scene.shares(2.0, n):
        first = scene.call(task, scene.working_hours(), model=scene.large, temperature=0.0, output=100,
                           input=scene.tokens_for(amount, 100, scene.large), seconds=Decimal(3))  # fmt: skip
        later = timedelta(hours=scene.random.uniform(1, 9))
        broken = scene.again(first, later, http=500, error="api_error", answer="")
        retried.append(broken)
        copied.append(scene.again(broken, timedelta(seconds=10), http=200, error=None, answer=first.answer,
                                  first=broken.id))  # fmt: skip
    scene.plant("retry-waste", "of a duplicate", "4x", retried, needs="messages status")
    scene.plant("duplicate-requests", "after a failure", "4x", copied, needs="messages")


def _batch_of_duplicates(scene: Scene) -> None:
    """A nightly job that runs every question twice: the copies are removed, the rest could be a batch."""
    task, nights, each = scene.task("nightly"), 8, 30
    kept: list[Event] = []
    copies: list[Event] = []
    for night in range(nights):
        for k in range(each):
            at = scene.when(night * 2) + timedelta(hours=2, seconds=20 + k * 1.3)
            question = Turn("user", f"Row {night} {k} {scene.words(700)}")
            e = scene.call(task, at, model=scene.large, temperature=0.0, input=8_000, output=100, seconds=Decimal(1),
                           system="Sort rows.", tenant=scene.tenants[0], turns=(question,))  # fmt: skip
            kept.append(e)
            if k % 3 == 0:
                copies.append(scene.again(e, timedelta(minutes=6)))
    half = sum((usd(replace(e)) for e in kept), Decimal(0)) / 2
    scene.plant("duplicate-requests", "inside a nightly job", "4x", copies, needs="messages")
    scene.plant("batchable", "what the duplicates leave", "4x", kept, usd=half, low=half, subject={"task": task})
