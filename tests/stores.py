"""Stores for tests: logs of numbered calls."""

from __future__ import annotations

import json

from costaudit.ingest import ingest


def log(path, numbers, **changes):
    call = {"object": "chat.completion", "model": "gpt-5.4", "choices": [], "usage": {"prompt_tokens": 7}}
    rows = [call | {"id": f"c{n}", "created": 1_790_000_000 + n * 86_400} | changes for n in numbers]
    path.write_text("\n".join(map(json.dumps, rows)))
    return ingest([path]).requests


def months(store):
    return {folder.name: list(folder.glob("*.parquet")) for folder in (store / "requests").iterdir()}
