"""Rules and parts of a rule that are worked on two at a time are told in their order, whichever is done first."""

from __future__ import annotations

from functools import partial
from threading import Event

import pytest

from costaudit.analyze._beside import AT_ONCE, LARGE, MEANWHILE, beside, meanwhile

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


def test_what_is_done_meanwhile_is_done_in_order_and_told_when_it_is_asked_for():
    done, asked = [], Event()

    def job(n):
        assert asked.wait(LONG)  # the caller goes on before the first job is done
        done.append(n)
        return n

    with meanwhile([partial(job, n) for n in range(5)], MEANWHILE.start) as others:
        asked.set()
        assert [other() for other in others] == list(range(5))
    assert done == list(range(5))


def test_an_error_of_a_job_is_raised_where_it_is_asked_for_and_the_next_is_told():
    def job(n):
        if n == 1:
            raise ValueError("the second")
        return n

    with meanwhile([partial(job, n) for n in range(3)], MEANWHILE.start) as others:
        assert next(others)() == 0
        with pytest.raises(ValueError, match="the second"):
            next(others)()
        assert next(others)() == 2


def test_who_fails_meanwhile_waits_for_the_job_at_work_and_begins_no_other():
    begun, failed = Event(), Event()
    done = []

    def job(n):
        begun.set()
        assert failed.wait(LONG)
        done.append(n)

    def fails():
        with meanwhile([partial(job, n) for n in range(3)], MEANWHILE.start):
            assert begun.wait(LONG)
            failed.set()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fails()
    left = list(done)
    assert left == list(range(len(left)))  # how far the thread came before it was told is a matter of the moment
    assert len(left) >= 1


@pytest.mark.parametrize("calls", [0, MEANWHILE.start - 1, MEANWHILE.stop])
def test_of_few_or_very_many_calls_each_job_waits_until_it_is_asked_for(calls):
    done = []
    with meanwhile([partial(done.append, n) for n in range(2)], calls) as others:
        assert done == []
        next(others)()
        assert done == [0]
