"""Transactions and messages of LibreChat, as `mongoexport` writes its collections."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from costaudit.ingest._files import LogFile, Record
from costaudit.ingest._format import Format, Out
from costaudit.ingest._plain import COLUMNS, PlainReader, soft, when, written
from costaudit.ingest._values import count, flag, text, usd

CREDITS = 1_000_000  # to the dollar
APART = timedelta(seconds=60)  # most between the two halves of a call: the balance is tried up to ten times in between
STOPPED = "incomplete"  # the context of answers that the user stopped: LibreChat counts their text, and adds 15 %
AT_ONCE = 5_000  # rows that are held as dictionaries
LOW = 16  # hex digits of an ObjectId that are the process and its counter
PARTS = ("inputTokens", "writeTokens", "readTokens")


class Librechat(Format):
    """LibreChat's collections `transactions` and `messages`, exported with `mongoexport` (JSON lines, arrays or CSV).

    ## Where
    `mongoexport --db LibreChat --collection transactions`; `messages` only where there are no transactions.
    ## What it knows
    Tokens of each call with its cached input, model, user, tenant, conversation, and what it was for (`context`: an
    answer, a title, a memory, a summary, a subagent). A run is a conversation.
    ## Traps
    A call is two transactions, one for the prompt and one for the completion, without an id in common: joined are those
    whose ids were drawn one after the other, then those of one user, conversation, model, context and message in their
    order, at most a minute apart. Which completion goes to which of several prompts may be wrong then; sums are not. A
    half that is left over stands alone: what the other half was is unknown.
    Whether cached input stands inside `inputTokens` or beside it depends on version and provider: current versions
    write what is left without it, older ones the provider's input, and count it twice in `rawAmount`. Counts decide
    (more was cached than the input has) by model and month; what they leave open is `undecided`.
    `metadata.usage` of a message is the sum of its calls, cached input beside the rest: it counts only where none of
    its transactions is there.
    ## Limits
    A message's `tokenCount` is that of one text and bills nothing. Counts of stopped answers (`incomplete`) are
    LibreChat's own and are estimates; older versions also counted texts where a provider named no usage, and left out
    the thinking of Gemini on Vertex AI: rows do not say so. `tokenValue` is LibreChat's price in millionths of a
    dollar, and is shown beside the computed cost where nothing was cached. Times are those of the end of the answer.
    Written to the shape of version 0.8; the sample is synthetic.
    """

    name = "librechat"
    title = "LibreChat transactions and messages"

    def recognises(self, record: Mapping[str, Any]) -> int:
        if "tokenType" in record:
            return 95 if "rawAmount" in record and ("tokenValue" in record or "conversationId" in record) else 0
        return 93 if {"isCreatedByUser", "messageId", "conversationId"} <= record.keys() else 0


class Half(NamedTuple):
    """A transaction: what was sent, or what was answered."""

    own: str
    at: datetime | None
    about: tuple[str | None, ...]  # user, conversation, model, context, message, tenant
    usage: Mapping[str, Any]
    value: Decimal | None  # in credits
    record: Record


@Librechat.read_by
class _Reader(PlainReader):
    def __init__(self, file: LogFile) -> None:
        super().__init__(file)
        self.prompts: dict[int | str, Half] = {}  # that wait for the other half, by the end of their id
        self.completions: dict[int | str, Half] = {}
        self.joined: set[int | str] = set()
        self.silent = 0  # answers without usage

    def feed(self, records: Sequence[Record], out: Out) -> None:
        super().feed(records, out)
        if len(self.rows) > AT_ONCE:  # a collection may have millions
            out.rows(self.rows, COLUMNS)
            self.rows = []

    def take(self, value: Mapping[str, Any], record: Record, out: Out) -> None:
        said = {name: _plain(cell) for name, cell in value.items()}
        kind = text(said.get("tokenType"))
        if kind in ("prompt", "completion"):
            self._half(said, record, out, prompt=kind == "prompt")
        elif kind is not None:
            out.skipped[f"transaction: {kind}"[:60]] += 1
        elif "messageId" not in said or "isCreatedByUser" not in said:
            out.foreign.append(record)
        elif flag(said["isCreatedByUser"]):
            out.skipped["message of a user"] += 1
        elif usage := written(written(said.get("metadata")).get("usage")):
            self._message(said, usage, record)
        else:
            self.silent += 1
            out.skipped["answer without usage"] += 1

    def _half(self, said: Mapping[str, Any], record: Record, out: Out, *, prompt: bool) -> None:
        """A transaction: joined with the one whose id was drawn before or after it, or kept until the end."""
        own = text(said.get("_id")) or f"{record.line} of {self.file.shown}"
        about = tuple(
            text(said.get(name)) for name in ("user", "conversationId", "model", "context", "messageId", "tenantId")
        )
        at = when(said.get("createdAt"))
        usage = _sent(said, _scope(about[2], at)) if prompt else _made(said)
        half = Half(own, at, about, usage, soft(usd, said.get("tokenValue")), record)
        place, beside = _drawn(own, 0), _drawn(own, 1 if prompt else -1)
        mine, theirs = (self.prompts, self.completions) if prompt else (self.completions, self.prompts)
        other = theirs.get(beside)
        if place in self.joined or place in mine:
            self._call(half if prompt else None, None if prompt else half, out, copy=True)
        elif other is not None and other.about == about:
            del theirs[beside]
            self.joined |= {place, beside}
            self._call(half if prompt else other, other if prompt else half, out)
        else:
            mine[place] = half

    def _message(self, said: Mapping[str, Any], usage: Mapping[str, Any], record: Record) -> None:
        own, talk, at = text(said.get("messageId")), text(said.get("conversationId")), when(said.get("createdAt"))
        model = text(said.get("model"))
        given, read, write, made = (
            _count(_plain(usage.get(name))) for name in ("input", "cacheRead", "cacheWrite", "output")
        )
        self.add(
            record,
            started_at=at,
            run_id=talk,
            task="chat",
            user=text(said.get("user")),
            tenant=text(said.get("tenantId")),
            model=model,
            status="error" if flag(said.get("error")) else None,
            finish_reason=text(said.get("finish_reason")),
            has_text=True,
            summed=True,
            # LibreChat takes out what was cached, whatever the provider counts.
            input_tokens=None if given is None else given + (read or 0) + (write or 0),
            cache_read_tokens=read,
            cache_write_tokens=write,
            output_tokens=made,
            cost_logged_usd=soft(usd, _plain(usage.get("cost"))),
            _key=f"librechat message {own}",
            _trace=talk,
            _span=f"message {own}",
        )

    def end(self, out: Out) -> None:
        for prompt, completion in _calls(list(self.prompts.values()), list(self.completions.values())):
            self._call(prompt, completion, out)
        if self.silent:
            answers = "1 answer names" if self.silent == 1 else f"{self.silent:,} answers name"
            out.notes.append(f"LibreChat: {answers} no usage and counts as no call: give its transactions")

    def _call(self, prompt: Half | None, completion: Half | None, out: Out, *, copy: bool = False) -> None:
        halves = [half for half in (prompt, completion) if half]
        first, whole = halves[0], len(halves) == 2
        user, talk, model, context, message, tenant = first.about
        usage: dict[str, Any] = {name: n for half in halves for name, n in half.usage.items()}
        value = sum(abs(half.value) if half.value is not None else Decimal("NaN") for half in halves)
        placed = message is not None and not copy  # a copy is no call of its message besides
        comparable = whole and context != STOPPED and "_reading" not in usage
        out.skipped["completion that is part of a call"] += whole
        self.add(
            first.record,
            started_at=first.at,
            run_id=talk,
            task="chat" if context in (None, "message", STOPPED, "abort") else context,
            user=user,
            tenant=tenant,
            model=model,
            status="cancelled" if context in (STOPPED, "abort") else None,
            usage_source="tokenizer" if context == STOPPED else None,
            cost_logged_usd=soft(usd, value / CREDITS) if comparable else None,
            _key=f"librechat {first.own}",
            _also=f"librechat {halves[1].own}" if whole else None,
            _rank=len(halves),
            _trace=talk if placed else None,
            _span=f"transaction {first.own}" if placed else None,
            _parent=f"message {message}" if placed else None,
            _calls=True,
            **usage,
        )


def _calls(prompts: Sequence[Half], completions: Sequence[Half]) -> Iterator[tuple[Half | None, Half | None]]:
    """Halves without ids that follow each other, joined in their order; None for a half that is not there."""
    waiting: dict[tuple[str | None, ...], deque[Half]] = defaultdict(deque)
    for half, sent in sorted(
        [*((half, True) for half in prompts), *((half, False) for half in completions)],
        key=lambda item: (item[0].at is None, item[0].at, item[0].own),
    ):
        line = waiting[half.about]
        if sent:
            line.append(half)
            continue
        while line and not _near(line[0], half):
            yield line.popleft(), None
        yield (line.popleft() if line else None), half
    yield from ((half, None) for line in waiting.values() for half in line)


def _drawn(own: str, after: int) -> int | str:
    """The end of an id, or of the one that the same process draws so many ids after it."""
    try:
        return int(own[-LOW:], 16) + after
    except ValueError:
        return f"{own} {after}" if after else own


def _near(prompt: Half, completion: Half) -> bool:
    if prompt.at is None or completion.at is None:
        return prompt.at is completion.at
    return completion.at - prompt.at <= APART


def _sent(said: Mapping[str, Any], scope: str) -> dict[str, Any]:
    """The input of a prompt's transaction; amounts are what was taken from the balance, and negative."""
    if all(said.get(name) is None for name in PARTS):
        return {"input_tokens": _spent(said.get("rawAmount"))}
    given, write, read = (_spent(said.get(name)) or 0 for name in PARTS)
    return _cached(given, read, write, scope)


def _made(said: Mapping[str, Any]) -> dict[str, Any]:
    return {"output_tokens": _spent(said.get("rawAmount"))}


def _cached(given: int | None, read: int | None, write: int | None, scope: str) -> dict[str, Any]:
    """Counts whose reading is open wherever something was cached."""
    found: dict[str, Any] = {"input_tokens": given, "cache_read_tokens": read, "cache_write_tokens": write}
    return found | {"_reading": "unknown", "_scope": scope} if read or write else found


def _scope(model: str | None, at: datetime | None) -> str:
    """What a version of LibreChat and a provider wrote in one way, as nearly as rows tell."""
    return f"{model} {at:%Y-%m}" if at else str(model)


def _spent(value: Any) -> int | None:
    n = _number(value)
    return None if n is None else count(-n)


def _count(value: Any) -> int | None:
    n = _number(value)
    return None if n is None else count(n)


def _number(value: Any) -> float | int | None:
    """An amount, perhaps below 0, also as text; ValueError for what is none."""
    if isinstance(value, str):
        value = (float(value) if any(c in value for c in ".eE") else int(value)) if value.strip() else None
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    raise ValueError("not a number of tokens")


def _plain(value: Any) -> Any:
    """A value without the wrapping of MongoDB's extended JSON: `{"$oid": "…"}`, `{"$date": {"$numberLong": "…"}}`."""
    if isinstance(value, Mapping):
        if len(value) == 1:
            (name, inner), *_ = value.items()
            if isinstance(name, str) and name.startswith("$"):
                return _plain(inner) if isinstance(inner, (str, int, float, Mapping)) else None
        return value
    if isinstance(value, str) and value.startswith("ObjectId("):
        return value[len("ObjectId(") :].strip("()\"'")
    return value
