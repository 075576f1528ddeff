"""Files that grow, shrink or change under the cache: what it tells is what the file says."""

from __future__ import annotations

import gzip
import json
import os
import shutil

import pytest
from caches import both, call, lines
from caches import settled as settled
from console import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from costaudit.ingest import _read, _state, formats, ingest
from costaudit.ingest._format import TableFormat

FOUND = {
    "chat": "".join(call(n) + "\n" for n in range(12)).encode(),
    "damaged": (lines(1, 2) + "{broken\n" + call(3, usage={"prompt_tokens": -5}) + "\n\n" + lines(4)).encode(),
    **{
        path.name: path.read_bytes()
        for name in ("codex", "claude-code", "otlp", "langfuse", "generic", "gemini-cli")
        for path in sorted((ROOT / "sample_logs" / "formats").rglob(f"{name}*"))[:1]
        if path.is_file()
    },
}
CHANGES = st.lists(
    st.tuples(st.sampled_from(["append", "truncate", "rewrite", "replace", "touch", "none"]), st.floats(0, 1)),
    min_size=1,
    max_size=3,
)


@given(name=st.sampled_from(sorted(FOUND)), start=st.floats(0, 1), changes=CHANGES)
@settings(max_examples=8)
def test_whatever_happens_to_a_file_the_cache_tells_what_the_file_says(tmp_path_factory, name, start, changes):
    """Grown at any byte, cut anywhere, changed in place with its size and time kept: never a stale figure."""
    folder = tmp_path_factory.mktemp("changes")
    log, cache, data = folder / "log", folder / "cache", FOUND[name]
    log.write_bytes(data[: int(start * len(data))] or b"{}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_state, "TICK_NS", 0)  # some states are kept, others are too new: both must be right
        told(log, cache)
        for change, where in changes:
            changed(log, data, change, where)
            told(log, cache)
    shutil.rmtree(folder)


def told(log, cache):
    outcome = [attempt(log, None), attempt(log, cache), attempt(log, cache)]
    assert outcome[0] == outcome[1] == outcome[2]


def attempt(log, cache):
    try:
        got = ingest([log], cache=cache)
    except Exception as problem:
        return str(problem)
    return got.requests.to_dicts(), got.rejects.to_dicts(), got.sources.to_dicts(), got.fates, got.notes


def changed(log, data, change, where):
    size, at = log.stat().st_size, int(where * log.stat().st_size)
    if change == "append":
        with log.open("ab") as file:
            file.write(data[size : size + 1 + int(where * 400)] or b"\n")
    elif change == "truncate":
        os.truncate(log, at)
    elif change == "rewrite":
        before = log.stat()
        with log.open("r+b") as file:
            file.seek(at)
            file.write(b"7"[: size - at])
        os.utime(log, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif change == "replace":
        beside = log.with_name("new")
        beside.write_bytes(data[at:])
        beside.replace(log)
    elif change == "touch":
        log.touch()


HELICONE = list(map(json.loads, (ROOT / "sample_logs" / "formats" / "helicone.jsonl").read_bytes().splitlines()))


@pytest.fixture
def beyond(monkeypatch, settled):
    """Bytes from which files were read on."""
    offsets = []
    original = _read.more

    def counted(file, known):
        offsets.append(known.offset)
        return original(file, known)

    monkeypatch.setattr(_read, "more", counted)
    monkeypatch.setattr(_state, "LEAST", 1)
    return offsets


def plain(size, first=0):
    """Lines of a format that reads each by itself; some are blank, some damaged, some of another such format."""
    odd = [b"\n", b"{broken\n", b'{"usage": 1}\n']
    numbers = range(first, first + 1 + size // 500)
    return b"".join(odd[n // 10 % 3] if n % 10 == 9 else row(n) for n in numbers)


def row(n):
    """A line of Helicone's, and a call of its own."""
    return json.dumps(HELICONE[n % len(HELICONE)] | {"request_id": f"r{n}"}).encode() + b"\n"


def test_a_file_that_has_grown_is_read_from_its_last_complete_line(tmp_path, beyond):
    log, cache = tmp_path / "log", tmp_path / "cache"
    log.write_bytes(plain(200_000))
    both(log, cache)
    sizes = []
    for n in range(3):
        sizes.append(log.stat().st_size)
        with log.open("ab") as file:
            file.write(plain(1_000, 5_000 * (n + 1)))
        read = both(log, cache)
        assert read.fates.balanced
    assert beyond == sizes
    assert read.requests["source_line"].max() > 400


STREAMED = (b"chat.completion.chunk", b'"message_', b'"content_block_', b'"iterations"', b'"ping"')


def test_every_format_that_is_read_on_gives_what_it_gives_as_a_whole(tmp_path, beyond):
    """A format whose rows depend on those beside them says so (`TableFormat.alone`), or this finds it out."""
    alone = [f.name for f in formats() if issubclass(f, TableFormat) and not hasattr(f, "reads") and f.alone]
    alone += ["openai-chat", "anthropic-messages", "otlp"]  # but for streams
    samples = [path for path in sorted((ROOT / "sample_logs" / "formats").glob("*.jsonl")) if path.stem in alone]
    for sample in samples:
        lines = [line for line in sample.read_bytes().splitlines(keepends=True) if not any(m in line for m in STREAMED)]
        text, log = b"".join(lines).rstrip(b"\n") + b"\n", tmp_path / sample.name
        log.write_bytes(text * (66_000 // len(text) + 1))
        ingest([log], cache=tmp_path / "cache")
        with log.open("ab") as file:
            file.write(b"".join(text.splitlines(keepends=True)[-2:]))
        both(log, tmp_path / "cache")
    assert len(beyond) == len(samples) > 3


@pytest.mark.parametrize(
    ("before", "then"),
    [
        (lambda data: data[:-20], lambda data: data[-20:]),  # cut within a line
        (lambda data: data, lambda _: b'{"type":"user","uuid":"1","parentUuid":null,"sessionId":"s"}\n'),  # a session
        (lambda data: gzip.compress(data), lambda data: gzip.compress(data)),
        (lambda data: data.decode().encode("utf-16"), lambda data: data.decode().encode("utf-16")[2:]),
    ],
    ids=["half a line", "a format that remembers", "gzip", "UTF-16"],
)
def test_what_cannot_be_read_on_is_read_as_a_whole(tmp_path, settled, monkeypatch, before, then):
    monkeypatch.setattr(_state, "LEAST", 1)
    log, cache, data = tmp_path / "log", tmp_path / "cache", plain(200_000)
    log.write_bytes(before(data))
    both(log, cache)
    for _ in range(2):
        with log.open("ab") as file:
            file.write(then(data))
        both(log, cache)


@given(data=st.data())
@settings(max_examples=5)
def test_growth_and_changes_in_any_order_give_what_the_file_says(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("grown")
    log, cache = folder / "log", folder / "cache"
    log.write_bytes(plain(90_000))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_state, "TICK_NS", -1_000_000_000)
        patch.setattr(_state, "COARSE_NS", -1_000_000_000)
        patch.setattr(_state, "LEAST", 1)
        attempt(log, cache)
        for _ in range(3):
            size = log.stat().st_size
            change = data.draw(st.sampled_from(["append", "append", "cut", "middle"]))
            with log.open("r+b") as file:
                if change == "middle":  # and grown, so that the size does not give it away
                    file.seek(data.draw(st.integers(0, size - 1)))
                    file.write(b"7")
                elif change == "cut":
                    file.truncate(size - data.draw(st.integers(1, 3_000)))
                file.seek(0, 2)
                more = plain(3_000, data.draw(st.integers(0, 10**6)))
                file.write(more[: data.draw(st.sampled_from([len(more), len(more), len(more) // 2, 1]))])
            told(log, cache)
