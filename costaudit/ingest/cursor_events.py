"""Usage events of Cursor's Admin API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from costaudit.ingest._counts import CAMEL, tokens
from costaudit.ingest._cursor_names import served
from costaudit.ingest._files import Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._plain import PlainReader, part, soft, when
from costaudit.ingest._values import text, usd


class CursorEvents(Format):
    """Usage events of Cursor's Admin API, as events or as the pages of its answers.

    ## Where
    `POST /teams/filtered-usage-events`; one event a line, or the answer as it came.
    ## What it knows
    Tokens of each request with cache reads and writes, model, user, and what was charged.
    ## Traps
    Amounts are cents. Cached input stands beside the input. An event that is not billed by tokens has no counts and
    is listed as unmetered.
    ## Limits
    No prompts, runs or tasks. Users are named by their mail addresses.
    """

    name = "cursor-events"
    title = "Cursor Admin API events"

    def recognises(self, record: Mapping[str, Any]) -> int:
        events = record.get("usageEvents")
        if isinstance(events, list):
            return 95
        return 93 if "timestamp" in record and MARKS & set(record) and "model" in record else 0


MARKS = {"isTokenBasedCall", "requestsCosts", "chargedCents", "cursorTokenFee"}


@CursorEvents.read_by
class _Reader(PlainReader):
    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        listed = value.get("usageEvents")
        events: Sequence[Any] = listed if isinstance(listed, list) else [value]
        made = 0
        for event in events:
            if isinstance(event, Mapping) and "timestamp" in event and MARKS & set(event):
                self._event(event, record)
                made += 1
        out.extra_lines += max(0, made - 1)
        if not made:
            if listed is None:
                out.foreign.append(record)
            else:
                out.skipped["page without events"] += 1

    def _event(self, event: Mapping[str, Any], record: Record) -> None:
        said = part(event, "tokenUsage")
        usage = tokens(said, CAMEL)
        cents = [c for c in (event.get("chargedCents"), said.get("totalCents")) if c is not None]
        charged = soft(usd, cents[0]) if cents else None
        user, model, at = (text(event.get(name)) for name in ("userEmail", "model", "timestamp"))
        named = served(model) if model else None
        self.add(
            record,
            started_at=when(event.get("timestamp")),
            user=user,
            task="headless" if event.get("isHeadless") is True else None,
            model=named and named.model,
            model_requested=model,
            provider=named and named.provider,
            reasoning_effort=named and named.effort,
            service_tier=named and named.tier,
            parent_id=text(event.get("cloudAgentId")),
            cost_logged_usd=None if charged is None else charged / Decimal(100),
            # Events have no ids: a moment, a user, a model and all counts together are one request.
            _key=f"cursor-events {at} {user} {model} {' '.join(map(str, usage.values()))}",
            **usage,
        )
