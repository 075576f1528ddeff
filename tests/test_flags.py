"""Words of a command line: what they become, and how a wrong one is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import pytest
import typer
from program import run as run
from samples import SAMPLES

from costaudit.cli import Command


@pytest.mark.parametrize(
    ("arguments", "what", "hint"),
    [
        (["analyse", "x"], "costaudit has no command 'analyse'", "did you mean analyze?"),
        (["prices", "lst"], "costaudit prices has no command 'lst'", "did you mean list?"),
        (["store", "zzz"], "costaudit store has no command 'zzz'", "commands: info, verify, compact"),
        (["analyze", "--frmat", "json"], "costaudit analyze has no flag --frmat", "did you mean --format?"),
        (["analyze", "-Z"], "costaudit analyze has no flag -Z", "`costaudit analyze --help` says more"),
        (
            ["analyze", "x", "--tz"],
            "--tz needs a value: ZONE",
            "Time zone of days and windows, e.g. Europe/Berlin. Default: UTC.",
        ),
        (["analyze", "x", "--quiet=3"], "--quiet takes no value", "`costaudit analyze --help` says more"),
        (
            ["analyze", "x", "--min-coverage", "half"],
            "--min-coverage: not a number: half",
            "Exit 3 if less of the log can be priced, 0 to 1.",
        ),
        (
            ["check", "x", "--baseline", ""],
            "--baseline: its value is empty",
            "Logs, a store, a file of `baseline save`, or last-28d: before --since.",
        ),
        (
            ["analyze", "x", "--also", "json=a", "--also", "html=./a"],
            "two formats in one file: ./a",
            "give each a file of its own",
        ),
        (["forecast", "x", "--weeks", "1.5"], "--weeks: not a whole number: 1.5", "Weeks ahead. Default: 4."),
        (["forecast", "x", "--weeks", "99"], "--weeks must be from 1 to 52, not 99", "Weeks ahead. Default: 4."),
        (
            ["explain", "batchable", "b\x1b[2J"],
            "costaudit explain has no place for b",
            "Usage: costaudit explain [OPTIONS] [RULE]",
        ),
        (
            ["ingest", "x"],
            "costaudit ingest needs --store",
            "--store: The store, made if it is not there; DIR or s3://BUCKET/DIR. `costaudit ingest --help` says more",
        ),
    ],
)
def test_a_wrong_word_is_told_as_every_error_is(arguments, what, hint, run):
    ran = run(*arguments)
    assert (ran.code, ran.out) == (2, "")
    said, next_step = ran.err.splitlines()
    assert said.startswith(f"error: {what}")
    assert "\x1b" not in said
    assert next_step == f"hint: {hint}"


def test_logs_without_a_command_are_offered_an_audit(run, tmp_path):
    (tmp_path / "logs").mkdir()
    assert run("logs").err.splitlines()[1] == "hint: to audit it: costaudit analyze logs"


def test_a_group_without_a_command_shows_what_there_is(run):
    ran = run("prices")
    assert (ran.code, ran.out) == (2, "")
    assert "Usage: costaudit prices" in ran.err


def given(*words: str) -> dict[str, object]:
    """What a command with a flag of each kind is called with."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    taken: dict[str, object] = {}

    def command(
        paths: Annotated[list[str], typer.Argument()],
        name: Annotated[str | None, typer.Option()] = None,
        file: Annotated[Path | None, typer.Option()] = None,
        weeks: Annotated[int, typer.Option()] = 4,
        share: Annotated[float | None, typer.Option()] = None,
        by: Annotated[list[str] | None, typer.Option()] = None,
        quiet: Annotated[bool, typer.Option("--quiet")] = False,
    ) -> None:
        taken.update(paths=paths, name=name, file=file, weeks=weeks, share=share, by=by, quiet=quiet)

    app.command("x", cls=Command)(command)
    typer.main.get_command(app).main(list(words), standalone_mode=False)
    return taken


NOTHING = {"paths": ["a"], "name": None, "file": None, "weeks": 4, "share": None, "by": None, "quiet": False}


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ("a", {}),
        ("a b", {"paths": ["a", "b"]}),
        ("a --name 7 --quiet", {"name": "7", "quiet": True}),
        ("a --file -", {"file": Path("-")}),
        ("a --weeks 12 --share 0.25", {"weeks": 12, "share": 0.25}),
        ("--by day a --by task", {"by": ["day", "task"]}),
    ],
)
def test_words_become_the_values_that_the_signature_names(words, values):
    assert given(*words.split()) == NOTHING | values


def test_rules_are_named_one_by_one_or_with_commas(run):
    def checked(*flags):
        found = json.loads(run("analyze", str(SAMPLES / "claude-code.jsonl"), *flags, "--format", "json").out)
        return found["clean"], found["not_checked"], found["findings"]

    one_by_one = checked("--select", "cache-miss", "--select", "runaway-loop", "--ignore", "cache-miss")
    assert checked("--select", "cache-miss, runaway-loop", "--ignore", "cache-miss") == one_by_one
    assert checked("--select", "cache-miss,runaway-loop") != one_by_one
