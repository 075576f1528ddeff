"""Laws of the waste ledger, held against a replay that does one thing at a time."""

from __future__ import annotations

import dataclasses
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledgers import ask, book, calls, ledger
from msgspec.structs import replace

import costaudit.analyze as subject
from costaudit.analyze import analyze
from costaudit.analyze._analyzer import Analyzer, CannotCheck, Claim, Turn, option
from costaudit.analyze._ledger import States, settle
from costaudit.config import Settings, Suppression
from costaudit.errors import ConfigError
from costaudit.finding import Confidence, Grade, Kind, Severity
from costaudit.price.engine import price

OPEN = Settings(floor_usd=Decimal(0), floor_share=0.0)


def claim(patch: pl.DataFrame | None, name: str = "a", **changes: Any) -> Claim:
    """A claim about the calls of its patch, one row of evidence a call."""
    rows = pl.DataFrame(schema={"row": pl.UInt32}) if patch is None else patch.select("row").unique().sort("row")
    said = {
        "subject": {"task": name},
        "title": f"{name}: {{usd}}",
        "remedy": "do less",
        "severity": Severity.LOW,
        "confidence": Confidence.HIGH,
        "evidence": rows,
        "patch": patch,
    }
    return Claim(**(said | changes))


def removed(*rows: int) -> pl.DataFrame:
    return pl.DataFrame({"row": rows, "exists": [False] * len(rows)}, schema={"row": pl.UInt32, "exists": pl.Boolean})


def shrunk(rows: dict[int, int]) -> pl.DataFrame:
    columns = {"row": list(rows), "input_tokens": list(rows.values())}
    return pl.DataFrame(columns, schema={"row": pl.UInt32, "input_tokens": pl.Int64})


def spend(frame: pl.DataFrame) -> Decimal:
    return sum(frame["cost_usd"].drop_nulls(), Decimal(0))


def replayed(frame: pl.DataFrame, patches: list[pl.DataFrame]) -> list[Decimal]:
    """The total after each patch, the whole log priced again from scratch, call by call."""
    rows = {row["row"]: row for row in frame.to_dicts()}
    totals = [spend(frame)]
    for patch in patches:
        for change in patch.to_dicts():
            if change["row"] not in rows:
                continue
            if change.get("exists") is False:
                del rows[change["row"]]
            elif change.get("input_tokens") is not None:
                rows[change["row"]] = rows[change["row"]] | {"input_tokens": change["input_tokens"]}
        kept = pl.DataFrame(list(rows.values()), schema=frame.schema)
        totals.append(spend(price(kept, book())))
    return totals


class Rule(Analyzer):
    """A rule of the tests: it says what it was made to say."""

    name = "rule"
    kind = Kind.WASTE
    order = 1
    says: tuple[Claim, ...] = ()

    def look(self, _: Any) -> Any:
        return iter(self.says)


@pytest.fixture
def rules(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Analyze with given rules only."""

    def use(*kinds: type[Analyzer]) -> None:
        monkeypatch.setattr(subject, "analyzers", lambda: tuple(sorted(kinds, key=lambda k: k.name)))

    return use


def rule(name: str, order: int | None, *claims: Claim, kind: Kind = Kind.WASTE, **more: Any) -> type[Analyzer]:
    return dataclasses.dataclass(frozen=True)(
        type(name, (Rule,), {"name": name, "order": order, "kind": kind, "says": claims} | more)
    )


LOG = [{"input_tokens": 1_000 * (nth + 1), "output_tokens": 0} for nth in range(8)]  # $0.01, $0.02, ... $0.08

patch_of = st.one_of(
    st.sets(st.integers(0, 11), max_size=6).map(lambda rows: removed(*sorted(rows))),
    st.dictionaries(st.integers(0, 11), st.integers(0, 900), max_size=6).map(lambda d: shrunk(dict(sorted(d.items())))),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(patch_of, max_size=5))
def test_what_is_owned_is_what_a_full_replay_saves(patches: list[pl.DataFrame]) -> None:
    frame = calls([{"output_tokens": 0}] * 10)
    states, owned = States.of(ledger(frame)), []
    for patch in patches:
        states, got = settle(states, [claim(patch)])
        owned.append(got[0].owned_usd)
    totals = replayed(frame, patches)
    assert sum(owned, Decimal(0)) == totals[0] - spend(states.point.calls)
    assert all(amount >= 0 for amount in owned)
    assert sum(owned, Decimal(0)) <= totals[0]
    if all("exists" in p.columns for p in patches):
        assert owned == [before - after for before, after in pairwise(totals)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sets(st.integers(0, 9), max_size=6), max_size=5))
def test_fixes_alone_save_at_least_what_they_own(sets: list[set[int]]) -> None:
    states, owned = States.of(ledger(calls([{}] * 10))), []
    for rows in sets:
        states, got = settle(states, [claim(removed(*sorted(rows)))])
        owned += got
    assert sum((o.owned_usd for o in owned), Decimal(0)) <= sum((o.alone_usd for o in owned), Decimal(0))


@settings(max_examples=25, deadline=None)
@given(st.lists(patch_of, max_size=4))
def test_what_a_change_saves_alone_is_what_it_saves_on_the_calls_as_logged(patches: list[pl.DataFrame]) -> None:
    start = States.of(ledger(calls(LOG)))
    states = start
    for patch in patches:
        states, (got,) = settle(states, [claim(patch)])
        _, (first,) = settle(start, [claim(patch)])
        assert got.alone_usd == first.owned_usd == first.alone_usd


@settings(max_examples=60, deadline=None)
@given(st.lists(patch_of, max_size=4), st.lists(patch_of, max_size=4), st.lists(patch_of, max_size=4))
def test_evidence_adds_up_and_the_interval_holds_the_point(
    points: list[pl.DataFrame], lows: list[pl.DataFrame], highs: list[pl.DataFrame]
) -> None:
    states = States.of(ledger(calls([{"input_tokens": 500 + nth} for nth in range(10)])))
    ends = [*zip(points, lows, strict=False), *[(p, None) for p in points[len(lows) :]]]
    claims = [
        claim(point, f"t{nth}", low=low, high=highs[nth] if nth < len(highs) else None)
        for nth, (point, low) in enumerate(ends)
    ]
    states, owned = settle(states, claims)
    for one in owned:
        assert spend(one.evidence.rename({"waste_usd": "cost_usd"})) == one.owned_usd
        assert one.low_usd <= one.owned_usd <= one.high_usd


def test_an_identity_patch_owns_nothing() -> None:
    frame = calls(LOG)
    same = frame.select("row", "model", "input_tokens", "output_tokens")
    _, (owned,) = settle(States.of(ledger(frame)), [claim(same)])
    assert (owned.owned_usd, owned.requests) == (Decimal(0), 0)


def test_claims_of_one_rule_on_the_same_call_are_applied_one_after_the_other() -> None:
    _, owned = settle(States.of(ledger(LOG)), [claim(removed(0, 1), "b"), claim(removed(1, 2), "a")])
    assert [(o.claim.subject["task"], o.owned_usd) for o in owned] == [("a", Decimal("0.05")), ("b", Decimal("0.01"))]


def test_a_group_that_saves_nothing_is_not_changed() -> None:
    patch = shrunk({0: 0, 1: 5_000}).with_columns(group=pl.Series(["cheaper", "dearer"]))
    states, (owned,) = settle(States.of(ledger(LOG)), [claim(patch)])
    assert owned.owned_usd == Decimal("0.01")
    assert states.point.calls["input_tokens"].to_list()[:2] == [0, 2_000]


def test_a_change_to_a_model_without_a_price_is_no_saving() -> None:
    patch = pl.DataFrame({"row": [0, 1], "model": ["nobody-knows", "small"]}, schema_overrides={"row": pl.UInt32})
    states, (owned,) = settle(States.of(ledger(LOG)), [claim(patch)])
    assert owned.owned_usd == Decimal("0.018")  # the second call alone: $0.02 at a tenth
    assert states.point.calls["model"].to_list()[:2] == ["big", "small"]


def test_what_a_change_costs_is_taken_off() -> None:
    evidence = pl.DataFrame({"row": [7, 6], "added_usd": [Decimal("0.03"), None]}, schema_overrides={"row": pl.UInt32})
    _, (owned,) = settle(States.of(ledger(LOG)), [claim(removed(6, 7), evidence=evidence)])
    assert owned.owned_usd == Decimal("0.12")  # 0.08 - 0.03 + 0.07
    assert owned.evidence["waste_usd"].to_list() == [Decimal("0.07"), Decimal("0.05")]


def test_calls_that_no_evidence_answers_for_are_left_alone() -> None:
    evidence = pl.DataFrame({"run": ["x"]})
    patch = removed(0, 1).with_columns(run=pl.Series(["x", "y"]))
    states, (owned,) = settle(States.of(ledger(LOG)), [claim(patch, evidence=evidence, evidence_key="run")])
    assert owned.owned_usd == Decimal("0.01")
    assert states.point.calls.height == 7


def test_a_loop_that_is_also_uncached_and_on_a_large_model_belongs_to_the_loop(rules: Any) -> None:
    cheaper = pl.DataFrame({"row": range(8), "model": "small"}, schema_overrides={"row": pl.UInt32})
    cached = pl.DataFrame({"row": range(8), "cache_read_tokens": 1_000}, schema_overrides={"row": pl.UInt32})
    rules(
        rule("z-loop", 1, claim(removed(4, 5, 6, 7))),
        rule("cache", 4, claim(cached)),
        rule("model", 8, claim(cheaper), kind=Kind.DECIDE),
    )
    said = analyze(ledger(LOG), OPEN)
    assert {f.rule: f.owned_usd for f in said.findings} == {
        "z-loop": Decimal("0.26"),  # 0.05 + 0.06 + 0.07 + 0.08, whole
        "cache": Decimal("0.036"),  # 4 × 1,000 tokens × (10 - 1) / 1M
        "model": Decimal("0.0576"),  # nine tenths of the remaining 0.064
    }
    assert {f.rule: f.alone_usd for f in said.findings} == {
        "z-loop": Decimal("0.26"),
        "cache": Decimal("0.072"),
        "model": Decimal("0.324"),
    }


def test_places_in_the_ledger_decide_and_names_only_break_ties(rules: Any) -> None:
    first, second = rule("zz", 1, claim(removed(0))), rule("aa", 2, claim(removed(0, 1)))
    rules(first, second)
    assert {f.rule: f.owned_usd for f in analyze(ledger(LOG), OPEN).findings} == {
        "zz": Decimal("0.01"),
        "aa": Decimal("0.02"),
    }


def test_the_order_of_the_table_is_the_order_of_the_rules() -> None:
    turns = [(turn.order, nth, kind.name) for kind in subject.analyzers() for nth, turn in enumerate(kind().turns())]
    assert [name for order, _, name in sorted(t for t in turns if t[0] is not None)] == [
        *("runaway-loop", "duplicate-requests", "retry-waste", "failed-calls", "truncated-output", "cache-miss"),
        *("context-bloat", "context-bloat", "dearer-sibling", "missing-ceiling"),
        *("overpowered-model", "reasoning-overspend", "context-bloat", "batchable"),
    ]


def test_rules_outside_the_ledger_see_the_calls_as_logged(rules: Any) -> None:
    seen: list[int] = []

    def look(self: Any, ledger: Any) -> Any:
        seen.append(ledger.calls.height)
        return iter(())

    rules(rule("loop", 1, claim(removed(0, 1))), rule("watch", None, kind=Kind.EXCESS, look=look))
    analyze(ledger(LOG), OPEN)
    assert seen == [8]


def test_a_rule_is_found_clean_or_not_checked(rules: Any) -> None:
    def blind(self: Any, ledger: Any) -> Any:
        raise CannotCheck("no runs")

    rules(rule("found", 1, claim(removed(0))), rule("quiet", 2), rule("blind", 3, look=blind))
    said = analyze(ledger(LOG), OPEN)
    assert [f.rule for f in said.findings] == ["found"]
    assert said.clean == ("quiet",)
    assert [(n.rule, n.why) for n in said.not_checked] == [("blind", "no runs")]


def test_a_part_that_cannot_look_is_named_and_the_rule_is_not_called_clean(rules: Any) -> None:
    def blind(ledger: Any) -> Any:
        raise CannotCheck("tools: no declared tools")

    def turns(self: Any) -> Any:
        return (Turn(5, Kind.WASTE, blind), Turn(5, Kind.WASTE, self.look))

    rules(rule("parts", 5, turns=turns))
    said = analyze(ledger(LOG), OPEN)
    assert said.clean == ()
    assert said.not_checked[0].why == "tools: no declared tools"


@pytest.mark.parametrize(
    ("floor", "shown", "below"),
    [("0.26", 1, 0), ("0.27", 0, 1)],
)
def test_a_finding_under_the_floor_is_counted(rules: Any, floor: str, shown: int, below: int) -> None:
    rules(rule("loop", 1, claim(removed(4, 5, 6, 7))))
    said = analyze(ledger(LOG), Settings(floor_usd=Decimal(floor), floor_share=0.0))
    assert (len(said.findings), said.below_floor) == (shown, below)
    assert said.clean == (() if shown else ("loop",))


def test_the_floor_is_held_against_the_lower_end(rules: Any) -> None:
    rules(rule("loop", 1, claim(removed(4, 5, 6, 7), low=removed(4))))
    assert analyze(ledger(LOG), Settings(floor_usd=Decimal("0.06"), floor_share=0.0)).below_floor == 1


def test_exposure_and_unproven_savings_are_known_from_their_upper_end_on(rules: Any) -> None:
    stake = {"stake_usd": Decimal(0), "stake_low": Decimal(0), "stake_high": Decimal(9)}
    rules(
        rule("maybe", 8, claim(None, grade=Grade.EXPERIMENT, **stake), kind=Kind.DECIDE),
        rule("blind", None, claim(None, **stake), kind=Kind.EXPOSURE),
        rule("open", None, claim(None, unbounded=True), kind=Kind.EXPOSURE),
        rule("drift", None, claim(None, **stake), kind=Kind.EXCESS),
    )
    said = analyze(ledger(LOG), Settings(floor_usd=Decimal(5), floor_share=0.0))
    assert sorted(f.rule for f in said.findings) == ["blind", "maybe", "open"]
    assert said.below_floor == 1


@pytest.mark.parametrize(
    ("changes", "accepted"),
    [
        ({}, True),
        ({"subject": {}}, True),
        ({"subject": {"task": "b"}}, False),
        ({"until": date(2026, 10, 5)}, True),  # the last day still counts
        ({"until": date(2026, 10, 4)}, False),
        ({"max_usd": Decimal("0.26")}, True),
        ({"max_usd": Decimal("0.25")}, False),
    ],
)
def test_an_accepted_finding_reopens_when_expired_or_past_its_cap(rules: Any, changes: Any, accepted: bool) -> None:
    rules(rule("loop", 1, claim(removed(4, 5, 6, 7))))
    given = {"rule": "loop", "subject": {"task": "a"}, "owner": "ops", "reason": "known", "until": date(2026, 12, 31)}
    said = analyze(ledger(LOG), replace(OPEN, suppressions=(Suppression(**(given | changes)),)))
    assert (said.suppressed, len(said.findings)) == ((1, 0) if accepted else (0, 1))
    assert said.clean == ()


def test_select_ignore_and_options_reach_the_rules(rules: Any) -> None:
    class Counting(Rule):
        name = "counting"
        aliases = ("numbering",)
        least: int = option(3, "calls", "How many.")

        def look(self, _: Any) -> Any:
            yield claim(removed(*range(self.least)))

    rules(Counting, rule("other", 2, claim(removed(7))))
    chosen = analyze(ledger(LOG), replace(OPEN, select=("numbering",), rules={"counting": {"least": 1}}))
    assert [(f.rule, f.owned_usd) for f in chosen.findings] == [("counting", Decimal("0.01"))]
    assert [f.rule for f in analyze(ledger(LOG), replace(OPEN, ignore=("counting",))).findings] == ["other"]
    with pytest.raises(ConfigError, match="unknown option 'leest' of counting") as error:
        analyze(ledger(LOG), Settings(rules={"counting": {"leest": 1}}))
    assert error.value.hint == "did you mean 'least'?"


def test_names_from_a_log_never_become_part_of_the_amount(rules: Any) -> None:
    rules(rule("loop", 1, claim(removed(7), "{usd} {0} {evil.__class__}")))
    assert analyze(ledger(LOG), OPEN).findings[0].title == "{usd} {0} {evil.__class__}: $0.080"


def test_an_empty_log_is_not_clean() -> None:
    said = analyze(ledger([]), Settings())
    assert (said.findings, said.clean) == ((), ())
    assert {n.why for n in said.not_checked} <= {"there are no calls"}


def test_calls_without_a_price_are_counted_as_unseen(rules: Any) -> None:
    rules(rule("quiet", 1))
    assert analyze(ledger([{}, {"model": "nobody-knows"}]), OPEN).unseen == 1


def test_ask_is_how_the_tests_of_rules_ask_one_rule() -> None:
    with pytest.raises(ConfigError, match="unknown rule"):
        ask("no-such-rule", [{}])


def test_calls_without_any_price_are_clean_of_nothing():
    answer = analyze(ledger([{"model": "nobody's", "task": "a"}] * 3), Settings())
    assert {f.kind for f in answer.findings} <= {Kind.EXPOSURE}
    assert not set(answer.clean) & {"runaway-loop", "retry-waste", "batchable", "cost-regression"}
    assert {n.why for n in answer.not_checked if n.rule == "retry-waste"} == {"no call has a price"}
