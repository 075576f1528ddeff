"""Rule unpriced-usage: calls of models that the book has no price for."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from costaudit.analyze._analyzer import NO_MODEL, Analyzer, Claim, requests_of
from costaudit.analyze._unknown import Said, claim
from costaudit.finding import Kind
from costaudit.price.coverage import unpriced
from costaudit.price.ledger import Ledger
from costaudit.words import plural

OPAQUE = r"(?i)^arn:.*:(application-inference-profile|provisioned-model|imported-model)/"


class UnpricedUsage(Analyzer):
    """Calls of models whose price nobody knows.

    ## What it finds
    Tokens of models that the price book does not list, and of deployments whose name hides the model. They are not in
    the total: what they can have cost lies between nothing and the dearest price of their provider, where it has one.
    ## Why it costs money
    An audit that counts the unknown as nothing is wrong by exactly that amount, and new models are often the dear ones.
    ## What to do
    Add the price entry shown, or name the model behind the deployment (`base_model`), in the settings.
    ## Example
    ```console
    $ costaudit analyze --select unpriced-usage sample_logs/analyzers/unpriced-usage.jsonl
    …
           $9.72  claude-next: 3 calls without a known price
                  high    unpriced-usage · F-f14275 · $0.00 to $9.72 · confidence high · 3 requests
    …
    ```
    """

    name = "unpriced-usage"
    kind = Kind.EXPOSURE
    reads = (
        *("source_file", "source_line", "provider", "model_requested", "model", "input_tokens"),
        *("output_tokens", "cost_usd", "low_usd", "high_usd", "trust"),
    )

    def look(self, ledger: Ledger) -> Iterator[Claim]:
        calls = requests_of(ledger)
        blind = calls.filter(pl.col("trust") == "unpriced").with_columns(
            pl.coalesce("model", "model_requested", pl.lit(NO_MODEL)).alias("model"),
            pl.col("provider").fill_null(""),
        )
        entries = {
            (p or "", m or ""): entry
            for p, m, entry in unpriced(blind).select("provider", "model", "entry").iter_rows()
        }
        causes = blind.with_columns(
            cause=pl.when(pl.col("model") == NO_MODEL)
            .then(pl.lit("no model name"))
            .when(pl.col("model").str.contains(OPAQUE))
            .then(pl.lit("opaque deployment name"))
            .otherwise(pl.lit("unknown model"))
        ).sort("provider", "model", "row")
        for (provider, model), found in causes.group_by("provider", "model", maintain_order=True):
            names = {"provider": str(provider), "model": str(model)}
            said = Said(
                subject={key: value for key, value in names.items() if value},
                title=f"{model}: {plural(found.height, 'call')} without a known price",
                remedy=f"add a price to costaudit.yaml, under `prices`:\n{entries[str(provider), str(model)]}",
                because=(f"{found['cause'][0]}; never counted as nothing, and not in the total",),
            )
            yield claim(said, found, found.height / calls.height)
