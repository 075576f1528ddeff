"""Accepted findings as a routing table: the model of every task, its ceiling and its budgets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import polars as pl
from msgspec.structs import replace

from costaudit.analyze._analyzer import COST
from costaudit.analyze._ceiling import METRICS
from costaudit.config import Budget
from costaudit.errors import UsageError
from costaudit.finding import Confidence, Finding, Grade
from costaudit.routes import Limit, Route
from costaudit.words import plural

SURE = (Grade.PROVEN, Grade.PROVEN_PRICE)
ALONE = 0.95  # share of the calls of a task from which its model serves it alone
ROUTABLE = ("overpowered-model", "dearer-sibling", "batchable", "missing-ceiling")


def accepted(findings: Sequence[Finding], wanted: Sequence[str]) -> list[Finding]:
    """The findings a routing table can act on: those that are proven, and those the user accepts by id or rule.

    A ceiling whose good runs are known to be good needs no word; one that rests on guesses does.
    Raises UsageError for an id that is none, or names a finding that no routing table can act on.
    """
    able = [f for f in findings if f.rule in ROUTABLE and f.owned_usd > 0]
    taken = [f for f in able if f.grade in SURE or (f.rule == "missing-ceiling" and f.confidence is not Confidence.LOW)]
    for word in wanted:
        named = [f for f in able if f.rule == word or f.id.lower().startswith(word.lower())]
        if not named:
            some = ", ".join(f"{f.id} ({f.rule})" for f in able if f not in taken)
            raise UsageError(
                f"--accept {word}: no such advice in these logs",
                hint=f"not accepted yet: {some}" if some else "everything that can be routed is accepted already",
            )
        taken += [f for f in named if f not in taken]
    return taken


def routes(calls: pl.DataFrame, findings: Sequence[Finding], budgets: Sequence[Budget]) -> list[Route]:
    """One route a named task, the dearest first; advice for one tenant makes a route of its own.

    A task of several models without advice on them goes to none: who chooses among them may know which work is hard.
    """
    used = (
        calls.filter(~pl.col("rollup").fill_null(value=False) & pl.col("model").is_not_null())
        .drop_nulls("task")
        .group_by("task", pl.col("provider").fill_null("").alias("provider"), "model")
        .agg(usd=COST.sum(), calls=pl.len(), entry=pl.col("price_entry").drop_nulls().first())
        .sort("usd", "calls", "provider", "model", descending=[True, True, False, False])
    )
    tasks = (
        used.group_by("task", maintain_order=True)
        .agg(pl.all())
        .sort(pl.col("usd").list.sum(), "task", descending=[True, False])
    )
    made: list[Route] = []
    for row in tasks.iter_rows(named=True):
        named = zip(row["provider"], row["model"], row["entry"], strict=True)
        # A log without providers: the price entry says who sells the model.
        arms = [(p or (entry or "").partition(":")[0], m, entry) for p, m, entry in named]
        provider, model, _ = max(zip(row["calls"], arms, strict=True), key=lambda part: part[0])[1]
        held = tuple(Limit(b.usd, b.per) for b in budgets if b.scope.get("task") == row["task"] and len(b.scope) == 1)
        shared = max(row["calls"]) < ALONE * sum(row["calls"])
        names = tuple(_name(p, m) for p, m, _ in arms)
        plain = Route(row["task"], provider, model, names, budgets=held, shared=shared)
        own = [f for f in findings if f.subject.get("task") == row["task"]]
        common = [f for f in own if "tenant" not in f.subject]
        made.append(_advised(plain, common, arms, calls))
        for tenant in sorted({f.subject["tenant"] for f in own if "tenant" in f.subject}):
            theirs = [f for f in own if f.subject.get("tenant") == tenant]
            made.append(_advised(replace(plain, tenant=tenant), [*common, *theirs], arms, calls))
    return made


def _advised(
    route: Route, findings: Iterable[Finding], arms: Sequence[tuple[str, str, str | None]], calls: pl.DataFrame
) -> Route:
    for finding in findings:
        why = f"{finding.id} {finding.rule}" + (f" {finding.grade}" if finding.grade else "") + f": {finding.title}"
        route = replace(route, because=(*route.because, why))
        first = finding.evidence.row(0, named=True) if finding.evidence.height else {}
        if finding.rule == "overpowered-model":
            to = finding.subject["to"]
            provider = next((p for p, m, _ in arms if m == to), _served_by(calls, to) or route.provider)
            route = replace(route, provider=provider, model=to, changed=True, shared=False)
            if (kept := first.get("calls", 0) - finding.requests) > 0:
                stays = plural(kept, "call of the log is", "calls of the log are")
                stays = f"{stays} more than {to} can take: keep {finding.subject['from']} for those"
                route = replace(route, because=(*route.because, stays))
        elif finding.rule == "dearer-sibling":
            route = _bought(route, str(first.get("to", "")))
        elif finding.rule == "batchable":
            route = replace(route, tier="batch", changed=True)
        else:
            route = replace(route, ceiling=_ceiling(route.ceiling, finding))
    return route


def _bought(route: Route, to: str) -> Route:
    """The same model bought elsewhere (`provider:entry`), or at another tier (`tier flex`)."""
    if to.startswith("tier "):
        tier = to.removeprefix("tier ")
        return replace(route, tier="" if tier == "standard" else tier, changed=True)
    provider, _, model = to.partition(":")
    return replace(route, provider=provider, model=model, changed=True) if model else route


def _ceiling(now: Mapping[str, Decimal], finding: Finding) -> Mapping[str, Decimal]:
    """The tightest limit that was accepted, a metric; read from the frontier, where the claim's limit is exact."""
    table = finding.details.get("limit")
    if table is None or not table.height:
        return now
    made = dict(now)
    for metric, limit in table.select("metric", "limit").iter_rows():
        if metric in METRICS:
            value = Decimal(int(limit)) if metric == "steps" else Decimal(str(limit)).normalize()
            made[metric] = min(made.get(metric, value), value)
    return made


def _served_by(calls: pl.DataFrame, model: str) -> str | None:
    found = calls.filter(pl.col("model") == model)["provider"].drop_nulls()
    return str(found[0]) if found.len() else None


def _name(provider: str, model: str) -> str:
    return f"{provider}/{model}" if provider else model
