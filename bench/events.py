"""Calls that belong to no log format, and what they cost by plain arithmetic; `writers` puts them into log files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

TOOLS = {"search": "Find documents", "fetch": "Read one document", "job_status": "State of an export"}


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation: text, a tool call of the assistant, or the result of one."""

    role: str  # user, assistant, call, result
    text: str = ""
    id: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """One call as it happened; `input` holds `cached` and `written`, `output` holds `reasoning` [tokens]."""

    id: str
    at: datetime
    seconds: Decimal
    provider: str
    model: str
    task: str
    tenant: str | None
    user: str | None
    system: str
    turns: tuple[Turn, ...]
    answer: str = ""
    call: Turn | None = None
    result: str | None = None  # what the tool called here gave back, in the next request of the run
    run: str | None = None
    step: int | None = None
    temperature: float | None = 0.7
    max_tokens: int = 4096
    input: int | None = None
    cached: int = 0
    written: int = 0
    life: str = "5m"  # of what is written
    output: int | None = None
    reasoning: int = 0
    first: str | None = None  # id of the call that this one retries
    http: int = 200
    error: str | None = None
    cut: bool = False  # the answer ended at its limit
    tier: str | None = None  # that served; the standard one is not written
    tools: tuple[tuple[str, str], ...] | None = None  # declared; None: TOOLS in a run, else nothing
    key: str | None = None
    instance: str | None = None
    effort: str | None = None
    success: bool | None = None  # known from elsewhere: no log format carries it
    copies: int = 0  # times a logger wrote the record again, as snapshots of a stream do

    @property
    def end(self) -> datetime:
        return self.at + timedelta(seconds=float(self.seconds))

    @property
    def finish(self) -> str | None:
        return None if self.error else "tool_calls" if self.call else "length" if self.cut else "stop"

    @property
    def declared(self) -> tuple[tuple[str, str], ...]:
        """Names and descriptions of the tools offered."""
        return tuple(TOOLS.items()) if self.tools is None and self.run else self.tools or ()


class Rates(NamedTuple):
    """List price of a model [USD per million tokens]; `batch` and `fast` are multiples of all of them."""

    input: str
    read: str
    output: str
    write_5m: str = "0"
    write_1h: str = "0"
    batch: str = "0.5"
    fast: str = "2"


RATES = {
    "gpt-5.4": Rates("2.5", "0.25", "15"),
    "gpt-5.4-mini": Rates("0.75", "0.075", "4.5"),
    "gpt-5.6-terra": Rates("2", "0.2", "12"),
    "claude-opus-4-6": Rates("5", "0.5", "25", "6.25", "10"),
    "claude-sonnet-4-6": Rates("3", "0.3", "15", "3.75", "6"),
    "claude-haiku-4-5": Rates("1", "0.1", "5", "1.25", "2"),
}
"""As the vendors' pages say, read 2026-11-23; written out here so that no truth comes from the program."""
EARLIER = {"gpt-5.6-terra": (datetime(2026, 7, 30, tzinfo=UTC), Rates("2.5", "0.25", "15"))}
"""Model -> first moment of the price above, and the price before."""
LONG = {"gpt-5.4": (272_000, Rates("5", "0.5", "22.5")), "gpt-5.6-terra": (272_000, Rates("4", "0.4", "18"))}
"""Model -> the prompt beyond which all tokens of a call cost more, and what they cost then."""
LARGE = {"openai": "gpt-5.4", "anthropic": "claude-sonnet-4-6"}
SMALL = {"openai": "gpt-5.4-mini", "anthropic": "claude-haiku-4-5"}
MILLION = 1_000_000


def usd(e: Event, model: str | None = None) -> Decimal:
    """The bill of a call, or what it would be on another model; nothing without usage or without a known price."""
    rates = RATES.get(model or e.model)
    since, before = EARLIER.get(model or e.model, (e.at, rates))
    rates = before if e.at < since else rates
    if e.input is None or e.output is None or rates is None:
        return Decimal(0)
    if e.model == model or model is None:
        beyond, longer = LONG.get(e.model, (0, rates))
        if beyond and e.input > beyond and e.tier is None:
            rates = longer
    write = Decimal(rates.write_1h if e.life == "1h" else rates.write_5m)
    if not write:
        write = Decimal(rates.input)
    fresh = e.input - e.cached - e.written
    whole = fresh * Decimal(rates.input) + e.cached * Decimal(rates.read) + e.written * write
    whole += e.output * Decimal(rates.output)
    return whole / MILLION * Decimal({"priority": rates.fast, "batch": rates.batch}.get(e.tier or "", "1"))
