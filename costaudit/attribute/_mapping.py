"""The user's word on what calls are: rules and names of the settings, applied to the request table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import polars as pl
from polars.exceptions import ComputeError

from costaudit import schema
from costaudit.attribute._tasks import DISCOVERED
from costaudit.config import Assignment, Rule, Settings, check_columns
from costaudit.errors import ConfigError

KNOWN_BY: Mapping[str, tuple[str, str]] = {"task": ("task_source", "mapping"), "run_id": ("run_source", "log")}
"""Target -> the column that says how it is known, and what it says once the user has spoken."""

MATCHABLE = tuple(name for name, dtype in schema.REQUESTS.items() if not dtype.is_nested())


def apply_rules(requests: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    """The requests with what the rules give: for each column the first rule that gives it and matches.

    All rules see the values of the log, not what another rule has given. ConfigError for a rule that matches on a
    column there is not, or on a pattern that cannot be read.
    """
    sections = _sections(settings)
    for section in sections.values():
        check_columns(section, MATCHABLE)
    given = {target: _given(requests, target, _rules(sections, target)) for target in sections}
    for target, values in given.items():
        requests = _write(requests, target, values)
    return requests


def apply_names(requests: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    """The requests renamed: rules that match on a discovered task, then old names -> new names."""
    sections = _sections(settings)
    if about_tasks := [rule for rule in _rules(sections, "task") if "task" in rule.match]:
        found = pl.col("task_source").is_in(DISCOVERED)
        given = _given(requests, "task", about_tasks)
        requests = _write(requests, "task", requests.select(pl.when(found).then(given)).to_series())
    for target, section in sections.items():
        if section.names:
            new = pl.col(target).replace_strict(section.names, default=None, return_dtype=pl.String)
            requests = _write(requests, target, requests.select(new).to_series())
    return requests


def _sections(settings: Settings) -> dict[str, Assignment]:
    return {
        "task": settings.tasks,
        "tenant": settings.tenants,
        "user": settings.users,
        "environment": settings.environments,
        "run_id": settings.runs,
    }


def _rules(sections: Mapping[str, Assignment], target: str) -> list[Rule]:
    """The rules that give the column, those of its own section first."""
    own_first = sorted(sections, key=lambda name: name != target)
    return [rule for name in own_first for rule in sections[name].rules if target in rule.give]


def _given(requests: pl.DataFrame, target: str, rules: Sequence[Rule]) -> pl.Series:
    """What the first matching rule gives each row; decided once for each distinct combination of values."""
    columns = sorted({column for rule in rules for column in rule.match})
    if not columns:
        return pl.repeat(None, requests.height, dtype=pl.String, eager=True)
    values = requests.select(pl.col(columns).cast(pl.String))
    seen = values.unique().with_columns(given=pl.lit(None, pl.String))
    for rule in rules:
        open_match = pl.col("given").is_null() & _matches(rule)
        seen = seen.with_columns(given=pl.when(open_match).then(_value(rule, target)).otherwise("given"))
    return values.join(seen, on=columns, how="left", nulls_equal=True, maintain_order="left")["given"]


def _matches(rule: Rule) -> pl.Expr:
    return pl.all_horizontal(
        pl.any_horizontal(_fits(pl.col(column), pattern, rule.where) for pattern in patterns)
        for column, patterns in rule.match.items()
    )


def _fits(column: pl.Expr, pattern: str | None, where: str) -> pl.Expr:
    if pattern is None:
        return column.is_null()
    regex = _regex(pattern, where)
    fits = column == pattern if regex is None else column.str.contains(regex)
    return fits.fill_null(value=False)


def _regex(pattern: str, where: str) -> str | None:
    """The regular expression of a /regex/ or a glob; None for a plain value."""
    if len(pattern) > 2 and pattern.startswith("/") and pattern.endswith("/"):
        regex = pattern[1:-1]
    elif "*" in pattern or "?" in pattern:
        wild = {"*": ".*", "?": "."}
        regex = "(?s)^" + "".join(wild.get(c, re.escape(c)) for c in pattern) + "$"
    else:
        return None
    try:
        pl.Series([""]).str.contains(regex)
    except ComputeError as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{where}: cannot read the pattern {pattern!r}: {reason}") from error
    return regex


def _value(rule: Rule, target: str) -> pl.Expr:
    """The text a rule gives, `$1` standing for the first group of the rule's /regex/."""
    text = rule.give[target]
    captures = [
        (column, pattern[1:-1])
        for column, patterns in rule.match.items()
        for pattern in patterns
        if pattern is not None and pattern.startswith("/") and _regex(pattern, rule.where) is not None
    ]
    if "$" not in text or not captures:
        return pl.lit(text)
    if len(captures) > 1:
        raise ConfigError(
            f"{rule.where}: {text!r} takes its text from a /regex/, but the rule has {len(captures)}",
            hint="write one rule for each",
        )
    column, regex = captures[0]
    expanded = pl.col(column).str.replace(f"(?s)^.*?(?:{regex}).*$", text)
    return pl.when(expanded != "").then(expanded)


def _write(requests: pl.DataFrame, target: str, given: pl.Series) -> pl.DataFrame:
    """The requests with the given values written over the column, and how they are known beside it."""
    if given.null_count() == requests.height:
        return requests
    columns = [pl.coalesce(given, pl.col(target)).alias(target)]
    if target in KNOWN_BY:
        source, word = KNOWN_BY[target]
        # A new name does not make one thing of a family that holds several.
        told = given.is_not_null() & pl.col(source).ne_missing(pl.lit("mixed"))
        columns.append(pl.when(told).then(pl.lit(word)).otherwise(source).alias(source))
    return requests.with_columns(columns)
