"""What a figure rests on: a run step by step, a request line by line, two prompts and where they part."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from ledgers import at, ledger
from msgspec.structs import replace
from pages import body, read
from program import run as run
from test_hostile_text import hostile

from costaudit.analyze import chosen
from costaudit.analyze._prompts import parting
from costaudit.analyze._timeline import timeline
from costaudit.audit import Window
from costaudit.config import Settings
from costaudit.errors import UsageError
from costaudit.ingest._original import difference
from costaudit.prompts import Difference
from costaudit.report import View, _timeline, _timeline_html
from costaudit.report._original import kind

RULES = chosen(Settings())
WINDOW = Window(datetime(2026, 10, 5, tzinfo=UTC), datetime(2026, 10, 6, tzinfo=UTC), "UTC")
NEW = {"run_id": "run-1", "task": "dig", "tool_name": "read", "finish_reason": "tool_calls"}
STEPS = [NEW | {"step": n, "tool_args_sha": min(n, 4), "tool_result_sha": min(n, 4)} for n in range(1, 9)]


def test_a_stuck_run_shows_where_it_stopped_and_what_it_spent_after():
    # Steps 1 to 4 are new; 5 to 8 repeat step 4: four calls of 15 thousandths.
    found = timeline(ledger(STEPS), "run", RULES, WINDOW)
    assert (found.stop_step, found.waste_usd, found.spent_after_usd) == (4, Decimal("0.06"), Decimal("0.06"))
    assert found.steps["mark"].to_list() == [""] * 4 + ["repeats"] * 4
    assert found.steps["running_usd"].to_list()[-1] == found.total_usd == Decimal("0.12")


def test_steps_left_out_are_counted_and_the_stop_point_is_always_shown():
    many = [NEW | {"step": n, "tool_args_sha": min(n, 50), "tool_result_sha": min(n, 50)} for n in range(1, 200)]
    found = timeline(ledger(many), "run-1", RULES, WINDOW)
    text = _timeline.terminal(found, View(width=80))
    shown = [n for n in _timeline.shown(found, every=False) if n is not None]
    assert {0, 49, 198} <= set(shown)
    assert f"{199 - len(shown)} steps left out" in text
    assert all(len(line) <= 80 for line in text.splitlines())
    assert len(_timeline.shown(found, every=True)) == 199


def test_the_page_of_a_run_draws_every_step_and_says_where_it_stopped(golden):
    found = timeline(ledger(STEPS), "run", RULES, WINDOW)
    page = _timeline_html.html(found)
    assert read(page).harmless
    golden("show/run-html.txt", body(page))


@settings(max_examples=15)
@given(text=hostile)
def test_the_page_of_a_run_shows_names_of_a_log_as_text(text):
    name = text.encode("utf-8", "replace").decode()
    steps = [{**step, "tool_name": name, "task": name, "model": "claude-opus-4-6"} for step in STEPS]
    found = replace(timeline(ledger(steps), "run", RULES, WINDOW), run_id=text, tenant=text, advice=text)
    assert read(_timeline_html.html(found)).harmless


def test_a_run_of_one_call_has_no_chart():
    found = timeline(ledger(STEPS[:1]), "run", RULES, WINDOW)
    assert "<figure>" not in _timeline_html.html(found)


@pytest.mark.parametrize(("wanted", "says"), [("", "no run"), ("nobody", "no run"), ("r", "2 runs begin")])
def test_a_run_that_is_not_there_or_not_the_only_one_is_named(wanted, says):
    with pytest.raises(UsageError, match=says) as error:
        timeline(ledger([{"run_id": "r1"}, {"run_id": "r2"}]), wanted, RULES, WINDOW)
    assert "r1" in error.value.hint


@pytest.mark.parametrize(
    ("chains", "block", "calls"),
    [
        ([[1, 2], [1, 3], [1, 4]], 2, 2),
        ([[1], [2], [3]], 1, 2),
        ([[1], [1, 2], [1, 2, 3]], None, 0),  # each continues the one before
        ([[]], None, 0),
    ],
)
def test_prompts_part_at_the_first_block_that_most_neighbours_differ_in(chains, block, calls):
    rows = [
        {"block_sha": c, "block_tokens": [10] * len(c), "template_sha": 7, "started_at": at(n)}
        for n, c in enumerate(chains)
    ]
    found = parting(ledger(rows).calls)
    assert (found and (found.block, found.calls)) == (block and (block, calls))
    if found:
        assert found.tokens_behind == 10 * (found.blocks - found.block + 1)


def prompt(system, *tools):
    return {
        "id": "x1",
        "request": {"messages": [{"role": "system", "content": system}], "tools": [{"name": t} for t in tools]},
    }


@pytest.mark.parametrize(
    ("one", "other", "place", "character", "what"),
    [
        (
            prompt("at 10:01:07, hello"),
            prompt("at 10:02:07, hello"),
            "request.messages[0].content",
            8,
            "a time changes",
        ),
        (prompt("case 17."), prompt("case 18."), "request.messages[0].content", 7, "a number changes"),
        (prompt("hello you"), prompt("hello there"), "request.messages[0].content", 7, "the text differs"),
        (
            prompt("same", "a", "b"),
            prompt("same", "b", "a"),
            "request.tools[0].name",
            1,
            "the tools differ, or their order",
        ),
    ],
)
def test_the_first_differing_character_is_found_and_named(one, other, place, character, what):
    found = difference(one, other | {"id": "another id is no prompt"})
    assert found is not None
    assert (found.place, found.character, kind(found)) == (place, character, what)


def test_equal_prompts_and_records_without_any_have_no_difference():
    assert difference(prompt("a"), prompt("a") | {"id": "y"}) is None
    assert difference({"usage": {"input_tokens": 1}}, {"usage": {"input_tokens": 2}}) is None
    assert kind(Difference("m", 1, "", "new")) == "the text differs"


def chat(number, system):
    return json.dumps(
        {
            "request": {"model": "gpt-4o", "messages": [{"role": "system", "content": system}]},
            "response": {
                "id": f"chatcmpl-{number}",
                "object": "chat.completion",
                "created": 1_790_000_000 + number,
                "model": "gpt-4o",
                "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "ok"}}],
                "usage": {"prompt_tokens": 1_000, "completion_tokens": 100, "total_tokens": 1_100},
            },
            "run_id": "run-a",
        }
    )


def test_text_is_shown_only_when_asked_for_and_cannot_act_on_the_terminal(run, tmp_path):
    (tmp_path / "a.jsonl").write_text("\n".join(chat(n, f"secret \x1b[31m word {n}") for n in range(3)))
    plain = run("show", "request", "chatcmpl-1", "a.jsonl")
    assert plain.code == 0
    assert "bill: $0.0035" in plain.out  # 1,000 × $2.50 and 100 × $10 a million
    assert "secret" not in plain.out
    asked = run("show", "request", "chatcmpl-1", "a.jsonl", "--text")
    assert "secret" in asked.out
    assert "\x1b" not in asked.out
    (told,) = json.loads(run("show", "request", "chatcmpl-1", "a.jsonl", "--format", "json").out)["requests"]
    assert {line["class"]: line["usd"] for line in told["bill"]} == {"input": "0.0025", "output": "0.001"}
    assert sum(Decimal(line["usd"]) for line in told["bill"]) == Decimal(told["cost_usd"])
    (tmp_path / "b.jsonl").write_text((tmp_path / "a.jsonl").read_text())
    assert run("show", "run", "run-", "b.jsonl").code == 0
    steps = json.loads(run("show", "run", "run-a", "b.jsonl", "--format", "json").out)
    assert sum(Decimal(s["cost_usd"]) for s in steps["steps"]) == Decimal(steps["total_usd"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["request", "a.jsonl"], "which request"),
        (["request", "nobody", "a.jsonl"], "no request 'nobody'"),
        (["request", "chatcmpl", "a.jsonl"], "3 requests begin with"),
        (["run", "nobody", "a.jsonl"], "no run 'nobody'"),
    ],
)
def test_what_cannot_be_shown_is_said_with_exit_code_2(run, tmp_path, arguments, says):
    (tmp_path / "a.jsonl").write_text("\n".join(chat(n, "s") for n in range(3)))
    ran = run("show", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err
