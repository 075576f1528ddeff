"""Answers of generateContent in one shape: snake or camel case, whole, or a stream's chunks put together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from costaudit.ingest._openai import quantities
from costaudit.ingest._values import counted

MODALITIES = {"AUDIO": "audio", "IMAGE": "image", "VIDEO": "video"}  # text and documents are billed as text
USER_KEYS = ("args", "response", "parameters", "labels")  # what stands below is the caller's and keeps its names


DEPTH = 60  # below that nothing of the API's own stands, only what a caller nested


def camel(value: Any, depth: int = 0) -> Any:
    """The value with snake_case keys, as Python clients and BigQuery write them, in the API's camelCase."""
    if isinstance(value, list) and depth < DEPTH:
        return [camel(item, depth + 1) for item in value]
    if not isinstance(value, Mapping) or depth >= DEPTH:
        return value
    return {
        re.sub(r"_([a-z])", lambda m: m[1].upper(), str(key)): item if key in USER_KEYS else camel(item, depth + 1)
        for key, item in value.items()
    }


def is_answer(value: Any) -> bool:
    """Whether an object is an answer of generateContent or a chunk of one."""
    if not isinstance(value, Mapping):
        return False
    counted = isinstance(value.get("usageMetadata"), Mapping) or isinstance(value.get("usage_metadata"), Mapping)
    return isinstance(value.get("candidates"), list) or (
        counted and ("promptFeedback" in value or "modelVersion" in value)
    )


def is_stream(value: Any) -> bool:
    """Whether a value is the list of chunks that a streamed answer was."""
    return isinstance(value, list) and bool(value) and all(is_answer(chunk) for chunk in value)


def ended(answer: Mapping[str, Any]) -> bool:
    """Whether a chunk says that nothing follows."""
    return "promptFeedback" in answer or any(c.get("finishReason") for c in _candidates(answer))


def whole(chunks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One answer of its chunks. Each count is the largest of any chunk: the last one can have fewer than others.

    Raises ValueError for a value that is no token count.
    """
    found: dict[str, Any] = {}
    usage: dict[str, Any] = {}
    parts: list[Any] = []
    queries: list[Any] = []
    finish = None
    for chunk in chunks:
        found |= {key: value for key, value in chunk.items() if value is not None and key != "usageMetadata"}
        for key, value in _mapping(chunk.get("usageMetadata")).items():
            usage[key] = _larger(usage.get(key), value)
        for candidate in _candidates(chunk)[:1]:
            content = _mapping(candidate.get("content"))
            parts += content["parts"] if isinstance(content.get("parts"), list) else []
            finish = candidate.get("finishReason") or finish
            asked = _mapping(candidate.get("groundingMetadata")).get("webSearchQueries")
            queries += asked if isinstance(asked, list) else []
    candidate = {"content": {"role": "model", "parts": _joined(parts)}, "finishReason": finish}
    answered = bool(parts) or finish is not None
    return found | {
        "usageMetadata": usage,
        "candidates": [candidate] if answered else [],
        "_queries": len(queries) or None,
    }


def _larger(known: Any, value: Any) -> Any:
    if isinstance(value, (int, float)) and isinstance(known, (int, float)):
        return max(known, value)
    if isinstance(value, list) and isinstance(known, list):
        return value if sum(_details(value).values()) >= sum(_details(known).values()) else known
    return known if value is None else value


def _joined(parts: Sequence[Any]) -> list[dict[str, Any]]:
    """The parts with neighbouring pieces of text made one, as the answer is sent back with the next request."""
    made: list[dict[str, Any]] = []
    for part in parts:
        piece = dict(part) if isinstance(part, Mapping) else {}
        before = made[-1] if made else {}
        text = [p["text"] for p in (before, piece) if isinstance(p.get("text"), str)]
        if len(text) == 2 and bool(before.get("thought")) == bool(piece.get("thought")):
            made[-1] = before | {"text": text[0] + text[1]}
        else:
            made.append(piece)
    return made


def modality_parts(usage: Any) -> list[dict[str, Any]] | None:
    """Audio, image and video tokens by class; cached ones are taken out of the input's.

    Raises ValueError for a value that is no token count.
    """
    usage = _mapping(usage)
    cached = _details(usage.get("cacheTokensDetails"))
    given, tools = _details(usage.get("promptTokensDetails")), _details(usage.get("toolUsePromptTokensDetails"))
    said = _details(usage.get("candidatesTokensDetails") or usage.get("responseTokensDetails"))
    found: dict[str, int] = {}
    for kind in MODALITIES.values():
        found[f"input_{kind}"] = max(0, given.get(kind, 0) - cached.get(kind, 0)) + tools.get(kind, 0)
        found[f"cache_read_{kind}"] = cached.get(kind, 0)
        found[f"output_{kind}"] = said.get(kind, 0)
    return quantities(found)


def _details(value: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for item in value if isinstance(value, list) else ():
        kind = MODALITIES.get(str(_mapping(item).get("modality")).upper())
        if kind is not None:
            found[kind] = found.get(kind, 0) + counted(item.get("tokenCount"))
    return found


def _candidates(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    listed = answer.get("candidates")
    return [c for c in listed if isinstance(c, Mapping)] if isinstance(listed, list) else []


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
