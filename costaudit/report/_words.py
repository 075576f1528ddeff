"""Sentences that more than one report format says, built from the audit and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, tzinfo
from decimal import Decimal
from zoneinfo import ZoneInfo

import polars as pl
from msgspec.structs import replace

from costaudit.audit import UNDATED, Accepted, Audit, Coverage, Fates, Prices, Standing, Window
from costaudit.finding import ZERO, Finding, Kind, NotChecked
from costaudit.price.exact import sum_usd
from costaudit.price.spend import NO_MODEL
from costaudit.report import _money as money
from costaudit.words import plural

ESTIMATED_SHARE = 0.2  # of the tokens; above it the total is only "about"

UNCLAIMED = "Looked into, no dollar claimed"
HEADINGS: Mapping[Kind, str] = {
    Kind.WASTE: "Bought nothing",
    Kind.DECIDE: "Needs a decision",
    Kind.EXCESS: "Dearer than before",
    Kind.EXPOSURE: "At risk or unseen",
}
STATUSES = ("exact", "estimated", "free", "subscription", "unpriced", "unmetered")


def zone(window: Window) -> tzinfo:
    return UTC if window.tz == "UTC" else ZoneInfo(window.tz)


def window(audited: Window) -> str:
    """`2026-10-01 to 2026-12-01 (not included), UTC`."""
    if audited.start is None or audited.end is None:
        return f"no time stamps in these logs, {audited.tz}"
    where = zone(audited)
    return f"{money.moment(audited.start, where)} to {money.moment(audited.end, where)} (not included), {audited.tz}"


def duration(audited: Window) -> str:
    """` in 61 days`, with its leading blank; nothing where the window is not known."""
    if audited.start is None or audited.end is None:
        return ""
    hours = (audited.end - audited.start).total_seconds() / 3600
    if hours < 1:
        return f" in {money.plural(max(1, round(hours * 60)), 'minute')}"
    if hours < 48:
        return f" in {money.plural(round(hours), 'hour')}"
    return f" in {round(hours / 24):,} days"


def qualifier(coverage: Coverage) -> str:
    """What the total has to carry: `at least `, `about ` or nothing."""
    if coverage.sampled or not coverage.enough:
        return "at least "
    tokens = sum(coverage.tokens.values())
    return "about " if coverage.tokens.get("estimated", 0) > ESTIMATED_SHARE * tokens else ""


def verdict(audit: Audit) -> str:
    """The sentence the report begins with."""
    if not audit.coverage.fates.requests:
        return "No request was found in these logs."
    if not audit.spend.total_usd and not audit.coverage.enough:
        requests = money.plural(audit.coverage.fates.requests, "request")
        return f"{requests}{duration(audit.window)}, and too few have a known price to say what was spent."
    spent = f"{qualifier(audit.coverage)}{money.headline(audit.spend.total_usd)} spent{duration(audit.window)}"
    return f"{spent[0].upper()}{spent[1:]}; {_bought(audit)}."


def _bought(audit: Audit) -> str:
    waste, decide = audit.owned(Kind.WASTE), audit.owned(Kind.DECIDE)
    part = money.of(waste, audit.spend.total_usd) if audit.coverage.enough else None
    of_all = "" if part is None else f" ({money.percent(part)})"
    about = "" if all(_point(f) for f in audit.findings if f.kind is Kind.WASTE) else "about "
    if waste and decide:
        return f"{about}{money.headline(waste)}{of_all} bought nothing, {money.headline(decide)} more needs a decision"
    if waste:
        return f"{about}{money.headline(waste)}{of_all} bought nothing"
    if decide:
        return f"nothing proved wasted, {money.headline(decide)} needs a decision"
    looked = len(audit.clean) + len({f.rule for f in audit.findings})
    if not looked:
        return "no rule could look for waste"
    unseen = f"; {money.plural(blind(audit), 'rule')} could not look" if audit.not_checked else ""
    return f"no waste found by {money.plural(looked, 'rule')}{_dearer(audit)}{unseen}"


def _dearer(audit: Audit) -> str:
    """`, but $5.13 dearer than before`: where nothing was wasted this is the news."""
    risen = sorted((f.stake_usd for f in audit.findings if f.kind is Kind.EXCESS and f.stake_usd > 0), reverse=True)
    if not risen:
        return ""
    return f", but {money.headline(risen[0])} dearer than before" + (" in one finding of several" if risen[1:] else "")


def blind(audit: Audit) -> int:
    """How many rules could not look, or not at everything: a rule of several parts is one."""
    return len({item.rule for item in audit.not_checked})


def _point(finding: Finding) -> bool:
    return finding.low_usd == finding.high_usd


def trust(audit: Audit, notes_of: Callable[[Coverage], list[str]]) -> list[tuple[str, list[str], str]]:
    """The header on how far the figures can be believed: label, parts, and what joins them; a part may be empty.

    notes_of  which of the notes there is room for
    """
    coverage, read = audit.coverage, audit.coverage.fates
    return [
        ("trust", trusted(coverage), "; "),
        ("total", [bounds(coverage, audit.spend.total_usd)], ""),
        ("window", [window(audit.window)], ""),
        ("prices", [prices(audit.prices)], ""),
        ("read", fates(read), " "),
        ("rejected", reasons(read.rejects), ", "),
        ("no price", unpriced(coverage), ", "),
        ("log costs", [logged(audit.spend.logged)], ""),
        ("allowance", [allowance(audit.spend.subscription_usd)], ""),
        ("counts", conventions(coverage.sources), "; "),
        ("note", notes_of(coverage), "; "),
    ]


def trusted(coverage: Coverage) -> list[str]:
    """`exact 98.7 % of calls, 97.1 % of tokens` for each status there is."""
    calls, tokens = sum(coverage.calls.values()), sum(coverage.tokens.values())
    said = []
    for status in STATUSES:
        if not (coverage.calls.get(status) or coverage.tokens.get(status)):
            continue
        by_calls = money.percent(coverage.calls.get(status, 0) / calls if calls else None, 1)
        by_tokens = money.percent(coverage.tokens.get(status, 0) / tokens if tokens else None, 1)
        said.append(f"{status} {by_calls} of calls, {by_tokens} of tokens")
    return said


def bounds(coverage: Coverage, total: Decimal | None = None) -> str:
    """Between which dollars the truth lies, and how much of the log stands behind that.

    total  what was spent, where the reason is told why it can have been less
    """
    known = "" if coverage.enough else f", under the {money.percent(coverage.floor)} asked for: totals are lower bounds"
    return (
        f"{money.interval(coverage.low_usd, coverage.high_usd)}; "
        f"{money.percent(coverage.share, 1)} of the log can be priced{known}{_less(coverage, total)}"
    )


def _less(coverage: Coverage, total: Decimal | None) -> str:
    """Why exact counts can have cost less; nothing where they cannot, or where estimates are another reason."""
    doubtful = coverage.calls.get("estimated") or coverage.calls.get("unmetered")
    if total is None or doubtful or coverage.low_usd >= total:
        return ""
    return "; least if all input without cache counts was read from a cache"


def allowance(amount: Decimal) -> str:
    """What calls under a subscription would cost; nothing where there are none."""
    return f"{money.usd(amount)} at list prices, under a subscription and not in the total" if amount else ""


def fates(read: Fates) -> list[str]:
    """`12,345 records = 11,020 requests`, `+ 1,201 duplicates`, …: every record, by what became of it."""
    parts = [money.plural(read.requests, "request")]
    for number, one, many in (
        (read.duplicates, "duplicate", "duplicates"),
        (read.rollups, "roll-up", "roll-ups"),
        (sum(read.skipped.values()), "no request by design", "no requests by design"),
        (read.outside, "outside the window", "outside the window"),
        (sum(read.rejects.values()), "rejected", "rejected"),
        (read.blank, "blank", "blank"),
    ):
        if number:
            parts.append(money.plural(number, one, many))
    return [f"{money.plural(read.lines, 'record')} = {parts[0]}", *(f"+ {part}" for part in parts[1:])]


def reasons(numbers: Mapping[str, int]) -> list[str]:
    """`18 not JSON`, `2 bad token count`: the most frequent first."""
    return [f"{money.count(n)} {why}" for why, n in sorted(numbers.items(), key=lambda kv: (-kv[1], kv[0]))]


def prices(used: Prices) -> str:
    """Which prices, how old, and the fingerprint of the book."""
    age = f", {money.plural(used.stale_days, 'day')} before the window's end" if used.stale_days > 0 else ""
    own = f", {money.plural(used.overrides, 'override')} of yours" if used.overrides else ""
    return book(used, age + own)


def book(used: Prices, more: str = "") -> str:
    """`as read on 2026-11-23, book 0d33ec9a`, and the currency amounts are shown in where it is another."""
    return f"as read on {used.as_of}{more}, book {used.book_sha256[:8]}{shown_in()}"


def shown_in() -> str:
    """`; shown in EUR at 0.92 for 1 USD, rate of …`, with the mark before it; nothing for US dollars."""
    currency = money.currency()
    return "" if currency is None else f"; {currency.words}"


def localised(audit: Audit) -> Audit:
    """The audit with the dollars in its sentences in the currency shown; tables convert by themselves, exactly."""
    if money.currency() is None:
        return audit
    return replace(audit, findings=tuple(_localised(finding) for finding in audit.findings))


def _localised(finding: Finding) -> Finding:
    # The amount of the finding itself is known exactly; other dollars of its sentences only as written.
    with money.shown_in(None):
        dollars = money.usd(finding.amount_usd)
    title = finding.title.replace(dollars, money.usd(finding.amount_usd))
    said = tuple(money.prose(reason) for reason in finding.because)
    return replace(finding, title=money.prose(title), remedy=money.prose(finding.remedy), because=said)


def conventions(sources: pl.DataFrame) -> list[str]:
    """How token counts were read, once per format and proof: `openai-chat: cached input inside input, proved (…)`."""
    if sources.is_empty():
        return []
    kinds = sources.select("format", "convention", "proof").unique().drop_nulls("convention").sort(pl.all())
    return [
        f"{row['format']}: {row['convention']}" + (f" ({row['proof']})" if row["proof"] else "")
        for row in kinds.iter_rows(named=True)
    ]


def priceless(audit: Audit) -> frozenset[tuple[str, str]]:
    """Models (name, provider) as `by_model` names them, none of whose calls has a price: unknown is not zero."""
    calls = {
        (row["model"] or NO_MODEL, row["provider"] or ""): row["requests"]
        for row in audit.coverage.unpriced.iter_rows(named=True)
    }
    return frozenset(
        (row["model"], row["provider"])
        for row in audit.spend.by_model.iter_rows(named=True)
        if calls.get((row["model"], row["provider"]), -1) >= row["requests"]
    )


def unpriced(coverage: Coverage, most: int = 3) -> list[str]:
    """The models without a price, the largest first."""
    rows = list(coverage.unpriced.iter_rows(named=True))
    said = [f"{row['model'] or NO_MODEL} ({money.plural(row['requests'], 'request')})" for row in rows[:most]]
    rest = [f"{money.count(len(rows) - most)} more"] if len(rows) > most else []
    return [*said, *rest]


def logged(table: pl.DataFrame) -> str:
    """How the log's own costs compare with ours; empty where it states none."""
    if table.is_empty():
        return ""
    requests, agree = int(table["requests"].sum()), int(table["agree"].sum())
    stated, ours = sum_usd(table["logged_usd"]), sum_usd(table["computed_usd"])
    return (
        f"{money.percent(agree / requests if requests else None)} of {money.plural(requests, 'stated cost')} agree; "
        f"the log says {money.usd(stated)}, prices say {money.usd(ours)}{_gap(table)}"
    )


def _gap(table: pl.DataFrame) -> str:
    """`; most of the gap: gpt-5, the log's price is cheaper: …`; nothing where the costs agree."""
    apart = (pl.col("logged_usd") - pl.col("computed_usd")).abs()
    wrong = table.filter(pl.col("cause").is_not_null()).sort(apart, "model", descending=[True, False])
    return f"; most of the gap: {wrong['model'][0]}, {wrong['cause'][0]}" if wrong.height else ""


def summed(audit: Audit, kind: Kind, total: Decimal) -> str:
    """`$612.34 ($580.10 to $640.00) in ` of a ledger kind; nothing for kinds that have no sum."""
    if kind not in (Kind.WASTE, Kind.DECIDE):
        return ""
    low, high = audit.range_usd.get(kind, (total, total))
    spread = f" ({money.interval(low, high)})" if low != high else ""
    return f"{money.usd(total)}{spread} in "


def amount(finding: Finding) -> str:
    """The dollars of a finding; `unknown` where nothing bounds what is at stake."""
    return "unknown" if finding.high_usd is None and not finding.amount_usd else money.usd(finding.amount_usd)


def sure(finding: Finding) -> list[str]:
    """`$580.00 to $640.00`, `confidence high`, `PROVEN`."""
    grade = [str(finding.grade)] if finding.grade is not None else []
    return [money.interval(finding.low_usd, finding.high_usd), f"confidence {finding.confidence}", *grade]


def silent(not_checked: Iterable[NotChecked]) -> list[tuple[str, str]]:
    """Rules that could not look, those with the same reason together: (rules, why)."""
    by_reason: dict[str, set[str]] = {}
    for item in not_checked:
        by_reason.setdefault(item.why, set()).add(item.rule)
    return sorted((", ".join(sorted(rules)), why) for why, rules in by_reason.items())


def left_out(audit: Audit) -> str:
    """What the report holds back, and why."""
    low = f"{money.plural(audit.below_floor, 'finding')} under the floor (`floor_usd`, `floor_share` in costaudit.yaml)"
    floor = low if audit.below_floor else ""
    hidden = f"{money.count(audit.suppressed)} suppressed" if audit.suppressed else ""
    return ", ".join(text for text in (floor, hidden) if text)


def standing(one: Accepted) -> str:
    """What somebody accepted, and what has become of it: `triage: …, accepted until 2026-12-01 by ana: reason`."""
    about = one.title or f"{one.by.rule} of {', '.join(f'{k} {v}' for k, v in one.by.subject.items())}"
    cap = f", up to {money.usd(one.by.max_usd)} a month" if one.by.max_usd is not None else ""
    why = {
        Standing.HOLDS: "",
        Standing.EXPIRED: "; the day is over",
        Standing.PAST_CAP: "; it grew past that",
        Standing.IDLE: "; nothing of it in this log",
    }[one.standing]
    id_ = f" ({one.finding})" if one.finding else ""
    return f"{about}{id_}: accepted until {one.by.until}{cap} by {one.by.owner}: {one.by.reason}{why}"


def silenced(audit: Audit) -> list[Accepted]:
    """Suppressions that hide a finding, then those that have nothing to hide."""
    kept = [one for one in audit.accepted if one.standing in (Standing.HOLDS, Standing.IDLE)]
    return sorted(kept, key=lambda one: (one.standing is Standing.IDLE, -one.usd, one.by.rule, one.title))


def noted(coverage: Coverage) -> list[str]:
    """All notes, the dollars of those that have some in the currency shown."""
    return [money.prose(note) if UNDATED in note else note for note in coverage.notes]


def notes(coverage: Coverage, most: int = 3, longest: int = 200) -> list[str]:
    """The first notes, cut to a length that leaves room for the report; doctor has them all."""
    said = [
        note if len(note) <= longest else f"{note[:longest].rsplit(' ', 1)[0]} …" for note in noted(coverage)[:most]
    ]
    rest = len(coverage.notes) - most
    return [*said, *([f"{plural(rest, 'more note')}: see costaudit doctor"] if rest > 0 else [])]


def groups(audit: Audit) -> list[tuple[Kind, tuple[Finding, ...], Decimal]]:
    """Findings by kind in the order of the report, the dearest first, each group with its own sum."""
    found = []
    for kind in Kind:
        of_kind = tuple(sorted((f for f in audit.findings if f.kind is kind), key=lambda f: f.order))
        if of_kind:
            found.append((kind, of_kind, sum((f.amount_usd for f in of_kind), ZERO)))
    return found


def claimed(audit: Audit) -> list[tuple[Kind, tuple[Finding, ...], Decimal]]:
    """The groups without the findings that claim nothing."""
    kept = [(kind, tuple(f for f in found if not _claims_nothing(f)), total) for kind, found, total in groups(audit)]
    return [group for group in kept if group[1]]


def unclaimed(audit: Audit) -> list[Finding]:
    """Findings of a ledger rule that looked hard and claims no dollar: what it saw, and what would let it say more."""
    return [f for _, found, _ in groups(audit) for f in found if _claims_nothing(f)]


def _claims_nothing(finding: Finding) -> bool:
    return finding.kind in (Kind.WASTE, Kind.DECIDE) and not finding.amount_usd
