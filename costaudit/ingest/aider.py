"""The analytics log of Aider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from costaudit.ingest._counts import Names, spent, tokens
from costaudit.ingest._files import Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._plain import PlainReader, part, soft, when
from costaudit.ingest._values import text, usd

NAMES = Names(("prompt_tokens",), ("completion_tokens",))
SENT = "message_send"


class Aider(Format):
    """The analytics log of Aider: one event a message.

    ## Where
    The file named by `--analytics-log`, e.g. `~/.aider/analytics.jsonl`. `.aider.chat.history.md` has rounded counts
    (`2.3k sent`) and is not read.
    ## What it knows
    Input and output tokens of each message, the model, Aider's own cost, the edit format (the task).
    ## Traps
    `total_cost` is a running total. Answers are streamed unless Aider is told otherwise, and of a streamed answer it
    counts the tokens by itself: they are marked as estimates. Other events are counted as skipped.
    ## Limits
    Cached input is not told apart: costs are upper bounds. Commit messages and summaries, which the weak model writes,
    are not logged: counts are a floor. Of models that Aider does not know only the provider is logged, or nothing:
    such messages are unpriced. A cost of 0 is one that Aider does not know.
    """

    name = "aider"
    title = "Aider analytics log"

    def recognises(self, record: Mapping[str, Any]) -> int:
        if not isinstance(record.get("event"), str) or not isinstance(record.get("properties"), Mapping):
            return 0
        if record["event"] == SENT:
            return 92 if "prompt_tokens" in record["properties"] else 0
        return 60 if "user_id" in record and "time" in record and "aider_version" in record["properties"] else 0


@Aider.read_by
class _Reader(PlainReader):
    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        event, said = text(value.get("event")), part(value, "properties")
        if event is None or not {"user_id", "time"} <= set(value):
            out.foreign.append(record)
            return
        if event != SENT:
            out.skipped[f"event: {event}"[:60]] += 1
            return
        usage = tokens(said, NAMES)
        if not spent(usage):
            out.skipped["message without tokens"] += 1
            return
        user, at = text(value.get("user_id")), when(value.get("time"))
        total, provider, model = text(said.get("total_cost")), *_named(text(said.get("main_model")))
        self.add(
            record,
            started_at=at,
            task=text(said.get("edit_format")),
            user=user,
            provider=provider,
            model=model,
            cost_logged_usd=soft(usd, said.get("cost") or None),
            usage_source="tokenizer",
            _key=f"aider {user} {at} {usage['input_tokens']} {usage['output_tokens']} {total}" if at else None,
            **usage,
        )


def _named(model: str | None) -> tuple[str | None, str | None]:
    """Provider and model where Aider tells them: it hides names that it does not know."""
    if model is None or model == "None":
        return None, None
    provider, _, hidden = model.rpartition("/")
    return (provider, None) if hidden == "REDACTED" else (None, model)
