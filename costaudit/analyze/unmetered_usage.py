"""Rule unmetered-usage: calls whose usage nobody counted."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from costaudit.analyze._analyzer import NO_MODEL, Analyzer, Claim, requests_of, total_usd
from costaudit.analyze._unknown import Said, claim
from costaudit.finding import Kind, Lever
from costaudit.price.ledger import Ledger
from costaudit.words import plural


class UnmeteredUsage(Analyzer):
    """Calls that were made and whose tokens nobody counted.

    ## What it finds
    Calls without usage: streams closed before their last piece, loggers that leave the counts out, zeros beside text.
    Each is worth between nothing and the dearest metered call of the same task and model.
    ## Why it costs money
    The provider bills what it processed, whether the log says so or not; the invoice is then larger than every report.
    ## What to do
    Ask for usage in streams (`stream_options: {"include_usage": true}` for OpenAI), read streams to their end, and log
    the usage block of every answer.
    ## Example
    ```console
    $ costaudit analyze --select unmetered-usage sample_logs/analyzers/unmetered-usage.jsonl
    …
           $3.22  claude-opus-5-5: 2 calls without usage
                  high    unmetered-usage · F-791fe6 · $0.00 to $3.22 · confidence high · 2 requests
    …
    ```
    """

    name = "unmetered-usage"
    kind = Kind.EXPOSURE
    levers = ("usage",)
    reads = (
        *("source_file", "source_line", "provider", "model_requested", "model", "input_tokens"),
        *("output_tokens", "usage_source", "status", "cost_usd", "low_usd", "high_usd", "trust"),
    )

    def look(self, ledger: Ledger) -> Iterator[Claim]:
        calls = requests_of(ledger)
        blind = (
            calls.filter(pl.col("trust") == "unmetered")
            .with_columns(
                pl.coalesce("model", "model_requested", pl.lit(NO_MODEL)).alias("model"),
                cause=pl.when(pl.col("status") == "cancelled")
                .then(pl.lit("closed stream"))
                .when((pl.col("usage_source") == "absent").fill_null(value=False))
                .then(pl.lit("no usage"))
                .when(pl.col("input_tokens").is_null() & (pl.col("output_tokens") > 0))
                .then(pl.lit("input not counted"))
                .otherwise(pl.lit("zero usage beside text")),
            )
            .sort("model", "row")
        )
        for (model,), found in blind.group_by("model", maintain_order=True):
            causes = found["cause"].value_counts().sort("count", "cause", descending=[True, False])
            said = Said(
                subject={"model": str(model)},
                title=f"{model}: {plural(found.height, 'call')} without usage",
                remedy="log the usage of every answer; ask for it in streams and read them to their end",
                lever=Lever("usage"),
                because=tuple(f"{count:,} × {cause}" for cause, count in causes.iter_rows()),
            )
            # What an answer cost whose prompt nobody counted is in the total already.
            yield claim(said, found, found.height / calls.height, known_usd=total_usd(found))
