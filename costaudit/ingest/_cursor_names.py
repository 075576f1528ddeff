"""Cursor's names for models: the vendor's name, how hard it is to think, and how fast, in one word."""

from __future__ import annotations

import re
from typing import NamedTuple

WORDS = "none|minimal|low|medium|high|xhigh|extra-high"
CLAUDE = re.compile(r"claude-(\d+)(?:[.-](\d+))?-(opus|sonnet|haiku|fable)")
LED = re.compile(r"claude-|gpt-\d|o\d|gemini-|composer-|(?:cursor-)?grok-\d")  # what has such endings
OWN = re.compile(r"composer-|cursor-")  # what Cursor itself sells
FAST = {"claude": "fast", "gpt": "priority"}  # the vendors' tiers; of others `-fast` is a model of its own
NEWER = 4  # generation from which Anthropic writes the number last


class Served(NamedTuple):
    """What a name says: the model as its vendor writes it, and how it was asked."""

    model: str
    provider: str | None = None
    effort: str | None = None
    tier: str | None = None


def served(name: str) -> Served:
    """The model behind one of Cursor's names; a name in no known form is left as it is."""
    if not LED.match(name):
        return Served(name)
    family = name.partition("-")[0]
    ending = rf"(?:-(?:{WORDS}|thinking{'|max' if family == 'claude' else ''}))*"
    found = re.fullmatch(rf"(?P<name>.+?)(?P<how>{ending})(?P<fast>-fast)?", name)
    assert found is not None  # the endings may be empty
    model, how, fast = found["name"], found["how"].strip("-"), found["fast"] or ""
    efforts = re.findall(rf"{WORDS}|max", how.replace("extra-high", "xhigh"))
    tier = FAST.get(family) if fast else None
    own = "cursor" if OWN.match(name) else None
    model = model.removeprefix("cursor-") + ("" if tier else fast)
    told = CLAUDE.fullmatch(model)
    if told and int(told[1]) >= NEWER:
        model = f"claude-{told[3]}-{told[1]}" + (f"-{told[2]}" if told[2] else "")
    return Served(model, own, efforts[0] if efforts else None, tier)
