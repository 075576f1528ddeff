"""Runs that the log does not name, rebuilt from what the calls send.

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
AT_ONCE = 500_000  # calls that are taken out of the table in one go
_KIND = ("key_id", "tenant", "model", "model_requested")
_LINKED = ("format", "source_file", "request_id", "parent_id", "started_at", "status", "block_sha", "reply_sha")


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
    rebuilt = _rebuilt(requests, calls.select("row", "scope"), parent)
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
    """The calls that have no run yet, in order, numbered by `call`, with what links are found by."""
    rows = requests.select(_anonymous()).to_series().arg_true()
    places = order.gather(rows)
    if not places.is_sorted():
        by_place = places.arg_sort()
        rows, places = rows.gather(by_place), places.gather(by_place)
    scopes = _scopes(requests)
    unasked = _unasked(requests)
    read = [*_KIND, *(name for name in _LINKED if name not in unasked), "tool_calls", "tool_results"]
    calls = pl.concat(
        [
            _linked(requests.select(read)[rows.slice(start, AT_ONCE)], scopes)
            for start in range(0, max(1, rows.len()), AT_ONCE)
        ]
    )
    return calls.with_columns(rows.alias("row"), places, call=pl.int_range(pl.len(), dtype=pl.UInt32))


def _anonymous() -> pl.Expr:
    return pl.col("run_id").is_null() & ~pl.col("rollup").fill_null(value=False)


def _unasked(requests: pl.DataFrame) -> set[str]:
    """The columns that no link hangs on: ids where no call names one, files where all calls have a time."""
    named, untimed = requests.select(pl.col("parent_id").is_not_null().any(), pl.col("started_at").is_null().any()).row(
        0
    )
    return ({"request_id"} if not named else set()) | ({"source_file"} if not untimed else set())


def _linked(part: pl.DataFrame, scopes: pl.DataFrame) -> pl.DataFrame:
    """Some calls with their scope; a column that links do not hang on is null."""
    scope = part.select(_kind()).join(scopes, on=["_key", "_model"], how="left", maintain_order="left")["scope"]
    return part.select(
        *(name if name in part.columns else pl.lit(None, pl.String).alias(name) for name in _LINKED),
        pl.col("tool_calls").list.eval(pl.element().struct.field("id")).alias("called"),
        pl.col("tool_results").list.eval(pl.element().struct.field("id")).alias("sent"),
        scope=scope,
    )


def _kind() -> list[pl.Expr]:
    return [
        pl.coalesce("key_id", "tenant", pl.lit("")).alias("_key"),
        pl.coalesce("model", "model_requested", pl.lit("")).alias("_model"),
    ]


def _scopes(requests: pl.DataFrame) -> pl.DataFrame:
    """_key, _model, scope: a number for the key (or tenant) and the family of the model: runs stay within one."""
    kinds = requests.lazy().filter(_anonymous()).select(_kind()).unique().collect(engine="streaming")
    # `us.anthropic.claude-…`, `openai/gpt-…`: the first word after the prefixes is the family.
    model = pl.col("_model").str.to_lowercase().str.replace(r"^.*/", "").str.replace(r"^([a-z-]+\.)+", "")
    scope = pl.concat_str("_key", pl.lit("\n"), model.str.extract(r"^([a-z]+)", 1).fill_null(""))
    return kinds.with_columns(scope=scope.rank("dense").cast(pl.UInt64))


def _rebuilt(requests: pl.DataFrame, calls: pl.DataFrame, parent: pl.Series) -> pl.DataFrame:
    """row, rebuilt_id, rebuilt_source of the calls [row, scope] that belong to a run of at least two."""
    rooted = calls.with_columns(_roots(parent).alias("root"))
    runs = (
        rooted.join(_bridged(requests, rooted), on="root", how="left")
        .with_columns(first=pl.coalesce("bridged", "root"))
        .select("row", "first", many=pl.len().over("first") > 1, guessed=pl.col("bridged").is_not_null())
        .filter("many")
    )
    firsts = runs.select("first", "guessed").unique("first").sort("first")
    named = firsts.with_columns(rebuilt_id=_names(requests, calls["row"].gather(firsts["first"]), firsts["guessed"]))
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


def _bridged(requests: pl.DataFrame, rooted: pl.DataFrame) -> pl.DataFrame:
    """root, bridged: trees that are probably parts of one run, and the first call of that run.

    Two trees of one user and system prompt, the second starting within minutes after the first ended and in the
    middle of a conversation: it brings a history other than the first one's opening (trimmed), or its input is less
    than half of what the first had grown to (compacted). The run begins as a chain: single calls with long prompts,
    one after the other, are more often examples for a classifier than a conversation that is always trimmed.
    """
    if rooted["root"].is_unique().all():  # no chain, so nothing that could go on
        return rooted.select("root", bridged="root").clear()
    said = requests.select("user", "system_sha", "started_at", "ended_at", "input_tokens", "block_sha")[rooted["row"]]
    trees = (
        said.with_columns(rooted.get_columns())
        .group_by("root")
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


def _names(requests: pl.DataFrame, firsts: pl.Series, guessed: pl.Series) -> pl.Series:
    """A name for each run, by the row of its first call: the same in every audit that sees that call, whatever else
    it sees."""
    first = requests.select("request_id", "source_file", "source_line", "started_at")[firsts]
    names = []
    for (request, file, line, started), guess in zip(first.iter_rows(), guessed, strict=True):
        identity = f"{request}\n{started}" if request else f"{file}\n{line}\n{started}"
        digits = xxhash.xxh3_64_hexdigest(identity.encode())[:12]
        names.append(f"{'guess' if guess else 'chain'}-{digits}")
    return pl.Series(names, dtype=pl.String)
