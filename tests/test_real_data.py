"""Figures of the real data sets, each with its count: what the rules' own tests do not state yet."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest
from ledgers import book

from costaudit import pipeline, schema
from costaudit.analyze import _ceiling
from costaudit.analyze.runaway_loop import actions, signals
from costaudit.config import Settings
from costaudit.price.ledger import Ledger

START = datetime(2026, 9, 7, tzinfo=UTC)


def audited(folder, rows, **settings):
    """An audit of rows in the request table's own column names."""
    (folder / "calls.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return pipeline.audit([str(folder)], Settings(**settings))


def evaluations(shared):
    """The calls of three evaluations, with the score of their sample; one run a sample."""
    for file in sorted((shared / "datasets" / "inspect_eval_logs").glob("*.json")):
        log = json.loads(file.read_text())
        for sample in log["samples"]:
            run = f"{log['eval']['task']}-{sample['id']}"
            grades = [s["value"] for s in sample["scores"].values()]
            events = [e for e in sample["events"] if e["event"] == "model"]
            for step, event in enumerate(events, 1):
                usage = event["output"]["usage"]
                yield (
                    sample,
                    {
                        "request_id": f"{run}-{step}",
                        "run_id": run,
                        "step": step,
                        "task": log["eval"]["task"],
                        "started_at": event["timestamp"],
                        "provider": "openai",
                        "model": event["output"]["model"],
                        "input_tokens": usage["input_tokens"],
                        "cache_read_tokens": usage["input_tokens_cache_read"],
                        "output_tokens": usage["output_tokens"],
                        "total_tokens": usage["total_tokens"],
                        "success": all(grade == "C" for grade in grades),
                    },
                )


def test_evaluation_logs_say_the_same_usage_call_by_call_and_sample_by_sample(shared, tmp_path):
    pairs = list(evaluations(shared))
    by_run = {row["run_id"]: sample["model_usage"]["openai/gpt-4o-mini"] for sample, row in pairs}
    for run, stated in by_run.items():
        calls = [row for _, row in pairs if row["run_id"] == run]
        for ours, theirs in (("input_tokens", "input_tokens"), ("output_tokens", "output_tokens"),
                             ("cache_read_tokens", "input_tokens_cache_read")):  # fmt: skip
            assert sum(row[ours] for row in calls) == stated[theirs], run
    browser = next(u for run, u in by_run.items() if u["input_tokens_cache_read"])
    names = ("input_tokens", "output_tokens", "input_tokens_cache_read")
    assert [browser[name] for name in names] == [15_235, 281, 9_088]
    audit = audited(tmp_path, [row for _, row in pairs])
    # gpt-4o-mini, USD per million: 0.15 fresh, 0.075 cached, 0.6 out; cached input is inside the input.
    sums = {k: sum(row[k] for _, row in pairs) for k in ("input_tokens", "cache_read_tokens", "output_tokens")}
    fresh = sums["input_tokens"] - sums["cache_read_tokens"]
    wanted = fresh * Decimal("0.15") + sums["cache_read_tokens"] * Decimal("0.075")
    wanted += sums["output_tokens"] * Decimal("0.6")
    assert audit.spend.total_usd == wanted / 1_000_000
    assert audit.coverage.share == 1


def test_a_logged_cost_of_zero_beside_large_token_counts_is_priced_and_reported(shared, tmp_path):
    with (shared / "datasets/openhands_calls/calls.csv").open(newline="") as file:
        calls = list(csv.DictReader(file))
    rows = [
        {
            "request_id": f"call-{n}",
            "run_id": call["trace"],
            "task": "issue",
            "started_at": (START + timedelta(minutes=n)).isoformat(),
            "provider": "anthropic",
            "model": "claude-sonnet-4-6",
            "input_tokens": int(call["prompt_tokens"]),
            "output_tokens": int(call["completion_tokens"]),
            "cost_logged_usd": 0,
        }
        for n, call in enumerate(calls)
    ]
    audit = audited(tmp_path, rows)
    tokens = [sum(row[name] for row in rows) for name in ("input_tokens", "output_tokens")]
    assert len(rows) == 105
    assert audit.spend.total_usd == (tokens[0] * Decimal(3) + tokens[1] * Decimal(15)) / 1_000_000
    logged = audit.spend.logged.row(0, named=True)
    assert (logged["requests"], logged["agree"], logged["logged_usd"]) == (105, 0, 0)


def test_mini_agi_makes_one_call_three_times_anywhere_in_50_runs_of_which_40_are_cut_off(shared):
    folder = shared / "datasets" / "agentbench2023_loops"
    runs = pl.read_csv(folder / "runs.csv").filter(pl.col("success").is_not_null())
    lines = (folder / "steps.jsonl").read_text().splitlines()
    steps = pl.DataFrame([json.loads(line) for line in lines], infer_schema_length=None)
    steps = steps.join(runs.select("run_id", "agent", "reached_cutoff"), on=["run_id", "agent"])
    for agent, often, cut in (("mini-agi", 50, 40), ("auto-gpt", 0, 0)):
        calls = steps.filter(pl.col("agent") == agent, pl.col("action").is_not_null()).select(
            "run_id",
            pl.col("step").cast(pl.Int64),
            tool_name="action",
            tool_args_sha=pl.col("args_sha").str.to_integer(base=16).cast(pl.UInt64),
            row=pl.int_range(pl.len(), dtype=pl.UInt32),
        )
        lacking = [pl.lit(None, t).alias(name) for name, t in schema.CALLS.items() if name not in calls.columns]
        found = signals(actions(calls.with_columns(lacking))).filter(pl.col("equal_calls") >= 3)
        known = runs.filter(pl.col("run_id").is_in(found["run_id"].implode()))
        assert (found.height, int(known["reached_cutoff"].sum())) == (often, cut)


def test_airline_runs_that_succeed_are_shorter_and_their_prompts_grow_faster_than_their_turns(shared):
    traces = json.loads((shared / "datasets/tau_airline_gpt4o/gpt-4o-airline.json").read_text())
    turns: dict[bool, list[int]] = {True: [], False: []}
    rows = []
    for nth, trace in enumerate(traces):
        sent, step = 0, 0
        for message in trace["traj"]:
            if message["role"] == "assistant":
                step += 1
                rows.append((f"run {nth}", step, sent))
            sent += len(json.dumps(message))
        turns[trace["reward"] == 1].append(step)
    quantiles = {good: [pl.Series(n).quantile(q, "linear") for q in (0.5, 0.9, 1.0)] for good, n in turns.items()}
    assert (len(turns[True]), quantiles[True], quantiles[False]) == (84, [8.5, 17, 22], [13, 23, 30])
    calls = pl.DataFrame(rows, schema=["run_id", "step", "input_tokens"], orient="row").with_row_index("row")
    calls = calls.with_columns(cost_usd=pl.col("input_tokens").cast(schema.USD))
    lacking = [pl.lit(None, t).alias(name) for name, t in schema.CALLS.items() if name not in calls.columns]
    held = Ledger.of(calls.with_columns(lacking), book())
    steps = _ceiling.runs_of(held)
    exponent = _ceiling.growth(steps, _ceiling.summary(steps, held))["cost_exponent"].item()
    # A line through the logarithms has 1.35 to 1.47, by what is counted of a message; well under 2: no square law.
    assert round(exponent, 2) == 1.47


@pytest.mark.parametrize(
    ("service", "calls", "sent", "answered"), [("code", 8_819, 2_048, 28), ("conv", 19_366, 1_155, 211)]
)
def test_two_services_differ_in_shape(shared, service, calls, sent, answered):
    table = pl.read_csv(shared / f"datasets/azure_llm_2023/AzureLLMInferenceTrace_{service}.csv")
    means = [round(table[name].mean()) for name in ("ContextTokens", "GeneratedTokens")]
    assert (table.height, *means) == (calls, sent, answered)


def test_the_weak_model_of_gsm8k_is_right_where_the_strong_one_is_not_in_7_cases_of_100(shared):
    with next((shared / "datasets/routellm_gsm8k").glob("*.csv")).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name not in ("prompt",) and "response" not in name]
    sides = {name: [row[name] == "True" for row in rows] for name in names}
    weak, strong = sorted(sides.values(), key=sum)[:2]
    shares = [sum(side) / len(rows) for side in (weak, strong, [a or b for a, b in zip(weak, strong, strict=True)])]
    assert [round(100 * share, 1) for share in shares] == [63.8, 85.7, 92.9]
