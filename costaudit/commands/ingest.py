"""Merge logs into a durable store, once each"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from costaudit.commands import _options as options
from costaudit.commands._output import emit, note, progress, storable

if TYPE_CHECKING:
    from costaudit.ingest import Engine


def command(
    paths: options.Paths,
    store: Annotated[
        str, typer.Option(metavar="DIR", help="The store, made if it is not there; DIR or s3://BUCKET/DIR.")
    ],
    engine: Annotated[
        str, typer.Option(metavar="NAME", help="Who reads: `local`, processes of this machine; `ray`, a cluster.")
    ] = "local",
    address: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Of the cluster; else RAY_ADDRESS, else this machine.")
    ] = None,
    config: options.Config = None,
    no_cache: options.NoCache = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Read logs and keep their requests in a Parquet store, by month, so that history outlives the logs.

    Requests that the store has already are recognised and not added again. The store holds counts, names, times and
    hashes, no prompt and no answer; prices are applied when it is analyzed: `costaudit analyze DIR`.
    """
    from costaudit.commands._sums import summary
    from costaudit.errors import LogError, UsageError
    from costaudit.ingest import _store, ingest
    from costaudit.pipeline import cached
    from costaudit.report import _money as money
    from costaudit.report import _words

    if store == "-":
        raise UsageError("a store is a folder, it cannot be written to standard output", hint="--store DIR")
    reader = _engine(engine, address)
    settings = options.settings(config, no_cache=no_cache)
    storable(store)
    with progress(quiet=quiet, verbose=verbose) as show:
        if len(paths) == 1 and _store.is_store(paths[0]):
            read = _store.everything(paths[0])
        else:
            read = ingest(paths, columns=settings.columns, progress=show, cache=cached(settings), engine=reader)
    if read.requests.is_empty():
        raise LogError(
            f"no request among {money.plural(read.fates.lines, 'record')}", hint="`costaudit doctor PATH` says why"
        )
    merged = _store.merge(read.requests, store, read.identities, summary(settings))
    for said in (*read.notes, " ".join(_words.fates(read.fates))):
        note(said, quiet=quiet)
    improved = f"{merged.improved:,} replaced by a better copy, " if merged.improved else ""
    emit(
        f"{store}: {merged.added:,} requests added, {improved}{merged.known:,} known already, {merged.total:,} in all\n"
    )
    if read.unread:
        number = money.plural(len(read.unread), "file or folder", "files or folders")
        raise LogError(
            f"{number} could not be read, so the store does not hold what is in there",
            hint="the same command again, with the right to read them, adds what is missing",
        )


def _engine(name: str, address: str | None) -> Engine | None:
    """The reader of that name; UsageError where there is none, or where an address has no meaning."""
    from costaudit.errors import UsageError

    if name == "local" and address is None:
        return None
    if name != "ray":
        what = "--address needs --engine ray" if name == "local" else f"no engine {name!r}"
        raise UsageError(what, hint="engines: local, ray")
    from costaudit.ingest import _ray

    return lambda asked, progress: _ray.read_all(asked, progress, address)
