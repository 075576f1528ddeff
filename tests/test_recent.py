"""What is remembered is bounded in bytes, and never changes an answer."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from costaudit.ingest._recent import ENTRY, Recent, remembered


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 60))), st.integers(0, 100))
@settings(max_examples=50, deadline=None)
def test_what_is_held_stays_below_the_bound_and_is_what_was_put(steps, most):
    recent = Recent(most)
    said, weights = {}, {}
    for n, (key, weight) in enumerate(steps):
        recent.put(key, (key, n), weight)
        if weight <= most // 2:
            said[key], weights[key] = (key, n), weight
        assert recent.get(key) in (None, said.get(key))
        assert sum(weights[key] for key in recent.younger) <= most // 2
        assert len(recent.younger) <= len(recent.younger | recent.older) <= len(said)


def test_a_question_asked_again_is_answered_from_memory_until_others_have_filled_it():
    asked = []

    @remembered(4 * (ENTRY + 10))
    def shout(text):
        asked.append(text)
        return text.upper() or None

    said = [shout("a" * 10) for _ in range(3)]
    assert said == ["A" * 10] * 3
    assert asked == ["a" * 10]
    for text in "bcdefga":
        assert shout(text * 10) == text.upper() * 10
    assert asked.count("a" * 10) == 2
    assert shout("x" * 5_000) == shout("x" * 5_000) == "X" * 5_000
    assert asked.count("x" * 5_000) == 2  # larger than all that may be held
