"""One run, call by call: the noun between analysis and rendering."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import polars as pl

from costaudit.audit import Window


class Timeline(msgspec.Struct, frozen=True):
    """A run of an agent, in order.

    steps      nth, request_id, started_at, after_s [s since the first call], model, input_tokens, cache_read_tokens,
               output_tokens, cost_usd [null: no price], running_usd, tool, mark [why the call bought nothing; "" else],
               source
    total_usd  of the calls with a price; `unseen` have none
    waste_usd  of the marked calls: what the findings that remove them claim of this run
    stop_step  last step that got anywhere; None where the run never stopped getting anywhere
    spent_after_usd  everything spent after it
    advice     a ceiling for runs of this task and model, in words; "" where the log supports none
    cut_step   where that ceiling would have ended this run; None: it would not have
    """

    run_id: str
    run_source: str
    task: str
    tenant: str
    window: Window
    steps: pl.DataFrame
    total_usd: Decimal
    unseen: int = 0
    waste_usd: Decimal = Decimal(0)
    stop_step: int | None = None
    spent_after_usd: Decimal = Decimal(0)
    advice: str = ""
    cut_step: int | None = None
    tokens_per_step: float | None = None
