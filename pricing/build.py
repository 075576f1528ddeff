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
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from _sources import Card, Item, Span, gp, ll, merge, mp  # noqa: E402 - found through the path above
from _sources.groups import same_as  # noqa: E402
from _sources.write import provider_yaml  # noqa: E402

from costaudit.price.book import NAMES, parse  # noqa: E402

SOURCES = {"gp": gp.TITLE, "ll": ll.TITLE, "mp": mp.TITLE}


def main() -> None:
    arguments = _arguments()
    wanted = arguments.providers or _providers()
    built = {name: merge.merge(name, _facts(name), arguments.today) for name in wanted}
    _extra_models(built)
    groups = same_as({name: merged.models for name, merged in built.items()})
    disputes = []
    for name, merged in sorted(built.items()):
        if not merged.models and not _facts(name).get("list_of"):
            continue
        path = HERE / f"{name}.yaml"
        facts = _facts(name)
        text = provider_yaml(name, merged.models, facts, SOURCES, groups.get(name, {}), arguments.today)
        parse(text.encode(), path)  # the reader is the judge of what is written
        path.write_text(text, "utf-8")
        disputes += merged.disputes
    if not arguments.providers:
        _write_names(arguments.today)
        _write_disputes(disputes)
    models = sum(len(m.models) for m in built.values())
    print(f"{models} models of {len(built)} providers, {len(disputes)} figures disputed")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("providers", nargs="*", help="only these files")
    parser.add_argument("--fresh", action="store_true", help="write from nothing; the history of a file is lost")
    parser.add_argument("--today", default=datetime.now(UTC).date().isoformat(), help="day the packages are read on")
    return parser.parse_args()


def _providers() -> list[str]:
    handmade = [p.stem for p in (HERE / "_facts").glob("*.yaml") if not p.name.startswith("_")]
    return sorted({*gp.names(), *ll.names(), *mp.names(), *handmade, "vertex"} - _skipped())


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
    return Item(name, spans, set(spec.get("aliases", ())), listed.facts if listed else {})


def _card(spec: dict[str, Any]) -> Card:
    over = {int(s["above"]): {k: Decimal(v) for k, v in s["rates"].items()} for s in spec.get("over", ())}
    return Card({k: Decimal(v) for k, v in spec.get("rates", {}).items()}, over)


def _write_names(today: str) -> None:
    spelled = _load(HERE / "_facts" / "_names.yaml")["names"]
    lines = [f"as_of: {today}", "providers:"]
    names = sorted(p.stem for p in HERE.glob("*.yaml") if not p.name.startswith("_"))
    lines += [f"  {name}: [{', '.join(spelled.get(name, ()))}]" for name in names]
    (HERE / NAMES).write_text("\n".join(lines) + "\n", "utf-8")


def _write_disputes(disputes: list[merge.Dispute]) -> None:
    with (HERE / "_disagreements.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["provider", "model", "class", *SOURCES, "taken"])
        for d in sorted(disputes, key=lambda d: (d.provider, d.model, d.what)):
            says = dict(d.says)
            writer.writerow([d.provider, d.model, d.what, *(says.get(key, "") for key in SOURCES), d.taken])


if __name__ == "__main__":
    main()
