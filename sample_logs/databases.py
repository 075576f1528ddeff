"""Writes the sample databases of `sample_logs/formats`: coding agents that keep their usage in SQLite.

    python sample_logs/databases.py [FOLDER]

Everything is invented; tables and columns are those of the real programs. The rows are the same every time; the bytes
are as the SQLite at hand writes them.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import zstandard

Rows = list[dict[str, Any]]
T0 = 1_788_606_000  # 2026-09-05 11:00 UTC, Unix seconds


def tokens(fresh: int, output: int, read: int = 0, write: int = 0) -> dict[str, int]:
    """A count as Anthropic names it."""
    return {
        "input_tokens": fresh,
        "output_tokens": output,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": write,
    }


def text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def opencode() -> dict[str, Rows]:
    def message(own: str, **more: Any) -> dict[str, Any]:
        data = {"role": "assistant", "modelID": "claude-sonnet-5", "providerID": "anthropic", "agent": "build"}
        data |= {"parentID": "msg_u", "time": {"created": T0 * 1000, "completed": T0 * 1000 + 2000}} | more
        return {"id": own, "session_id": "ses_9", "data": text(data)}

    def counts(fresh: int, output: int, read: int = 0, write: int = 0) -> dict[str, Any]:
        return {"input": fresh, "output": output, "reasoning": 0, "cache": {"read": read, "write": write}}

    steps = [(7, 3, "tool-calls"), (9, 4, "stop")]
    return {
        "message": [
            {"id": "msg_u", "session_id": "ses_9", "data": text({"role": "user", "time": {"created": T0 * 1000}})},
            message("msg_1", tokens=counts(1_000, 500, 100, 50), cost=0.01),
            message("msg_2", tokens=counts(0, 0), cost=0),
        ],
        "part": [
            {"id": "prt_0", "message_id": "msg_1", "session_id": "ses_9", "data": text({"type": "text", "text": "Hi"})},
            *(
                {
                    "id": f"prt_{n}",
                    "message_id": "msg_2",
                    "session_id": "ses_9",
                    "data": text({"type": "step-finish", "reason": why, "tokens": counts(fresh, made)}),
                }
                for n, (fresh, made, why) in enumerate(steps, 1)
            ),
        ],
        "session": [{"id": "ses_9", "project_id": "p-1", "parent_id": None, "directory": "/srv/shop"}],
    }


def goose() -> dict[str, Rows]:
    config = text({"model_name": "claude-sonnet-5", "context_limit": 200_000})
    row = {"provider_name": "anthropic", "model_config_json": config, "working_dir": "/srv/shop"}
    row |= {"created_at": "2026-09-05 11:00:00", "updated_at": "2026-09-05 11:20:00"}

    def session(own: str, last: tuple[int, int], whole: tuple[int | None, int | None]) -> dict[str, Any]:
        counts = {"input_tokens": last[0], "output_tokens": last[1], "total_tokens": sum(last)}
        all_ = sum(n or 0 for n in whole) or None
        counts |= {"accumulated_input_tokens": whole[0], "accumulated_output_tokens": whole[1]}
        return {"id": own, **row, **counts, "accumulated_total_tokens": all_}

    return {
        "sessions": [
            session("20260905_1", (12_000, 300), (180_000, 4_200)),
            session("20260905_2", (900, 40), (None, None)),
            session("20260905_3", (0, 0), (0, 0)),
        ]
    }


def hermes() -> dict[str, Rows]:
    def session(own: str, counts: tuple[int, ...], estimated: float | None, actual: float | None) -> dict[str, Any]:
        names = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
        row = {"id": own, "source": "cli", "model": "claude-sonnet-5", "billing_provider": "anthropic"}
        row |= {"started_at": T0 + 0.5, "ended_at": T0 + 600.5, "message_count": 9}
        row |= dict(zip(names, counts, strict=True))
        return {**row, "estimated_cost_usd": estimated, "actual_cost_usd": actual}

    return {
        "sessions": [
            session("h1", (2_000, 700, 40_000, 5_000, 120), 0.05, 0.04),
            session("h2", (100, 20, 0, 0, 0), 0.002, None),
            session("h3", (0, 0, 0, 0, 0), None, None),
        ]
    }


def crush() -> dict[str, Rows]:
    def session(own: str, parent: str | None, counts: tuple[int, int], cost: float) -> dict[str, Any]:
        row = {"id": own, "parent_session_id": parent, "title": "Work", "message_count": 3}
        row |= {"prompt_tokens": counts[0], "completion_tokens": counts[1], "cost": cost}
        return {**row, "created_at": T0, "updated_at": T0 + 300}

    answers = [("c1", "gpt-5-mini"), ("c1", "claude-sonnet-5"), ("c1", "claude-sonnet-5"), ("c2", "gpt-5-mini")]
    return {
        "sessions": [
            session("c1", None, (30_000, 900), 0.12),
            session("c2", "c1", (5_000, 100), 0.01),
            session("c3", None, (0, 0), 0.0),
        ],
        "messages": [
            {
                "id": f"m{n}",
                "session_id": s,
                "role": "assistant",
                "parts": "[]",
                "model": model,
                "provider": "anthropic",
            }
            for n, (s, model) in enumerate(answers)
        ],
    }


def zed() -> dict[str, Rows]:
    def thread(own: str, data: dict[str, Any]) -> dict[str, Any]:
        blob = zstandard.ZstdCompressor().compress(text(data).encode())
        row = {"id": own, "summary": "Work", "updated_at": "2026-09-05T11:00:00Z", "data_type": "zstd"}
        return {**row, "data": blob}

    model = {"provider": "anthropic", "model": "claude-sonnet-5"}
    listed = {"u1": tokens(100, 40, 900, 50), "u2": tokens(30, 10, 1_100)}
    whole = tokens(100 + 30 + 20, 40 + 10 + 5, 900 + 1_100 + 1_300, 50)
    return {
        "threads": [
            thread("t1", {"model": model, "request_token_usage": listed, "cumulative_token_usage": whole}),
            thread("t2", {"model": model, "request_token_usage": {}, "cumulative_token_usage": tokens(0, 0)}),
        ]
    }


def zcode() -> dict[str, Rows]:
    def usage(own: str, fresh: int, output: int, read: int, hidden: int) -> dict[str, Any]:
        row = {"id": own, "session_id": "s1", "turn_id": "t1", "provider_id": "zai", "model_id": "glm-5.2"}
        row |= {"status": "completed" if output else "error"}
        row |= tokens(fresh, output, read) | {"reasoning_tokens": hidden}
        return {**row, "started_at": T0 * 1000, "completed_at": T0 * 1000 + 4_000}

    return {
        "model_usage": [usage("u1", 10_000, 300, 8_000, 50), usage("u2", 500, 20, 9_000, 0), usage("u3", 0, 0, 0, 0)],
        "session": [{"id": "s1", "directory": "/srv/shop"}],
    }


def forge() -> dict[str, Rows]:
    def answer(prompt: int, cached: int, output: int) -> dict[str, Any]:
        said = {"role": "Assistant", "content": "Done", "model": "claude-sonnet-5"}
        said |= {"tool_calls": [{"name": "read", "call_id": f"c{prompt}", "arguments": {"path": "a.txt"}}]}
        counts = {"prompt_tokens": prompt, "cached_tokens": cached, "completion_tokens": output}
        return {"message": {"text": said}, "usage": {name: {"actual": n} for name, n in counts.items()}}

    asked = {"message": {"text": {"role": "User", "content": "Go on"}}}
    context = {"messages": [asked, answer(1_000, 600, 40), answer(1_200, 1_000, 30), {"message": {"tool": {}}}]}
    row = {"title": "Work", "workspace_id": 7, "created_at": "2026-09-05 11:00:00", "updated_at": "2026-09-05 11:05:00"}
    return {"conversations": [{"conversation_id": "f1", **row, "context": text(context)}]}


def copilot_store() -> dict[str, Rows]:
    def event(own: int, counts: tuple[int, ...], who: str) -> dict[str, Any]:
        names = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
        row = {"id": own, "session_id": "cs1", "model": "gpt-5-mini", **dict(zip(names, counts, strict=True))}
        more = {"created_at": "2026-09-05T11:00:00Z", "total_nano_aiu": 10**9, "request_multiplier": 0.33}
        return {**row, **more, "initiator": who}

    events = [event(1, (1_000, 50, 800, 0, 20), "user"), event(2, (1_200, 30, 1_000, 100, 0), "agent")]
    sessions = [{"id": "cs1", "cwd": "/srv/shop", "repository": "example/shop", "created_at": "2026-09-05T10:59:00Z"}]
    return {"assistant_usage_events": events, "sessions": sessions}


def copilot_traces() -> dict[str, Rows]:
    def span(own: str, parent: str | None, what: str, counts: tuple[int | None, ...], **more: Any) -> dict[str, Any]:
        names = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")
        row = {"span_id": own, "trace_id": "tr1", "parent_span_id": parent, "name": what, "start_time_ms": T0 * 1000}
        row |= {"end_time_ms": T0 * 1000 + 1_500, "status_code": 1, "operation_name": what, "agent_name": None}
        row |= {"provider_name": "github", "conversation_id": "v1", "chat_session_id": "v1", "ttft_ms": 400.0}
        row |= {"request_model": "gpt-5-mini", "response_model": "gpt-5-mini-2025-08-07"}
        return {**row, **dict(zip(names, counts, strict=True)), **more}

    return {
        "spans": [
            span("a", None, "invoke_agent", (3_000, 90, 1_800, 10), agent_name="GitHub Copilot Chat"),
            span("b", "a", "chat", (1_000, 50, 800, 10)),
            span("c", "a", "execute_tool", (None, None, None, None)),
            span("d", "a", "chat", (2_000, 40, 1_000, 0), status_code=2),
        ]
    }


def llm_cli() -> dict[str, Rows]:
    def row(own: str, model: str, counts: tuple[int | None, int | None], details: Any, **more: Any) -> dict[str, Any]:
        known = {"id": own, "model": model, "resolved_model": None, "options_json": text({"temperature": 0.2})}
        known |= {"input_tokens": counts[0], "output_tokens": counts[1], "token_details": text(details)}
        return {**known, "duration_ms": 1_500, "datetime_utc": "2026-09-05T11:00:00.000000+00:00", **more}

    inside = {"prompt_tokens_details": {"cached_tokens": 800}, "completion_tokens_details": {"reasoning_tokens": 20}}
    beside = {"cache_read_input_tokens": 900, "cache_creation_input_tokens": 50}
    talk = {"prompt": "Hello", "response": "Hi.", "conversation_id": "01k4a"}
    return {
        "responses": [
            row("01k4b1", "gpt-5-mini", (1_000, 50), inside, resolved_model="gpt-5-mini-2025-08-07", **talk),
            row("01k4b2", "anthropic/claude-sonnet-5", (100, 40), beside, **talk),
            row("01k4b3", "gpt4all/orca", (None, None), None, **talk),
        ],
        "turns": [row("01k4c1", "gemini/gemini-2.5-flash", (300, 30), {"thoughtsTokenCount": 10}, thread_id="01k4t")],
    }


def open_webui() -> dict[str, Rows]:
    def answer(own: str, usage: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
        known = {"id": own, "parentId": "q1", "childrenIds": [], "role": "assistant", "content": "Yes.", "done": True}
        return {**known, "model": "gpt-5-mini", "timestamp": T0, **({"usage": usage} if usage else {}), **more}

    inside = {"prompt_tokens_details": {"cached_tokens": 800}, "completion_tokens_details": {"reasoning_tokens": 20}}
    summed = {"input_tokens": 2_300, "output_tokens": 90, "prompt_tokens": 1_300, "completion_tokens": 40, **inside}
    local = {"prompt_eval_count": 26, "eval_count": 12, "total_duration": 10**9}
    question = {"id": "q1", "parentId": None, "childrenIds": ["a1", "a2"], "role": "user", "content": "Is it open?"}
    old = [question, answer("a1", summed), answer("a2", None, model="llama3.2:3b", info=local), answer("a3", None)]
    chat = {"models": ["gpt-5-mini"], "history": {"messages": {m["id"]: m for m in old}, "currentId": "a1"}}
    row = {"chat_id": "ch-1", "user_id": "u-1", "role": "assistant", "model_id": "gpt-5-mini", "created_at": T0}
    times = {"created_at": T0, "updated_at": T0 + 60}
    return {
        "chat": [{"id": "ch-1", "user_id": "u-1", "title": "Open?", "chat": text(chat), **times}],
        "chat_message": [
            {**row, "id": "ch-1-a1", "usage": text(summed)},
            {**row, "id": "ch-1-q1", "role": "user", "model_id": None, "usage": None},
            {**row, "id": "ch-2-b1", "chat_id": "ch-2", "usage": text({"input_tokens": 70, "output_tokens": 5})},
        ],
    }


SAMPLES = {
    "opencode": opencode, "goose": goose, "hermes": hermes, "crush": crush, "zed": zed, "zcode": zcode,
    "forge": forge, "copilot-store": copilot_store, "copilot-traces": copilot_traces,
    "llm-cli": llm_cli, "open-webui": open_webui,
}  # fmt: skip


def write(path: Path, tables: dict[str, Rows]) -> None:
    """A database of the given tables, small pages, nothing left beside it."""
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA page_size = 512")
        for name, rows in tables.items():
            columns = list(dict.fromkeys(column for row in rows for column in row))
            db.execute(f"CREATE TABLE {name} ({', '.join(columns)})")
            marks = ", ".join("?" * len(columns))
            db.executemany(f"INSERT INTO {name} VALUES ({marks})", [[row.get(c) for c in columns] for row in rows])
        db.commit()


def build(folder: Path) -> None:
    """Write every sample database into the folder."""
    for name, tables in SAMPLES.items():
        write(folder / f"{name}.db", tables())


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "formats")
