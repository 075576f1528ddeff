"""The same logs give the same store whoever reads them: one process, a pool, or a cluster that loses a worker."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import buckets
import pytest
from console import ROOT, run

from costaudit.errors import UsageError
from costaudit.ingest import _ray, _store, _store_check, ingest
from costaudit.ingest._answers import unpacked
from costaudit.ingest._task import costaudit_read

# A process of its own: a cluster leaves threads, and warns about its machine. Memory that others use there is no
# reason to end a task; Ray gives itself 30 seconds to start, which are too few while other tests run beside it.
ALONE = {"RAY_memory_monitor_refresh_ms": "0"}
PROGRAM = '''
import json, os, signal, sys
from pathlib import Path
from ray.cluster_utils import Cluster
import ray
from costaudit.ingest import _pool, _ray, _store, ingest

_pool.FILES = 2  # many small tasks
memory = {"object_store_memory": 80_000_000}
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, **memory})
cluster.add_node(wait=False, num_cpus=1, **memory)
cluster.wait_for_nodes(timeout=300)  # a busy machine takes its time
ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
original = _ray.costaudit_read

def dying(mark):
    """The same function, whose process is killed once, whichever that is: when it has read, before it answers."""

    def costaudit_read(asked):
        answer = original(asked)
        try:
            mark.touch(exist_ok=False)
        except FileExistsError:
            return answer
        os.kill(os.getpid(), signal.SIGKILL)

    return costaudit_read

said = []
for n, (logs, store) in enumerate(zip(sys.argv[2::2], sys.argv[3::2])):
    told, mark = [], Path(f"{sys.argv[1]}.{n}")
    _ray.costaudit_read = dying(mark)
    read = ingest([logs], engine=lambda *a: _ray.read_all(*a, None), progress=lambda *said: told.append(said))
    _store.merge(read.requests, store, read.identities)
    said.append({"killed": mark.exists(), "told": told[-1][1:]})
nodes = len({node["NodeID"] for node in ray.nodes() if node["Alive"]})
Path(sys.argv[1]).write_text(json.dumps({"said": said, "nodes": nodes}))  # Ray prints what it likes
ray.shutdown()
cluster.shutdown()
'''


class Cluster(NamedTuple):
    """Where the logs and stores are, and what the cluster said of each; `bucket` is None without a server of S3."""

    folder: Path
    bucket: str | None
    files: int
    said: list[object]
    nodes: int


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A cluster of two nodes that reads logs into a store in a folder, then in a bucket, and loses a worker each time.

    Both in one fixture, for it takes ten seconds to start.
    """
    pytest.importorskip("ray", reason="the cluster needs the extra `ray`")
    folder = tmp_path_factory.mktemp("cluster")
    samples = [path for path in sorted((ROOT / "sample_logs" / "demo").rglob("*")) if path.is_file()]
    for n, path in enumerate(samples):
        (folder / "logs" / str(n)).mkdir(parents=True)
        (folder / "logs" / str(n) / path.name).write_bytes(path.read_bytes())
    places, url = [folder / "logs", folder / "there"], None
    with ExitStack() as stack:
        if all(importlib.util.find_spec(name) for name in ("obstore", "moto", "flask")):
            address = stack.enter_context(buckets.running())
            once = stack.enter_context(pytest.MonkeyPatch.context())
            for name, value in (buckets.VARIABLES | {"AWS_ENDPOINT_URL": address}).items():
                once.setenv(name, value)
            there = buckets.Bucket("ray-cluster", address)
            url = there.url
            for n, path in enumerate(samples):
                there.put(f"logs/{n}/{path.name}", path.read_bytes())
            places += [f"{url}/logs/", f"{url}/there"]
        for _ in range(3):
            made = subprocess.run(
                [sys.executable, "-c", PROGRAM, *map(str, (folder / "said.json", *places))],
                cwd=ROOT, capture_output=True, text=True, timeout=600, check=False, env=os.environ | ALONE,
            )  # fmt: skip
            if "timed out during startup" not in made.stderr:
                break
        assert made.returncode == 0, made.stderr
        yield Cluster(folder, url, len(samples), **json.loads((folder / "said.json").read_text()))


def test_a_cluster_of_two_nodes_that_loses_a_worker_writes_the_same_store(cluster):
    assert cluster.said[0] == {"killed": True, "told": [cluster.files, cluster.files]}
    assert cluster.nodes == 2
    here = ingest([cluster.folder / "logs"])
    _store.merge(here.requests, cluster.folder / "here", here.identities)
    assert tree(cluster.folder / "here") == tree(cluster.folder / "there")


def test_a_cluster_reads_a_bucket_into_a_store_in_a_bucket(cluster):
    if cluster.bucket is None:
        pytest.skip("a bucket needs the extra `dev-cloud`")
    assert cluster.said[1] == {"killed": True, "told": [cluster.files, cluster.files]}
    here = ingest([f"{cluster.bucket}/logs/"])
    _store.merge(here.requests, f"{cluster.bucket}/here", here.identities)
    there = f"{cluster.bucket}/there"
    assert buckets.nameless(_store.parts.load(there)) == buckets.nameless(_store.parts.load(f"{cluster.bucket}/here"))
    assert not _store_check.verify(there).problems


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
        return unpacked(answer.own()), answer.doubtful

    samples = ROOT / "sample_logs" / "formats"
    here, there = ingest([samples]), ingest([samples], engine=engine)
    assert there.requests.equals(here.requests)
    assert (there.fates, there.notes) == (here.fates, here.notes)


def test_an_answer_of_other_code_is_refused():
    with pytest.raises(UsageError, match="another version of costaudit"):
        costaudit_read([])._replace(code="older").own()


@pytest.mark.parametrize("flags", ["--engine spark", "--address auto"])
def test_an_engine_that_is_none_and_an_address_without_one_are_usage_errors(tmp_path, flags):
    _, code = run(f"costaudit ingest sample_logs/demo --store {tmp_path / 'store'} {flags}")
    assert code == 2
    assert not (tmp_path / "store").exists()


def test_without_the_extra_the_error_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match="extra `ray`"):
        _ray.read_all([], None, None)
