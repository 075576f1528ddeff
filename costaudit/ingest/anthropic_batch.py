"""Results of Anthropic's Message Batches API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from costaudit.ingest._batch import Answered, BatchFormat, Failed
from costaudit.ingest._decode import dig
from costaudit.ingest._values import lenient, text
from costaudit.ingest.anthropic_messages import AnthropicMessages

FATES = {"errored": "error", "expired": "error", "canceled": "cancelled"}


class AnthropicBatch(BatchFormat):
    """Result files of the Message Batches API: one `{"custom_id", "result"}` a line, in any order.

    Every class of tokens costs half in a batch, cached ones included. Results that are `errored`, `canceled` or
    `expired` were not billed. A line has no time: prices are those of the batch's month only if the log is read beside
    one that has the same message ids, else those in force now; the `custom_id` is the case that reruns share.
    """

    name = "anthropic-batch"
    title = "Anthropic Message Batches results"

    def line(self, record: Mapping[str, Any]) -> Answered | Failed | str | None:
        kind = dig(record, ("result", "type"))
        if "custom_id" not in record or not isinstance(kind, str):
            return None
        if kind == "succeeded" and isinstance(dig(record, ("result", "message")), Mapping):
            return Answered(AnthropicMessages, ("result", "message"))
        if kind not in FATES:
            return None
        why = dig(record, ("result", "error", "error", "type")) or dig(record, ("result", "error", "type")) or kind
        return Failed(None, FATES[kind], None, lenient(text)(why))
