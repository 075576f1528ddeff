"""Console blocks of documents: found, run inside this process, compared or rewritten.

A block is fenced as `console`; `$ costaudit …` lines are commands, the lines after them what must be printed. A line
`…` stands for any lines. A comment `# exit 1` behind a command names its exit code; without one it is 0.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from costaudit.cli import main

ROOT = Path(__file__).parent.parent
FENCE = re.compile(r"^(?P<indent> *)```console\n(?P<body>.*?)^ *```", re.MULTILINE | re.DOTALL)
ANY = "…"


class Example(NamedTuple):
    """One command of a block and what the document says it prints."""

    path: Path
    line: int
    command: str
    said: list[str]
    indent: str

    @property
    def exit_code(self) -> int:
        found = re.search(r"#\s*exit (\d+)\s*$", self.command)
        return int(found[1]) if found else 0


def examples(path: Path) -> Iterator[Example]:
    text = path.read_text(encoding="utf-8")
    for block in FENCE.finditer(text):
        first = text.count("\n", 0, block.start()) + 2
        indent = block["indent"]
        lines = [line.removeprefix(indent) for line in block["body"].splitlines()]
        starts = [n for n, line in enumerate(lines) if line.startswith("$ ")]
        for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
            yield Example(path, first + start, lines[start][2:], lines[start + 1 : end], indent)


def run(command: str) -> tuple[list[str], int]:
    """What a command prints on standard output, and its exit code."""
    arguments = shlex.split(command, comments=True)
    if arguments[0] != "costaudit":
        raise ValueError(f"a console block runs costaudit only, not {arguments[0]!r}")
    out = io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        try:
            main(arguments[1:])
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(bool(end.code))
    return [line.rstrip() for line in out.getvalue().rstrip("\n").split("\n")], code


def matches(said: list[str], printed: list[str]) -> bool:
    pattern = "\n".join("(?:.*)" if line.strip() == ANY else re.escape(line.rstrip()) for line in said)
    return re.fullmatch(pattern, "\n".join(printed), re.DOTALL) is not None


def rewrite(example: Example, printed: list[str]) -> None:
    """Put what is printed into the document; blocks that leave something out keep their form."""
    if any(line.strip() == ANY for line in example.said):
        return
    lines = example.path.read_text(encoding="utf-8").split("\n")
    at = lines.index(f"{example.indent}$ {example.command}") + 1  # earlier blocks may have grown
    new = [f"{example.indent}{line}".rstrip() for line in printed if printed != [""]]
    lines[at : at + len(example.said)] = new
    example.path.write_text("\n".join(lines), encoding="utf-8")
