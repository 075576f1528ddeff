"""What names the family of a prompt: its masked text, the hashes of its sentences, its declared tools."""

from __future__ import annotations

import re
from typing import Any

from costaudit.ingest._messages import BYTES_PER_TOKEN, decode, encoded, sha
from costaudit.ingest._recent import remembered

DECLARED = ("name", "description", "parameters", "input_schema", "parametersJsonSchema", "inputSchema")  # of a tool
SENTENCES = 16  # of a system prompt that tell families with variable parts apart

_VARIABLE = re.compile(
    r"""\b[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}\b | \S+@\S+\.\S+ | https?://\S+ | "[^"\n]{0,200}" | '[^'\n]{0,200}'
      | \b(?=[0-9a-f]*\d)[0-9a-f]{8,}\b | \b(mon|tues|wednes|thurs|fri|satur|sun)day\b
      | \b(january|february|march|april|may|june|july|august|september|october|november|december)\b | \d+([.,:/-]\d+)*
    """,
    re.VERBOSE,
)


@remembered(2 << 20)  # a task sends the same system prompt with every call
def masked(prompt: str) -> str:
    """Lower case, with everything that varies within a family replaced by a mark."""
    return " ".join(_VARIABLE.sub("#", prompt.lower()).split())


@remembered(2 << 20)
def declared_tools(data: bytes) -> tuple[list[dict[str, Any]], int] | None:
    """The declared tools with hash and size, and the hash of their sorted names.

    A tool of the provider's own (`{"type": "web_search"}`) has no size: what it adds to the prompt is not in the log.
    """
    value = decode(data)
    if not isinstance(value, list):
        return None
    tools: list[dict[str, Any]] = []
    for tool in value:
        if not isinstance(tool, dict):
            continue
        inner = tool.get("function")
        several = tool.get("functionDeclarations", tool.get("function_declarations"))
        for one in several if isinstance(several, list) else [inner if isinstance(inner, dict) else tool]:
            if not isinstance(one, dict):
                continue
            raw = encoded(one)
            name = str(one.get("name") or tool.get("type") or "")[:200]
            said = sum(len(encoded(one[key])) for key in DECLARED if key in one)
            own = "name" in one and tool.get("type") in (None, "function", "custom")
            known = own or any(key in one for key in DECLARED[1:])
            size = max(1, (said or len(raw)) // BYTES_PER_TOKEN) if known else None
            tools.append({"name": name, "sha": sha(raw), "tokens": size})
    return tools, sha(*sorted(t["name"] for t in tools))


@remembered(2 << 20)
def sentence_shas(prompt: str) -> list[int]:
    """Hashes of the first masked lines and sentences of a system prompt, in order."""
    parts = (masked(part) for part in re.split(r"\n+|(?<=[.!?])\s+", prompt))
    return [sha(part) for part in list(filter(None, parts))[:SENTENCES]]


@remembered(2 << 20)
def template(
    openings: tuple[str, ...], most: int | None, tools_sha: int | None, output_schema: bytes | None
) -> int | None:
    """Hash of the masked beginnings, each cut to `most` characters, with tools and output schema; None for no text."""
    family = [masked(opening)[:most] for opening in openings]
    return sha(*family, tools_sha, output_schema) if any(family) else None
