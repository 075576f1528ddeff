"""Every console block of the README, the documents and the pages of the rules prints what it says."""

from __future__ import annotations

import pytest
from console import ROOT, examples, matches, rewrite, run

DOCUMENTS = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "costaudit" / "analyze").glob("[!_]*.py")),
]
EXAMPLES = [example for path in DOCUMENTS for example in examples(path)]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: f"{e.path.name}:{e.line}")
def test_a_documented_command_prints_what_the_document_says(example, monkeypatch, request):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    printed, code = run(example.command)
    assert code == example.exit_code
    if request.config.getoption("--update"):
        rewrite(example, printed)
    else:
        assert matches(example.said, printed), "\n".join(["it printed:", *printed])


def test_the_documents_have_examples_at_all():
    assert len(EXAMPLES) >= 8
