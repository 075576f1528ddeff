"""Where the prompts of a task begin to differ, and how much of them stands behind that place."""

from __future__ import annotations

from costaudit.compare.side import Opening
from costaudit.verdict import PromptChange


def first_difference(before: Opening | None, after: Opening | None) -> PromptChange | None:
    """The first part of the prompts that is no longer what it was; None where nothing is known to differ.

    Declared tools stand before the first message, to every provider that caches prompts.
    """
    if before is None or after is None:
        return None
    tools = before.tools != after.tools
    for number, (old, new) in enumerate(zip(before.blocks, after.blocks, strict=False), 1):
        if old.sha != new.sha:
            same = sum(block.tokens for block in after.blocks[: number - 1])
            behind = None if after.tokens is None else max(0, after.tokens - same - new.tokens)
            return PromptChange(number, old.tokens, new.tokens, new.share, behind, tools)
    if tools:
        return PromptChange(0, None, None, None, after.tokens, tools)
    shared = min(len(after.blocks), len(before.blocks))
    if shared and len(after.blocks) != len(before.blocks):
        return PromptChange(shared + 1, None, None, None, None, tools, only_one=True)
    return None
