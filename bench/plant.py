"""Logs whose every problem and every dollar is known.

    python bench/plant.py OUT [--seed 1] [--problems requests,agents] [--formats openai_chat,otlp]

Neutral events first, then one writer a format; beside each log stand `truth.jsonl` (a line a problem), `controls.jsonl`
(what must stay silent) and `outcomes.csv` (what is known of the answers from elsewhere).
"""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from bench import transcripts, writers
from bench.events import Event, usd
from bench.problems._scene import FLOOR, Scene
from bench.writing import Files

Writer = Callable[[Sequence[Event]], Files]
PROBLEMS = ("requests", "agents", "caches", "models", "series", "tenants", "overlaps", "traps")
FORMATS: dict[str, tuple[tuple[str, Writer], ...]] = {
    "openai": tuple((w.__name__, w) for w in (writers.openai_chat, writers.openai_responses, writers.litellm,
                                              writers.otlp, writers.generic_jsonl, writers.generic_csv)),
    "anthropic": tuple((w.__name__, w) for w in (writers.anthropic_messages, writers.litellm, writers.otlp,
                                                 writers.generic_jsonl, transcripts.claude_code)),
}  # fmt: skip
AGENTS_ONLY = {"claude_code": ("agents", "overlaps")}  # a transcript has runs and nothing else


def scene(seed: int, problems: Sequence[str], vendor: str) -> Scene:
    """The events of some kinds of problems, with their truth; the vendor decides models and how caches are billed."""
    made = Scene(seed, vendor)
    for problem in problems:
        importlib.import_module(f"bench.problems.{problem}").build(made)
    made.made.sort(key=lambda e: (e.at, e.id))
    spent = sum((usd(e) for e in (*made.made, *made.elsewhere)), FLOOR * 0)
    assert spent < 200 * FLOOR, f"{problems} {seed}: ${spent} would raise the floor of the plants"
    return made


def snapshots(events: Iterable[Event]) -> list[Event]:
    """The records a logger writes: a call again for each earlier snapshot of its stream, with less output."""
    written: list[Event] = []
    for e in events:
        written += [replace(e, output=max(1, int((e.output or 1) * (k + 1) / (e.copies + 1)))) for k in range(e.copies)]
        written.append(e)
    return written


def write(made: Scene, writer: Writer, folder: Path) -> None:
    """The log in one format, with outcomes and settings files beside it."""
    for name, data in writer(snapshots(made.made)).items():
        path = folder / "logs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    for name, text in made.logs.items():
        (folder / "logs" / name).write_text(text)
    known = [(e, e.success) for e in made.made if e.success is not None]
    if known:
        rows = [f"{response_id(writer.__name__, e)},{str(good).lower()}\n" for e, good in known]
        (folder / "outcomes.csv").write_text("request_id,success\n" + "".join(rows))
    for name, text in made.files.items():
        (folder / name).write_text(text)


def response_id(writer: str, e: Event) -> str:
    """What the log calls the answer."""
    prefix = {"openai_responses": "resp_", "anthropic_messages": "msg_", "claude_code": "msg_"}
    return prefix.get(writer, "chatcmpl-") + e.id


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--problems", default=",".join(PROBLEMS))
    parser.add_argument("--formats", default="", help="names of writers; empty: all")
    asked = parser.parse_args()
    for problem in asked.problems.split(","):
        for vendor, known in FORMATS.items():
            made = scene(asked.seed, (problem,), vendor)
            for name, writer in known:
                if asked.formats and name not in asked.formats.split(","):
                    continue
                if problem not in AGENTS_ONLY.get(name, PROBLEMS):
                    continue
                folder = asked.out / f"{problem}-{vendor}-{name}"
                folder.mkdir(parents=True, exist_ok=True)
                write(made, writer, folder)
                for kind, rows in (("truth", made.plants), ("controls", made.controls)):
                    lines = [json.dumps(asdict(row), default=_plain) + "\n" for row in rows]
                    (folder / f"{kind}.jsonl").write_text("".join(lines))


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, frozenset) else str(value)


if __name__ == "__main__":
    main()
