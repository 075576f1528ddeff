"""`prices import`: a public price list that the user has, laid over the book."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from importlib.metadata import PackageNotFoundError
from pathlib import Path

from costaudit.config import suggest
from costaudit.errors import PriceError, UsageError
from costaudit.price.adopt import Adopted, adopt
from costaudit.price.book import PriceBook
from costaudit.price.sources import Reader
from costaudit.price.sources.gp import GenaiPrices
from costaudit.price.sources.ll import Litellm
from costaudit.report._text import clean

LISTS: dict[str, tuple[str, Callable[[Path | None], Reader]]] = {
    "genai-prices": ("gp", GenaiPrices.read),
    "litellm": ("ll", Litellm.read),
}
SHOWN = 20  # changes printed; the files hold them all


def adopted(name: str, file: Path | None, book: PriceBook, today: date, *, everything: bool) -> Adopted:
    """What the list brings; UsageError for one that is not there, PriceError for a file that is no such list."""
    if name not in LISTS:
        raise UsageError(f"no price list is called {name!r}", hint=suggest(name, LISTS))
    key, read = LISTS[name]
    try:
        reader = read(file)
    except (ImportError, PackageNotFoundError):
        hint = f"pip install {name}" + (", or give its data file" if name == "litellm" else "")
        raise UsageError(f"{name} is not installed", hint=hint) from None
    except OSError as error:
        raise UsageError(
            f"cannot read {file}: {error.strerror}", hint="give its data file, or leave FILE out"
        ) from None
    except ValueError as error:
        raise PriceError(
            f"{file or name}: {str(error).splitlines()[0]}", hint=f"is it the data file of {name}?"
        ) from error
    return adopt(reader, key, book, today.isoformat(), everything=everything)


def summary(found: Adopted, output: Path) -> str:
    """What was taken and what was not, in lines."""
    lines = [f"  {clean(change)}" for change in found.told[:SHOWN]]
    if len(found.told) > SHOWN:
        lines.append(f"  and {len(found.told) - SHOWN:,} more")
    lines.append(
        f"{len(found.told):,} changes in {len(found.files)} files; {len(found.kept):,} figures differ and stay"
    )
    if found.files:
        lines.append(f"use them: --prices {output}, or `prices_dir: {output}` in costaudit.yaml")
    return "\n".join(lines) + "\n"
