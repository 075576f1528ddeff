"""The program from outside: what it prints, where, and with which exit code."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import pytest

from costaudit import commands, plugins
from costaudit.analyze import checked
from costaudit.cli import main, summary
from costaudit.config import BY, Settings
from costaudit.errors import ConfigError, CostAuditError, LogError, PriceError, UsageError

ROOT = Path(__file__).parent.parent
COMMANDS = plugins.names(commands.__name__)


class Ran(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def run(capfd, monkeypatch, tmp_path):
    """Run the program in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COSTAUDIT_DEBUG", raising=False)
    monkeypatch.delenv("COLUMNS", raising=False)

    def ran(*arguments: object) -> Ran:
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        code = end.value.code
        assert code is None or isinstance(code, int)
        return Ran(code or 0, *capfd.readouterr())

    return ran


def response(number: int, **changes: object) -> str:
    """A Chat Completions response of 1,000 tokens in and 100 out."""
    record = {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 1_790_000_000 + 60 * number,
        "model": "gpt-4o",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "ok"}}],
        "usage": {"prompt_tokens": 1_000, "completion_tokens": 100, "total_tokens": 1_100},
    }
    return json.dumps(record | changes)


@pytest.fixture
def logs(tmp_path) -> Path:
    folder = tmp_path / "my logs"
    folder.mkdir()
    lines = [*(response(n) for n in range(20)), response(3), "{broken", ""]
    (folder / "a.jsonl").write_text("\n".join(lines) + "\n")
    return folder


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


# --- the other commands


def test_an_output_called_dash_is_standard_output(logs, run, tmp_path):
    for command in (["spend", logs], ["analyze", logs, "--format", "csv"], ["init", logs]):
        assert run(*command, "-o", "-").out
    saved = run("baseline", "save", logs, "-o", "-")
    assert json.loads(saved.out)["schema"] == "costaudit.baseline/1"
    assert not (tmp_path / "-").exists()


def test_explain_prints_a_page_or_the_list_of_rules(run):
    page = run("explain", "runaway_loop").out
    assert page.startswith("# runaway-loop\n")
    assert "## What to do" in page
    assert "- `repetitions` (3 repeats): " in page
    rules = run("explain").out
    assert re.search(r"^runaway-loop +Agent runs that make the same call", rules, re.MULTILINE)


def test_formats_prints_the_list_or_one_in_full(run):
    assert re.search(r"^  openai-chat +Responses of the Chat Completions API", run("formats").out, re.MULTILINE)
    assert run("formats", "openai-chat").out.startswith("# openai-chat\n")


def test_doctor_says_of_each_file_what_was_refused_and_what_is_missing(logs, run):
    text = run("doctor", logs).out
    assert "  records   20 requests, 1 duplicate, 1 rejected, 1 blank\n" in text
    assert "  rejected  1 not JSON, line 22\n" in text
    assert re.search(r"^  task +spend and advice per task \(0 % of calls have it\)$", text, re.MULTILINE)
    report = json.loads(run("doctor", logs, "--format", "json").out)
    assert report["schema"] == "costaudit.doctor/1"
    assert report["rejects"][0]["first_lines"] == [22]


def test_doctor_groups_many_files_by_folder_and_format(run, tmp_path):
    for n in range(50):
        call = {"request_id": f"call-{n:08}", "model": "gpt-5.4", "input_tokens": 9, "output_tokens": 1}
        path = tmp_path / ("day" if n < 49 else "night") / f"{n}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(call) + "\n{broken\n")
    text = run("doctor", tmp_path).out
    assert re.search(r"day/: 49 files +generic\n  records   49 requests, 49 rejected\n", text)
    assert re.search(r"night/49\.jsonl +generic\n  records   1 request, 1 rejected\n", text)
    assert max(map(len, text.splitlines())) <= 100
    assert len(json.loads(run("doctor", tmp_path, "--format", "json").out)["sources"]) == 50


def test_doctor_diagnoses_what_cannot_be_audited(run, tmp_path):
    (tmp_path / "x.log").write_text("not a record\n{broken\n")
    ran = run("doctor", "x.log")
    assert ran.code == 0
    assert "2 rejected" in ran.out
    assert "Not audited  x.log: no request among 2 records" in ran.out


def test_a_store_outlives_its_logs_and_holds_each_request_once(logs, run, tmp_path):
    first = run("ingest", logs, "--store", "history")
    assert first.out == "history: 20 requests added, 0 known already, 20 in all\n"
    again = run("ingest", logs, "--store", "history", "--quiet")
    assert again == Ran(0, "history: 0 requests added, 20 known already, 20 in all\n", "")
    before = json.loads(run("analyze", logs, "--format", "json").out)
    (logs / "a.jsonl").unlink()
    after = json.loads(run("analyze", "history", "--format", "json").out)
    assert after["spend"] == before["spend"]
    assert after["coverage"]["lines"] == after["coverage"]["requests"] == 20


def test_a_store_is_not_mixed_with_other_paths(logs, run):
    run("ingest", logs, "--store", "history")
    ran = run("analyze", "history", logs)
    assert ran.code == 2
    assert "costaudit ingest LOGS --store history" in ran.err


def test_a_store_is_shown_checked_and_compacted(logs, run, tmp_path):
    run("ingest", logs, "--store", "history")
    shown = run("store", "info", "history")
    spent = json.loads(run("analyze", "history", "--format", "json").out)["spend"]["total_usd"]
    assert "20 requests, 1 month, 1 part" in shown.out
    told = json.loads(run("store", "info", "history", "--format", "json").out)
    assert [(month["requests"], month["cost_usd"]) for month in told["months"]] == [(20, spent)]
    assert run("store", "compact", "history").out == "history: 1 part before, 1 now\n"
    assert run("store", "verify", "history") == Ran(0, "history: 1 part, 20 rows: whole\n", "")
    assert run("ingest", "history", "--store", "copy").out == "copy: 20 requests added, 0 known already, 20 in all\n"
    next((tmp_path / "history").glob("requests/*/*.parquet")).write_bytes(b"PAR1")
    broken = run("store", "verify", "history")
    assert broken.code == 1
    assert "not as it was written (4 bytes of" in broken.out
    assert run("store", "compact", "history").code == 1
    assert run("store", "compact", "history").out == broken.out
    assert run("store", "verify", "nothing").code == 2


@pytest.mark.parametrize("by", BY)
def test_every_grouping_adds_up_to_the_total(by, logs, run):
    spend = json.loads(run("analyze", logs, "--by", by, "--format", "json").out)["spend"]
    assert sum(Decimal(row["cost_usd"]) for row in spend[f"by_{by}"]) == Decimal(spend["total_usd"])
    assert f"\n  {by} " in run("analyze", logs, "--by", by).out


def test_the_rows_behind_a_finding_are_shown_by_the_beginning_of_its_id(run, tmp_path):
    (tmp_path / "a.jsonl").write_text("\n".join(response(n, model="nobody-knows-7b") for n in range(20)))
    (found,) = json.loads(run("analyze", "a.jsonl", "--select", "unpriced-usage", "--format", "json").out)["findings"]
    text = run("show", found["id"][:6].lower(), "a.jsonl").out
    assert text.startswith(f"{found['id']} {found['title']}")
    assert "\nEvidence\n" in text
    assert json.loads(run("show", found["id"], "a.jsonl", "--format", "json").out)["id"] == found["id"]
    table = run("show", found["id"], "a.jsonl", "--format", "csv").out
    assert len(table.splitlines()) == 1 + len(found["evidence"])


def test_init_proposes_settings_of_which_every_line_is_valid(run, tmp_path):
    hostile = 'n"\n: {#\u202e'
    lines = [response(n, model="nobody-knows-7b" if n % 2 else "gpt-4o") for n in range(20)]
    wrapped = [json.dumps({"metadata": {"task": hostile}, "response": json.loads(text)}) for text in lines]
    (tmp_path / "a.jsonl").write_text("\n".join(wrapped))
    assert run("init", "a.jsonl") == Ran(0, "", "wrote costaudit.yaml\n")
    text = Path("costaudit.yaml").read_text()
    assert json.dumps(hostile) in text
    assert "nobody-knows-7b" in text
    assert Settings.load(None, start=tmp_path).tz == "UTC"
    Path("costaudit.yaml").write_text(re.sub(r"^#(?=[a-z ] *\S)(?! [A-Z`])", "", text, flags=re.MULTILINE))
    given = Settings.load(None, start=tmp_path)
    assert given.tasks.names == {hostile: hostile}
    assert given.fail_on == "high"
    assert given.budgets
    assert [s.rule for s in given.suppressions] == ["runaway-loop"]
    assert checked(given).rules == {"runaway-loop": {"repetitions": 3}}
    again = run("init", "a.jsonl")
    assert again.code == 2
    assert "costaudit.yaml is there already" in again.err
    assert run("init", "a.jsonl", "-o", "-").out == text
