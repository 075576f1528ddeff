"""How long small things take, from the shell to the last byte: commands started anew, the least of several runs.

    python bench/startup.py [--runs 10] [--markdown FILE]

Each command is run once before it is measured, so that compiled modules and parsed prices are there, as they are for
everybody who has used the program once; what is `unchanged` was asked before. The least of the runs says what the
program costs, the others what else the machine did. No thresholds.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

from _machine import measured_by

ROOT = Path(__file__).parent.parent
PROGRAM = [sys.executable, "-m", "costaudit"]
CALLS = 20  # of a small file


class Case(NamedTuple):
    what: str
    words: Sequence[str]
    variables: Mapping[str, str] = {}


class Took(NamedTuple):
    wall: float
    cpu: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--markdown", type=Path, help="write the table to this file too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table = {case.what: least(case, given.runs, Path(folder)) for case in cases(Path(folder))}
    print(f"{'':<44}{'wall ms':>10}{'CPU ms':>10}")
    for what, took in table.items():
        print(f"{what:<44}{took.wall * 1e3:>10.0f}{took.cpu * 1e3:>10.0f}")
    if given.markdown:
        given.markdown.write_text(markdown(table, given.runs), encoding="utf-8")


def cases(folder: Path) -> list[Case]:
    """Everything that is small."""
    few, many, demo = small(folder / "few", 10), small(folder / "many", 1_000), str(ROOT / "sample_logs" / "demo")
    (folder / "empty").mkdir()
    completion = {"_COSTAUDIT_COMPLETE": "complete_bash", "COMP_WORDS": "costaudit expl", "COMP_CWORD": "1"}
    return [
        Case("--help", ["--help"]),
        Case("completion of a command", [], completion),
        Case("analyze --help", ["analyze", "--help"]),
        Case("explain runaway-loop", ["explain", "runaway-loop"]),
        Case("formats", ["formats"]),
        Case("prices show gpt-4o", ["prices", "show", "gpt-4o"]),
        Case("analyze, an empty folder", ["analyze", str(folder / "empty")]),
        Case("analyze, 10 small files, read anew", ["analyze", "--no-cache", few]),
        Case("analyze, 10 small files, unchanged", ["analyze", few]),
        Case("analyze, 1,000 small files, read anew", ["analyze", "--no-cache", many]),
        Case("analyze, 1,000 small files, unchanged", ["analyze", many]),
        Case("the same, written in another format too", ["analyze", many, "--also", f"html={folder / 'a.html'}"]),
        Case("the same, asked another question", ["analyze", many, "--min-coverage", "0.{run}"]),
        Case("analyze sample_logs/demo, read anew", ["analyze", "--no-cache", demo]),
        Case("analyze sample_logs/demo, unchanged", ["analyze", demo]),
        Case("analyze sample_logs/demo, asked another question", ["analyze", demo, "--min-coverage", "0.{run}"]),
    ]


def small(folder: Path, files: int) -> str:
    """So many logs of 20 Chat Completions each, of two tasks and two models."""
    folder.mkdir()
    random = Random(1)
    at = 1_790_000_000
    for n in range(files):
        rows = []
        for m in range(CALLS):
            at += random.randint(1, 900)
            rows.append(
                {
                    "id": f"chatcmpl-{n}-{m}",
                    "object": "chat.completion",
                    "created": at,
                    "model": random.choice(["gpt-4o-2024-08-06", "gpt-4o-mini-2024-07-18"]),
                    "choices": [
                        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": f"{m}"}}
                    ],
                    "usage": {"prompt_tokens": random.randint(300, 4_000), "completion_tokens": random.randint(1, 800)},
                    "metadata": {"task": random.choice(["triage", "answer"])},
                }
            )
        (folder / f"{n:04}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder)


def least(case: Case, runs: int, folder: Path) -> Took:
    """Wall and CPU seconds of the quickest run, children included."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    variables |= {"XDG_CACHE_HOME": str(folder / "cache"), "PYTHONPATH": str(ROOT), **case.variables}

    def run(number: int) -> Took:
        words = [word.replace("{run}", f"{number:03}") for word in case.words]
        before, start = _used(), time.perf_counter()
        done = subprocess.run([*PROGRAM, *words], env=variables, cwd=folder, capture_output=True, check=False)
        if done.returncode not in (0, 3):  # 3: nothing to judge
            raise SystemExit(done.stderr.decode())
        return Took(time.perf_counter() - start, _used() - before)

    run(0)
    took = [run(number) for number in range(1, runs + 1)]
    return Took(min(t.wall for t in took), min(t.cpu for t in took))


def _used() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def markdown(table: Mapping[str, Took], runs: int) -> str:
    rows = [f"| {what} | {took.wall * 1e3:,.0f} | {took.cpu * 1e3:,.0f} |" for what, took in table.items()]
    return "\n".join(
        [
            f"{measured_by('bench/startup.py')}: the least of {runs} runs.",
            "",
            "| | ms | CPU ms |",
            "| --- | ---: | ---: |",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    main()
