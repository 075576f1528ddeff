"""How often the gate fails builds that changed nothing, and how often it sees a planted rise.

    python bench/gate.py [--splits 10000] [--trials 1000] [--seed 1000] [--trajectories FILE] [--markdown docs/gate.md]

A/A: random halves of one log, of made-up pools of unit costs, and of repeated trials of one agent, at tolerance 0 and
5 %. Planted rises, at the number of units that the gate itself asks for: 8 in 10 should fail. What is no rise at all:
another mix, another volume, another price. Prints Markdown tables with 95 % Wilson intervals; no thresholds.
`--markdown` puts the tables between the two marks of a document.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path

import polars as pl
from msgspec.structs import replace

from costaudit import pipeline, stats
from costaudit.compare.gate import check
from costaudit.compare.side import Side, last_day, measure
from costaudit.config import Gate as Limits
from costaudit.config import Located, Settings
from costaudit.price.mix import CLASS_ROWS, MODELS, TASKS, Mix
from costaudit.schema import USD
from costaudit.verdict import Gate, Verdict

ROOT = Path(__file__).parent.parent
LOG = ROOT / "sample_logs" / "demo"
NOTHING = Mix(TASKS.to_frame(), MODELS.to_frame(), CLASS_ROWS.to_frame())
POOLS = ((20, 0.5), (40, 1.0), (400, 2.0))  # units, coefficient of variation
LARGE = ("triage", "answer")  # tasks of the log with enough units for a PASS: 2,083 and 1,304
RISES = (1.1, 1.2, 1.5)
TOLD = (Verdict.FAIL, Verdict.PASS, Verdict.CANNOT_TELL)
MARKS = ("<!-- figures of bench/gate.py -->", "<!-- end of the figures -->")
FARE = 2.5e-6  # USD a token of gpt-4o's input on the days of the trajectories; a constant cancels out of a ratio


@dataclass(frozen=True)
class Share:
    """How often something happened."""

    hits: int
    of: int

    def __str__(self) -> str:
        bounds = stats.wilson(self.hits, self.of, 1.96)
        return f"{100 * bounds.value:.1f} % ({100 * bounds.low:.1f} to {100 * bounds.high:.1f})"


@dataclass(frozen=True)
class Sizes:
    splits: int
    trials: int
    seed: int


def side(units: pl.DataFrame) -> Side:
    return Side("bench", units, NOTHING)


def frame(costs: Sequence[float], cases: bool = False) -> pl.DataFrame:
    """Unit costs as the gate keeps them; a token costs a millionth."""
    usd = pl.Series("usd", costs, dtype=pl.Float64)
    return pl.DataFrame({"usd": usd.cast(USD), "tokens": (usd * 1e6).round().cast(pl.Int64)}).select(
        task=pl.lit("t"),
        case=pl.int_range(pl.len()).cast(pl.String) if cases else pl.lit(None, pl.String),
        runs=pl.lit(1, pl.Int64),
        usd="usd",
        tokens="tokens",
    )


def pool(source: random.Random, units: int, cv: float) -> list[float]:
    """Log-normal unit costs with mean 1."""
    sigma = math.sqrt(math.log(1 + cv * cv))
    return [source.lognormvariate(-sigma * sigma / 2, sigma) for _ in range(units)]


def verdict(base: pl.DataFrame, head: pl.DataFrame, *, tolerance: float = 0.0) -> Verdict:
    return check(side(head), side(base), Limits(tolerance=tolerance)).rows[0].verdict


# Nothing changed


Split = Callable[[random.Random], tuple[pl.DataFrame, pl.DataFrame]]


def failures(split: Split, sizes: Sizes) -> tuple[Share, Share]:
    """Failures at tolerance 0, and at 5 %: what passes the stricter limit passes the other."""
    source, strict, usual = random.Random(sizes.seed), 0, 0
    for _ in range(sizes.splits):
        base, head = split(source)
        if verdict(base, head) is Verdict.FAIL:
            strict += 1
            usual += verdict(base, head, tolerance=0.05) is Verdict.FAIL
    return Share(strict, sizes.splits), Share(usual, sizes.splits)


def halves(costs: list[float]) -> Split:
    units = frame(costs)

    def split(source: random.Random) -> tuple[pl.DataFrame, pl.DataFrame]:
        order = source.sample(range(len(costs)), len(costs))
        return units[order[: len(costs) // 2]], units[order[len(costs) // 2 :]]

    return split


def coins(repeats: Sequence[Sequence[float]]) -> Split:
    """Repeats of each case, dealt to the two sides at random; a side's unit is their mean."""

    def split(source: random.Random) -> tuple[pl.DataFrame, pl.DataFrame]:
        dealt = [source.sample(runs, len(runs)) for runs in repeats]
        n = len(repeats[0]) // 2
        sides = ([sum(runs[:n]) / n for runs in dealt], [sum(runs[n : 2 * n]) / n for runs in dealt])
        return frame(sides[0], cases=True), frame(sides[1], cases=True)

    return split


def unchanged(sizes: Sizes, trajectories: Path | None) -> Iterator[tuple[str, Split]]:
    """What it is, and how it is split."""
    for task, costs in units_of_the_log().items():
        yield f"halves of the {len(costs):,} units of `{task}` of the sample log", halves(costs)
    for units, cv in POOLS:
        made = pool(random.Random(sizes.seed), units, cv)
        yield f"halves of {units} made-up units, cv {cv:g}", halves(made)
    source = random.Random(sizes.seed)
    runs = [[cost * source.lognormvariate(0, 0.3) for _ in "ab"] for cost in pool(source, 10, 1)]
    yield "10 made-up cases run twice, each off by 30 %", coins(runs)
    if trajectories is not None:
        runs = agent_runs(trajectories)
        yield f"{len(runs)} cases of a real agent, {len(runs[0])} trials each, dealt in two", coins(runs)
        yield "the same, one trial a side", coins([trials[:2] for trials in runs])


def units_of_the_log() -> dict[str, list[float]]:
    """Unit costs of each task of the sample log that has a price."""
    units = log().units
    return {
        task: units.filter(pl.col("task") == task)["usd"].cast(pl.Float64).to_list()
        for task in ("triage", "research", "main loop")
    }


def agent_runs(path: Path) -> list[list[float]]:
    """Input dollars of each trial of each case, four characters a token: every step sends all before it again."""
    found: dict[str, list[float]] = {}
    for run in json.loads(path.read_text(encoding="utf-8")):
        sums = list(itertools.accumulate(len(str(turn.get("content") or "")) for turn in run["traj"]))
        asked = [chars for turn, chars in zip(run["traj"], sums, strict=True) if turn["role"] == "assistant"]
        found.setdefault(str(run["task_id"]), []).append(sum(asked) / 4 * FARE)
    most = min(map(len, found.values()))
    return [found[case][:most] for case in sorted(found)]


# A planted rise


def planted(sizes: Sizes, units: int, rise: float, cv: float, *, cases: bool, data: float = 1.0) -> Counter[Verdict]:
    """Verdicts on comparisons with a planted rise, on a share of the units."""
    source, said = random.Random(sizes.seed), Counter[Verdict]()
    kept = max(2, round(units * data))
    sigma = math.sqrt(math.log(1 + cv * cv))
    for _ in range(sizes.trials):
        base = pool(source, kept, 1.0 if cases else cv)
        # Each pair differs by chance, log-normal with mean 1 and coefficient of variation `cv`.
        noise = [source.lognormvariate(-sigma * sigma / 2, sigma) for _ in base]
        head = [rise * a * b for a, b in zip(base, noise, strict=True)] if cases else pool(source, kept, cv)
        if not cases:
            head = [rise * cost for cost in head]
        said[verdict(frame(base, cases), frame(head, cases))] += 1
    return said


def asked_for(rise: float, cv: float, *, cases: bool) -> int:
    """Units at which the gate says that a rise is seen by 8 in 10."""
    # Dear cases differ by more: cases of cv 1 make the differences that much larger.
    return stats.units_for_paired_ratio(cv * math.sqrt(2), rise) if cases else stats.units_for_ratio(cv, rise)


def power(sizes: Sizes) -> Iterator[str]:
    for cases, cv in ((False, 1.0), (False, 0.4), (True, 0.35)):
        for rise in RISES:
            units = asked_for(rise, cv, cases=cases)
            whole = planted(sizes, units, rise, cv, cases=cases)
            half = planted(sizes, units, rise, cv, cases=cases, data=0.5)
            what = f"{units:,} pairs, each off by {cv:.0%}" if cases else f"{units:,} units a side, cv {cv:g}"
            said = [Share(whole[Verdict.FAIL], sizes.trials), Share(half[Verdict.FAIL], sizes.trials)]
            rest = [Share(half[v], sizes.trials) for v in (Verdict.CANNOT_TELL, Verdict.PASS)]
            yield f"| {rise - 1:+.0%} | {what} | 80 % | {said[0]} | {said[1]} | {rest[0]} | {rest[1]} |"


# No rise at all


def innocent(sizes: Sizes) -> Iterator[str]:
    """Halves of the sample log, changed in what the gate must not see, under the usual limits."""
    units = log().units.filter(pl.col("task").is_in(LARGE))
    for what, bases, heads in (
        ("nothing", 0.5, {}),
        ("mix: a third of the units of `triage`", 0.5, {"triage": 1 / 3}),
        ("mix: a third of the units of `answer`", 0.5, {"answer": 1 / 3}),
        ("volume: twice as many units of everything", 1 / 3, {}),
    ):
        source, said = random.Random(sizes.seed), Counter[Verdict]()
        for _ in range(sizes.trials // 2):
            drawn = units.with_columns(pl.Series("at", [source.random() for _ in range(units.height)]))
            kept = pl.lit(bases) + (1 - bases) * pl.col("task").replace_strict(
                heads, default=1.0, return_dtype=pl.Float64
            )
            base, head = (
                drawn.filter(pl.col("at") < bases),
                drawn.filter(pl.col("at").is_between(bases, kept, closed="left")),
            )
            found = check(*(Side(n, u.drop("at"), NOTHING) for n, u in (("head", head), ("base", base))), Limits())
            said.update(row.verdict for row in found.rows)
        yield _verdicts(what, said)
    for what, factor in (("price: halved between the two", "0.5"), ("price: doubled between the two", "2")):
        yield _verdicts(what, Counter(row.verdict for row in repriced(Decimal(factor)).rows if row.task in LARGE))


def repriced(factor: Decimal) -> Gate:
    """The sample log against itself a year later, when everything costs `factor` times as much."""
    price = Located({"match": "*/*", "token_multiplier": factor, "valid_from": "2027-01-01"}, "bench", 1)
    settings = Settings(prices=(price,))
    read = pipeline.requests([str(LOG)], settings)
    later = replace(read, requests=read.requests.with_columns(pl.col("started_at", "ended_at") + timedelta(days=365)))
    now, then = (pipeline.loaded(each, settings, [str(LOG)]) for each in (later, read))
    if not now.calls["cost_usd"].sum() == factor * then.calls["cost_usd"].sum():
        raise RuntimeError("the planted price is not in force")
    day = last_day(now.calls)
    sides = [
        measure(side.calls, side.book, name="log", window=side.window, coverage=1.0, on=day) for side in (now, then)
    ]
    return check(*sides, Limits())


def _verdicts(what: str, said: Counter[Verdict]) -> str:
    of = said.total() - said[Verdict.CANNOT_JUDGE]
    return f"| {what} | {of:,} | " + " | ".join(str(Share(said[v], of)) for v in TOLD) + " |"


@cache
def log() -> Side:
    known = pipeline.load([str(LOG)], Settings())
    return measure(known.calls, known.book, name="sample", window=known.window, coverage=1.0)


def tables(sizes: Sizes, trajectories: Path | None) -> Iterator[str]:
    yield f"{sizes.splits:,} random splits each, seed {sizes.seed}:"
    yield ""
    yield "| nothing changed | FAIL at tolerance 0 | FAIL at 5 % |\n| :-- | --: | --: |"
    for what, split in unchanged(sizes, trajectories):
        strict, usual = failures(split, sizes)
        yield f"| {what} | {strict} | {usual} |"
    yield f"\n{sizes.trials:,} comparisons each, with as many units as the gate asks for, and with half; tolerance 0:\n"
    yield "| planted | units asked for | printed power | FAIL | half the data: FAIL | CANNOT TELL | PASS |"
    yield "| :-- | :-- | --: | --: | --: | --: | --: |"
    yield from power(sizes)
    yield f"\nHalves of the sample log, {sizes.trials // 2:,} times, its two large tasks, usual limits:\n"
    yield "| what changed | verdicts | FAIL | PASS | CANNOT TELL |\n| :-- | --: | --: | --: | --: |"
    yield from innocent(sizes)


def publish(document: Path, lines: Sequence[str]) -> None:
    """The tables between the marks of a document."""
    before, first, rest = document.read_text(encoding="utf-8").partition(MARKS[0])
    _, last, after = rest.partition(MARKS[1])
    if not first or not last:
        raise SystemExit(f"{document} has no line {MARKS[0]} with {MARKS[1]} after it")
    document.write_text("\n".join([before + first, "", *lines, "", last + after]), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=10_000)
    parser.add_argument("--trials", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1_000)
    parser.add_argument("--trajectories", type=Path, help="tau-bench results: a JSON list of task_id, trial, traj")
    parser.add_argument("--markdown", type=Path, help="document to put the tables into")
    given = parser.parse_args()
    lines = []
    for line in tables(Sizes(given.splits, given.trials, given.seed), given.trajectories):
        print(line, flush=True)
        lines.append(line)
    if given.markdown is not None:
        publish(given.markdown, lines)


if __name__ == "__main__":
    main()
