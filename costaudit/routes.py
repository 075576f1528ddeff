"""A routing table: which model serves which task, on whose advice, and what holds it in."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import msgspec


class Limit(msgspec.Struct, frozen=True):
    """An amount [USD] per month, week, day, run or call."""

    usd: Decimal
    per: str


class Route(msgspec.Struct, frozen=True):
    """One task (of one tenant, where the advice is for one).

    provider, model   what serves it from now on
    before            the models that served it, dearest first, as `provider/model`
    tier              `batch`, `flex`; "" standard
    ceiling           of a run, by metric: steps, usd, input_tokens, minutes
    budgets           from the settings
    because           id, rule, grade and saving of each accepted finding, a sentence each
    changed           whether accepted advice changes the model, or how it is bought
    shared            whether several models serve it and no advice says that one of them can do all of it
    """

    task: str
    provider: str
    model: str
    before: tuple[str, ...] = ()
    tenant: str = ""
    tier: str = ""
    ceiling: Mapping[str, Decimal] = msgspec.field(default_factory=dict)
    budgets: tuple[Limit, ...] = ()
    because: tuple[str, ...] = ()
    changed: bool = False
    shared: bool = False
