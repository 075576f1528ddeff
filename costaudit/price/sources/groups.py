"""Which entries of different providers have identical weights: the same version of a model, sold elsewhere."""

from __future__ import annotations

import re

from costaudit.price.sources import Item

_FAMILIES = re.compile(
    r"(claude|gpt|o[134]|gemini|gemma|llama|qwen|qwq|deepseek|mistral|mixtral|ministral|codestral|devstral|magistral|"
    r"kimi|glm|minimax|grok|nova|command|phi|jamba|nemotron|sonar)[-\d]"
)
_VENDOR = re.compile(
    r"^(?:(?:global|us|eu|apac|jp|au|ca|in|us-gov)-)?(?:anthropic|openai|meta|mistral|amazon|deepseek|"
    r"qwen|google|moonshotai|moonshot|zai|cohere|ai21|nvidia|minimax|writer)-(?=[a-z])"
)
_TAIL = re.compile(r"(?:-v\d+:\d+|:\d+|-maas|@default|[-@]20\d\d-?\d\d-?\d\d)$")
_OTHER_WEIGHTS = re.compile(
    r"(turbo|fp\d|int\d|awq|gptq|quant|lite-|:free|:thinking|ft:|-fast|-free|preview|latest|distill)"
)


def same_as(books: dict[str, dict[str, Item]]) -> dict[str, dict[str, str]]:
    """provider -> model -> group, for groups that at least two providers sell."""
    members: dict[str, list[tuple[str, str]]] = {}
    for provider, models in books.items():
        for name in models:
            if (key := _key(name)) is not None:
                members.setdefault(key, []).append((provider, name))
    groups: dict[str, dict[str, str]] = {}
    for key, entries in members.items():
        if len({provider for provider, _ in entries}) > 1:
            for provider, name in entries:
                groups.setdefault(provider, {})[name] = key
    return groups


def _key(name: str) -> str | None:
    """A model's own name without who sells it, where and when; None where the weights may differ."""
    key = name.rpartition("/")[2]
    if _OTHER_WEIGHTS.search(name) or name.startswith("provisioned"):
        return None
    while (shorter := _TAIL.sub("", key)) != key:
        key = shorter
    key = _VENDOR.sub("", key)
    return key if _FAMILIES.match(key) else None
