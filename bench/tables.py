"""The scoreboard as text."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from statistics import median
from typing import Any

from costaudit import __version__, pipeline
from costaudit.analyze import analyzers
from costaudit.config import Settings
from costaudit.stats import wilson

Result = dict[str, Any]


def share(hits: int, of: int) -> str:
    """A share with its 95 % Wilson interval, in percent."""
    if not of:
        return "–"
    bounds = wilson(hits, of, 1.96)
    return f"{100 * hits / of:.1f} ({100 * bounds.low:.1f}–{100 * bounds.high:.1f})"


def rules(results: Sequence[Result]) -> list[list[str]]:
    """A row a rule: planted, recall at 1x and 4x, silent at 0.5x, precision, dollars right, error, not checked."""
    rows = []
    for rule in [kind.name for kind in analyzers()]:
        plants = [p for r in results for p in r["plants"] if p["rule"] == rule]
        seen = [p for p in plants if not p["lacks"]]
        false = sum(1 for r in results for f in r["false"] if f[0] == rule)
        wrong = sum(1 for r in results for c in r["confused"] if c[1] == rule)
        found = [p for p in seen if p["shown"]]
        by = {s: [p for p in seen if p["strength"] == s] for s in ("0.5x", "1x", "4x")}
        judged = [p for p in found if "dollars_right" in p and p["strength"] != "0.5x"]
        errors = [p["error"] for p in judged if "error" in p]
        claims = len(found) + false + wrong
        rows.append(
            [f"`{rule}`", str(len(seen)), share(sum(p["shown"] for p in by["1x"]), len(by["1x"])),
             share(sum(p["shown"] for p in by["4x"]), len(by["4x"])),
             share(sum(not p["shown"] for p in by["0.5x"]), len(by["0.5x"])), share(len(found), claims),
             share(sum(p["dollars_right"] for p in judged), len(judged)),
             f"{100 * median(errors):.2f}" if errors else "–", str(false)]
        )  # fmt: skip
    return rows


HEAD = ["rule", "planted", "found at 1×, %", "found at 4×, %", "silent at 0.5×, %", "precision, %", "dollars right, %",
        "median error, %", "false"]  # fmt: skip


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def confusion(results: Sequence[Result]) -> list[list[str]]:
    """Planted cause against named cause, where a planted problem got a name."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for r in results:
        for p in r["plants"]:
            if p["shown"]:
                counts[p["rule"]][p["rule"]] += 1
        for planted, named, *_ in r["confused"]:
            counts[planted][named] += 1
    return [
        [f"`{planted}`", str(named[planted]),
         ", ".join(f"{name} {n}" for name, n in sorted(named.items()) if name != planted) or "–"]
        for planted, named in sorted(counts.items())
    ]  # fmt: skip


def by_format(results: Sequence[Result]) -> list[list[str]]:
    rows = []
    for form in sorted({r["job"][3] for r in results}):
        mine = [r for r in results if r["job"][3] == form]
        due = [p for r in mine for p in r["plants"] if not p["lacks"] and p["strength"] != "0.5x"]
        lacking = [p for r in mine for p in r["plants"] if p["lacks"]]
        false = sum(len(r["false"]) for r in mine)
        clean = sum(r["clean_calls"] for r in mine)
        rows.append(
            [form, str(len(mine)), share(sum(p["shown"] for p in due), len(due)),
             f"{1e4 * false / clean:.2f}" if clean else "–", share(sum(r["total_right"] for r in mine), len(mine)),
             f"{sum(not p['shown'] for p in lacking)} of {len(lacking)}"]
        )  # fmt: skip
    return rows


def totals(results: Sequence[Result]) -> list[str]:
    false, clean = sum(len(r["false"]) for r in results), sum(r["clean_calls"] for r in results)
    faults = [f for r in results for f in r["faults"]]
    days = [p["distance_days"] for r in results for p in r["plants"] if "distance_days" in p]
    calls = [p["distance_calls"] for r in results for p in r["plants"] if "distance_calls" in p]
    graded = [p["grade_right"] for r in results for p in r["plants"] if "grade_right" in p]
    usd = sum(f[2] for r in results for f in r["false"])
    bounds = wilson(false, clean, 1.96) if clean else None
    return [
        f"False findings: {false} on {clean:,} clean calls"
        + (f", {1e4 * bounds.value:.2f} per 10,000 ({1e4 * bounds.low:.2f}–{1e4 * bounds.high:.2f})" if bounds else "")
        + f"; they claim ${usd:,.2f}.",
        f"Totals right to the cent: {share(sum(r['total_right'] for r in results), len(results))} % of logs.",
        f"Damaged logs whose header range holds the truth: {share(sum(f['right'] for f in faults), len(faults))} %.",
        f"Ledger at or under spend: {share(sum(r['ledger_ok'] for r in results), len(results))} %.",
        f"Stop points off by {max(calls, default=0)} calls at most; change points outside the printed range of days by "
        f"{median(days) if days else 0} at the median, {max(days, default=0)} at most.",
        f"Grades of model comparisons right: {share(sum(graded), len(graded))} %.",
    ]


def short(results: Sequence[Result]) -> str:
    parts = [table(HEAD, rules(results)), table(["planted", "right", "other names"], confusion(results)),
             table(["format", "logs", "found, %", "false per 10,000", "totals right, %", "not checked, rightly"],
                   by_format(results)), "\n".join(totals(results))]  # fmt: skip
    false = Counter((f[0], f[1]) for r in results for f in r["false"])
    parts += [f"false: {rule} on {control or 'nothing planted'}: {n}" for (rule, control), n in false.most_common()]
    missed = Counter(
        (p["rule"], p["variant"], p["strength"], r["job"][3]) for r in results for p in r["plants"]
        if not p["shown"] and p["strength"] != "0.5x" and not p["lacks"]
    )  # fmt: skip
    parts += [f"missed: {' · '.join(key)}: {n}" for key, n in missed.most_common(40)]
    wrong = Counter(
        (p["rule"], p["variant"], p["strength"], r["job"][3]) for r in results for p in r["plants"]
        if p["shown"] and p.get("dollars_right") is False and p["strength"] != "0.5x"
    )  # fmt: skip
    parts += [f"dollars: {' · '.join(key)}: {n}" for key, n in wrong.most_common(40)]
    loud = Counter((p["rule"], p["variant"]) for r in results for p in r["plants"]
                   if p["shown"] and p["strength"] == "0.5x")  # fmt: skip
    parts += [f"not silent under the floor: {' · '.join(key)}: {n}" for key, n in loud.most_common(20)]
    parts += [f"total wrong: {r['job']}" for r in results if not r["total_right"]][:10]
    parts += [f"fault: {r['job']} {f}" for r in results for f in r["faults"] if not f["right"]][:10]
    also = Counter(tuple(a[:2]) for r in results for a in r["also"])
    parts.append("also: " + ", ".join(f"{a[0]} beside {a[1]} {n}" for a, n in also.most_common(20)))
    return "\n\n".join(parts[:4]) + "\n\n" + "\n".join(parts[4:])


def formats(results: Sequence[Result]) -> list[list[str]]:
    """A row a rule: of the problems at the floor and above, found of planted, by format."""
    names = sorted({r["job"][3] for r in results})
    rows = []
    for rule in [kind.name for kind in analyzers()]:
        row = [f"`{rule}`"]
        for name in names:
            plants = [p for r in results if r["job"][3] == name for p in r["plants"] if p["rule"] == rule]
            due = [p for p in plants if p["strength"] != "0.5x" and not p["lacks"]]
            silent = sum(not p["shown"] for p in plants if p["lacks"])
            cell = f"{sum(p['shown'] for p in due)} of {len(due)}" if due else "–"
            row.append(cell + (f" ({silent} not checked)" if silent else ""))
        rows.append(row)
    return [["rule", *names], *rows]


PAGE = """# The scoreboard

Logs whose every problem and every dollar is known, audited with the settings everybody has (tenants' revenue, budgets,
limits and known random assignment are given where a problem needs them). Written by

```text
python bench/score.py --seeds {seeds} --markdown > docs/scoreboard.md
```

Version {version}, rules {code}, price book {book}; {logs} logs, {calls:,} calls, seeds {seeds}. The rules were tuned on
other seeds. Intervals are 95 % Wilson intervals; a cell with few problems says little.

`bench/plant.py` makes healthy traffic, plants problems at half the floor, just above it and at four times the floor
(some on top of each other), puts controls beside them that must stay silent (polling, paging, long runs with new work,
a router that flips the sign, broken scores, growth, a launch, a mix shift, prefixes under the minimum, pauses beyond
every lifetime, cold starts, samples on purpose, evaluation trials, snapshots of streams, unbilled 429s, accepted short
answers, a tool called once a month, agents side by side, labels by forced tool calls, calls that race for a cache, a
router with a key a model, crashes nobody scored, ...), and writes the same calls in eight formats. Dollars of the truth
are arithmetic over the planted calls; the program computes none of them.

What this cannot show: the traffic is made, so its calls are tidier than real ones; the texts are shorter than their
token counts; comparisons of models are planted so that the sample shows what is true of the models (an unlucky sample
proves nothing, and should not). Real data is in the tests.

## By rule

*Found*: rule and subject are right, and at least half of the calls (Jaccard); a change of level within three days.
*Silent*: under the floor nothing is shown. *Dollars right*: within 1 % (exact rules), 10 % (simulated ones), or inside
the printed interval. *Precision*: of all that the rule claims.

{rules}

{totals}

## Causes

What a planted problem was called, where it was called anything.

{confusion}

## By format

{by_format}

Found of planted, at the floor and above; *not checked* is right where the format lacks what the rule needs.

{formats}
"""


def page(results: Sequence[Result], seeds: str, code: str) -> str:
    """The page docs/scoreboard.md."""
    book = pipeline.prices(Settings())
    head, *rows = formats(results)
    return PAGE.format(
        seeds=seeds,
        version=__version__,
        code=code,
        book=book.sha256[:8],
        logs=len(results),
        calls=sum(r["calls"] for r in results),
        rules=table(HEAD, rules(results)),
        totals="\n".join(f"- {line}" for line in totals(results)),
        confusion=table(["planted", "right", "other names"], confusion(results)),
        by_format=table(
            ["format", "logs", "found, %", "false per 10,000", "totals right, %", "not checked, rightly"],
            by_format(results),
        ),
        formats=table(head, rows),
    )
