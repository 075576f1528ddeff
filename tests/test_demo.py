"""The demo logs are what their generator writes, and hold what they are said to hold."""

from __future__ import annotations

import gzip
import importlib.util

from console import ROOT

from costaudit.ingest import ingest

spec = importlib.util.spec_from_file_location("sample_logs_build", ROOT / "sample_logs" / "build.py")
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)
DEMO = ROOT / "sample_logs" / "demo"


def content(folder):
    def text(path):
        data = path.read_bytes()
        return gzip.decompress(data) if path.suffix == ".gz" else data

    return {path.relative_to(folder).as_posix(): text(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_generator_writes_the_committed_files(tmp_path):
    build.build(tmp_path)
    assert content(tmp_path) == content(DEMO)


def test_four_loggers_are_read_with_copies_and_broken_lines_counted():
    read = ingest([DEMO])
    assert {"openai-chat", "anthropic-messages", "litellm", "claude-code"} == set(read.requests["format"])
    assert read.fates.balanced
    assert read.fates.duplicates > 100
    assert read.fates.rejects == {"not JSON": 3}
