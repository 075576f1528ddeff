"""A routing table as plain YAML, and as the configuration of a LiteLLM proxy.

Every value is written by a YAML library, so that no name from a log can become a key, a tag or a comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import count
from typing import Any

import yaml

from costaudit.audit import Window
from costaudit.report import _words
from costaudit.report._money import exact
from costaudit.report._text import clean
from costaudit.routes import Route

SCHEMA = "costaudit.routes/1"
SHARED = "whatever chooses now: no accepted advice says that one of the models can do all of it"
PERIODS = {"day": "1d", "week": "7d", "month": "1mo"}  # as LiteLLM writes a budget's duration


def plain(routes: Sequence[Route], window: Window) -> str:
    """One entry a task: model, tier, ceiling, budgets, and the findings it rests on."""
    head = [
        "which model serves which task: written by `costaudit route`, to be read by your application or gateway",
        f"from the logs of {_words.window(window)}",
    ]
    return _comment(head) + _yaml({"schema": SCHEMA, "routes": [_plain(route) for route in routes]})


def _plain(route: Route) -> dict[str, Any]:
    entry: dict[str, Any] = {"task": clean(route.task)}
    if route.tenant:
        entry["tenant"] = clean(route.tenant)
    if route.shared and not route.changed:
        entry |= {"models": [clean(name) for name in route.before], "chosen_by": SHARED}
    else:
        entry["model"] = _model(route)
    if route.tier:
        entry["service_tier"] = route.tier
    if route.changed:
        entry["instead_of"] = [clean(name) for name in route.before if name != _model(route)]
    if route.ceiling:
        entry["ceiling_per_run"] = {metric: _number(limit) for metric, limit in sorted(route.ceiling.items())}
    if route.budgets:
        entry["budgets"] = [{"usd": _number(limit.usd), "per": limit.per} for limit in route.budgets]
    if route.because:
        entry["because"] = [clean(why) for why in route.because]
    return entry


def litellm(routes: Sequence[Route], window: Window) -> str:
    """A proxy configuration with one model name a task, so that a model is swapped here and nowhere else.

    The model that served a task stays as its fallback. Ceilings of runs are for the agent: `max_iterations` and
    `max_budget_per_session` of its entry in the proxy; they stand in `model_info`, which the proxy only keeps.
    """
    entries: list[dict[str, Any]] = []
    fallbacks: list[dict[str, list[str]]] = []
    for route in routes:
        if route.shared and not route.changed:
            continue
        taken = {entry["model_name"] for entry in entries}
        name = next(n for n in _aliases(route) if n not in taken)
        entries.append({"model_name": name, "litellm_params": _params(route), "model_info": _info(route)})
        before = next((n for n in route.before if n != _model(route)), "") if route.changed else ""
        if before:
            entries.append({"model_name": f"{name}-before", "litellm_params": {"model": clean(before)}})
            fallbacks.append({name: [f"{name}-before"]})
    config: dict[str, Any] = {"model_list": entries}
    if fallbacks:
        config["litellm_settings"] = {"fallbacks": fallbacks}
    left = [clean(" of ".join(filter(None, (r.task, r.tenant)))) for r in routes if r.shared and not r.changed]
    head = [
        "configuration of a LiteLLM proxy: call a task by its name as `model`; written by `costaudit route`",
        f"from the logs of {_words.window(window)}; add api_key and api_base where your providers need them",
        "ceiling_per_run in model_info: give steps and usd to the agent as max_iterations and max_budget_per_session",
        *(f"left out: {name}: {SHARED}" for name in left),
    ]
    return _comment(head) + _yaml(config)


def _params(route: Route) -> dict[str, Any]:
    params: dict[str, Any] = {"model": _model(route)}
    if route.tier and route.tier != "batch":  # a batch is another interface, not a parameter of a call
        params["service_tier"] = route.tier
    month = next((b for b in route.budgets if b.per in PERIODS), None)
    if month is not None:
        params |= {"max_budget": _number(month.usd), "budget_duration": PERIODS[month.per]}
    return params


def _info(route: Route) -> dict[str, Any]:
    info: dict[str, Any] = {"task": clean(route.task)}
    if route.tenant:
        info["tenant"] = clean(route.tenant)
    if route.ceiling:
        info["ceiling_per_run"] = {metric: _number(limit) for metric, limit in sorted(route.ceiling.items())}
    if route.tier == "batch":
        info["send_as"] = "batch"
    if route.because:
        info["because"] = [clean(why) for why in route.because]
    return info


def _aliases(route: Route) -> Iterator[str]:
    """A task as a model name: what a URL or a header can carry; numbered where two tasks would share one."""
    words = (re.sub(r"[^A-Za-z0-9._-]+", "-", clean(word)).strip("-") for word in (route.task, route.tenant) if word)
    name = "-".join(word or "task" for word in words)
    yield name
    yield from (f"{name}-{n}" for n in count(2))


def _model(route: Route) -> str:
    return clean(f"{route.provider}/{route.model}" if route.provider else route.model)


def _number(amount: Decimal) -> int | float:
    text = exact(amount)
    return float(text) if "." in text else int(text)


def _comment(lines: Sequence[str]) -> str:
    return "".join(f"# {clean(line)}\n" for line in lines)


def _yaml(values: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True, width=120, default_flow_style=False)
