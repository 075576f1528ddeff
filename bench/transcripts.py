"""Transcripts of a coding agent, one file a run: as for a subagent, with usage repeated as blocks arrive."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from itertools import groupby

from bench.events import Event
from bench.writing import Files, iso, lines


def claude_code(made: Sequence[Event]) -> Files:
    """The runs of the events; calls outside a run are not a coding agent's."""
    files: Files = {}
    ordered = sorted((e for e in made if e.run), key=lambda e: (e.run, e.step))
    for run, events in groupby(ordered, key=lambda e: e.run):
        steps = list(events)
        folder = f"projects/-srv-app/session-{run}/subagents"
        files[f"{folder}/agent-{run}.jsonl"] = lines(_rows(str(run), steps))
        files[f"{folder}/agent-{run}.meta.json"] = json.dumps({"agentType": steps[0].task, "spawnDepth": 1}).encode()
    return files


def _rows(run: str, steps: Sequence[Event]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    base = {
        "sessionId": f"session-{run}",
        "agentId": run,
        "isSidechain": True,
        "cwd": "/srv/app",
        "userType": "external",
    }

    def add(kind: str, e: Event, message: object, **more: object) -> None:
        parent = rows[-1]["uuid"] if rows else None
        uuid = f"{run}-{len(rows):05d}"
        row = {"type": kind, "uuid": uuid, "parentUuid": parent, "timestamp": iso(e.at), "message": message}
        rows.append(base | row | more)

    first = steps[0]
    add("user", first, {"role": "user", "content": first.turns[0].text})
    for e in steps:
        if e.input is None or e.output is None:
            continue
        usage = {
            "input_tokens": e.input - e.cached - e.written, "cache_read_input_tokens": e.cached,
            "cache_creation_input_tokens": e.written,
            "cache_creation": {"ephemeral_5m_input_tokens": e.written if e.life == "5m" else 0,
                               "ephemeral_1h_input_tokens": e.written if e.life == "1h" else 0},
            "output_tokens": e.output, "service_tier": "standard",
        }  # fmt: skip
        said = {"type": "text", "text": e.answer or f"Step {e.step}."}
        blocks = [said]
        if e.call:
            blocks.append({"type": "tool_use", "id": e.call.id, "name": e.call.name, "input": json.loads(e.call.text)})
        for nth, block in enumerate(blocks):  # one row a block, each with the usage so far
            last = nth == len(blocks) - 1
            message = {
                "id": f"msg_{e.id}", "type": "message", "role": "assistant", "model": e.model, "content": [block],
                "stop_reason": ("tool_use" if e.call else "end_turn") if last else None,
                "usage": usage if last else usage | {"output_tokens": 1},
            }  # fmt: skip
            add("assistant", e, message, requestId=f"req_{e.id}")
        if e.call:
            result = {"type": "tool_result", "tool_use_id": e.call.id, "content": e.result or ""}
            later = e.at + timedelta(seconds=float(e.seconds))
            add("user", e, {"role": "user", "content": [result]})
            rows[-1]["timestamp"] = iso(later)
    return rows
