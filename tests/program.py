"""The program, run in this process as its user runs it; what it is run on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest

from costaudit.cli import main


class Ran(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def run(capfd, monkeypatch, tmp_path):
    """Run the program in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COSTAUDIT_DEBUG", raising=False)
    monkeypatch.delenv("COLUMNS", raising=False)

    def ran(*arguments: object) -> Ran:
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        code = end.value.code
        assert code is None or isinstance(code, int)
        return Ran(code or 0, *capfd.readouterr())

    return ran


def response(number: int, **changes: object) -> str:
    """A Chat Completions response of 1,000 tokens in and 100 out."""
    record = {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 1_790_000_000 + 60 * number,
        "model": "gpt-4o",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "ok"}}],
        "usage": {"prompt_tokens": 1_000, "completion_tokens": 100, "total_tokens": 1_100},
    }
    return json.dumps(record | changes)


@pytest.fixture
def logs(tmp_path) -> Path:
    folder = tmp_path / "my logs"
    folder.mkdir()
    lines = [*(response(n) for n in range(20)), response(3), "{broken", ""]
    (folder / "a.jsonl").write_text("\n".join(lines) + "\n")
    return folder
