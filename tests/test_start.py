"""How the program begins and ends: what it does without, and that nothing is lost when it leaves."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from costaudit import _unused

READER = """
import sys
from costaudit._unused import READERS, Unused
sys.meta_path.insert(0, Unused())
import polars
print([name for name in sys.modules if name.split(".")[0] == "email" or ".".join(name.split(".")[:3]) in READERS])
"""


INHERITED = ("PYTHONUNBUFFERED", "_RJEM_MALLOC_CONF")  # the second one of whoever has imported polars


def alone(code, *arguments, stdout=subprocess.PIPE, **variables):
    buffered = {name: value for name, value in os.environ.items() if name not in INHERITED} | variables
    words = [sys.executable, "-c", code, *arguments]
    return subprocess.run(words, env=buffered, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)


KEPT = """
import os, sys
from costaudit.__main__ import start
sys.argv = ["costaudit", *sys.argv[1:], "--help"]
try:
    start()
except SystemExit:
    import polars
print(os.environ["_RJEM_MALLOC_CONF"])
"""


def test_who_writes_a_store_gives_memory_back_soon_unless_the_user_says_otherwise():
    """Of two settings of one thing the last one holds; polars sets its own before."""
    assert alone(KEPT, "ingest").stdout.strip().endswith("dirty_decay_ms:100,muzzy_decay_ms:0")
    assert "dirty_decay_ms:100," not in alone(KEPT, "analyze").stdout
    whose = {"_RJEM_MALLOC_CONF": "dirty_decay_ms:-1"}
    assert alone(KEPT, "ingest", **whose).stdout.strip().endswith(",dirty_decay_ms:-1")


def test_the_program_imports_no_reader_of_lakes():
    told = alone(READER)
    assert sorted(eval(told.stdout)) == sorted(_unused.READERS), told.stderr


@pytest.mark.parametrize(
    "asked",
    [
        "from polars.io.iceberg import IcebergCatalogConfig as asked",
        "import polars.io.iceberg; asked = polars.io.iceberg.IcebergCatalogConfig",
        "import polars.io.iceberg._dataset as true; asked = true.IcebergCatalogConfig",
        "from polars.io.delta import scan_delta as asked",
        "from polars.io.lance import scan_lance as asked",
        "from polars.catalog.unity import Catalog as asked",
    ],
)
def test_whoever_asks_for_a_reader_later_gets_it(asked):
    told = alone(f"{READER}{asked}\nprint(asked.__module__)")
    reader = asked.split()[1].rstrip(";").removesuffix("._dataset")
    (module,) = told.stdout.splitlines()[1:] or [told.stderr]
    assert module.startswith(f"{reader}.")


def test_what_stands_in_for_a_function_of_the_reader_calls_it():
    told = alone(f"{READER}\npolars.scan_iceberg('table', never=1)")
    assert "TypeError: scan_iceberg() got an unexpected keyword argument 'never'" in told.stderr


STARTED = """
import atexit, sys
from costaudit import __main__ as program, cli
def main():
    atexit.register(lambda: print("tidied"))
    print("said")
    sys.exit(eval(sys.argv[1]))
cli.main = main
program.start()
"""


def test_whoever_interrupts_the_first_import_meets_nothing_but_modules_that_are_there_already():
    said = "import sys; had = set(sys.modules); import costaudit.__main__; print(*sorted(set(sys.modules) - had))"
    assert set(alone(said).stdout.split()) - set(sys.builtin_module_names) <= {
        "costaudit",
        "costaudit.__main__",
        "__future__",
    }


@pytest.mark.parametrize(("ended", "code"), [("0", 0), ("1", 1), ("143", 143), ("None", 0), ("'why'", 1)])
def test_the_end_of_the_program_says_all_tidies_up_and_keeps_its_exit_code(ended, code):
    done = alone(STARTED, ended)
    assert (done.returncode, done.stdout) == (code, "said\ntidied\n"), done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_an_output_that_takes_nothing_at_the_end_is_told():
    with Path("/dev/full").open("w") as full:
        done = alone(STARTED, "0", stdout=full)
    assert (done.returncode, "No space left on device" in done.stderr) == (120, True)
