"""Answers of processes wait in so many bytes."""

from __future__ import annotations

from queue import Empty, Full
from threading import Thread

import pytest

from costaudit.ingest._processes import Answer, Answered


def test_no_answer_is_put_where_as_many_bytes_wait_as_may():
    queue = Answered(10)
    queue.put_nowait(Answer(1, b"123456"))
    queue.put_nowait(Answer(2, b"123456"))  # the last one may be of any size, or it would never be put
    with pytest.raises(Full):
        queue.put_nowait(Answer(3, b""))
    assert queue.get_nowait().to == 1
    queue.put_nowait(Answer(3, None))
    assert [queue.get_nowait() for _ in range(2)] == [Answer(2, b"123456"), Answer(3, None)]
    with pytest.raises(Empty):
        queue.get_nowait()


def test_who_answers_waits_until_answers_are_taken():
    queue = Answered(1)
    threads = [Thread(target=queue.put, args=(Answer(n, b"an answer"),)) for n in range(20)]
    for thread in threads:
        thread.start()
    assert sorted(queue.get().to for _ in threads) == list(range(20))
    for thread in threads:
        thread.join()
    assert queue.empty()
