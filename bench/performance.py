"""docs/performance.md in one command: reading beside its peers, and analysis by stage, measured on this machine.

    python bench/performance.py [--megabytes 1000] [--runs 3] [--rows 200000 1000000] [--peers NODE_PREFIX]
        [--largest 4000] [--totals 1000000 10000000] [--only reading|analysis|totals|startup]

Each part is a bench of its own (`reading.py`, `analysis.py`, `totals.py`, `startup.py`), run in a process of its own;
what a part prints is shown, and its section is written; with --only the others stay as they are. Peers that are absent
are left out with the reason.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance.md"
HEAD = """# Performance

`python bench/performance.py` measures and writes this page; another machine, or a busy one, gives other figures.
Nothing here is a threshold: tests never assert seconds.
"""
READING = """## Reading

`costaudit spend` reads what its sums need: long rows of transcripts that bill nothing are passed over after their
beginning (and counted so), and no prompt is hashed; that is what native readers do, and what is measured end to end.
What a call of a chat sends again of its conversation is recognised by its bytes and not decoded anew.
Reading begins while the program is still being imported, unless the cache knows files of the folder already.
`costaudit analyze` also takes tool calls, results and prompts from every row, for its rules need them:
that is the table of reading alone. Logs are read in several processes from 50 MB on, and so is one large file of calls
or traces, in slices; so is one transcript: anywhere for its sums, else cut where prompts of the user begin.
What processes remember of prompts is bounded in bytes. Rows that take more than some megabytes wait in a file and are
joined piece by piece, in order of time; the cache is written and read in pieces too. So memory grows with the number of
requests, not with what they say: of each it holds a hash and a few numbers. Pages of that file are counted here too.
"""
ANALYSIS = """## Analysis

From 100,000 calls on their columns stand in a working file that is mapped into memory (`docs/store.md` says where).
The system takes those pages back when it needs them, and between rules they are given back; so memory is told apart:
what the process holds of its own, the working tables of a stage, and pages of files. Time and memory grow with the
number of calls, and so does the working file: the last row is its size on disk. That of 100 million calls no longer
fits into the memory of this machine, so that rules read its pages from the disk again, and large tasks are looked at
one at a time: there a call costs more. To audit such a store month by month (`--since`, `--until`) is cheaper, and its
totals do not need the calls at all (`costaudit spend`). A row is empty where a size was not measured that way.
"""
TOTALS = """## Totals

`costaudit spend` asked of a store: from the sums of its parts, which hold for the prices they were made with; and from
the calls, two parts at a time, where sums do not say what is asked. Ten rows of a table are shown.
"""
STARTUP = """## What is small

From the shell to the last byte of a program started anew. What is `unchanged` was asked before: the cache holds the
answer. Another format is written from the audit that is kept; another question is worked out from the rows that are.
"""
HEADS = {"reading": READING, "analysis": ANALYSIS, "totals": TOTALS, "startup": STARTUP}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--megabytes", default="1000")
    parser.add_argument("--largest", help="megabytes of one more file whose reading's memory is measured")
    parser.add_argument("--runs", default="3")
    parser.add_argument("--rows", nargs="+", default=["200000", "1000000"])
    parser.add_argument("--totals", nargs="+", default=["1000000", "10000000"])
    parser.add_argument("--peers", help="folder of `npm install --prefix`; else peers are looked for on PATH")
    parser.add_argument("--only", choices=list(HEADS))
    given = parser.parse_args()
    peers = ["--peers", given.peers] if given.peers else []
    largest = ["--largest", given.largest] if given.largest else []
    commands = {
        "reading": ["reading.py", "--megabytes", given.megabytes, "--runs", given.runs, *peers, *largest],
        "analysis": ["analysis.py", "--rows", *given.rows],
        "totals": ["totals.py", "--rows", *given.totals],
        "startup": ["startup.py"],
    }
    before = sections(PAGE.read_text(encoding="utf-8"))
    for name, head in HEADS.items():
        if given.only in (None, name):
            before[name] = f"{head}\n{section(commands[name])}"
    PAGE.write_text("\n".join([HEAD, *(before[name] for name in HEADS if name in before)]), encoding="utf-8")


def sections(page: str) -> dict[str, str]:
    """The parts of the page as it stands."""
    found = [f"## {part.strip()}\n" for part in page.split("\n## ")[1:]]
    return {name: part for name, head in HEADS.items() for part in found if part.startswith(head.partition("\n")[0])}


def section(command: Sequence[str]) -> str:
    """What a bench writes for the page."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "section.md"
        subprocess.run([sys.executable, HERE / command[0], *command[1:], "--markdown", out], check=True)
        return out.read_text(encoding="utf-8").strip() + "\n"


if __name__ == "__main__":
    main()
