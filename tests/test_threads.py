"""Threads are as many as a machine has cores, and no figure depends on how many those are."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from console import ROOT

LOGS = [ROOT / "sample_logs" / folder for folder in ("analyzers", "demo", "formats")]


@pytest.mark.parametrize("command", [("analyze", "--format", "json"), ("spend", "--by", "model,day", "--by", "tenant")])
def test_any_number_of_threads_gives_the_same_bytes(command):
    said = {}
    for threads in (1, 5):
        told = subprocess.run(
            [sys.executable, "-m", "costaudit", command[0], *LOGS, *command[1:], "--no-cache"],
            env=os.environ | {"POLARS_MAX_THREADS": str(threads)},
            capture_output=True,
            check=True,
        )
        said[threads] = told.stdout
    assert len(said[1]) > 1_000
    assert said[1] == said[5]
