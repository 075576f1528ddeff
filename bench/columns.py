"""What the program says about planted logs from which one column after another is taken away.

    python bench/columns.py [--seeds 1:3] [--problems requests,agents] [--columns started_at,status]

A rule that lacks what it needs must end as "not checked: why", or still be right; it must never invent a finding. One
line a log and column: findings that are false or have another cause, planted problems that were called clean, dollars
that are off, and whether the range of the header holds the true total. No thresholds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bench import plant, scoring, writers
from bench.events import Event
from bench.writing import Files

NAMED = ("request_id",)  # by which calls are told apart, and found again


def without(column: str) -> Callable[[Sequence[Event]], Files]:
    """A writer of generic JSONL that does not know a column."""

    def generic_jsonl(made: Sequence[Event]) -> Files:
        (name, data), *_ = writers.generic_jsonl(made).items()
        rows = [json.loads(line) for line in data.splitlines()]
        kept = ({key: value for key, value in row.items() if key != column} for row in rows)
        return {name: b"".join(json.dumps(row).encode() + b"\n" for row in kept)}

    return generic_jsonl


def columns(made: Sequence[Event]) -> list[str]:
    """The columns that some row has a value in, by name."""
    (data,) = writers.generic_jsonl(made).values()
    found = {key for line in data.splitlines() for key, value in json.loads(line).items() if value not in (None, [])}
    return sorted(found - set(NAMED))


def wrong(seed: int, problem: str, vendor: str, column: str) -> dict[str, Any]:
    """What is wrong in what is said without a column: `invented`, `renamed`, `called clean`, `off`, `out of range`."""
    found = scoring.compare(plant.scene(seed, (problem,), vendor), "generic_jsonl", without(column))
    shown = [p for p in found["plants"] if p["shown"]]
    large = [p for p in found["plants"] if p["strength"] != "0.5x" and not p["shown"] and not p["not_checked"]]
    return {
        "invented": [f"{rule} ({control or subject})" for rule, control, _, subject in found["false"]],
        "renamed": [f"{planted} -> {named}" for planted, named, *_ in found["confused"]],
        "called clean": [p["rule"] for p in large],
        "off": [f"{p['rule']} {p['error']:.0%}" for p in shown if not p.get("dollars_right", True)],
        "out of range": not found["in_range"],
    }


def asked(seeds: range, problems: Sequence[str], named: Sequence[str]) -> Iterator[tuple[int, str, str, str]]:
    """seed, problem, vendor, column; vendors take turns."""
    for seed in seeds:
        vendor = ("openai", "anthropic")[seed % 2]
        for problem in problems:
            present = columns(plant.scene(seed, (problem,), vendor).made)
            yield from ((seed, problem, vendor, column) for column in present if not named or column in named)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="1:3", help="first:last+1")
    parser.add_argument("--problems", default=",".join(plant.PROBLEMS))
    parser.add_argument("--columns", default="", help="names of columns; empty: all")
    given = parser.parse_args()
    first, last = map(int, given.seeds.split(":"))
    named = given.columns.split(",") if given.columns else []
    for job in asked(range(first, last), given.problems.split(","), named):
        said = "; ".join(f"{what}: {told if told is not True else 'yes'}" for what, told in wrong(*job).items() if told)
        print(*job, said or "right", flush=True)


if __name__ == "__main__":
    main()
