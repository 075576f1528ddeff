"""Parts of a rule that are worked on two at a time are told in their order, whichever is done first."""

from __future__ import annotations

from threading import Event

import pytest

from costaudit.analyze._beside import AT_ONCE, LARGE, beside

LONG = 60  # s; only a test that fails waits for so long


def small(_):
    return 1


def test_what_is_done_first_is_not_told_first():
    second = Event()

    def said(n):
        if n == 0:
            assert second.wait(LONG)  # the first part ends after the second
        if n == 1:
            second.set()
        return n

    assert list(beside(said, range(7), small)) == list(range(7))


def test_an_error_is_raised_in_its_turn_and_what_was_begun_is_waited_for():
    done = []

    def said(n):
        if n == 1:
            raise ValueError("the second")
        done.append(n)
        return n

    told = beside(said, range(9), small)
    assert next(told) == 0
    with pytest.raises(ValueError, match="the second"):
        next(told)
    assert 0 in done
    assert max(done) <= 1 + AT_ONCE


def test_no_more_is_begun_than_can_be_held():
    begun = []

    def parts():
        for n in range(10):
            begun.append(n)
            yield n

    told = beside(lambda n: n, parts(), small)
    for n in range(10):
        assert next(told) == n
        assert len(begun) <= n + 1 + AT_ONCE
    assert list(told) == []


def test_nothing_is_said_of_no_parts():
    assert list(beside(str, [], small)) == []


def test_a_large_part_is_worked_on_alone():
    at_work = []

    def said(n):
        at_work.append(n)
        assert at_work == [n]
        at_work.remove(n)
        return n

    assert list(beside(said, range(5), lambda _: LARGE)) == list(range(5))
