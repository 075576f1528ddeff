"""Sessions of Kiro."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._plain import PlainReader, objects, part, soft, when
from costaudit.ingest._values import text, usd


class Kiro(Format):
    """Sessions of Kiro and its CLI. They have credits and no tokens.

    ## Where
    `~/.kiro/sessions/cli/<session>.json`; executions of the editor below `globalStorage/kiro.kiroagent`.
    ## What it knows
    Each turn with its model and time, and the credits of the whole file, which are told as a note.
    ## Traps
    A credit is no dollar: what one costs depends on the plan. Characters are no tokens either: the prompt is not in
    the log, so nothing is estimated.
    ## Limits
    Every turn is listed as unmetered. Multiply the credits by what your plan charges for one.
    """

    name = "kiro"
    title = "Kiro sessions"

    def recognises(self, record: Mapping[str, Any]) -> int:
        if "session_id" in record and "conversation_metadata" in part(record, "session_state"):
            return 93
        return 90 if "executionId" in record and isinstance(record.get("usageSummary"), list) else 0


@Kiro.read_by
class _Reader(PlainReader):
    def __init__(self, file: LogFile) -> None:
        super().__init__(file)
        self.credits = Decimal(0)

    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        session, execution = text(value.get("session_id")), text(value.get("executionId"))
        if session is not None:
            self._session(session, value, record, out)
        elif execution is not None:
            listed = value.get("usageSummary")
            for used in listed if isinstance(listed, list) else ():
                if isinstance(used, Mapping):
                    self._spent(used.get("usage", used.get("value")), used.get("unit"))
            session = text(value.get("chatSessionId")) or text(value.get("sessionId")) or execution
            self._row(record, session, execution, value.get("startTime"), text(value.get("modelId")))
        else:
            out.foreign.append(record)

    def _session(self, session: str, value: Mapping[str, Any], record: Record, out: Out) -> None:
        state = part(value, "session_state")
        model = text(part(part(state, "rts_model_state"), "model_info").get("model_id"))
        turns = objects(part(state, "conversation_metadata").get("user_turn_metadatas"))
        for n, turn in enumerate(turns, 1):
            metered = turn.get("metering_usage")
            for used in metered if isinstance(metered, list) else ():
                if isinstance(used, Mapping):
                    self._spent(used.get("value"), used.get("unit"))
            at = turn.get("end_timestamp") or value.get("created_at")
            self._row(record, session, str(n), at, model, text(value.get("cwd")))
        out.several(len(turns), none="session without turns")

    def _row(
        self, record: Record, session: str, own: str, at: Any, model: str | None, folder: str | None = None
    ) -> None:
        self.add(
            record,
            started_at=when(at),
            run_id=session,
            task="main loop",
            key_id=folder,
            model=None if model == "auto" else model,
            has_text=True,
            _key=f"kiro {session} {own}",
        )

    def _spent(self, amount: Any, unit: Any) -> None:
        known = soft(usd, amount)
        if known is not None and known > 0 and str(unit or "credit").lower().startswith("credit"):
            self.credits += known

    def end(self, out: Out) -> None:
        if self.credits:
            credits = f"{self.credits.normalize():f}"
            out.notes.append(f"{self.file.shown}: Kiro states {credits} credits and no tokens")
