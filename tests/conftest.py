"""What every test can ask for: golden files, and the folder of real data where it is at hand."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from buckets import bucket, google, server  # noqa: F401  fixtures
from hypothesis import is_hypothesis_test, settings

from costaudit import known
from costaudit.__main__ import COLLECTED

pytest.register_assert_rewrite("caches", "program", "samples")  # helpers that assert say what differs, as tests do

gc.set_threshold(COLLECTED, 20, 100)  # as the program is run

# A worker of several has one thread for its tables, what it starts as many as anybody: `test_threads` compares the two.
ONE_THREAD = {"POLARS_MAX_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
if "PYTEST_XDIST_WORKER" in os.environ:
    assert pl.thread_pool_size() == 1
    for name in ONE_THREAD:
        del os.environ[name]

# Seconds are measured in bench/, never asserted; the same examples every time, so that a failure is everybody's.
settings.register_profile("suite", deadline=None, derandomize=True, database=None, max_examples=60)
settings.load_profile("suite")

# The suite's own cache: never the user's, and empty at the start.
os.environ["COSTAUDIT_CACHE_DIR"] = tempfile.mkdtemp(prefix="costaudit-tests-")
# Nor does a terminal, a CI job, an account or a time zone of whoever runs the suite say what is printed.
for name in list(os.environ):
    if name.startswith(("AWS_", "AZURE_", "GOOGLE_", "RAY_", "GITHUB_", "OTEL_")) or name in (
        *("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "COSTAUDIT_DEBUG", "STORAGE_EMULATOR_HOST"),
        *("EMAIL", "GIT_AUTHOR_EMAIL"),
    ):
        del os.environ[name]

HERE = Path(__file__).parent
SHARED = HERE.parent.parent / "shared"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="rewrite the golden files; read the diff, it is the review")
    parser.addoption(
        "--explore", type=int, metavar="N", help="N times as many examples of each property, new each time"
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Workers are as many as cores: threads of theirs would wait for those of the others."""
    os.environ.update(ONE_THREAD)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--explore`, examples are drawn at random: what it finds is mended, and pinned with `@example`."""
    if times := config.getoption("--explore"):
        for test in {item.function for item in items if is_hypothesis_test(getattr(item, "function", None))}:
            usual = test._hypothesis_internal_use_settings
            more = {"max_examples": usual.max_examples * times, "derandomize": False, "print_blob": True}
            test._hypothesis_internal_use_settings = settings(usual, **more)


def pytest_unconfigure() -> None:
    shutil.rmtree(os.environ["COSTAUDIT_CACHE_DIR"], ignore_errors=True)


@pytest.fixture(autouse=True)
def worked_out_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test gets an answer that another one has worked out; `test_known` asks for it."""
    monkeypatch.setattr(known, "state", lambda *_: None)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a text with `tests/golden/<name>`, byte for byte."""

    def compare(name: str, text: str) -> None:
        path = HERE / "golden" / name
        if request.config.getoption("--update"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
        assert path.is_file(), f"{path} is missing: run pytest --update and read it"
        assert text == path.read_bytes().decode(), f"{path} differs: run pytest --update and read the diff"

    return compare


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real samples and data sets, beside the checkout; tests of it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"no real data: {SHARED.name}/ is not beside the checkout")
    return SHARED
