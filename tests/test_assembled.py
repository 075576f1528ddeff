"""Requests of long logs stand in files, piece by piece: they are what they are in memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costaudit import schema, scratch
from costaudit.data import bundled
from costaudit.ingest import _assembled, _identity, _tree, ingest
from costaudit.ingest._answers import Answers, packed, unpacked
from costaudit.ingest._files import walk
from costaudit.ingest._identity import ROWS, apart
from costaudit.ingest._ingest import JOINED
from costaudit.ingest._read import read_files
from costaudit.ingest._stretch import Stretch, cut, whole

START = datetime(2026, 9, 1, tzinfo=UTC)


@pytest.fixture
def small(monkeypatch):
    """Everything is long, and pieces are short."""
    monkeypatch.setattr(_assembled, "PIECE", 700)
    monkeypatch.setattr(_assembled, "LONG", 0)
    monkeypatch.setattr(_identity, "AT_ONCE", 50)
    monkeypatch.setattr(_tree, "AT_ONCE", 3)
    monkeypatch.setattr(_tree, "MARKED", 11)


def test_a_log_read_piece_by_piece_is_the_log_read_at_once(request):
    logs = bundled("sample_logs")
    paths = [logs / "demo", *sorted((logs / "formats").glob("otlp*"))]
    whole = ingest(paths)
    request.getfixturevalue("small")
    pieces = ingest(paths)
    assert pieces.requests.equals(whole.requests)
    assert pieces.identities.equals(whole.identities)
    assert pieces.sources.equals(whole.sources)
    assert (pieces.fates, pieces.notes) == (whole.fates, whole.notes)


def test_a_tree_of_all_spans_says_what_that_of_the_linked_ones_says(monkeypatch):
    """So names may be compared by hashes: one too many does no harm."""
    paths = sorted((bundled("sample_logs") / "formats").glob("otlp*"))
    linked = ingest(paths)
    monkeypatch.setattr(_tree, "_linked", lambda own, _: own["labelled"] | True)
    every = ingest(paths)
    assert every.requests.equals(linked.requests)
    assert every.identities.equals(linked.identities)
    assert every.notes == linked.notes


ROW = st.fixed_dictionaries(
    {
        "_key": st.sampled_from([None, "a", "b", "c", "a much longer identity of a call"]),
        "_rank": st.sampled_from([None, 1, 2]),
        "_rows": st.sampled_from([None, 1, 3]),
        "output_tokens": st.sampled_from([None, 5, 9]),
        "tenant": st.sampled_from([None, "t", "a tenant with a name that is long"]),
        "block_sha": st.sampled_from([None, [], [1, 2, 3]]),
        "started_at": st.sampled_from([None, *(START + timedelta(seconds=n) for n in range(4))]),
        "source_file": st.sampled_from(["one.jsonl", "another.jsonl"]),
    }
)


@given(st.lists(ROW, max_size=40), st.integers(1, 9), st.integers(1, 9))
@settings(max_examples=12, deadline=None)
def test_calls_are_the_same_for_any_size_of_piece(rows, piece, copies):
    told = [row | {"source_line": n, "format": "generic"} for n, row in enumerate(rows)]
    frames = [
        whole(schema.narrow(pl.DataFrame(told[n : n + 3], schema_overrides=_types(told)), ROWS))
        for n in range(0, len(told), 3)
    ]
    at_once, said = _assembled.requests(_assembled.rows(frames, ROWS, JOINED))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_assembled, "PIECE", piece)
        patch.setattr(_assembled, "LONG", 0)
        patch.setattr(_identity, "AT_ONCE", copies)
        found = _assembled.rows(frames, ROWS, JOINED)
        pieces, same = _assembled.requests(found)
        assert apart(found).best["_key"].is_unique().all()
    assert pieces.select(at_once.columns).equals(at_once)
    assert same.equals(said)


def _types(rows):
    return {name: ROWS[name] for row in rows for name in row}


def test_answers_that_wait_in_a_file_are_those_that_came():
    asked = [(file, {}) for file in walk([bundled("sample_logs") / "demo"])]
    answers, direct = Answers(0), read_files(asked)
    for n, of in enumerate(asked):
        answers.add([n], packed(read_files([of])) if n % 2 else read_files([of]))
    found = answers.reads([file for file, _ in asked])
    assert sorted(found) == list(range(len(asked)))
    for n, read in enumerate(direct):
        assert found[n].file is asked[n][0]
        assert (found[n].lines, found[n].skipped, found[n].rejects) == (read.lines, read.skipped, read.rejects)
        assert _all(found[n].frames).equals(_all(read.frames))
    assert scratch.size() > 0


def _all(frames):
    return schema.conform(pl.concat([ROWS.to_frame(), *cut(frames)], how="diagonal"), ROWS)


def test_rows_that_go_on_in_one_table_are_cut_once():
    one, other = pl.DataFrame({"a": range(6)}), pl.DataFrame({"a": [7]})
    asked = [(one, 0, 2), (one, 2, 3), (other, 0, 1), (one, 5, 1), (one, 1, 2)]
    assert [frame["a"].to_list() for frame in cut(Stretch(*of) for of in asked)] == [[0, 1, 2, 3, 4], [7], [5], [1, 2]]


def test_what_is_packed_is_unpacked():
    asked = [(file, {}) for file in walk([bundled("sample_logs") / "formats"])][:20]
    given_, back = read_files(asked), unpacked(packed(read_files(asked)))
    for read, same in zip(given_, back, strict=True):
        assert (read.file, read.lines, read.problem, read.notes) == (same.file, same.lines, same.problem, same.notes)
        assert _all(read.frames).equals(_all(same.frames))
