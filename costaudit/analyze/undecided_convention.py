"""Rule undecided-convention: counts of which the log cannot tell whether cached input is inside them."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from costaudit.analyze._analyzer import Analyzer, Claim, requests_of, total_usd
from costaudit.analyze._unknown import Said, claim
from costaudit.finding import Kind
from costaudit.price.ledger import Ledger
from costaudit.words import plural


class UndecidedConvention(Analyzer):
    """Token counts that can be read in two ways, and nothing in the log decides.

    ## What it finds
    Calls in which cached input may stand inside the input count or beside it. They are counted at the cheaper reading;
    at stake is what the dearer one would add.
    ## Why it costs money
    Read the wrong way, a cached conversation looks up to ten times as dear as it was, or a tenth.
    ## What to do
    Log the total of tokens or the cost beside the counts, or send the provider's own usage block through unchanged: any
    of them decides it.
    ## Example
    ```console
    $ costaudit analyze --select undecided-convention sample_logs/analyzers/undecided-convention.jsonl
    …
           $6.40  generic of anthropic: 4 calls with cached input inside or beside input, up to $6.40
                  more
                  high    undecided-convention · F-f1a508 · $0.00 to $6.40 · confidence high ·
    …
    ```
    """

    name = "undecided-convention"
    kind = Kind.EXPOSURE
    reads = (
        *("format", "source_file", "source_line", "provider", "input_tokens", "output_tokens", "convention"),
        *("cost_usd", "low_usd", "high_usd", "trust"),
    )

    def look(self, ledger: Ledger) -> Iterator[Claim]:
        calls = requests_of(ledger)
        blind = (
            calls.filter((pl.col("convention") == "undecided") & (pl.col("trust") == "estimated"))
            .with_columns(pl.col("format", "provider").fill_null(""), cause=pl.lit("cached input inside or beside"))
            .sort("format", "provider", "row")
        )
        for (form, provider), found in blind.group_by("format", "provider", maintain_order=True):
            names = {"format": str(form), "provider": str(provider)}
            subject = {key: value for key, value in names.items() if value}
            where = " of ".join(subject.values()) or "log"
            said = Said(
                subject=subject,
                title=f"{where}: {plural(found.height, 'call')} with cached input inside or beside input, "
                "up to {usd} more",
                remedy="log total tokens or cost beside the counts, or the provider's usage block unchanged",
                because=("counted at the cheaper reading",),
            )
            yield claim(said, found, found.height / calls.height, known_usd=total_usd(found))
