"""Cost of pricing and analysis by stage: CPU and wall seconds, peak memory. No thresholds.

    python bench/analysis.py [--rows 200000 1000000] [--folder /tmp/costaudit-bench] [--markdown FILE]

The stores come from `bench/_store.py`. Each size is measured in a process of its own, as `costaudit analyze STORE`
runs it: read, attribute, price, every rule, the ledger, the tables, the report. `rest` is what no stage claims.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent)]

MIB = 2**20


@dataclass
class Clock:
    """CPU and wall seconds by stage, and the peak memory while it ran [bytes]."""

    spent: dict[str, list[float]] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        _forget_peak()
        cpu, wall = time.process_time(), time.perf_counter()
        try:
            yield
        finally:
            row = self.spent.setdefault(name, [0.0, 0.0, 0.0])
            row[0] += time.process_time() - cpu
            row[1] += time.perf_counter() - wall
            row[2] = max(row[2], _peak())

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
    parser.add_argument("--findings", type=Path, help="write the JSON report there, to compare before and after")
    given = parser.parse_args()
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
    command = [sys.executable, __file__, "--one", str(folder)]
    if given.findings:
        command += ["--findings", str(given.findings)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    table: dict[str, list[float]] = json.loads(done.stdout)
    return table


def measured(folder: Path, findings: Path | None) -> dict[str, list[float]]:
    """Stage -> [CPU s, wall s, peak bytes] of one audit of the store."""
    from costaudit import analyze, pipeline
    from costaudit.config import Settings
    from costaudit.report import View, renderer

    clock = Clock()
    for kind in analyze.analyzers():
        _time_looks(clock, kind)
    analyze.settle = clock.timed("ledger", analyze.settle)
    for name, stage in (("requests", "read"), ("attribute", "attribute"), ("price", "price"), ("trust", "price")):
        setattr(pipeline, name, clock.timed(stage, getattr(pipeline, name)))
    for name in ("coverage", "spend"):
        setattr(pipeline, name, clock.timed("tables", getattr(pipeline, name)))
    cpu, wall = time.process_time(), time.perf_counter()
    audit = pipeline.audit([str(folder)], Settings())
    with clock.stage("report"):
        renderer("terminal")(audit, View())
    total = [time.process_time() - cpu, time.perf_counter() - wall]
    if findings:
        findings.write_text(renderer("json")(audit, View()))
    claimed = [sum(row[i] for row in clock.spent.values()) for i in (0, 1)]
    clock.spent["rest"] = [total[0] - claimed[0], total[1] - claimed[1], 0.0]
    rules = [row for name, row in clock.spent.items() if name.startswith("rule ") or name == "ledger"]
    clock.spent["all rules"] = [sum(r[0] for r in rules), sum(r[1] for r in rules), max(r[2] for r in rules)]
    clock.spent["whole"] = [*total, max(row[2] for row in clock.spent.values())]
    return clock.spent


def _time_looks(clock: Clock, kind: Any) -> None:
    turns = kind.turns

    def timed(rule: Any) -> Any:
        return tuple(t._replace(look=clock.timed(f"rule {kind.name}", _eager(t.look))) for t in turns(rule))

    kind.turns = timed


def _eager(look: Callable[..., Iterator[Any]]) -> Callable[..., list[Any]]:
    return lambda ledger: list(look(ledger))


def _forget_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")  # Linux: the high-water mark starts anew
    except OSError:
        return


def _peak() -> float:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    return float(status.split("VmHWM:")[1].split()[0]) * 1024


def text(rows: int, table: dict[str, list[float]]) -> str:
    head = f"{rows:,} requests{'':<20}"[:32] + f"{'CPU s':>8}{'wall s':>8}{'peak MiB':>10}"
    lines = [f"{name:<32}{cpu:>8.2f}{wall:>8.2f}{peak / MIB:>10,.0f}" for name, (cpu, wall, peak) in table.items()]
    return "\n".join([head, *lines])


def markdown(tables: dict[int, dict[str, list[float]]]) -> str:
    """The table with one column a size: CPU seconds and peak memory."""
    sizes = list(tables)
    stages = list(dict.fromkeys(name for table in tables.values() for name in table))
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    lines = [
        f"Measured on {datetime.now(UTC):%Y-%m-%d} on {machine}, by `python bench/analysis.py`: "
        "CPU seconds (wall seconds, peak MiB).",
        "",
        "| stage | " + " | ".join(f"{rows:,} requests" for rows in sizes) + " |",
        "| --- |" + " ---: |" * len(sizes),
    ]
    for stage in stages:
        cells = [_cell(tables[rows].get(stage)) for rows in sizes]
        lines.append(f"| {stage} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(row: list[float] | None) -> str:
    return f"{row[0]:.2f} ({row[1]:.2f} s, {row[2] / MIB:,.0f})" if row else ""


if __name__ == "__main__":
    main()
