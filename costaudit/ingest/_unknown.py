"""Files and records that no format knows: what they are as far as their beginning tells, and what to do with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

NAMED = 12  # keys of a record that are named
LONGEST = 40  # characters of a name

KINDS: tuple[tuple[re.Pattern[bytes], str], ...] = tuple(
    (re.compile(pattern, re.DOTALL), said)
    for pattern, said in (
        (rb"PK\x03\x04.{0,4000}?xl/", "an Excel workbook, not a log: save the sheet with the calls as CSV"),
        (rb"PK[\x03\x05]", "a zip archive, which is not opened: unpack it and give the folder"),
        (rb".{257}ustar", "a tar archive, which is not opened: unpack it and give the folder"),
        (rb"7z\xbc\xaf\x27\x1c|Rar!|\x04\x22\x4d\x18", "an archive that is not opened: unpack it and give the folder"),
        (rb"%PDF-", "a PDF, not a log: `costaudit reconcile` takes invoices as CSV"),
        (rb"Obj\x01|ARROW1|ORC", "a table in a form that is not read: export it as Parquet, CSV or JSON lines"),
        (rb"(?i:\s*<(?:!doctype html|html))", "a page of HTML, not a log; perhaps a download that asked for a login"),
        (rb"\s*# aider chat started at",
         "the chat history of Aider, whose counts are rounded: `aider --analytics-log FILE` writes a log with them"),
        # Field 1 of length n, in it field 1: what every OTLP export begins with.
        (rb"\n(?:[\x00-\x7f]|[\x80-\xff]{1,4}[\x00-\x7f])\n.{0,4000}?(?:service\.name|telemetry\.sdk|gen_ai\.)",
         "OpenTelemetry data as protobuf, not a log: let the collector's file exporter write `format: json`"),
        (rb".*?(?:Avg prompt throughput|text_generation_router|srv +log_server_r)",
         "the text log of an inference server, which does not count tokens by call: log its answers as JSON lines"),
    )
)  # fmt: skip
"""What the first bytes of a file that is no log are like -> what it is and what to do."""


def kind(head: bytes) -> str:
    """What a file is that is no log; "" where that cannot be told."""
    return next((said for pattern, said in KINDS if pattern.match(head[:8_192])), "")


_INPUT = {"in", "input", "prompt", "sent"}
_OUTPUT = {"out", "output", "completion", "generated", "response", "answer", "received"}
_CACHED = {"cache", "cached", "hit"}
_TOKENS = {"tok", "toks", "token", "tokens", "ntokens", "tokencount"}
_SHORT = {"tin": "input_tokens", "tout": "output_tokens"}
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def _tokens(words: set[str]) -> str | None:
    if words.isdisjoint(_TOKENS):
        return next((_SHORT[word] for word in words if word in _SHORT), None)
    if not words.isdisjoint(_CACHED):
        return None if words & {"write", "creation", "written"} else "cache_read_tokens"
    if "reasoning" in words or "thinking" in words:
        return "reasoning_tokens"
    if words & _INPUT and not words & _OUTPUT:
        return "input_tokens"
    return "output_tokens" if words & _OUTPUT and not words & _INPUT else None


def _about(*names: str) -> Callable[[set[str]], bool]:
    return lambda words: not words.isdisjoint(names)


_SAID: tuple[tuple[str, type | tuple[type, ...], Callable[[set[str]], bool]], ...] = (
    ("model", str, _about("model", "llm", "engine", "deployment")),
    ("started_at", (str, int, float), _about("time", "timestamp", "ts", "date", "datetime", "when", "created")),
    ("cost_logged_usd", (str, int, float), _about("cost", "usd", "price")),
    ("tenant", str, _about("tenant", "customer", "account", "org")),
    ("user", str, _about("user", "who", "email")),
    ("run_id", str, _about("session", "conversation", "trace", "run", "thread")),
    ("task", str, _about("task", "feature", "endpoint", "route", "workflow")),
)


def mapping(record: Mapping[str, Any]) -> dict[str, str]:
    """Columns of the request table that names in a record seem to stand for: column -> name; {} if it is no call.

    A call has a model and counts of tokens.
    """
    found: dict[str, str] = {}
    for name, value in _flat(record):
        words = {word.lower() for word in _WORDS.findall(name.rpartition(".")[2])}
        column = _tokens(words) if _counts(value) else None
        if column is None:
            column = next((c for c, kind, fits in _SAID if isinstance(value, kind) and fits(words)), None)
        if column is not None:
            found.setdefault(column, name)
    return found if "model" in found and not found.keys().isdisjoint(("input_tokens", "output_tokens")) else {}


def _counts(value: Any) -> bool:
    """Whether a value can be a count: a number, or one written as text in a table."""
    return (type(value) in (int, float) and value >= 0) or (isinstance(value, str) and value.strip().isdecimal())


def _flat(record: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The values of a record and of the objects in it, by their dotted names; a table's empty cells are left out."""
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}.{inner}", deeper) for inner, deeper in value.items())
        elif value is not None:
            yield name, value


class Strangers(msgspec.Struct):
    """The records of a file that no format knows, of which the first is remembered."""

    first: Mapping[str, Any] | None = None

    def refused(self, data: object, value: Mapping[str, Any]) -> str | None:
        """Why a record is a reject; None where it cannot have cost money."""
        keys = f" ({_keys(value)})" if self.first is None else ""
        self.first = self.first or value
        text = data if isinstance(data, bytes) else str(value.keys()).encode()
        return f"no format recognises this record{keys}" if b"usage" in text or b"token" in text else None

    def notes(self, shown: str) -> list[str]:
        """How to have a file of such records read; nothing where they do not look like calls."""
        found = mapping(self.first or {})
        named = ", ".join(f"{column}: {name}" for column, name in found.items() if column != name)
        if not named or not all(re.fullmatch(r"[\w.-]{1,40}", name) for name in found.values()):
            return []
        how = f"in costaudit.yaml, `columns: {{{named}}}` has them read"
        return [f"{shown}: looks like calls in names of its own; {how}"]


def _keys(record: Mapping[str, Any]) -> str:
    """The first keys of a record."""
    names = [str(key)[:LONGEST] for key in record]
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
