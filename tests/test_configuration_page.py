"""The configuration page shows every key, and the file it shows is understood."""

from __future__ import annotations

import re

from console import ROOT

from costaudit.analyze import analyzers
from costaudit.config import Settings
from costaudit.price.overrides import parse_overrides

PAGE = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
SHOWN = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1]


def load(tmp_path):
    path = tmp_path / "costaudit.yaml"
    path.write_text(SHOWN)
    return Settings.load(path, start=tmp_path)


def test_the_file_shown_is_understood_rules_and_prices_included(tmp_path):
    settings = load(tmp_path)
    known = {rule.name: {o.name: getattr(rule(), o.name) for o in rule.options()} for rule in analyzers()}
    assert settings.for_rules(known).rules["runaway-loop"]["repetitions"] == 4
    assert len(parse_overrides(settings.prices)) == 3


def test_the_file_shown_has_every_key_and_every_key_of_the_gate(tmp_path):
    settings = load(tmp_path)
    shown = {origin.split(".")[0] for origin in settings.origin if origin}
    keys = set(Settings.__struct_fields__) - {"file", "origin", "users", "environments", "runs"}
    assert keys <= shown
    assert {f"gate.{name}" for name in settings.gate.__struct_fields__} <= set(settings.origin)
