"""A log in the making: healthy traffic, planted problems with their truth, and controls that must stay silent.

Every dollar of the truth is plain arithmetic over the events (`bench.events.usd`); nothing here imports the program.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from bench.events import LARGE, RATES, SMALL, Event, Turn, usd

FLOOR = Decimal(1)  # dollars; the program's own floor, as long as a scene spends less than $200
STRENGTHS = {"0.5x": 0.5, "1x": 1.0, "4x": 4.0}
_THINGS = (
    "table lamp sofa chair shelf carpet mirror desk stool bench drawer cabinet curtain pillow vase rack stand frame "
    "clock plate kettle ladder hammer basket wheel engine sail anchor bridge tunnel harbour valley"
)
_OFFICES = (
    "billing triage returns orders claims travel payroll audit intake survey lending permits repairs freight catalog "
    "rosters menus tickets leases quotes grants visas polls feeds alerts digests notes forms "
    "stocks patents exams labels routes parcels budgets medals parking housing fisheries timber archives museums parks "
    "schools clinics markets tolls ferries bakeries studios theatres gardens stables quarries mills docks"
)
NOUNS, DESKS = _THINGS.split(), _OFFICES.split()
CHARS = 0.4  # characters written per token counted: only the shares of a prompt must be right


@dataclass(frozen=True, slots=True)
class Plant:
    """A problem that is in the log, and what a right answer says about it.

    subject    what the finding's subject must contain
    usd, low   planted dollars, and what of them the method's own low end keeps [USD]; the low end meets the floor
    ids        the calls that bought nothing; empty where a problem is no set of calls
    exactness  exact, simulated, interval (the truth lies inside), or none
    day        first day after a change, where there is one
    grade      the grade a comparison of models must get
    """

    rule: str
    variant: str
    subject: Mapping[str, str]
    strength: str
    usd: Decimal
    low: Decimal
    ids: frozenset[str] = frozenset()
    exactness: str = "exact"
    day: datetime | None = None
    grade: str = ""
    needs: str = ""  # what a format must carry: messages, tools, tenants, ...


@dataclass(frozen=True, slots=True)
class Control:
    """Calls about which a rule, or every rule, must say nothing that claims dollars."""

    name: str
    task: str
    ids: frozenset[str]
    may: tuple[str, ...] = ()  # rules that may speak about it all the same, with the reason in its builder


@dataclass
class Scene:
    """Makes events one after another from one seed; the same seed, the same events."""

    seed: int
    vendor: str
    days: int = 28
    start: datetime = datetime(2026, 9, 7, tzinfo=UTC)  # a Monday
    made: list[Event] = field(default_factory=list)
    plants: list[Plant] = field(default_factory=list)
    controls: list[Control] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)  # beside the log of the format: name -> lines
    elsewhere: list[Event] = field(default_factory=list)  # the calls in them, at their cheaper reading

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed * 7919 + len(self.vendor))
        self.desks = self.random.sample(DESKS, len(DESKS))
        self.tenants = [f"{noun}-inc" for noun in self.random.sample(NOUNS, self.random.randrange(4, 12))]
        self.numbers = 0

    @property
    def large(self) -> str:
        return LARGE[self.vendor]

    @property
    def small(self) -> str:
        return SMALL[self.vendor]

    def task(self, kind: str = "") -> str:
        """A name that no other task of the scene has."""
        return f"{self.desks.pop()}{'-' + kind if kind else ''}"

    def id(self) -> str:
        self.numbers += 1
        return f"{self.seed & 0xFFFF:04x}{len(self.vendor):x}{self.numbers:06x}"

    def when(self, day: float) -> datetime:
        return self.start + timedelta(days=day)

    def working_hours(self) -> datetime:
        """Any day of the window; more by day than by night, fewer at weekends."""
        while True:
            day = self.random.randrange(self.days)
            if day % 7 < 5 or self.random.random() < 0.35:
                return self.when(day) + timedelta(hours=7, minutes=self.random.randrange(12 * 60),
                                                  seconds=self.random.randrange(60))  # fmt: skip

    def words(self, tokens: int) -> str:
        """Text whose length stands for so many tokens."""
        count = max(1, int(tokens * CHARS / 6))
        return " ".join(self.random.choice(NOUNS) for _ in range(count))

    def call(self, task: str, at: datetime, **facts: Any) -> Event:
        """One call; size, texts and who asked are drawn where not given."""
        self.numbers += 1
        n = self.numbers
        tenant = facts.pop("tenant", self.tenants[n % len(self.tenants)])
        given: dict[str, Any] = {
            "id": self.id(), "at": at, "seconds": Decimal(self.random.randrange(800, 6_000)) / 1000,
            "provider": self.vendor, "model": self.small, "task": task, "tenant": tenant,
            "user": f"{tenant}-{n % 3}" if tenant else None, "system": "",
            "turns": (Turn("user", f"Case {n}: {self.words(40)}"),), "answer": f"Answer {n}: {self.words(30)}",
            "input": self.lognormal(1_200), "output": max(70, self.lognormal(160)),
        }  # fmt: skip
        event = Event(**(given | facts))
        self.made.append(event)
        return event

    def again(self, event: Event, later: timedelta, **changes: Any) -> Event:
        """The same request sent another time."""
        copy = replace(event, **({"id": self.id(), "at": event.at + later} | changes))
        self.made.append(copy)
        return copy

    def change(self, event: Event, **changes: Any) -> Event:
        """Replace an event that was made."""
        new = replace(event, **changes)
        self.made[next(i for i in range(len(self.made) - 1, -1, -1) if self.made[i] is event)] = new
        return new

    def lognormal(self, median: float, sigma: float = 0.5) -> int:
        return max(1, round(median * math.exp(self.random.gauss(0, sigma))))

    def shares(self, target: float | Decimal, n: int, spread: float = 0.2) -> list[Decimal]:
        """n amounts that add up to the target."""
        weights = [1 + spread * (2 * self.random.random() - 1) for _ in range(n)]
        return [Decimal(str(target)) * Decimal(repr(w / sum(weights))) for w in weights]

    def tokens_for(self, amount: Decimal, output: int, model: str) -> int:
        """Fresh input that, with so much output, costs the amount."""
        rates = RATES[model]
        left = amount * 1_000_000 - output * Decimal(rates.output)
        return max(1, int(left / Decimal(rates.input)))

    def target(self, strength: str, slack: float = 1.12) -> float:
        """Dollars of a plant: half the floor, just above it, or four times it."""
        jitter = 0.9 + 0.2 * self.random.random()
        return {"0.5x": 0.5 * jitter, "1x": 1.0 + (slack - 1.0) * (0.3 + 0.7 * self.random.random()),
                "4x": 4 * jitter}[strength] * float(FLOOR)  # fmt: skip

    def strength(self) -> str:
        return self.random.choice(list(STRENGTHS))

    def plant(self, rule: str, variant: str, strength: str, wasted: Iterable[Event], **more: Any) -> None:
        """Note a problem whose truth is the bill of some calls."""
        events = list(wasted)
        total = more.pop("usd", sum((usd(e) for e in events), Decimal(0)))
        self.plants.append(
            Plant(rule, variant, more.pop("subject", {"task": events[0].task if events else ""}), strength, total,
                  more.pop("low", total), frozenset(e.id for e in events), **more)
        )  # fmt: skip

    def control(self, name: str, events: Sequence[Event], *may: str) -> None:
        self.controls.append(Control(name, events[0].task, frozenset(e.id for e in events), may))

    def base(self, tasks: int, calls: int) -> None:
        """Healthy single calls: sizes, hours and answers of their own."""
        for _ in range(tasks):
            name = self.task()
            events = [self.call(name, self.working_hours()) for _ in range(self.random.randrange(calls // 2, calls))]
            self.control("base traffic", events)

    def run(self, task: str, at: datetime, steps: Sequence[tuple[str, dict[str, object], str]], last: str | None,
            *, opening: int = 3_000, growth: int = 400, model: str | None = None, gap: float = 9.0,
            cache: bool = True, **facts: Any) -> list[Event]:  # fmt: skip
        """An agent run: (tool, arguments, result) a step, then the final answer; contexts grow by what was said."""
        run = f"r{self.id()}"
        tenant = facts.pop("tenant", self.random.choice(self.tenants))
        system = f"You work for the {task} desk with the tools you have. {self.words(int(opening * 0.7))}"
        turns = [Turn("user", f"Order {run}: {self.words(int(opening * 0.3))}")]
        events, size, before = [], opening, 0
        moves: list[tuple[str, dict[str, object], str]] = [*steps, *([("", {}, "")] if last is not None else [])]
        for k, (tool, args, result) in enumerate(moves, 1):
            call = Turn("call", json.dumps(args), f"call_{run}_{k}", tool) if tool else None
            cached = before // 128 * 128 if cache and k > 1 and self.vendor == "openai" and before >= 1_024 else 0
            read = before if cache and k > 1 and self.vendor == "anthropic" else cached
            written = size - read if cache and self.vendor == "anthropic" and call else 0
            events.append(
                self.call(
                    task, at + timedelta(seconds=gap * (k - 1)), run=run, step=k, tenant=tenant,
                    user=f"{tenant}-agent", system=system, turns=tuple(turns), call=call, result=result or None,
                    answer="" if call else last or "", model=model or self.large, input=size, cached=read,
                    written=written, output=150 + k % 7, seconds=Decimal("2.5"), temperature=0.3, **facts,
                )
            )  # fmt: skip
            before, size = size, size + growth
            if call:
                turns = [*turns, call, Turn("result", result, call.id, tool)]
        return events

    def healthy_steps(self, n: int) -> list[tuple[str, dict[str, object], str]]:
        """New work at every step: no argument and no result comes twice."""
        mark = self.random.randrange(10**6)
        return [
            (self.random.choice(("search", "fetch")), {"query": f"{self.random.choice(NOUNS)} {mark} {k}"},
             f"found {self.words(200)} {mark} {k}") for k in range(n)
        ]  # fmt: skip
