"""`generic`: whatever carries the request table's names, by itself or by the settings, is read by them."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from decimal import Decimal

import polars as pl
import pytest
from console import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from costaudit import schema
from costaudit.config import Columns
from costaudit.errors import ConfigError
from costaudit.ingest import ingest

SAMPLE = ROOT / "sample_logs" / "formats" / "generic.csv"
CALL = {"started_at": "2026-09-01T08:00:00Z", "model": "gpt-4o", "input_tokens": 100, "output_tokens": 20}


def log(path, *rows):
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


@pytest.fixture
def one(tmp_path):
    """The one request that a record of these columns becomes."""

    def read(columns=None, **values):
        found = ingest([log(tmp_path / "log.jsonl", CALL | values)], columns=columns or {})
        assert found.fates.balanced
        assert found.requests.height == 1, found.rejects
        return found.requests.row(0, named=True)

    return read


def test_the_sample_reads_as_it_is_meant():
    read = ingest([SAMPLE])
    fates = read.fates
    assert fates.balanced
    assert (fates.lines, fates.requests, fates.duplicates) == (6, 4, 1)
    assert fates.rejects == {"input_tokens: not a token count": 1}
    requests = read.requests
    assert requests["input_tokens"].drop_nulls().to_list()[:2] == [1200, 1500]
    assert requests["cache_read_tokens"].sum() == 800
    assert requests["status"].to_list() == ["ok", "ok", "error", "ok"]
    assert requests["usage_source"].to_list() == ["provider", "provider", "absent", "tokenizer"]
    assert requests["started_at"].to_list() == [datetime(2026, 9, 1, 8, 0, s, tzinfo=UTC) for s in (0, 5, 10, 20)]
    assert requests["extras"].to_list()[1] == [{"class": "web_search", "quantity": Decimal(2)}]
    assert read.notes == (f"{SAMPLE.as_posix()}: columns that are not understood and were left out: 'team_colour'",)


def test_a_table_gives_the_same_requests_as_csv_lines_and_parquet(tmp_path):
    with SAMPLE.open() as file:
        rows = list(csv.DictReader(file))
    log(tmp_path / "log.jsonl", *({k: v for k, v in row.items() if v} for row in rows))
    pl.DataFrame(rows).with_columns(pl.all().replace("", None)).write_parquet(tmp_path / "log.parquet")
    (tmp_path / "log.tsv").write_text(
        "\n".join("\t".join(row) for row in csv.reader(SAMPLE.read_text().splitlines())).replace('{"web', '{"web')
    )
    names = [n for n in schema.REQUESTS if not n.startswith("source_")]
    want = ingest([SAMPLE]).requests.select(names)
    for name in ("log.jsonl", "log.parquet", "log.tsv"):
        assert ingest([tmp_path / name]).requests.select(names).equals(want), name


def test_the_request_table_reads_back_as_itself(tmp_path):
    calls = [
        {"request_id": "call-1-of-the-table", "messages": [{"role": "user", "content": "one"}], "response": "x",
         "extras": {"file_search": 3}, "service_tier": "flex", "cost_logged_usd": "0.000123", "tool_name": "look",
         "tool_args": {"q": 1}, "tool_result": "nothing", "tools": [{"name": "look"}], "rollup": False},
        {"request_id": "call-2-of-the-table", "cache_write_tokens": 40, "cache_write_1h_tokens": 10, "score": 0.5,
         "tool_calls": [{"id": "t1", "name": "look", "args": {"q": 2}}],
         "tool_results": [{"id": "t0", "result": "5 rows", "error": False}]},
    ]  # fmt: skip
    first = ingest([log(tmp_path / "first.jsonl", *(CALL | call for call in calls))]).requests
    first.write_parquet(tmp_path / "table.parquet")
    again = ingest([tmp_path / "table.parquet"])
    same = [n for n in schema.REQUESTS if not n.startswith("source_")]
    assert again.requests.select(same).to_dicts() == first.select(same).to_dicts()
    assert again.fates.balanced


@pytest.mark.parametrize(
    ("given", "column", "value"),
    [
        ({"status": "SUCCESS"}, "status", "ok"),
        ({"status": 503}, "status", "error"),
        ({"status": "canceled"}, "status", "cancelled"),
        ({"service_tier": "default"}, "service_tier", None),
        ({"finish_reason": "max_tokens"}, "finish_reason", "length"),
        ({"cost_logged_usd": "$1,234.5"}, "cost_logged_usd", Decimal("1234.5")),
        ({"extras": '[{"class": "pages", "quantity": 2}]'}, "extras", [{"class": "pages", "quantity": Decimal(2)}]),
        ({"extras": {"pages": 0}}, "extras", None),
        ({"fees": {"web_search": "3"}}, "extras", [{"class": "web_search", "quantity": Decimal(3)}]),
        ({"http_status": "teapot"}, "http_status", None),
        ({"ended_at": "never"}, "ended_at", None),
        ({"started_at": 1_788_249_600_000}, "started_at", datetime(2026, 9, 1, 8, tzinfo=UTC)),
        ({"timestamp": "2026-09-02", "started_at": None}, "started_at", datetime(2026, 9, 2, tzinfo=UTC)),
        ({"request_sha": 2**64 - 1}, "request_sha", 2**64 - 1),
        ({"metadata": {"tenant": "acme"}}, "tenant", "acme"),
        ({"input_tokens": None, "usage": {"prompt_tokens": 7}}, "input_tokens", 7),
        ({"input_tokens": None, "prompt_tokens": 8}, "input_tokens", 8),
        ({"gateway_cache_hit": "True"}, "gateway_cache_hit", True),
    ],
)  # fmt: skip
def test_a_value_is_read_for_what_it_is(one, given, column, value):
    assert one(**given)[column] == value


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"input_tokens": -1}, "input_tokens: not a token count"),
        ({"cache_read_tokens": "many"}, "cache_read_tokens: not a token count"),
        ({"extras": {"web_serch": 1}}, "extras: not a usage class"),
        ({"extras": {"web_search": -1}}, "extras: not a quantity"),
        ({"extras": {"web_search": "NaN"}}, "extras: not a quantity"),
        ({"extras": "two searches"}, "extras: not a list of usage classes"),
        ({"started_at": "soon"}, "started_at: not a time"),
    ],
)
def test_a_value_that_would_change_the_bill_is_refused_with_its_reason(tmp_path, given, reason):
    read = ingest([log(tmp_path / "log.jsonl", CALL, CALL | given)])
    assert (read.requests.height, list(read.fates.rejects)) == (1, [reason])
    assert read.fates.balanced


def test_the_settings_translate_names_wherever_they_stand(one):
    names = {"input_tokens": "meter.tokens.in", "output_tokens": "out", "tenant": "gen_ai.tenant", "prompt": "q"}
    row = one(names, **{"input_tokens": None, "output_tokens": None, "meter": {"tokens": {"in": 11}}, "out": "12",
                        "gen_ai.tenant": "acme", "q": "text"})  # fmt: skip
    assert (row["input_tokens"], row["output_tokens"], row["tenant"]) == (11, 12, "acme")
    assert row["request_sha"] is not None


def test_each_file_has_the_first_mapping_whose_pattern_fits(tmp_path):
    log(tmp_path / "a.jsonl", {"model": "m", "x": 1, "y": 2})
    log(tmp_path / "b.jsonl", {"model": "m", "x": 3, "y": 4})
    swapped = Columns({"input_tokens": "y", "output_tokens": "x"}, "b.jsonl")
    read = ingest([tmp_path], columns=[swapped, Columns({"input_tokens": "x", "output_tokens": "y"})])
    assert read.requests.select("input_tokens", "output_tokens").rows() == [(1, 2), (4, 3)]


def test_a_mapping_to_no_column_is_an_error_that_suggests_one():
    with pytest.raises(ConfigError, match="no column 'input_token'") as problem:
        ingest([SAMPLE], columns={"input_token": "x"})
    assert "input_tokens" in problem.value.hint


def test_a_mapping_that_no_record_has_is_noted(tmp_path):
    read = ingest([log(tmp_path / "log.jsonl", CALL)], columns={"tenant": "account"})
    assert [note.partition(": ")[2] for note in read.notes] == [
        "columns of the settings that no record has: tenant ('account')"
    ]


@pytest.mark.parametrize(
    ("usage", "input_tokens"),
    [
        ({"input_tokens": 100, "cache_read_tokens": 60}, 100),  # the table's names: inside
        ({"prompt_tokens": 100, "cached_tokens": 60}, 100),  # OpenAI's: inside
        ({"input_tokens": 100, "cache_read_input_tokens": 60}, 160),  # Anthropic's: beside
        ({"input_tokens": 100, "cache_read_tokens": 60, "total_tokens": 180}, 160),  # 100 + 60 + 20: beside
        ({"input_tokens": 100, "cache_read_tokens": 60, "uncached_tokens": 40}, 100),  # 100 - 60: inside
        ({"input_tokens": 40, "cache_read_tokens": 60}, 100),  # cannot be inside
    ],
)
def test_cached_input_is_inside_the_input_unless_names_or_counts_say_otherwise(tmp_path, usage, input_tokens):
    read = ingest([log(tmp_path / "log.jsonl", {"model": "m", "output_tokens": 20} | usage)])
    assert read.requests["input_tokens"].item() == input_tokens


@pytest.mark.parametrize(
    "row",
    [
        {"model": "gpt-4o", "input_tokens": 59_200, "output_tokens": 10, "num_model_requests": 10},
        {"model": "gpt-4o", "comment": "no counts, no text"},
        {"input_tokens": 5, "comment": "no model and one count"},
        {"usage": {"prompt_tokens": 5, "completion_tokens": 5}, "comment": "no model"},
    ],
)
def test_what_is_no_call_is_not_read_as_one(tmp_path, row):
    read = ingest([log(tmp_path / "log.jsonl", row)])
    assert read.requests.is_empty()
    assert read.fates.balanced


def test_row_numbers_are_no_identity_but_delivered_twice_is_once(tmp_path):
    day = [CALL | {"request_id": n, "output_tokens": n} for n in range(3)]
    log(tmp_path / "monday.jsonl", *day)
    log(tmp_path / "tuesday.jsonl", *(row | {"started_at": "2026-09-02T08:00:00Z"} for row in day))
    log(tmp_path / "copy_of_monday.jsonl", *day)
    read = ingest([tmp_path])
    assert (read.fates.requests, read.fates.duplicates) == (6, 3)


def test_text_becomes_hashes_and_leaves_nothing_behind(one):
    secret = "the quick brown fox"
    row = one(system=secret, prompt=secret, response=secret, tool_args=secret, tool_result=secret, has_text=None)
    assert secret not in str(row)
    for column in ("system_sha", "request_sha", "output_sha", "tool_args_sha", "tool_result_sha", "template_sha"):
        assert row[column] is not None, column


def test_a_conversation_given_as_text_or_as_messages_chains_alike(one):
    asked = one(messages=[{"role": "user", "content": "a"}], response="b")
    followed = one(
        messages=[*({"role": r, "content": c} for r, c in (("user", "a"), ("assistant", "b"), ("user", "c")))]
    )
    assert asked["block_sha"] == one(prompt="a")["block_sha"] == followed["block_sha"][:1]
    assert asked["reply_sha"] == followed["block_sha"][1]


lines = SAMPLE.read_bytes().splitlines()[1:]


@given(
    st.lists(
        st.tuples(st.sampled_from(lines), st.integers(0, 200), st.binary(max_size=3)).map(
            lambda cut: (cut[0][: cut[1]] + cut[2] + cut[0][cut[1] :]).replace(b"\0", b" ")
        ),
        max_size=8,
    )
)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_mangled_row_is_lost(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("generic") / "log.csv"
    path.write_bytes(b"\n".join([SAMPLE.read_bytes().splitlines()[0], lines[0], *rows]))
    read = ingest([path])
    assert read.fates.balanced
    assert read.fates.requests >= 1
