"""bytes -> requests: every record becomes a request, a duplicate, a rollup, a reject, a skipped row or blank.

What is named here is imported when it is first used: to see whether files are still the same takes none of the readers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from costaudit.ingest._ingest import (
        REJECTS,
        SOURCES,
        FileRead,
        Ingested,
        formats,
        ingest,
        read_file,
    )

__all__ = ["REJECTS", "SOURCES", "FileRead", "Ingested", "formats", "ingest", "read_file"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}._ingest"), name)
