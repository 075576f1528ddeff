"""Planted logs of coding agents, each in the folder its agent would use, with the tokens that were really spent.

`truth` is all tokens of a case: input with cache reads and writes, and output with reasoning.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

SAMPLES = Path(__file__).parent.parent / "sample_logs" / "formats"
AT = "2026-09-05T11:00:{:02}Z"
T0 = 1_788_606_000
CLAUDE, ROLLOUTS = ".claude/projects/-srv-shop/", ".codex/sessions/2026/09/05/rollout-2026-09-05T11-00-00-"
MESSAGE = {"version": "2.1.220", "cwd": "/srv/shop", "type": "assistant", "parentUuid": None, "isSidechain": False}

Row = dict[str, Any]
Content = list[Row] | bytes | Row


class Case(NamedTuple):
    """A home folder, what was spent in it, and what can go wrong in reading it.

    mistake   number in the list of mistakes seen in the field; 0 for none of them
    """

    name: str
    agent: str
    files: dict[str, Content]
    truth: int
    trap: str
    mistake: int = 0
    loads: Callable[[Any], str] = json.dumps


def write(case: Case, home: Path) -> None:
    """Write a case's files below a home folder."""
    for name, content in case.files.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, list):
            path.write_text("".join(case.loads(row) + "\n" for row in content), encoding="utf-8")
        else:
            path.write_text(case.loads(content), encoding="utf-8")


def tight(row: Any) -> str:
    """JSON without spaces, as the agents write it."""
    return json.dumps(row, separators=(",", ":"))


def response(n: int, fresh: int, read: int, write: int, output: int, **more: Any) -> Row:
    """A row of a Claude Code transcript."""
    usage = {
        "input_tokens": fresh,
        "cache_creation_input_tokens": write,
        "cache_read_input_tokens": read,
        "output_tokens": output,
    } | more.pop("usage", {})
    message = {"id": f"msg_{n}", "role": "assistant", "type": "message", "model": "claude-sonnet-4-20250514"}
    message |= {"content": [{"type": "text", "text": "."}], "usage": usage}
    row = {**MESSAGE, "sessionId": "s-1", "uuid": f"u-{n}-{output}", "requestId": f"req_{n}", "timestamp": AT.format(n)}
    return {name: value for name, value in {**row, "message": message, **more}.items() if value != ""}


def opened(thread: str, **more: Any) -> Row:
    """The first row of a Codex rollout."""
    payload = {"id": thread, "timestamp": AT.format(0), "cwd": "/srv/shop", "originator": "codex_cli_rs"} | more
    return {"timestamp": AT.format(0), "type": "session_meta", "payload": payload}


def stated(second: int, total: tuple[int, int, int], last: tuple[int, int, int] | None = None) -> Row:
    """A `token_count` of a Codex rollout: (input, cached, output) in total and of the last request."""

    def usage(counts: tuple[int, int, int]) -> Row:
        names = ("input_tokens", "cached_input_tokens", "output_tokens")
        whole = {"reasoning_output_tokens": 0, "total_tokens": counts[0] + counts[2]}
        return dict(zip(names, counts, strict=True)) | whole

    info = {"total_token_usage": usage(total), "last_token_usage": usage(last or total)}
    return {"timestamp": AT.format(second), "type": "event_msg", "payload": {"type": "token_count", "info": info}}


def turn(second: int, own: str, began: int = T0) -> list[Row]:
    """The beginning of a turn in a Codex rollout."""
    started = {"type": "task_started", "turn_id": own, "started_at": began + second}
    context = {"turn_id": own, "model": "gpt-5", "cwd": "/srv/shop"}
    at = {"timestamp": AT.format(second)}
    return [{**at, "type": "event_msg", "payload": started}, {**at, "type": "turn_context", "payload": context}]


def spoken(n: int, tokens: Row) -> Row:
    """A message of Gemini CLI."""
    row = {"id": f"m{n}", "timestamp": AT.format(n), "type": "gemini", "content": "."}
    return {**row, "model": "gemini-2.5-pro", "tokens": tokens}


def stored(name: str) -> bytes:
    return (SAMPLES / f"{name}.db").read_bytes()


def first(name: str, row: int) -> Row:
    """A row of a sample file."""
    found: Row = json.loads((SAMPLES / name).read_text(encoding="utf-8").splitlines()[row])
    return found


def rows(name: str, start: int, stop: int) -> list[Row]:
    return [first(name, n) for n in range(start, stop)]


ONE = response(1, 10, 1_000, 200, 167)
GEMINI = {
    "sessionId": "g-1",
    "projectHash": "p",
    "startTime": AT.format(0),
    "lastUpdated": AT.format(9),
    "kind": "main",
}
SPENT = {"input": 1_000, "output": 20, "cached": 800, "thoughts": 30, "tool": 0, "total": 1_050}
TWO = [spoken(n, SPENT) for n in (1, 2)]
WIRE = [{"timestamp": T0 + n, "message": {"type": "StatusUpdate", "payload": {"message_id": f"k{n}", "token_usage": {
    "input_other": 100, "input_cache_read": 900, "output": 10}}}} for n in (1, 2)]  # fmt: skip
PI = {"type": "message", "id": "m2", "parentId": "m1", "timestamp": AT.format(4), "message": {
    "role": "assistant", "model": "claude-sonnet-4-20250514", "provider": "anthropic", "timestamp": (T0 + 4) * 1000,
    "content": [], "usage": {"input": 10, "output": 5, "cacheRead": 100, "cacheWrite": 0, "totalTokens": 115,
    "cost": {"total": 0.001}}}}  # fmt: skip
SESSION = {"type": "session", "id": "p-1", "version": 3, "timestamp": AT.format(0), "cwd": "/srv/shop"}
QWEN = {"sessionId": "q-1", "parentUuid": None, "timestamp": AT.format(3), "cwd": "/srv/shop", "version": "0.10.0"}
COPILOT = {
    "inputTokens": 1_000,
    "outputTokens": 50,
    "cacheReadTokens": 800,
    "cacheWriteTokens": 0,
    "reasoningTokens": 20,
}
DATA = ".local/share/"


def _leg(n: int, factor: int) -> list[Row]:
    usage = {name: count * factor for name, count in COPILOT.items()}
    metrics = {"gpt-5-mini": {"requests": {"count": factor, "cost": factor}, "usage": usage}}
    data = {
        "shutdownType": "routine",
        "sessionStartTime": T0 * 1000,
        "modelMetrics": metrics,
        "currentModel": "gpt-5-mini",
    }
    return [{"type": "session.shutdown", "id": f"e{n}", "parentId": None, "timestamp": AT.format(n), "data": data}]


CASES = [
    Case("three rows of one response", "claude", {CLAUDE + "s-1.jsonl": [
        response(1, 10, 1_000, 200, 8), response(1, 10, 1_000, 200, 8), ONE]}, 1_377,
        "every content block repeats the usage of its response, and the output grows", 1, tight),
    Case("the first row has a piece of the output", "claude", {CLAUDE + "s-1.jsonl": [
        response(1, 10, 0, 0, 1), response(1, 10, 0, 0, 992)]}, 1_002,
        "a streamed row is written before the answer is done", 2, tight),
    Case("a gateway without request ids", "claude", {CLAUDE + "s-1.jsonl": [
        response(1, 10, 0, 0, 8, requestId=""), response(1, 10, 0, 0, 90, requestId="")]}, 100,
        "a key that needs the request id counts each row", 3, tight),
    Case("a side question repeats the answer", "claude", {CLAUDE + "s-1.jsonl": [
        ONE, {**response(1, 10, 9_000, 200, 167), "isSidechain": True, "requestId": "req_9", "uuid": "u-9"}]}, 1_377,
        "the copy has another request id and more cached input", 4, tight),
    Case("a compaction step beside the total", "claude", {CLAUDE + "s-1.jsonl": [
        response(1, 23_000, 0, 0, 1_000, usage={"iterations": [
            {"type": "compaction", "input_tokens": 180_000, "output_tokens": 3_500},
            {"type": "message", "input_tokens": 23_000, "output_tokens": 1_000}]})]}, 207_500,
        "the response's own total leaves the compaction out, the bill does not", 5, tight),
    Case("null in a field nobody needs", "claude", {CLAUDE + "s-1.jsonl": [
        response(1, 7, 0, 0, 3), response(2, 100, 0, 0, 20, cwd=None)]}, 130,
        "null is absent, not a broken row", 6, tight),
    Case("JSON with spaces", "claude", {CLAUDE + "s-1.jsonl": [response(1, 100, 0, 0, 20)]}, 120,
        "the same JSON, written with a space after the colon", 7),
    Case("totals shown again", "codex", {ROLLOUTS + "019a0000-0000-7000-8000-000000000001.jsonl": [
        opened("019a0000-0000-7000-8000-000000000001"), *turn(1, "t1"), stated(2, (1_000, 0, 100)),
        stated(3, (1_000, 0, 100)), stated(4, (3_000, 900, 300), (2_000, 900, 200))]}, 3_300,
        "a refresh repeats the total: nothing was spent", 8, tight),
    Case("a fork copies its parent", "codex", {ROLLOUTS + "019a0000-0000-7000-8000-000000000003.jsonl": [
        opened("019a0000-0000-7000-8000-000000000003", forked_from_id="019a0000-0000-7000-8000-000000000002"),
        *turn(1, "p1", T0 - 9_000), stated(1, (40_000, 0, 900)), *turn(4, "p2", T0 - 8_000),
        stated(9, (90_000, 40_000, 2_000), (50_000, 40_000, 1_100)),
        *turn(12, "own"), stated(20, (95_000, 43_000, 2_500), (5_000, 3_000, 500))]}, 5_500,
        "the parent's events stand in the child's file, with the child's times", 9, tight),
    Case("a counter that starts again", "codex", {ROLLOUTS + "019a0000-0000-7000-8000-000000000004.jsonl": [
        opened("019a0000-0000-7000-8000-000000000004"), *turn(1, "t1"), stated(2, (1_000, 800, 100)),
        stated(3, (900, 700, 60), (900, 700, 60)), stated(4, (1_500, 700, 90), (600, 0, 30))]}, 2_690,
        "a total below the one before is a new beginning", 10, tight),
    Case("two sessions with equal numbers", "codex", {ROLLOUTS + f"019a0000-0000-7000-8000-00000000001{n}.jsonl": [
        opened(f"019a0000-0000-7000-8000-00000000001{n}"), *turn(1, "t1"), stated(2, (1_000, 0, 100))] for n in (1, 2)},
        2_200, "two small sessions look alike and are two", 0, tight),
    Case("reasoning inside the output", "codex", {ROLLOUTS + "019a0000-0000-7000-8000-000000000005.jsonl": [
        opened("019a0000-0000-7000-8000-000000000005"), *turn(1, "t1"),
        {"timestamp": AT.format(2), "type": "event_msg", "payload": {"type": "token_count", "info": {
            "total_token_usage": {"input_tokens": 500, "cached_input_tokens": 0, "output_tokens": 12_551,
                                  "reasoning_output_tokens": 9_536}}}}]}, 13_051,
        "without a total, input and output are all there is", 11, tight),
    Case("one session in both file forms", "gemini", {
        ".gemini/tmp/p/chats/session-2026-09-05T11-00-g1.json": {**GEMINI, "messages": TWO},
        ".gemini/tmp/p/chats/session-2026-09-05T11-00-g1.jsonl": [GEMINI, *TWO]}, 2_100,
        "resuming an old session leaves its old file beside the new one", 13, tight),
    Case("cached input inside the input", "gemini", {
        ".gemini/tmp/p/chats/session-2026-09-05T11-00-g2.jsonl": [GEMINI, *TWO]}, 2_100,
        "1,000 with 800 cached and 50 out is 1,050, as the total says", 12, tight),
    Case("a message that was rewound", "gemini", {
        ".gemini/tmp/p/chats/session-2026-09-05T11-00-g3.jsonl": [GEMINI, *TWO, {"$rewindTo": "m2"}]}, 2_100,
        "an answer that is taken back was paid for", 14, tight),
    Case("cached input inside the prompt", "qwen", {".qwen/projects/p/chats/q-1.jsonl": [
        {**QWEN, "uuid": "a1", "type": "assistant", "model": "qwen3-coder-plus", "message": {"parts": []},
         "usageMetadata": {"promptTokenCount": 600, "candidatesTokenCount": 5, "cachedContentTokenCount": 50,
                           "thoughtsTokenCount": 0, "totalTokenCount": 605}}]}, 605,
        "600 with 50 cached and 5 out is 605, as the total says", 12, tight),
    Case("a subagent's own folder", "kimi", {".kimi/sessions/1f/k-1/wire.jsonl": WIRE[:1],
        ".kimi/sessions/1f/k-1/subagents/agent-0/wire.jsonl": WIRE[1:]}, 2_020,
        "subagents stand one folder deeper", 0, tight),
    Case("a database", "opencode", {DATA + "opencode/opencode.db": stored("opencode")}, 1_673,
        "one message has its counts on its two steps", 0, tight),
    Case("a database for each channel", "opencode", {DATA + "opencode/opencode-nightly.db": stored("opencode")}, 1_673,
        "a channel has a database of its own", 0, tight),
    Case("running totals of a resumed session", "copilot", {".copilot/session-state/c-1/events.jsonl": [
        {"type": "session.start", "id": "e1", "parentId": None, "timestamp": AT.format(1),
         "data": {"sessionId": "c-1", "copilotVersion": "1.0.77", "selectedModel": "gpt-5-mini"}},
        *_leg(2, 1), *_leg(3, 3)]}, 3_150, "the second total holds the first", 21, tight),
    Case("a session that was deleted", "openclaw", {
        ".openclaw/agents/main/sessions/p-1.jsonl.deleted.2026-09-05T12-00-00.000Z": [SESSION, PI]}, 115,
        "what was deleted was paid for", 0, tight),
    Case("a plain session", "pi", {".pi/agent/sessions/--srv-shop--/p-1.jsonl": [SESSION, PI]}, 115, "", 0, tight),
    Case("the counts of a session", "goose", {DATA + "goose/sessions/sessions.db": stored("goose")}, 185_140,
        "the plain columns are those of the last request", 21, tight),
    Case("turns with counts", "grok", {
        ".grok/sessions/%2Fsrv%2Fshop/g1/updates.jsonl": rows("grok.jsonl", 2, 7),
        ".grok/sessions/%2Fsrv%2Fshop/g1/summary.json": first("grok.jsonl", 0),
        ".grok/sessions/%2Fsrv%2Fshop/g1/signals.json": first("grok.jsonl", 1)}, 11_380,
        "the size of the context is not what was spent", 0, tight),
    Case("answers without counts", "antigravity", {
        ".gemini/antigravity-cli/brain/a-1/.system_generated/logs/transcript.jsonl": rows("antigravity.jsonl", 0, 4)},
        0,
        "unknown: characters of the answer say nothing about the prompt", 0, tight),
    Case("thinking beside the output", "droid", {
        ".factory/sessions/-srv-shop/d1.settings.json": first("droid.jsonl", 5)}, 5_550,
        "1,000 + 4,000 + 300 in, 200 + 50 out", 0, tight),
    Case("a ledger and its messages", "amp", {DATA + "amp/threads/T-0001.json": first("amp.jsonl", 0)}, 1_115,
        "the ledger restates the messages", 0, tight),
    Case("cached input inside the input", "zcode", {".zcode/cli/db/db.sqlite": stored("zcode")}, 19_870,
        "Anthropic's names with OpenAI's meaning, but for one row that can only mean the other", 12, tight),
    Case("usage in several places", "codebuff", {
        ".config/manicode/projects/shop/chats/2026-09-05T11-00-00.000Z/chat-messages.json":
            tight(rows("codebuff.jsonl", 0, 5)).encode()}, 2_120,
        "the first place that has counts; OpenAI's names hold the cache inside", 12, tight),
]  # fmt: skip
