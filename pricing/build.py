"""Write the price book from the pricing packages and the hand-kept facts: `python pricing/build.py [PROVIDER...]`.

Standard rates: genai-prices where it lists the model (curated, dated), else litellm (breadth), else model-prices;
`_facts/<provider>.yaml` may say otherwise, with its reason. The other packages fill in what the first one cannot say:
tiers, uplifts and fees from litellm, changes to the second from model-prices. Every period names its source, every
filled-in class its own. Figures the packages disagree on go to `_disagreements.csv`.

A file that exists is added to: its periods stay, a changed figure becomes a new period from the day it was read.
`--fresh` writes from nothing. Packages: `pip install -e .[prices]`.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from costaudit.price._file import parse  # noqa: E402 - found through the path above
from costaudit.price.book import NAMES  # noqa: E402 - found through the path above
from costaudit.price.entry import Provider  # noqa: E402
from costaudit.price.sources import Card, Item, Reader, Span, merge  # noqa: E402
from costaudit.price.sources.append import append, item_of, renamed  # noqa: E402
from costaudit.price.sources.gp import GenaiPrices  # noqa: E402
from costaudit.price.sources.groups import same_as  # noqa: E402
from costaudit.price.sources.ll import Litellm  # noqa: E402
from costaudit.price.sources.mp import ModelPrices  # noqa: E402
from costaudit.price.sources.write import Header, provider_yaml  # noqa: E402


def main() -> None:
    arguments = _arguments()
    holidays = ModelPrices.read()
    readers: dict[str, Reader] = {"gp": GenaiPrices.read(), "ll": Litellm.read(), "mp": holidays}
    wanted = arguments.providers or _providers(readers)
    built = {name: merge.merge(name, _facts(name), readers, arguments.today) for name in wanted}
    _extra_models(built)
    headers: dict[str, Header] = {}
    before = {} if arguments.fresh else {name: _existing(name) for name in built}
    for name, merged in built.items():
        header = _header(name, readers, holidays, arguments.today)
        for change in _appended(merged, before.get(name), header, arguments.today):
            print(f"{name}: {change}")
        headers[name] = header
    groups = same_as({name: merged.models for name, merged in built.items()})
    for name, merged in sorted(built.items()):
        if merged.models or _facts(name).get("list_of"):
            _write(name, provider_yaml(headers[name], merged.models, groups.get(name, {})))
    disputes = [dispute for merged in built.values() for dispute in merged.disputes]
    if not arguments.providers:
        _write_names(arguments.today)
        _write_disputes(disputes, list(readers))
    models = sum(len(merged.models) for merged in built.values())
    print(f"{models} models of {len(built)} providers, {len(disputes)} figures disputed")


def _existing(name: str) -> Provider | None:
    path = HERE / f"{name}.yaml"
    return parse(path.read_bytes(), path) if path.is_file() else None


def _appended(merged: merge.Merged, before: Provider | None, header: Header, today: str) -> list[str]:
    """The models of a file that exists, each with what is new after what it says; what changed, in sentences."""
    told: list[str] = []
    keys = _kept_apart(header.sources, before, today)
    for item in merged.models.values():
        renamed(item, keys)
    for name, model in (before.models if before else {}).items():
        known = item_of(name, model)
        fresh = merged.models.get(merge.fold(name))
        if fresh is None:
            merged.models[merge.fold(name)] = known  # no list has it any more; old logs do
            continue
        merged.models[merge.fold(name)], changes = append(known, fresh, today)
        told += changes
    return told


def _kept_apart(sources: dict[str, tuple[str, str, str]], before: Provider | None, today: str) -> dict[str, str]:
    """Source key -> new key, for lists that were read before in another version: old figures keep their source."""
    keys: dict[str, str] = {}
    for key, read in (before.sources if before else {}).items():
        old = (read.title, str(read.read_on), read.url)
        if key in sources and sources[key][0] != read.title:
            keys[key] = f"{key}-{today}"
            sources[keys[key]] = sources[key]
        sources[key] = old
    return keys


def _header(name: str, readers: Mapping[str, Reader], calendar: ModelPrices, today: str) -> Header:
    facts = _facts(name)
    sources: dict[str, tuple[str, str, str]] = {key: (reader.title, today, "") for key, reader in readers.items()}
    sources["derived"] = ("same share of the standard rate as in the next period", today, "")
    for key, source in facts.get("sources", {}).items():
        sources[key] = (source["title"], source["read_on"], source.get("url", ""))
    schedules = {
        schedule: {k: list(calendar.holidays()) if (k, v) == ("holidays", "cn") else v for k, v in settings.items()}
        for schedule, settings in facts.get("schedules", {}).items()
    }
    fees = [{"source": "facts"} | fee for fee in facts.get("fees", ())]
    return Header(name, sources, facts.get("list_of", ""), schedules, fees)


def _write(name: str, text: str) -> None:
    path = HERE / f"{name}.yaml"
    parse(text.encode(), path)  # the reader is the judge of what is written
    path.write_text(text, "utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("providers", nargs="*", help="only these files")
    parser.add_argument("--fresh", action="store_true", help="write from nothing; the history of a file is lost")
    parser.add_argument("--today", default=datetime.now(UTC).date().isoformat(), help="day the packages are read on")
    return parser.parse_args()


def _providers(readers: Mapping[str, Reader]) -> list[str]:
    handmade = [p.stem for p in (HERE / "_facts").glob("*.yaml") if not p.name.startswith("_")]
    listed = {name for reader in readers.values() for name in reader.names()}
    return sorted({*listed, *handmade, "vertex"} - _skipped())


def _skipped() -> set[str]:
    return set(_load(HERE / "_facts" / "_names.yaml")["skip"])


def _facts(provider: str) -> dict[str, Any]:
    path = HERE / "_facts" / f"{provider}.yaml"
    return _load(path) if path.is_file() else {}


def _load(path: Path) -> dict[str, Any]:
    return yaml.load(path.read_text("utf-8"), Loader=yaml.BaseLoader) or {}


def _extra_models(built: dict[str, merge.Merged]) -> None:
    """Models only the facts know, and hourly rates no package can say."""
    for name, merged in built.items():
        for model, spec in _facts(name).get("models", {}).items():
            merged.models[merge.fold(model)] = _handmade(model, spec, merged.models.get(merge.fold(model)))


def _handmade(name: str, spec: dict[str, Any], listed: Item | None) -> Item:
    spans = [
        Span(
            since=p.get("since", ""),
            card=_card(p),
            tiers={t: _card(c) for t, c in p.get("tiers", {}).items()},
            hours={h: _card(c) for h, c in p.get("hours", {}).items()},
            least={k: Decimal(v) for k, v in p.get("least", {}).items()},
            status=p.get("status", "priced"),
            source=p.get("source", "facts"),
        )
        for p in spec["prices"]
    ]
    facts = {**(listed.facts if listed else {}), **spec.get("facts", {})}
    return Item(name, spans, set(spec.get("aliases", ())), facts)


def _card(spec: dict[str, Any]) -> Card:
    over = {int(s["above"]): {k: Decimal(v) for k, v in s["rates"].items()} for s in spec.get("over", ())}
    return Card({k: Decimal(v) for k, v in spec.get("rates", {}).items()}, over)


def _write_names(today: str) -> None:
    spelled = _load(HERE / "_facts" / "_names.yaml")["names"]
    lines = [f"as_of: {today}", "providers:"]
    names = sorted(p.stem for p in HERE.glob("*.yaml") if not p.name.startswith("_"))
    lines += [f"  {name}: [{', '.join(spelled.get(name, ()))}]" for name in names]
    (HERE / NAMES).write_text("\n".join(lines) + "\n", "utf-8")


def _write_disputes(disputes: list[merge.Dispute], keys: list[str]) -> None:
    with (HERE / "_disagreements.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["provider", "model", "class", *keys, "taken"])
        for d in sorted(disputes, key=lambda d: (d.provider, d.model, d.what)):
            says = dict(d.says)
            writer.writerow([d.provider, d.model, d.what, *(says.get(key, "") for key in keys), d.taken])


if __name__ == "__main__":
    main()
