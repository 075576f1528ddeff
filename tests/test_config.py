"""costaudit.yaml: what it can say, and how it answers to what it cannot."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from costaudit.config import FILE_NAME, Settings, load_assignment
from costaudit.errors import ConfigError

KNOWN = {
    "runaway-loop": {"repetitions": 3, "polling_gap_s": 20.0, "polling_tools": (), "min_usd": Decimal(1)},
    "cache-miss": {"block": 512, "strict": False, "owner": None},
}
ALIASES = {"stuck-loop": "runaway-loop"}


@pytest.fixture
def write(tmp_path: Path):
    def write_file(content: str | bytes, name: str = FILE_NAME) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_file


def load(path: Path) -> Settings:
    return Settings.load(path, start=path.parent)


# --- reading ------------------------------------------------------------------------------------------------------


def test_without_a_file_everything_has_its_default(tmp_path):
    settings = Settings.load(None, start=tmp_path)
    assert settings == Settings()
    assert settings.gate.tolerance == 0.05
    assert settings.forecast.growth == (2.0, 10.0)


def test_the_nearest_file_above_is_found_and_an_explicit_one_wins(tmp_path, write):
    write("min_coverage: 0.5")
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    assert Settings.load(None, start=deep).min_coverage == 0.5
    (tmp_path / "a" / FILE_NAME).write_text("min_coverage: 0.6")
    assert Settings.load(None, start=deep).min_coverage == 0.6
    other = write("min_coverage: 0.7", "other.yaml")
    assert Settings.load(other, start=deep).min_coverage == 0.7


def test_a_full_file_reads_as_written(write, tmp_path):
    settings = load(
        write("""
tz: Europe/Berlin
since: 2026-10-01
until: 2026-11-01T00:00+00:00
floor_usd: 2.50
floor_share: 0.01
min_coverage: 1
fail_on: high
select: runaway-loop
ignore: [batchable, cache-miss]
by: [task, tenant]
rules:
  runaway-loop: {repetitions: 4}
columns:
  - files: "billing-*.csv"
    columns: {request_id: id, input_tokens: prompt_count}
  - columns: {model: engine}
prices:
  - {match: "openai/*", token_multiplier: 0.88, valid_from: 2026-01-01}
budgets:
  - {usd: 100, task: triage}
  - {usd: 0.05, per: call}
gate: {tolerance: 0.02, inconclusive: fail, require_baseline: true}
suppressions:
  - {rule: cache-miss, subject: {task: triage}, owner: ops, reason: known, until: 2027-01-31, max_usd: 40}
forecast: {growth: 3, growth_by: tenants}
outcomes: results/outcomes.csv
""")
    )
    assert settings.floor_usd == Decimal("2.50")
    assert settings.select == ("runaway-loop",)
    assert settings.ignore == ("batchable", "cache-miss")
    assert settings.rules == {"runaway-loop": {"repetitions": 4}}
    assert [(c.files, dict(c.names)) for c in settings.columns] == [
        ("billing-*.csv", {"request_id": "id", "input_tokens": "prompt_count"}),
        ("*", {"model": "engine"}),
    ]
    (override,) = settings.prices
    assert override.data == {"match": "openai/*", "token_multiplier": Decimal("0.88"), "valid_from": date(2026, 1, 1)}
    assert override.where.endswith(f"{FILE_NAME}:19")
    assert [(b.usd, b.per, dict(b.scope)) for b in settings.budgets] == [
        (Decimal(100), "month", {"task": "triage"}),
        (Decimal("0.05"), "call", {}),
    ]
    assert settings.gate.inconclusive == "fail"
    assert settings.gate.pass_margin == 0.10
    assert settings.suppressions[0].until == date(2027, 1, 31)
    assert settings.suppressions[0].max_usd == Decimal(40)
    assert settings.forecast.growth == (3.0,)
    assert settings.outcomes == tmp_path / "results" / "outcomes.csv"
    assert settings.where("rules.runaway-loop.repetitions").endswith(f"{FILE_NAME}:13")
    assert settings.where("fail_on").endswith(f"{FILE_NAME}:8")
    assert settings.where("tasks") == "--tasks"


@pytest.mark.parametrize("content", ["", "\n\n", "# nothing but a comment\n", "---\n", "﻿", "~"])
def test_a_file_that_says_nothing_changes_nothing(write, content):
    assert replace(load(write(content)), file=None) == Settings()


def test_names_are_taken_as_written_whatever_yaml_makes_of_them(write):
    settings = load(write("tenants: {007: no, 1e3: on, 2026-01-01: 0x1F, null: yes}"))
    assert settings.tenants.names == {"007": "no", "1e3": "on", "2026-01-01": "0x1F", "null": "yes"}


def test_rules_of_a_section_say_what_they_match_and_what_they_give(write):
    (rule, absent) = load(
        write("""
tasks:
  - match: {user: "ci-*", tool_name: [search, "/^book/"]}
    task: nightly
    tenant: internal
  - match: {tenant: ~}
    task: unassigned
""")
    ).tasks.rules
    assert rule.match == {"user": ("ci-*",), "tool_name": ("search", "/^book/")}
    assert rule.give == {"task": "nightly", "tenant": "internal"}
    assert rule.where.endswith(f"{FILE_NAME}:3")
    assert absent.match == {"tenant": (None,)}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("names.yaml", "family-3fa2: triage\nfamily-91c0: billing\n"),
        ("names.json", '{\n\t"family-3fa2": "triage",\n\t"family-91c0": "billing"\n}'),
        ("names.csv", "old,new\nfamily-3fa2,triage\nfamily-91c0,billing\n"),
        ("names.csv", "family-3fa2,triage\n\nfamily-91c0,billing\n"),
    ],
)
def test_a_file_of_names_reads_the_same_in_each_notation(write, name, content):
    assert load_assignment("task", write(content, name)).names == {"family-3fa2": "triage", "family-91c0": "billing"}


def test_a_section_can_stand_in_a_file_beside_the_settings(write):
    write("- match: {user: bot}\n  task: chores\n", "tasks.yaml")
    settings = load(write("tasks: tasks.yaml"))
    assert settings.tasks.rules[0].give == {"task": "chores"}
    assert settings.tasks.rules[0].where.endswith("tasks.yaml:1")


# --- refusing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "says", "hint"),
    [
        ("flor_usd: 1", ":1: unknown key 'flor_usd'", "did you mean 'floor_usd'"),
        ("tz: UTC\ngate:\n  tolerence: 0.1", ":3: unknown key 'tolerence' in gate", "did you mean 'tolerance'"),
        ("budgets:\n- usd: 5\n  tennant: acme", ":3: unknown key 'tennant' in budgets[1]", "did you mean 'tenant'"),
        ("min_coverage: much", ":1: min_coverage must be a number from 0 to 1, not 'much'", ""),
        ("min_coverage: 1.5", "must be a number from 0 to 1", ""),
        ("min_coverage: .nan", "must be a number from 0 to 1", ""),
        ("min_coverage: true", "must be a number from 0 to 1", ""),
        ("floor_usd: -1", "must be an amount in US dollars", ""),
        ("floor_usd: .inf", "must be an amount in US dollars", ""),
        ("floor_usd: 1e400", "must be an amount in US dollars", ""),
        ("floor_usd: [1]", "must be an amount in US dollars, e.g. 12.50, not a list", ""),
        ("fail_on: hihg", "must be one of low, medium, high", "did you mean 'high'"),
        ("by: taks", "must be one of task", "did you mean 'task'"),
        ("tz: Mars/Olympus", "must be a time zone", ""),
        ("tz: ../../etc/passwd", "must be a time zone", ""),
        ("since: yesterday", "must be a date or a time", ""),
        ("since: 2026-13-45", ":1: cannot read '2026-13-45'", ""),
        ("since: 2026-11-01\nuntil: 2026-10-01", "the window is empty", ""),
        ("gate: [1]", ":1: gate must be a mapping, not a list", ""),
        ("gate: {min_units: 2.5}", "must be a whole number of at least 2", ""),
        ("gate: {require_baseline: maybe}", "must be true or false", ""),
        ("rules: {runaway-loop: 3}", "rules.runaway-loop must be a mapping, not '3'", ""),
        ("rules:\n  a: {x: 1}\n  a: {x: 2}", ":3: 'a' is given twice", "first given in line 2"),
        ("tasks: 7", "must be a list of rules, a mapping", ""),
        ("tasks:\n- {task: x}", ":2: tasks[1] lacks 'match'", ""),
        ("tasks:\n- {match: {user: x}}", ":2: the rule gives nothing", "add `task: NAME`"),
        ("tasks:\n- {match: {}, task: x}", "must be a mapping of request columns to patterns", ""),
        ("tasks: nowhere.yaml", "cannot read", ""),
        ("tasks: {a: [b]}", "tasks.a must be text, not a list", ""),
        ("suppressions:\n- {rule: x, subject: {}, until: 2027-01-01}", "suppressions[1] lacks 'owner'", ""),
        ("forecast: {growth: [2, 0]}", "must be a growth factor above 0", ""),
        ("columns: [{files: a}]", "columns[1] lacks 'columns'", ""),
        ("- a\n- b", ":1: the file must be a mapping, not a list", ""),
        ("just words", "the file must be a mapping", ""),
        ("a: &x 1\nb: *x", ":1: anchors and aliases are not read", ""),
        ("a: *x", ":1: anchors and aliases are not read", ""),
        ("a: !!python/object:os.system {}", "the tag", "write a plain value"),
        ("a: !secret x", ":1: the tag !secret is not read", ""),
        ("? [a, b]\n: c", "a key must be a word, not a list", ""),
        ("a: b\n---\nc: d", "more than one YAML document", ""),
        ("a: [1, 2", "not valid YAML", ""),
        ("a: 'x", "not valid YAML", ""),
        ("a: \x00", "not valid YAML", ""),
        ("a: " + "[" * 5000, "nested more than 16 levels", ""),
        ("min_coverage: " + "9" * 5000, "cannot read", ""),
    ],
)
def test_a_mistake_is_named_with_its_place_and_what_would_be_right(write, content, says, hint):
    with pytest.raises(ConfigError) as error:
        load(write(content))
    assert says in str(error.value)
    assert hint in error.value.hint
    assert error.value.exit_code == 2


def test_a_file_of_nested_aliases_is_refused_before_it_grows(write):
    bomb = "a: &a [x, x, x]\n" + "".join(
        f"{c}: &{c} [*{p}, *{p}, *{p}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True)
    )
    with pytest.raises(ConfigError, match="anchors"):
        load(write(bomb))


def test_what_is_no_text_is_refused(write, tmp_path):
    with pytest.raises(ConfigError, match=":2: not UTF-8"):
        load(write(b"tz: UTC\nselect: \xff\xfe"))
    with pytest.raises(ConfigError, match="is over 16 MB"):
        load(write(b"#" * (16 * 2**20 + 1)))
    with pytest.raises(ConfigError, match="cannot read"):
        Settings.load(tmp_path / "absent.yaml", start=tmp_path)
    with pytest.raises(ConfigError, match="cannot read"):
        Settings.load(tmp_path, start=tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("old,new\na,b,c\n", ":2: expected two columns"),
        ("a,b\na,c\n", ":2: 'a' is renamed twice"),
        ("a,\n", ":1: expected two columns"),
        ('a,"b\n', "not readable as CSV"),
    ],
)
def test_a_csv_of_names_that_cannot_be_is_refused(write, content, says):
    with pytest.raises(ConfigError, match=says):
        load_assignment("task", write(content, "names.csv"))


def test_flags_are_held_to_the_same_limits_as_the_file():
    with pytest.raises(ConfigError, match="--fail-on: unknown severity 'hgih'"):
        replace(Settings(), fail_on="hgih")
    with pytest.raises(ConfigError, match="unknown time zone"):
        replace(Settings(), tz="Nowhere")
    with pytest.raises(ConfigError, match="min_coverage"):
        replace(Settings(), min_coverage=80.0)
    with pytest.raises(ConfigError, match="--by: unknown grouping"):
        replace(Settings(), by=("taks",))
    with pytest.raises(ConfigError, match="outside the calendar"):
        replace(Settings(), tz="Asia/Tokyo", since=date(1, 1, 1))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=200), st.text(alphabet="abgt:-[]{}&*!'\"\n #,01.~", max_size=120).map(str.encode)))
def test_any_bytes_are_settings_or_an_error_for_the_user(tmp_path, content):
    path = tmp_path / FILE_NAME
    path.write_bytes(content)
    try:
        outcome = str(load(path).file)
    except ConfigError as error:
        outcome = str(error)
    assert str(path) in outcome


# --- meaning ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_settings", "window"),
    [
        (Settings(), (None, None)),
        (Settings(since=date(2026, 10, 1)), (datetime(2026, 10, 1, tzinfo=UTC), None)),
        # Berlin is two hours ahead until 25 October 2026 and one hour after.
        (
            Settings(tz="Europe/Berlin", since=date(2026, 10, 1), until=date(2026, 11, 1)),
            (datetime(2026, 9, 30, 22, tzinfo=UTC), datetime(2026, 10, 31, 23, tzinfo=UTC)),
        ),
        (
            Settings(tz="Asia/Tokyo", since=datetime(2026, 10, 1, 12), until=datetime(2026, 10, 1, 12, tzinfo=UTC)),
            (datetime(2026, 10, 1, 3, tzinfo=UTC), datetime(2026, 10, 1, 12, tzinfo=UTC)),
        ),
    ],
)
def test_the_window_is_meant_in_the_zone_of_the_report(given_settings, window):
    assert given_settings.window == window


@pytest.mark.parametrize(("spend", "floor"), [("0", "1"), ("200", "1"), ("1000", "5.000"), ("0.10", "1")])
def test_the_floor_is_the_larger_of_an_amount_and_a_share(spend, floor):
    assert Settings().floor(Decimal(spend)) == Decimal(floor)


def test_rule_names_are_brought_up_to_date_and_options_to_their_type(write):
    settings = load(
        write("""
select: [stuck-loop, cache-miss]
rules:
  stuck-loop: {repetitions: 4, polling_gap_s: 30, polling_tools: wait, min_usd: 0.10}
  cache-miss: {strict: true, owner: ops}
""")
    ).for_rules(KNOWN, ALIASES)
    assert settings.select == ("runaway-loop", "cache-miss")
    options = settings.rules["runaway-loop"]
    assert options == {"repetitions": 4, "polling_gap_s": 30.0, "polling_tools": ("wait",), "min_usd": Decimal("0.10")}
    assert isinstance(options["polling_gap_s"], float)
    assert settings.rules["cache-miss"] == {"strict": True, "owner": "ops"}


@pytest.mark.parametrize(
    ("content", "says", "hint"),
    [
        ("rules:\n  runaway-lop: {}", ":2: unknown rule 'runaway-lop'", "did you mean 'runaway-loop'"),
        ("ignore: cash-miss", ":1: unknown rule 'cash-miss'", "did you mean 'cache-miss'"),
        ("rules:\n  cache-miss:\n    blok: 1", ":3: unknown option 'blok' of cache-miss", "did you mean 'block'"),
        ("rules: {cache-miss: {block: many}}", "cache-miss.block must be a whole number, not 'many'", "default: 512"),
        ("rules: {cache-miss: {block: 1.5}}", "must be a whole number", ""),
        ("rules: {cache-miss: {block: true}}", "must be a whole number", ""),
        ("rules: {cache-miss: {strict: 1}}", "must be true or false", ""),
        ("rules: {runaway-loop: {polling_gap_s: .inf}}", "must be a number", ""),
        ("rules: {runaway-loop: {}, stuck-loop: {}}", "has options twice", ""),
        (
            "suppressions:\n- {rule: x, subject: {}, owner: a, reason: b, until: 2027-01-01}",
            ":2: unknown rule 'x'",
            "known: cache-miss, runaway-loop",
        ),
    ],
)
def test_a_rule_or_option_nobody_knows_is_named_with_its_line(write, content, says, hint):
    with pytest.raises(ConfigError) as error:
        load(write(content)).for_rules(KNOWN, ALIASES)
    assert says in str(error.value)
    assert hint in error.value.hint
