"""How often the 80 % interval of the forecast holds, and whether the peak minute of real traffic lies where it says.

    python bench/forecast.py [--series 200] [--markdown] [--datasets ../shared/datasets]

Series: exponential, stepped, seasonal and flat daily spend with weekly and daily log-normal noise; weeks known / ahead.
Peaks: the traces `azure_llm_2023` and `mooncake_conversation`, split in the middle of their time; skipped where absent.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

from costaudit import stats

FIRST = date(2026, 1, 5)  # a Monday
WEEKEND = (1.2, 1.15, 1.1, 1.1, 1.0, 0.4, 0.3)
SHAPES = ("exponential", "step", "seasonal", "flat")
LENGTHS = ((8, 4), (12, 4), (16, 4), (26, 4), (9, 2))  # weeks known, weeks ahead
NOISE, WEEKLY = 0.25, 0.08  # standard deviations of ln(day) and ln(week)
TRACES = (
    ("azure code", "azure_llm_2023/AzureLLMInferenceTrace_code.csv"),
    ("azure conversation", "azure_llm_2023/AzureLLMInferenceTrace_conv.csv"),
    ("mooncake conversation", "mooncake_conversation/conversation_trace.jsonl"),
)


def planted(shape: str, source: random.Random, weeks: int, known: int) -> list[float]:
    """Daily spend of `weeks` weeks, a step somewhere in the middle of the known ones."""
    growth, step, at = source.uniform(-0.03, 0.06), source.uniform(0.6, 1.8), source.uniform(0.3, 0.7) * 7 * known
    week = [math.exp(source.gauss(0, WEEKLY)) for _ in range(weeks)]
    return [
        100.0
        * (math.exp(growth * day / 7) if shape == "exponential" else 1.0)
        * (step if shape == "step" and day >= at else 1.0)
        * (WEEKEND[day % 7] if shape == "seasonal" else 1.0)
        * week[day // 7]
        * math.exp(source.gauss(0, NOISE))
        for day in range(7 * weeks)
    ]


def coverage(shape: str, known: int, ahead: int, series: int) -> list[str]:
    """One row: how often the interval held, how often the trend was shown and how often it was widened."""
    hits, trends, widened, errors, beside = 0, 0, 0, 0.0, 0.0
    last = FIRST + timedelta(days=7 * known - 1)
    until = last + timedelta(days=7 * ahead)
    for number in range(series):
        days = planted(shape, random.Random(number * 7 + 1), known + ahead, known)
        history = {FIRST + timedelta(days=k): usd for k, usd in enumerate(days[: 7 * known])}
        found = stats.forecast(history, last, until)
        actual = math.fsum(days[7 * known :])
        sum_ = found.over(last + timedelta(days=1), until)
        hits += sum_.low <= actual <= sum_.high
        trends += found.kind == "trend"
        widened += found.widened
        errors += abs(math.log(actual / sum_.value))
        beside += abs(math.log(actual / math.fsum(found.naive)))
    shares = [f"{trends / series:.0%}", f"{widened / series:.0%}"]
    bounds = stats.wilson(hits, series, 1.96)
    held = f"{bounds.value:.2f} ({bounds.low:.2f} to {bounds.high:.2f})"
    return [shape, f"{known} / {ahead}", held, *shares, f"{errors / series:.1%}", f"{beside / series:.1%}"]


def trace(path: Path) -> list[tuple[float, int]]:
    """(second, tokens) of each request."""
    with path.open(newline="") as file:
        if path.suffix == ".jsonl":
            calls = [json.loads(line) for line in file]
            return sorted((c["timestamp"] / 1_000, c["input_length"] + c["output_length"]) for c in calls)
        return sorted(
            (
                datetime.fromisoformat(r["TIMESTAMP"][:26]).timestamp(),
                int(r["ContextTokens"]) + int(r["GeneratedTokens"]),
            )
            for r in csv.DictReader(file)
        )


def peaks(name: str, events: Sequence[tuple[float, int]]) -> Iterator[list[str]]:
    """Requests and tokens: the peak minute of the first half, its interval for the second, and what came."""
    start, half = events[0][0], (events[-1][0] - events[0][0]) / 2
    minutes = int(half // 60)
    weights: tuple[tuple[str, Callable[[int], int]], ...] = (("requests", lambda _: 1), ("tokens", lambda n: n))
    for what, weigh in weights:
        sides: tuple[Counter[int], Counter[int]] = (Counter(), Counter())
        for at, tokens in events:
            late = at - start >= half
            sides[late][int((at - start - half * late) // 60)] += weigh(tokens)
        first = {minute: float(value) for minute, value in sides[0].items() if minute < minutes}
        actual = max(value for minute, value in sides[1].items() if minute < minutes)
        found = stats.peak_ahead(first, minutes)
        inside = "yes" if found.low <= actual <= found.high else "NO"
        yield [name, what, f"{found.value:,.0f}", f"{found.low:,.0f} to {found.high:,.0f}", f"{actual:,}", inside]


def show(heads: Sequence[str], rows: Sequence[Sequence[str]], *, markdown: bool) -> None:
    if markdown:
        rows = [["---"] * len(heads), *rows]
        print("\n".join(f"| {' | '.join(row)} |" for row in [heads, *rows]) + "\n")
        return
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]
    for row in [heads, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--series", type=int, default=200, help="series of each shape and length")
    parser.add_argument("--markdown", action="store_true", help="tables for a document")
    parser.add_argument("--datasets", type=Path, default=Path(__file__).parent.parent.parent / "shared" / "datasets")
    given = parser.parse_args()
    rows = [coverage(shape, *length, given.series) for length in LENGTHS for shape in SHAPES]
    heads = [
        "series",
        "weeks known / ahead",
        "80 % interval held",
        "trend shown",
        "widened",
        "error",
        "last week again",
    ]
    show(heads, rows, markdown=given.markdown)
    found = [
        row
        for name, file in TRACES
        if (given.datasets / file).is_file()
        for row in peaks(name, trace(given.datasets / file))
    ]
    if found:
        show(
            ["trace", "a minute", "peak, first half", "95 % interval", "peak, second half", "inside"],
            found,
            markdown=given.markdown,
        )


if __name__ == "__main__":
    main()
