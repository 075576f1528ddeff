"""Agent runs: loops, runs without a ceiling, tools nobody calls, results sent twice, history nobody trims."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from bench.events import RATES, Event, Turn, usd
from bench.problems._scene import FLOOR, Scene

UNUSED = 1.645**2 / 0.05 - 1.645**2  # good runs from which none cut of n is, with confidence, under 5 %


def build(scene: Scene) -> None:
    for _ in range(3):
        task = scene.task()
        events = [e for _ in range(8) for e in _healthy(scene, task)]
        scene.control("healthy runs", events)
    for part in (_loop, _ceiling, _unused_tools, _repeated_results):
        part(scene)
    for part in (_polling, _paging, _long_runs, _rare_tool):
        part(scene)


def _healthy(scene: Scene, task: str, least: int = 3, most: int = 9, **facts: object) -> list[Event]:
    n = scene.random.randrange(least, most)
    return scene.run(task, scene.working_hours(), scene.healthy_steps(n), f"Report {scene.numbers}.", **facts)


def _loop(scene: Scene) -> None:
    """Equal calls with equal results, in cycles of one to four; it recovers, ends the run, or follows the answer."""
    variant = scene.random.choice(("period 1", "period 2", "period 3", "period 4", "recovers", "after success"))
    strength, task = scene.strength(), scene.task()
    for _ in range(6):
        _healthy(scene, task, model=scene.small)
    period = int(variant[-1]) if variant.startswith("period") else 1
    rounds = scene.random.randrange(4, 9)
    n_wasted = (rounds - 1) * period
    price = Decimal(RATES[scene.large].input)
    opening = int(Decimal(str(scene.target(strength))) * 1_000_000 / price / n_wasted)
    cycle = [("fetch", {"url": f"kb/{scene.seed}/{k}"}, f"page {k} is empty") for k in range(period)]
    before = scene.healthy_steps(3)
    at = scene.working_hours()
    if variant == "after success":
        made = scene.run(
            task, at, [*before], "The work is done: see the report.", opening=opening, growth=200, cache=False
        )
        last = made[-1]
        turns = last.turns
        for k in range(1, rounds):
            turns = (*turns, Turn("assistant", last.answer))
            made.append(scene.again(last, timedelta(seconds=9 * k), step=(last.step or 0) + k, turns=turns,
                                    input=(last.input or 0) + 200 * k))  # fmt: skip
        first = len(before) + 1
    else:
        tail = scene.healthy_steps(3) if variant == "recovers" else []
        made = scene.run(task, at, [*before, *cycle * rounds, *tail], "Done in the end." if tail else None,
                         opening=opening, growth=200, cache=False, gap=4_000.0)  # fmt: skip
        first = len(before) + period
    wasted = made[first : first + n_wasted]
    wasted = _scaled(scene, made, wasted, strength)
    scene.plant("runaway-loop", variant, strength, wasted, needs="tools")


def _scaled(scene: Scene, made: list[Event], wasted: list[Event], strength: str) -> list[Event]:
    """The run with input so scaled that the wasted calls cost what was meant."""
    meant = Decimal(str(scene.target(strength)))
    fixed = sum((usd(replace(e, input=0, cached=0, written=0)) for e in wasted), Decimal(0))
    factor = (meant - fixed) / (sum((usd(e) for e in wasted), Decimal(0)) - fixed)
    ids = {e.id for e in wasted}
    scaled = [scene.change(e, input=max(1, int((e.input or 0) * factor))) for e in made]
    return [e for e in scaled if e.id in ids]


def _ceiling(scene: Scene) -> None:
    """Seventy finished runs of a few steps, and one that went on for twenty times as long with new work."""
    strength, task = scene.strength(), scene.task()
    facts = {"opening": 2_000, "model": scene.small, "cache": False, "gap": 4_000.0}  # past the life of any cache
    good = [_healthy(scene, task, 3, 8, growth=100, **facts) for _ in range(70)]
    stuck = scene.run(task, scene.working_hours(), scene.healthy_steps(110), None, growth=60, **facts)
    cut = stuck[max(len(run) for run in good) :]
    factor = Decimal(str(scene.target(strength))) / sum((usd(e) for e in cut), Decimal(0))
    runs = [[scene.change(e, input=int((e.input or 0) * factor), output=max(1, int((e.output or 0) * factor)))
             for e in run] for run in [*good, stuck]]  # fmt: skip
    steps = max(len(run) for run in runs[:-1])
    wasted = runs[-1][steps:]
    best = max((net for net, _ in _limits(runs)), default=Decimal(0))
    scene.plant("missing-ceiling", "one run in seventy", strength, wasted, usd=best, low=best, exactness="simulated",
                subject={"task": task}, needs="runs")  # fmt: skip


def _limits(runs: list[list[Event]]) -> list[tuple[Decimal, float]]:
    """Net saving of every limit in steps and in dollars that cuts no good run too many; the last run is the stuck one.

    A limit in steps is known before the call that breaks it; one in dollars is passed by a call that was made.
    """
    bills = [[usd(e) for e in run] for run in runs]
    good = bills[:-1]
    found = []
    for limit in range(1, max(map(len, bills))):
        harmed = [b for b in good if len(b) > limit]
        saved = sum((sum(b[limit:], Decimal(0)) for b in bills), Decimal(0))
        found.append((saved - sum((sum(b, Decimal(0)) for b in harmed), Decimal(0)), len(harmed) / len(good)))
    for limit in sorted({sum(b, Decimal(0)) for b in good})[-4:]:
        saved = Decimal(0)
        for b in bills:
            spent = Decimal(0)
            for nth, one in enumerate(b):
                spent += one
                if spent > limit:
                    saved += sum(b[nth + 1 :], Decimal(0))
                    break
        harmed = [b for b in good if sum(b, Decimal(0)) > limit]
        found.append((saved - sum((sum(b, Decimal(0)) for b in harmed), Decimal(0)), len(harmed) / len(good)))
    return [(net, share) for net, share in found if share == 0]


def _unused_tools(scene: Scene) -> None:
    strength, task = scene.strength(), scene.task()
    names = [f"{scene.random.choice(NAMES)}_{k}" for k in range(scene.random.randrange(3, 7))]
    size = 1_500  # tokens a tool: a long description, four characters a token
    idle = tuple((name, (f"{name}: " + scene.words(size * 15))[: size * 4]) for name in names)
    used = (("search", "Find documents"), ("fetch", "Read one document"))
    price = Decimal(RATES[scene.large].input)
    per_call = Decimal(size * len(idle)) * price / 1_000_000
    n = max(55, int(Decimal(str(scene.target(strength))) / per_call))
    events: list[Event] = []
    while len(events) < n:
        day = scene.when(27.9 * len(events) / n)
        events += scene.run(task, day, scene.healthy_steps(4), "Done.", opening=size * len(idle) + 2_000,
                            growth=100, cache=False, tools=used + idle, gap=4_000.0)  # fmt: skip
    total = len(events) * per_call
    # With few tools and many calls the dollars follow the number of calls, not the strength asked for.
    actual = "0.5x" if total < FLOOR * Decimal("0.95") else "1x" if total < 2 * FLOOR else "4x"
    if abs(total - FLOOR) < Decimal("0.05"):
        scene.control("unused tools at the floor", events, "context-bloat")
        return
    scene.plant("context-bloat", "unused tools", actual, events, usd=total, low=total, exactness="simulated",
                subject={"task": task, "part": "unused-tools"}, needs="tools declared")  # fmt: skip


NAMES = ("refund", "lookup", "archive", "notify", "convert", "schedule", "merge", "export")


def _repeated_results(scene: Scene) -> None:
    """The same large document read again in one run: from then on it stands in every prompt twice."""
    strength, task = scene.strength(), scene.task()
    wanted = Decimal(str(scene.target(strength)))
    runs = 5 if strength == "4x" else 1
    price = Decimal(RATES[scene.large].input)
    held: list[Event] = []
    total = Decimal(0)
    for n in range(runs):
        document = scene.words(6_000)
        first, again = ("fetch", {"url": f"kb/{n}"}, document), ("fetch", {"url": f"kb/{n}", "again": 1}, document)
        steps = [first, *scene.healthy_steps(1), again, *scene.healthy_steps(4)]
        made = scene.run(task, scene.working_hours(), steps, "Here is what it says.", opening=1_000, growth=0,
                         cache=False, gap=4_000.0)  # fmt: skip
        # What a message weighs in the count is its share of the text, and 16 characters for the message itself.
        sizes = [len(e.system) + 16 + sum(len(t.text) + 16 for t in e.turns) for e in made]
        copies = len(made) - 3  # from the fourth call on two copies stand in the prompt
        factor = wanted / runs * 1_000_000 / price / ((len(document) + 16) * copies)
        scaled = [scene.change(e, input=int(size * factor)) for e, size in zip(made, sizes, strict=True)]
        total += (len(document) + 16) * factor * copies * price / 1_000_000
        held += scaled[3:]
    for _ in range(4):
        _healthy(scene, task)
    scene.plant("context-bloat", "repeated results", strength, held, usd=total, low=total, exactness="simulated",
                subject={"task": task, "part": "repeated-results"}, needs="blocks")  # fmt: skip


def _polling(scene: Scene) -> None:
    task, events = scene.task(), []
    for _ in range(4):
        steps = [("job_status", {"job": scene.numbers}, f"{7 * k} percent of the rows are written") for k in range(12)]
        steps = [(name, {"job": 4}, said) for name, _, said in steps]
        events += scene.run(task, scene.working_hours(), steps, "The export is complete.", opening=30_000, growth=60,
                            gap=60.0)  # fmt: skip
    scene.control("healthy polling", events, "context-bloat")


def _paging(scene: Scene) -> None:
    task, events = scene.task(), []
    for _ in range(4):
        steps = [("search", {"query": "orders", "page": k}, f"rows {k} {scene.words(40)}") for k in range(9)]
        events += scene.run(task, scene.working_hours(), steps, "All pages read.", opening=30_000)
    scene.control("paging through a list", events)


def _long_runs(scene: Scene) -> None:
    """Long because the work is long; trimming their history is a decision the rule may name at low confidence."""
    task, events = scene.task(), []
    for _ in range(12):
        n = scene.random.randrange(18, 30)
        events += scene.run(task, scene.working_hours(), scene.healthy_steps(n), "Long report.", opening=6_000)
    scene.control("long runs with new work", events, "context-bloat")


def _rare_tool(scene: Scene) -> None:
    task, events = scene.task(), []
    rare = ("escalate", ("escalate: " + scene.words(9_000))[:16_000])
    tools = (("search", "Find documents"), ("fetch", "Read one document"), rare)
    for nth in range(16):
        steps = scene.healthy_steps(4) if nth != 9 else [("escalate", {"case": 1}, "a colleague takes over")]
        events += scene.run(
            task, scene.when(27 * nth / 16 + 0.4), steps, "Done.", tools=tools, opening=9_000, cache=False
        )
    scene.control("a tool called once a month", events)
