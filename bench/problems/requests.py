"""Single calls: bought twice, sent again, failed, cut, unpriced, unmetered, on a dearer tier."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from bench.events import RATES, Event, Turn, usd
from bench.problems._scene import Scene


def build(scene: Scene) -> None:
    scene.base(3, 60)
    for part in (_duplicates, _retries, _failures, _cuts, _unknown, _tier, _partner):
        part(scene)
    for part in (_samples, _unbilled, _accepted, _trials, _snapshots, _free):
        part(scene)


def _duplicates(scene: Scene) -> None:
    variant, strength = scene.random.choice(("temperature 0", "equal answers", "double submit")), scene.strength()
    task, n = scene.task(), scene.random.randrange(6, 14)
    wasted: list[Event] = []
    temperature = None if variant == "equal answers" else 0.0
    for amount in scene.shares(scene.target(strength), n):
        tokens = scene.tokens_for(amount, 120, scene.large)
        first = scene.call(task, scene.working_hours(), model=scene.large, input=tokens, output=120,
                           temperature=temperature, seconds=Decimal("0.9"))  # fmt: skip
        gap = timedelta(seconds=1.2) if variant == "double submit" else timedelta(hours=scene.random.uniform(0.5, 9))
        wasted.append(scene.again(first, gap))
    for _ in range(12):  # questions of the same task that were asked once
        scene.call(task, scene.working_hours(), temperature=temperature)
    scene.plant("duplicate-requests", variant, strength, wasted, needs="messages")


def _retries(scene: Scene) -> None:
    variant, strength = scene.random.choice(("upstream failure", "client timeout", "storm")), scene.strength()
    task = scene.task()
    attempts = 5 if variant == "storm" else 1
    wasted: list[Event] = []
    failed = {"http": 500, "error": "api_error", "answer": "", "seconds": Decimal(4)}
    slow = {"seconds": Decimal(70)}  # the client gives up after 60 s, the server goes on
    for amount in scene.shares(scene.target(strength), scene.random.randrange(5, 10)):
        tokens = scene.tokens_for(amount / attempts, 300, scene.large)
        first = scene.call(task, scene.working_hours(), model=scene.large, output=300, input=tokens,
                           **(slow if variant == "client timeout" else failed))  # fmt: skip
        tried = [first, *(scene.again(first, timedelta(seconds=12 * k), first=first.id) for k in range(1, attempts))]
        wasted += tried
        later = timedelta(seconds=60 if variant == "client timeout" else 15)
        scene.again(tried[-1], later, http=200, error=None, answer="Here is the answer after all.", first=first.id,
                    seconds=Decimal(4))  # fmt: skip
    for _ in range(15):
        scene.call(task, scene.working_hours(), model=scene.large)
    scene.plant("retry-waste", variant, strength, wasted, needs="messages status")


def _failures(scene: Scene) -> None:
    variant, strength = scene.random.choice(("server error", "refused input")), scene.strength()
    task, n = scene.task(), scene.random.randrange(5, 12)
    http, error = (500, "api_error") if variant == "server error" else (400, "invalid_request_error")
    wasted = [
        scene.call(task, scene.working_hours(), model=scene.large, http=http, error=error, answer="", output=20,
                   input=scene.tokens_for(amount, 20, scene.large))
        for amount in scene.shares(scene.target(strength), n)
    ]  # fmt: skip
    for _ in range(30):
        scene.call(task, scene.working_hours(), model=scene.large)
    scene.plant("failed-calls", variant, strength, wasted, needs="status")


def _cuts(scene: Scene) -> None:
    variant, strength = scene.random.choice(("sent again", "continued")), scene.strength()
    task, n = scene.task(), scene.random.randrange(5, 10)
    wasted: list[Event] = []
    amounts: list[Decimal] = []
    for amount in scene.shares(scene.target(strength), n):
        output = 400
        again = variant == "sent again"
        tokens = scene.tokens_for(amount, output if again else 0, scene.large)
        said = f"The long answer {scene.numbers} begins {scene.words(60)}"
        first = scene.call(task, scene.working_hours(), model=scene.large, input=tokens, output=output, cut=True,
                           max_tokens=output, answer=said)  # fmt: skip
        if again:
            scene.again(first, timedelta(seconds=40), cut=False, max_tokens=2_000, output=900, answer="All of it.")
            wasted.append(first)
            amounts.append(usd(first))
        else:
            turns = (*first.turns, Turn("assistant", first.answer))  # the model goes on where it stopped
            rest = scene.again(first, timedelta(seconds=40), cut=False, max_tokens=2_000, output=500, turns=turns,
                               answer="And the rest.")  # fmt: skip
            wasted.append(rest)
            amounts.append(usd(rest) - usd(_answer_only(rest)))
    for _ in range(20):
        scene.call(task, scene.working_hours(), model=scene.large)
    scene.plant("truncated-output", variant, strength, wasted, usd=sum(amounts, Decimal(0)),
                needs="messages" if variant == "sent again" else "blocks")  # fmt: skip


def _answer_only(e: Event) -> Event:
    return replace(e, input=0, cached=0, written=0)


def _unknown(scene: Scene) -> None:
    strength = scene.strength()
    task = scene.task()
    amount = scene.target("4x" if strength == "1x" else strength)
    events = [
        scene.call(task, scene.working_hours(), model=scene.large, input=scene.tokens_for(part, 200, scene.large),
                   output=200)
        for part in scene.shares(amount, 12)
    ]  # fmt: skip
    peers = [scene.call(task, scene.working_hours(), model=scene.large, input=int(e.input or 0)) for e in events]
    blind = [scene.change(e, input=None, output=None) for e in events]
    del peers
    if strength != "0.5x":  # the range of the unknown is wide: below the floor it may be shown or not
        scene.plant("unmetered-usage", "no usage", strength, blind, usd=Decimal(str(amount)), exactness="interval",
                    subject={"model": scene.large})  # fmt: skip
    else:
        scene.control("unmetered, under the floor", blind, "unmetered-usage")
    task = scene.task()
    model = f"{scene.random.choice(('acme', 'zeta', 'orbit'))}-ultra-{scene.random.randrange(2, 9)}"
    priced = [scene.call(task, scene.working_hours(), model=model, input=40_000) for _ in range(10)]
    scene.plant("unpriced-usage", "unknown model", "4x", priced, usd=Decimal(0), exactness="none",
                subject={"model": model})  # fmt: skip


def _tier(scene: Scene) -> None:
    if scene.vendor != "openai":
        return
    strength, task = scene.strength(), scene.task()
    n = scene.random.randrange(16, 24)
    model = scene.large
    wasted = [
        scene.call(task, scene.working_hours(), model=model, tier="priority", output=300,
                   input=scene.tokens_for(amount, 300, model))
        for amount in scene.shares(scene.target(strength), n)
    ]  # fmt: skip
    over = sum((usd(e) / 2 for e in wasted), Decimal(0))  # priority is twice the standard rate
    scene.plant("dearer-sibling", "priority by default", strength, wasted, usd=over, needs="tier")


def _partner(scene: Scene) -> None:
    """A partner's log that writes cached input inside the input in one row, beside it in another, and says no more."""
    if scene.vendor != "anthropic":
        return
    strength, model, n = scene.strength(), "claude-sonnet-4-6", 8
    more = Decimal(str(scene.target(strength)))
    cached = int(more / n * 1_000_000 / Decimal(RATES[model].input))  # beside the input it would be fresh input more
    rows, at = [], scene.when(3.4)
    for k in range(n + 2):
        e = Event(f"partner-{scene.seed}-{k}", at + timedelta(hours=k), Decimal(2), "anthropic", model, scene.desks[0],
                  None, None, "", (), input=cached + 4_000, cached=cached, output=300)  # fmt: skip
        row = {"request_id": e.id, "started_at": f"{e.at:%Y-%m-%dT%H:%M:%SZ}", "provider": "anthropic", "model": model,
               "input_tokens": e.input, "cache_read_tokens": cached, "output_tokens": 300, "status": "ok",
               "task": scene.desks[0]}  # fmt: skip
        if k == 0:
            row["total_tokens"] = (e.input or 0) + cached + 300  # beside
            e = replace(e, input=(e.input or 0) + cached)
        elif k == 1:
            row["total_tokens"] = (e.input or 0) + 300  # inside
        rows.append(row)
        scene.elsewhere.append(e)
    scene.desks.pop(0)
    scene.logs["partner.jsonl"] = "".join(json.dumps(row) + "\n" for row in rows)
    total = n * cached * Decimal(RATES[model].input) / 1_000_000
    scene.plant("undecided-convention", "inside or beside", strength, [], usd=total, low=total,
                subject={"format": "generic", "provider": "anthropic"})  # fmt: skip


def _samples(scene: Scene) -> None:
    task, events = scene.task("ideas"), []
    for _ in range(8):
        first = scene.call(task, scene.working_hours(), model=scene.large, temperature=1.0, input=30_000,
                           seconds=Decimal(5))  # fmt: skip
        events.append(first)
        events += [scene.again(first, timedelta(milliseconds=150 * k), answer=f"Idea {k}: {scene.words(30)}")
                   for k in range(1, 5)]  # fmt: skip
    scene.control("n-best sampling", events)


def _unbilled(scene: Scene) -> None:
    task, events = scene.task(), []
    for _ in range(10):
        first = scene.call(task, scene.working_hours(), model=scene.large, http=429, error="rate_limit_error",
                           answer="", input=None, output=None)  # fmt: skip
        events += [first, scene.again(first, timedelta(seconds=15), http=200, error=None, input=40_000, output=300,
                                      answer="The answer at last.", first=first.id)]  # fmt: skip
    scene.control("unbilled 429s, sent again", events, "unmetered-usage")


def _accepted(scene: Scene) -> None:
    task = scene.task("teaser")
    events = [scene.call(task, scene.working_hours(), model=scene.large, cut=True, max_tokens=90, output=90,
                         input=30_000, temperature=0.4) for _ in range(20)]  # fmt: skip
    scene.control("accepted short answers", events)


def _trials(scene: Scene) -> None:
    task, events = scene.task("evaluation"), []
    for case in range(6):
        first = scene.call(task, scene.working_hours(), model=scene.large, temperature=0.0, input=40_000,
                           instance=f"case-{scene.seed}-{case}", run=f"trial-{scene.id()}", step=1)  # fmt: skip
        events.append(first)
        events += [scene.again(first, timedelta(minutes=5 * k), run=f"trial-{scene.id()}") for k in range(1, 4)]
    scene.control("evaluation trials", events)


def _snapshots(scene: Scene) -> None:
    task = scene.task()
    events = [scene.call(task, scene.working_hours(), model=scene.large, temperature=0.0, input=30_000,
                         copies=scene.random.randrange(1, 4)) for _ in range(10)]  # fmt: skip
    scene.control("snapshots of a stream", events)


def _free(scene: Scene) -> None:
    if scene.vendor != "openai":
        return
    task = scene.task()
    provider, model = "openrouter", "arliai/qwq-32b-arliai-rpr-v1:free"
    events = [scene.call(task, scene.working_hours(), provider=provider, model=model, input=50_000) for _ in range(6)]
    scene.control("free model", events, "unpriced-usage")
