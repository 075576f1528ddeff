"""Two months of logs, the second of them dearer, and the program run on them in this process."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from costaudit.cli import main


def records(start: datetime, n: int, tokens: int, **columns: object) -> str:
    rows = [
        {
            "request_id": f"{start:%m}-{i}",
            "provider": "openai",
            "model": "gpt-4o",
            "task": ("triage", "answer")[i % 2],
            "run_id": f"{start:%m}-{i}",
            "instance_id": f"case-{i}",
            "started_at": (start + timedelta(hours=i)).isoformat(),
            "input_tokens": tokens + i,
            "cache_read_tokens": 0,
            "output_tokens": 50,
            "status": "ok",
        }
        | columns
        for i in range(n)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def logs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    (tmp_path / "before.jsonl").write_text(records(datetime(2026, 9, 2, tzinfo=UTC), 40, 1_000))
    (tmp_path / "after.jsonl").write_text(records(datetime(2026, 10, 2, tzinfo=UTC), 40, 2_000))
    return tmp_path


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return int(end.value.code or 0)
