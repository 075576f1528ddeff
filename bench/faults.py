"""What happens to log files on their way: copies, cuts, lost counts, strange models. The header must bear it."""

from __future__ import annotations

import gzip
import random
import tempfile
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from bench.events import Event, usd
from bench.plant import Writer, snapshots
from bench.problems._scene import Scene
from costaudit import pipeline
from costaudit.config import Settings
from costaudit.errors import CostAuditError
from costaudit.price.book import PriceBook

KINDS = ("copies", "cut lines", "lost usage", "unknown model", "shuffled, compressed")


def score(made: Scene, writer: Writer, seed: int, book: PriceBook) -> list[dict[str, Any]]:
    """For one fault, drawn by the seed: whether the true total lies in the range of the header."""
    kind = KINDS[seed // 2 % len(KINDS)]
    drawn = random.Random(seed)
    events = [e for e in made.made if e.input is not None and e.provider in ("openai", "anthropic")]
    events = [e for e in events if usd(e)]
    truth = sum((usd(e) for e in events), Decimal(0))
    logged = [_hurt(e, kind, drawn) for e in events]
    files = writer(snapshots(logged))
    if any(not name.endswith("jsonl") for name in files):
        return []
    with tempfile.TemporaryDirectory() as place:
        for name, data in files.items():
            lines = data.splitlines(keepends=True)
            if len(lines) < 10 and kind in ("copies", "cut lines"):
                return []  # one record holds everything: there is no line to lose
            if kind == "copies":
                lines += drawn.sample(lines, len(lines) // 2)
            if kind == "cut lines":
                lines = [line[: len(line) // 2] + b"\n" if drawn.random() < 0.03 else line for line in lines]
            if kind.startswith("shuffled"):
                drawn.shuffle(lines)
            path = Path(place) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            data = b"".join(lines)
            if kind.startswith("shuffled"):
                path = path.with_suffix(".jsonl.gz")
                data = gzip.compress(data)
            path.write_bytes(data)
        try:
            known = pipeline.load([place], pipeline.checked(Settings()), book=book)
        except CostAuditError as problem:
            return [{"kind": kind, "right": False, "why": str(problem)}]
    low, high = known.coverage.low_usd, known.coverage.high_usd
    total = known.calls["cost_usd"].sum()
    same = kind in ("copies", "shuffled, compressed")
    right = total == truth if same else low <= truth and (high is None or truth <= high)
    return [{"kind": kind, "right": bool(right), "low": str(low), "high": str(high), "truth": str(truth)}]


def _hurt(e: Event, kind: str, drawn: random.Random) -> Event:
    if kind == "lost usage" and drawn.random() < 0.3:
        return replace(e, input=None, output=None)
    if kind == "unknown model" and drawn.random() < 0.1:
        return replace(e, model="mystery-9")
    return e
