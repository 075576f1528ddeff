"""Does the program name the right cause and the right dollars, and stay silent where there is nothing?

    python bench/score.py [--seeds 1000:1200] [--problems requests,agents] [--formats otlp] [--jobs 2] [--markdown]

Plants logs of known truth (`bench/plant.py`), audits them with the settings everybody has, and compares. A seed writes
each kind of problem once, for one vendor and in one format; both change from seed to seed. No thresholds here.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

HERE = Path(__file__).parent


def jobs(seeds: range, problems: list[str], formats: list[str]) -> Iterator[tuple[int, str, str, str]]:
    """seed, problem, vendor, format; vendors and formats take turns."""
    from bench.plant import AGENTS_ONLY, FORMATS, PROBLEMS

    for seed in seeds:
        for place, problem in enumerate(problems):
            vendor = ("openai", "anthropic")[(seed + place) % 2]
            usable = [name for name, _ in FORMATS[vendor] if problem in AGENTS_ONLY.get(name, PROBLEMS)]
            wanted = [name for name in usable if not formats or name in formats]
            if wanted:
                yield seed, problem, vendor, wanted[seed // 2 % len(wanted)]


def _code() -> str:
    """What was scored: a hash over the sources of the rules, their statistics and the pricing."""
    sources = (
        path for part in ("analyze", "price", "stats") for path in (HERE.parent / "costaudit" / part).glob("**/*.py")
    )
    digest = hashlib.sha256()
    for path in sorted(sources):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="1000:1050", help="first:last+1; tune below 1,000, publish from there on")
    parser.add_argument("--problems", default="")
    parser.add_argument("--formats", default="")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--markdown", action="store_true", help="the page docs/scoreboard.md")
    parser.add_argument("--keep", type=Path, help="append every result as a JSON line; read what is there already")
    asked = parser.parse_args()
    first, last = map(int, asked.seeds.split(":"))
    sys.path.insert(0, str(HERE.parent))
    os.environ.setdefault("POLARS_MAX_THREADS", "1")  # before any worker imports polars
    from bench import scoring, tables
    from bench.plant import PROBLEMS

    problems = asked.problems.split(",") if asked.problems else list(PROBLEMS)
    formats = asked.formats.split(",") if asked.formats else []
    wanted = list(jobs(range(first, last), problems, formats))
    kept = (
        [json.loads(line) for line in asked.keep.read_text().splitlines()] if asked.keep and asked.keep.exists() else []
    )
    done = {tuple(result["job"]) for result in kept}
    results = [result for result in kept if tuple(result["job"]) in set(wanted)]
    todo = [job for job in wanted if job not in done]
    with ProcessPoolExecutor(asked.jobs, mp_context=get_context("spawn")) as pool:
        for result in pool.map(scoring.score, todo):
            results.append(result)
            if asked.keep:
                with asked.keep.open("a") as out:
                    out.write(json.dumps(result) + "\n")
    print(tables.page(results, asked.seeds, _code()) if asked.markdown else tables.short(results))


if __name__ == "__main__":
    main()
