"""The state database of Hermes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from costaudit.ingest._counts import SNAKE, spent, tokens
from costaudit.ingest._files import Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._plain import PlainReader, soft, when
from costaudit.ingest._values import text, usd


class Hermes(Format):
    """The state database of Hermes. A row is a whole session.

    ## Where
    `~/.hermes/state.db`, `profiles/*/state.db`, or below `$HERMES_HOME`.
    ## What it knows
    Tokens of each session with cache reads and writes, its model, who billed it, and its cost: the actual one where
    it is known, else the estimate.
    ## Traps
    Cached input stands beside the input. Times are Unix seconds.
    ## Limits
    No single requests, so loops and prompts cannot be judged.
    """

    name = "hermes"
    title = "Hermes session database"
    tables: ClassVar = {"sessions": ("id", "billing_provider", "input_tokens")}

    def recognises(self, record: Mapping[str, Any]) -> int:
        return 92 if "id" in record and "started_at" in record and MARKS & set(record) else 0


MARKS = {"billing_provider", "estimated_cost_usd", "actual_cost_usd"}


@Hermes.read_by
class _Reader(PlainReader):
    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        own = text(value.get("id"))
        if own is None or "started_at" not in value:
            out.foreign.append(record)
            return
        usage = tokens(value, SNAKE)
        if not spent(usage):
            out.skipped["session without tokens"] += 1
            return
        costs = (soft(usd, value.get(name)) for name in ("actual_cost_usd", "estimated_cost_usd"))
        self.add(
            record,
            started_at=when(value.get("started_at")),
            ended_at=when(value.get("ended_at")),
            run_id=own,
            parent_id=text(value.get("parent_session_id")),
            task=text(value.get("source")) or "session",
            user=text(value.get("user_id")),
            provider=text(value.get("billing_provider")),
            model=text(value.get("model")),
            cost_logged_usd=next((cost for cost in costs if cost is not None), None),
            summed=True,
            _key=f"hermes {own}",
            _rank=usage["input_tokens"] + usage["output_tokens"],
            **usage,
        )
