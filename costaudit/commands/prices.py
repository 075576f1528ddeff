"""The price book: what a model costs and why, quotes, checks, comparisons."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from costaudit.commands import _options as options
from costaudit.commands._output import emit
from costaudit.errors import PriceError, UsageError

if TYPE_CHECKING:
    from costaudit.price.book import PriceBook

app = typer.Typer(
    no_args_is_help=True,
    help="What models cost, on any day, and how a price is found: offline, from files you can read and add to.",
)


@app.command("list")
def list_prices(
    provider: Annotated[
        str | None, typer.Argument(metavar="PROVIDER", help="Its models; left out: all providers.")
    ] = None,
    prices: options.Prices = None,
    config: options.Config = None,
) -> None:
    """List the providers of the price book, or the models of one with their rates on the book's day."""
    from costaudit.commands import _price_pages as pages
    from costaudit.config import suggest

    book = _book(prices, config)
    if provider is None:
        emit(pages.providers(book))
        return
    file = book.provider(book.canonical(provider))
    if file is None:
        raise UsageError(
            f"the price book has no provider {provider!r}", hint=suggest(provider, set(book.names.values()))
        )
    emit(pages.models(file, book.as_of, options.room()))


@app.command()
def show(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model, in any spelling a log may have.")],
    provider: Annotated[str | None, typer.Option(help="Who sells it; left out: everybody who does.")] = None,
    prices: options.Prices = None,
    config: options.Config = None,
) -> None:
    """Show the dated prices of a model, with its tiers, long-context steps, uplifts and sources."""
    from costaudit.commands import _price_pages as pages
    from costaudit.price.match import match

    book = _book(prices, config)
    names = [provider] if provider else [file.provider for file in book.all() if not file.list_of]
    asked = [(name, model) for name in names]
    seller, _, sold = model.partition(":")
    if not provider and sold and book.provider(seller) is not None:
        asked = [(seller, sold), *asked]  # as this page and reports name an entry
    found = {m.entry: m for m in (match(book, *one) for one in asked) if m.model is not None}
    if not found:
        raise UsageError(
            f"no entry for {model!r}", hint="`costaudit prices list` names providers, and then their models"
        )
    shown = []
    for hit in found.values():
        file = book.provider(hit.lister)
        if file is not None and hit.model is not None:
            shown.append(pages.history(file, hit.name, hit.model, book.as_of, options.room()))
    emit("\n".join(shown))


@app.command()
def explain(
    request: Annotated[str | None, typer.Argument(metavar="REQUEST_ID", help="A request of the logs.")] = None,
    paths: Annotated[list[str] | None, typer.Argument(metavar="PATH", help="Where to look for it.")] = None,
    provider: Annotated[str, typer.Option(help="Instead of a request: who serves the call.")] = "",
    model: Annotated[str, typer.Option(help="The model, in any spelling.")] = "",
    usage: Annotated[list[str] | None, typer.Option(metavar="CLASS=N", help="e.g. input=1000 (repeatable).")] = None,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="When it was sent; else the book's own day.")] = None,
    tier: Annotated[str | None, typer.Option(help="batch, flex, priority, fast, ultrafast.")] = None,
    region: Annotated[str | None, typer.Option(help="Residency, geography, location or zone.")] = None,
    prices: options.Prices = None,
    config: options.Config = None,
) -> None:
    """Explain a price line by line: which entry was found and how, which rates hold, what they add up to.

    Either for a request of your logs, or for a call you describe with --provider, --model and --usage.
    """
    from costaudit.commands import _price_pages as pages
    from costaudit.commands import _price_quote as words
    from costaudit.price.quote import Question, quote

    if request is not None:
        emit(_explained(request, paths or [], prices, config))
        return
    if not model:
        raise UsageError("nothing to explain", hint="give REQUEST_ID PATH..., or --provider, --model and --usage")
    try:
        stated = words.usage(dict(part.partition("=")[::2] for given in usage or () for part in given.split(",")))
        moment = words.moment(at) if at else None
    except ValueError as error:
        raise UsageError(str(error), hint="e.g. --usage input=1000,output=200 --at 2026-11-05T14:20") from None
    context = {key: value for key, value in (("service_tier", tier), ("region", region)) if value}
    question = Question(provider, model, moment, context, stated)
    emit(pages.arithmetic(quote([question], _book(prices, config))[0], f"{provider or '?'}/{model}"))


def _explained(request: str, paths: list[str], prices: Path | None, config: Path | None) -> str:
    from costaudit import pipeline
    from costaudit.commands import _price_pages as pages
    from costaudit.price.quote import explained

    if not paths:
        raise UsageError("where is the request?", hint=f"costaudit prices explain {request} PATH...")
    known = pipeline.load(paths, options.settings(config, prices_dir=prices))
    rows = known.calls.filter(known.calls["request_id"] == request)
    if rows.is_empty():
        raise UsageError(
            f"no request {request!r} in these logs", hint="`costaudit show run RUN PATH` lists those of a run"
        )
    answers = explained(rows, known.book)
    return "\n".join(pages.arithmetic(answer, f"request {request}") for answer in answers)


@app.command()
def quote(
    file: Annotated[str, typer.Argument(metavar="FILE", help="JSON lines, one call each; - for standard input.")],
    prices: options.Prices = None,
    config: options.Config = None,
) -> None:
    """Price calls given as JSON lines, and answer in JSON lines in the same order.

    In: {id, provider, model, ts, context, usage, override?, raw?}. Usage classes are disjoint (`input` is uncached
    text); `raw` is a provider's own usage object {api, usage} instead of `usage`.
    Out: {id, status, usd, parts_usd, entry, steps}, amounts as decimal strings; status is priced, free, subscription,
    unpriced, or invalid for a line that is no call (then exit 2).
    """
    from costaudit.commands._price_quote import quoted

    good = True
    for line, valid in quoted(_lines(file), _book(prices, config), file):
        good = good and valid
        emit(line + "\n")
    if not good:
        raise typer.Exit(2)


def _lines(file: str) -> Iterator[str]:
    if file == "-":
        yield from sys.stdin
        return
    try:
        with Path(file).open(encoding="utf-8-sig", errors="replace") as lines:
            yield from lines
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from None


@app.command()
def check(
    today: Annotated[str | None, typer.Option(metavar="DATE", help="Day the age of prices is counted to.")] = None,
    prices: options.Prices = None,
    config: options.Config = None,
) -> None:
    """Check the price book: schema, overlaps, gaps, ages, figures that look mistyped. Exit 1 for an error."""
    from costaudit.commands import _price_pages as pages
    from costaudit.price.check import check as problems

    found = problems(_book(prices, config), _day(today))
    if found:
        emit(pages.problems([(p.kind, p.where, p.what) for p in found], options.room()))
    errors = sum(p.kind == "error" for p in found)
    emit(f"{errors} errors, {len(found) - errors} warnings\n")
    if errors:
        raise typer.Exit(1)


@app.command()
def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="A folder of price files.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="Another one.")],
    paths: Annotated[list[str] | None, typer.Argument(metavar="PATH", help="Logs to price with both.")] = None,
    config: options.Config = None,
) -> None:
    """Compare two price books; with logs, say what the same calls cost under each, by model."""
    from costaudit.commands import _price_pages as pages

    before, after = _book(old, config), _book(new, config)
    emit(pages.changes(before, after))
    if paths:
        from costaudit import pipeline

        read = pipeline.requests(paths, options.settings(config))
        emit("\n" + pages.costs(read.requests, before, after))


@app.command("import")
def import_prices(
    source: Annotated[str, typer.Argument(metavar="LIST", help="genai-prices or litellm.")],
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Its data file; else the installed package.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the price files.")] = Path(
        "prices"
    ),
    everything: Annotated[bool, typer.Option("--all", help="Change figures the book read elsewhere, too.")] = False,
    today: Annotated[str | None, typer.Option(metavar="DATE", help="Day the list is read on.")] = None,
    config: options.Config = None,
) -> None:
    """Take newer prices from a price list you have installed, as files to use with --prices DIR. Nothing is downloaded.

    Models the book does not have are added; a figure the book read in the same list and that has changed becomes a new
    period from today. Figures the book read elsewhere stay, unless --all; they are counted.
    """
    from costaudit.commands import _price_import as importing

    day = _day(today)
    found = importing.adopted(source, file, _book(None, config), day, everything=everything)
    for name, text in found.files.items():
        output.mkdir(parents=True, exist_ok=True)
        emit(text, output / f"{name}.yaml")
    emit(importing.summary(found, output))


def _day(written: str | None) -> date:
    try:
        return date.fromisoformat(written) if written else datetime.now(UTC).date()
    except ValueError:
        raise UsageError(f"not a date: {written}", hint="e.g. 2026-11-23") from None


def _book(prices: Path | None, config: Path | None) -> PriceBook:
    from costaudit.price.book import PriceBook

    if prices is not None and not prices.is_dir():
        raise PriceError(f"{prices} is no folder", hint="--prices takes a folder of price files")
    return PriceBook.of(options.settings(config, prices_dir=prices))
