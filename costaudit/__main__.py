"""The program as it is started: `costaudit`, `python -m costaudit`.

What is imported here is there already when Python starts: an interrupt meets an import only once it ends it in silence.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found,unused-ignore]  # `signal` itself reads four files first
import atexit
import gc
import os
import sys

KEEPS = "dirty_decay_ms:100,muzzy_decay_ms:0"
"""Milliseconds that polars keeps memory which it uses no more, where a store is written: by itself longer than most
steps of that take, so that what one has left stands beside what the next one takes. Rules take at once what they left:
to give it back in between would cost an audit an eighth of its time. Whoever sets the variable himself decides."""
WRITING = frozenset({"ingest", "store"})
COLLECTED = 300_000  # objects made before lost cycles are looked for: at the usual 700 a fifth of a small audit is that


def start() -> None:
    """Run the program; an interrupt while its modules are imported ends it without a word, as one later on does."""
    gc.set_threshold(COLLECTED, 20, 100)
    if WRITING.intersection(sys.argv[1:2]):
        os.environ.setdefault("_RJEM_MALLOC_CONF", KEEPS)  # before polars is imported
    ended: list[object] = []
    atexit.register(_leave, ended)  # the first that is registered is the last that is called
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler:  # not where it is ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from costaudit._unused import Unused

    sys.meta_path.insert(0, Unused())
    from costaudit.cli import main

    if usual is signal.default_int_handler:
        signal.signal(signal.SIGINT, usual)
    try:
        main()
    except SystemExit as end:
        ended.append(end.code)
        raise


def _leave(ended: list[object]) -> None:
    """End the process when all is done but to free its memory, which the system takes back in a tenth of the time."""
    from contextlib import suppress

    with suppress(OSError, ValueError):  # then the interpreter says what is wrong with the output
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        for code in ended:
            if isinstance(code, int):
                os._exit(code)


if __name__ == "__main__":
    start()
