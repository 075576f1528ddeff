"""Who speaks on which sample: one table in which a new false positive shows at a glance."""

from __future__ import annotations

from console import ROOT
from msgspec.structs import replace

from costaudit import pipeline
from costaudit.config import Settings

SAMPLES = ROOT / "sample_logs" / "analyzers"


def spoken(path, *select):
    settings_file = path.with_suffix(".yaml")
    settings = Settings.load(settings_file if settings_file.is_file() else None, start=SAMPLES)
    settings = replace(settings, select=select)
    found = pipeline.audit([str(path)], settings)
    return sorted({f"{finding.rule} {finding.severity.value}" for finding in found.findings})


def test_each_sample_makes_its_rule_speak_and_the_others_as_reviewed(golden):
    logs = sorted(SAMPLES.glob("*.jsonl"))
    table = {path.stem: spoken(path) for path in logs}
    silent = [path for path in logs if not any(line.startswith(f"{path.stem} ") for line in table[path.stem])]
    assert all(spoken(path, path.stem) for path in silent), "speaks where no earlier rule owns the dollars"
    golden(
        "analyzers.txt",
        "".join(f"{rule}\n" + "".join(f"    {line}\n" for line in said) for rule, said in table.items()),
    )
