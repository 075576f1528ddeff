"""Rule cache-miss: input that was billed in full although it had been sent before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
import polars as pl

from costaudit.analyze import _cache
from costaudit.analyze._analyzer import ALONE, Analyzer, CannotCheck, Claim, any_of, option, single_calls, without
from costaudit.analyze._cache import WRITES, Policy
from costaudit.analyze._cache_bills import (
    NEVER,
    UNREAD,
    UNREAD_SHARE,
    UNSTABLE,
    WRONG,
    Bill,
    Bought,
    actual_of,
    bills_of,
    bought,
    cause_of,
    policies_of,
    sums_of,
)
from costaudit.analyze._cache_calls import (
    BLOCKS,
    CACHED_AS,
    COUNTED,
    MODEL,
    PRICED,
    SCOPE,
    TASK,
    Replay,
    unstable,
)
from costaudit.analyze._cache_rates import Rates, rates_by
from costaudit.analyze._places import places
from costaudit.finding import Confidence, Kind, Lever, Severity
from costaudit.price.engine import READS as PRICING
from costaudit.price.ledger import Ledger
from costaudit.words import plural

GROUP = ("task", "cached_as", "unstable")
COUNTS = ("cache_write_tokens", "cache_read_tokens")
SHOWN = pl.col("block_sha").list.len() > 0  # whether a call's prompt is known, block by block
READ, WRITTEN = COUNTED[:2]
NONE = pl.col("row") * 0  # tokens, where none are asked for
TASK_MODEL = (TASK.hash(0) ^ MODEL.hash(1)).alias("task_model")

REMEDY = {
    UNSTABLE: "move what changes (clock, id, order of tools) behind the stable part of the prompt",
    NEVER: "mark the prefix for caching",
    WRONG: "change the cache's lifetime",
    UNREAD: "stop writing prefixes that nobody reads in time",
}


class CacheMiss(Analyzer):
    """Input that was billed in full although it had been sent before.

    ## What it finds
    Prefixes of prompts that a cache would have held, simulated on the log's own times for every lifetime the provider
    sells: never cached, cached for the wrong time, written and never read, or broken by something that changes at the
    front of the prompt. The cheapest policy is named, and it may be to cache nothing: a write costs more than a fresh
    token, and pays only if it is read soon enough.
    ## Why it costs money
    A conversation is sent again with every turn, at ten times or more the price of a cached read.
    ## What to do
    Keep the stable part of a prompt first and byte for byte the same; mark it for caching with the policy shown.
    ## Example
    ```console
    $ costaudit analyze --select cache-miss sample_logs/analyzers/cache-miss.jsonl
    …
           $5.65  chat on claude-opus-5-5: never cached, $5.65 of input paid in full again
                  medium  cache-miss · F-03c9db · $1.96 to $5.65 · confidence medium · 12 requests
    …
    ```
    """

    name = "cache-miss"
    kind = Kind.WASTE
    order = 4
    levers = ("cache", "no-cache")
    reads = (
        *("ended_at", "ttft_s", "source_file", "source_line", "run_id", "task", "tenant", "key_id"),
        *("block_sha", "block_tokens", "template_sha", "system_sha", "cost_usd", "price_status", "price_entry"),
        *PRICING,
    )
    min_saving: float = option(0.05, "share", "Least share of a task's input cost that another policy must save.")

    def look(self, ledger: Ledger) -> Iterator[Claim]:
        shown = self._shown(ledger)
        unsaid = _unsaid(ledger)
        judged = PRICED & ~pl.col("row").is_in(unsaid.implode()) if unsaid.len() else PRICED
        rates = _rates(ledger, judged)
        found = [*self._simulated(ledger, judged, rates), *_unread(ledger, judged, rates)]
        if not found and unsaid.len():
            raise CannotCheck("cache writes are logged, and what was read from the cache is not")
        if not found and shown and _hidden(ledger):
            raise CannotCheck("the prompts in the log are less than half of the input that was billed")
        for (task, model), groups in sorted(_by_subject(found).items()):
            yield _claim(task, model, groups)

    def _shown(self, ledger: Ledger) -> bool:
        """Whether a call has prompt blocks; raises CannotCheck where nothing can be said of any."""
        counted = pl.any_horizontal([pl.col(name).is_not_null() for name in COUNTS])
        shown, counts, timed = any_of(ledger, [SHOWN, counted, pl.col("started_at").is_not_null()])
        if not shown and not counts:
            raise CannotCheck("no prompt blocks and no cache counts")
        if not timed:
            raise CannotCheck("no call has a time")
        return shown

    def _simulated(self, ledger: Ledger, judged: pl.Expr, rates: dict[int, Rates | None]) -> Iterator[_Group]:
        """Groups of calls with prompt blocks for which another policy is cheaper by `min_saving`."""
        mark = unstable(lambda made, where: single_calls(ledger, made, judged & where)).alias("unstable")
        told = (*("row", "input_tokens", CACHED_AS, SCOPE, BLOCKS), TASK.hash().alias("task"), mark)
        known = {key: rate for key, rate in rates.items() if rate is not None}
        explicit = [key for key, rate in known.items() if rate.writes]
        kind = pl.col("cached_as")
        wanted = _one_of(kind, known) & (pl.col("unstable") | _one_of(kind, explicit))
        minimum = kind.replace_strict(
            {key: rate.minimum for key, rate in known.items()}, default=0, return_dtype=pl.Int64
        )
        calls = single_calls(ledger, ("row", MODEL.hash().alias("model")), judged & SHOWN)
        rows = calls["row"]
        # No cache is shared between models; of all calls at once, what is told of each would be most of the memory.
        for of_model in places(calls.select("model"), ["model"])["at"]:
            own = without(ledger.told(rows.gather(of_model), told).with_columns(minimum=minimum), ~wanted)
            if own.is_empty():
                continue
            groups = own.with_row_index("at").group_by(GROUP, maintain_order=True).agg("at")["at"]
            own = own.with_columns(group=_numbers(groups, own.height))
            policies = policies_of([known[key] for key in own["cached_as"].unique()])
            done = Replay(own, ledger, policies)
            made = [bought(own[at_group], known, done, at_group, policies, ledger) for at_group in groups]
            paying = [nth for nth, one in enumerate(made) if self._pays(one)]
            writing = [nth for nth in paying if made[nth].best.policy in policies]
            others = {nth: done.others(made[nth].best.policy, nth, writing) for nth in writing}
            for nth in writing:
                one, at = made[nth], _unwritten(own["row"], others[nth], ledger)
                if self._pays(one, _added(own["row"].gather(at), one, done, at, ledger)):
                    both = pl.concat([groups[nth], at])
                    yield _group(own["row"].gather(both), one, done.of(one.best.policy, both), ledger, at.len())
            # What a call writes and nobody of its own task reads, another task may.
            read = pl.concat([pl.Series([], dtype=pl.UInt32), *others.values()])
            for nth in (nth for nth in paying if nth not in others):
                at = groups[nth].filter(~groups[nth].is_in(read.implode()))
                if at.is_empty():
                    continue
                one = bought(own[at], known, done, at, policies, ledger)
                if one.best.policy not in policies and self._pays(one):
                    yield _group(own["row"].gather(at), one, None, ledger)

    def _pays(self, one: Bought, added: float = 0.0) -> bool:
        """Whether another policy saves enough of a group's input, less what it adds to calls of other groups."""
        return one.actual - one.best.worth - added >= self.min_saving * one.actual


def _numbers(groups: pl.Series, height: int) -> pl.Series:
    """The number of each call's group."""
    import numpy as np

    numbers = np.zeros(height, np.int32)
    for nth, at in enumerate(groups):
        numbers[at.to_numpy()] = nth
    return pl.Series(numbers)


def _unwritten(rows: pl.Series, at: pl.Series, ledger: Ledger) -> pl.Series:
    """Those of some calls, by place, that wrote nothing to a cache as they are logged."""
    return at.filter(ledger.told(rows.gather(at), [WRITTEN == 0]).to_series()) if at.len() else at


def _added(rows: pl.Series, one: Bought, done: Replay, at: pl.Series, ledger: Ledger) -> float:
    """What calls of other groups pay more where they write what a group reads, in fresh tokens' worth."""
    if rows.is_empty():
        return 0.0
    sums = sums_of(rows, ledger)
    return bills_of(sums, one.rate, {one.best.policy: done.sums(one.best.policy, at)})[-1].worth - actual_of(
        sums, one.rate
    )


def _unsaid(ledger: Ledger) -> pl.Series:
    """The `row` of calls of models whose cache writes are logged and whose reads are not: nobody knows them."""
    unknown = pl.any_horizontal([pl.col(name).is_null() for name in COUNTS])
    if not any_of(ledger, [unknown])[0]:
        return pl.Series("row", [], dtype=pl.UInt32)
    calls = single_calls(
        ledger,
        (
            "row",
            (pl.col("provider").hash(0) ^ pl.col("model").hash(1)).alias("of_model"),
            pl.col("cache_read_tokens").is_not_null().alias("read"),
            (pl.col("cache_write_tokens") > 0).alias("written"),
        ),
    )
    silent = calls.group_by("of_model").agg(pl.any("read", "written")).filter(~pl.col("read") & pl.col("written"))
    return calls.filter(pl.col("of_model").is_in(silent["of_model"].implode()))["row"]


def _rates(ledger: Ledger, judged: pl.Expr) -> dict[int, Rates | None]:
    """What the book asks for cached tokens of each kind of call (`cached_as`)."""
    kinds = _kinds(ledger, CACHED_AS, judged)
    asked = ledger.at(kinds["row"], tuple(dict.fromkeys(("price_entry", *PRICING))))
    return rates_by(asked.with_columns(kinds["cached_as"]), ledger.book)


def _kinds(ledger: Ledger, kind: pl.Expr, where: pl.Expr, tokens: pl.Expr = NONE) -> pl.DataFrame:
    """One row a kind of single call for which something holds: the kind, `row` of its first call, the sum of `tokens`;
    in order of `row`. There may be very many calls, and there are few kinds."""
    name = kind.meta.output_name()
    parts = [
        part.group_by(name).agg(pl.first("row"), pl.sum("tokens"))
        for part in ledger.in_parts(("row", kind, tokens.alias("tokens")), ALONE & where)
    ]
    return pl.concat(parts).group_by(name).agg(pl.min("row"), pl.sum("tokens")).sort("row")


def _hidden(ledger: Ledger) -> bool:
    """Whether most of the input of the calls with prompt blocks is in none of them."""
    shown = pl.col("block_tokens").list.sum().alias("shown")
    own = single_calls(ledger, ("input_tokens", shown), PRICED & (pl.col("block_sha").list.len() > 0))
    return 2 * int(own["shown"].sum()) < int(own["input_tokens"].sum())


def _one_of(number: pl.Expr, values: Iterable[int]) -> pl.Expr:
    return number.is_in(pl.Series(list(values), dtype=pl.UInt64).implode())


class _Group(msgspec.Struct, frozen=True):
    """Calls of one task and model that would have been cheaper under another policy.

    calls    row, cache_read_tokens; the last `others` of them are of other tasks and write what these read
    """

    task: str
    model: str
    calls: pl.DataFrame
    bought: Bought
    cause: str
    simulated: pl.DataFrame | None
    source: str
    others: int = 0

    @property
    def best(self) -> Bill:
        return self.bought.best

    @property
    def own(self) -> int:
        return self.calls.height - self.others


def _group(rows: pl.Series, bought: Bought, simulated: pl.DataFrame | None, ledger: Ledger, others: int = 0) -> _Group:
    first = ledger.at(rows.head(1), ("task", "model", "source_file", "source_line"))
    task, model, file, line = first.select(TASK, MODEL, "source_file", "source_line").row(0)
    calls = ledger.told(rows, ["row", pl.col("cache_read_tokens").fill_null(0)])
    return _Group(task, model, calls, bought, cause_of(bought), simulated, f"{file}:{line}", others)


def _unread(ledger: Ledger, judged: pl.Expr, rates: dict[int, Rates | None]) -> Iterator[_Group]:
    """Calls without prompt blocks whose writes are never read: all that counts alone can show."""
    blind = judged & ~SHOWN.fill_null(value=False)
    group, writing = (TASK_MODEL ^ CACHED_AS.hash(2)).alias("group"), blind & (WRITTEN > 0)
    groups = _kinds(ledger, group, writing, WRITTEN)
    reads = dict(_kinds(ledger, TASK_MODEL, blind & (READ > 0), READ).select("task_model", "tokens").iter_rows())
    kinds = ledger.told(groups["row"], (TASK_MODEL, CACHED_AS))
    wasted = [reads.get(of, 0) < UNREAD_SHARE * n for of, n in zip(kinds["task_model"], groups["tokens"], strict=True)]
    found = groups.hstack(kinds.select("cached_as")).filter(wasted)
    if found.is_empty():  # most caches are read: of the others alone the calls are gathered
        return
    writers = single_calls(ledger, ("row", group), writing & _one_of(group, found["group"]))
    by = writers.group_by("group").agg("row")
    rows = dict(zip(by["group"], by["row"], strict=True))
    for number, key in found.select("group", "cached_as").iter_rows():
        if (rate := rates[key]) is None:
            continue
        sums = sums_of(rows[number], ledger)
        nothing = Bill(Policy(_cache.NOTHING), float(sums["input_tokens"]))
        yield _group(rows[number], Bought(sums, actual_of(sums, rate), [nothing], nothing, rate, False), None, ledger)


def _by_subject(groups: list[_Group]) -> dict[tuple[str, str], list[_Group]]:
    by: dict[tuple[str, str], list[_Group]] = {}
    for group in groups:
        by.setdefault((group.task, group.model), []).append(group)
    return by


def _lever(main: _Group) -> Lever | None:
    if main.cause == UNSTABLE:
        return None  # text is moved, which no setting does
    return Lever("no-cache") if main.cause == UNREAD else Lever("cache", main.best.policy.life)


def _claim(task: str, model: str, groups: list[_Group]) -> Claim:
    groups = sorted(groups, key=lambda g: (g.best.worth - g.bought.actual, g.cause))
    main = groups[0]
    point = pl.concat([_patch(group, nth, 0) for nth, group in enumerate(groups)])
    half = pl.concat([_patch(group, nth, 1) for nth, group in enumerate(groups)])
    blocks = all(g.simulated is not None or g.best.policy.write == _cache.NOTHING for g in groups)
    others = sum(g.others for g in groups)
    counted = any(g.bought.sums[name] for g in groups for name in COUNTS)
    advice = REMEDY[main.cause]
    if main.best.policy.write != _cache.NOTHING and main.cause != UNSTABLE:
        advice += f": {main.best.policy.words}"
    return Claim(
        subject={"task": task, "model": model},
        title=f"{task} on {model}: {main.cause}, {{usd}} of input paid in full again"
        if main.cause in (NEVER, UNSTABLE)
        else f"{task} on {model}: {main.cause}, {{usd}} too much for caching",
        remedy=advice,
        lever=_lever(main),
        severity=Severity.MEDIUM,
        confidence=Confidence.HIGH if blocks and counted else Confidence.MEDIUM if blocks else Confidence.LOW,
        evidence=pl.concat([_evidence(group, nth) for nth, group in enumerate(groups)]),
        evidence_key="prefix",
        patch=point,
        low=half,
        because=(
            f"{plural(sum(g.own for g in groups), 'call')}, simulated on their own times",
            *(
                (f"{plural(others, 'call')} of other tasks write what they read, and pay for it here",)
                if others
                else ()
            ),
            "at the low end half of what could be read is written again",
        ),
        details={"policies": pl.concat([_policies(group, nth) for nth, group in enumerate(groups)])},
    )


def _patch(group: _Group, nth: int, halves: int) -> pl.DataFrame:
    """The token classes each call would have had; with `halves`, half of the additional reads are written again."""
    number = pl.lit(nth, pl.Int64)
    found = classes(group.calls, group.simulated, group.best.policy.life, halves)
    return found.with_columns(group=number, prefix=number)


def classes(calls: pl.DataFrame, simulated: pl.DataFrame | None, life: str, halves: int) -> pl.DataFrame:
    """A patch: what each call would have read from a cache and written to it, for one lifetime.

    simulated   row, read, write [tokens]; None: nothing is cached
    halves      1: half of the additional reads are written again; 0: none is
    """
    before = calls.select("row", was="cache_read_tokens")
    table = before.with_columns(read=pl.lit(0, pl.Int64), write=pl.lit(0, pl.Int64))
    if simulated is not None:
        table = before.join(simulated, on="row", maintain_order="left")
    missed = pl.max_horizontal(pl.col("read") - pl.col("was"), 0) // 2 * halves
    written = {name: pl.col("write") if name == WRITES.get(life) else pl.lit(0, pl.Int64) for name in WRITES.values()}
    return (
        table.with_columns(missed=missed)
        .with_columns(
            read=pl.col("read") - pl.col("missed"),
            write=(pl.col("write") + pl.col("missed")) if life else pl.lit(0, pl.Int64),
        )
        .select("row", cache_read_tokens="read", cache_write_tokens="write", **written)
    )


def _evidence(group: _Group, nth: int) -> pl.DataFrame:
    sums, calls = group.bought.sums, group.own
    total = max(1, sums["input_tokens"])
    return pl.DataFrame(
        {
            "prefix": [nth],
            "cause": [group.cause],
            "calls": [calls],
            "policy": [group.best.policy.words],
            "achieved_share": [sums["cache_read_tokens"] / total],
            "achievable_share": [group.best.read / total],
            "changes_at": ["the first block, before everything else" if group.cause == UNSTABLE else None],
            "tokens_behind": [total // calls if group.cause == UNSTABLE else None],
            "source": [group.source],
        },
        schema_overrides={"changes_at": pl.String, "tokens_behind": pl.Int64},
    )


def _policies(group: _Group, nth: int) -> pl.DataFrame:
    """Every policy of a group: its input bill relative to no cache, what it reads and writes."""
    fresh = max(1.0, group.bought.bills[0].worth)
    return pl.DataFrame(
        {
            "prefix": [nth] * len(group.bought.bills),
            "policy": [bill.policy.words for bill in group.bought.bills],
            "relative": [bill.worth / fresh for bill in group.bought.bills],
            "read_tokens": [bill.read for bill in group.bought.bills],
            "written_tokens": [bill.write for bill in group.bought.bills],
        }
    )
