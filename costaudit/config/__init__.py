"""costaudit.yaml as frozen settings.

Every key has a default; flags win over the file (`replace`). A key, a rule name or an option that
nobody knows is an error with its line and a suggestion: a misspelt limit must not be ignored in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import replace

from costaudit.config._assign import TARGETS, Assignment, Rule, check_columns, load_assignment
from costaudit.config._node import Node, parse
from costaudit.config._nouns import Budget, Columns, Forecast, Gate, Located, Suppression
from costaudit.config._rates import Rate, rate
from costaudit.config._read import MAX_USD, as_moment, is_zone, record, suggest, unknown
from costaudit.config._sections import BY, SCOPES, SEVERITIES, origins, sections
from costaudit.errors import ConfigError

__all__ = [
    "BY",
    "FILE_NAME",
    "MAX_USD",
    "SCOPES",
    "SEVERITIES",
    "TARGETS",
    "Assignment",
    "Budget",
    "Columns",
    "Forecast",
    "Gate",
    "Located",
    "Node",
    "Rate",
    "Rule",
    "Settings",
    "Suppression",
    "as_moment",
    "check_columns",
    "is_zone",
    "load_assignment",
    "parse",
    "rate",
    "suggest",
    "unknown",
]

FILE_NAME = "costaudit.yaml"


class Settings(msgspec.Struct, frozen=True):
    """Everything a user can decide.

    since, until   first moment in, first moment out; without an offset of their own they are meant in `tz`
    floor_usd, floor_share  a finding under max(floor_usd, floor_share of spend) is counted, not shown
    min_coverage   share of calls and tokens that must be priced, 0..1
    rules          options by rule name, as written; `for_rules` checks them
    tasks ... runs what the user says about calls, see Assignment
    prices         price overrides, parsed by `costaudit.price`; prices_dir: a folder of price files
    currency       what amounts are shown in; rates: a file with what a dollar is worth in it, by date
    outcomes, revenue, limits  files, relative to the settings file
    cache, cache_dir  whether files and audits are kept for the next run, and where; None: the system's folder
    origin         setting -> file:line, for messages
    """

    tz: str = "UTC"
    since: date | datetime | None = None
    until: date | datetime | None = None
    floor_usd: Decimal = Decimal(1)
    floor_share: float = 0.005
    min_coverage: float = 0.8
    fail_on: str | None = None
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    rules: Mapping[str, Mapping[str, Any]] = msgspec.field(default_factory=dict)
    tasks: Assignment = msgspec.field(default_factory=Assignment)
    tenants: Assignment = msgspec.field(default_factory=Assignment)
    users: Assignment = msgspec.field(default_factory=Assignment)
    environments: Assignment = msgspec.field(default_factory=Assignment)
    runs: Assignment = msgspec.field(default_factory=Assignment)
    columns: tuple[Columns, ...] = ()
    prices: tuple[Located, ...] = ()
    prices_dir: Path | None = None
    cache: bool = True
    cache_dir: Path | None = None
    currency: str = "USD"
    rates: Path | None = None
    budgets: tuple[Budget, ...] = ()
    gate: Gate = msgspec.field(default_factory=Gate)
    suppressions: tuple[Suppression, ...] = ()
    forecast: Forecast = msgspec.field(default_factory=Forecast)
    outcomes: Path | None = None
    revenue: Path | None = None
    limits: Path | None = None
    file: Path | None = None
    origin: Mapping[str, str] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Flags arrive by `replace` and are held to the same limits as the file."""
        if not is_zone(self.tz):
            raise ConfigError(f"unknown time zone {self.tz!r}", hint="e.g. UTC, Europe/Berlin")
        if not 0 <= self.min_coverage <= 1:
            raise ConfigError(f"min_coverage must be from 0 to 1, not {self.min_coverage}")
        if self.fail_on is not None and self.fail_on not in SEVERITIES:
            raise unknown("severity", self.fail_on, SEVERITIES, self.where("fail_on"))
        for name in self.by:
            if name not in BY:
                raise unknown("grouping", name, BY, self.where("by"))
        start, end = self.window
        if start is not None and end is not None and start >= end:
            raise ConfigError(f"the window is empty: it starts at {start} and ends at {end}")

    @classmethod
    def load(cls, path: Path | None, *, start: Path) -> Settings:
        """The settings of `path`, else of the nearest costaudit.yaml from `start` upwards, else the defaults.

        Raises ConfigError for a file that cannot be read or understood.
        """
        path = path or find(start)
        if path is None:
            return cls()
        node = parse(path)
        if node is None:
            return cls(file=path)
        given = record(node, sections(path.parent))
        return cls(**given, file=path, origin=origins(node))

    @property
    def zone(self) -> tzinfo:
        """The report's time zone."""
        return UTC if self.tz == "UTC" else ZoneInfo(self.tz)

    @property
    def window(self) -> tuple[datetime | None, datetime | None]:
        """The half-open window asked for, both ends in UTC; None: open."""
        return _instant(self.since, self.zone), _instant(self.until, self.zone)

    @property
    def names_calls(self) -> bool:
        """Whether the user says of any call what its task, tenant, user, environment or run is."""
        said = (self.tasks, self.tenants, self.users, self.environments, self.runs)
        return any(section != Assignment() for section in said)

    def floor(self, spend_usd: Decimal) -> Decimal:
        """The least a finding must be worth to be shown, given the spend audited [USD]."""
        return max(self.floor_usd, Decimal(str(self.floor_share)) * spend_usd)

    def where(self, setting: str) -> str:
        """Where a setting was made, for messages: file and line, or the flag of its name."""
        return self.origin.get(setting, "--" + setting.replace("_", "-"))

    def for_rules(self, known: Mapping[str, Mapping[str, Any]], aliases: Mapping[str, str] | None = None) -> Settings:
        """The same settings with rule names as they are today and options of the type of their default.

        known    rule name -> option -> default value
        aliases  old rule name -> new one
        Raises ConfigError for a rule or an option that is not known, and for a value of the wrong type.
        """
        now = _Names(known, aliases or {})
        rules: dict[str, Mapping[str, Any]] = {}
        for name, options in self.rules.items():
            rule = now(name, self.where(f"rules.{name}"))
            if rule in rules:
                raise ConfigError(f"{self.where(f'rules.{name}')}: {rule!r} has options twice, under an old name too")
            rules[rule] = {
                option: _option(rule, option, value, known[rule], self.where(f"rules.{name}.{option}"))
                for option, value in options.items()
            }
        return replace(
            self,
            rules=rules,
            select=tuple(now(name, self.where("select")) for name in self.select),
            ignore=tuple(now(name, self.where("ignore")) for name in self.ignore),
            suppressions=tuple(replace(s, rule=now(s.rule, s.where)) for s in self.suppressions),
        )


def find(start: Path) -> Path | None:
    """The settings file of `start` or of the nearest folder above it."""
    start = start.absolute()
    return next((p for folder in (start, *start.parents) if (p := folder / FILE_NAME).is_file()), None)


def _instant(moment: date | datetime | None, zone: tzinfo) -> datetime | None:
    if moment is None:
        return None
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time())
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except OverflowError:
        raise ConfigError(f"{moment} is outside the calendar") from None


class _Names(msgspec.Struct, frozen=True):
    known: Mapping[str, Mapping[str, Any]]
    aliases: Mapping[str, str]

    def __call__(self, name: str, where: str) -> str:
        name = self.aliases.get(name, name)
        if name not in self.known:
            raise unknown("rule", name, self.known, where)
        return name


def _option(rule: str, option: str, value: Any, defaults: Mapping[str, Any], where: str) -> Any:
    """A value of a rule's option, of the type of its default."""
    if option not in defaults:
        raise unknown("option", option, defaults, where, f" of {rule}")
    default = defaults[option]
    if default is None:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and isinstance(default, float | Decimal):
        return type(default)(value)
    if isinstance(value, Decimal) and isinstance(default, float | Decimal) and value.is_finite():
        return type(default)(value)
    if isinstance(default, list | tuple) and isinstance(value, list | str):
        return type(default)([value] if isinstance(value, str) else value)
    if type(value) is not type(default):
        raise ConfigError(
            f"{where}: {rule}.{option} must be {_kind(default)}, not {value!r}", hint=f"default: {default}"
        )
    return value


def _kind(default: Any) -> str:
    kinds = {
        bool: "true or false",
        int: "a whole number",
        str: "text",
        dict: "a mapping",
        list: "a list",
        tuple: "a list",
    }
    return kinds.get(type(default), "a number")
