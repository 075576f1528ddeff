"""Reading as a task for another machine: names of files in, one answer as bytes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from costaudit.errors import UsageError
from costaudit.ingest._answers import packed
from costaudit.ingest._cache import version
from costaudit.ingest._file_read import Asked
from costaudit.ingest._read import read_files
from costaudit.ingest._remote import Fetcher


class Answer(NamedTuple):
    """What some files gave.

    code      digest of the code that read them
    data      counts, and rows as Arrow (`_pool.packed`)
    doubtful  objects that were not what their listing said (`_remote.Fetcher`)
    """

    code: str
    data: bytes
    doubtful: set[str]

    def own(self) -> bytes:
        """The data; UsageError where other code than this one made them."""
        if self.code != version():
            raise UsageError(
                "the cluster's machines run another version of costaudit than this one",
                hint="install the same one everywhere: the same logs must give the same store",
            )
        return self.data


def costaudit_read(asked: Sequence[Asked]) -> Answer:
    """Read files here; a pure function of their bytes, so that a task may be run again, anywhere."""
    fetcher = Fetcher()
    reads = fetcher.read(asked, lambda part, _: read_files(part))
    return Answer(version(), packed(reads), fetcher.doubtful)
