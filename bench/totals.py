"""What was spent, asked of stores of up to 100 million calls: seconds and peak memory. No thresholds.

    python bench/totals.py [--rows 1000000 10000000 100000000] [--folder /tmp/costaudit-bench] [--markdown FILE]

The calls are those of `bench/_store.py` without what only rules read: one day of them, told again for sixty days with
other tokens, in a part a day. A store of more than ten million calls is one of ten million, linked under other names as
often as it takes. Each question is asked by `costaudit spend STORE --by … --top 10` in a process of its own, which has
imported nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent.parent))

if TYPE_CHECKING:
    import polars as pl

    from costaudit.ingest._listing import Part

MIB = 2**20
LARGEST = 10_000_000  # calls that are made one by one
LISTS = ("block_sha", "block_tokens", "tool_calls", "tool_results", "reply_sha")
STALE = "by day and model, from the calls"  # where the sums are of other prices
QUESTIONS = {
    "by day and model, from the sums": "day,model",
    "total by task, from the sums": "task",
    STALE: "day,model",
    "by tenant, from the calls": "tenant",
    "by hour and user, from the calls": "hour,user",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--folder", type=Path, default=Path("/tmp/costaudit-bench"))
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--one", nargs=2, metavar=("STORE", "QUESTION"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(asked(Path(given.one[0]), given.one[1])))
        return
    table = {rows: _measured(given.folder / f"totals-{rows}", rows) for rows in given.rows}
    text = markdown(table)
    print(text)
    if given.markdown:
        given.markdown.write_text(text, encoding="utf-8")


def write(folder: Path, rows: int) -> None:
    """A store of so many calls; an existing one is left as it is."""
    mark = folder.with_suffix(".made")
    from costaudit import schema
    from costaudit.commands._sums import summary
    from costaudit.config import Settings
    from costaudit.ingest import _parts as files

    summed = summary(Settings())
    made = f"{schema.VERSION} {rows} {summed.stamp}"
    if mark.exists() and mark.read_text() == made:
        return
    make = _linked if rows > LARGEST else _written
    files.at(folder).change(lambda _: list(make(folder, rows)))
    mark.write_text(made)


def _written(folder: Path, rows: int) -> Iterator[Part]:
    import numpy as np
    import polars as pl

    from bench import _store as calls
    from costaudit import schema
    from costaudit.commands._sums import summary
    from costaudit.config import Settings
    from costaudit.ingest import _parts as files

    summed = summary(Settings())
    edges = [rows * n // calls.DAYS for n in range(calls.DAYS + 1)]
    day = calls._day(0, rows // calls.DAYS + 1, np.random.default_rng(1)).with_columns(
        pl.lit(None).alias(n) for n in LISTS
    )
    for n in range(calls.DAYS):
        part = schema.conform(_told_again(day.head(edges[n + 1] - edges[n]), n), files.STORED)
        yield files.write(folder, f"{part['started_at'][0]:%Y-%m}", part, summed)


def _linked(folder: Path, rows: int) -> Iterator[Part]:
    import msgspec

    from costaudit.ingest import _parts as files

    base = folder.with_name(f"totals-{LARGEST}")
    write(base, LARGEST)
    for part in files.load(base):
        for nth in range(rows // LARGEST):
            names = {}
            for kind in ("file", "sums"):
                old = Path(getattr(part, kind))
                names[kind] = f"{old.with_suffix('')}-{nth}.parquet"
                new = folder / names[kind]
                new.parent.mkdir(parents=True, exist_ok=True)
                new.unlink(missing_ok=True)
                new.hardlink_to(base / old)
            yield msgspec.structs.replace(part, **names)


def _told_again(day: pl.DataFrame, n: int) -> pl.DataFrame:
    """The calls of a day n days later, each a little longer or shorter."""
    import polars as pl

    from bench import _store as calls

    more = (pl.col("source_line") * (n + 1) * 7_919) % 97
    return day.with_columns(
        pl.col("started_at", "ended_at") + timedelta(days=n),
        pl.col("input_tokens") + more,
        pl.when(pl.col("status") != "error").then(pl.col("output_tokens") + more).otherwise("output_tokens"),
        request_id=pl.lit(f"{n}-") + pl.col("request_id"),
        source_file=pl.lit(f"logs/{calls.FIRST + timedelta(days=n)}.jsonl"),
    )


def _measured(folder: Path, rows: int) -> dict[str, list[float]]:
    write(folder, rows)
    found = {}
    for question in QUESTIONS:
        command = [sys.executable, __file__, "--one", str(folder), question]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found[question] = json.loads(done.stdout)
    return found


def asked(store: Path, question: str) -> list[float]:
    """Wall seconds, CPU seconds and peak bytes of one question, the start of the program included."""
    from costaudit.cli import main

    if question == STALE:
        from costaudit.price import sums

        sums.stamp = lambda book: f"{book.as_of}, of other prices"
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere), suppress(SystemExit):
        main(["spend", str(store), "--by", QUESTIONS[question], "--top", "10", "--quiet"])
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return [time.time() - _started(), usage.ru_utime + usage.ru_stime, peak()]


def peak() -> float:
    """The most memory this process has had, of its own."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0
    return float(status.split("VmHWM:")[1].split()[0]) * 1024


def _started() -> float:
    """When this process began; its interpreter and imports are part of the answer's time."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        booted = float(Path("/proc/stat").read_text().split("btime ")[1].split()[0])
    except OSError:
        return BEGAN
    return max(booted + ticks / os.sysconf("SC_CLK_TCK"), BEGAN - 5)


BEGAN = time.time()


def markdown(tables: dict[int, dict[str, list[float]]]) -> str:
    from bench._machine import measured_by

    lines = [
        f"{measured_by('bench/totals.py')}: wall seconds (CPU seconds, peak MiB), the start of the program included.",
        "",
        "| question | " + " | ".join(f"{rows // 1_000_000} M calls" for rows in tables) + " |",
        "| --- |" + " ---: |" * len(tables),
    ]
    for question in QUESTIONS:
        cells = [f"{w:.2f} ({c:.2f} s, {p / MIB:,.0f})" for w, c, p in (table[question] for table in tables.values())]
        lines.append(f"| {question} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
