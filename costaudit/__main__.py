"""The program as it is started: `costaudit`, `python -m costaudit`."""

from __future__ import annotations

import signal


def start() -> None:
    """Run the program; an interrupt while its modules are imported ends it without a word, as one later on does."""
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler:  # not where it is ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from costaudit.cli import main

    if usual is signal.default_int_handler:
        signal.signal(signal.SIGINT, usual)
    main()


if __name__ == "__main__":
    start()
