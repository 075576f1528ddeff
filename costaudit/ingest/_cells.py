"""Values of the request table that are more than a number or a name: usage classes, tools, hashes, the status."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from costaudit.ingest._decode import unfolded
from costaudit.ingest._messages import args_sha, sha
from costaudit.ingest._results import result_sha
from costaudit.ingest._values import shown, text
from costaudit.price.classes import CLASSES

QUANTUM = Decimal("1e-9")
MOST = Decimal(10) ** 18  # of anything billed by one call
STATUS = {
    "ok": "ok", "success": "ok", "succeeded": "ok", "successful": "ok", "completed": "ok",
    "complete": "ok",
    "error": "error", "failure": "error", "failed": "error", "fail": "error", "errored": "error", "expired": "error",
    "timeout": "error", "cancelled": "cancelled", "canceled": "cancelled", "aborted": "cancelled",
}  # fmt: skip


def status(value: Any) -> str | None:
    """`ok`, `error` or `cancelled` from a log's own word or an HTTP status; other words are absent."""
    word = (text(value) or "").strip().lower()
    if word.isdigit() and len(word) == 3:
        return "ok" if int(word) < 400 else "error"
    return STATUS.get(word)


def extras(value: Any) -> list[dict[str, Any]] | None:
    """Quantities by usage class, from {class: quantity} or [{class, quantity}], also as JSON text.

    Raises ValueError for a class that nothing bills, or what is no quantity: both would be a wrong bill.
    """
    value = unfolded(value)
    if isinstance(value, Mapping):
        pairs = list(value.items())
    elif isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
        pairs = [(item.get("class"), item.get("quantity")) for item in value]
    else:
        raise ValueError(f"not a list of usage classes ({shown(value)})")
    found: dict[str, Decimal] = {}
    for name, amount in pairs:
        if name not in CLASSES:
            raise ValueError(f"not a usage class ({shown(name)})")
        if amount is not None:
            found[name] = found.get(name, Decimal(0)) + _quantity(amount)
    return [{"class": name, "quantity": found[name]} for name in sorted(found) if found[name]] or None


def _quantity(value: Any) -> Decimal:
    try:
        amount = Decimal(str(value).strip())
    except InvalidOperation:
        raise ValueError(f"not a quantity ({shown(value)})") from None
    if isinstance(value, bool) or not amount.is_finite() or not 0 <= amount < MOST:
        raise ValueError(f"not a quantity ({shown(value)})")
    return amount.quantize(QUANTUM)


def fingerprint(value: Any) -> int | None:
    """A hash: a whole number of 64 bits as it is, anything else hashed once more."""
    if value is None or value == "":
        return None
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if type(value) is int and 0 <= value < 1 << 64:
        return value
    return sha(text(value) or str(value))


def each(read: Callable[[Any], Any]) -> Callable[[Any], list[Any] | None]:
    """A reader of lists, also written as JSON text; a value that is no list is absent."""

    def one(value: Any) -> list[Any] | None:
        value = unfolded(value)
        found = [read(item) for item in value] if isinstance(value, Iterable) and not _single(value) else []
        return [item for item in found if item is not None] or None

    return one


def tool_call(value: Any) -> dict[str, Any] | None:
    """A called tool: {id, name, args_sha}, or its arguments in place of their hash."""
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, Mapping):
        return None
    given: Any = next((value[key] for key in ("args", "arguments", "input") if value.get(key) is not None), {})
    known = fingerprint(value.get("args_sha"))
    return {
        "id": _tool_id(value.get("id")),
        "name": (text(value.get("name")) or "")[:200],
        "args_sha": args_sha(given) if known is None else known,
    }


def tool_result(value: Any) -> dict[str, Any] | None:
    """The result of a tool: {id, sha, error}, or its text in place of the hash."""
    if not isinstance(value, Mapping):
        return None
    known = fingerprint(value.get("sha"))
    if known is None:
        body = next((value[key] for key in ("result", "content", "output") if value.get(key) is not None), None)
        known = body_sha(body)
    return {"id": _tool_id(value.get("id")), "sha": known, "error": bool(value.get("error"))}


def tool(value: Any) -> dict[str, Any] | None:
    """A declared tool: its name, or {name, sha, tokens}."""
    if isinstance(value, str):
        return {"name": value[:200], "sha": sha(value), "tokens": None}
    if not isinstance(value, Mapping):
        return None
    tokens = value.get("tokens")
    return {
        "name": (text(value.get("name")) or "")[:200],
        "sha": fingerprint(value.get("sha")),
        "tokens": tokens if type(tokens) is int and 0 <= tokens < 1 << 40 else None,
    }


def body_sha(value: Any) -> int | None:
    """Hash of a tool's result, text or JSON, with clock times, uuids and durations masked."""
    if value is None or value == "":
        return None
    return result_sha(value if isinstance(value, str) else str(sha(str(args_sha(value)))))


def _tool_id(value: Any) -> int | None:
    if value is None or value == "":
        return None
    return value if type(value) is int and 0 <= value < 1 << 64 else sha("tool", text(value))


def _single(value: Any) -> bool:
    return isinstance(value, (str, bytes, Mapping))
