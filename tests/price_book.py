"""A small price book with every dimension, and a way to ask it: figures one can multiply by hand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from costaudit.price.book import PriceBook
from costaudit.price.overrides import parse_override
from costaudit.price.quote import Answer, Question, quote

NAMES = """
as_of: 2026-11-01
providers:
  acme: [acme-cloud, acme ai]
  plan: []
  other: []
"""

ACME = """
provider: acme
sources:
  page: {title: The price page, read_on: 2026-11-01}
schedules:
  office:
    utc: [["01:00", "04:00"], ["06:00", "10:00"]]
    weekdays: [1, 2, 3, 4, 5]
    offset_hours: 8
    holidays: [2026-10-01]
  night:
    utc: [["16:30", "00:30"]]
fees:
- {source: page, rates: {web_search: 10}}
models:
  plain:
    aliases: [plain-documented]
    prices:
    - {source: page, rates: {input: 2, cache_read: 0.2, output: 8}}
  dated:
    prices:
    - {source: page, rates: {input: 10, output: 40}}
    - {since: 2026-06-10, source: page, rates: {input: 2, output: 8}}
    - {since: "2026-08-16T16:00:00Z", source: page, rates: {input: 3, output: 9}}
    - {since: 2027-01-01, source: page, rates: {input: 4, output: 12}}
  ended:
    prices:
    - {since: 2026-01-01, until: 2026-02-01, source: page, rates: {input: 1, output: 1}}
  caching:
    prices:
    - {source: page, rates: {input: 4, cache_read: 0.2, cache_write_5m: 5, cache_write_1h: 8, output: 20}}
  halfhour:
    prices:
    - {source: page, rates: {input: 2, cache_read: 0.2, cache_write_30m: 2.5, cache_write_12h: 5, output: 10}}
  long:
    prices:
    - source: page
      rates: {input: 1, cache_read: 0.1, output: 5}
      over: [{above: 100000, rates: {input: 5, cache_read: 0.5, output: 25}}]
      tiers:
        batch: {rates: {input: 0.5, output: 2.5}, over: [{above: 100000, rates: {input: 2.5, output: 12.5}}]}
        priority: {rates: {input: 2, cache_read: 0.3, output: 10}}
        ultrafast: {rates: {input: 6}, over: [{above: 100000, rates: {input: 30, cache_read: 3}}]}
  ladder:
    prices:
    - source: page
      rates: {input: 1, output: 2}
      over: [{above: 32000, rates: {input: 2, output: 4}}, {above: 128000, rates: {input: 3, output: 6}}]
  hourly:
    prices:
    - source: page
      rates: {input: 1, cache_read: 0.1, output: 2}
      hours: {office: {rates: {input: 2, cache_read: 0.2, output: 4}}}
  nightly:
    prices:
    - {source: page, rates: {input: 1, output: 2}, hours: {night: {rates: {input: 0.5, output: 1}}}}
  residence:
    prices:
    - {source: page, rates: {input: 1, output: 2, web_search: 10}, uplift: {eu: 1.1, global: 1, "*": 1.2}}
  senses:
    prices:
    - source: page
      rates: {input: 4, cache_read: 0.4, input_audio: 32, cache_read_audio: 0.8, input_image: 5, output: 16,
              output_audio: 64, output_image: 30}
  thinker:
    prices:
    - {source: page, rates: {input: 2, output: 8, reasoning: 3, citation: 2}}
  searcher:
    prices:
    - source: page
      rates: {input: 3, output: 15}
      sizes: {low: {requests: 6}, medium: {requests: 10}, high: {requests: 14}}
  listener:
    prices:
    - {source: page, rates: {audio_seconds: 0.111}, least: {audio_seconds: 10}}
  speaker:
    prices:
    - {source: page, rates: {characters: 15}}
  reader:
    prices:
    - {source: page, rates: {pages: 2, annotated_pages: 3}}
  capacity:
    prices:
    - {source: page, rates: {provisioned_seconds: 0.0175}}
  gift:
    prices:
    - {source: page, status: free}
  dots-1.5:
    prices:
    - {source: page, rates: {input: 1, output: 1}}
  us/zoned:
    prices:
    - {source: page, rates: {input: 2.2, output: 11}}
  zoned:
    prices:
    - {source: page, rates: {input: 2, output: 10}}
  "ft:plain":
    prices:
    - {source: page, rates: {input: 3, cache_read: 1.5, output: 12}}
"""

PLAN = "provider: plan\nlist_of: acme\n"
OTHER = """
provider: other
sources:
  page: {title: Another page, read_on: 2026-11-01}
models:
  plain:
    prices:
    - {source: page, rates: {input: 1, output: 4}}
"""


def write(folder: Path, **files: str) -> Path:
    """The made-up book as a folder; other texts by file name without its ending."""
    for name, text in ({"_names": NAMES, "acme": ACME, "plan": PLAN, "other": OTHER} | files).items():
        (folder / f"{name}.yaml").write_text(text, "utf-8")
    return folder


def at(written: str) -> datetime:
    return datetime.fromisoformat(written).astimezone(UTC)


def ask(
    book: PriceBook,
    provider: str,
    model: str,
    usage: Mapping[str, float | str],
    *,
    when: str | None = None,
    override: Mapping[str, Any] | None = None,
    **context: str,
) -> Answer:
    """The answer for one call: disjoint usage classes, context as `prices quote` takes it."""
    question = Question(
        provider,
        model,
        at(when) if when else None,
        context,
        {name: Decimal(str(n)) for name, n in usage.items()},
        override=parse_override(override, "test") if override else None,
    )
    return quote([question], book)[0]
