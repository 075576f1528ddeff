"""The house: every plugin is where it is looked for, named as it says, explained and shown."""

from __future__ import annotations

import ast
import inspect
import re

import pytest
from console import ROOT

from costaudit import plugins, schema
from costaudit.analyze import analyzers
from costaudit.finding import Kind
from costaudit.ingest import formats, ingest
from costaudit.ingest._aggregate import AggregateFormat
from costaudit.ingest._decode import parsed
from costaudit.ingest._detect import guess
from costaudit.ingest._files import LogFile, Record, records

HEADINGS = ["What it finds", "Why it costs money", "What to do", "Example"]
SAMPLES = ROOT / "sample_logs"

by_name = {"ids": lambda plugin: plugin.name}


def sample_of(form):
    return sorted(p for p in (SAMPLES / "formats").iterdir() if p.name.split(".")[0] == form.name)


@pytest.mark.parametrize("plugin", [*formats(), *analyzers()], **by_name)
def test_a_plugin_is_the_module_of_its_name(plugin):
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", plugin.name)
    assert plugin.__module__.rpartition(".")[2] == plugin.name.replace("-", "_")


@pytest.mark.parametrize("package", ["costaudit.ingest", "costaudit.analyze"])
def test_every_module_of_a_plugin_folder_is_a_plugin(package):
    for module in plugins.modules(package):
        assert any(hasattr(value, "name") for value in vars(module).values() if inspect.isclass(value)), module


def test_every_report_format_renders():
    assert all(callable(module.render) for module in plugins.modules("costaudit.report"))


@pytest.mark.parametrize("rule", analyzers(), **by_name)
def test_the_page_of_a_rule_has_the_four_headings(rule):
    page = inspect.getdoc(rule)
    assert re.findall(r"^## (.+)$", page, re.MULTILINE) == HEADINGS
    first = page.split("\n")[0]
    assert first.endswith(".")
    assert len(first) <= 110


@pytest.mark.parametrize("rule", analyzers(), **by_name)
def test_a_rule_names_the_columns_it_reads(rule):
    assert rule.reads is not None
    assert set(rule.reads) <= set(schema.CALLS)


@pytest.mark.parametrize("rule", analyzers(), **by_name)
def test_a_rule_that_owns_dollars_has_a_place_in_the_ledger_and_no_other_has(rule):
    assert (rule.order is not None) == (rule.kind in (Kind.WASTE, Kind.DECIDE))


@pytest.mark.parametrize("rule", analyzers(), **by_name)
def test_every_option_has_a_unit_and_a_meaning(rule):
    for option in rule.options():
        assert option.unit, option.name
        assert option.meaning.endswith("."), option.name


@pytest.mark.parametrize("rule", analyzers(), **by_name)
def test_every_rule_has_a_sample_log(rule):
    assert list((SAMPLES / "analyzers").glob(f"{rule.name}.*"))


@pytest.mark.parametrize("form", formats(), **by_name)
def test_every_format_has_a_page_and_a_sample(form):
    assert form.title
    assert len(inspect.getdoc(form).split("\n")[0]) <= 120
    assert sample_of(form)


@pytest.mark.parametrize("form", formats(), **by_name)
def test_a_sample_is_recognised_by_its_own_format_and_by_no_other(form):
    for path in sample_of(form):
        read = ingest([path])
        if issubclass(form, AggregateFormat):  # sums are no requests, and nothing else either
            assert set(read.sources["format"]) == {form.name}
            assert read.requests.is_empty()
        else:
            assert set(read.requests["format"]) == {form.name}
        found = set()
        for batch in records(LogFile(path, path.name)):
            for record in batch:
                value = parsed(record.data) if isinstance(record, Record) and isinstance(record.data, bytes) else None
                if isinstance(value, dict) and (best := guess(value)) is not None:
                    found.add(best[0].form.name)
        assert found <= {form.name}


def test_no_module_of_the_program_can_reach_a_network():
    reaching = {"socket", "http", "urllib3", "requests", "httpx", "aiohttp", "ftplib", "smtplib", "ssl"}
    for path in (ROOT / "costaudit").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not reaching & {name.partition(".")[0] for name in names}, path
            assert not {"urllib", "urllib.request"} & set(names), path  # urllib.parse only takes addresses apart


def test_every_file_can_be_read_in_one_sitting():
    folders = ("costaudit", "tests", "bench", "docs", "pricing", "sample_logs")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 600
    long = {str(path.relative_to(ROOT)): path.read_bytes().count(b"\n") for path in files}
    assert not {name: lines for name, lines in long.items() if lines > 400}
