"""Rule truncated-output: answers that were cut and bought again."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from costaudit.analyze import _ceiling
from costaudit.analyze._analyzer import (
    NO_TASK,
    RUN,
    SOURCE,
    Analyzer,
    CannotCheck,
    Claim,
    need_single,
    option,
    single_calls,
    these,
)
from costaudit.finding import Confidence, Kind, Lever, Severity
from costaudit.price.ledger import Ledger
from costaudit.words import plural

TASK = pl.col("task").fill_null(NO_TASK)
NUDGE = 16  # tokens; "continue", and no new question
INPUT = ("input_tokens", "cache_read_tokens", "cache_write_tokens")
SCOPE = ["model", "tenant", "key_id"]
FILLED = [pl.col(name).fill_null("") for name in SCOPE]
LIVES = ("cache_write_5m_tokens", "cache_write_30m_tokens", "cache_write_1h_tokens", "cache_write_12h_tokens")

SENT_AGAIN, CONTINUED, HIDDEN = "sent again", "continued", "no visible answer"
BROKEN, RUN_FAILED = "does not parse", "the run failed on it"
SEEN = (SENT_AGAIN, CONTINUED, HIDDEN)


class TruncatedOutput(Analyzer):
    """Answers cut by a length limit, and bought again.

    ## What it finds
    Answers that ended at their limit and were then thrown away: the same prompt was sent again, the text does not
    parse, the run failed on it, or the limit was used up by hidden reasoning. Of an answer that was continued, only the
    input that the continuation sent again is waste. Cut answers that were accepted cost nothing extra.
    ## Why it costs money
    A cut answer is billed in full, and so is the prompt that is sent again to get the rest.
    ## What to do
    Set the limit from the answers that did end: the figure is given per task. A limit far above what is used costs
    nothing; output is billed by what is written.
    ## Example
    ```console
    $ costaudit analyze --select truncated-output sample_logs/analyzers/truncated-output.jsonl
    …
           $1.26  report: 3 answers cut and bought again, $1.26
                  medium  truncated-output · F-e197f2 · $1.26 · confidence high · 3 requests
    …
    ```
    """

    name = "truncated-output"
    kind = Kind.WASTE
    order = 3
    levers = ("output-limit",)
    reads = (
        *("request_id", "source_file", "source_line", "started_at", "ended_at", "run_id", "run_source"),
        *("step", "task", "tenant", "key_id", "model", "max_tokens", "input_tokens", "cache_read_tokens"),
        *("cache_write_tokens", "cache_write_5m_tokens", "cache_write_30m_tokens", "cache_write_1h_tokens"),
        *("cache_write_12h_tokens", "output_tokens", "reasoning_tokens", "status", "finish_reason"),
        *("request_sha", "block_sha", "block_tokens", "reply_sha", "success", "schema_ok", "cost_usd"),
    )
    follow_up: float = option(600.0, "s", "Longest pause between a cut answer and its continuation or repetition.")

    def look(self, ledger: Ledger) -> Iterator[Claim]:
        need_single(ledger, {"finish_reason": "no finish reasons"})
        rows = single_calls(ledger, ("row",), pl.col("finish_reason") == "length")["row"]
        if rows.is_empty():
            return
        answers = these(ledger, rows)
        cut = self.cuts(answers, ledger)
        if cut.is_empty():
            if _blind(answers, ledger):
                why = "answers are cut, and no prompts, replies or outcomes say whether they were bought again"
                raise CannotCheck(why)
            return
        ended = single_calls(ledger, (TASK, "output_tokens"), pl.col("finish_reason") == "stop").drop_nulls()
        for (task,), found in cut.group_by("task", maintain_order=True):
            yield _claim(str(task), found, ended.filter(pl.col("task") == task)["output_tokens"].sort().to_list())

    def cuts(self, answers: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
        """The cut answers that bought nothing: cut_row, task, why, next_row (null unless continued), and evidence."""
        cut = answers.select(
            *(
                "row",
                "task",
                "request_id",
                "request_sha",
                "run_id",
                "step",
                "model",
                "tenant",
                "key_id",
                "success",
                "schema_ok",
            ),
            *("max_tokens", "output_tokens", "reasoning_tokens", "block_sha", "reply_sha", SOURCE),
            ended=pl.coalesce("ended_at", "started_at"),
        )
        after = self._followed(cut, ledger)
        of_runs = RUN.is_in(cut.select(RUN)["run"].drop_nulls().unique().implode())
        last = single_calls(ledger, (RUN, "step", "row"), of_runs).sort("run", "step", "row", nulls_last=True)
        lasts = last.group_by("run").agg(pl.col("row").last())["row"]
        label = (pl.col("max_tokens") <= 1).fill_null(value=False)  # one token is a label, and all of the answer
        hidden = (pl.col("reasoning_tokens") >= pl.col("output_tokens")) & (pl.col("reasoning_tokens") > 0)
        why = (
            pl.when(pl.col("follow").is_not_null())
            .then("follow")
            .when(hidden.fill_null(value=False))
            .then(pl.lit(HIDDEN))
            .when(~pl.col("schema_ok").fill_null(value=True) & ~label)
            .then(pl.lit(BROKEN))
            .when(~pl.col("success").fill_null(value=True) & pl.col("row").is_in(lasts.implode()))
            .then(pl.lit(RUN_FAILED))
        )
        return (
            cut.join(after, on="row", how="left", maintain_order="left")
            .with_columns(why=why, task=pl.col("task").fill_null(NO_TASK))
            .filter(pl.col("why").is_not_null())
            .sort("task", "row")
            .select("task", "why", "next_row", "request_id", "max_tokens", "output_tokens", "source", cut_row="row")
        )

    def _followed(self, cut: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
        """row, follow, next_row: the first later call that sends the prompt again, or goes on from the cut answer."""
        prompt = pl.col("block_sha").list.last()
        small = pl.col("block_tokens").list.last() <= NUDGE
        before_nudge = pl.when(small).then(pl.col("block_sha").list.get(-2, null_on_oob=True))
        compared = ("row", "request_sha", prompt.alias("prompt"), before_nudge.alias("before_nudge"))
        later = single_calls(ledger, compared)
        cut = cut.with_columns(FILLED)
        pause = (pl.col("started") - pl.col("ended")).dt.total_microseconds() / 1e6
        return (
            pl.concat(
                [
                    _next(cut.with_columns(key=key), later.select("row", key=again), ledger)
                    .filter(pause <= self.follow_up)
                    .select("row", "next_row", follow=pl.lit(follow))
                    for key, again, follow in (
                        (prompt, "prompt", SENT_AGAIN),
                        (pl.col("request_sha"), "request_sha", SENT_AGAIN),
                        (pl.col("reply_sha"), "prompt", CONTINUED),  # the answer itself is the end of the prompt
                        (pl.col("reply_sha"), "before_nudge", CONTINUED),
                    )
                ]
            )
            .sort("row", "next_row", "follow")
            .unique("row", keep="first", maintain_order=True)
            # What is continued twice was continued once; the second time belongs to the second cut.
            .unique("next_row", keep="last", maintain_order=True)
        )


def _blind(cut: pl.DataFrame, ledger: Ledger) -> bool:
    """Whether nothing is logged that could show what became of a cut answer."""
    prompts = single_calls(ledger, (pl.col("block_sha").is_not_null(),)).to_series()
    again = cut["request_sha"].null_count() + cut["block_sha"].null_count() == 2 * cut.height
    further = not prompts.any() or cut["reply_sha"].null_count() == cut.height
    judged = cut["schema_ok"].null_count() + cut["success"].null_count() < 2 * cut.height
    timed = cut["started_at"].null_count() < cut.height
    return not judged and (again or further or not timed)


def _next(cut: pl.DataFrame, later: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    """The cut answers with the first later call of their key and scope: next_row, started.

    later   row, key: what is compared with the `key` of a cut answer
    """
    known = cut.drop_nulls("key").select("row", "ended", "key", *SCOPE).sort("row")
    keyed = later.filter(pl.col("key").is_in(known["key"].unique().implode()))
    told = ledger.at(keyed["row"], (*SCOPE, "started_at"))
    then = told.select(*FILLED, next_row="row", started="started_at", key=keyed["key"], at="row")
    return known.join_asof(
        then,
        left_on="row",
        right_on="at",
        by=["key", *SCOPE],
        strategy="forward",
        allow_exact_matches=False,
        check_sortedness=False,  # sorted in the lines above; polars cannot verify it within groups
    ).drop_nulls("next_row")


def _claim(task: str, cut: pl.DataFrame, complete: list[int]) -> Claim:
    continued = pl.col("why") == CONTINUED
    thrown = cut.filter(~continued).select("cut_row", row="cut_row", exists=pl.lit(value=False))
    resent = cut.filter(continued).select(
        "cut_row",
        row="next_row",
        exists=pl.lit(value=True),
        **{name: pl.lit(0, pl.Int64) for name in (*INPUT, *LIVES)},
    )
    whys = cut["why"].value_counts().sort("count", "why", descending=[True, False])
    seen = cut["why"].is_in(SEEN).all()
    because = [", ".join(f"{count:,} {why}" for why, count in whys.iter_rows())]
    remedy = "set the limit of an answer from the answers that did end"
    lever: Lever | None = None
    if complete:
        enough = _ceiling.bound(complete) or _ceiling.PROVISIONAL * complete[-1]
        p99 = complete[min(len(complete) - 1, int(0.99 * len(complete)))]
        remedy = f"set max_tokens to {enough:,.0f}: answers that did end had {p99:,} tokens at most in 99 of 100 cases"
        lever = Lever("output-limit", f"{enough:.0f}")
        because.append(f"the limit rests on {plural(len(complete), 'answer')} that ended")
    return Claim(
        subject={"task": task},
        title=f"{task}: {plural(cut.height, 'answer')} cut and bought again, {{usd}}",
        remedy=remedy,
        lever=lever,
        severity=Severity.MEDIUM,
        confidence=Confidence.HIGH if seen else Confidence.MEDIUM,
        evidence=cut.drop("task", "next_row"),
        evidence_key="cut_row",
        patch=pl.concat([thrown, resent], how="diagonal"),
        because=tuple(because),
    )
