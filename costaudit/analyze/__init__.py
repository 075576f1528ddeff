"""ledger -> findings: every rule looks, each dollar gets one owner, what is too small or accepted is only counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal, localcontext
from functools import cache, partial
from typing import Any

import msgspec
from msgspec.structs import replace

from costaudit import plugins, scratch
from costaudit.analyze._analyzer import Analyzer, CannotCheck, Claim, Turn, dollars, total_usd
from costaudit.analyze._beside import meanwhile
from costaudit.analyze._ledger import Act, Owned, States, settle
from costaudit.analyze._standing import standings
from costaudit.audit import Accepted, Standing
from costaudit.config import Settings
from costaudit.finding import ZERO, Finding, Grade, Kind, NotChecked
from costaudit.price.ledger import Ledger
from costaudit.price.mix import EXACT

__all__ = ["Act", "Analysis", "acts", "analyze", "analyzers", "checked", "chosen"]

_UNPROVEN = (Grade.EXPERIMENT, Grade.NO_EVIDENCE)


class Analysis(msgspec.Struct, frozen=True):
    """What the rules say about a window.

    findings     in order of `Finding.order`
    clean        rules that looked and found nothing above the floor
    not_checked  rules, or parts of rules, that could not look
    below_floor  findings too small to show; suppressed: findings that somebody accepted
    unshown      ids of the findings below the floor or accepted
    accepted     every suppression of a rule that was asked, with what has become of it
    unseen       calls without a known price: no rule can say anything about their dollars
    range_usd    ledger dollars of each kind when every finding is at its low, and at its high end
    """

    findings: tuple[Finding, ...]
    clean: tuple[str, ...]
    not_checked: tuple[NotChecked, ...]
    below_floor: int = 0
    suppressed: int = 0
    unshown: frozenset[str] = frozenset()
    accepted: tuple[Accepted, ...] = ()
    unseen: int = 0
    range_usd: Mapping[Kind, tuple[Decimal, Decimal]] = msgspec.field(default_factory=dict)


class _Said(msgspec.Struct, frozen=True):
    """All that the rules said, before anything is left out."""

    findings: list[Finding]
    not_checked: list[NotChecked]


@cache
def analyzers() -> tuple[type[Analyzer], ...]:
    """Every rule, in order of its name."""
    return plugins.classes(__name__, Analyzer)


def checked(settings: Settings) -> Settings:
    """The settings with rule names and options that exist; ConfigError with a suggestion otherwise."""
    known = {kind.name: _defaults(kind) for kind in analyzers()}
    aliases = {old: kind.name for kind in analyzers() for old in kind.aliases}
    return settings.for_rules(known, aliases)


def analyze(ledger: Ledger, settings: Settings) -> Analysis:
    """Let every rule of the settings look at the ledger, causes before what they cause.

    Rules of the ledger see the calls as the rules before them would have left them; rules outside it see the calls as
    logged. Findings under the floor, or accepted by a suppression, keep the dollars they own and are only counted: a
    dollar that a small loop wasted is not for another rule to claim.
    Raises ConfigError for a rule or an option that does not exist.
    """
    settings = checked(settings)
    rules = chosen(settings)
    ledger = replace(ledger.as_logged(), settings=settings)
    if ledger.original.is_empty():
        nothing = tuple(NotChecked(rule.name, "there are no calls") for rule in rules)
        return Analysis((), (), nothing)
    said = _ask(rules, ledger)
    floor = settings.floor(total_usd(ledger.original))
    large = [f for f in said.findings if _worth(f) is None or (_worth(f) or ZERO) >= floor]
    accepted = standings(large, settings.suppressions, ledger.original)
    hidden = {one.finding for one in accepted if one.standing is Standing.HOLDS}
    shown = [f for f in large if f.id not in hidden]
    spoke = {f.rule for f in large} | {n.rule for n in said.not_checked}
    return Analysis(
        findings=tuple(sorted(shown, key=lambda f: f.order)),
        clean=tuple(rule.name for rule in rules if rule.name not in spoke),
        not_checked=tuple(said.not_checked),
        below_floor=len(said.findings) - len(large),
        suppressed=len(large) - len(shown),
        unshown=frozenset(f.id for f in said.findings) - {f.id for f in shown},
        accepted=tuple(one for one in accepted if one.by.rule in {rule.name for rule in rules}),
        unseen=ledger.original["cost_usd"].null_count(),
        range_usd={kind: _range(shown, kind) for kind in (Kind.WASTE, Kind.DECIDE)},
    )


def acts(ledger: Ledger, settings: Settings) -> list[Act]:
    """The changes that the rules of the ledger propose, large enough to be shown, in the order of the ledger."""
    settings = checked(settings)
    ledger = replace(ledger.as_logged(), settings=settings)
    if ledger.original.is_empty():
        return []
    floor = settings.floor(total_usd(ledger.original))
    made: list[Act] = []
    _ask([rule for rule in chosen(settings) if any(t.order is not None for t in rule.turns())], ledger, made)
    return [act for act in made if (_worth(act.finding) or ZERO) >= floor]


def _defaults(kind: type[Analyzer]) -> dict[str, Any]:
    rule = kind()
    return {option.name: getattr(rule, option.name) for option in kind.options()}


def chosen(settings: Settings) -> list[Analyzer]:
    """The rules to ask, with the user's options, by name."""
    wanted = [
        k for k in analyzers() if (not settings.select or k.name in settings.select) and k.name not in settings.ignore
    ]
    return [kind(**settings.rules.get(kind.name, {})) for kind in wanted]


def _ask(rules: Iterable[Analyzer], ledger: Ledger, acts: list[Act] | None = None) -> _Said:
    """Every turn of every rule, in order: the ledger first, from the cause outwards; then what stands outside it.

    acts  where the changes go that somebody could make; None: they are not held, for they are as large as what they say
    """
    turns = [(turn, nth, rule) for rule in rules for nth, turn in enumerate(rule.turns())]
    # At one place of the ledger, what a rule says first comes before what another says as its last word.
    turns.sort(key=lambda t: (t[0].order is None, t[0].order or 0, t[1], t[2].name))
    said = _Said([], [])
    states = States.of(ledger)
    # What stands outside the ledger looks at the calls as logged, whatever the rules of the ledger change.
    outside = [partial(_heard, states, turn, rule) for turn, _, rule in turns if turn.order is None]
    with meanwhile(outside, ledger.original.height) as others:
        for place, (turn, _, rule) in enumerate(turns):
            scratch.release()
            if turn.order is None:
                states = States.of(ledger)  # nobody asks for the changes any more
            try:
                states, heard = next(others)() if turn.order is None else _heard(states, turn, rule)
            except CannotCheck as why:
                said.not_checked.append(NotChecked(rule.name, str(why)))
                continue
            said.findings.extend(finding for _, finding in heard)
            if acts is not None and turn.order is not None:
                acts.extend(Act(place, claim, finding) for claim, finding in heard if claim.patch is not None)
            del heard  # its claims may be as large as the table
    said.not_checked.sort(key=lambda n: (n.rule, n.why))
    return said


def _heard(states: States, turn: Turn, rule: Analyzer) -> tuple[States, list[tuple[Claim, Finding]]]:
    """What a rule says in its turn, and the ledger after it; raises CannotCheck where it cannot look."""
    calls = states.point.original
    if turn.kind is not Kind.EXPOSURE and calls["cost_usd"].null_count() == calls.height:
        raise CannotCheck("no call has a price")
    with localcontext(prec=EXACT):  # a broken counter makes amounts that the usual 28 digits do not hold
        claims = list(turn.look(states.point.reading(rule.reads)))
    if turn.order is None:
        owned = [Owned(claim, claim.evidence) for claim in claims]
    else:
        states, settled = settle(states, claims)
        # A change that saves nothing is no finding; a claim without a change speaks for itself.
        owned = [one for one in settled if one.claim.patch is None or one.owned_usd > ZERO]
    return states, [(one.claim, _finding(rule, turn, one)) for one in owned]


def _finding(rule: Analyzer, turn: Turn, owned: Owned) -> Finding:
    claim = owned.claim
    in_ledger = claim.patch is not None
    low = owned.low_usd if in_ledger else claim.stake_usd if claim.stake_low is None else claim.stake_low
    high = owned.high_usd if in_ledger else claim.stake_usd if claim.stake_high is None else claim.stake_high
    return Finding(
        rule=rule.name,
        kind=claim.kind or turn.kind,
        severity=claim.severity,
        confidence=claim.confidence,
        title=_titled(claim, owned.owned_usd if in_ledger else claim.stake_usd),
        subject=claim.subject,
        remedy=claim.remedy,
        evidence=owned.evidence,
        owned_usd=owned.owned_usd,
        alone_usd=owned.alone_usd,
        low_usd=low,
        high_usd=None if claim.unbounded else high,
        stake_usd=claim.stake_usd,
        requests=owned.requests or claim.requests,
        grade=claim.grade,
        because=claim.because,
        details=claim.details,
        lever=claim.lever,
    )


def _titled(claim: Claim, amount: Decimal) -> str:
    """The title with its dollars in the place the rule left for them; names from a log stand before it."""
    before, mark, after = claim.title.rpartition("{usd}")
    return f"{before}{dollars(amount)}{after}" if mark else claim.title


def _worth(finding: Finding) -> Decimal | None:
    """What the floor is held against; None: no upper bound.

    A saving must reach the floor with its lower end. Dollars that may be spent, and savings that nothing proves yet,
    are worth knowing from their upper end on.
    """
    if finding.kind is Kind.EXPOSURE or finding.grade in _UNPROVEN:
        return None if finding.high_usd is None else max(finding.high_usd, finding.amount_usd)
    return abs(finding.low_usd)


def _range(findings: Iterable[Finding], kind: Kind) -> tuple[Decimal, Decimal]:
    """Sums of the ends of the findings of one kind: all at their low, all at their high end."""
    ends = [(f.low_usd, f.high_usd or ZERO) for f in findings if f.kind is kind]
    return sum((low for low, _ in ends), ZERO), sum((high for _, high in ends), ZERO)
