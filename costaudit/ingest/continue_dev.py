"""Development data of Continue: tokens it generated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from costaudit.ingest._counts import Names, spent, tokens
from costaudit.ingest._files import Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._plain import PlainReader, when
from costaudit.ingest._values import text

NAMES = Names(("promptTokens", "tokens_prompt"), ("generatedTokens", "tokens_generated"))


class ContinueDev(Format):
    """What Continue, the extension and its command line, keeps of each request; of forks of it (PearAI) too.

    ## Where
    `~/.continue/dev_data/0.2.0/tokensGenerated.jsonl`, and the same in `~/.continue/dev_data/devdata.sqlite`, table
    `tokens_generated`; or below `$CONTINUE_GLOBAL_DIR`.
    ## What it knows
    Input and output tokens of each request, chat and completions alike, model, provider, time.
    ## Traps
    Database and file say the same: a request of one second, model and counts stands once. Other events of the file's
    folder have no counts and are counted as skipped.
    ## Limits
    Continue counts by itself, with a tokenizer that is not the model's: tokens are marked as estimates. Cached input
    and thoughts are not counted, and there are no sessions and no prompts.
    """

    name = "continue-dev"
    title = "Continue development data"
    tables: ClassVar = {"tokens_generated": ("model", "provider", "tokens_generated", "timestamp")}

    def recognises(self, record: Mapping[str, Any]) -> int:
        said = record.get("eventName") == "tokensGenerated" or "generatedTokens" in record
        kept = "tokens_generated" in record and "timestamp" in record
        return 92 if (said or kept) and "model" in record and "provider" in record else 0


@ContinueDev.read_by
class _Reader(PlainReader):
    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        model, provider = text(value.get("model")), text(value.get("provider"))
        if not {"generatedTokens", "tokens_generated", "promptTokens"} & set(value):
            out.foreign.append(record)
            return
        usage = tokens(value, NAMES)
        if not spent(usage):
            out.skipped["request without tokens"] += 1
            return
        began = when(value.get("timestamp")) or when(value.get("createdAt"))
        counts = f"{usage['input_tokens']} {usage['output_tokens']}"
        self.add(
            record,
            started_at=began,
            provider=provider,
            model=model,
            user=text(value.get("userId")),
            usage_source="tokenizer",
            _key=f"continue {model} {counts} {began:%Y-%m-%dT%H:%M:%S}" if began else None,
            **usage,
        )
