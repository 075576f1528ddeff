"""Tasks of Cline, Roo Code, Kilo Code and IBM Bob in an editor."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from costaudit.ingest._counts import Names, spent, tokens
from costaudit.ingest._decode import unfolded
from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._plain import PlainReader, folder, part, soft, when
from costaudit.ingest._tree import NODES
from costaudit.ingest._values import text, usd

NAMES = Names(("tokensIn",), ("tokensOut",), ("cacheReads",), ("cacheWrites",))
MODEL = re.compile(r"<model>([^<]{1,200})</model>")
SURROUNDINGS = "<environment_details>"


class Cline(Format):
    """Tasks of Cline, Roo Code, Kilo Code and IBM Bob in an editor.

    ## Where
    `globalStorage/<extension>/tasks/<task>/ui_messages.json` and `api_conversation_history.json` beside it, in the
    folders of VS Code and its kin, or `~/.cline/data/tasks`.
    ## What it knows
    Tokens of each request with cache reads and writes, the cost the extension reckoned, cancelled requests. A run is a
    task.
    ## Traps
    Cached input stands beside the input. A request that was cancelled before its answer has no counts and is listed as
    such. The model stands in the request's own row in newer versions, else in the conversation beside it.
    ## Limits
    A conversation names one model: a task that changed it is priced as the last one.
    """

    name = "cline"
    title = "Cline, Roo Code and Kilo Code tasks"

    def recognises(self, record: Mapping[str, Any]) -> int:
        if "ts" in record and record.get("type") in ("say", "ask") and ("say" in record or "ask" in record):
            return 92 if record.get("say") == "api_req_started" else 80
        if record.get("role") == "user" and any(SURROUNDINGS in words for words in _texts(record.get("content"))):
            return 58
        return 0


def _texts(content: Any) -> Iterator[str]:
    for block in content if isinstance(content, list) else (content,):
        words = block.get("text") if isinstance(block, Mapping) else block
        if isinstance(words, str):
            yield words


@Cline.read_by
class _Reader(PlainReader):
    def __init__(self, file: LogFile) -> None:
        super().__init__(file)
        self.task = folder(file, "ui_messages.json", "api_conversation_history.json")
        self.number = 0
        self.model: str | None = None

    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        if "role" in value:
            for spoken in _texts(value.get("content")):
                named = MODEL.search(spoken)
                self.model = named[1].strip() if named else self.model
            out.skipped["conversation"] += 1
            return
        kind = text(value.get("say")) or text(value.get("ask"))
        if kind is None or "ts" not in value:
            out.foreign.append(record)
            return
        if kind not in ("api_req_started", "deleted_api_reqs", "subagent_usage"):
            out.skipped[kind[:60]] += 1
            return
        words = value.get("text")
        said = unfolded(words)
        said = said if isinstance(said, Mapping) else {}
        usage = tokens(said, NAMES)
        info = part(value, "modelInfo")
        cancelled = said.get("cancelReason") is not None
        nth, self.number = self.number, self.number + 1
        self.add(
            record,
            started_at=when(value.get("ts")),
            run_id=self.task,
            task=text(info.get("mode")) or "main loop",
            provider=text(info.get("providerId")),
            model=text(info.get("modelId")),
            status=("cancelled" if said.get("cancelReason") == "user_cancelled" else "error") if cancelled else None,
            error_type=text(said.get("cancelReason")),
            cost_logged_usd=soft(usd, said.get("cost")),
            has_text=bool(said.get("request")),
            _key=f"cline {self.task} {nth} {text(value.get('ts'))}",
            _trace=f"cline {self.task}",
            _span=f"request {nth}",
            _parent="conversation",
            **(usage if spent(usage) else {}),
        )

    def end(self, out: Out) -> None:
        if self.model is not None:
            about = {"_trace": f"cline {self.task}", "_span": "conversation", "model": self.model}
            out.nodes.append(pl.DataFrame([about], schema=NODES))
