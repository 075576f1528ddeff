"""Rule context-bloat: what calls carry along for nothing: tools, results sent twice, old history."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from costaudit.analyze import _history
from costaudit.analyze._analyzer import (
    NO_TASK,
    RUN,
    SOURCE,
    Analyzer,
    CannotCheck,
    Claim,
    Turn,
    any_of,
    option,
    single_calls,
)
from costaudit.analyze._by_run import in_runs
from costaudit.analyze._cache import WRITES
from costaudit.analyze._places import repeated
from costaudit.finding import Confidence, Kind, Severity
from costaudit.price.engine import in_slices
from costaudit.price.ledger import Ledger
from costaudit.words import plural

TASK = pl.col("task").fill_null(NO_TASK)
CALLED = pl.col("tool_calls").list.eval(pl.element().struct.field("name")).alias("called")
NAMED = (pl.col("tool_calls").list.len() > 0).fill_null(value=False) | pl.col("tool_name").is_not_null()
ANSWERED = (
    (NAMED | pl.col("output_sha").is_not_null()).alias("seen"),
    (~NAMED & (pl.col("finish_reason") == "tool_calls").fill_null(value=False)).alias("hidden"),
)
"""Whether the log has the answer of a call, and whether the answer calls a tool that the log does not name."""
DECLARED = pl.col("tools_declared").list.eval(pl.element().struct.field("name")).list.join("\n")
TOLD = ("source_file", "source_line", "input_tokens", "cache_read_tokens", "cache_write_tokens", *WRITES.values())
RESULTS = ("run_id", "step", "task", *TOLD, "tool_results", "block_sha", "block_tokens", "reply_sha")


class ContextBloat(Analyzer):
    """Input that did no work: tools nobody calls, results sent twice, history nobody trims.

    ## What it finds
    Three parts, each on its own. Tools that a task declares for a week and never calls, the provider's own ones aside.
    Results of tools that stand in a prompt more than once: every copy but the last. And, as a decision with an interval
    because it can change answers, history older than the last steps of long runs, with the cache that trimming breaks.
    Tokens are priced as they were billed: what was read from a cache is cheap, and stays cheap here.
    ## Why it costs money
    Everything in a prompt is sent again with every step of a run.
    ## What to do
    Declare tools where they can be called; replace a repeated result by a reference; trim or summarise long histories
    if the figures still say so after caching.
    ## Example
    ```console
    $ costaudit analyze --select context-bloat sample_logs/analyzers/context-bloat.jsonl
    …
           $2.00  research: tool results sent again in 4 prompts that hold them already, $2.00
                  low     context-bloat · F-f8448d · $2.00 · confidence medium · 4 requests
    …
    ```
    """

    name = "context-bloat"
    kind = Kind.WASTE
    order = 5
    levers = ("history",)
    reads = (
        *("source_file", "source_line", "started_at", "run_id", "step", "task", "input_tokens"),
        *("cache_read_tokens", "cache_write_tokens", "cache_write_5m_tokens", "cache_write_30m_tokens"),
        *(
            "cache_write_1h_tokens",
            "cache_write_12h_tokens",
            "block_sha",
            "block_tokens",
            "reply_sha",
            "tools_declared",
        ),
        *("tool_calls", "tool_results", "tool_name"),
    )
    keep: int = option(10, "steps", "History that a trimmed context would keep.")
    min_calls: int = option(50, "calls", "Calls that must declare a tool before it counts as never called.")
    min_days: float = option(7.0, "days", "Time over which a tool must not be called.")

    def turns(self) -> tuple[Turn, ...]:
        return (
            Turn(self.order, Kind.WASTE, self.unused_tools),
            Turn(self.order, Kind.WASTE, self.repeated_results),
            Turn(8, Kind.DECIDE, self.long_history),
        )

    def unused_tools(self, ledger: Ledger) -> Iterator[Claim]:
        offered = pl.col("tools_declared").list.len() > 0
        if not any_of(ledger, [offered])[0]:
            raise CannotCheck("unused tools: no declared tools")
        calls = single_calls(ledger, (TASK, "tool_name", CALLED, *ANSWERED))
        called = _called(calls)
        if called.is_empty():
            raise CannotCheck("unused tools: no tool calls are logged")
        told = calls.group_by("task").agg(pl.any("seen"), pl.any("hidden")).filter(pl.col("seen") & ~pl.col("hidden"))
        del calls
        offering = single_calls(ledger, ("row", TASK, "started_at", DECLARED.hash().alias("tools")), offered)
        # A tool of which only the name is logged is the provider's own: neither its size nor its calls are known.
        lists = _lists(offering, ledger).filter(pl.col("tokens") > 0).join(told, on="task", how="semi")
        priced = (
            lists.join(self._idle(lists, called), on=["task", "tool"])
            .group_by("task", "tools", "names")
            .agg(
                unused=pl.col("tool").sort().str.join(", "), tokens=pl.col("tokens").sum(), opening=pl.first("opening")
            )
            .sort("task", "names")
            .with_row_index("tool_list")
        )
        found = offering.join(priced.drop("names"), on=["task", "tools"]).sort("tool_list", "row")
        paid = found.hstack(ledger.at(found["row"], TOLD).drop("row"))
        # The first call without the tools writes its shorter prefix to the cache: it saves nothing.
        paid = paid.filter((pl.col("row") != pl.col("opening")) | (pl.col("cache_read_tokens").fill_null(0) == 0))
        paid = paid.with_columns(tool_list=pl.col("tool_list").rle_id())
        for (task,), one in paid.group_by("task", maintain_order=True):
            yield _tools_claim(str(task), one, self)

    def _idle(self, lists: pl.DataFrame, called: pl.DataFrame) -> pl.DataFrame:
        """task, tool of tools declared long enough and never called in the task."""
        span = (pl.col("last") - pl.col("first")).dt.total_seconds() / 86_400
        return (
            lists.group_by("task", "tool")
            .agg(pl.col("calls").sum(), pl.col("first").min(), pl.col("last").max())
            .filter((pl.col("calls") >= self.min_calls) & (span >= self.min_days))
            .join(called, on=["task", "tool"], how="anti")
            .select("task", "tool")
        )

    def repeated_results(self, ledger: Ledger) -> Iterator[Claim]:
        sized = [pl.col(name).is_not_null() for name in ("tool_results", "block_tokens")]
        if not all(any_of(ledger, sized, pl.col("run_id").is_not_null())):
            raise CannotCheck("repeated results: no tool results with message sizes in runs")
        copies = _copies(ledger)
        for (task,), one in copies.group_by("task", maintain_order=True):
            yield _results_claim(str(task), one)

    def long_history(self, ledger: Ledger) -> Iterator[Claim]:
        yield from _history.claims(ledger, self.keep)


def _lists(offering: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    """Every list of tools that a task declares, by tool: task, tools (a number of the list), names (its text), opening
    (row of its first call), calls, first and last [UTC], tool, tokens."""
    lists = offering.group_by("task", "tools", maintain_order=True).agg(
        opening=pl.col("row").first(),
        calls=pl.len(),
        first=pl.col("started_at").min(),
        last=pl.col("started_at").max(),
    )
    declared = ledger.at(lists["opening"], ("tools_declared",)).select(names=DECLARED, tools_declared="tools_declared")
    return (
        lists.hstack(declared)
        .explode("tools_declared")
        .with_columns(
            tool=pl.col("tools_declared").struct.field("name"),
            tokens=pl.col("tools_declared").struct.field("tokens").fill_null(0),
        )
        .drop("tools_declared")
        .unique(["task", "tools", "tool"], keep="first", maintain_order=True)
    )


def _called(calls: pl.DataFrame) -> pl.DataFrame:
    """task, tool: every tool that a task called, however the log says so."""
    listed = calls.select("task", tool="called").explode("tool")
    named = calls.select("task", "tool_name").unique().select("task", tool=pl.col("tool_name").str.split("+"))
    return pl.concat([listed, named.explode("tool")]).drop_nulls("tool").unique()


def _without(tokens: pl.Expr) -> list[pl.Expr]:
    """The token columns of a call without so many tokens near the front of its prompt, where a cache reads first."""
    read, write = pl.col("cache_read_tokens").fill_null(0), pl.col("cache_write_tokens").fill_null(0)
    gone = pl.min_horizontal(tokens, "input_tokens")
    from_read = pl.min_horizontal(gone, read)
    from_write = pl.min_horizontal(gone - from_read, write)
    left = from_write
    lives = []
    for name in WRITES.values():
        part = pl.min_horizontal(left, pl.col(name).fill_null(0))
        lives.append((pl.col(name).fill_null(0) - part).alias(name))
        left = left - part
    return [
        (pl.col("input_tokens") - gone).alias("input_tokens"),
        (read - from_read).alias("cache_read_tokens"),
        (write - from_write).alias("cache_write_tokens"),
        *lives,
    ]


def _tools_claim(task: str, calls: pl.DataFrame, rule: ContextBloat) -> Claim:
    evidence = calls.group_by("tool_list", maintain_order=True).agg(
        pl.col("unused").first(),
        tokens_a_call=pl.col("tokens").first(),
        calls=pl.len().cast(pl.Int64),
        source=SOURCE.first(),
    )
    return Claim(
        subject={"task": task, "part": "unused-tools"},
        title=f"{task}: tools declared in {plural(calls.height, 'call')} and never called, {{usd}}",
        remedy="declare tools where they can be called; the list is in the evidence",
        severity=Severity.MEDIUM,
        confidence=Confidence.HIGH,
        evidence=evidence,
        evidence_key="tool_list",
        patch=calls.select("row", "tool_list", *_without(pl.col("tokens"))),
        because=(
            f"at least {rule.min_calls:,} calls over {rule.min_days:g} days declared each of them; none called it",
        ),
    )


def _steps(calls: pl.DataFrame) -> pl.DataFrame:
    """Calls of runs in order: nth in the run, n calls of it, the input of its first call."""
    steps = in_runs(calls)
    runs = steps.group_by("run", maintain_order=True).agg(
        pl.len().alias("n"),
        pl.col("input_tokens").first().alias("opening"),
        pl.col("task").first(ignore_nulls=True).fill_null(NO_TASK),
    )
    return steps.with_columns(runs.drop("run")[steps["begins"].cum_sum() - 1].get_columns())


def _copies(ledger: Ledger) -> pl.DataFrame:
    """Calls whose prompt holds results more than once: row, task, run_id, tokens of all copies but the last.

    A result that comes again with its hash is a copy of the earlier one, in each prompt that holds the messages that
    brought both. Its size is that of the smallest of them, where each brought one result only.
    """
    one = (pl.col("tool_results").list.len() == 1) & (pl.col("block_sha").list.len() > 0)
    sha = pl.col("tool_results").list.first().struct.field("sha")
    result = pl.when(one & sha.is_not_null()).then(RUN ^ sha.hash(1)).alias("result")
    runs = single_calls(ledger, ("row", RUN, result), pl.col("run_id").is_not_null())
    often = repeated(runs["result"].drop_nulls(), 2)
    twice = runs.filter(pl.col("result").is_in(often.implode()))["run"].unique()
    rows = runs.filter(pl.col("run").is_in(twice.implode()))["row"]
    steps = _steps(ledger.at(rows, RESULTS))
    replies = steps.select("run", message="reply_sha").drop_nulls().unique()
    alone = pl.col("block_sha").list.get(-3, null_on_oob=True)
    brought = (
        # Where more than one message follows an answer, which of them brought the result is not known.
        steps.filter(one)
        .join(replies, left_on=["run", alone], right_on=["run", "message"], how="anti")
        .select(
            "run",
            sha=sha,
            message=pl.col("block_sha").list.last(),
            tokens=pl.col("block_tokens").list.last(),
        )
        .drop_nulls()
        .unique(["run", "message"], keep="first", maintain_order=True)  # a call that is sent again brings nothing new
        .filter(pl.len().over("run", "sha") > 1)
        .with_columns(pl.col("tokens").min().over("run", "sha"))  # what else a message says is not the result
    )
    held = in_slices(steps.select("run", "row", "block_sha"), lambda part: _held(part, brought))
    sums = held.group_by("row").agg(pl.sum("copies", "tokens"))
    return (
        steps.drop("block_sha", "block_tokens")
        .join(sums, on="row")
        .filter(pl.col("tokens") > 0)
        .sort("task", "run_id", "row")
    )


def _held(steps: pl.DataFrame, brought: pl.DataFrame) -> pl.DataFrame:
    """row, copies, tokens: of each result that several messages of a call's prompt brought, all but the last.

    steps    row, run, block_sha
    brought  run, sha, message [its hash in the chain], tokens [of the result]
    """
    return (
        steps.explode("block_sha", empty_as_null=False)
        .join(brought, left_on=["run", "block_sha"], right_on=["run", "message"])
        .group_by("row", "sha")
        .agg(
            copies=pl.len().cast(pl.Int64) - 1,
            tokens=pl.col("tokens").sum() - pl.col("tokens").first(),
        )
        .filter(pl.col("copies") > 0)
    )


def _results_claim(task: str, calls: pl.DataFrame) -> Claim:
    evidence = calls.group_by("run_id", maintain_order=True).agg(
        calls=pl.len().cast(pl.Int64),
        most_copies=pl.col("copies").max() + 1,
        repeated_tokens=pl.col("tokens").sum(),
        source=SOURCE.first(),
    )
    return Claim(
        subject={"task": task, "part": "repeated-results"},
        title=f"{task}: tool results sent again in "
        f"{plural(calls.height, 'prompt that holds', 'prompts that hold')} them already, {{usd}}",
        remedy="replace a result that is already in the prompt by a reference to it",
        severity=Severity.LOW,
        confidence=Confidence.MEDIUM,
        evidence=evidence,
        evidence_key="run_id",
        patch=calls.select("row", "run_id", *_without(pl.col("tokens"))),
        because=(
            "a result is as large as the smallest message that brought it",
            "what was read from a cache is priced as such",
        ),
    )
