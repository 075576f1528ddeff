"""Formats are asked only about records that may be theirs; what is left out would have said no."""

from __future__ import annotations

import subprocess
import sys
from random import Random

import pytest
from console import ROOT
from hypothesis import given
from hypothesis import strategies as st

from costaudit import kept
from costaudit.ingest import _detect, _marks, formats
from costaudit.ingest._decode import parsed
from costaudit.ingest._files import LogFile, Record, records
from costaudit.ingest._format import Format


def _records():
    for path in sorted((ROOT / "sample_logs" / "formats").iterdir()):
        items = [item for batch in records(LogFile(path, path.name)) for item in batch if isinstance(item, Record)]
        for item in items[:3]:
            value = item.data if isinstance(item.data, dict) else parsed(item.data)
            if isinstance(value, dict):
                yield value


RECORDS = list(_records())
KEYS = sorted({key for value in RECORDS for key in value})
TOP, INSIDE = (_marks.Index(marks) for marks in (lambda found: (found.top, found.inside))(_marks.found_out(formats())))


def yes(value, forms):
    """Who recognises the object, of all that there are."""
    return {form.__module__ for form in forms if form().recognises(value) > 0}


def test_most_formats_say_what_they_look_for():
    assert len(TOP.always) < 10
    assert not INSIDE.always


@given(value=st.sampled_from(RECORDS), left=st.sets(st.sampled_from(KEYS), max_size=20), seed=st.integers(0, 99))
def test_every_format_that_recognises_an_object_is_asked(value, left, seed):
    """Samples, samples without some of their keys, and their values under the keys of others."""
    random = Random(seed)
    changed = {random.choice(KEYS) if random.random() < 0.2 else key: v for key, v in value.items() if key not in left}
    for one in (value, changed, *(child for child in value.values() if isinstance(child, dict))):
        assert yes(one, formats()) <= TOP.of(one)
        assert yes(one, [form for form in formats() if form.wrappable]) <= INSIDE.of(one)


@pytest.mark.parametrize(
    "looks",
    [
        lambda record: any(key.endswith("tokens") for key in record),
        lambda record: bool({key.lower() for key in record.keys()} & {"usage"}),  # noqa: SIM118
        lambda record: len(record) > 3,
        lambda record: {**record}.get("usage") is not None,
        lambda record: not record.keys() - {"usage"},
        lambda record: bool(record) and "usage" in dict(record),
        lambda record: next(iter(record.values()), None) == 1,
        lambda record: "usage" not in record,
    ],
)
def test_a_format_that_looks_at_all_keys_is_always_asked(looks):
    class Some(Format):
        def recognises(self, record):
            try:
                return 50 if looks(record) else 0
            except Exception:
                return 0

    assert _marks._looked_for(Some()) == ()


@pytest.mark.parametrize(
    ("looks", "keys"),
    [
        (lambda record: record.get("a") == 1 or "b" in record, ("a", "b")),
        (lambda record: {"a", "b"} <= record.keys(), ("a", "b")),
        (lambda record: {"a", "b"} & record.keys(), ("a", "b")),
        (lambda record: record.get("a") and "c" in record, ("a",)),
        (lambda record: "a" in record.keys(), ("a",)),  # noqa: SIM118
    ],
)
def test_keys_that_are_looked_for_are_noted(looks, keys):
    class Some(Format):
        def recognises(self, record):
            return 50 if looks(record) else 0

    assert _marks._looked_for(Some()) == keys


def test_what_formats_look_for_is_kept_and_found_out_again_where_it_is_damaged(monkeypatch, tmp_path):
    monkeypatch.setenv("COSTAUDIT_CACHE_DIR", str(tmp_path))
    asked = []

    def forms():
        asked.append(1)
        return formats()

    found = _marks.indexes.__wrapped__
    first = found(forms)
    assert [index.by_key for index in found(forms)] == [index.by_key for index in first]
    assert len(asked) == 1
    (path,) = tmp_path.rglob("*.answer")
    for damage in (b"", path.read_bytes()[:-1]):
        path.write_bytes(damage)
        assert found(forms)[0].always == first[0].always
    kept.keep(path, b"\xc0")
    found(forms)
    assert len(asked) == 4


def test_only_formats_that_a_log_may_be_of_are_imported():
    _marks.indexes(formats)  # now it is known what each looks for
    program = f"""
import sys
from costaudit.ingest import ingest
assert ingest([{str(ROOT / "sample_logs" / "formats" / "openai-chat.jsonl")!r}]).requests.height
print(len([name for name in sys.modules if name.startswith("costaudit.ingest.") and not name.split(".")[-1][0] == "_"]))
"""
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(run.stdout) < len(formats()) / 2


def test_the_one_instance_of_a_format_is_the_one_that_reads():
    assert {_detect._of(form.__module__) for form in formats()} == set(_detect._instances(()))


def test_a_closed_format_is_no_answer_whose_request_stands_elsewhere():
    """Where one is sure, nothing that stands inside the record is looked at any more."""
    assert not [form for form in formats() if form.closed and form.wrappable]
