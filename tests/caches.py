"""Files that are old enough to be kept as soon as they are written, and readings compared."""

from __future__ import annotations

import json

import pytest

from costaudit.ingest import _state, ingest

CALL = {"object": "chat.completion", "model": "gpt-5.4", "choices": [], "usage": {"prompt_tokens": 7}}


def call(n, **changes):
    return json.dumps(CALL | {"id": f"c{n}", "created": 1_790_000_000 + n} | changes)


def lines(*numbers):
    return "".join(call(n) + "\n" for n in numbers)


@pytest.fixture
def settled(monkeypatch):
    """Files are old enough to be kept as soon as they are written; what changes in these tests changes its size."""
    monkeypatch.setattr(_state, "TICK_NS", -1_000_000_000)
    monkeypatch.setattr(_state, "COARSE_NS", -1_000_000_000)


def same(one, other):
    assert one.requests.equals(other.requests)
    assert one.rejects.equals(other.rejects)
    assert one.sources.equals(other.sources)
    assert one.fates == other.fates
    assert one.notes == other.notes


def both(path, cache):
    """The same logs with the cache and without: they must agree."""
    cached = ingest([path], cache=cache)
    same(cached, ingest([path]))
    return cached
