"""What an analyzer is: its page, its options, one look at the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, ClassVar, NamedTuple

import msgspec
import polars as pl

from costaudit.finding import Confidence, Grade, Kind, Lever, LeverName, Severity
from costaudit.price.exact import sum_usd
from costaudit.price.ledger import Ledger
from costaudit.schema import USD

NO_TASK = "(no task)"  # the subject of calls whose task is not known, as in the table of spend
NO_MODEL = "(no model)"


class Option:
    """A threshold of a rule: what the user has set, else its default.

    Not a field of a dataclass: to make one of each rule took half the time of importing it.
    unit, meaning  for the page of the rule
    """

    name: str

    def __init__(self, default: Any, unit: str, meaning: str) -> None:
        self.default, self.unit, self.meaning = default, unit, meaning

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, rule: Analyzer | None, owner: type | None = None) -> Any:
        return self.default if rule is None else rule.given.get(self.name, self.default)

    def __set__(self, rule: Analyzer, value: Any) -> None:
        raise AttributeError(f"{self.name}: a rule is what it was made with")


def option(default: Any, unit: str, meaning: str) -> Any:
    """A threshold of a rule, settable as `rules: {<rule>: {<option>: value}}` in costaudit.yaml."""
    return Option(default, unit, meaning)


class CannotCheck(Exception):
    """Raised by `look` when the log lacks what the rule needs: the rule ends as "not checked: why"."""


class Claim(msgspec.Struct, frozen=True):
    """What a rule says before the ledger has decided which dollars it owns.

    title     a template; the last `{usd}` becomes the owned dollars (or the stake) when the finding is made
    patch     [row, exists, any of model, provider, service_tier, *_tokens]: what the calls would have been; null keeps
              the logged value. None for excess and exposure. A column `group` divides it into parts of which each is
              applied only if it saves something; without it the claim is one part.
    low, high the same for the ends of the interval; None: the interval is the point
    evidence  one row a thing found. A ledger rule's evidence carries `row` (call) so that the owned dollars can be
              filled into `waste_usd`, or already carries a key column named in `evidence_key` that `patch` has too.
              The key is unique; calls that no row of evidence answers for are not patched. A column `added_usd` says
              what the change itself costs (a run done again) and is taken off the owned dollars.
    kind      the kind of this claim where it is not the kind of the rule
    lever     what the remedy sets, one of those of the rule; None where nothing has a name
    stake_usd dollars of an excess or exposure finding; its interval in stake_low, stake_high; unbounded: no upper end
    """

    subject: Mapping[str, str]
    title: str
    remedy: str
    severity: Severity
    confidence: Confidence
    evidence: pl.DataFrame
    patch: pl.DataFrame | None = None
    low: pl.DataFrame | None = None
    high: pl.DataFrame | None = None
    evidence_key: str = "row"
    grade: Grade | None = None
    because: tuple[str, ...] = ()
    stake_usd: Decimal = Decimal(0)
    stake_low: Decimal | None = None
    stake_high: Decimal | None = None
    unbounded: bool = False
    kind: Kind | None = None
    requests: int = 0
    details: Mapping[str, pl.DataFrame] = msgspec.field(default_factory=dict)
    lever: Lever | None = None


Look = Callable[[Ledger], Iterator[Claim]]


class Turn(NamedTuple):
    """One look of a rule at the ledger: its place there (None: outside it, at the calls as logged) and its kind."""

    order: int | None
    kind: Kind
    look: Look


class Analyzer:
    """A rule. The docstring of a subclass is its page: `costaudit explain <name>`.

    name   kebab-case; names the problem; the module is the same in snake_case
    kind   which of the four kinds of dollars it speaks of
    order  place in the waste ledger; None outside it
    reads  the columns it looks at, those of `Ledger.reading` aside: no others are loaded for it; None: all
    levers what its remedies may set; the page says what each is called
    """

    name: ClassVar[str]
    kind: ClassVar[Kind]
    order: ClassVar[int | None] = None
    aliases: ClassVar[tuple[str, ...]] = ()
    reads: ClassVar[tuple[str, ...] | None] = None
    levers: ClassVar[tuple[LeverName, ...]] = ()

    def look(self, ledger: Ledger) -> Iterator[Claim]:
        """The claims this rule makes about the calls that still exist; raises CannotCheck where it cannot look."""
        raise NotImplementedError

    def turns(self) -> tuple[Turn, ...]:
        """When this rule looks: once, unless it has parts that stand on their own or at another place."""
        return (Turn(self.order, self.kind, self.look),)

    def __init__(self, **given: Any) -> None:
        """`given`: options that are not to have their default."""
        if unknown := given.keys() - {option.name for option in self.options()}:
            raise TypeError(f"{self.name} has no option {sorted(unknown)}")
        self.given = given

    @classmethod
    def options(cls) -> tuple[Option, ...]:
        """In the order they are written in."""
        found = {name: value for kind in reversed(cls.__mro__) for name, value in vars(kind).items()}
        return tuple(value for value in found.values() if isinstance(value, Option))


SOURCE: pl.Expr = pl.concat_str("source_file", pl.lit(":"), "source_line", ignore_nulls=False).alias("source")
"""Where a call stands in the log: `file:line`."""

RUN: pl.Expr = pl.when(pl.col("run_id").is_not_null()).then(pl.col("run_id").hash()).alias("run")
"""A number for the name of a run [UInt64]; null where a call has none."""

COST: pl.Expr = pl.col("cost_usd").fill_null(pl.lit(0).cast(USD))
"""Cost of a call for a sum; calls without a known price are counted apart, in the header of the report."""


def need(calls: pl.DataFrame, columns: Mapping[str, str]) -> None:
    """Raise CannotCheck unless each column has at least one value; the mapping gives the words for each."""
    for column, words in columns.items():
        if calls[column].null_count() == calls.height:
            raise CannotCheck(words)


def need_single(ledger: Ledger, columns: Mapping[str, str]) -> None:
    """The same of the requests that are one call each: there may be very many, and the first of them often answer."""
    known = any_of(ledger, [pl.col(column).is_not_null() for column in columns])
    for held, words in zip(known, columns.values(), strict=True):
        if not held:
            raise CannotCheck(words)


def any_of(ledger: Ledger, said: Sequence[pl.Expr], where: pl.Expr | None = None) -> list[bool]:
    """Whether each of some things [Boolean] is true of any request that is one call; calls are asked until all are."""
    found = [False] * len(said)
    named = [one.alias(str(nth)) for nth, one in enumerate(said)]
    for part in ledger.in_parts(named, ALONE if where is None else ALONE & where):
        found = [known or bool(part[str(nth)].any()) for nth, known in enumerate(found)]
        if all(found):
            break
    return found


def single_usd(ledger: Ledger) -> Decimal:
    """What the requests that are one call cost."""
    sums = [part.select(pl.sum("cost_usd")) for part in ledger.in_parts(("cost_usd",), ALONE)]
    return total_usd(pl.concat(sums))


ONCE = ~pl.col("rollup").fill_null(value=False)
ALONE = ONCE & ~pl.col("summed").fill_null(value=False)


def requests_of(ledger: Ledger, made: Sequence[str | pl.Expr] = (), where: pl.Expr | None = None) -> pl.DataFrame:
    """The calls of the ledger without rows that only restate others; every call is there once.

    made   what to say of each call instead of the columns that the rule reads (`Ledger.each`)
    where  what must hold of each
    """
    return _calls(ledger, made, ONCE if where is None else ONCE & where)


def without(calls: pl.DataFrame, some: pl.Expr) -> pl.DataFrame:
    """The calls for which a condition does not hold; the same frame, and no copy of it, where it holds for none."""
    held = calls.select(some).to_series()
    return calls.filter(~held) if held.any() else calls


def single_calls(ledger: Ledger, made: Sequence[str | pl.Expr] = (), where: pl.Expr | None = None) -> pl.DataFrame:
    """The requests that are one call each: totals of sessions and turns have no prompt to judge.

    made   what to say of each call instead of the columns that the rule reads (`Ledger.each`)
    where  what must hold of each
    """
    return _calls(ledger, made, ALONE if where is None else ALONE & where)


def _calls(ledger: Ledger, made: Sequence[str | pl.Expr], where: pl.Expr) -> pl.DataFrame:
    return ledger.each(made or columns_of(ledger), where)


def these(ledger: Ledger, rows: pl.Series) -> pl.DataFrame:
    """Some of the calls, in this order, with all that the rule reads."""
    return ledger.at(rows, [name for name in columns_of(ledger) if name != "row"])


def columns_of(ledger: Ledger) -> Sequence[str]:
    """The columns that the rule reads."""
    return ledger.original.columns if ledger.columns is None else ledger.columns


def dollars(amount: Decimal) -> str:
    """Cents from $1 up, two significant digits below; only nothing at all is $0.00."""
    size = abs(amount)
    places = 2 if size == 0 else max(2, 1 - size.adjusted())
    rounded = size.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_EVEN)
    return f"{'-' if amount < 0 else ''}${rounded:,f}"


def total_usd(calls: pl.DataFrame, column: str = "cost_usd") -> Decimal:
    """The exact sum of a column of dollars; unknown amounts are left out."""
    return sum_usd(calls[column])
