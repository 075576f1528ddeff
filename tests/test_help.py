"""What help promises is what commands do, and what nobody can do is said before logs are read."""

from __future__ import annotations

import errno
import gzip
import io
import os
import re
import shlex
import sys
from types import SimpleNamespace

import polars as pl
import pytest
import typer
from program import response
from program import run as run

from costaudit import cli, plugins, report
from costaudit.commands import _output, analyze, check, forecast, reconcile, show, simulate, sql
from costaudit.commands import report as monthly
from costaudit.commands._pages import page, pages
from costaudit.commands.explain import markdown
from costaudit.report import _check, _forecast, _month
from costaudit.report._layout import paint
from costaudit.report._page import filled, shown

COMMANDS = plugins.names("costaudit.commands")
READERS = [name for name in COMMANDS if name not in ("explain", "formats", "prices", "store", "baseline")]


def helped(name: str, run) -> str:
    return str(run(*name.split(), "--help").out)


@pytest.mark.parametrize("name", [*COMMANDS, "baseline save", "prices explain", "prices diff", "store info"])
def test_help_names_arguments_in_capitals_and_no_python_types_and_cuts_no_sentence(name, run):
    said = helped(name, run)
    assert not re.search("<[a-z]", said)
    assert "..." not in re.sub(r"[\]}]\.\.\.|ARGS\]\.\.\.|PATH\.\.\.", "", said)
    assert not re.search(r"Usage: .*[{\[][a-z]+[}\]]", said)


@pytest.mark.parametrize("name", READERS)
def test_whatever_reads_logs_can_read_them_anew(name, run):
    assert "--no-cache" in helped(name, run)


@pytest.mark.parametrize(
    ("module", "written"),
    [
        (analyze, report.names()),
        (check, _check.RENDERERS),
        (forecast, _forecast.RENDERERS),
        (monthly, _month.RENDERERS),
    ],
)
def test_the_formats_of_a_command_are_those_it_has_renderers_for(module, written):
    assert sorted(module.FORMATS) == sorted(written)


@pytest.mark.parametrize("module", [analyze, check, forecast, monthly, reconcile, show, simulate, sql])
def test_help_lists_the_formats_of_its_own_command_and_an_error_the_nearest(module, run):
    name = module.__name__.rpartition(".")[2]
    assert ", ".join(module.FORMATS) + "." in re.sub(r"\s+", " ", helped(name, run))
    least = ("--month", "2026-10") if module is monthly else ("--against", "x") if module is reconcile else ()
    done = run(name, "x", "x", *least, "--format", "jsn")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"error: {name} has no format 'jsn'\nhint: did you mean json? formats: {', '.join(module.FORMATS)}\n"
    )


@pytest.mark.parametrize("flags", [("-o", "{}/none/a.txt"), ("--also", "json={}/none/a.json")])
def test_a_folder_that_is_not_there_is_told_before_anything_is_read(flags, run, tmp_path, monkeypatch):
    monkeypatch.setattr("costaudit.pipeline.requests", lambda *_: pytest.fail("read"))
    done = run("analyze", "x", *(flag.format(tmp_path) for flag in flags))
    assert (done.code, done.out) == (2, "")
    assert f"there is no folder {tmp_path}/none\nhint: mkdir -p {tmp_path}/none\n" in done.err


@pytest.mark.parametrize("flags", [("-o", "{}/a.txt"), ("--also", "json={}/a.json")])
def test_a_place_that_may_not_be_written_is_told_before_anything_is_read(flags, run, tmp_path, monkeypatch):
    def refused(**_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", refused)
    monkeypatch.setattr("costaudit.pipeline.requests", lambda *_: pytest.fail("read"))
    done = run("analyze", "x", *(flag.format(tmp_path) for flag in flags))
    assert (done.code, done.out) == (2, "")
    assert f"cannot write {tmp_path}/a." in done.err
    assert "Permission denied\nhint: name a file that you may write\n" in done.err
    done = run("ingest", "x", "--store", tmp_path / "new" / "store")
    assert (done.code, done.out) == (2, "")
    assert f"error: {tmp_path}/new/store: cannot be written: Permission denied\n" in done.err
    assert not list(tmp_path.iterdir())


def test_a_pages_lines_fit_the_terminal_and_its_commands_can_be_copied():
    for one in pages():
        for columns in (60, 80):
            assert max(len(line[0].text) for line in shown(markdown(one), columns) if line) <= columns, one.rule
            text = filled(markdown(one), columns)
            assert max(map(len, re.sub(r"```.*?```", "", text, flags=re.DOTALL).splitlines())) <= columns
            assert text.split() == markdown(one).split()
    lines = paint(shown(markdown(page("budget-overrun")), 60), color=False)
    command = lines[lines.index("$ ") + 2 : lines.index("…")]
    assert shlex.split(command.replace("\\\n", " ").rpartition("\n")[0]) == [
        *("costaudit", "analyze", "--config", "sample_logs/analyzers/budget-overrun.yaml"),
        "sample_logs/analyzers/budget-overrun.jsonl",
    ]


def test_a_path_too_long_for_the_machine_is_wrong_usage_and_no_bug(run):
    done = run("analyze", "x" * 5000)
    assert done.code == 2
    assert done.err.startswith("error: xxx")
    assert "File name too long\nhint: " in done.err
    assert len(done.err) < 2 * cli.NAME


def test_a_group_lists_its_commands_in_whole_sentences():
    group = cli.load("prices")
    text = group.get_help(typer.Context(group, info_name="prices", terminal_width=80))
    assert "as files to" in text
    assert "use with --prices DIR." in text


def test_the_line_of_progress_never_wraps_for_then_it_is_written_over_no_more(monkeypatch):
    class Narrow(io.StringIO):
        def isatty(self) -> bool:
            return True

        def fileno(self) -> int:
            return 2

    monkeypatch.setattr("sys.stderr", Narrow())
    monkeypatch.setattr("os.get_terminal_size", lambda _: os.terminal_size((60, 24)))
    monkeypatch.setattr(_output, "PATIENCE", -1.0)
    with _output.progress() as show:
        show("logs/" + "long-" * 40 + "name.jsonl", 1, 2)
    said = sys.stderr.getvalue()
    assert "reading 1 of 2: logs/long-" in said
    assert max(map(len, said.split("\r"))) == 58


def test_compressed_logs_are_read_from_standard_input(run, tmp_path, monkeypatch):
    packed = io.TextIOWrapper(io.BytesIO(gzip.compress(response(1).encode())))
    monkeypatch.setattr("sys.stdin", packed)
    assert run("sql", "select count(*) as calls from calls", "-", "--format", "csv") == (0, "calls\r\n1\r\n", "")


def test_doctor_reads_a_store(run, tmp_path):
    (tmp_path / "a.jsonl").write_text(response(1))
    assert run("ingest", "a.jsonl", "--store", "kept").code == 0
    done = run("doctor", "kept")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("1 records = 1 request\n") or done.out.startswith("1 record = 1 request\n")


@pytest.mark.parametrize(
    ("query", "hint"),
    [
        ("select modl from calls", "did you mean model? the table is `calls`; its columns are in docs/schema.md"),
        ("drop table calls", "a query begins with SELECT or WITH; the table is `calls`"),
    ],
)
def test_a_query_that_asks_for_nothing_there_is_wrong_usage(query, hint, run, tmp_path):
    (tmp_path / "a.jsonl").write_text(response(1))
    done = run("sql", query, "a.jsonl")
    assert (done.code, done.out) == (2, "")
    assert done.err.endswith(f"hint: {hint}\n")


def test_no_parquet_is_written_into_a_file_called_csv(run, tmp_path):
    done = run("export", "a.jsonl", "-o", "a.csv")
    assert done.code == 2
    assert "a.csv would hold Parquet" in done.err


def test_an_interrupt_inside_the_engine_ends_as_an_interrupt(run, monkeypatch):
    def interrupted(*_: object) -> None:
        raise pl.exceptions.PanicException("unwrap on PyErr { type: <class 'KeyboardInterrupt'> }")

    monkeypatch.setattr("costaudit.pipeline.requests", interrupted)
    assert run("sql", "select 1", "x") == (130, "", "")


def test_much_to_read_is_told_by_its_share_and_a_large_file_is_named_once(run, tmp_path, monkeypatch):
    from costaudit.ingest import _pool

    monkeypatch.setattr(_pool, "MUCH", 1)
    asked = [(SimpleNamespace(shown=name, object=None), {}) for name in ("a", "b")]
    heard = []
    told = _pool._Told(asked, [0, 0, 1], [1_000_000_000] * 3, lambda *said: heard.append(said))
    for group in ([0], [1], [2]):
        told.of(group)
    shares = [("a, 33 % of 3.0 GB", 1), ("a, 67 % of 3.0 GB", 1), ("b, 100 % of 3.0 GB", 2)]
    assert heard == [(file, number, 2) for file, number in shares]
    errors = io.StringIO()
    monkeypatch.setattr("sys.stderr", errors)
    with _output.progress(verbose=True) as show:
        for said in heard:
            show(*said)
        show("", 12, 12)
    assert errors.getvalue() == "reading 1 of 2: a, 33 % of 3.0 GB\nreading 2 of 2: b, 100 % of 3.0 GB\n"


def test_settings_beside_the_logs_are_no_log_and_the_names_a_log_may_use_are_listed(run, tmp_path):
    (tmp_path / "a.jsonl").write_text(response(1))
    (tmp_path / "costaudit.yaml").write_text("tz: UTC\n")
    assert "not read" not in run("doctor", ".").out
    listed = run("formats", "generic").out
    assert "- `input_tokens` [tokens]: All input, cached reads and writes included.\n" in listed
    assert "source_offset" not in listed
