"""The accepted advice as a routing table: what is accepted, what it says, and that other programs can read it."""

from __future__ import annotations

from decimal import Decimal

import polars as pl
import pytest
import yaml
from console import ROOT
from ledgers import calls
from program import run as run

from costaudit.analyze._routes import accepted, routes
from costaudit.audit import Window
from costaudit.config import Budget
from costaudit.errors import UsageError
from costaudit.finding import Confidence, Finding, Grade, Kind, Severity
from costaudit.report import _route as page

WINDOW = Window()


def finding(rule, grade=None, confidence=Confidence.MEDIUM, **said):
    return Finding(
        rule=rule,
        kind=Kind.DECIDE,
        severity=Severity.MEDIUM,
        confidence=confidence,
        title=said.pop("title", "t"),
        subject={"task": "a"} | said.pop("subject", {}),
        remedy="",
        evidence=said.pop("evidence", pl.DataFrame()),
        owned_usd=Decimal(1),
        grade=grade,
        **said,
    )


CHEAPER = finding("overpowered-model", Grade.PROVEN, subject={"from": "big", "to": "small"})
MAYBE = finding("overpowered-model", Grade.EXPERIMENT, subject={"task": "b", "from": "big", "to": "small"})
SIBLING = finding("dearer-sibling", Grade.PROVEN_PRICE, evidence=pl.DataFrame({"to": ["shop:big-2"]}))
FLEX = finding("dearer-sibling", Grade.PROVEN_PRICE, evidence=pl.DataFrame({"to": ["tier flex"]}))
NIGHT = finding("batchable", Grade.PROVEN_PRICE)
LIMIT = finding("missing-ceiling", details={"limit": pl.DataFrame({"metric": ["steps"], "limit": [40.5]})})
GUESS = finding("missing-ceiling", confidence=Confidence.LOW, subject={"task": "c"})
LOOP = finding("runaway-loop")


@pytest.mark.parametrize(
    ("words", "taken"),
    [
        ((), [CHEAPER, NIGHT, LIMIT]),
        ((MAYBE.id,), [CHEAPER, NIGHT, LIMIT, MAYBE]),
        (("missing-ceiling",), [CHEAPER, NIGHT, LIMIT, GUESS]),
    ],
)
def test_what_is_proven_is_accepted_and_the_rest_by_name(words, taken):
    assert accepted([CHEAPER, MAYBE, NIGHT, LIMIT, GUESS, LOOP], words) == taken


@pytest.mark.parametrize("word", ["F-000000", LOOP.id, "runaway-loop"])
def test_advice_that_is_none_is_refused_with_what_there_is(word):
    with pytest.raises(UsageError, match="no such advice") as error:
        accepted([CHEAPER, MAYBE, LOOP], [word])
    assert MAYBE.id in error.value.hint


@pytest.mark.parametrize(
    ("findings", "says"),
    [
        ([], {"models": ["acme/big", "acme/small"], "chosen_by": page.SHARED}),
        ([CHEAPER], {"model": "acme/small", "instead_of": ["acme/big"]}),
        ([SIBLING], {"model": "shop/big-2", "instead_of": ["acme/big", "acme/small"]}),
        ([FLEX], {"model": "acme/big", "service_tier": "flex", "instead_of": ["acme/small"]}),
        ([NIGHT], {"model": "acme/big", "service_tier": "batch", "instead_of": ["acme/small"]}),
        (
            [LIMIT],
            {"models": ["acme/big", "acme/small"], "chosen_by": page.SHARED, "ceiling_per_run": {"steps": 40}},
        ),
    ],
)
def test_each_kind_of_advice_changes_its_part_of_the_route(findings, says):
    log = calls([{"task": "a"}, {"task": "a"}, {"task": "a", "model": "small"}, {"task": None}])
    table = yaml.safe_load(page.plain(routes(log, findings, ()), WINDOW))
    (route,) = table["routes"]
    assert {k: v for k, v in route.items() if k not in ("task", "because")} == says
    assert len(route.get("because", [])) == len(findings)


def test_a_task_of_several_models_is_moved_to_none_of_them_without_advice():
    """Most calls run on the small model because the hard ones do not: it is no route for all of them."""
    made = routes(calls([{"task": "a"}, *[{"task": "a", "model": "small"}] * 3, {"task": "b"}]), [], ())
    assert [(route.task, route.shared) for route in made] == [("a", True), ("b", False)]
    text = page.litellm(made, WINDOW)
    assert [entry["model_name"] for entry in yaml.safe_load(text)["model_list"]] == ["b"]
    assert "# left out: a: whatever chooses now" in text
    nearly = routes(calls([{"task": "a"}] * 19 + [{"task": "a", "model": "small"}]), [], ())
    assert [(route.model, route.shared) for route in nearly] == [("big", False)]


def test_calls_that_the_new_model_cannot_take_are_said_in_its_route():
    some = finding("overpowered-model", Grade.PROVEN, subject={"from": "big", "to": "small"}, requests=40,
                   evidence=pl.DataFrame({"calls": [43]}))  # fmt: skip
    (route,) = routes(calls([{"task": "a"}]), [some], ())
    assert route.because[-1] == "3 calls of the log are more than small can take: keep big for those"


def test_a_tenant_with_advice_of_its_own_has_a_route_of_its_own():
    own = finding("overpowered-model", Grade.PROVEN, subject={"tenant": "x", "from": "big", "to": "small"})
    table = routes(calls([{"task": "a"}]), [own], ())
    assert [(r.tenant, r.model) for r in table] == [("", "big"), ("x", "small")]


def test_budgets_of_a_task_stand_beside_it():
    held = (
        Budget(Decimal(400), "month", {"task": "a"}),
        Budget(Decimal("2.5"), "run", {"task": "a"}),
        Budget(Decimal(9), "day"),
    )
    made = routes(calls([{"task": "a"}]), [], held)
    assert yaml.safe_load(page.plain(made, WINDOW))["routes"][0]["budgets"] == [
        {"usd": 400, "per": "month"},
        {"usd": 2.5, "per": "run"},
    ]
    params = yaml.safe_load(page.litellm(made, WINDOW))["model_list"][0]["litellm_params"]
    assert params == {"model": "acme/big", "max_budget": 400, "budget_duration": "1mo"}


def test_a_gateway_gets_one_name_a_task_and_falls_back_to_the_model_before():
    log = calls([{"task": "a"}, {"task": "sort: mails"}, {"task": "sort; mails"}])
    config = yaml.safe_load(page.litellm(routes(log, [CHEAPER], ()), WINDOW))
    names = [entry["model_name"] for entry in config["model_list"]]
    assert names == ["a", "a-before", "sort-mails", "sort-mails-2"]
    assert config["litellm_settings"]["fallbacks"] == [{"a": ["a-before"]}]


def test_names_from_a_log_stay_values():
    evil = "!!python/object:os.system\n- model_name: own\x1b[31m #"
    made = routes(calls([{"task": evil, "model": evil}]), [], ())
    for text in (page.plain(made, WINDOW), page.litellm(made, WINDOW)):
        assert "\x1b" not in text
        assert len(yaml.safe_load(text).get("routes", yaml.safe_load(text).get("model_list"))) == 1


def test_the_demo_routes_what_is_proven(run):
    ran = run("route", ROOT / "sample_logs" / "demo" / "app")
    assert ran.code == 0
    route = next(r for r in yaml.safe_load(ran.out)["routes"] if "instead_of" in r)
    assert "PROVEN" in route["because"][0]
