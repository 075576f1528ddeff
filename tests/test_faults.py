"""What happens to logs on their way: the range of the header always holds the true total, or says "no upper bound".

The truth is what the calls cost by plain arithmetic (`bench.events.usd`); nothing of it comes from the program.
"""

from __future__ import annotations

import json
import random
import tempfile
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path

import events
import pytest

from bench import writers
from bench.events import Turn, usd
from costaudit import pipeline
from costaudit.config import Settings
from costaudit.data import bundled
from costaudit.price.book import PriceBook

SETTINGS = pipeline.checked(Settings(cache=False))
FORMATS = [("openai", writers.openai_chat), ("openai", writers.openai_responses), ("openai", writers.generic_jsonl),
           ("anthropic", writers.anthropic_messages), ("anthropic", writers.litellm)]  # fmt: skip
USAGE = ("usage", "usage_object", "input_tokens", "output_tokens", "prompt_tokens", "completion_tokens", "total_tokens",
         "cache_read_tokens", "cache_write_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens",
         "reasoning_tokens")  # fmt: skip
CACHE = ("prompt_tokens_details", "input_tokens_details", "cache_read_input_tokens", "cache_creation_input_tokens",
         "cache_creation", "cache_read_tokens", "cache_write_tokens", "cache_write_5m_tokens",
         "cache_write_1h_tokens")  # fmt: skip
TIMES = ("created", "created_at", "started_at", "ended_at", "startTime", "endTime", "timestamp", "time", "sent_at")


@cache
def planted(vendor):
    """Forty calls of two tasks whose texts are as long as their counts say (` the` is one token of any vocabulary)."""
    drawn, made = random.Random(vendor), []
    for n in range(40):
        size, said = drawn.randrange(2_000, 4_000), drawn.randrange(100, 200)
        cached = size // 2 if n % 3 == 0 else 0
        written = size // 4 if n % 6 == 0 and vendor == "anthropic" else 0
        template = events.events(vendor)[0]
        made.append(replace(
            template, id=f"{n:08x}", at=template.at + timedelta(hours=n), task=("triage", "answers")[n % 2],
            model=events.MODELS[vendor][("large", "small")[n % 2]], turns=(Turn("user", " the" * size),), system="",
            answer=" the" * said, input=size, cached=cached, written=written, output=said,
        ))  # fmt: skip
    return made


@pytest.fixture(scope="module")
def book():
    return PriceBook.load(bundled("pricing"))


def changed(value, names, new):
    """The record with `new(name, value)` at every key of these names, however deep; what it returns as None is null."""
    if isinstance(value, dict):
        return {k: new(k, v) if k in names else changed(v, names, new) for k, v in value.items()}
    return [changed(v, names, new) for v in value] if isinstance(value, list) else value


def without(value, names):
    if isinstance(value, dict):
        return {k: without(v, names) for k, v in value.items() if k not in names}
    return [without(v, names) for v in value] if isinstance(value, list) else value


def zeros(_, value):
    """The same shape with every count nought."""
    if isinstance(value, dict):
        return {k: zeros(k, v) for k, v in value.items()}
    return 0 if isinstance(value, int) else value


def half(lines, drawn, hurt):
    """Every other line, on average, as `hurt` makes it of its record."""
    return [json.dumps(hurt(json.loads(line))).encode() if drawn.random() < 0.5 else line for line in lines]


def twice(lines, drawn):
    return lines + drawn.sample(lines, len(lines) // 2)


def shuffled(lines, drawn):
    return drawn.sample(lines, len(lines))


def cut(lines, drawn):
    first = drawn.randrange(12)
    return [line[: len(line) // 2] if n % 12 == first else line for n, line in enumerate(lines)]


def blank_usage(lines, drawn):
    return half(lines, drawn, lambda record: without(record, USAGE))


def null_usage(lines, drawn):
    return half(lines, drawn, lambda record: changed(record, USAGE, lambda *_: None))


def zero_usage(lines, drawn):
    return half(lines, drawn, lambda record: changed(record, USAGE, zeros))


def skewed(lines, drawn):
    """Clocks off by up to a day, and a zone that was not there."""
    del drawn

    def late(line, hours):
        record = json.loads(line)
        return changed(record, TIMES, lambda _, v: v + 3_600 * hours if isinstance(v, int) else v)

    made = (json.dumps(late(line, n % 24)) for n, line in enumerate(lines))
    return [text.replace("+00:00", "+05:00").encode() for text in made]


def renamed(lines, drawn):
    return half(lines, drawn, lambda record: changed(record, ("model",), lambda *_: "mystery-9"))


def closed_early(lines, drawn):
    """A stream that was closed before its last piece, which alone has the counts and says why the answer ended."""
    return half(lines, drawn, lambda record: without(record, (*USAGE, "finish_reason", "stop_reason", "status")))


def no_cache_counts(lines, drawn):
    del drawn
    return [json.dumps(without(json.loads(line), CACHE)).encode() for line in lines]


def some_cache_counts(lines, drawn):
    return half(lines, drawn, lambda record: without(record, CACHE))


LOSSLESS = (twice, shuffled, skewed)
LOSSY = (cut, blank_usage, null_usage, zero_usage, renamed, closed_early, some_cache_counts, no_cache_counts)
# Claude caches only where it is asked to: a log that never states cache counts is one of calls that did not ask.
SILENT = {(writers.anthropic_messages, no_cache_counts), (writers.litellm, no_cache_counts),
          (writers.litellm, some_cache_counts)}  # fmt: skip


@cache
def lines_of(vendor, writer):
    ((name, data),) = writer(planted(vendor)).items()
    return name, data.splitlines()


def loaded(vendor, writer, fault, book, parts=1):
    """The log as the fault leaves it, in one file or several, read and priced."""
    name, lines = lines_of(vendor, writer)
    lines = fault(lines, random.Random(1))
    with tempfile.TemporaryDirectory() as folder:
        for n in range(parts):
            (Path(folder) / f"{n}-{name}").write_bytes(b"\n".join(lines[n::parts]) + b"\n")
        known = pipeline.load([folder], SETTINGS, book=book)
    assert known.coverage.fates.balanced
    assert known.coverage.fates.lines >= len(lines)
    assert sum(known.coverage.calls.values()) == known.coverage.fates.requests
    return known


def truth(vendor):
    return sum((usd(e) for e in planted(vendor)), Decimal(0))


def total(known):
    return sum(known.calls["cost_usd"].drop_nulls(), Decimal(0))


CASES = [pytest.param(vendor, writer, id=f"{vendor}-{writer.__name__}") for vendor, writer in FORMATS]


@pytest.mark.parametrize("fault", LOSSLESS, ids=lambda f: f.__name__)
@pytest.mark.parametrize(("vendor", "writer"), CASES)
def test_what_loses_nothing_changes_nothing_to_the_last_digit(vendor, writer, fault, book):
    known = loaded(vendor, writer, fault, book, parts=3)
    assert total(known) == known.coverage.low_usd == known.coverage.high_usd == truth(vendor)
    assert known.coverage.calls["exact"] == len(planted(vendor))


@pytest.mark.parametrize(
    ("vendor", "writer", "fault"),
    [
        pytest.param(vendor, writer, fault, id=f"{vendor}-{writer.__name__}-{fault.__name__}")
        for vendor, writer in FORMATS
        for fault in LOSSY
        if (writer, fault) not in SILENT
    ],
)
def test_the_range_holds_the_truth_whatever_is_lost(vendor, writer, fault, book):
    told = loaded(vendor, writer, fault, book).coverage
    assert told.low_usd <= truth(vendor)
    assert told.high_usd is None or truth(vendor) <= told.high_usd
    if fault is not no_cache_counts:  # a log that never states them is as its writer made it, with a lower end
        assert told.calls["exact"] < len(planted(vendor)), "what is lost is not called exact"
