"""The plan for scale: drivers that add up, prompts that grow, limits, the way under a target, and how it looks."""

from __future__ import annotations

import csv
import io
import json
import math
import unicodedata
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from pages import body, read
from priced import book, call, calls
from samples import SAMPLES
from test_hostile_text import ACTING, hostile

from costaudit.analyze._growth import NEW_TENANTS, PROVED, growth, lengthening, project, proved
from costaudit.analyze._plan import plan
from costaudit.analyze.tenant_concentration import elasticity
from costaudit.audit import Coverage, Fates, Prices, Window
from costaudit.cli import main
from costaudit.config import Forecast, Settings
from costaudit.errors import LogError
from costaudit.plan import Plan
from costaudit.report import View, _forecast
from costaudit.stats import Interval

START = datetime(2026, 9, 7, tzinfo=UTC)  # a Monday
CERTAIN = Interval(1.0, 1.0, 1.0)
NOBODY = pl.Series("row", [], pl.UInt32)

Row = dict[str, Any]


def week(n: int, per_day: int = 4, **columns: Any) -> list[Row]:
    """A week of calls, `per_day` a day, spread over it."""
    return [
        call(started_at=START + timedelta(days=7 * n + day, hours=24 * (k + 0.5) / per_day)) | columns
        for day in range(7)
        for k in range(per_day)
    ]


def looped(n: int) -> list[Row]:
    """A run that makes the same call with the same result eight times."""
    same = {"tool_name": "search", "tool_args_sha": 1, "tool_result_sha": 2}
    start = START + timedelta(days=7 * n, hours=9)
    return [
        call(run_id=f"stuck-{n}", task="research", step=k, started_at=start + timedelta(minutes=k), **same)
        for k in range(8)
    ]


def log(weeks: int = 8) -> list[Row]:
    names = ("acme corp", "globex", None)
    rows = [row | {"tenant": names[k % 3]} for n in range(weeks) for k, row in enumerate(week(n, 4 + n % 2))]
    return rows + [row | {"tenant": "globex"} for n in range(weeks) for row in looped(n)]


def planned(rows: list[Row], target: str | None = None, **changes: Any) -> Plan:
    frame = calls(rows)
    nothing = pl.DataFrame()
    coverage = Coverage(
        Fates(len(rows), len(rows)), {"exact": len(rows)}, {"exact": 1}, 1.0, Decimal(0), None, nothing, nothing
    )
    given = Settings(floor_usd=Decimal(0), floor_share=0.0, **changes)
    return plan(
        frame,
        book(),
        given,
        window=Window(START, START + timedelta(days=56)),
        prices=Prices(date(2026, 11, 1), "0" * 64),
        coverage=coverage,
        target=None if target is None else Decimal(target),
    )


def grown(rows: list[Row], factor: float = 10.0, by: str = "traffic", runaway: pl.Series = NOBODY, **context: float):
    found = project(calls(rows), book(), factor=factor, by=by, context=context, runaway=runaway)
    return growth(found, Decimal(1), CERTAIN)


def drivers(found) -> dict[str, Decimal]:
    return {d.name: d.usd for d in found.drivers}


# Drivers

usages = st.fixed_dictionaries(
    {
        "tenant": st.sampled_from(["a", "b", None]),
        "task": st.sampled_from(["triage", "answer", None]),
        "model": st.sampled_from(["large", "small", "gratis", "unheard of"]),
        "input_tokens": st.integers(0, 10**6),
        "output_tokens": st.integers(0, 10**4),
    }
)


@settings(max_examples=25)
@given(
    st.lists(usages, min_size=1, max_size=8),
    st.floats(0.1, 100),
    st.sampled_from(["traffic", "tenants"]),
    st.floats(0.5, 3),
    st.integers(0, 7),
)
def test_drivers_and_tenants_add_up_to_the_growth_of_any_log(rows, factor, by, ratio, stuck):
    runaway = pl.Series("row", [stuck % len(rows)], pl.UInt32)
    found = grown([call(**row) for row in rows], factor, by, runaway, answer=ratio)
    change = found.then_usd - found.now_usd
    assert abs(sum(drivers(found).values()) - change) <= Decimal("1e-12") * max(1, abs(change))
    for column, total in (("now_usd", found.now_usd), ("then_usd", found.then_usd)):
        assert abs(found.tenants[column].sum() - total) <= Decimal("1e-15") * len(rows)


def test_ten_times_the_traffic_of_plain_calls_costs_ten_times_as_much():
    found = grown(week(0))
    assert found.now_usd == 28 * Decimal("0.014")
    assert found.then_usd == 10 * found.now_usd
    assert drivers(found) == {"requests": 9 * found.now_usd}


def test_no_growth_has_no_drivers():
    assert grown(week(0), 1.0).drivers == ()


def test_stuck_runs_and_fees_grow_at_the_same_rate_under_their_own_name():
    rows = [*week(0), call(extras=[{"class": "web_search", "quantity": 100.0}])]
    found = drivers(grown(rows, 2.0, runaway=pl.Series("row", [0, 1], pl.UInt32)))
    assert found["runaways"] == 2 * Decimal("0.014")
    assert found["fees"] == Decimal(1)  # 100 searches at $10 a thousand
    assert found["requests"] == 27 * Decimal("0.014")


def test_new_tenants_cost_what_the_old_ones_do_and_change_nothing_for_them():
    found = grown([row | {"tenant": "acme"} for row in week(0)], 3.0, "tenants")
    sums = dict(found.tenants.select("tenant", "then_usd").iter_rows())
    assert sums == {"acme": found.now_usd, NEW_TENANTS: 2 * found.now_usd}


def conversation(minutes: float) -> list[Row]:
    """Calls with the same long prefix, half of which was read from a cache, one every so often."""
    return [
        call(
            started_at=START + timedelta(minutes=minutes * k),
            input_tokens=10_000,
            cache_read_tokens=9_000 if k % 2 else 0,
            block_sha=[1, 1_000 + k],
            block_tokens=[9_000, 1_000],
        )
        for k in range(40)
    ]


def test_traffic_on_the_same_prefix_is_cached_better_and_new_tenants_are_not():
    rows = conversation(20)  # every pause is longer than five minutes; a tenth of it is not
    better = drivers(grown(rows, 10.0))
    # 19 calls more, all but the first, read 9,000 tokens at $1 instead of $10 a million.
    saved = 19 * 9_000 * Decimal(9) / 1_000_000
    assert grown(rows, 10.0).then_usd == 10 * (grown(rows, 1.0).now_usd - saved)
    assert better["caching"] < 0
    assert "caching" not in drivers(grown(rows, 10.0, "tenants"))


def test_longer_prompts_cost_in_proportion_to_their_input():
    found = grown(week(0), 1.0, triage=2.0)
    assert found.then_usd - found.now_usd == 28 * Decimal("0.010")  # 1,000 tokens more at $10 a million
    assert set(drivers(found)) == {"context"}


def test_prompts_that_grow_week_by_week_go_on_and_a_step_does_not():
    growing = [row for n in range(8) for row in week(n, input_tokens=round(1_000 * 1.1**n))]
    found = lengthening(calls(growing), 4)
    assert found["triage"] == pytest.approx(1.1**4, rel=0.05)
    stepped = [row for n in range(8) for row in week(n, input_tokens=1_000 if n < 5 else 2_000)]
    assert lengthening(calls(stepped), 4) == {}


def test_of_many_tasks_one_that_seems_to_grow_is_not_projected():
    # Five weeks in a row by chance: p = 0.03 of one task, three in a hundred of any.
    growing = [row for n in range(6) for row in week(n, input_tokens=round(1_000 * 1.03**n))]
    others = [
        row
        for task in range(9)
        for n in range(6)
        for row in week(n, task=f"t{task}", input_tokens=(1_000, 1_020, 990, 1_010, 1_000, 995)[(n + task) % 6])
    ]
    assert set(lengthening(calls(growing), 4)) == {"triage"}
    assert lengthening(calls(growing + others), 4) == {}


def test_tenants_that_get_dearer_with_use_grow_faster_than_their_traffic():
    rows = [call(tenant=f"t{n}", input_tokens=100 * n * n, output_tokens=0) for n in range(1, 13) for _ in range(n * 2)]
    found = grown(rows, 10.0)
    assert float(found.then_usd / found.now_usd) == pytest.approx(10**3, rel=0.2)  # spend ~ calls^3
    assert drivers(found)["elasticity"] > drivers(found)["requests"]


def test_two_kinds_of_tenants_say_nothing_of_how_spend_grows():
    # Four small tenants and four large ones, who ask for more at a time: nobody is in between.
    sizes = ((5, 1_000), (6, 1_000), (6, 1_000), (7, 1_000), (40, 1_500), (44, 1_500), (46, 1_500), (48, 1_500))
    rows = [call(tenant=f"t{n}", input_tokens=tokens) for n, (times, tokens) in enumerate(sizes) for _ in range(times)]
    assert proved(calls(rows)) is None
    between = [call(tenant=f"u{k}", input_tokens=1_000 + 12 * k) for k in range(8, 40, 3) for _ in range(k)]
    assert proved(calls(rows + between)) is not None


def test_tenants_who_differ_by_chance_are_seldom_dearer_with_use():
    source, said = Random(7), 0
    for _ in range(100):
        sizes = [max(1, round(math.exp(source.gauss(4, 1)))) for _ in range(12)]
        known = [(size, size * math.exp(source.gauss(0, 0.3))) for size in sizes]
        table = pl.DataFrame(known, schema=["calls", "spend_usd"], orient="row")
        found = elasticity(table, PROVED)
        said += found is not None and (found.low > 1 or found.high < 1)
    assert said <= 3  # at 90 % twelve would


# The plan


def test_under_four_weeks_there_is_a_run_rate_and_it_says_so():
    found = planned(log(2))
    assert found.outlook.kind == "run-rate"
    assert "four whole weeks make a trend" in _forecast.terminal(found, View(width=120))


def test_one_day_of_log_has_a_spread_as_large_as_itself():
    found = planned([call(started_at=START + timedelta(hours=h)) for h in range(24)])
    whole = found.ahead[-1].usd
    assert whole.value == pytest.approx(28 * 24 * 0.014)
    assert whole.low == 0
    assert whole.high > 2 * whole.value


def test_a_plan_of_a_broken_counter_is_a_plan():
    found = planned([row | {"input_tokens": 2**40} for row in log()])
    assert found.growth[-1].then_usd > 10**10


@pytest.mark.parametrize("row", [call(started_at=None), call(model="unheard of")], ids=["no time", "no price"])
def test_what_is_not_known_is_not_forecast_as_nothing(row):
    with pytest.raises(LogError):
        planned([row])


def test_a_tenant_without_a_price_costs_an_unknown_amount():
    rows = [*log(4), *[row | {"tenant": "secret", "model": "unheard of"} for row in week(3)]]
    found = planned(rows)
    assert found.tenants.filter(pl.col("tenant") == "secret")["now_usd"].to_list() == [None]
    assert "no price" in _forecast.terminal(found, View(width=120))


def test_the_way_under_a_target_takes_waste_first_and_is_a_replay():
    found = planned(log(), "0.1", forecast=Forecast(growth=(2.0,)))
    way = found.way
    assert way is not None
    assert way.steps[0].risk == "waste, certain"
    assert way.before_usd == found.growth[-1].then_usd
    assert sum(step.saves_usd for step in way.steps) == way.before_usd - way.after_usd
    assert not way.reached
    easy = planned(log(), str(way.after_usd + Decimal("0.01")), forecast=Forecast(growth=(2.0,))).way
    assert easy is not None
    assert easy.reached
    assert len(easy.steps) == 1


def test_a_target_that_holds_already_needs_nothing():
    way = planned(log(), "1000000").way
    assert way is not None
    assert (way.reached, way.steps) == (True, ())


def test_limits_say_when_they_break(tmp_path):
    path = tmp_path / "limits.yaml"
    path.write_text("large: {requests_per_minute: 4}\nother: {requests_per_minute: 1}\n")
    busy = [call(started_at=START + timedelta(days=d, hours=14, minutes=m // 2)) for d in range(28) for m in range(4)]
    found = planned(busy, limits=path).limits
    assert found is not None
    row = found.row(0, named=True)  # 56 minutes of two calls, and 39 of 38,882 minutes lie above the 99.9 % quantile
    assert (found.height, row["peak"], row["breaks_at"], row["weekday"], row["hour"]) == (1, 2, 2.0, "Monday", 14)


@pytest.fixture(scope="module")
def example(tmp_path_factory) -> Plan:
    path = tmp_path_factory.mktemp("limits") / "limits.yaml"
    path.write_text("large: {requests_per_minute: 6, tokens_per_minute: 40000}")
    return planned(log(), "9", limits=path)


@pytest.mark.parametrize("width", [80, 120])
def test_the_plan_reads_as_reviewed(golden, example, width):
    text = _forecast.terminal(example, View(width=width))
    assert all(len(line) <= width for line in text.splitlines())
    golden(f"forecast/terminal-{width}.txt", text)


def test_a_narrow_terminal_gets_the_columns_that_fit(example):
    lines = _forecast.terminal(example, View(width=60)).splitlines()
    assert max(map(len, lines)) <= 60
    assert "  limit     of            allowed   peak  up to  breaks at" in lines  # the day of the peak has no room


def test_the_page_reads_as_reviewed(golden, example):
    golden("forecast/markdown-80.txt", _forecast.markdown(example, View()))
    page = _forecast.html(example, View())
    assert read(page).harmless
    golden("forecast/html.txt", body(page))


def test_machines_read_the_same_amounts(example):
    read = json.loads(_forecast.machine(example, View()))
    assert read["schema"] == "costaudit.forecast/1"
    for found in read["growth"]:
        change = Decimal(found["then_usd"]) - Decimal(found["now_usd"])
        assert sum(Decimal(d["usd"]) for d in found["drivers"]) == pytest.approx(change, rel=Decimal("1e-12"))
    assert Decimal(read["way"]["before_usd"]) == Decimal(read["growth"][-1]["then_usd"])
    assert read["outlook"]["backtest"]["origins"] >= 4


def test_a_spreadsheet_has_a_row_a_tenant_and_factor(example):
    found = list(csv.DictReader(io.StringIO(_forecast.csv(example, View()))))
    assert len(found) == sum(g.tenants.height for g in example.growth)


@given(name=hostile)
@settings(max_examples=10)
def test_names_from_a_log_cannot_act(example, name):
    tenants = example.tenants.with_columns(tenant=pl.lit(name.encode("utf-8", "replace").decode()))
    for render in (_forecast.terminal, _forecast.markdown):
        shown = render(replace(example, tenants=tenants), View())
        assert not {c for c in shown if unicodedata.category(c) in ACTING} - {"\n"}


# The command


@pytest.mark.parametrize(
    "flags",
    [["--growth", "lots"], ["--growth", "0x"], ["--target", "cheap"], ["--growth-by", "users"], ["--format", "pdf"]],
)
def test_wrong_flags_say_what_would_be_right(flags, capsys, tmp_path):
    (tmp_path / "log.jsonl").write_text("{}\n")
    with pytest.raises(SystemExit) as stopped:
        main(["forecast", str(tmp_path), *flags])
    assert stopped.value.code == 2
    assert "hint: " in capsys.readouterr().err


def test_fewer_weeks_than_were_asked_for_are_told(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["forecast", str(SAMPLES / "claude-code.jsonl"), "--weeks", "30", "--format", "json"])
    assert stopped.value.code == 0
    found = capsys.readouterr()
    told = len(json.loads(found.out)["ahead"]) - 1
    assert f"{told} weeks ahead, not 30: no more than the log has\n" in found.err
