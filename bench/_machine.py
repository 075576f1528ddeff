"""What a measurement is worth only with: the day and the machine it was made on, and the command that repeats it."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime


def measured_by(command: str) -> str:
    """`Measured on 2026-11-26 on 2 cores, x86_64, Python 3.11.7, by ...`, for the head of a table."""
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    return f"Measured on {datetime.now(UTC):%Y-%m-%d} on {machine}, by `python {command}`"
