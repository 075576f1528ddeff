"""The committed file of a baseline: it reads back as what it came from, and whatever is wrong with it is told."""

from __future__ import annotations

import json
import random
from datetime import date

import pytest
from gates import OCTOBER, draw, of_log
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from priced import call, later, side

from costaudit.compare import baseline as files
from costaudit.compare.gate import check
from costaudit.config import Gate as Limits
from costaudit.errors import CostAuditError
from costaudit.report import View, _check


def a_log(seed: int) -> list[dict[str, object]]:
    source = random.Random(seed)
    return [
        call(
            task=("triage", "answer")[i % 2],
            instance_id=f"private words {i % 20}" if i % 2 else None,
            run_id=f"r{i}",
            model=source.choice(["large", "small", "unheard-of"] if i == 4 else ["large", "small"]),
            input_tokens=source.randint(100, 5_000),
            output_tokens=source.randint(0, 400),
            block_sha=[11, 100 + i],
            block_tokens=[50, 20],
            tools_sha=9,
            started_at=later(i),
        )
        for i in range(60)
    ]


def loaded(path):
    return files.loads(path.read_bytes(), str(path))


def test_a_baseline_file_reads_back_as_the_side_it_came_from(tmp_path):
    whole = of_log(a_log(1), name="main")
    path = tmp_path / "costaudit-baseline.json"
    path.write_text(files.dumps(whole))
    assert files.is_baseline(path.read_bytes())
    back = loaded(path)
    assert back.units.equals(whole.units)
    assert back.mix.classes.equals(whole.mix.classes)
    assert back.openings == whole.openings
    head = of_log(a_log(2), name="head")
    assert check(head, back, Limits()) == check(head, whole, Limits())
    assert files.dumps(back) == files.dumps(whole)


def test_a_baseline_file_has_the_same_bytes_again_and_holds_no_words_of_the_log():
    rows = a_log(1)
    text = files.dumps(of_log(rows))
    assert text == files.dumps(of_log(list(rows)))
    assert "private words" not in text
    assert text.isascii()
    assert json.loads(text)["schema"] == "costaudit.baseline/1"


def test_a_large_baseline_keeps_a_sample_that_does_not_depend_on_cost():
    units = side({"t": draw(random.Random(1), 5_000)})
    kept = json.loads(files.dumps(units))["tasks"]["t"]["units"]
    assert (kept["of"], len(kept["usd"])) == (5_000, 2_000)
    mean = sum(map(float, kept["usd"])) / 2_000
    assert mean == pytest.approx(float(units.units["usd"].mean()), rel=0.1)


def test_a_price_corrected_after_the_baseline_was_saved_is_noted_and_a_new_model_is_not():
    base = of_log([call(run_id=f"r{i}") for i in range(6)], on=OCTOBER)
    corrected = replace(base, rates=base.rates | {"acme:large": "0" * 16})
    head = of_log([call(run_id=f"r{i}", model="small" if i else "large") for i in range(6)], on=OCTOBER)
    assert check(head, base, Limits()).notes == ()
    assert "prices of acme:large were corrected" in check(head, corrected, Limits()).notes[0]
    cut = [of_log([call(model="falling")], on=date(2026, month, 5)).rates for month in (8, 9, 10)]
    assert cut[0] == cut[1] != cut[2]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"schema": "costaudit.baseline/1"}',
        '{"schema": "costaudit.baseline/9", "tasks": {}}',
        "[" * 100_000,
        "\x00\xff",
    ],
    ids=["empty", "cut", "list", "bare", "future", "deep", "binary"],
)
def test_what_is_no_baseline_is_said_to_be_none(tmp_path, text):
    path = tmp_path / "b.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(CostAuditError) as raised:
        loaded(path)
    assert raised.value.exit_code == 3
    assert "baseline" in raised.value.hint


@pytest.mark.parametrize(
    "damage", [('"runs": [1', '"runs": [0'), ('"usd": ["', '"usd": ["-'), ('"case": [', '"case": [null, ')]
)
def test_a_damaged_baseline_is_refused(tmp_path, damage):
    path = tmp_path / "b.json"
    text = files.dumps(of_log(a_log(1)))
    assert damage[0] in text
    path.write_text(text.replace(*damage, 1))
    with pytest.raises(CostAuditError):
        loaded(path)


def _places(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inside for place in _places(item, (*path, key)))]


WHOLE = json.loads(files.dumps(of_log(a_log(1)[:8], name="main")))
HOSTILE = [None, -1, 1e308, 10**30, "1e30", "NaN", "9" * 400, "", [], {}, True, "0001-01-01", "zz", [None]]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(_places(WHOLE)[1:]), st.sampled_from(HOSTILE))
def test_a_baseline_with_any_value_replaced_is_read_or_refused(tmp_path_factory, place, value):
    broken = json.loads(json.dumps(WHOLE))
    inner = broken
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    path = tmp_path_factory.getbasetemp() / "broken.json"
    path.write_text(json.dumps(broken))
    try:
        base = loaded(path)
    except CostAuditError:
        return
    found = check(of_log(a_log(2)[:8], name="head"), base, Limits(min_units=2))
    for render in _check.RENDERERS.values():
        assert render(found, View())
