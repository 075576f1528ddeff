"""Calls of known truth that belong to no log format; `bench.writers` puts them into log files.

What is planted: a loop with equal results, a healthy polling run, exact repeats at temperature 0, failures billed and
not, retries, a step in unit cost, cached, written and hidden tokens.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from bench.events import Event, Turn

START = datetime(2026, 10, 5, 9, tzinfo=UTC)
DAYS = 20
STEP_DAY = 10  # from here on a triage call sends twice the prompt
MODELS = {
    "openai": {"large": "gpt-5.4", "small": "gpt-5.4-mini"},
    "anthropic": {"large": "claude-sonnet-4-6", "small": "claude-haiku-4-5"},
}
TENANTS = ("acme", "globex", "initech")


class Planter:
    """Makes events one after another from one seed; the same seed, the same events."""

    def __init__(self, provider: str) -> None:
        self.provider = provider
        self.random = random.Random(20261005)
        self.made: list[Event] = []

    def call(self, task: str, size: str, at: datetime, turns: Sequence[Turn], **facts: object) -> Event:
        n = len(self.made)
        tenant = TENANTS[n % 3]
        given = {"tenant": tenant, "user": f"{tenant}-user-{n % 4}", "answer": f"Answer number {n} of the {task} desk."}
        event = Event(
            id=f"{n:08x}",
            at=at,
            seconds=Decimal(self.random.randrange(1_000, 9_000)) / 1000,
            provider=self.provider,
            model=MODELS[self.provider][size],
            task=task,
            system=SYSTEMS[task],
            turns=tuple(turns),
            **(given | facts),
        )
        self.made.append(event)
        return event

    def again(self, event: Event, later: timedelta, **changes: object) -> None:
        """The same request sent another time."""
        self.made.append(replace(event, id=f"{len(self.made):08x}", at=event.at + later, **changes))

    def retry(self, event: Event, later: timedelta, **changes: object) -> None:
        """The same request sent again by the same handler: one trace, where traces are logged."""
        self.again(event, later, http=200, error=None, first=event.id, **changes)


SYSTEMS = {
    "triage": "You sort incoming tickets of a furniture shop. Answer with the queue and nothing else.",
    "extract": "You read invoices. Return the supplier, the date and every line as JSON.",
    "support": "You answer customers of a telephone company. Be brief, kind and exact about tariffs.",
    "research": "You research questions with the tools you have, one step at a time, and cite documents.",
}


def events(provider: str) -> list[Event]:
    """All planted calls of one vendor, in order of time; cache writes exist only where the vendor bills them."""
    plant = Planter(provider)
    for parts in (_triage, _extract, _support, _research):
        parts(plant)
    return sorted(plant.made, key=lambda e: (e.at, e.id))


def _triage(plant: Planter) -> None:
    for day in range(DAYS):
        for n in range(8):
            tokens = (2_000 if day < STEP_DAY else 4_000) + plant.random.randrange(200)
            question = Turn("user", f"Ticket {day}-{n}: the {plant.random.choice(NOUNS)} arrived with a scratch.")
            at = START + timedelta(days=day, minutes=41 * n)
            plant.call("triage", "large", at, [question], input=tokens, output=40 + n)


def _extract(plant: Planter) -> None:
    for n in range(40):
        question = Turn("user", f"Invoice {n} of {plant.random.choice(NOUNS)} makers: {plant.random.randrange(10**9)}")
        at = START + timedelta(hours=11 * n, minutes=7)
        cached = 1_024 if n % 2 else 0
        written = 512 if plant.provider == "anthropic" and not n % 2 else 0
        event = plant.call(
            "extract",
            "small",
            at,
            [question],
            temperature=0.0,
            input=30_000,
            cached=cached,
            written=written,
            output=900,
        )
        if n % 4 == 0:
            plant.again(event, timedelta(minutes=30))


def _support(plant: Planter) -> None:
    for n in range(48):
        question = Turn("user", f"Customer {n} asks about {plant.random.choice(NOUNS)} roaming, case {n * 7919}.")
        at = START + timedelta(hours=9 * n, minutes=23)
        billed = {"input": 6_000 + n, "output": 1_500, "reasoning": 700}
        if n % 12 == 5:  # refused before any work, sent again
            event = plant.call("support", "large", at, [question], answer="", http=429, error="rate_limit_error")
            plant.retry(event, timedelta(seconds=15), answer="The tariff is 4 a month.", **billed)
        elif n % 12 == 7:  # broke off after the work was billed, never sent again
            plant.call("support", "large", at, [question], answer="", http=500, error="api_error", **billed)
        elif n % 12 == 9:  # broke off after the work was billed, sent again
            event = plant.call("support", "large", at, [question], answer="", http=500, error="api_error", **billed)
            plant.retry(event, timedelta(seconds=20), answer="Roaming is included.", **billed)
        else:
            plant.call("support", "large", at, [question], **billed)


def _research(plant: Planter) -> None:
    for n in range(6):
        steps = [("search", {"query": f"{NOUNS[n]} part {k}"}, f"document {n * 10 + k}") for k in range(5)]
        _run(plant, n, steps, "Here is the report.")
    _run(plant, 6, [("fetch", {"url": "kb/17"}, "the page is empty")] * 16, "I could not find it.")
    polled = [("job_status", {"job": 4}, f"{12 * k} percent of the rows are written") for k in range(8)]
    _run(plant, 7, polled, "The export is complete.")


def _run(plant: Planter, n: int, steps: Sequence[tuple[str, dict[str, object], str]], last: str) -> None:
    run, at = f"run-{n:03d}", START + timedelta(days=2 * n, hours=3)
    turns = [Turn("user", f"Question {n}: what is known about {NOUNS[n]}?")]
    tenant = TENANTS[n % 3]
    facts = {"run": run, "tenant": tenant, "user": f"{tenant}-agent"}
    for k, (tool, args, result) in enumerate([*steps, ("", {}, "")], 1):
        call = Turn("call", json.dumps(args), f"call_{n:03d}_{k:03d}", tool) if tool else None
        tokens = 8_000 + 1_200 * k
        plant.call(
            "research", "large", at + timedelta(seconds=12 * k), turns, call=call, result=result or None, step=k,
            answer="" if call else last, input=tokens, cached=tokens // 2 // 128 * 128 if k > 1 else 0, output=150 + k,
            **facts,
        )  # fmt: skip
        if call:
            turns = [*turns, call, Turn("result", result, call.id, tool)]


NOUNS = ("table", "lamp", "sofa", "chair", "shelf", "carpet", "mirror", "desk", "stool", "bench")
