"""What the APIs of OpenAI and its imitators have in common: parts of a usage object, hosted tools, who served it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import polars as pl

from costaudit import schema
from costaudit.ingest._decode import unfolded
from costaudit.ingest._format import Field, around, custom, text
from costaudit.ingest._values import counted

HOSTS = {
    "openai.azure.com": "azure", "cognitiveservices.azure.com": "azure", "services.ai.azure.com": "azure",
    "api.openai.com": "openai", "openrouter.ai": "openrouter", "api.groq.com": "groq", "api.deepseek.com": "deepseek",
    "api.x.ai": "x-ai", "api.mistral.ai": "mistral", "api.together.xyz": "together", "api.together.ai": "together",
    "api.fireworks.ai": "fireworks", "api.perplexity.ai": "perplexity", "api.cerebras.ai": "cerebras",
    "api.deepinfra.com": "deepinfra", "generativelanguage.googleapis.com": "google", "api.moonshot.ai": "moonshotai",
    "dashscope-intl.aliyuncs.com": "dashscope", "dashscope.aliyuncs.com": "dashscope", "api.z.ai": "zai",
    "api.novita.ai": "novita", "api.studio.nebius.com": "nebius", "api.anthropic.com": "anthropic",
}  # fmt: skip
"""End of a server's name -> provider in the price book."""

_SERVER = rf"^(?:[a-z]+://)?(?:[^/:?]*\.)?({'|'.join(map(re.escape, HOSTS))})(?:[/:?]|$)"

HOST: Field = around(text("base_url", "api_base", "url", "endpoint", "host", "request.base_url", "request.url"))

GEMINI = r"^(?:[^/]*/)*gemini-(?:[2-9]|\d\d)"  # models that think, under any prefix

EU_US = r"//(eu|us)\.api\.openai\.com"  # hosts that keep data in a region, at a surcharge


def usage_parts(usage: Any) -> list[dict[str, Any]] | None:
    """Audio, image and video tokens of a usage object, cached ones apart, and the searches it counts.

    The details of the input count cached tokens too; what is read from the cache is taken out, for a token is billed
    once. Raises ValueError for a value that is no token count.
    """
    if not isinstance(usage, dict) or _is_text(usage):
        return None
    prompt = _first(usage, "prompt_tokens_details", "input_tokens_details", "input_token_details")
    answer = _first(usage, "completion_tokens_details", "output_tokens_details", "output_token_details")
    cached = _first(prompt, "cached_tokens_details")
    found: dict[str, int] = {}
    for kind in ("audio", "image", "video"):
        hit = _tokens(cached, kind)
        found[f"input_{kind}"] = max(0, _tokens(prompt, kind) - hit)
        found[f"cache_read_{kind}"] = hit
        found[f"output_{kind}"] = _tokens(answer, kind)
    found["web_search"] = counted(_first(usage, "server_tool_use").get("web_search_requests"))
    # Perplexity: queries and citations of deep research; a request fee that depends on the size of the search context.
    found["search_queries"] = counted(usage.get("num_search_queries"))
    found["citation"] = counted(usage.get("citation_tokens"))
    found["requests"] = 1 if usage.get("search_context_size") else 0
    return quantities(found)


BESIDE_TEXT = frozenset(
    {"audio_tokens", "image_tokens", "video_tokens", "cached_tokens_details", "web_search_requests",
     "num_search_queries", "citation_tokens", "search_context_size"}
)  # fmt: skip


def _is_text(usage: Mapping[str, Any]) -> bool:
    """Whether a usage object says nothing of what `usage_parts` looks for: most count text alone."""
    if not BESIDE_TEXT.isdisjoint(usage) and any(usage[name] for name in BESIDE_TEXT.intersection(usage)):
        return False
    for value in usage.values():
        if type(value) is dict:
            for part, number in value.items():
                if number and part in BESIDE_TEXT:
                    return False
    return True


def hosted_tools(output: Any) -> list[dict[str, Any]] | None:
    """Fees of the hosted tools that a response's output items show: searches made, code containers used."""
    items = [item for item in output if isinstance(item, Mapping)] if isinstance(output, list) else []
    done = [item for item in items if item.get("status") != "failed"]
    # Opening a found page or searching in it is an action of the same tool, and free.
    searches = [
        i for i in done if i.get("type") == "web_search_call" and _first(i, "action").get("type", "search") == "search"
    ]
    rooms = {str(i.get("container_id")) for i in done if i.get("type") == "code_interpreter_call"}
    files = sum(i.get("type") == "file_search_call" for i in done)
    return quantities({"web_search": len(searches), "file_search": files, "code_sessions": len(rooms)})


def quantities(found: Mapping[str, int]) -> list[dict[str, Any]] | None:
    """Counts by usage class as a cell of `extras`; classes of which there is nothing are left out."""
    return [{"class": name, "quantity": Decimal(n)} for name, n in sorted(found.items()) if n] or None


def extras(name: str, *paths: str) -> Field:
    """Usage parts of the object at one of the paths."""
    return custom({"usage": usage_parts, "output": hosted_tools}[name], schema.EXTRAS, *paths)


def together(picked: pl.DataFrame, *names: str) -> pl.Expr:
    """One `extras` cell of several; null where all are."""
    known = [pl.col(name) for name in names if picked[name].null_count() < picked.height]
    if len(known) < 2:  # as in nearly all logs
        return known[0] if known else pl.lit(None, schema.EXTRAS)
    joined = pl.concat_list(*[cell.fill_null(pl.lit([], schema.EXTRAS)) for cell in known])
    return pl.when(joined.list.len() > 0).then(joined)


def inclusive_output(output: str, hidden: str, total: str, given: str, model: str) -> tuple[pl.Expr, pl.Expr]:
    """Output with reasoning inside, and the reasoning: xAI counts it beside the completion, and only the total tells.

    Gemini in this dialect counts its thoughts nowhere but in the total, and bills them as output. Sources: issues 1290
    of mozilla-ai/any-llm and 5733 of router-for-me/CLIProxyAPI, with counts.
    """
    o, r, t, i = (pl.col(name).fill_null(0) for name in (output, hidden, total, given))
    thought = pl.col(model).str.contains(GEMINI) & (r == 0) & (i > 0) & (t > i + o)
    beside = (r > 0) & (t == i + o + r)
    said = pl.when(beside).then(o + r).when(thought).then(t - i).otherwise(pl.col(output))
    return said, pl.when(thought).then(t - i - o).otherwise(pl.col(hidden))


def provider(host: str, *guesses: pl.Expr) -> pl.Expr:
    """Who served the call: the server's name decides, then what the format can tell."""
    served = pl.col(host).str.to_lowercase().str.extract(_SERVER)
    return pl.coalesce(served.replace(HOSTS), *guesses)


def _first(value: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    return next((value[name] for name in names if isinstance(value.get(name), dict)), {})


def _tokens(details: Mapping[str, Any], kind: str) -> int:
    return counted(details.get(f"{kind}_tokens"))


def joined(parts: Sequence[str | None]) -> str | None:
    """The pieces of a streamed text; None when there were none."""
    said = [part for part in parts if part is not None]
    return "".join(said) if said else None


def placed(record: Mapping[str, Any], path: Sequence[str], value: dict[str, Any], *taken: str) -> dict[str, Any]:
    """The record with one of the objects that it holds at the path in its place.

    taken  keys the objects were taken from: where the record itself is the place, all others stand around the object
    """
    around = {} if path else {key: item for key, item in record.items() if key not in taken}
    return put(record, path, around | value)


def put(record: Mapping[str, Any], path: Sequence[str], value: dict[str, Any]) -> dict[str, Any]:
    """The record with another object at the path."""
    if not path:
        return value
    inner = unfolded(record.get(path[0]))
    return {**record, path[0]: put(inner if isinstance(inner, Mapping) else {}, path[1:], value)}
