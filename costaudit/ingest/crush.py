"""The project databases of Crush."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar

from costaudit.ingest._counts import Names, spent, tokens
from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._plain import PlainReader, soft, when
from costaudit.ingest._values import text, usd

NAMES = Names(("prompt_tokens",), ("completion_tokens",))


class Crush(Format):
    """The project databases of Crush. A row is a whole session.

    ## Where
    `.crush/crush.db` in each project; `~/.local/share/crush/projects.json` lists the projects.
    ## What it knows
    Input and output tokens of each session, its cost as Crush added it up, and the models that answered in it.
    ## Traps
    Times are Unix seconds, whatever the schema's comments say. Sessions of subagents are inside their parent's, and
    are left out.
    ## Limits
    No single requests, so loops and prompts cannot be judged. No cache counts, and versions differ in whether the
    counts are the session's or its last request's: trust the logged cost where the two are far apart. A session of
    several models is priced as the one that answered most.
    """

    name = "crush"
    title = "Crush session database"
    tables: ClassVar = {
        "sessions": ("id", "parent_session_id", "prompt_tokens", "completion_tokens", "cost"),
        "messages": ("session_id", "model"),
    }

    def recognises(self, record: Mapping[str, Any]) -> int:
        if {"id", "prompt_tokens", "completion_tokens", "cost", "message_count"} <= record.keys():
            return 92
        return 70 if record.get("_table") == "messages" and {"session_id", "role", "parts"} <= record.keys() else 0


@Crush.read_by
class _Reader(PlainReader):
    """Reads one database; who answered in a session stands in the rows of its messages, which come later."""

    def __init__(self, file: LogFile) -> None:
        super().__init__(file)
        self.models: dict[str, Counter[tuple[str, str | None]]] = {}

    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        own, session = text(value.get("id")), text(value.get("session_id"))
        if session is not None:
            model = text(value.get("model"))
            if model:
                self.models.setdefault(session, Counter())[model, text(value.get("provider"))] += 1
            out.skipped["message"] += 1
        elif own is None or "prompt_tokens" not in value:
            out.foreign.append(record)
        elif value.get("parent_session_id") is not None:
            out.skipped["session inside another"] += 1
        else:
            self._session(own, value, record, out)

    def _session(self, own: str, value: Mapping[str, Any], record: Record, out: Out) -> None:
        usage = tokens(value, NAMES)
        cost = soft(usd, value.get("cost"))
        if not spent(usage) and not cost:
            out.skipped["session without tokens"] += 1
            return
        self.add(
            record,
            started_at=when(value.get("created_at")),
            ended_at=when(value.get("updated_at")),
            run_id=own,
            task="session",
            cost_logged_usd=cost,
            summed=True,
            _key=f"crush {own}",
            **(usage if spent(usage) else {}),
        )

    def end(self, out: Out) -> None:
        del out  # nothing is left over
        for row in self.rows:
            known = self.models.get(row["run_id"])
            if known:
                (row["model"], row["provider"]), _ = known.most_common(1)[0]
