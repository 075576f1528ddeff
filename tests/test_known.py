"""What was worked out once is told again, byte for byte, until anything changes that could change it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from decimal import Decimal

import pytest
from console import ROOT
from msgspec.structs import replace

from costaudit import _answer, cli, kept, known, pipeline
from costaudit.config import Settings, load_assignment
from costaudit.ingest import _state
from costaudit.known import Known
from costaudit.report import View, names, renderer

STATE = known.state  # the suite's other tests do without
CALL = {"object": "chat.completion", "model": "gpt-4o-2024-08-06", "choices": []}


def call(n, **changes):
    usage = {"prompt_tokens": 1_000 + n, "completion_tokens": 10}
    return json.dumps(CALL | {"id": f"c{n}", "created": 1_790_000_000 + 60 * n, "usage": usage} | changes) + "\n"


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """The times an audit was really made, and a cache of this test's own."""
    monkeypatch.setattr(known, "state", STATE)
    monkeypatch.setattr(_state, "TICK_NS", -1_000_000_000)
    monkeypatch.setattr(_state, "COARSE_NS", -1_000_000_000)
    monkeypatch.setenv("COSTAUDIT_CACHE_DIR", str(tmp_path / "cache"))
    times = []
    audit = pipeline.audit
    monkeypatch.setattr(pipeline, "audit", lambda *how: times.append(how) or audit(*how))
    return times


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "logs" / "a.jsonl"
    path.parent.mkdir()
    path.write_text("".join(map(call, range(12))))
    return path


def answers(folder):
    return sorted((folder / "cache" / "answers").rglob("*.answer"))


def analyzed(capsys, *words):
    return ran(capsys, "analyze", *words)


def ran(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        cli.main([*map(str, words)])
    return capsys.readouterr().out, ended.value.code


@pytest.mark.parametrize("sample", ["analyzers/overpowered-model.jsonl", "formats/claude-code.jsonl"])
def test_a_known_audit_is_the_audit_in_every_format(asked, sample):
    fresh, again = (Known([str(ROOT / "sample_logs" / sample)], Settings()).audit() for _ in range(2))
    assert len(asked) == 1
    assert fresh is not again
    for name in names():
        assert renderer(name)(fresh, View(by=("task",))) == renderer(name)(again, View(by=("task",))), name
    for one, other in zip(_answer._tables(fresh), _answer._tables(again), strict=True):
        assert one.equals(other)
        assert one.schema == other.schema
    bare = [replace(audit, findings=(), coverage=None, spend=None) for audit in (fresh, again)]
    assert bare[0] == bare[1]


def test_the_same_command_prints_the_same_and_ends_the_same(asked, log, capsys):
    for words in (["--format", "json"], ["--fail-on", "low", "--min-coverage", "1", "--by", "day"]):
        first = analyzed(capsys, log.parent, *words)
        assert first == analyzed(capsys, log.parent, *words) == analyzed(capsys, log.parent, "--no-cache", *words)
        assert first[0]


def test_another_format_or_a_copy_is_written_from_the_audit_that_is_known(asked, log, capsys, tmp_path):
    analyzed(capsys, log.parent)
    html, _ = analyzed(capsys, log.parent, "--format", "html", "--also", f"csv={tmp_path / 'a.csv'}")
    analyzed(capsys, log.parent, "--fail-on", "high")
    assert len(asked) == 1
    assert "<html" in html
    assert (tmp_path / "a.csv").read_text()


def test_other_commands_take_the_audit_that_is_known(asked, log, capsys, tmp_path, monkeypatch):
    commands = [("doctor", log.parent), ("init", log.parent, "-o", "-")]
    fresh = [ran(capsys, *words, "--no-cache") for words in commands]
    analyzed(capsys, log.parent)
    monkeypatch.setattr(pipeline, "audited", lambda *_: pytest.fail("audited again"))
    assert [ran(capsys, *words) for words in commands] == fresh


@pytest.mark.parametrize("changed", [False, True])
def test_a_month_is_reviewed_once(asked, log, capsys, monkeypatch, changed):
    words = ("report", "--month", "2026-09", log.parent, "--format", "json")
    first = ran(capsys, *words)
    assert first == ran(capsys, *words, "--no-cache")
    if changed:
        log.write_text(log.read_text() + call(99))
        assert ran(capsys, *words) == ran(capsys, *words, "--no-cache") != first
    else:
        monkeypatch.setattr(pipeline, "requests", lambda *_: pytest.fail("read again"))
        assert ran(capsys, *words) == first


def test_no_cache_neither_looks_nor_keeps(asked, log, capsys, tmp_path):
    analyzed(capsys, log.parent, "--no-cache")
    assert answers(tmp_path) == []
    analyzed(capsys, log.parent)
    kept_then = [path.stat().st_mtime_ns for path in answers(tmp_path)]
    analyzed(capsys, log.parent, "--no-cache")
    assert len(asked) == 3
    assert [path.stat().st_mtime_ns for path in answers(tmp_path)] == kept_then


def same_size_and_time(path):
    before = path.stat()
    path.write_text(path.read_text().replace("1000", "9000"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


LOGS = {
    "a line more": lambda log: log.write_text(log.read_text() + call(99)),
    "other counts, the same size and time": same_size_and_time,
    "one more file": lambda log: (log.parent / "b.jsonl").write_text(call(99)),
    "the file gone, another there": lambda log: log.rename(log.parent / "c.jsonl"),
    "a copy in its place": lambda log: shutil.copy(log, log.parent / "x") and (log.parent / "x").replace(log),
}


@pytest.mark.parametrize("change", LOGS.values(), ids=LOGS)
def test_a_change_of_the_logs_is_a_new_audit(asked, log, change):
    def report():
        return renderer("json")(Known([str(log.parent)], Settings()).audit(), View())

    report()
    change(log)
    assert report() == renderer("json")(pipeline.audit([str(log.parent)], Settings(cache=False)), View())
    assert len(asked) == 3


SETTINGS = {
    "a task": lambda folder: replace(Settings(), tasks=load_assignment("task", written(folder, "{old: new}"))),
    "a time zone": lambda _: Settings(tz="Asia/Tokyo"),
    "a window": lambda _: Settings(since=pipeline.datetime(2026, 1, 1)),
    "a floor": lambda _: Settings(floor_usd=Decimal("0.01")),
    "a coverage": lambda _: Settings(min_coverage=0.5),
    "a rule less": lambda _: Settings(ignore=("batchable",)),
    "an option": lambda _: Settings(rules={"runaway-loop": {"repetitions": 7}}),
    "a table more": lambda _: Settings(by=("week",)),
    "a file of outcomes": lambda folder: Settings(outcomes=written(folder, "run_id,success\nx,1\n")),
    "a price book": lambda folder: Settings(prices_dir=written(folder, "prices: []").parent),
}


def written(folder, text):
    path = folder / "beside" / "file.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def some():
    return pipeline.audit([str(ROOT / "sample_logs" / "formats" / "openai-chat.jsonl")], Settings(cache=False))


@pytest.fixture
def made(monkeypatch, asked, some):
    """What is asked of the pipeline; it answers with an audit made before, whatever the question."""
    questions = []
    monkeypatch.setattr(pipeline, "audit", lambda *how: questions.append(how) or some)
    return questions


@pytest.mark.parametrize("change", SETTINGS.values(), ids=SETTINGS)
def test_a_change_of_the_settings_is_a_new_audit_and_the_old_ones_is_still_known(made, log, tmp_path, change):
    usual, changed = Settings(), change(tmp_path)
    for given, times in ((usual, 1), (changed, 2), (changed, 2), (usual, 2)):
        Known([str(log.parent)], given).audit()
        assert len(made) == times
    beside = tmp_path / "beside" / "file.yaml"
    if beside.exists() and changed.tasks == usual.tasks:  # a file that the settings name
        beside.write_text(beside.read_text() + "\n")
        Known([str(log.parent)], changed).audit()
        assert len(made) == 3


def test_what_only_a_report_shows_asks_for_no_new_audit(made, log, tmp_path, capsys):
    rates = tmp_path / "rates.yaml"
    rates.write_text("EUR: {2020-01-01: 0.5}")
    euro = ("--currency", "EUR", "--rates", rates)
    dollars, _ = analyzed(capsys, log.parent)
    half, _ = analyzed(capsys, log.parent, *euro)
    rates.write_text("EUR: {2020-01-01: 0.25}")
    quarter, _ = analyzed(capsys, log.parent, *euro)
    assert len({dollars, half, quarter}) == 3
    assert analyzed(capsys, log.parent)[0] == dollars


def test_another_program_or_another_book_makes_new_audits(made, log, monkeypatch):
    for program in (b"one", b"two", b"two"):
        monkeypatch.setattr(known, "program", lambda program=program: program)
        Known([str(log.parent)], Settings()).audit()
    assert len(made) == 2


def test_the_program_is_known_by_its_modules_and_its_prices(monkeypatch, tmp_path):
    package, prices = tmp_path / "costaudit", tmp_path / "pricing"
    for path in (package / "deep" / "module.py", prices / "one.yaml"):
        path.parent.mkdir(parents=True)
        path.write_text("1")
    monkeypatch.setattr(known, "__file__", str(package / "known.py"))
    monkeypatch.setattr(known, "bundled", lambda _: prices)
    seen = [known.program.__wrapped__()]
    for path in (package / "deep" / "module.py", prices / "one.yaml", package / "new.py"):
        path.write_text("22")
        seen.append(known.program.__wrapped__())
    assert len(set(seen)) == 4
    assert known.program.__wrapped__() == seen[-1]


def test_what_changes_while_it_is_audited_is_not_kept(asked, log, monkeypatch, tmp_path):
    audit = pipeline.audit
    monkeypatch.setattr(pipeline, "audit", lambda *how: (audit(*how), log.write_text(log.read_text() + call(99)))[0])
    Known([str(log.parent)], Settings()).audit()
    assert answers(tmp_path) == []


def test_what_changed_a_moment_ago_is_not_kept(made, log, monkeypatch, tmp_path):
    monkeypatch.setattr(_state, "TICK_NS", 3_600_000_000_000)
    monkeypatch.setattr(_state, "COARSE_NS", 3_600_000_000_000)
    Known([str(log.parent)], Settings()).audit()
    assert answers(tmp_path) == []


def test_what_cannot_be_known_again_is_not_kept(made, log, tmp_path):
    os.mkfifo(log.parent / "pipe")
    for path in ("-", str(log.parent / "pipe"), "s3://bucket/logs"):
        Known([path], Settings()).audit()
    assert len(made) == 3
    assert answers(tmp_path) == []


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "other", "no audit"])
def test_a_damaged_answer_is_ignored_and_replaced(asked, log, tmp_path, capsys, damage):
    whole = analyzed(capsys, log.parent)
    for path in answers(tmp_path):
        data = bytearray(path.read_bytes())
        data[-20 if damage == "flip" else -1] ^= 1
        if damage == "no audit":  # whole, of the right state, and something else
            kept.keep(path, kept.take(path)[:16] + b"\xc0")
        else:
            path.write_bytes({"cut": data[:-9], "flip": data, "empty": b"", "other": b"PAR1" * 99}[damage])
    assert analyzed(capsys, log.parent) == whole
    assert len(asked) == 2
    assert analyzed(capsys, log.parent) == whole
    assert len(asked) == 2


def test_an_answer_of_any_size_is_worked_out_and_a_large_one_is_not_kept(made, log, tmp_path, monkeypatch):
    monkeypatch.setattr(known, "MOST", 100)
    Known([str(log.parent)], Settings()).audit()
    assert answers(tmp_path) == []


def test_no_room_is_no_obstacle(made, log, tmp_path, monkeypatch):
    def full(**_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(kept.tempfile, "mkstemp", full)
    assert Known([str(log.parent)], Settings()).audit().findings is not None
    assert answers(tmp_path) == []


def test_the_answers_are_bounded_with_the_rest_of_the_cache(made, log, tmp_path, monkeypatch):
    for name in ("a", "b"):
        Known([str(log.parent)], Settings(by=("user",) if name == "a" else ())).audit()
    size = sum(path.stat().st_size for path in answers(tmp_path))
    monkeypatch.setattr(kept, "LIMIT", size)
    Known([str(log.parent)], Settings(by=("week",))).audit()
    assert len(answers(tmp_path)) == 2


def test_no_text_of_prompts_or_answers_is_kept(asked, tmp_path, log):
    secret = "xylophone-confidential"
    message = {"role": "assistant", "content": secret}
    log.write_text("".join(call(n, choices=[{"index": 0, "message": message}]) for n in range(12)))
    Known([str(log)], Settings()).audit()
    assert answers(tmp_path)
    assert all(secret.encode() not in path.read_bytes() for path in answers(tmp_path))


IMPORTED = """
import sys
from costaudit.cli import main
try:
    main(sys.argv[1:])
finally:
    print(sorted({name for name in sys.modules if name in ("polars", "numpy", "costaudit.pipeline")}), file=sys.stderr)
"""


def starting(folder, *words):
    """A program of its own, whose last line on stderr says what it has imported."""
    variables = os.environ | {"COSTAUDIT_CACHE_DIR": str(folder / "cache")}
    program = [sys.executable, "-c", IMPORTED, "analyze", *map(str, words)]
    return subprocess.Popen(program, cwd=ROOT, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(program):
    out, err = program.communicate(timeout=300)
    return out, err.strip().splitlines()


def test_two_processes_at_once_leave_answers_that_are_whole_and_a_third_imports_neither_tables_nor_rules(tmp_path, log):
    os.utime(log, (1, 1))
    words = (tmp_path, log.parent, "--format", "json")
    (first, told), (second, also) = map(ended, [starting(*words), starting(*words)])
    assert first == second
    assert json.loads(first)["coverage"]["requests"] == 12
    assert "[]" not in (told[-1], also[-1]) or told[-1] != also[-1]  # one may have begun when the other had ended
    assert all(kept.take(path) for path in answers(tmp_path))
    assert len(answers(tmp_path)) == 2  # the audit and its report
    assert not list((tmp_path / "cache").rglob("*.writing"))
    assert ended(starting(*words)) == (first, ["[]"])


def test_that_there_is_no_file_is_told_before_anything_large_is_imported(tmp_path):
    (tmp_path / "empty").mkdir()
    _, told = ended(starting(tmp_path, tmp_path / "empty"))
    assert (told[0], told[-1]) == (f"error: {tmp_path / 'empty'}: no files", "[]")


def test_a_rule_that_is_not_there_is_told_before_a_log_that_is_not(tmp_path, capsys):
    with pytest.raises(SystemExit):
        cli.main(["analyze", str(tmp_path / "nothing"), "--select", "runaway-lop"])
    assert "did you mean 'runaway-loop'" in capsys.readouterr().err
