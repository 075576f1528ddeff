"""Request stores of any size from a seed: what an application, its agents and its tenants would have logged.

    python bench/_store.py /tmp/store --rows 1000000 [--seed 1]

Sixty days, a part with its sums each.
Ten tasks, six models of three providers, forty tenants of very different sizes.
Six tasks are agents: runs of about ten steps with tool calls and their results, some of them stuck; every third run
carries the hash chain of its prompt and the tokens of each block. The other tasks are single calls, some sent twice.
Every column comes from vectors, and a day from the seed and its number alone.
More than ten million requests are those of ten million told again, sixty days later each time, under other ids.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).parent.parent))

from costaudit import schema
from costaudit.commands._sums import summary
from costaudit.config import Settings
from costaudit.ingest import _parts as files

LARGEST = 10_000_000  # requests that are made one by one
DAYS = 60
FIRST = date(2026, 9, 20)
MODELS = (
    ("anthropic", "claude-opus-5-5"),
    ("anthropic", "claude-sonnet-4-6"),
    ("anthropic", "claude-haiku-4-5"),
    ("openai", "gpt-6-sol"),
    ("openai", "gpt-5-mini"),
    ("google", "gemini-3.8-flash"),
)
TOOLS = ("bash", "edit", "read", "search", "sql", "web")
STEPS = 10.0  # mean length of a run
LONGEST = 60  # steps
STUCK = 0.01  # share of runs that repeat one call to their end
CHAINED = 1 / 3  # share of runs with the hash chain of their prompts
TENANTS = 40
ODD = 0x9E3779B97F4A7C15  # 2^64 / golden ratio


class Task(NamedTuple):
    """Mean tokens of a task's calls, and the share of them on its first, second, … model."""

    name: str
    weight: float
    agent: bool
    prompt: int
    grows: int
    answer: int
    models: tuple[tuple[int, float], ...]


TASKS = (
    Task("research", 0.12, True, 6_000, 1_500, 700, ((0, 0.8), (1, 0.2))),
    Task("coding", 0.20, True, 12_000, 2_500, 900, ((1, 0.9), (0, 0.1))),
    Task("support", 0.16, True, 3_000, 700, 350, ((3, 0.7), (4, 0.3))),
    Task("reporting", 0.08, True, 5_000, 1_200, 1_500, ((3, 1.0),)),
    Task("browsing", 0.08, True, 4_000, 2_000, 300, ((5, 1.0),)),
    Task("sql", 0.06, True, 2_500, 600, 250, ((2, 1.0),)),
    Task("triage", 0.12, False, 1_200, 0, 60, ((4, 0.6), (3, 0.4))),
    Task("extraction", 0.08, False, 4_000, 0, 400, ((5, 1.0),)),
    Task("summary", 0.06, False, 9_000, 0, 500, ((1, 0.5), (2, 0.5))),
    Task("translation", 0.04, False, 1_500, 0, 1_200, ((4, 1.0),)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    write(given.folder, given.rows, given.seed)
    print(f"{given.rows:,} requests in {given.folder}")


def write(folder: Path, rows: int, seed: int = 1) -> None:
    """A store of so many requests; an existing one of the same size and seed is left as it is."""
    mark = folder.with_suffix(".made")
    made = f"{schema.VERSION} {rows} {seed}"
    if mark.exists() and mark.read_text() == made:
        return
    summed = summary(Settings())
    files.at(folder).change(
        lambda _: [
            files.write(folder, f"{day:%Y-%m}", schema.conform(frame, files.STORED), summed)
            for day, frame in (parts(rows, seed) if rows <= LARGEST else _told_again(folder, rows, seed))
        ]
    )
    mark.write_text(made)


def _told_again(folder: Path, rows: int, seed: int) -> Iterator[tuple[date, pl.DataFrame]]:
    """The days of the largest store that is made, as often as it takes: later, and calls and runs with other ids."""
    base = folder.with_name(f"{LARGEST}-{seed}")
    write(base, LARGEST, seed)
    for nth in range(-(-rows // LARGEST)):
        left = rows - nth * LARGEST
        for part in files.load(base):
            day = _later(files.read(base, part).head(max(0, left)), nth)
            left -= day.height
            if day.height:
                yield day["started_at"][0].date(), day


def _later(day: pl.DataFrame, nth: int) -> pl.DataFrame:
    other = pl.lit(nth * ODD % 2**64, pl.UInt64)
    return day.with_columns(
        pl.col("started_at", "ended_at") + timedelta(days=nth * DAYS),
        pl.col("request_sha", "output_sha", "reply_sha") ^ other,
        pl.col("block_sha").list.eval(pl.element() ^ other),
        pl.col("request_id") + f"-{nth}",
        pl.col("run_id") + f"-{nth}",
        source_file=pl.lit(f"logs/{nth}/") + pl.col("source_file").str.slice(len("logs/")),
    )


def parts(rows: int, seed: int) -> Iterator[tuple[date, pl.DataFrame]]:
    """(day, its requests [schema.REQUESTS] in order of time), `rows` in all."""
    edges = [rows * n // DAYS for n in range(DAYS + 1)]
    for n in range(DAYS):
        yield FIRST + timedelta(days=n), _day(n, edges[n + 1] - edges[n], np.random.default_rng([seed, n]))


def _day(n: int, rows: int, dice: np.random.Generator) -> pl.DataFrame:
    """One day: runs first, then their calls, then what each call says."""
    start = datetime.combine(FIRST + timedelta(days=n), datetime.min.time(), UTC)
    runs = _runs(n, rows, dice)
    at = np.repeat(np.arange(len(runs["steps"])), runs["steps"])[:rows]
    step = _counting(runs["steps"])[:rows]
    calls: dict[str, Any] = {name: values[at] for name, values in runs.items()} | {"step": step, "run": at}
    _times(calls, start, dice)
    _tokens(calls, dice)
    _ends(calls, dice)
    frame = _columns(calls, n, dice)
    fat = _lists(calls)
    return schema.conform(frame.with_columns(**fat)).sort("started_at", "source_line")


def _runs(n: int, rows: int, dice: np.random.Generator) -> dict[str, np.ndarray]:
    """One entry a run; a call outside any run is a run of one step."""
    many = rows  # enough: a run has at least one step
    task = dice.choice(len(TASKS), many, p=_run_shares())
    agent = np.array([t.agent for t in TASKS])[task]
    steps = np.where(agent, 1 + np.minimum(dice.geometric(1 / STEPS, many), LONGEST - 1), 1)
    needed = int(np.searchsorted(np.cumsum(steps), rows)) + 1
    task, agent, steps = task[:needed], agent[:needed], steps[:needed]
    many = len(steps)
    model = np.empty(many, np.int64)
    for nth, kind in enumerate(TASKS):
        here = task == nth
        numbers, shares = zip(*kind.models, strict=True)
        model[here] = dice.choice(numbers, int(here.sum()), p=shares)
    return {
        "task": task,
        "agent": agent,
        "steps": steps,
        "model": model,
        "tenant": np.minimum(dice.zipf(1.4, many), TENANTS),
        "user": dice.integers(0, 3_000, many),
        "began": dice.integers(0, 86_400 - 3_600, many).astype(np.float64),
        "stuck": agent & (dice.random(many) < STUCK) & (steps > 6),
        "chained": dice.random(many) < CHAINED,
        "sha": dice.integers(1, 2**63, many, dtype=np.uint64),
        "id": np.arange(many) + n * 1_000_000_000,
        "success": dice.random(many) < 0.9,
    }


def _run_shares() -> np.ndarray:
    """Shares of runs from shares of calls."""
    shares = np.array([t.weight / (1 + STEPS if t.agent else 1) for t in TASKS])
    return shares / shares.sum()


def _counting(steps: np.ndarray) -> np.ndarray:
    """1, 2, …, n for each n."""
    ends = np.cumsum(steps)
    return np.arange(ends[-1]) - np.repeat(ends - steps, steps) + 1


def _times(calls: dict[str, Any], start: datetime, dice: np.random.Generator) -> None:
    many = len(calls["step"])
    taken = 0.8 + dice.exponential(4.0, many)
    began = calls["began"] + (calls["step"] - 1) * 25.0 + dice.random(many) * 15
    micro = np.datetime64(start.replace(tzinfo=None), "us").astype(np.int64)
    calls["started"] = micro + (began * 1e6).astype(np.int64)
    calls["ended"] = calls["started"] + (taken * 1e6).astype(np.int64)


def _tokens(calls: dict[str, Any], dice: np.random.Generator) -> None:
    """Input grows with the steps; caches hold most of what a run sent before, and some prefixes are never cached."""
    many = len(calls["step"])
    prompt, grows, answer = (np.array([getattr(t, name) for t in TASKS]) for name in ("prompt", "grows", "answer"))
    task = calls["task"]
    spread = 0.8 + 0.4 * ((calls["sha"] >> np.uint64(7)) % np.uint64(1_000)).astype(np.float64) / 1_000
    before = prompt[task] * spread + grows[task] * (calls["step"] - 1)
    calls["input"] = before.astype(np.int64) + dice.integers(0, 40, many)
    calls["output"] = np.maximum(1, (answer[task] * dice.lognormal(-0.2, 0.6, many)).astype(np.int64))
    anthropic = calls["model"] < 3
    cached = calls["agent"] & (task != 0)  # nobody told the first task of caches
    earlier = np.maximum(0, before - grows[task]).astype(np.int64)
    calls["read"] = np.where(cached & (calls["step"] > 1), earlier, 0)
    calls["write"] = np.where(cached & anthropic, calls["input"] - calls["read"], 0)
    thinks = np.isin(calls["model"], (0, 3))
    calls["reasoning"] = np.where(thinks, calls["output"] * 2 // 5, 0)


def _ends(calls: dict[str, Any], dice: np.random.Generator) -> None:
    many = len(calls["step"])
    luck = dice.random(many)
    last = calls["step"] == calls["steps"]
    calls["failed"] = luck < 0.01
    calls["cut"] = ~calls["failed"] & (luck > 0.995)
    calls["calls_tool"] = calls["agent"] & ~last & ~calls["failed"] & ~calls["cut"]
    calls["output"] = np.where(calls["failed"], 0, calls["output"])
    calls["reasoning"] = np.where(calls["failed"], 0, calls["reasoning"])
    calls["twin"] = ~calls["agent"] & (dice.random(many) < 0.02)


def _mixed(*parts: np.ndarray) -> np.ndarray:
    """Well-spread hashes of small numbers: the finaliser of MurmurHash3 over their combination."""
    value = np.zeros(len(parts[0]), np.uint64)
    for part in parts:
        value = (value ^ part.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        value ^= value >> np.uint64(33)
        value *= np.uint64(0xFF51AFD7ED558CCD)
        value ^= value >> np.uint64(29)
    return value


def _columns(calls: dict[str, Any], n: int, dice: np.random.Generator) -> pl.DataFrame:
    """The plain columns."""
    many = len(calls["step"])
    line = np.arange(many) + 1
    content = _mixed(calls["sha"], np.where(calls["twin"], 0, calls["step"] + line * ~calls["agent"]))
    names = pl.Series([t.name for t in TASKS])
    providers, models = (pl.Series(column) for column in zip(*MODELS, strict=True))
    base = pl.DataFrame(
        {name: calls[name] for name in ("task", "model", "tenant", "user", "id", "step", "started", "ended")}
    )
    run, agent = pl.Series(calls["id"]).cast(pl.String), pl.Series(calls["agent"])
    failed, cut, asks = (pl.Series(calls[name]) for name in ("failed", "cut", "calls_tool"))
    kind = pl.Series(_mixed(calls["task"], calls["task"] + 1))
    status = pl.Series(np.where(dice.random(many) < 0.5, 429, 500))
    return base.select(
        request_id=pl.lit("req_") + pl.Series(_mixed(calls["id"], line)).cast(pl.String),
        format=pl.lit("generic"),
        source_file=pl.lit(f"logs/{FIRST + timedelta(days=n)}.jsonl"),
        source_line=pl.Series(line),
        source_offset=pl.Series(line * 900),
        started_at=pl.col("started").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
        ended_at=pl.col("ended").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
        ttft_s=pl.Series(0.2 + dice.random(many)),
        run_id=pl.when(agent).then(pl.lit("run-") + run),
        run_source=pl.when(agent).then(pl.lit("log")),
        step=pl.when(agent).then("step"),
        task=names.gather(base["task"]),
        task_source=pl.lit("field"),
        tenant=pl.lit("tenant-") + pl.col("tenant").cast(pl.String),
        user=pl.lit("user-") + pl.col("user").cast(pl.String),
        environment=pl.lit("production"),
        key_id=pl.lit("key-") + (pl.col("tenant") % 5).cast(pl.String),
        provider=providers.gather(base["model"]),
        model_requested=models.gather(base["model"]),
        model=models.gather(base["model"]),
        temperature=pl.lit(0.2),
        max_tokens=pl.lit(4_096, pl.Int64),
        streamed=pl.lit(value=True),
        input_tokens=pl.Series(calls["input"]),
        cache_read_tokens=pl.Series(calls["read"]),
        cache_write_tokens=pl.Series(calls["write"]),
        cache_write_5m_tokens=pl.Series(calls["write"]),
        output_tokens=pl.Series(calls["output"]),
        reasoning_tokens=pl.Series(calls["reasoning"]),
        usage_source=pl.lit("provider"),
        status=pl.when(failed).then(pl.lit("error")).otherwise(pl.lit("ok")),
        http_status=pl.when(failed).then(status).otherwise(200).cast(pl.Int64),
        error_type=pl.when(failed).then(pl.lit("overloaded")),
        finish_reason=pl.when(failed)
        .then(None)
        .when(cut)
        .then(pl.lit("length"))
        .when(asks)
        .then(pl.lit("tool_calls"))
        .otherwise(pl.lit("stop")),
        request_sha=pl.Series(content),
        system_sha=kind,
        template_sha=kind,
        tools_sha=pl.when(agent).then(kind),
        output_sha=pl.Series(_mixed(content, line)),
        success=pl.when(agent).then(pl.Series(calls["success"])),
    )


def _lists(calls: dict[str, Any]) -> dict[str, pl.Series]:
    """Tool calls and results, and the chains of blocks: each step sends what the one before sent, and two more."""
    blocks = np.where(calls["chained"], 1 + 2 * calls["step"], 0)
    at = np.repeat(np.arange(len(blocks)), blocks)
    nth = _counting(np.maximum(blocks, 0)) if blocks.sum() else np.zeros(0, np.int64)
    own = np.where(calls["agent"], calls["sha"], calls["sha"] + calls["started"].astype(np.uint64))
    chain = _mixed(np.where(nth == 1, calls["task"][at].astype(np.uint64), own[at]), nth)
    size = np.maximum(1, calls["input"][at] // blocks[at])
    asks = calls["calls_tool"]
    # A stuck run makes one call over and over, with the same result.
    turn = np.where(calls["stuck"] & (calls["step"] > 2), 3, calls["step"])
    call, result = _mixed(calls["sha"], turn, turn), _mixed(calls["sha"], turn + 1_000)
    ids = _mixed(calls["sha"], calls["step"] + 5_000)
    before = (calls["step"] > 1) & np.roll(asks, 1)
    tool = pl.Series(TOOLS).gather(pl.Series(call % np.uint64(len(TOOLS))).cast(pl.UInt32))
    made = pl.DataFrame({"id": ids, "name": tool, "args_sha": call}).to_struct()
    came = pl.DataFrame({"id": np.roll(ids, 1), "sha": np.roll(result, 1), "error": np.roll(turn % 23 == 0, 1)})
    return {
        "block_sha": _listed(pl.Series(chain), blocks, schema.REQUESTS["block_sha"]),
        "block_tokens": _listed(pl.Series(size), blocks, schema.REQUESTS["block_tokens"]),
        "tool_calls": _listed(made.filter(pl.Series(asks)), asks, schema.TOOL_CALLS),
        "tool_results": _listed(came.to_struct().filter(pl.Series(before)), before, schema.TOOL_RESULTS),
        "reply_sha": pl.select(
            pl.when(pl.Series(calls["chained"])).then(pl.Series(_mixed(own, 2 + 2 * calls["step"])))
        ).to_series(),
    }


def _listed(values: pl.Series, sizes: np.ndarray, dtype: Any) -> pl.Series:
    """Consecutive values as lists of these sizes; null for a size of zero."""
    rows = np.repeat(np.arange(len(sizes)), sizes)
    grouped = pl.DataFrame({"row": rows, "values": values}).group_by("row", maintain_order=True).agg("values")
    lists = pl.DataFrame({"row": np.arange(len(sizes))}).join(grouped, on="row", how="left", maintain_order="left")
    return lists["values"].cast(dtype)


if __name__ == "__main__":
    main()
