"""The same logs give the same store whoever reads them: one process, a pool, or a cluster that loses a worker."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
from console import ROOT, run

from costaudit.errors import UsageError
from costaudit.ingest import _ray, _store, ingest
from costaudit.ingest._task import costaudit_read

# A process of its own: a cluster leaves threads, and warns about the machine it is on.
PROGRAM = """
import json, os, signal, sys, threading, time
from pathlib import Path
from ray.cluster_utils import Cluster
import ray
from costaudit.ingest import _pool, _ray, _store, ingest

folder = Path(sys.argv[1])
_pool.FILES = 2  # many small tasks
memory = {"object_store_memory": 80_000_000}
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, **memory})
cluster.add_node(num_cpus=1, **memory)
ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
killed = []

def kill():
    while not killed:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if (process / "cmdline").read_bytes().startswith(b"ray::costaudit_read"):
                    os.kill(int(process.name), signal.SIGKILL)
                    killed.append(process.name)
                    return
            except OSError:
                continue

threading.Thread(target=kill, daemon=True).start()
told = []
there = ingest([folder / "logs"], engine=lambda *asked: _ray.read_all(*asked, None), progress=lambda *s: told.append(s))
_store.merge(there.requests, folder / "there", there.identities)
nodes = len({node["NodeID"] for node in ray.nodes() if node["Alive"]})
print(json.dumps({"killed": len(killed), "nodes": nodes, "told": told[-1][1:]}))
ray.shutdown()
cluster.shutdown()
"""


def test_a_cluster_of_two_nodes_that_loses_a_worker_writes_the_same_store(tmp_path):
    pytest.importorskip("ray", reason="the cluster needs the extra `ray`")
    samples = [path for path in sorted((ROOT / "sample_logs" / "demo").rglob("*")) if path.is_file()]
    for n, path in enumerate(samples):
        (tmp_path / "logs" / str(n)).mkdir(parents=True)
        (tmp_path / "logs" / str(n) / path.name).write_bytes(path.read_bytes())
    made = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    assert made.returncode == 0, made.stderr
    said = json.loads(made.stdout.splitlines()[-1])
    assert said == {"killed": 1, "nodes": 2, "told": [len(samples), len(samples)]}
    here = ingest([tmp_path / "logs"])
    _store.merge(here.requests, tmp_path / "here", here.identities)
    assert tree(tmp_path / "here") == tree(tmp_path / "there")


def test_the_spark_recipe_writes_the_same_store(tmp_path):
    for needed in ("pyspark", "pandas"):
        pytest.importorskip(needed, reason="the recipe for Spark needs pyspark and pandas, which no extra brings")
    if shutil.which("java") is None:
        pytest.skip("the recipe for Spark needs Java")
    logs = ROOT / "sample_logs" / "demo"
    made = subprocess.run(
        [sys.executable, ROOT / "docs" / "spark.py", logs, tmp_path / "there"],
        cwd=ROOT, capture_output=True, text=True, timeout=600, check=False,
        env={**os.environ, "PYSPARK_PYTHON": sys.executable},
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    here = ingest([logs])
    _store.merge(here.requests, tmp_path / "here", here.identities)
    assert tree(tmp_path / "here") == tree(tmp_path / "there")


def tree(folder):
    """Every file of a store, byte for byte."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_packed_answer_of_a_task_is_what_the_files_gave():

    def engine(asked, progress):
        answer = costaudit_read(asked)
        return answer.reads(), answer.doubtful

    samples = ROOT / "sample_logs" / "formats"
    here, there = ingest([samples]), ingest([samples], engine=engine)
    assert there.requests.equals(here.requests)
    assert (there.fates, there.notes) == (here.fates, here.notes)


def test_an_answer_of_other_code_is_refused():
    with pytest.raises(UsageError, match="another version of costaudit"):
        costaudit_read([])._replace(code="older").reads()


@pytest.mark.parametrize("flags", ["--engine spark", "--address auto"])
def test_an_engine_that_is_none_and_an_address_without_one_are_usage_errors(tmp_path, flags):
    _, code = run(f"costaudit ingest sample_logs/demo --store {tmp_path / 'store'} {flags}")
    assert code == 2
    assert not (tmp_path / "store").exists()


def test_without_the_extra_the_error_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match="extra `ray`"):
        _ray.read_all([], None, None)
