"""A recipe: costaudit's reading as a job of an existing Spark cluster (docs/cluster.md).

python docs/spark.py LOGS STORE

Every task is the function that a worker process of `costaudit ingest` runs. Its answer is one binary cell: Spark has no
unsigned integers, and the hashes of the request table are unsigned.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator, Sequence

import pyarrow as pa
from pyspark.sql import SparkSession

from costaudit.ingest import _store, ingest
from costaudit.ingest._pool import Progress, groups_of
from costaudit.ingest._read import Asked, FileRead
from costaudit.ingest._task import Answer, costaudit_read

ANSWERS = pa.schema([("part", pa.int32()), ("answer", pa.binary())])


def tasks(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Runs on the cluster: groups of files in, answers out."""
    for batch in batches:
        for row in batch.to_pylist():
            answer = costaudit_read(pickle.loads(row["files"]))
            yield pa.RecordBatch.from_pylist([{"part": row["part"], "answer": pickle.dumps(tuple(answer))}], ANSWERS)


def engine(asked: Sequence[Asked], progress: Progress | None) -> tuple[list[FileRead], set[str]]:
    """Runs here: what each file gave, in order, and which objects changed while they were read."""
    del progress  # Spark has pages of its own for it
    if not asked:
        return [], set()
    spark = SparkSession.builder.appName("costaudit").getOrCreate()
    groups = groups_of(asked)
    rows = [(part, pickle.dumps([asked[n] for n in group])) for part, group in enumerate(groups)]
    jobs = spark.createDataFrame(rows, "part int, files binary").repartition(len(rows), "part")
    found: dict[int, FileRead] = {}
    doubtful: set[str] = set()
    for row in jobs.mapInArrow(tasks, "part int, answer binary").toLocalIterator():
        answer = Answer(*pickle.loads(row["answer"]))
        found |= dict(zip(groups[row["part"]], answer.reads(), strict=True))
        doubtful |= answer.doubtful
    return [found[n] for n in range(len(asked))], doubtful


if __name__ == "__main__":
    logs, store = sys.argv[1:]
    read = ingest([logs], engine=engine)
    print(_store.merge(read.requests, store, read.identities))
