"""Sessions and events of Google's Agent Development Kit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from costaudit.ingest._counts import Names, spent, tokens
from costaudit.ingest._decode import unwrapped
from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._gemini import camel, modality_parts
from costaudit.ingest._plain import PlainReader, calls, objects, part, results, when, written
from costaudit.ingest._values import counted, text

NAMES = Names(
    ("promptTokenCount",), ("candidatesTokenCount",), ("cachedContentTokenCount",), (), ("thoughtsTokenCount",),
    inside=True, beside=True,
)  # fmt: skip


class GoogleAdk(Format):
    """Events of Google's Agent Development Kit: logged, exported with their session, or in its database.

    ## Where
    Events as `model_dump_json()` writes them, one a line; sessions as `adk` exports them; the database of
    `DatabaseSessionService` (SQLite), table `events`, of both its layouts.
    ## What it knows
    Tokens of each answer with cached input and thoughts, audio and images, agent (the task), user, tools called and
    their results. A run is an invocation; the session is its parent.
    ## Traps
    Pieces of a streamed answer (`partial`) have the counts of the whole, and are left out. An event in a session and in
    the database is one call. Cached input stands inside the prompt, results of built-in tools beside it. Thoughts of
    Gemini stand beside the output, those of models by LiteLLM inside: the total tells.
    ## Limits
    Older versions, and the database's older layout, do not name the model: those calls are unpriced. System prompt,
    tools and cache writes are in no event; what Claude wrote to the cache counts as plain input.
    """

    name = "google-adk"
    title = "Google ADK sessions and events"
    tables: ClassVar = {"events": ("id", "app_name", "user_id", "session_id", "invocation_id")}

    def recognises(self, record: Mapping[str, Any]) -> int:
        if _is_event(record):
            return 96
        listed = record.get("events")
        first = listed[0] if isinstance(listed, list) and listed else None
        return 96 if isinstance(first, Mapping) and _is_event(first) else 0


def _is_event(value: Mapping[str, Any]) -> bool:
    """Whether an object is an event, as its own JSON or as a row of the database has it."""
    if "invocationId" not in value and "invocation_id" not in value:
        return False
    return "author" in value or {"session_id", "event_data"} <= value.keys()


@GoogleAdk.read_by
class _Reader(PlainReader):
    def __init__(self, file: LogFile) -> None:
        super().__init__(file)
        self.given: dict[str | None, list[tuple[Any, Any, bool | None]]] = {}

    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        if _is_event(value):
            self._event(value, value, record, out)
            return
        events = value.get("events")
        if not isinstance(events, list):
            out.foreign.append(record)
            return
        for event in events:
            if not isinstance(event, Mapping):
                out.rejects.append((record.line, "not an event"))
                continue
            try:
                self._event(event, value, record, out)
            except ValueError as problem:
                out.refuse(record.line, problem)
        out.several(len(events), none="session without events")

    def _event(self, row: Mapping[str, Any], about: Mapping[str, Any], record: Record, out: Out) -> None:
        event = camel({name: unwrapped(value) for name, value in {**written(row.get("event_data")), **row}.items()})
        usage = part(event, "usageMetadata")
        run = text(event.get("invocationId"))
        parts = part(event, "content").get("parts")
        known = objects(parts)
        given = [part(p, "functionResponse") for p in known if "functionResponse" in p]
        self.given.setdefault(run, []).extend((g.get("id"), g.get("response"), None) for g in given)
        counts = {**usage, "promptTokenCount": _input(usage)}
        said = tokens(counts, NAMES._replace(beside=not _inside(usage)))
        piece = event.get("partial") in (True, 1)  # a database keeps a number
        if piece or not spent(said):
            out.skipped["piece of an answer" if piece else "event without counts"] += 1
            return
        asked = [part(p, "functionCall") for p in known if "functionCall" in p]
        model = text(event.get("modelVersion"))
        cloud = "trafficType" in usage
        own = text(event.get("id"))
        self.add(
            record,
            started_at=when(event.get("timestamp")),
            run_id=run,
            parent_id=text(event.get("sessionId")) or text(about.get("id")),
            task=text(event.get("author")),
            user=text(event.get("userId")) or text(about.get("userId")) or text(about.get("user_id")),
            provider="vertex" if cloud else "google" if model and "gemini" in model else None,
            model=model,
            finish_reason=text(event.get("finishReason")),
            error_type=text(event.get("errorCode")),
            tool_calls=calls((a.get("id"), a.get("name"), a.get("args")) for a in asked),
            tool_results=results(self.given.pop(run, [])),
            has_text=bool(known),
            extras=modality_parts(usage),
            _key=f"google-adk {own}" if own else None,
            **said,
        )


def _input(usage: Mapping[str, Any]) -> Any:
    """The prompt with the results of built-in tools; the prompt's own value where there are none."""
    tools, prompt = counted(usage.get("toolUsePromptTokenCount")), usage.get("promptTokenCount")
    return counted(prompt) + tools if tools else prompt


def _inside(usage: Mapping[str, Any]) -> bool:
    """Whether the output includes the thoughts, as ADK's models by LiteLLM and OpenAI have it; the total tells.

    Gemini's have them beside it; those of its Live API are in no total, but only Gemini has details of the output.
    """
    if usage.get("candidatesTokensDetails"):
        return False
    told, tools = (counted(usage.get(f"{name}TokenCount")) for name in ("total", "toolUsePrompt"))
    plain = sum(counted(usage.get(f"{name}TokenCount")) for name in ("prompt", "candidates"))
    return told > 0 and told in (plain, plain + tools)
