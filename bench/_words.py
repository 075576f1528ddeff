"""Made-up text, ids and times for generated logs: the same source of chance gives the same again."""

from __future__ import annotations

import json
import random
from datetime import datetime

WORDS = (
    "def return import self value error request response config the a to of in for is not with as if else data file "
    "path list result model client server test assert print open read write close line token cache cost price index "
    "array object string number null true false async await function const let class public private static void"
)


class Text:
    """Slices of one body of made-up source text, already escaped as JSON strings escape it."""

    def __init__(self, source: random.Random, size: int = 2_000_000) -> None:
        words, lines = WORDS.split(), []
        while size > 0:
            line = " " * source.choice((0, 0, 4, 4, 8)) + " ".join(source.choices(words, k=source.randint(2, 14)))
            if source.random() < 0.3:
                line += source.choice((' = "x"', "(0)", " # 12", ": int = 7", " é", "\t-> ü"))
            elif source.random() < 0.01:
                line += source.choice(("  [ok] 3 passed in 0.42s", " at 2026-09-01T10:11:12Z", " 10:11:12.345"))
            lines.append(json.dumps(line + "\n", ensure_ascii=False)[1:-1])
            size -= len(lines[-1])
        self.lines = lines
        self.source = source

    def of(self, size: int) -> str:
        """Text of about that many bytes."""
        at = self.source.randrange(len(self.lines))
        taken: list[str] = []
        while size > 0:
            taken.append(self.lines[at % len(self.lines)])
            size -= len(taken[-1])
            at += 1
        return "".join(taken)

    def sized(self, middle: float, spread: float, most: int) -> str:
        """Text whose size is log-normal around `middle` bytes."""
        return self.of(min(most, max(20, round(self.source.lognormvariate(0, spread) * middle))))


def iso(when: datetime) -> str:
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def digits(source: random.Random, many: int) -> str:
    return f"{source.getrandbits(many * 4):0{many}x}"


def uuid_of(source: random.Random) -> str:
    h = digits(source, 32)
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"
