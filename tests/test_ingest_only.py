"""A reading of some columns: what was asked for, and every count, is what a reading of all columns gives."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import SAMPLES, sample
from test_ingest_fast import respelled
from test_together import CALL, LINES

from costaudit import schema
from costaudit.errors import ConfigError
from costaudit.ingest import _pool, _table, _transcript_sums, _values, claude_code, formats, ingest
from costaudit.ingest._format import TableFormat
from costaudit.ingest._read import read_files
from costaudit.ingest._transcript_sums import UNREAD
from costaudit.totals import _read

PLACES = ("source_file", "source_line", "source_offset", "format")
SUMS = (
    *(column.name for column in schema.REQUEST if column.group in ("model", "usage")),
    *("request_id", "started_at", "parent_id", "key_id", "cost_logged_usd"),
)
SPENT = _read(("model", "started_at"))
ASKED = [
    SUMS,
    (*SUMS, "task", "run_id", "run_source"),
    ("tool_calls", "tool_results", "output_tokens"),
    ("request_sha", "started_at"),
    ("model",),
    SPENT,
    ("tenant", "streamed", "ttft_s"),
    ("finish_reason",),
]
LOG = sample("claude-code.jsonl")


@cache
def samples():
    return ingest([SAMPLES])


def agrees(whole, part, only):
    """Whether both readings of one log say the same, as far as it was asked."""
    asked = list(dict.fromkeys((*PLACES, *only)))
    assert part.requests.select(asked).equals(whole.requests.select(asked))
    assert part.requests.schema == schema.REQUESTS
    assert part.notes == whole.notes
    assert part.fates.balanced
    by_head = sum(number for kind, number in part.fates.skipped.items() if kind.endswith(UNREAD))
    if not by_head:
        assert part.rejects.equals(whole.rejects)
        assert part.sources.equals(whole.sources)
        assert part.fates == whole.fates
        return
    # Rows of which only the beginning was read bill nothing; damage further on is not seen, and so they are told apart.
    both = ("lines", "requests", "duplicates", "rollups", "blank")
    assert [getattr(part.fates, name) for name in both] == [getattr(whole.fates, name) for name in both]
    unseen = whole.rejects.join(part.rejects, on=whole.rejects.columns, how="anti", nulls_equal=True)
    assert unseen.height == whole.rejects.height - part.rejects.height <= by_head
    assert unseen["reason"].str.starts_with("not JSON").all()


@pytest.mark.parametrize(
    "only", ASKED, ids=["sums", "runs", "tools", "prompts", "one column", "spend", "leaves", "ends"]
)
def test_every_format_gives_the_columns_it_is_asked_for(only):
    agrees(samples(), ingest([SAMPLES], only=only), only)


def as_written(row):
    """The row with its keys in the order in which Claude Code writes them."""
    first = ("parentUuid", "isSidechain", "userType", "cwd", "sessionId", "agentId", "type", "message")
    if isinstance(row.get("message"), dict):
        row["message"] = {k: row["message"][k] for k in ("role", "content") if k in row["message"]} | row["message"]
    return json.dumps({k: row[k] for k in first if k in row} | row, separators=(",", ":"))


WRITTEN = [as_written({"parentUuid": None, "isSidechain": False} | json.loads(line)) for line in LOG]
TIMELESS = [as_written({k: v for k, v in json.loads(line).items() if k != "timestamp"}) for line in WRITTEN]


@given(
    st.lists(respelled(LOG) | respelled(WRITTEN) | respelled(WRITTEN + TIMELESS), min_size=1, max_size=2),
    st.sampled_from(ASKED[:3]),
    st.sampled_from([0, claude_code.LONG]),
)
@settings(max_examples=40, deadline=None)
def test_any_log_gives_the_columns_it_is_asked_for(logs, only, long):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(claude_code, "LONG", long)
        patch.setattr(_transcript_sums, "LONG", long)
        for n, data in enumerate(logs):
            (Path(folder) / f"{n}.jsonl").write_bytes(data)
        agrees(ingest([folder]), ingest([folder], only=only), only)


ASKS = {"model": "gpt-4o", "messages": [{"role": "user", "content": "how long is a piece of string?"}]}
SAYS = {"choices": [{"message": {"role": "assistant", "content": "as long as you like"}}]}
CALLS = [
    *LINES.values(),
    json.dumps({"request": ASKS, "response": CALL | SAYS}),
    json.dumps({"request": ASKS, "response": CALL | SAYS | {"usage": {"prompt_tokens": "7", "completion_tokens": 2}}}),
    json.dumps({"request": ASKS, "response": CALL | SAYS | {"usage": None}}),  # estimated from what it says
    json.dumps({"request": ASKS, "error": "overloaded", "status_code": 529}),
    json.dumps({"request": ASKS, "response": CALL | {"usage": {"prompt_tokens": 2, "completion_tokens": "many"}}}),
    *sample("litellm.jsonl"),
]


@given(st.lists(st.lists(st.sampled_from(CALLS), max_size=9), min_size=1, max_size=3), st.sampled_from([0, 1 << 20]))
@settings(max_examples=8, deadline=None)
def test_calls_that_wait_without_their_lines_give_what_they_give_at_once(files, large):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        for n, lines in enumerate([*files, CALLS[:1]]):
            (Path(folder) / f"{n}.jsonl").write_text("\n".join(map(str, lines)))
        patch.setattr(_table, "LARGE", -1)
        patch.setattr(_table, "SMALL", -1)
        whole = ingest([folder])
        patch.setattr(_table, "LARGE", large)
        patch.setattr(_table, "BATCH", 4)
        patch.setattr(_table, "TOLD", 4)
        agrees(whole, ingest([folder], only=SUMS), SUMS)
        assert ingest([folder]).requests.equals(whole.requests)


LEFT = [
    json.dumps({"response": SAYS | {"object": None, "choices": [{"finish_reason": "stop", "message": {}}]}}),
    json.dumps({"request": ASKS, "response": CALL | SAYS, "tenant": "a", "score": "high", "step": -1, "task": 7}),
    json.dumps({"request": ASKS | {"temperature": "hot", "max_tokens": "all"}, "response": CALL | {"stream": "yes"}}),
]


@given(st.lists(st.sampled_from(CALLS + LEFT), min_size=1, max_size=9), st.sampled_from([SPENT, ("score", "model")]))
@settings(max_examples=15, deadline=None)
def test_columns_that_are_not_wanted_change_no_others(lines, only):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "log.jsonl").write_text("\n".join(map(str, [CALLS[0], *lines])))
        agrees(ingest([folder]), ingest([folder], only=only), only)


def test_what_is_no_leaf_for_its_values_may_be_refused_is_always_read():
    never = {_values.text, _values.flag}
    for form in formats():
        if issubclass(form, TableFormat):
            fields = form().table()
            readers = [field.reader.one for name in form.leaves & fields.keys() for field in fields[name]]
            assert all(read in never or "lenient" in read.__qualname__ for read in readers)


def test_a_record_that_has_a_sign_which_is_not_read_is_of_its_format(tmp_path):
    call = {"object": "chat.completion", "model": "m", "usage": {"prompt_tokens": 7, "completion_tokens": 2}}
    sign = {"choices": [{"finish_reason": "stop"}]}
    (tmp_path / "log.jsonl").write_text(f"{json.dumps(call | sign)}\n" * 5 + f"{json.dumps(sign)}\n{{}}\n")
    whole, part = ingest([tmp_path]), ingest([tmp_path], only=SPENT)
    assert whole.fates.requests == 6
    agrees(whole, part, SPENT)


def test_a_reading_of_some_columns_is_not_kept_and_takes_what_a_whole_one_has_kept(tmp_path):
    only, cache = ("model", "output_tokens"), tmp_path / "cache"
    ingest([SAMPLES], cache=cache, only=only)
    assert not [path for path in cache.rglob("*") if path.is_file()]
    whole = ingest([SAMPLES], cache=cache)
    assert ingest([SAMPLES], cache=cache, only=only).requests.equals(whole.requests)


def rows(*kinds, **more):
    """A transcript of such rows, one after the other, the user's long."""
    for n, kind in enumerate(kinds):
        usage = {"input_tokens": 10, "output_tokens": 5}
        said = {"id": f"msg_{n}", "model": "claude-opus-5", "content": [], "usage": usage}
        message = said if kind == "assistant" else {"content": "x" * claude_code.LONG}
        head = {"parentUuid": None, "isSidechain": False, "sessionId": "s", "type": kind, "message": message}
        yield json.dumps(
            head | {"uuid": f"u{n}", "timestamp": f"2026-09-01T08:00:{n:02}Z"} | more, separators=(",", ":")
        )


def test_long_rows_that_bill_nothing_are_counted_by_their_beginning(tmp_path):
    (tmp_path / "log.jsonl").write_text("\n".join(rows("user", "assistant", "user", "assistant")))
    part = ingest([tmp_path], only=SUMS)
    assert part.fates.skipped == {f"user{UNREAD}": 2}
    assert part.requests["output_tokens"].sum() == 10
    agrees(ingest([tmp_path]), part, SUMS)


def test_a_long_prompt_is_read_where_runs_are_wanted_and_a_long_result_of_a_tool_is_not(tmp_path):
    prompt, answer, result, last = rows("user", "assistant", "user", "assistant")
    sent = [{"tool_use_id": "t", "type": "tool_result", "content": "y" * claude_code.LONG}]
    said = json.loads(result) | {"message": {"role": "user", "content": sent}}
    (tmp_path / "log.jsonl").write_text("\n".join([prompt, answer, as_written(said), last]))
    part = ingest([tmp_path], only=ASKED[1])
    assert part.fates.skipped == {"user": 1, f"user{UNREAD}": 1}
    assert part.requests["run_id"].to_list() == ["s:u0"] * 2
    agrees(ingest([tmp_path]), part, ASKED[1])


def test_a_result_of_a_tool_is_no_prompt_though_a_byte_of_it_is_not_utf8(tmp_path):
    prompt, answer, last = rows("user", "assistant", "assistant")
    sent = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t?", "content": "x"}]}
    said = as_written(json.loads(prompt) | {"uuid": "u", "message": sent}).encode().replace(b"t?", b"t\xff")
    (tmp_path / "log.jsonl").write_bytes(b"\n".join([prompt.encode(), answer.encode(), said, last.encode()]))
    whole = ingest([tmp_path])
    assert whole.requests["run_id"].to_list() == ["s:u0"] * 2
    agrees(whole, ingest([tmp_path], only=ASKED[1]), ASKED[1])


def test_a_long_row_that_is_cut_is_looked_into(tmp_path):
    first, second = rows("user", "assistant")
    (tmp_path / "log.jsonl").write_text(f"{first[:-40]}\n{second}\n{second}")
    part = ingest([tmp_path], only=SUMS)
    assert sum(part.fates.rejects.values()) == 1
    agrees(ingest([tmp_path]), part, SUMS)


def test_a_call_without_a_time_takes_that_of_the_row_before_it_and_so_that_row_is_read(tmp_path):
    (first,), (second,) = rows("user"), rows("assistant", timestamp=None)
    (tmp_path / "log.jsonl").write_text(f"{first}\n{second}")
    part = ingest([tmp_path], only=SUMS)
    assert part.requests["started_at"].null_count() == 0
    assert part.fates.skipped == {"user": 1}
    agrees(ingest([tmp_path]), part, SUMS)


@given(st.lists(st.sampled_from(WRITTEN), min_size=4, max_size=14), st.sampled_from([700, 2_000]))
@settings(max_examples=15, deadline=None)
def test_a_transcript_read_in_slices_gives_what_it_gives_as_a_whole(lines, size):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        (Path(folder) / "log.jsonl").write_text("\n".join(lines))
        whole = ingest([folder], only=SUMS)
        patch.setattr(_pool, "SHARE", size)
        patch.setattr(_pool, "cores", lambda: 2)
        patch.setattr(_pool, "WORTH", 1)
        patch.setattr(_pool, "_Pool", Alone)
        agrees(whole, ingest([folder], only=SUMS), SUMS)


class Alone:
    """The pool, without processes."""

    def __init__(self, asked, groups, workers, told):
        self.asked, self.groups, self.told = asked, groups, told
        assert workers == 2 <= len(groups)

    def run(self):
        return [read for group in self.groups for read in read_files([self.asked[n] for n in group])]


def test_a_column_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match="outputs: no column of requests"):
        ingest([SAMPLES], only=["outputs"])
