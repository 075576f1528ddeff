"""Where the files that travel with the program are."""

from __future__ import annotations

from pathlib import Path

from costaudit.errors import CostAuditError


def bundled(name: str) -> Path:
    """The folder `pricing` or `sample_logs`: inside the wheel, or at the top of a checkout."""
    package = Path(__file__).parent
    for place in (package / "_data" / name, package.parent / name):
        if place.is_dir():
            return place
    raise CostAuditError(f"the folder {name!r} is missing from this installation", hint="reinstall costaudit")
