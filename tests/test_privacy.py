"""What a prompt says stays in the log: neither the request table nor any report holds a word of it."""

from __future__ import annotations

import json
import socket

import pytest

from costaudit import plugins
from costaudit.cli import main
from costaudit.ingest import ingest

SECRET = "xylophone-confidential"

QUIET = ("github", "gitlab", "junit", "sarif", "short")  # findings only, and this log need not have one

LOG = "\n".join(
    json.dumps(
        {
            "timestamp": f"2026-10-{1 + n % 28:02d}T10:00:00Z",
            "run_id": f"run-{n // 4}",
            "request": {
                "model": "gpt-5.4",
                "messages": [
                    {"role": "system", "content": f"You are {SECRET} number {n % 3}"},
                    {"role": "user", "content": f"{SECRET} asks for {n}"},
                ],
                "tools": [{"type": "function", "function": {"name": "look", "description": SECRET}}],
            },
            "response": {
                "id": f"chatcmpl-{n}",
                "object": "chat.completion",
                "model": "gpt-5.4",
                "choices": [
                    {
                        "message": {
                            "role": "assistant",
                            "content": SECRET,
                            "tool_calls": [
                                {"id": f"c{n}", "function": {"name": "look", "arguments": f'{{"q":"{SECRET}"}}'}}
                            ],
                        },
                        "finish_reason": "tool_calls",
                    }
                ],
                "usage": {"prompt_tokens": 50_000, "completion_tokens": 900},
            },
        }
    )
    for n in range(60)
)


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text(LOG)
    return path


def test_the_request_table_holds_no_text_of_a_prompt(log):
    requests = ingest([log]).requests
    assert requests.height == 60
    assert SECRET not in requests.write_json()


@pytest.mark.parametrize("form", plugins.names("costaudit.report"))
def test_no_report_holds_text_of_a_prompt(log, form, capsys):
    with pytest.raises(SystemExit):
        main(["analyze", str(log), "--format", form])
    out, err = capsys.readouterr()
    assert "$" in out or "usd" in out or form in QUIET
    assert SECRET not in out + err


def test_an_audit_opens_no_socket(log, monkeypatch, capsys):
    def refuse(*args, **kwargs):
        raise AssertionError("an audit reached for the network")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(SystemExit) as end:
        main(["analyze", str(log)])
    assert end.value.code in (0, None)
