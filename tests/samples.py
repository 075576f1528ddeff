"""Log samples for the tests of formats: the committed ones, the real ones, and how lines of them get damaged."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from console import ROOT
from hypothesis import strategies as st

from costaudit.ingest import ingest

SAMPLES = ROOT / "sample_logs" / "formats"
TOKENS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
)


def sample(name):
    return (SAMPLES / name).read_text(encoding="utf-8").splitlines()


def read(*logs):
    """Ingest logs given as lists of lines or records, each in a file of its own."""
    with tempfile.TemporaryDirectory() as folder:
        for n, log in enumerate(logs):
            lines = [line if isinstance(line, (str, bytes)) else json.dumps(line) for line in log]
            data = b"\n".join(line if isinstance(line, bytes) else line.encode("utf-8", "replace") for line in lines)
            (Path(folder) / f"{n}.jsonl").write_bytes(data + b"\n")
        return ingest([folder])


def spent(read):
    """Calls and tokens by class: what the log bills, roll-ups left out."""
    calls = read.requests.filter(~read.requests["rollup"].fill_null(value=False))
    return (calls.height, *(int(calls[name].sum()) for name in TOKENS))


def window(read):
    known = read.requests["started_at"].drop_nulls()
    return (f"{known.min():%F %T}", f"{known.max():%F %T}") if len(known) else None


def fates(read):
    f = read.fates
    assert f.balanced
    return {"duplicates": f.duplicates, "rollups": f.rollups, "rejects": sum(f.rejects.values())}


@st.composite
def mangled(draw, lines):
    """Some of the lines, each perhaps cut, with a byte or a value changed, or twice; the last one is sound."""
    made = []
    for line in draw(st.lists(st.sampled_from(lines), min_size=1, max_size=12)):
        how = draw(st.sampled_from(["keep", "keep", "cut", "byte", "value", "key", "twice"]))
        data = line.encode()
        at = draw(st.integers(0, max(0, len(data) - 1)))
        if how == "cut":
            data = data[:at]
        elif how == "byte":
            data = data[:at] + bytes([draw(st.integers(1, 255))]) + data[at + 1 :]
        elif how in ("value", "key"):
            data = json.dumps(_changed(draw, json.loads(line), drop=how == "key")).encode()
        made += [data.replace(b"\n", b" ")] * (2 if how == "twice" else 1)
    return [*made, lines[-1].encode()]


ODD = [None, -1, 0, 7, "7", 2**70, 1.5, "", "x", [], [1], {}, {"a": None}, True, "NaN"]


def _changed(draw, record, *, drop):
    """The record with one value anywhere in it replaced by an odd one, or its key removed."""
    place = record
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return record
        key = draw(st.sampled_from(keys))
        below = place[key]
        if not isinstance(below, (dict, list)) or not below or draw(st.booleans()):
            break
        place = below
    if drop:
        del place[key]
    else:
        place[key] = draw(st.sampled_from(ODD))
    return record
