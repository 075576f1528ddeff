"""Usage of the Anthropic Messages API, one row a sampling step where the bill needs it.

`usage` counts uncached input, cache reads and cache writes apart. `usage.iterations` lists the sampling steps of one
response: the top level is the sum of the `message` steps, while `compaction` and `advisor_message` steps stand in
the list only and are billed too, the advisor at the rates of its own model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from costaudit.ingest._lifetimes import writes
from costaudit.ingest._values import count, counted, text

LONG = 100_000  # tokens; the lowest step of a price that depends on the size of one prompt (pricing book, 2026-11)
BESIDE = ("compaction", "advisor_message")  # steps that the top level leaves out


class Step(NamedTuple):
    """Inclusive counts of one billed step; `name` is empty for the response itself, else type and ordinal."""

    name: str
    model: str | None
    input_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    cache_write_5m_tokens: int | None
    cache_write_1h_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None
    extras: tuple[dict[str, Any], ...]
    assumed: bool


class Counts(NamedTuple):
    """One usage object as written: input without cache, reads, writes and their lifetimes, output."""

    fresh: int | None
    read: int | None
    write: int | None
    short: int | None
    long: int | None
    output: int | None

    @property
    def prompt(self) -> int | None:
        """All input, None where the object counts none."""
        known = [n for n in (self.fresh, self.read, self.write) if n is not None]
        return sum(known) if known else None

    @property
    def split(self) -> int | None:
        known = [n for n in (self.short, self.long) if n is not None]
        return sum(known) if known else None

    @property
    def rest(self) -> tuple[int, int, int]:
        """What two views of the same step agree in even where their cache writes differ."""
        return (self.fresh or 0, self.read or 0, self.output or 0)


def counts(usage: Mapping[str, Any]) -> Counts:
    """The counts of a usage object; raises ValueError for a value that is no token count."""
    lifetimes = usage.get("cache_creation")
    lifetimes = lifetimes if isinstance(lifetimes, Mapping) else {}
    return Counts(
        *(
            None if value is None else count(value)
            for value in (
                usage.get("input_tokens"),
                usage.get("cache_read_input_tokens"),
                usage.get("cache_creation_input_tokens"),
                lifetimes.get("ephemeral_5m_input_tokens"),
                lifetimes.get("ephemeral_1h_input_tokens"),
                usage.get("output_tokens"),
            )
        )
    )


def steps(usage: Mapping[str, Any], model: str | None) -> list[Step]:
    """What one response is billed for: itself first, then the steps its top level leaves out or mixes.

    Raises ValueError for a value that is no token count.
    """
    top = counts(usage)
    listed = _listed(usage.get("iterations"))
    own = [(kind, mine, c) for kind, mine, c in listed if kind not in BESIDE]
    split, assumed = _lifetimes(top, [c for _, _, c in own])
    details = usage.get("output_tokens_details")
    hidden = counted(details.get("thinking_tokens")) if isinstance(details, Mapping) else None
    fees = _fees(usage)
    others = _beside(listed, model)
    if _adds_up(top, own) and _mixes(top, own, model):
        # The response itself stays the step that answered: the last of its own model.
        main = max((n for n, (_, mine, _) in enumerate(own) if (mine or model) == model), default=0)
        ordered = [own[main], *own[:main], *own[main + 1 :]]
        parts = [_step(f"{kind}:{n}" if n else "", mine or model, c) for n, (kind, mine, c) in enumerate(ordered)]
        parts[0] = parts[0]._replace(extras=fees, reasoning_tokens=hidden)
        return [*parts, *others]
    whole = _step("", model, split)._replace(extras=fees, reasoning_tokens=hidden, assumed=assumed)
    return [whole, *others]


def _step(name: str, model: str | None, c: Counts) -> Step:
    return Step(name, model, c.prompt, c.read, c.write, c.short, c.long, c.output, None, (), assumed=False)


def _listed(iterations: Any) -> list[tuple[str, str | None, Counts]]:
    if not isinstance(iterations, list):
        return []
    return [
        (text(i.get("type")) or "message", text(i.get("model")), counts(i))
        for i in iterations
        if isinstance(i, Mapping)
    ]


def _beside(listed: Sequence[tuple[str, str | None, Counts]], model: str | None) -> list[Step]:
    found: list[Step] = []
    for kind in BESIDE:
        same = [(mine, c) for k, mine, c in listed if k == kind]
        found += [_step(f"{kind}:{n}", mine or model, c) for n, (mine, c) in enumerate(same, 1)]
    return found


def _adds_up(top: Counts, own: Sequence[tuple[str, str | None, Counts]]) -> bool:
    parts = [c for _, _, c in own]
    return bool(parts) and (*top.rest, top.write or 0) == (
        *(sum(n) for n in zip(*(c.rest for c in parts), strict=True)),
        sum(c.write or 0 for c in parts),
    )


def _mixes(top: Counts, own: Sequence[tuple[str, str | None, Counts]], model: str | None) -> bool:
    """Whether the steps have to be priced one by one: several models, or a sum that looks like one long prompt."""
    several = len({mine or model for _, mine, _ in own}) > 1
    return bool(top.prompt) and (several or (len(own) > 1 and (top.prompt or 0) > LONG))


def _lifetimes(top: Counts, own: Sequence[Counts]) -> tuple[Counts, bool]:
    """The top level with lifetimes that add up to its writes, and whether they had to be assumed.

    The total and its split can disagree in responses of several steps. Steps that account for everything else
    settle it; failing that they are read as anywhere (`_lifetimes`).
    """
    split = top.split
    if split is None or split == top.write:
        return top, False
    whole = Counts(*(sum(n or 0 for n in column) for column in zip(*own, strict=True))) if own else None
    for view in (whole, *own):
        if view is not None and view.rest == top.rest and view.split == view.write and view.write in (top.write, split):
            return top._replace(write=view.write, short=view.short, long=view.long), False
    made = writes(top.write, top.short, top.long)
    return top._replace(write=made.all, short=made.short, long=made.long), made.assumed


def _fees(usage: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    used = usage.get("server_tool_use")
    searches = counted(used.get("web_search_requests")) if isinstance(used, Mapping) else 0
    return ({"class": "web_search", "quantity": Decimal(searches)},) if searches else ()
