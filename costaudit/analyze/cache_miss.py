"""The rule cache-miss (METHODS 8.5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import polars as pl

from costaudit.analyze import _cache
from costaudit.analyze._analyzer import NO_MODEL, NO_TASK, Analyzer, CannotCheck, Claim, option, single_calls
from costaudit.analyze._cache import LIVES, WRITES, Policy
from costaudit.finding import Confidence, Kind, Severity
from costaudit.price.book import PriceBook
from costaudit.price.engine import READS as PRICING
from costaudit.price.engine import price
from costaudit.price.ledger import Ledger

UNSTABLE, NEVER, WRONG, UNREAD = "unstable prefix", "never cached", "wrong lifetime", "written, never read"
CHANGES = 0.5  # share of calls of one template with a first block of their own, from which the prefix is unstable
STEADY = 1.2  # largest over smallest of the changing blocks, ends aside
LEAST = 5  # calls of a template; fewer cannot show a habit
UNREAD_SHARE = 0.01  # reads per write under which a cache is not read
LISTS = ("block_sha", "block_tokens")
FIRST = (
    pl.col("block_sha").list.first().alias("first"),
    pl.col("block_tokens").list.first().alias("front"),
)
PROBE = 1_000  # tokens; under every long-context step, so that a rate can be read off a price

REMEDY = {
    UNSTABLE: "move what changes (clock, id, order of tools) behind the stable part of the prompt",
    NEVER: "mark the prefix for caching",
    WRONG: "change the cache's lifetime",
    UNREAD: "stop writing prefixes that nobody reads in time",
}


@dataclass(frozen=True, slots=True)
class Rates:
    """Price of a cached token in fresh ones: of a read, and of a write by lifetime, where it costs more."""

    read: float
    writes: dict[str, float] = field(default_factory=dict)
    minimum: int = _cache.MINIMUM


@dataclass(frozen=True, slots=True)
class Bill:
    """Input of a group in fresh tokens' worth: under a policy, with what it reads and writes [tokens]."""

    policy: Policy
    worth: float
    read: int = 0
    write: int = 0


@dataclass(frozen=True)
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
    reads = (
        *(
            "ended_at",
            "ttft_s",
            "source_file",
            "source_line",
            "run_id",
            "task",
            "tenant",
            "key_id",
            "block_sha",
            "block_tokens",
        ),
        *("template_sha", "system_sha", "cost_usd", "price_status", "price_entry"),
        *PRICING,
    )
    min_saving: float = option(0.05, "share", "Least share of a task's input cost that another policy must save.")

    def look(self, ledger: Ledger) -> Iterator[Claim]:
        calls = single_calls(ledger)
        blocks = calls["block_sha"].list.len().fill_null(0).max() or 0
        counted = calls["cache_write_tokens"].null_count() + calls["cache_read_tokens"].null_count() < 2 * calls.height
        if not blocks and not counted:
            raise CannotCheck("no prompt blocks and no cache counts")
        # The lists are most of the memory: they stay behind until some calls are simulated.
        slim = calls.select(pl.exclude(LISTS), *FIRST, blocks=pl.col("block_sha").list.len().fill_null(0))
        priced = named(slim)
        rates = rates_by(priced, ledger.book)
        seen = pl.col("blocks") > 0
        found = [
            *self._simulated(priced.filter(seen), calls.select("row", *LISTS), rates),
            *_unread(
                priced.filter(~seen & ((pl.col("cache_write_tokens") > 0) | (pl.col("cache_read_tokens") > 0))), rates
            ),
        ]
        for (task, model), groups in sorted(_by_subject(found).items()):
            yield _claim(task, model, groups)

    def _simulated(self, calls: pl.DataFrame, lists: pl.DataFrame, rates: dict[str, Rates | None]) -> Iterator[_Group]:
        """Groups of calls with prompt blocks for which another policy is cheaper by `min_saving`.

        lists   row and prompt blocks of all calls
        """
        known = {key: rate for key, rate in rates.items() if rate is not None}
        explicit = [key for key, rate in known.items() if rate.writes]
        wanted = calls.filter(
            pl.col("cached_as").is_in(list(known)) & (pl.col("unstable") | pl.col("cached_as").is_in(explicit))
        )
        minimum = {key: rate.minimum for key, rate in known.items()}
        # No cache is shared between models, and one model's prefixes take a fraction of the memory.
        for _, own in wanted.group_by("model", maintain_order=True):
            own = own.with_columns(
                minimum=pl.col("cached_as").replace_strict(minimum, default=0, return_dtype=pl.Int64),
                group=pl.struct("task", "cached_as", "unstable").rank("dense"),
            )
            policies = _policies_of([known[key] for key in own["cached_as"].unique()])
            found = _cache.occurrences(own.join(lists, on="row", how="left", maintain_order="left"))
            done = {p: _cache.bounded(_cache.simulate(found, p, LIVES[p.life or "5m"]), own) for p in policies}
            del found
            sums = {p: _sums(table, own) for p, table in done.items()}
            for (number,), one in own.group_by("group", maintain_order=True):
                rate = known[one["cached_as"][0]]
                bills = _bills(one, rate, {p: sums[p].get(number, (0, 0)) for p in policies})
                actual = _actual(one, rate)
                best = min(bills, key=lambda bill: bill.worth)
                if actual - best.worth >= self.min_saving * actual:
                    yield _Group(one, best, actual, _cause(one, best, rate), bills, done.get(best.policy))


@dataclass(frozen=True, slots=True)
class _Group:
    """Calls of one task and model that would have been cheaper under another policy; worth in fresh tokens."""

    calls: pl.DataFrame
    best: Bill
    actual: float
    cause: str
    bills: list[Bill]
    simulated: pl.DataFrame | None


def _policies_of(rates: Sequence[Rates]) -> list[Policy]:
    """What can be bought: every policy for the lifetimes sold, and what automatic caches do at no price."""
    lives = sorted({life for rate in rates for life in rate.writes}, key=lambda life: LIVES[life])
    automatic = [Policy(_cache.ALL)] if any(not rate.writes for rate in rates) else []
    return [*_cache.choices(lives), *automatic]


def named(calls: pl.DataFrame) -> pl.DataFrame:
    """The priced calls with task and model named, their cache's scope, and whether their prefix is unstable."""
    key = ("provider", "price_entry", "service_tier", "region")
    priced = (
        calls.filter((pl.col("price_status") == "priced") & (pl.col("input_tokens") > 0))
        .with_columns(
            pl.col("task").fill_null(NO_TASK),
            pl.col("model").fill_null(NO_MODEL),
            *(column for column in FIRST if column.meta.output_name() not in calls.columns),
            cached_as=pl.concat_str([pl.col(name).fill_null("") for name in key], separator="\n"),
            scope=pl.concat_str(
                "model",
                pl.coalesce("key_id", "tenant", pl.lit("")),
                pl.col("region").fill_null(""),
                separator="\n",
                ignore_nulls=True,
            ),
            **{
                name: pl.col(name).fill_null(0)
                for name in ("cache_read_tokens", "cache_write_tokens", *WRITES.values())
            },
        )
        .sort("row")
    )
    return priced.with_columns(unstable=_unstable(priced))


def _unstable(calls: pl.DataFrame) -> pl.Series:
    """Whether a call's first block changes from call to call among those of its template, and is all that changes."""
    family = ["task", "model", "template_sha"]
    instructed = pl.all_horizontal(pl.col("template_sha", "system_sha", "first").is_not_null())
    sizes = calls.lazy().group_by(family).agg(n=pl.len(), kinds=pl.col("first").n_unique()).collect()
    changing = sizes.filter((pl.col("kinds") > CHANGES * pl.col("n")) & (pl.col("n") >= LEAST)).drop_nulls(family)
    if changing.is_empty():
        return pl.repeat(value=False, n=calls.height, eager=True)
    # A clock or an id leaves the size as it is; a document in quotes, masked as well, is no stable prefix.
    front = pl.col("front")
    steady = (
        calls.select(*family, "front")
        .join(changing, on=family, how="semi")
        .group_by(family)
        .agg(steady=front.quantile(0.95) <= STEADY * front.quantile(0.05))
    )
    marked = calls.select(*family, instructed=instructed).join(steady, on=family, how="left", maintain_order="left")
    return marked.select(pl.col("instructed") & pl.col("steady").fill_null(value=False)).to_series()


def rates_by(calls: pl.DataFrame, book: PriceBook) -> dict[str, Rates | None]:
    """What the book asks for cached tokens, by `cached_as`, read off the price of probes; None where a read is not
    cheaper. One pass prices the probes of all kinds of calls."""
    samples = calls.unique("cached_as", keep="first", maintain_order=True)
    none = dict.fromkeys(
        ("cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens", *WRITES.values()), 0
    )
    probes = [
        {},
        {"cache_read_tokens": PROBE},
        *({"cache_write_tokens": PROBE, name: PROBE} for name in WRITES.values()),
    ]
    asked = pl.concat(
        [
            samples.with_columns(
                **{name: pl.lit(value, pl.Int64) for name, value in (none | {"input_tokens": PROBE} | probe).items()},
                extras=pl.lit(None, samples.schema["extras"]),
            )
            for probe in probes
        ]
    )
    costs = [None if usd is None else float(usd) for usd in price(asked, book)["cost_usd"]]
    kinds = samples.select("cached_as", "price_entry").rows()
    return {key: _rates(costs[nth :: len(kinds)], entry or "", book) for nth, (key, entry) in enumerate(kinds)}


def _rates(costs: Sequence[float | None], entry: str, book: PriceBook) -> Rates | None:
    """The rates behind the costs of the probes of one entry."""
    fresh, read, *written = costs
    if not fresh or read is None or read >= fresh:
        return None
    model = book.find(*entry.split(":", 1)) if ":" in entry else None
    sold = model.facts.cache_lifetimes if model else ()
    writes = {
        life: usd / fresh
        for life, usd in zip(LIVES, written, strict=True)
        if usd is not None and usd > fresh and (not sold or life in sold)
    }
    # A lifetime without a rate of its own falls back to the shorter one's: it is not sold.
    own = {
        life: w for nth, (life, w) in enumerate(writes.items()) if life in sold or w not in list(writes.values())[:nth]
    }
    minimum = model.facts.cache_minimum if model and model.facts.cache_minimum else _cache.MINIMUM
    return Rates(read / fresh, own, minimum)


def _sums(simulated: pl.DataFrame, calls: pl.DataFrame) -> dict[object, tuple[int, int]]:
    """Tokens read and written by group; the rows of both frames are the same calls."""
    by = simulated.with_columns(calls["group"]).group_by("group").agg(pl.col("read", "write").sum())
    return {number: (read, write) for number, read, write in by.iter_rows()}


def _bills(calls: pl.DataFrame, rate: Rates, sums: dict[Policy, tuple[int, int]]) -> list[Bill]:
    """The input bill of a group under each policy, the most cautious policy first."""
    total = int(calls["input_tokens"].sum())
    bills = [Bill(Policy(_cache.NOTHING), float(total))]
    for policy, (read, write) in sums.items():
        if bool(policy.life) == bool(rate.writes) and (not policy.life or policy.life in rate.writes):
            premium = rate.writes.get(policy.life, 1.0)
            bills.append(Bill(policy, total - (1 - rate.read) * read + (premium - 1) * write, read, write))
    return bills


def _actual(calls: pl.DataFrame, rate: Rates) -> float:
    """The input bill as logged, in fresh tokens' worth; writes of no known lifetime cost the shortest one's."""
    sums = {
        name: int(calls[name].sum())
        for name in ("input_tokens", "cache_read_tokens", "cache_write_tokens", *WRITES.values())
    }
    shortest = next(iter(rate.writes.values()), 1.0)
    told = sum(sums[name] for name in WRITES.values())
    premium = sum((rate.writes.get(life, shortest) - 1) * sums[name] for life, name in WRITES.items())
    premium += (shortest - 1) * max(0, sums["cache_write_tokens"] - told)
    return sums["input_tokens"] - (1 - rate.read) * sums["cache_read_tokens"] + premium


def _cause(calls: pl.DataFrame, best: Bill, rate: Rates) -> str:
    read, write = int(calls["cache_read_tokens"].sum()), int(calls["cache_write_tokens"].sum())
    if calls["unstable"][0]:
        return UNSTABLE
    if write and read < UNREAD_SHARE * write and best.policy.write == _cache.NOTHING:
        return UNREAD
    if not write:
        return NEVER
    told = {life: int(calls[name].sum()) for life, name in WRITES.items()}
    lived = max(told, key=lambda life: told[life]) if any(told.values()) else next(iter(rate.writes), "")
    return WRONG if best.policy.life and best.policy.life != lived else UNREAD if read < write else NEVER


def _unread(calls: pl.DataFrame, rates: dict[str, Rates | None]) -> Iterator[_Group]:
    """Calls without prompt blocks whose writes are never read: all that counts alone can show."""
    for (_, _, key), one in calls.filter(pl.col("cache_write_tokens") > 0).group_by(
        "task", "model", "cached_as", maintain_order=True
    ):
        same = calls.filter((pl.col("task") == one["task"][0]) & (pl.col("model") == one["model"][0]))
        rate = rates[str(key)]
        if rate is None or int(same["cache_read_tokens"].sum()) >= UNREAD_SHARE * int(one["cache_write_tokens"].sum()):
            continue
        total = float(int(one["input_tokens"].sum()))
        nothing = Bill(Policy(_cache.NOTHING), total)
        yield _Group(one, nothing, _actual(one, rate), UNREAD, [nothing], None)


def _by_subject(groups: list[_Group]) -> dict[tuple[str, str], list[_Group]]:
    by: dict[tuple[str, str], list[_Group]] = {}
    for group in groups:
        by.setdefault((group.calls["task"][0], group.calls["model"][0]), []).append(group)
    return by


def _claim(task: str, model: str, groups: list[_Group]) -> Claim:
    groups = sorted(groups, key=lambda g: (g.best.worth - g.actual, g.cause))
    main = groups[0]
    point = pl.concat([_patch(group, nth, 0) for nth, group in enumerate(groups)])
    half = pl.concat([_patch(group, nth, 1) for nth, group in enumerate(groups)])
    blocks = all(g.simulated is not None or g.best.policy.write == _cache.NOTHING for g in groups)
    counted = any(g.calls[name].max() for g in groups for name in ("cache_read_tokens", "cache_write_tokens"))
    advice = REMEDY[main.cause]
    if main.best.policy.write != _cache.NOTHING and main.cause != UNSTABLE:
        advice += f": {main.best.policy.words}"
    return Claim(
        subject={"task": task, "model": model},
        title=f"{task} on {model}: {main.cause}, {{usd}} of input paid in full again"
        if main.cause in (NEVER, UNSTABLE)
        else f"{task} on {model}: {main.cause}, {{usd}} too much for caching",
        remedy=advice,
        severity=Severity.MEDIUM,
        confidence=Confidence.HIGH if blocks and counted else Confidence.MEDIUM if blocks else Confidence.LOW,
        evidence=pl.concat([_evidence(group, nth) for nth, group in enumerate(groups)]),
        evidence_key="prefix",
        patch=point,
        low=half,
        because=(
            f"{sum(g.calls.height for g in groups):,} calls, simulated on their own times",
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
    calls, total = group.calls, max(1, int(group.calls["input_tokens"].sum()))
    first = calls.row(0, named=True)
    return pl.DataFrame(
        {
            "prefix": [nth],
            "cause": [group.cause],
            "calls": [calls.height],
            "policy": [group.best.policy.words],
            "achieved_share": [int(calls["cache_read_tokens"].sum()) / total],
            "achievable_share": [group.best.read / total],
            "changes_at": ["the first block, before everything else" if group.cause == UNSTABLE else None],
            "tokens_behind": [total // calls.height if group.cause == UNSTABLE else None],
            "source": [f"{first['source_file']}:{first['source_line']}"],
        },
        schema_overrides={"changes_at": pl.String, "tokens_behind": pl.Int64},
    )


def _policies(group: _Group, nth: int) -> pl.DataFrame:
    """Every policy of a group: its input bill relative to no cache, what it reads and writes."""
    fresh = max(1.0, group.bills[0].worth)
    return pl.DataFrame(
        {
            "prefix": [nth] * len(group.bills),
            "policy": [bill.policy.words for bill in group.bills],
            "relative": [bill.worth / fresh for bill in group.bills],
            "read_tokens": [bill.read for bill in group.bills],
            "written_tokens": [bill.write for bill in group.bills],
        }
    )
