"""The program from outside: what it prints, where, and with which exit code."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from console import ROOT
from program import Ran, response
from program import logs as logs
from program import run as run

from costaudit import commands, plugins
from costaudit.cli import summary
from costaudit.errors import ConfigError, CostAuditError, LogError, PriceError, UsageError

COMMANDS = plugins.names(commands.__name__)


# --- help, and what it costs


def test_help_lists_every_command_with_the_first_line_of_its_page(run):
    text = re.sub(r"\n {12,}", " ", run("--help").out)  # wrapped lines in one
    for name in COMMANDS:
        assert re.search(rf"^  {name} +{re.escape(summary(name))}$", text, re.MULTILINE), name


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_a_line_for_the_list_and_a_page_of_its_own(name, run):
    assert 10 < len(summary(name)) <= 100
    ran = run(name, "--help")
    assert ran.code == 0
    assert ran.out.startswith(f"Usage: costaudit {name}")
    assert not ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["explain", "runaway-loop"],
        ["prices", "list"],
        ["prices", "show", "gpt-4o"],
        ["no-such-command"],
    ],
)
def test_what_needs_no_table_imports_none(arguments):
    """Milliseconds are not asserted; the packages that cost them are."""
    assert alone(arguments).stderr.splitlines()[-1] == "heavy: []"


def test_formats_are_imported_once_to_say_what_they_are(run):
    listed, one = run("formats").out, run("formats", "litellm").out
    for arguments, said in ((["formats"], listed), (["formats", "litellm"], one)):
        again = alone(arguments)
        assert again.stdout.split() == said.split()
        assert again.stderr.splitlines()[-1] == "heavy: []"


def alone(arguments):
    """The command in a process of its own, which tells last what it imported."""
    code = (
        "import sys\n"
        "from costaudit.cli import main\n"
        f"try:\n    main({arguments!r})\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'polars', 'pyarrow', 'pydantic', 'rich.console', 'tiktoken'} & set(sys.modules)\n"
        "print('heavy:', sorted(heavy), file=sys.stderr)"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)


def test_a_small_audit_imports_tables_and_nothing_else_that_is_large(logs, tmp_path):
    """A cold cache of prices reads YAML, and only that."""
    code = (
        "import sys\n"
        "from costaudit.cli import main\n"
        f"try:\n    main(['analyze', {str(logs)!r}, '--no-cache'])\n"
        "except SystemExit:\n    pass\n"
        "large = {'numpy', 'pandas', 'pyarrow', 'pydantic', 'sqlite3', 'tiktoken', 'yaml'} & set(sys.modules)\n"
        "print('large:', sorted(large), file=sys.stderr)"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"COSTAUDIT_CACHE_DIR": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
            check=True,
        )
        for _ in range(2)
    ]
    assert [done.stderr.splitlines()[-1] for done in told] == ["large: ['yaml']", "large: []"]
    assert told[0].stdout == told[1].stdout


def test_the_program_itself_imports_nothing_heavy_at_its_top():
    import costaudit.cli

    tree = ast.parse(Path(str(costaudit.cli.__file__)).read_text(encoding="utf-8"))
    imported = {a.name for node in tree.body if isinstance(node, ast.Import) for a in node.names}
    imported |= {str(node.module) for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert not {name.split(".")[0] for name in imported} & {"polars", "pyarrow", "rich", "yaml", "msgspec"}


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("costaudit ", "analyze"),
        ("costaudit expl", "explain"),
        ("costaudit explain runaway", "runaway-loop"),
        ("costaudit analyze --format js", "json"),
        ("costaudit analyze --sel", "--select"),
        ("costaudit analyze --select over", "overpowered-model"),
    ],
)
def test_the_shell_completes_commands_flags_rules_and_formats(typed, offered):
    words = typed.split(" ")
    variables = {"_COSTAUDIT_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        [sys.executable, "-c", "from costaudit.cli import main; main([])"],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert offered in done.stdout.split(), done


# --- errors


@pytest.mark.parametrize(
    ("error", "code"), [(UsageError, 2), (ConfigError, 2), (PriceError, 2), (LogError, 3), (CostAuditError, 3)]
)
def test_an_error_says_what_and_what_next_and_its_class_knows_the_exit_code(error, code, run, monkeypatch):
    def stop(*_: object) -> None:
        raise error("nothing\x1b[2J goes", hint="do this")

    monkeypatch.setattr("costaudit.pipeline.audit", stop)
    assert run("analyze", __file__) == Ran(code, "", "error: nothing␛[2J goes\nhint: do this\n")


def test_a_bug_is_said_to_be_one_and_is_no_verdict(run, monkeypatch):
    def stop(*_: object) -> None:
        raise ZeroDivisionError("what")

    monkeypatch.setattr("costaudit.pipeline.audit", stop)
    ran = run("analyze", __file__)
    assert (ran.code, ran.out) == (3, "")
    assert "this is a bug in costaudit" in ran.err
    assert "ZeroDivisionError: what" in ran.err
    assert "Traceback" not in ran.err
    assert "Traceback" in run("analyze", __file__, "-v").err
    monkeypatch.setenv("COSTAUDIT_DEBUG", "1")
    assert "Traceback" in run("analyze", __file__).err


def test_an_interrupt_is_no_error_message(run, monkeypatch):
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("costaudit.pipeline.audit", stop)
    assert run("analyze", __file__) == Ran(130, "", "")


WAITING = """
import signal, sys, tempfile, time
from costaudit import cli, pipeline
for name, usual in (("SIGINT", signal.default_int_handler), ("SIGTERM", signal.SIG_DFL), ("SIGHUP", signal.SIG_DFL)):
    signal.signal(getattr(signal, name), usual)  # whatever the suite was started by

def wait(*_):
    with tempfile.TemporaryDirectory() as folder:
        print(folder, flush=True)
        while True:
            time.sleep(0.05)  # a signal that comes just before a pause would not end it

pipeline.audit = wait
cli.main(["analyze", sys.argv[1], "--no-cache"])
"""


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_the_program_without_a_word_and_without_a_file_left(name, logs):
    told = signal.Signals[name]
    with subprocess.Popen(
        [sys.executable, "-c", WAITING, str(logs)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        folder = Path(process.stdout.readline().strip())
        assert folder.is_dir()
        process.send_signal(told)
        assert process.communicate(timeout=300) == ("", "")
    assert process.returncode == 128 + told
    assert not folder.exists()


@pytest.mark.parametrize("group", ["baseline", "prices", "store"])
def test_a_group_without_a_command_prints_its_help(group, run):
    ran = run(group)
    assert ran.code == 2
    assert "Commands:" in ran.out + ran.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["analyse", "x"], 2, "did you mean analyze?"),
        (["analyze"], 2, "costaudit analyze needs PATH"),
        (["analyze", "--nope", "x"], 2, "costaudit analyze has no flag --nope"),
        (["analyze", "absent"], 2, "absent: no such file or folder"),
        (["analyze", "*.absent"], 2, "*.absent: nothing matches"),
        (["analyze", "{logs}", "--format", "jsn"], 2, "did you mean json?"),
        (["analyze", "{logs}", "--since", "yesterday"], 2, "not a date or time: yesterday"),
        (["analyze", "{logs}", "--since", "2026-02-30"], 2, "not a date or time: 2026-02-30"),
        (["analyze", "{logs}", "--since", "2026-10-01", "--until", "2026-09-01"], 2, "the window is empty"),
        (["analyze", "{logs}", "--tz", "Mars/Base"], 2, "unknown time zone 'Mars/Base'"),
        (["analyze", "{logs}", "--tz", "localtime"], 2, "unknown time zone 'localtime'"),
        (["analyze", "{logs}", "--fail-on", "hgih"], 2, "high"),
        (["analyze", "{logs}", "--min-coverage", "1.5"], 2, "min_coverage must be from 0 to 1"),
        (["analyze", "{logs}", "--min-coverage", "nan"], 2, "min_coverage must be from 0 to 1"),
        (["analyze", "{logs}", "--select", "runaway-lop"], 2, "runaway-loop"),
        (["analyze", "{logs}", "--config", "absent.yaml"], 2, "absent.yaml"),
        (["analyze", "{logs}", "--until", "2020-01-01"], 3, "no request in the window asked for"),
        (["analyze", "{logs}", "-o", "no/such/folder.txt"], 2, "cannot write"),
        (["analyze", "{logs}", "--also", "json=-"], 2, "hint: --format json"),
        (["export", "{logs}", "-o", "-"], 2, "is not written to standard output"),
        (["explain", "runaway-lop"], 2, "did you mean runaway-loop?"),
        (["formats", "openai-chta"], 2, "openai-chat"),
        (["show", "F-ffffff", "{logs}"], 2, "no finding 'F-ffffff' in these logs"),
        (["ingest", "{logs}"], 2, "--store"),
        (["ingest", "{logs}", "--store", "-"], 2, "a store is a folder"),
        (["init", "{logs}", "-o", "no/such/c.yaml"], 2, "mkdir -p no/such"),
    ],
)
def test_wrong_usage_is_told_in_words_with_its_exit_code(arguments, code, said, logs, run):
    ran = run(*(str(logs) if a == "{logs}" else a for a in arguments))
    assert ran.code == code
    assert said in ran.err
    assert not ran.out
    assert "Traceback" not in ran.err


# --- analyze


def test_an_audit_of_a_folder_prints_the_report_on_stdout_and_nothing_else(logs, run):
    ran = run("analyze", logs)
    assert ran.code == 0
    assert not ran.err
    # 20 calls of 1,000 tokens in at $2.50 and 100 out at $10 a million: 20 * $0.0035
    assert ran.out.startswith("$0.070 spent in 20 minutes; ")
    assert "23 records = 20 requests + 1 duplicate + 1 rejected + 1 blank" in ran.out
    assert f"costaudit analyze '{logs}' --format json -o audit.json" in ran.out


def test_the_same_input_gives_the_same_bytes(logs, run):
    for name in ("terminal", "json", "markdown", "csv"):
        assert run("analyze", logs, "--format", name) == run("analyze", logs, "--format", name)


def test_a_report_goes_to_a_file_as_a_whole_or_not_at_all(logs, run, tmp_path):
    path = tmp_path / "audit.json"
    path.write_text("old")
    assert run("analyze", logs, "--format", "json", "-o", path) == Ran(0, "", "")
    assert json.loads(path.read_text())["spend"]["total_usd"] == "0.07"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["audit.json", "my logs"]


def test_piped_output_has_no_colour_and_takes_the_width_it_is_told(logs, run, monkeypatch):
    assert "\x1b" not in run("analyze", logs).out
    monkeypatch.setenv("COLUMNS", "80")
    narrow = run("analyze", logs).out
    assert max(map(len, narrow[: narrow.index("\nNext\n")].splitlines())) <= 80
    monkeypatch.setenv("COLUMNS", "many")
    assert run("analyze", logs).code == 0


def test_a_window_leaves_requests_outside_and_says_so(logs, run):
    # calls are sent once a minute from 14:13:20 to 14:32:20
    report = json.loads(run("analyze", logs, "--since", "2026-09-21", "--format", "json").out)
    assert (report["coverage"]["requests"], report["coverage"]["outside"]) == (20, 0)
    report = json.loads(run("analyze", logs, "--until", "2026-09-21T14:23:20+00:00", "--format", "json").out)
    assert (report["coverage"]["requests"], report["coverage"]["outside"]) == (10, 10)
    assert report["spend"]["total_usd"] == "0.035"
    assert report["window"]["to"] == "2026-09-21T14:23:20Z"


def test_standard_input_is_a_log(logs):
    done = subprocess.run(
        [sys.executable, "-m", "costaudit", "analyze", "-", "--format", "json"],
        input=(logs / "a.jsonl").read_bytes(),
        capture_output=True,
        cwd=ROOT,
        check=True,
    )
    assert json.loads(done.stdout)["spend"]["total_usd"] == "0.07"


def test_a_reader_that_stops_reading_gets_silence(logs):
    command = f"{sys.executable} -m costaudit analyze '{logs}' | true"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_an_output_without_room_is_told_as_a_file_without_room_is():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "costaudit", "explain"], stdout=full, stderr=subprocess.PIPE, cwd=ROOT, check=False
        )
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: cannot write to standard output: No space left on device\nhint:")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--min-coverage", "0.9"], 3), (["--fail-on", "high", "--ignore", "unpriced-usage"], 3), ([], 0)],
)
def test_too_little_coverage_cannot_be_judged_where_somebody_asks_for_judgement(arguments, code, run, tmp_path):
    lines = [response(n, model="nobody-knows-7b" if n % 2 else "gpt-4o") for n in range(20)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    ran = run("analyze", "a.jsonl", *arguments)
    assert ran.code == code
    assert ran.out.startswith("At least $0.035 spent")
    assert "nobody-knows-7b (10 requests)" in ran.out
    assert ("cannot judge: less than" in ran.err) is (code == 3)


@pytest.mark.parametrize(
    "content",
    [b"", b"\n\n", b"\x00\xff\xfe binary", b"not a log\nat all\n", b"[]", b"{}", b'{"a": ' * 5_000],
    ids=["empty", "blank", "binary", "prose", "no-elements", "no-fields", "deep"],
)
def test_a_file_that_is_no_log_ends_in_words_and_exit_3(content, run, tmp_path):
    (tmp_path / "x.log").write_bytes(content)
    for command in ("analyze", "ingest"):
        arguments = ["--store", "kept"] if command == "ingest" else []
        ran = run(command, "x.log", *arguments)
        assert ran.code == 3, ran
        assert ran.err.startswith("error: ")
        assert not ran.out
    assert not (tmp_path / "kept").exists()
