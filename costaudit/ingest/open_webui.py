"""Chats of Open WebUI: its database and its exports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from costaudit.ingest._counts import Names, spent, tokens
from costaudit.ingest._files import Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._plain import PlainReader, part, soft, when, written
from costaudit.ingest._values import counted, text, usd

NAMES = Names(
    ("input_tokens", "prompt_tokens", "prompt_eval_count", "prompt_n"),
    ("output_tokens", "completion_tokens", "eval_count", "predicted_n"), ("cached_tokens",), (), ("reasoning_tokens",),
    inside=True,
)  # fmt: skip
DETAILS = ("input_tokens_details", "prompt_tokens_details", "output_tokens_details", "completion_tokens_details")
SHORT = 30  # characters; longer ids of messages are random ones, the same in every copy of a chat


class OpenWebui(Format):
    """Chats of Open WebUI, from its database or exported as JSON.

    ## Where
    `webui.db` below the data folder (`/app/backend/data` in its container), tables `chat` and, in newer versions,
    `chat_message`; or *Settings*, *Chats*, *Export* (`chat-export-*.json`; an administrator's has everybody's).
    ## What it knows
    Tokens of each answer with cached input and reasoning, model, user, chat, errors. A run is a chat.
    ## Traps
    An answer of newer versions stands in both tables and is one call. Counts of an answer that called tools are the sum
    of its requests, while `prompt_tokens` beside them are those of the last one. Answers the user went back behind were
    paid for and count. Cached input stands inside the input. A chat that is cloned or shared is copied with its
    answers, which count once; copies with ids of the chat's own count again.
    ## Limits
    Counts are there only where the model's *Usage* capability is on, as for Ollama; other answers are unmetered.
    Titles, tags and searches are calls of their own and are not kept: totals are a floor.
    """

    name = "open-webui"
    title = "Open WebUI chats"
    tables: ClassVar = {
        "chat": ("id", "user_id", "title", "chat"),
        "chat_message": ("id", "chat_id", "role", "model_id", "usage"),
    }

    def recognises(self, record: Mapping[str, Any]) -> int:
        if "chat_id" in record:
            return 93 if record.get("_table") == "chat_message" or {"role", "model_id", "usage"} <= record.keys() else 0
        if "chat" not in record or "user_id" not in record or "title" not in record:
            return 0
        return 93 if _messages(record) is not None else 0


def _messages(record: Mapping[str, Any]) -> list[Mapping[str, Any]] | None:
    """All messages of a chat, also those of branches that were left; None where there is no chat."""
    chat = written(record.get("chat"))
    kept = part(chat, "history").get("messages")
    if isinstance(kept, Mapping):
        return [{"id": own, **m} for own, m in kept.items() if isinstance(m, Mapping)]
    listed = chat.get("messages")
    return [m for m in listed if isinstance(m, Mapping)] if isinstance(listed, list) else None


@OpenWebui.read_by
class _Reader(PlainReader):
    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        own, chat = text(value.get("id")), text(value.get("chat_id"))
        if own is None:
            out.foreign.append(record)
            return
        if chat is not None:
            role = text(value.get("role"))
            if role == "assistant":
                self._answer({**value, "id": own.removeprefix(f"{chat}-")}, chat, value, record, rank=1)
            else:
                out.skipped[f"{role} message"[:60]] += 1
            return
        messages = _messages(value)
        if messages is None:
            out.foreign.append(record)
            return
        made = 0
        for message in messages:
            if message.get("role") == "assistant":
                made += 1
                try:
                    self._answer(message, own, value, record, rank=0)
                except ValueError as problem:
                    out.refuse(record.line, problem)
        out.several(made, none="chat without answers")

    def _answer(
        self, message: Mapping[str, Any], chat: str, about: Mapping[str, Any], record: Record, *, rank: int
    ) -> None:
        own, user = text(message.get("id")) or "", text(about.get("user_id"))
        info = written(message.get("info"))
        said = written(message.get("usage")) or part(info, "usage") or info
        inner: dict[str, Any] = {name: n for home in DETAILS for name, n in part(said, home).items()}
        if said.get("cache_n") and said.get("prompt_n") is not None:
            # The server of llama.cpp times only the part of the prompt that it had not cached.
            inner |= {
                "cached_tokens": said["cache_n"],
                "prompt_n": counted(said["prompt_n"]) + counted(said["cache_n"]),
            }
        usage = tokens({**said, **inner}, NAMES)
        self.add(
            record,
            started_at=when(message.get("timestamp")) or when(message.get("created_at")),
            run_id=chat,
            task="chat",
            user=user,
            model=text(message.get("model_id")) or text(message.get("model")),
            cost_logged_usd=soft(usd, said.get("cost")),
            status="error" if message.get("error") else None,
            has_text=bool(message.get("content")),
            _key=f"open-webui {own}" if len(own) > SHORT else f"open-webui {chat} {own or record.line}",
            _rank=rank + 2 * (not (user or "").startswith("shared-")) + 4 * spent(usage),
            **(usage if spent(usage) else {}),
        )
