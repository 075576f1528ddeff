"""Each of the 24 mistakes seen in other tools, by its number: the test here that fails when it is made again."""

from __future__ import annotations

import pytest
from console import ROOT

TESTS = ROOT / "tests"
# Homes planted for coding agents, each with its number (`bench/_agent_cases.py`).
PLANTED = "test_mistakes.py::test_a_planted_home_costs_what_was_spent_in_it"
WHERE = {
    1: ("Claude rows summed", PLANTED),
    2: ("the first streaming row kept", PLANTED),
    3: ("no key without requestId", PLANTED),
    4: ("a sidechain's replay counted again", PLANTED),
    5: ("advisor and compaction steps dropped", PLANTED),
    6: ("a null anywhere drops the row", PLANTED),
    7: ("blanks in JSON lose all", PLANTED),
    8: ("Codex re-emissions counted", PLANTED),
    9: ("the replay of a Codex fork counted", PLANTED),
    10: ("a Codex counter's reset lost or doubled", PLANTED),
    11: ("reasoning added to output", PLANTED),
    12: ("cached input counted twice", PLANTED),
    13: ("Gemini twins counted twice", PLANTED),
    14: ("rewound Gemini messages dropped", PLANTED),
    15: ("the last Gemini chunk trusted", "test_mistakes.py::test_mistake_15_the_last_chunk_of_a_stream_may_know_less"),
    16: ("cents read as dollars", "test_mistakes.py::test_mistake_16_a_report_of_cents_is_no_call_of_dollars"),
    17: ("ticks and seconds misread", "test_mistakes.py::test_mistake_17_ticks_and_seconds_are_told_by_their_size"),
    18: ("written input left in the input as well",
         "test_mistakes.py::test_mistake_18_written_input_is_not_read_again_at_the_input_rate"),
    19: ("long-context price on the part above the step only",
         "test_traps.py::test_the_right_cost_and_not_the_mistake[T06]"),
    20: ("rows of one message summed", "test_mistakes.py::test_mistake_20_the_rows_of_a_message_in_parts_are_one_call"),
    21: ("session counters taken as calls", PLANTED),
    22: ("batch at full price", "test_traps.py::test_the_right_cost_and_not_the_mistake[T15]"),
    23: ("an opaque profile free", "test_mistakes.py::test_mistake_23_an_opaque_profile_has_no_price_and_is_not_free"),
    24: ("groupings of one period added",
         "test_mistakes.py::test_mistake_24_usage_pages_of_different_groupings_are_no_calls"),
}  # fmt: skip


def test_the_list_is_complete():
    assert list(WHERE) == list(range(1, 25))


@pytest.mark.parametrize("number", WHERE)
def test_every_mistake_has_a_test_that_is_there(number):
    file, _, name = WHERE[number][1].partition("::")
    text = (TESTS / file).read_text(encoding="utf-8")
    function, _, case = name.rstrip("]").partition("[")
    assert f"\ndef {function}(" in text
    assert not case or f'case("{case}"' in text
