"""Messages of OpenCode and Kilo CLI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from costaudit.ingest._decode import unfolded
from costaudit.ingest._files import Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._plain import PlainReader, part, soft, when
from costaudit.ingest._values import count, text, usd


class Opencode(Format):
    """Databases and message files of OpenCode and Kilo CLI, and rows of the databases exported as JSON or CSV.

    ## Where
    `~/.local/share/opencode/opencode.db` and one `opencode-<channel>.db` a channel; older versions
    `storage/message/<session>/*.json`, `storage/session/`, `storage/part/`; or below `$OPENCODE_DATA_DIR`. Kilo CLI in
    `~/.local/share/kilo`.
    ## What it knows
    Tokens with cache and reasoning, logged cost, agent, working directory. A run is one prompt of the user.
    ## Traps
    Cached input stands beside the input; where reasoning stands the total decides. A message without tokens may have
    them on its steps (`step-finish` parts). Sessions of subagents have messages of their own. A cost of 0 under a
    subscription is no price. A migrated message stands in the database and in its old file: the database's row wins.
    ## Limits
    The system prompt is not in the messages, so prompts cannot be compared.
    """

    name = "opencode"
    title = "OpenCode and Kilo CLI messages"
    tables: ClassVar = {
        "message": ("id", "session_id", "data"),
        "part": ("id", "message_id", "data"),
        "session": ("id", "project_id", "directory"),
    }

    def recognises(self, record: Mapping[str, Any]) -> int:
        if isinstance(record.get("data"), (str, Mapping)) and "id" in record:
            data = part(_unfolded(record), "data")
            if "session_id" in record and "role" in data:
                return 60
            return 60 if "message_id" in record and "type" in data else 0
        if record.get("_table") == "session" and "directory" in record and "project_id" in record:
            return 60
        if record.get("type") == "step-finish" and "messageID" in record:
            return 90
        model = part(record, "model")
        if "sessionID" in record and ("modelID" in record or "modelID" in model):
            return 92
        if "sessionID" in record and "role" in record and "time" in record:
            return 70
        return 60 if "projectID" in record and "directory" in record and "time" in record else 0


def _unfolded(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """A database row with its JSON column opened."""
    data = record.get("data")
    return {**record, "data": unfolded(data)}


@Opencode.read_by
class _Reader(PlainReader):
    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        row = part(_unfolded(value), "data")
        stored = bool(row)
        if row:
            names = {"id": "id", "session_id": "sessionID", "message_id": "messageID"}
            value = {**{ours: value[theirs] for theirs, ours in names.items() if theirs in value}, **row}
        own, session = text(value.get("id")), text(value.get("sessionID"))
        if value.get("type") == "step-finish":
            self._add(value, record, _usage(part(value, "tokens")), step=True, stored=stored)
        elif "messageID" in value:
            out.skipped[f"part: {text(value.get('type')) or 'other'}"[:60]] += 1
        elif session is None or own is None:
            if "projectID" not in value and "project_id" not in value:
                out.foreign.append(record)
            else:
                out.skipped["session"] += 1
        elif value.get("role", "assistant") != "assistant":
            out.skipped[f"{text(value.get('role')) or 'other'} message"[:60]] += 1
        else:
            self._add(value, record, _usage(part(value, "tokens")), step=False, stored=stored)

    def _add(
        self, value: Mapping[str, Any], record: Record, usage: dict[str, int], *, step: bool, stored: bool
    ) -> None:
        model, time, session = part(value, "model"), part(value, "time"), text(value.get("sessionID"))
        own = text(value.get("id"))
        message = text(value.get("messageID")) if step else own
        prompt = text(value.get("parentID"))
        error = part(value, "error")
        self.add(
            record,
            request_id=None if step else own,
            started_at=when(time.get("created", time.get("start"))),
            ended_at=when(time.get("completed", time.get("end"))),
            # A step belongs to the run of its message, which the tree lends it.
            run_id=None if step else f"{session}:{prompt}" if session and prompt else session,
            parent_id=session,
            task=text(value.get("agent")) or text(value.get("mode")),
            key_id=text(part(value, "path").get("root")) or text(part(value, "path").get("cwd")),
            provider=text(value.get("providerID")) or text(model.get("providerID")),
            model=text(value.get("modelID")) or text(model.get("modelID")),
            finish_reason=text(value.get("finish")) or text(value.get("reason")),
            status="cancelled" if error.get("name") == "MessageAbortedError" else "error" if error else None,
            error_type=text(error.get("name")),
            cost_logged_usd=soft(usd, value.get("cost")),
            _key=f"opencode {session} {own}",
            _rank=int(stored),
            # Steps of a message stand below it: where both have tokens the message restates its steps.
            _trace=f"opencode {session}",
            _span=f"{message} {own}" if step else message,
            _parent=message if step else None,
            **usage,
        )


def _usage(tokens: Mapping[str, Any]) -> dict[str, int]:
    """Inclusive counts; empty where the message has none, or only zeros that its steps will fill."""
    cache = part(tokens, "cache")
    said = {
        name: n
        for name, value in (
            *((name, tokens.get(name)) for name in ("input", "output", "reasoning", "total")),
            ("read", cache.get("read")),
            ("write", cache.get("write")),
        )
        if (n := None if value is None else count(value)) is not None
    }
    given, out, hidden, read, write = (said.get(k, 0) for k in ("input", "output", "reasoning", "read", "write"))
    if not (given or out or read or write):
        return {}
    beside = hidden and said.get("total") == given + read + write + out + hidden
    return {
        "input_tokens": given + read + write,
        "cache_read_tokens": read,
        "cache_write_tokens": write,
        "output_tokens": out + hidden if beside or hidden > out else out,
        "reasoning_tokens": hidden,
    }
