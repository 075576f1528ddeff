"""requests -> requests with tasks, runs, tenants and outcomes.

The word of the user (rules, names) comes first, then the log's own fields, then what can be rebuilt from fingerprints.
Rows and columns stay as they are; only nulls are filled and names the user gives are written over.
"""

from __future__ import annotations

import msgspec
import polars as pl

from costaudit import scratch
from costaudit.attribute._mapping import apply_names, apply_rules
from costaudit.attribute._order import order
from costaudit.attribute._outcomes import join_outcomes
from costaudit.attribute._runs import name_runs, number_steps, shared_runs
from costaudit.attribute._tasks import name_tasks
from costaudit.attribute._tools import tool_columns
from costaudit.config import Settings

__all__ = ["Attributed", "attribute"]


class Attributed(msgspec.Struct, frozen=True):
    """The requests [schema.REQUESTS], in the order given, and what there is to say about the attribution."""

    requests: pl.DataFrame
    notes: tuple[str, ...] = ()


def attribute(requests: pl.DataFrame, settings: Settings) -> Attributed:
    """Say of each call what it was for: task, run and step, tenant, user, environment, outcome.

    in     schema.REQUESTS; any number of rows in any order
    out    the same rows; task, task_source, tenant, user, environment, run_id, run_source, step, tool_name,
           tool_args_sha, tool_result_sha, tool_error, success, score filled where something is known
    Raises ConfigError for rules, names or outcomes that cannot be applied.
    """
    place = order(requests)
    requests = apply_rules(shared_runs(requests), settings)
    requests = _written(requests, name_runs(requests, place))
    requests = _written(requests, number_steps(requests, place).to_frame())
    requests = _written(requests, tool_columns(requests, place))
    requests = _written(requests, name_tasks(requests, place))
    requests = apply_names(requests, settings)
    if settings.outcomes is None:
        return Attributed(requests)
    return Attributed(*join_outcomes(requests, settings.outcomes))


def _written(requests: pl.DataFrame, made: pl.DataFrame) -> pl.DataFrame:
    """The requests with columns written over; what says the same as before is not kept twice."""
    filed = scratch.kept(made, beside=requests.select(made.columns))
    if requests.height >= scratch.MANY:
        return scratch.with_columns(requests, filed)
    written = requests.clone()
    for column in filed:
        written.replace_column(written.get_column_index(column.name), column)
    return written
