"""The derived documents are what the code says today."""

from __future__ import annotations

import importlib.util

import pytest
from console import ROOT

spec = importlib.util.spec_from_file_location("docs_build", ROOT / "docs" / "build.py")
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)


@pytest.mark.parametrize("name", build.PAGES)
def test_a_document_is_what_the_code_says(name, request):
    path = ROOT / "docs" / name
    if request.config.getoption("--update"):
        path.write_text(build.page(name), encoding="utf-8")
    assert path.read_text(encoding="utf-8") == build.page(name), "run: python docs/build.py"
