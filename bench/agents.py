"""What coding agents spent: this program beside `ccusage` on the same planted logs, and why they differ.

    python bench/agents.py [--ccusage PATH] [--markdown] [--all]

Each case is a home folder whose tokens are known (`_agent_cases.py`). `ccusage` is a program of npm
(`npm install --prefix FOLDER ccusage`); it runs here without network (`--offline`). Where it is not installed the
comparison says so and ends.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent)]

from _agent_cases import CASES, Case, write  # noqa: E402

from costaudit.errors import CostAuditError  # noqa: E402
from costaudit.ingest import ingest  # noqa: E402

PLACES = ("node_modules/.bin",)


class Outcome(NamedTuple):
    case: Case
    ours: int
    theirs: int | None  # None: nothing found, or no answer


def ours(home: Path) -> int:
    """All tokens below a home folder, as this program counts them."""
    try:
        calls = ingest([home]).requests
    except CostAuditError:
        return 0
    billed = calls.filter(~calls["rollup"].fill_null(value=False))
    return int(billed["input_tokens"].sum() + billed["output_tokens"].sum())


def theirs(program: str, agent: str, home: Path) -> int | None:
    """All tokens of an agent, as `ccusage` counts them; a home of its own keeps it from the user's logs."""
    environment = {"HOME": str(home), "PATH": os.environ.get("PATH", ""), "TZ": "UTC"}
    command = [program, agent, "daily", "--json", "--offline"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    try:
        totals = json.loads(done.stdout)["totals"]
    except (ValueError, KeyError, TypeError):
        return None
    return int(totals["totalTokens"]) if isinstance(totals, dict) and "totalTokens" in totals else None


def compare(program: str) -> list[Outcome]:
    outcomes = []
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            write(case, home)
            outcomes.append(Outcome(case, ours(home), theirs(program, case.agent, home)))
    return outcomes


def markdown(outcomes: list[Outcome]) -> str:
    lines = ["| agent | case | truth | costaudit | ccusage | why |", "| --- | --- | ---: | ---: | ---: | --- |"]
    for case, mine, other in outcomes:
        shown = "nothing found" if other is None else f"{other:,}"
        why = "" if (other or 0) == case.truth else case.trap
        lines.append(f"| {case.agent} | {case.name} | {case.truth:,} | {mine:,} | {shown} | {why} |")
    return "\n".join(lines)


def plain(outcomes: list[Outcome]) -> str:
    lines = [f"{'':13}{'truth':>10}{'costaudit':>11}{'ccusage':>13}"]
    for case, mine, other in outcomes:
        shown = "nothing" if other is None else f"{other:,}"
        lines.append(f"{case.agent:13}{case.truth:>10,}{mine:>11,}{shown:>13}  {case.name}")
        if (other or 0) != case.truth:
            lines.append(f"{'':49}{case.trap}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ccusage", help="the program; else it is looked for on the path and in node_modules")
    parser.add_argument("--markdown", action="store_true", help="a table for documents")
    parser.add_argument("--all", action="store_true", help="also the cases in which both are right")
    arguments = parser.parse_args()
    program = arguments.ccusage or next((p for f in (None, *PLACES) if (p := shutil.which("ccusage", path=f))), None)
    if program is None:
        print("skipped: ccusage is not installed (npm install --prefix FOLDER ccusage, then --ccusage PATH)")
        return
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    outcomes = compare(program)
    shown = [o for o in outcomes if arguments.all or o.ours != o.case.truth or (o.theirs or 0) != o.case.truth]
    print((markdown if arguments.markdown else plain)(shown))
    right = sum((o.theirs or 0) == o.case.truth for o in outcomes)
    mine = sum(o.ours == o.case.truth for o in outcomes)
    print(f"\n{len(outcomes)} cases: costaudit right in {mine}, {version} in {right}.")


if __name__ == "__main__":
    main()
