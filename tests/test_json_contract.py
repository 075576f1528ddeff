"""What the pages say of JSON is what commands print: every key is named there, dollars are strings."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from console import ROOT
from program import run as run

DEMO = ROOT / "sample_logs" / "demo"
GATEWAY = DEMO / "gateway"
TOOL = DEMO / "agent"
PAGES = ("json", "gate", "month", "forecast", "reconcile")
COMMANDS = {
    "analyze": ["analyze", TOOL, "--by", "week"],
    "spend": ["spend", GATEWAY, "--by", "day,model", "--top", "2"],
    "check": ["check", GATEWAY / "2026-10.ndjson.gz", "--baseline", GATEWAY / "2026-09.ndjson.gz"],
    "report": ["report", GATEWAY, "--month", "2026-10"],
    "forecast": ["forecast", GATEWAY, "--growth", "10x", "--target", "100"],
    "simulate": ["simulate", TOOL, "--ceiling", "task=research:steps=8"],
    "doctor": ["doctor", GATEWAY],
    "show": ["show", "F-990fe6", TOOL],
}
# Whose keys are names out of a log or of a rule.
OF_LOGS = re.compile(
    r"\.(subject|evidence|evidence_rest|details|fields|\w+_by_\w+|groups)\b|\.tables\[\]\.r|drivers\[\]"
)
NUMBERS = re.compile(
    r"^\.(history|ahead|tenants|coming|way|growth)\b|\.details\.|\.(promised|measured)\."
)  # projected or measured


def walked(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield f"{path}.{key}", one
            yield from walked(one, f"{path}.{key}")
    elif isinstance(value, list):
        for one in value:
            yield from walked(one, f"{path}[]")


def no_number(text: str) -> float:
    raise ValueError(f"{text} is no JSON")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_key_is_named_on_a_page_and_dollars_are_exact_strings(name, run):
    done = run(*COMMANDS[name], "--format", "json", "--no-cache")
    assert done.code in (0, 1), done.err
    document = json.loads(done.out, parse_constant=no_number)
    pages = "".join((ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8") for page in PAGES)
    pages = re.sub(r"^```.*?^```", "", pages, flags=re.DOTALL | re.MULTILINE)
    named = {word for code in re.findall(r"`([^`]+)`", pages) for word in re.findall(r"\w+", code)}
    keys = dict(walked(document))
    assert not {
        key
        for key in keys
        if not OF_LOGS.search(key) and not key.endswith("_tokens") and key.split(".")[-1] not in named
    }
    for path, value in walked(document):
        if path.endswith("usd") and not NUMBERS.search(path):
            assert value is None or re.fullmatch(r"-?\d+(\.\d{1,18})?", value), (path, value)
