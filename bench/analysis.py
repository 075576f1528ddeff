"""Cost of pricing and analysis by stage: CPU and wall seconds, peak memory. No thresholds.

    python bench/analysis.py [--rows 200000 1000000] [--folder /tmp/costaudit-bench] [--markdown FILE]

The stores come from `bench/_store.py`; one of 100 million (`--rows 100000000`) takes 10 GB beside that of ten million,
and some 60 GB for the working file. Each size is measured in a process of its own, as `costaudit analyze STORE`
runs it: read, attribute, price, every rule, the ledger, the tables, the report. `rest` is what no stage claims. Stages
are told apart, so no rule looks beside another there; `whole, as it runs` is a process that nobody watches. The last
row is the size on disk of the working file of `costaudit.scratch`.
Memory is told apart: what the process alone holds, and pages of files, which the system takes back when it needs them
(libraries, and the working file); both are sampled every few milliseconds.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from _machine import measured_by

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent)]

MIB = 2**20
WORKING = "working file"  # the row of its size on disk
AS_IT_RUNS = "whole, as it runs"  # the row of a process in which rules look beside each other


class Peak(threading.Thread):
    """The most memory since it was last asked: [own, of files] in bytes."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = [0.0, 0.0]
        self.start()

    def run(self) -> None:
        while True:
            self.look()
            time.sleep(0.005)

    def look(self) -> None:
        self.most = [max(pair) for pair in zip(self.most, _memory(), strict=True)]

    def since(self) -> list[float]:
        self.look()
        most, self.most = self.most, [0.0, 0.0]
        return most


@dataclass
class Clock:
    """CPU and wall seconds by stage, and the peak memory while it ran [bytes]: own, and pages of files."""

    spent: dict[str, list[float]] = field(default_factory=dict)
    peak: Peak = field(default_factory=Peak)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self.peak.since()
        cpu, wall = time.process_time(), time.perf_counter()
        try:
            yield
        finally:
            row = self.spent.setdefault(name, [0.0, 0.0, 0.0, 0.0])
            row[0] += time.process_time() - cpu
            row[1] += time.perf_counter() - wall
            row[2:] = [max(pair) for pair in zip(row[2:], self.peak.since(), strict=True)]

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **named: Any) -> Any:
            with self.stage(name):
                return function(*args, **named)

        return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[200_000, 1_000_000])
    parser.add_argument("--folder", type=Path, default=Path("/tmp/costaudit-bench"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--markdown", type=Path, help="write the table for docs/performance.md")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--as-it-runs", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--findings", type=Path, help="write the JSON report there, to compare before and after")
    given = parser.parse_args()
    if given.as_it_runs:
        print(json.dumps(whole(given.as_it_runs)))
        return
    if given.one:
        print(json.dumps(measured(given.one, given.findings)))
        return
    tables = {rows: _measured_apart(given, rows) for rows in given.rows}
    print("\n\n".join(text(rows, table) for rows, table in tables.items()))
    if given.markdown:
        given.markdown.write_text(markdown(tables), encoding="utf-8")


def _measured_apart(given: argparse.Namespace, rows: int) -> dict[str, list[float]]:
    folder = given.folder / f"{rows}-{given.seed}"
    make = [sys.executable, str(Path(__file__).parent / "_store.py"), str(folder)]
    subprocess.run([*make, "--rows", str(rows), "--seed", str(given.seed)], check=True, stdout=subprocess.DEVNULL)
    findings = ["--findings", str(given.findings)] if given.findings else []
    table: dict[str, list[float]] = _told("--one", str(folder), *findings)
    filed = table.pop(WORKING)
    return {**table, AS_IT_RUNS: _told("--as-it-runs", str(folder)), WORKING: filed}


def _told(*asked: str) -> Any:
    """What this program says in a process of its own."""
    done = subprocess.run([sys.executable, __file__, *asked], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def whole(folder: Path) -> list[float]:
    """CPU s, wall s, peak own bytes, peak bytes of files of one audit of the store, as users run it."""
    from costaudit import pipeline
    from costaudit.config import Settings
    from costaudit.report import View, renderer

    clock = Clock()
    with clock.stage(AS_IT_RUNS):
        settings = pipeline.checked(Settings())
        renderer("terminal")(pipeline.audited(pipeline.load([str(folder)], settings), settings, [str(folder)]), View())
    return clock.spent[AS_IT_RUNS]


def measured(folder: Path, findings: Path | None) -> dict[str, list[float]]:
    """Stage -> [CPU s, wall s, peak own bytes, peak bytes of files] of one audit of the store."""
    from costaudit import analyze, pipeline, scratch
    from costaudit.analyze import _beside
    from costaudit.config import Settings
    from costaudit.report import View, renderer

    _beside.MEANWHILE = range(0)  # who works at the same time cannot be told apart
    clock = Clock()
    for kind in analyze.analyzers():
        _time_looks(clock, kind)
    analyze.settle = clock.timed("ledger", analyze.settle)
    for name, stage in (("requests", "read"), ("attribute", "attribute"), ("price", "price"), ("trust", "price")):
        setattr(pipeline, name, clock.timed(stage, getattr(pipeline, name)))
    for name in ("coverage", "spend"):
        setattr(pipeline, name, clock.timed("tables", getattr(pipeline, name)))
    cpu, wall = time.process_time(), time.perf_counter()
    settings = pipeline.checked(Settings())
    known = pipeline.load([str(folder)], settings)
    filed = scratch.size()
    audit = pipeline.audited(known, settings, [str(folder)])
    with clock.stage("report"):
        renderer("terminal")(audit, View())
    total = [time.process_time() - cpu, time.perf_counter() - wall]
    if findings:
        findings.write_text(renderer("json")(audit, View()))
    claimed = [sum(row[i] for row in clock.spent.values()) for i in (0, 1)]
    clock.spent["rest"] = [total[0] - claimed[0], total[1] - claimed[1], 0.0, 0.0]
    rules = [row for name, row in clock.spent.items() if name.startswith("rule ") or name == "ledger"]
    clock.spent["all rules"] = [*(sum(r[i] for r in rules) for i in (0, 1)), *_most(rules)]
    clock.spent["whole"] = [*total, *_most(list(clock.spent.values()))]
    clock.spent[WORKING] = [0.0, 0.0, 0.0, float(filed)]
    return clock.spent


def _most(rows: list[list[float]]) -> list[float]:
    return [max(row[i] for row in rows) for i in (2, 3)]


def _time_looks(clock: Clock, kind: Any) -> None:
    turns = kind.turns

    def timed(rule: Any) -> Any:
        return tuple(t._replace(look=clock.timed(f"rule {kind.name}", _eager(t.look))) for t in turns(rule))

    kind.turns = timed


def _eager(look: Callable[..., Iterator[Any]]) -> Callable[..., list[Any]]:
    return lambda ledger: list(look(ledger))


def _memory() -> list[float]:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:  # not Linux: the peak of the whole process
        return [float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024), 0.0]
    return [float(status.split(f"{name}:")[1].split()[0]) * 1024 for name in ("RssAnon", "RssFile")]


def text(rows: int, table: dict[str, list[float]]) -> str:
    head = f"{rows:,} requests{'':<20}"[:32] + f"{'CPU s':>8}{'wall s':>8}{'own MiB':>10}{'of files':>10}"
    lines = [
        f"{name:<32}{cpu:>8.2f}{wall:>8.2f}{own / MIB:>10,.0f}{files / MIB:>10,.0f}"
        for name, (cpu, wall, own, files) in table.items()
    ]
    return "\n".join([head, *lines])


def markdown(tables: dict[int, dict[str, list[float]]]) -> str:
    """The table with one column a size: CPU seconds and peak memory."""
    sizes = list(tables)
    stages = list(dict.fromkeys(name for table in tables.values() for name in table))
    lines = [
        f"{measured_by('bench/analysis.py')}: CPU seconds (wall seconds; peak MiB of its own + of files).",
        "",
        "| stage | " + " | ".join(f"{rows:,} requests" for rows in sizes) + " |",
        "| --- |" + " ---: |" * len(sizes),
    ]
    for stage in stages:
        cells = [_cell(stage, tables[rows].get(stage)) for rows in sizes]
        lines.append(f"| {stage} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(stage: str, row: list[float] | None) -> str:
    if row and stage == WORKING:
        return f"{row[3] / MIB:,.0f} MiB"
    return f"{row[0]:.2f} ({row[1]:.2f} s; {row[2] / MIB:,.0f} + {row[3] / MIB:,.0f})" if row else ""


if __name__ == "__main__":
    main()
