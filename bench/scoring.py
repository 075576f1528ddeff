"""One planted log, audited and compared with its truth."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

import costaudit.analyze as analysis
from bench import faults, plant
from bench.events import Event, usd
from bench.problems._scene import Plant, Scene
from costaudit import pipeline
from costaudit.config import Settings
from costaudit.finding import Finding, Grade, Kind
from costaudit.price.book import PriceBook

# What a format does not carry: a rule that needs it ends as "not checked", and that is the right answer.
LACKS: dict[str, frozenset[str]] = {
    "generic_csv": frozenset({"blocks", "tools declared"}),
    "claude_code": frozenset({"blocks", "messages", "tools declared", "tenants", "status", "tier"}),
}
TOLERANCE = {"exact": Decimal("0.01"), "simulated": Decimal("0.10")}
OVERLAP = 0.5  # Jaccard index of the calls of a finding and of a plant from which they are the same thing
NEAR_DAYS = 3
CONCENTRATED, NEARLY = 0.41, 0.39
CLAIMLESS = (Grade.NO_EVIDENCE, Grade.EXPERIMENT)


@dataclass
class Heard:
    """What the program said about one log; `rows` holds the calls that each finding would change."""

    findings: tuple[Finding, ...]
    rows: Mapping[str, frozenset[str]]
    not_checked: frozenset[str]
    total: Decimal
    low: Decimal
    high: Decimal | None
    result: dict[str, Any] = field(default_factory=dict)


@cache
def _book() -> PriceBook:
    return pipeline.prices(Settings())


def score(job: tuple[int, str, str, str]) -> dict[str, Any]:
    """The comparison of one log with its truth, as plain values."""
    seed, problem, vendor, name = job
    made = plant.scene(seed, (problem,), vendor)
    writer = dict(plant.FORMATS[vendor])[name]
    faulty = faults.score(made, writer, seed, _book()) if problem == "requests" else []
    return {"job": list(job), "faults": faulty, **compare(made, name, writer)}


def compare(made: Scene, name: str, writer: plant.Writer) -> dict[str, Any]:
    """What an audit of the planted calls in one format says, against the truth."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        plant.write(made, writer, folder)
        heard = _audit(made, folder)
    in_log = [e for e in made.made if e.run or name != "claude_code"]
    truth = sum((usd(e) for e in (*in_log, *made.elsewhere)), Decimal(0))
    written = {e.id for e in in_log}
    plants = [p for p in made.plants if not p.ids or p.ids & written]
    plants += _concentration([*in_log, *made.elsewhere], made)
    return {
        "calls": len(in_log),
        "total_right": abs(heard.total - truth) < Decimal("0.005"),
        "in_range": heard.low <= truth and (heard.high is None or truth <= heard.high),
        **_Comparison(made, plants, in_log, heard, name).result(),
    }


def _audit(made: Scene, folder: Path) -> Heard:
    """Audit the log, and remember which calls each finding would change."""
    given = {key: folder / value if key in ("revenue", "limits") else value for key, value in made.settings.items()}
    outcomes = folder / "outcomes.csv"
    settings = pipeline.checked(Settings(outcomes=outcomes if outcomes.exists() else None, **given))
    known = pipeline.load([str(folder / "logs")], settings, book=_book())
    ids = dict(
        known.calls.select("row", pl.col("request_id").str.split("-").list.last().str.split("_").list.last()).rows()
    )
    rows: dict[str, frozenset[str]] = {}
    original = analysis._finding

    def noting(rule: Any, turn: Any, owned: Any) -> Finding:
        found = original(rule, turn, owned)
        patch = owned.claim.patch
        rows[found.id] = frozenset(ids[row] for row in patch["row"]) if patch is not None else frozenset()
        return found

    analysis._finding = noting  # a finding itself keeps no list of calls
    try:
        audit = pipeline.audited(known, settings, ["logs"])
    finally:
        analysis._finding = original
    believed = known.coverage
    return Heard(audit.findings, rows, frozenset(n.rule for n in audit.not_checked), audit.spend.total_usd,
                 believed.low_usd, believed.high_usd)  # fmt: skip


def _concentration(events: Sequence[Event], made: Scene) -> Sequence[Plant]:
    """A tenant that carries more than 40 % of any log is a truth nobody had to plant."""
    by: dict[str | None, Decimal] = {}
    for e in events:
        by[e.tenant] = by.get(e.tenant, Decimal(0)) + usd(e)
    total = sum(by.values(), Decimal(0))
    named = {tenant: amount for tenant, amount in by.items() if tenant}
    if not named or not total:
        return ()
    top = max(named, key=lambda tenant: named[tenant])
    share = float(named[top] / total)
    if share < NEARLY:
        return ()
    if share < CONCENTRATED:
        made.control("a share near the line", [e for e in events if e.tenant == top], "tenant-concentration")
        return ()
    return (
        Plant("tenant-concentration", "more than 40 %", {"tenant": top}, "4x", named[top], named[top], needs="tenants"),
    )


class _Comparison:
    """Findings against plants and controls."""

    def __init__(self, made: Scene, plants: Sequence[Plant], events: Sequence[Event], heard: Heard, form: str) -> None:
        self.made, self.plants, self.heard, self.form = made, plants, heard, form
        self.events = {e.id: e for e in events}
        self.task_of = {p.subject["task"]: p for p in plants if "task" in p.subject}

    def result(self) -> dict[str, Any]:
        used: dict[str, Plant] = {}
        rows = [self._plant(p, used) for p in self.plants]
        false, confused, also = self._others(used)
        planted_tasks = set(self.task_of)
        planted_ids = set().union(*(p.ids for p in self.plants)) if self.plants else set()
        clean = [e for e in self.events.values() if e.task not in planted_tasks and e.id not in planted_ids]
        ledger = sum((f.owned_usd for f in self.heard.findings), Decimal(0))
        return {
            "plants": rows,
            "false": false,
            "confused": confused,
            "also": also,
            "clean_calls": len(clean),
            "controls": [c.name for c in self.made.controls],
            "ledger_usd": str(ledger),
            "ledger_ok": ledger <= self.heard.total,
        }

    def _plant(self, p: Plant, used: dict[str, Plant]) -> dict[str, Any]:
        found = next((f for f in self.heard.findings if f.id not in used and self._same(f, p)), None)
        if found is not None:
            used[found.id] = p
        lacks = any(f" {need} " in f" {p.needs} " for need in LACKS.get(self.form, ()))
        row: dict[str, Any] = {
            "rule": p.rule, "variant": p.variant, "strength": p.strength, "exactness": p.exactness,
            "shown": found is not None, "lacks": lacks, "not_checked": p.rule in self.heard.not_checked,
        }  # fmt: skip
        if found is None:
            return row
        amount = abs(found.amount_usd)
        truth = abs(p.usd)
        if p.exactness in TOLERANCE and truth:
            row["error"] = float(abs(amount - truth) / truth)
            row["dollars_right"] = abs(amount - truth) <= TOLERANCE[p.exactness] * truth
        elif p.exactness == "interval":
            high = found.high_usd
            row["dollars_right"] = found.low_usd <= p.usd and (high is None or p.usd <= high)
            row["error"] = float(abs(amount - truth) / truth) if truth else 0.0
        if p.grade:
            row["grade_right"] = found.grade is not None and found.grade.value == p.grade
        row |= self._distance(found, p)
        return row

    def _same(self, f: Finding, p: Plant) -> bool:
        if f.rule != p.rule or not self._about(f, p):
            return False
        calls = self.heard.rows.get(f.id, frozenset())
        if p.ids and calls:
            return len(calls & p.ids) >= OVERLAP * len(calls | p.ids)
        if p.day is not None and p.rule == "cost-regression":
            return self._days(f, p) <= NEAR_DAYS
        return True

    def _about(self, f: Finding, p: Plant) -> bool:
        for key, value in p.subject.items():
            if key == "cause":
                if not (f.evidence.height and value in f.title):
                    return False
            elif f.subject.get(key) != value:
                return False
        return True

    def _days(self, f: Finding, p: Plant) -> int:
        """Days from the region in which the change is said to be to the day it was."""
        assert p.day is not None
        told = next((b for b in f.because if b.startswith("the change lies between")), "")
        days = [word for word in told.replace(",", "").split() if word[:2] == "20"]
        if len(days) < 2:
            return 999
        from datetime import date

        since, until = (date.fromisoformat(day) for day in days[:2])
        truth = p.day.date()
        return 0 if since <= truth <= until else min(abs((since - truth).days), abs((until - truth).days))

    def _distance(self, f: Finding, p: Plant) -> dict[str, Any]:
        if p.rule == "cost-regression" and p.day is not None:
            return {"distance_days": self._days(f, p)}
        calls = self.heard.rows.get(f.id, frozenset())
        if p.rule == "runaway-loop" and calls:
            first = min(self.events[i].step or 0 for i in calls if i in self.events)
            return {"distance_calls": abs(first - min(self.events[i].step or 0 for i in p.ids))}
        return {}

    def _others(self, used: Mapping[str, Plant]) -> tuple[list[Any], list[Any], list[Any]]:
        """Findings that match no plant: false ones, wrong causes of a planted problem, and other views of one."""
        false, confused, also = [], [], []
        for f in self.heard.findings:
            if f.id in used or (f.amount_usd == 0 and f.grade in CLAIMLESS):
                continue
            if self._allowed(f):
                also.append([f.rule, "control"])
                continue
            calls = self.heard.rows.get(f.id, frozenset())
            near = self._near(f, calls)
            if near is None:
                control = next((c.name for c in self.made.controls if f.subject.get("task") == c.task), "")
                false.append([f.rule, control, float(f.amount_usd), dict(f.subject)])
            elif near.rule == f.rule or f.kind in (Kind.EXCESS, Kind.EXPOSURE):
                also.append([f.rule, near.rule, near.strength])
            else:
                confused.append([near.rule, f.rule, near.variant, float(f.amount_usd)])
        return false, confused, also

    def _allowed(self, f: Finding) -> bool:
        if "growth" in f.subject and any(p.rule == "cost-regression" for p in self.plants):
            return True  # prompts that grow are planted: a forecast that carries the growth on is right
        return any(f.rule in c.may and (f.subject.get("task") in (c.task, None)) for c in self.made.controls)

    def _near(self, f: Finding, calls: frozenset[str]) -> Plant | None:
        """The planted problem a finding is about, by its task or its calls."""
        task = self.task_of.get(f.subject.get("task", ""))
        if task is not None:
            return task
        return next((p for p in self.plants if p.ids and len(calls & p.ids) >= OVERLAP * max(1, len(p.ids))), None)
