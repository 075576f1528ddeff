"""Rule runaway-loop: runs that repeat a call and get nowhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

import polars as pl

from costaudit.analyze._analyzer import (
    COST,
    NO_TASK,
    RUN,
    SOURCE,
    Analyzer,
    CannotCheck,
    Claim,
    need,
    option,
    single_calls,
    these,
)
from costaudit.analyze._by_run import in_runs, running
from costaudit.analyze._places import repeated
from costaudit.finding import Confidence, Kind, Lever, Severity
from costaudit.price.ledger import Ledger
from costaudit.words import plural

STEADY = 0.2  # MAD/median of the gaps below which a clock, not an agent, sets the pace
ANSWER = 16  # tokens; shorter equal answers of runs without tools are labels of different items, not a loop
ROUNDED = timedelta(seconds=1)  # by which times in a log may be rounded
TALK = 0.8  # share of the calls of a run that send more than the call before, from which it is one conversation
FINISH = r"(?i)^(finish|final_answer|submit|done|terminate|attempt_completion|(task_)?complete(_task)?)$"


class RunawayLoop(Analyzer):
    """Agent runs that make the same call, get the same result, and go on.

    ## What it finds
    Runs that repeat a tool call, or a short cycle of tool calls, whose results do not change; and runs that give their
    final answer again and again. The waste is what the repeats after the stop point cost: the end of the first full
    period. Runs that succeed loop too, after their success. The same call with changing results is polling and is left
    alone, and so is work that differs in its arguments.
    ## Why it costs money
    Each step sends the conversation again, so every repeat is dearer than the one before, and nothing ends the run.
    ## What to do
    Stop a run when a call repeats with an unchanged result; set a ceiling in steps and one in dollars, because not
    every stuck run repeats itself (`missing-ceiling`).
    ## Example
    ```console
    $ costaudit analyze --select runaway-loop sample_logs/analyzers/runaway-loop.jsonl
    …
           $1.58  research: 1 run repeats itself, $1.58 after the stop point
                  high    runaway-loop · F-990fe6 · $1.58 · confidence high · 4 requests
    …
    ```
    """

    name = "runaway-loop"
    kind = Kind.WASTE
    order = 1
    levers = ("run-limit",)
    reads = (
        *("request_id", "source_file", "source_line", "started_at", "ended_at", "run_id", "run_source", "step", "task"),
        *("input_tokens", "output_tokens", "request_sha", "output_sha", "tool_name", "tool_args_sha"),
        *("tool_result_sha", "tool_error", "cost_usd"),
    )
    repetitions: int = option(3, "repeats", "Equal periods in a row that count as a loop.")
    max_period: int = option(4, "calls", "Longest cycle looked for.")
    polling_gap: float = option(20.0, "s", "Calls at steady gaps above it are polling where no result is logged.")
    polling_tools: tuple[str, ...] = option((), "names", "Tools that may be called again and again.")

    def look(self, ledger: Ledger) -> Iterator[Claim]:
        told = single_calls(ledger, ("run_id", "tool_name", "tool_args_sha", "output_sha"))
        need(told, {"run_id": "no runs"})
        if told["tool_args_sha"].null_count() + told["output_sha"].null_count() == 2 * told.height:
            raise CannotCheck("no call content or hashes")
        calls = these(ledger, suspects(ledger, max(2, self.repetitions)))
        keyed = actions(calls, self.polling_tools)
        repeats = self.repeats(keyed)
        if repeats.is_empty():
            asked = told.filter(pl.col("tool_name").is_not_null())["tool_args_sha"]
            if asked.len() and asked.null_count() == asked.len():
                raise CannotCheck("the arguments of tool calls are not logged")
            return
        steps = _steps(calls.join(repeats.select("run_id").unique(), on="run_id", how="semi"))
        wasted = _after_the_end(steps, repeats, keyed)
        runs = _runs(steps, repeats, wasted)
        seen = signals(keyed.join(runs.select("run_id"), on="run_id", how="semi", maintain_order="left"))
        for (task,), found in runs.group_by("task", maintain_order=True):
            yield _claim(str(task), found.drop("task"), wasted, seen)

    def repeats(self, keyed: pl.DataFrame) -> pl.DataFrame:
        """The calls that go round in circles: row, run_id, tool_name, period, repeats, known, stop_row.

        keyed  as `actions` gives it. A call that several periods explain is listed under the shortest.
        """
        found: list[pl.DataFrame] = []
        polled = pl.Series("pos", [], dtype=pl.UInt32)
        for period in range(1, self.max_period + 1):
            cycles = _cycles(keyed, period)
            long = cycles.filter((pl.len().over("cycle") + period) // period >= self.repetitions)
            polled = pl.concat([polled, long.filter(self._polling().over("cycle") | _changing(long))["pos"]])
            spoiled = long.filter(pl.col("pos").is_in(polled.implode()))["cycle"]
            found.append(long.filter(~pl.col("cycle").is_in(spoiled.implode())))
        return (
            pl.concat(found)
            .with_columns(
                repeats=(pl.len().over("period", "cycle") + pl.col("period")) // pl.col("period"),
                known=pl.col("sure").all().over("period", "cycle"),
                stop_row=pl.col("prior_row").first().over("period", "cycle"),
            )
            .sort("pos", "period")
            .unique("pos", keep="first", maintain_order=True)
            .select("row", "run_id", "tool_name", "period", "repeats", "known", "stop_row")
        )

    def _polling(self) -> pl.Expr:
        """Calls at the steady pace of a clock, where no result is logged."""
        gap = pl.col("gap_s")
        spread = (gap - gap.median()).abs().median()
        steady = (gap.median() > self.polling_gap) & (spread < STEADY * gap.median())
        return ~pl.col("known").any() & steady.fill_null(value=False)


def _changing(stretches: pl.DataFrame) -> pl.Series:
    """Whether a call stands in a stretch in which a call gave several results; those not logged are passed over."""
    results = pl.concat(
        [
            stretches.select("cycle", "phase", told="result"),
            stretches.select("cycle", "phase", told="before"),
        ]
    ).drop_nulls("told")
    several = results.group_by("cycle", "phase").agg(pl.col("told").n_unique()).filter(pl.col("told") > 1)
    return stretches["cycle"].is_in(several["cycle"].implode())


def suspects(ledger: Ledger, times: int) -> pl.Series:
    """The `row` of every call of the runs that do one thing so many times, wherever: only they can go in circles."""
    tool = pl.col("tool_name").is_not_null()
    done = pl.when(tool).then("tool_args_sha").otherwise("output_sha")
    act = RUN ^ pl.col("tool_name").hash(1) ^ done.hash(2)
    acts = single_calls(
        ledger,
        (
            "row",
            RUN,
            act.alias("act"),
            done.is_not_null().alias("known"),
        ),
        pl.col("run_id").is_not_null(),
    )
    often = repeated(acts.filter("known")["act"], times)
    runs = acts.filter(pl.col("act").is_in(often.implode()))["run"].unique()
    return acts.filter(pl.col("run").is_in(runs.implode()))["row"]


def actions(calls: pl.DataFrame, polling_tools: Sequence[str] = ()) -> pl.DataFrame:
    """What runs do, in order of run and time: pos, row, prior_row, run_id, lane, tool_name, name, args, error, result,
    gap_s [s], started_at, ended_at, linked (whether the conversation goes on from the call before).

    A lane is what is compared with itself: the tool calls of a run without what stands between them (summaries between
    equal calls hide a loop); and the answers between two tool calls.
    """
    tool = pl.col("tool_name").is_not_null()
    same_run = ~pl.col("begins")
    grows = pl.when(same_run).then(pl.col("input_tokens") >= pl.col("input_tokens").shift())
    resent = pl.when(same_run).then(pl.col("request_sha") == pl.col("request_sha").shift())
    # An answer repeats another where the conversation goes on; equal answers to unrelated requests are work done.
    answers = grows.fill_null(value=True) | resent.fill_null(value=False)
    # So do calls whose results nobody logs: the labels of a batch are such calls.
    follows = answers & ~(~resent & (pl.col("input_tokens") == pl.col("input_tokens").shift())).fill_null(value=False)
    acts = in_runs(
        calls.filter(pl.col("run_id").is_not_null() & (tool | pl.col("output_sha").is_not_null())).select(
            *("row", "run_id", "step", "started_at", "ended_at", "input_tokens", "output_tokens", "request_sha"),
            "tool_name",
            tool=tool,
            name=pl.col("tool_name").cast(pl.Categorical).to_physical(),
            # Polling tools, and calls whose arguments are not logged, equal nothing.
            args=pl.when(~tool)
            .then("output_sha")
            .when(~pl.col("tool_name").is_in(polling_tools))
            .then("tool_args_sha"),
            error=pl.col("tool_error"),
            result=pl.when(tool).then("tool_result_sha").otherwise(pl.lit(0, pl.UInt64)),
        )
    )
    agents = acts.filter("tool")["run"].unique().implode()
    agent = pl.col("run").is_in(agents) | (pl.col("output_tokens") >= ANSWER)
    return (
        acts.with_columns(called=pl.col("tool").cast(pl.Int64), follows=follows)
        .with_columns(linked=pl.col("follows") & (pl.col("follows").mean().over("run") >= TALK))
        .with_columns(
            turn=pl.when("tool").then(0).otherwise(1 + running("called")),
            args=pl.when(pl.col("tool") | (agent & answers)).then("args"),
            lane=pl.col("run").cast(pl.UInt64) * 2 + (~pl.col("tool")).cast(pl.UInt64),
        )
        .sort("lane", maintain_order=True)  # tools first; then the answers, turn by turn
        .with_columns(pos=pl.int_range(pl.len(), dtype=pl.UInt32), lane=pl.struct("run", "turn").rle_id())
        .with_columns(
            prior_row=pl.col("row").shift(),
            gap_s=pl.col("started_at").diff().dt.total_microseconds() / 1e6,
        )
        .select(
            *("pos", "row", "prior_row", "run_id", "lane", "tool_name", "name", "args", "error", "result", "gap_s"),
            *("started_at", "ended_at", "linked"),
        )
    )


def _cycles(keyed: pl.DataFrame, period: int) -> pl.DataFrame:
    """The calls equal to the call `period` places before them, by unbroken stretch (`cycle`): whether both results are
    known (`sure`: but for the last call of a run), and which of the calls of the period each is (`phase`)."""

    def same(column: str) -> pl.Expr:
        return pl.col(column).eq_missing(pl.col(column).shift(period))

    # What the last call of a run gave back is sent to nobody: not known, and no difference.
    other = (pl.col("error") != pl.col("error").shift(period)).fill_null(value=False)
    # Agents at work side by side begin alike; a loop makes its next call after the one before.
    apart = (pl.col("started_at") + ROUNDED >= pl.col("ended_at").shift(period)).fill_null(value=True)
    equal = same("lane") & same("name") & ~other & apart & (pl.col("args") == pl.col("args").shift(period))
    before = pl.col("result").shift(period)
    last = pl.col("lane") != pl.col("lane").shift(-1)
    told = pl.col("result").is_not_null() & before.is_not_null()
    equal = equal & (told | pl.col("linked") | last.fill_null(value=True))
    return (
        keyed.with_columns(equal=equal.fill_null(value=False), before=before, last=last)
        .with_columns(cycle=(~pl.col("equal")).cum_sum())
        .filter("equal")
        .with_columns(
            period=pl.lit(period, pl.Int64),
            known=pl.col("result").is_not_null() & pl.col("before").is_not_null(),
            sure=(pl.col("result").is_not_null() | pl.col("last").fill_null(value=True))
            & pl.col("before").is_not_null(),
            phase=pl.col("pos") % period,
        )
    )


def _steps(calls: pl.DataFrame) -> pl.DataFrame:
    """All calls of the runs that loop, with `nth` in their run from 1, and the run's task."""
    return (
        in_runs(calls)
        .with_columns(
            task=pl.col("task").drop_nulls().first().over("run_id").fill_null(NO_TASK),
        )
        .select("row", "run_id", "task", "nth", "request_id", "run_source", SOURCE, usd=COST)
    )


def _after_the_end(steps: pl.DataFrame, repeats: pl.DataFrame, keyed: pl.DataFrame) -> pl.DataFrame:
    """The calls that bought nothing: row, run_id. The repeats; and whatever a run did after repeating its end.

    A run that gives its answer again, or calls its finishing tool again, until it stops was over the first time.
    """
    last = keyed.join(steps.select("row", "nth"), on="row").sort("nth").group_by("run_id").agg(pl.col("row").last())
    ends = pl.col("tool_name").is_null() | pl.col("tool_name").str.contains(FINISH)
    over = repeats.join(last, on=["run_id", "row"], how="semi").filter(ends).select("run_id", "stop_row")
    stop = steps.select("run_id", pl.col("row").alias("stop_row"), stop_nth="nth")
    after = (
        steps.join(over, on="run_id")
        .join(stop, on=["run_id", "stop_row"])
        .filter(pl.col("nth") > pl.col("stop_nth"))
        .select("row", "run_id")
    )
    return pl.concat([repeats.select("row", "run_id"), after]).unique().sort("row")


def _runs(steps: pl.DataFrame, repeats: pl.DataFrame, wasted: pl.DataFrame) -> pl.DataFrame:
    """One row a run: what it repeated, from which step on, and what it spent after that."""
    nth = steps.select("row", "nth")
    first = (
        repeats.join(nth.rename({"row": "stop_row", "nth": "stop_step"}), on="stop_row")
        .sort("run_id", "stop_step", "row")
        .group_by("run_id", maintain_order=True)
        .agg(
            pl.col("tool_name", "stop_step", "period").first(),
            pl.col("repeats").max(),
            results_equal=pl.when(pl.col("known").all()).then(pl.lit("yes")).otherwise(pl.lit("unknown")),
        )
    )
    lost = (
        steps.join(wasted.select("row"), on="row", how="semi")
        .sort("run_id", "nth")
        .group_by("run_id", maintain_order=True)
        .agg(
            pl.len().cast(pl.Int64).alias("wasted_calls"),
            first_request_id=pl.col("request_id").first(),
            last_request_id=pl.col("request_id").last(),
            source=pl.col("source").first(),
        )
    )
    after = (
        steps.join(first.select("run_id", "stop_step"), on="run_id")
        .group_by("run_id")
        .agg(
            pl.col("task", "run_source").first(),
            pl.len().cast(pl.Int64).alias("calls"),
            spent_after_usd=pl.col("usd").filter(pl.col("nth") > pl.col("stop_step")).sum(),
        )
    )
    return after.join(first, on="run_id").join(lost, on="run_id").sort("task", "run_id")


def _claim(task: str, runs: pl.DataFrame, wasted: pl.DataFrame, seen: pl.DataFrame) -> Claim:
    guessed = (runs["run_source"] == "guessed").any()
    known = (runs["results_equal"] == "yes").all()
    because = [f"{plural(runs.height, 'run')}; progress is judged by tool calls and results"]
    if not known:
        because.append("some results are not logged: equal calls without results are taken for repeats")
    if guessed:
        because.append("some runs are guessed from time and user, not known")
    return Claim(
        subject={"task": task},
        title=f"{task}: {plural(runs.height, 'run repeats itself', 'runs repeat themselves')}, "
        "{usd} after the stop point",
        remedy="stop a run when a call repeats with an unchanged result; set a ceiling in steps and one in dollars",
        lever=Lever("run-limit"),
        severity=Severity.HIGH,
        confidence=Confidence.LOW if guessed else Confidence.HIGH if known else Confidence.MEDIUM,
        evidence=runs,
        evidence_key="run_id",
        patch=wasted.join(runs.select("run_id"), on="run_id", how="semi").with_columns(exists=pl.lit(value=False)),
        because=tuple(because),
        details={"signals": seen.join(runs.select("run_id"), on="run_id", how="semi")},
    )


def signals(keyed: pl.DataFrame) -> pl.DataFrame:
    """What else looks stuck in each run, shown and never priced: run_id, equal_calls (most of one call anywhere),
    args_of_one_result (most different arguments that gave one result), errors_in_a_row (of one tool).

    keyed  as `actions` gives it
    """
    tools = keyed.filter(pl.col("name").is_not_null())
    equal = (
        tools.group_by("run_id", "name", "args", "error").len().group_by("run_id").agg(equal_calls=pl.col("len").max())
    )
    one = (
        tools.drop_nulls("result")
        .group_by("run_id", "name", "result")
        .agg(pl.col("args").n_unique())
        .group_by("run_id")
        .agg(args_of_one_result=pl.col("args").max())
    )
    failed = pl.col("error").fill_null(value=False)
    errors = (
        tools.with_columns(stretch=pl.struct("run_id", "name", failed.alias("failed")).rle_id())
        .filter(failed)
        .group_by("run_id", "stretch")
        .len()
        .group_by("run_id")
        .agg(errors_in_a_row=pl.col("len").max())
    )
    return (
        equal.join(one, on="run_id", how="left")
        .join(errors, on="run_id", how="left")
        .with_columns(pl.col("args_of_one_result", "errors_in_a_row").fill_null(0))
        .sort("run_id")
    )
