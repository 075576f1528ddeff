"""Runs that the log does not name, rebuilt from what the calls send (METHODS 5.2).

A request sends the whole conversation again, so the hash chain over its messages begins with the chain of the request
it continues. Linking each call to the one it continues gives a forest; each tree is a run, branches included.
"""

from __future__ import annotations

import polars as pl
import xxhash

from costaudit.attribute._links import PAUSE, parents
from costaudit.attribute._order import spread
from costaudit.schema import MAYBE, SHARED

COMPACTED = 20_000  # tokens; agents compact contexts that are near their window, never smaller ones
HISTORY = 3  # messages from which an opening carries the past of a conversation
PLACES = 2**32  # more than there can be rows
GUESS_BY = ["scope", "user", "system_sha"]


def shared_runs(requests: pl.DataFrame) -> pl.DataFrame:
    """The requests without run ids made up call by call (`schema.MAYBE`, `schema.SHARED`), which all calls tell."""
    doubt = pl.col("run_source").is_in([MAYBE, SHARED]).fill_null(value=False)
    if not requests.select(doubt.any()).item():
        return requests
    session = (pl.col("run_source") == MAYBE).fill_null(value=False)
    alone = pl.len().over("run_id") == 1
    invented = session & (session.sum() > 1) & (session & ~alone).any().not_()
    kept = ~doubt | (session & ~invented) | ~alone
    return requests.with_columns(
        run_id=pl.when(kept).then("run_id"),
        run_source=pl.when(doubt & kept).then(pl.lit("log")).when(~doubt).then("run_source"),
    )


def name_runs(requests: pl.DataFrame, order: pl.Series) -> pl.DataFrame:
    """The columns run_id and run_source, aligned with the rows of `requests`.

    A run id of the log is kept (`log`). A rebuilt run is called `chain-` or `guess-` and 12 hex digits that come from
    its first call. Calls that continue nothing and that nothing continues have no run.
    """
    source = pl.when(pl.col("run_id").is_not_null()).then(pl.coalesce("run_source", pl.lit("log")))
    told = requests.select("run_id", run_source=source)
    calls = _calls(requests, order)
    if calls.height < 2:
        return told
    parent = parents(calls)
    if parent.null_count() == parent.len():
        return told
    rebuilt = _rebuilt(calls, parent)
    found = spread(rebuilt, requests.height)
    return told.select(
        pl.coalesce("run_id", found["rebuilt_id"]).alias("run_id"),
        pl.coalesce("run_source", found["rebuilt_source"]).alias("run_source"),
    )


def number_steps(requests: pl.DataFrame, order: pl.Series) -> pl.Series:
    """The position of each call in its run, from 1; null without a run and for rows that restate others."""
    counted = requests["run_id"].is_not_null() & ~requests["rollup"].fill_null(value=False)
    # Run and place in one number: sorted by it, a step is the distance to the first call of the run.
    run = requests["run_id"].cast(pl.Categorical).to_physical().cast(pl.UInt64)
    keys = (run * PLACES + order).filter(counted).sort()
    new = (keys // PLACES).diff() != 0
    nth = pl.int_range(keys.len(), eager=True)
    steps = nth - pl.select(pl.when(new.fill_null(value=True)).then(nth).forward_fill()).to_series() + 1
    rows = order.arg_sort().gather((keys % PLACES).cast(pl.UInt32))
    return pl.repeat(None, requests.height, dtype=pl.Int64, eager=True).scatter(rows, steps).alias("step")


def _calls(requests: pl.DataFrame, order: pl.Series) -> pl.DataFrame:
    """The calls that have no run yet, in order, numbered by `call`."""
    anonymous = pl.col("run_id").is_null() & ~pl.col("rollup").fill_null(value=False)
    calls = (
        requests.lazy()
        .with_row_index("row")
        .with_columns(order)
        .filter(anonymous)
        .select(
            *("row", "order"),
            pl.coalesce("key_id", "tenant", pl.lit("")).alias("_key"),
            pl.coalesce("model", "model_requested", pl.lit("")).alias("_model"),
            pl.col("tool_calls").list.eval(pl.element().struct.field("id")).alias("called"),
            pl.col("tool_results").list.eval(pl.element().struct.field("id")).alias("sent"),
            *(
                "format",
                "source_file",
                "source_line",
                "request_id",
                "parent_id",
                "user",
                "started_at",
                "ended_at",
                "status",
            ),
            *("input_tokens", "block_sha", "reply_sha", "system_sha"),
        )
        .collect()
    )
    calls = calls if calls["order"].is_sorted() else calls.sort("order")
    return _scoped(calls).with_columns(call=pl.int_range(pl.len(), dtype=pl.UInt32))


def _scoped(calls: pl.DataFrame) -> pl.DataFrame:
    """The calls with `scope`, a number for the key (or tenant) and the family of the model: runs stay within one."""
    kinds = calls.select("_key", "_model").unique()
    # `us.anthropic.claude-…`, `openai/gpt-…`: the first word after the prefixes is the family.
    model = pl.col("_model").str.to_lowercase().str.replace(r"^.*/", "").str.replace(r"^([a-z-]+\.)+", "")
    scope = pl.concat_str("_key", pl.lit("\n"), model.str.extract(r"^([a-z]+)", 1).fill_null(""))
    kinds = kinds.with_columns(scope=scope.rank("dense").cast(pl.UInt64))
    found = calls.select("_key", "_model").join(kinds, on=["_key", "_model"], how="left", maintain_order="left")
    return calls.drop("_key", "_model").with_columns(found["scope"])


def _rebuilt(calls: pl.DataFrame, parent: pl.Series) -> pl.DataFrame:
    """row, rebuilt_id, rebuilt_source of the calls that belong to a run of at least two."""
    rooted = calls.with_columns(_roots(parent).alias("root"))
    runs = (
        rooted.join(_bridged(rooted), on="root", how="left")
        .with_columns(first=pl.coalesce("bridged", "root"))
        .select("row", "first", many=pl.len().over("first") > 1, guessed=pl.col("bridged").is_not_null())
        .filter("many")
    )
    firsts = runs.select("first", "guessed").unique("first").sort("first")
    named = firsts.with_columns(rebuilt_id=_names(calls, firsts))
    return runs.join(named.drop("guessed"), on="first").select(
        "row",
        "rebuilt_id",
        rebuilt_source=pl.when("guessed").then(pl.lit("guessed")).otherwise(pl.lit("chain")),
    )


def _roots(parent: pl.Series) -> pl.Series:
    """The first call of each call's tree: every round doubles the distance looked back."""
    root = pl.select(pl.coalesce(parent, pl.int_range(parent.len(), dtype=pl.UInt32))).to_series()
    while not (further := root.gather(root)).equals(root):
        root = further
    return root


def _bridged(rooted: pl.DataFrame) -> pl.DataFrame:
    """root, bridged: trees that are probably parts of one run, and the first call of that run (METHODS 5.2, step 4).

    Two trees of one user and system prompt, the second starting within minutes after the first ended and in the
    middle of a conversation: it brings a history other than the first one's opening (trimmed), or its input is less
    than half of what the first had grown to (compacted). The run begins as a chain: single calls with long prompts,
    one after the other, are more often examples for a classifier than a conversation that is always trimmed.
    """
    if rooted["root"].is_unique().all():  # no chain, so nothing that could go on
        return rooted.select("root", bridged="root").clear()
    trees = (
        rooted.group_by("root")
        .agg(
            pl.len().alias("calls"),
            pl.coalesce("ended_at", "started_at").max().alias("ended"),
            pl.col("input_tokens").last().alias("grown"),
            pl.col(*GUESS_BY, "started_at", "input_tokens", "block_sha").first(),
        )
        .drop_nulls(["user", "started_at"])
        .sort("root")
        .with_columns(opening=pl.col("block_sha").list.get(HISTORY - 1, null_on_oob=True))
    )

    def before(column: str) -> pl.Expr:
        return pl.col(column).shift().over(GUESS_BY)

    pause = pl.col("started_at") - before("ended")
    trimmed = pl.col("opening").is_not_null() & pl.col("opening").ne_missing(before("opening"))
    grown = before("grown")
    compacted = (grown >= COMPACTED) & (pl.col("input_tokens") * 2 < grown)
    follows = (pause >= pl.duration()) & (pause < PAUSE) & (trimmed | compacted)
    return (
        trees.with_columns(follows=follows.fill_null(value=False))
        .with_columns(part=(~pl.col("follows")).cum_sum().over(GUESS_BY))
        .with_columns(
            bridged=pl.col("root").first().over(*GUESS_BY, "part"),
            begins=pl.col("calls").first().over(*GUESS_BY, "part"),
            parts=pl.len().over(*GUESS_BY, "part"),
        )
        .filter((pl.col("parts") > 1) & (pl.col("begins") > 1))
        .select("root", "bridged")
    )


def _names(calls: pl.DataFrame, firsts: pl.DataFrame) -> pl.Series:
    """A name for each run: the same in every audit that sees its first call, whatever else it sees."""
    first = calls.select("request_id", "source_file", "source_line", "started_at")[firsts["first"]]
    names = []
    for (request, file, line, started), guessed in zip(first.iter_rows(), firsts["guessed"], strict=True):
        identity = f"{request}\n{started}" if request else f"{file}\n{line}\n{started}"
        digits = xxhash.xxh3_64_hexdigest(identity.encode())[:12]
        names.append(f"{'guess' if guessed else 'chain'}-{digits}")
    return pl.Series(names, dtype=pl.String)
