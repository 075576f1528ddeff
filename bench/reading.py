"""Reading measured: end to end against ccusage and tokscale, each format by itself, memory at its peak. No thresholds.

    python bench/reading.py [--megabytes 1000] [--runs 5] [--folder /tmp/costaudit-bench] [--peers NODE_PREFIX]
                            [--only end-to-end sums formats memory] [--largest 4000] [--markdown FILE]

End to end is `costaudit spend --by day,model` without its cache: reading, de-duplicating, pricing and summing, one
process start included, in turns: ours, theirs, ours, theirs. Peers come from `npm install --prefix NODE_PREFIX ccusage
tokscale bun`, or from PATH; one that is absent, or that does not run, is left out and the reason printed. Logs are
those of `bench/_logs.py`. `--largest` adds one file of as many megabytes to the table of memory, for the peak must not
grow with the log.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import _logs
from _machine import measured_by

sys.path.insert(0, str(Path(__file__).parent.parent))

MIB = 2**20
OURS = "costaudit"
PARTS = ("end-to-end", "sums", "formats", "memory")
SAMPLED_S = 0.02  # between looks at the memory of the process tree


@dataclass
class Run:
    """One run of a program: seconds, CPU seconds of it and its children, peak of the tree's memory [bytes]."""

    wall: float
    cpu: float
    peak: int = 0


@dataclass
class Table:
    """Rows as they are printed."""

    title: str
    heads: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        lines = [
            f"### {self.title}",
            "",
            f"| {' | '.join(self.heads)} |",
            "| --- |" + " ---: |" * (len(self.heads) - 1),
        ]
        lines += [f"| {' | '.join(row)} |" for row in self.rows]
        return "\n".join([*lines, *(f"\n{note}" for note in self.notes)]) + "\n"

    def text(self) -> str:
        grid = [self.heads, *self.rows]
        widths = [max(len(row[n]) for row in grid) for n in range(len(self.heads))]
        lines = [
            "  ".join(
                cell.ljust(w) if n == 0 else cell.rjust(w) for n, (cell, w) in enumerate(zip(row, widths, strict=True))
            )
            for row in grid
        ]
        return "\n".join([self.title, *lines, *self.notes])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/costaudit-bench"))
    parser.add_argument("--peers", type=Path, default=Path())
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--largest", type=int, help="megabytes of one more file whose reading's memory is measured")
    parser.add_argument("--markdown", type=Path, help="write the section for docs/performance.md")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--cache", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.read:
        print(json.dumps(read(given.read, given.cache)))
        return
    given.folder.mkdir(parents=True, exist_ok=True)
    made = {"end-to-end": end_to_end, "sums": sums, "formats": formats, "memory": memory}
    tables = [made[part](given) for part in given.only]
    print("\n\n".join(table.text() for table in tables))
    if given.markdown:
        given.markdown.write_text(section(tables, given), encoding="utf-8")


def section(tables: Sequence[Table], given: argparse.Namespace) -> str:
    largest = f" --largest {given.largest}" if given.largest else ""
    command = f"bench/reading.py --megabytes {given.megabytes} --runs {given.runs}{largest}"
    head = f"{measured_by(command)}; logs in the page cache, medians.\n"
    return "\n".join([head, *(table.markdown() for table in tables)])


# --- what is measured -------------------------------------------------------------------------------------------------


def read(path: Path, cache: Path | None = None) -> dict[str, float]:
    """Wall and CPU seconds of reading a log, imports apart."""
    from costaudit.ingest import formats as known
    from costaudit.ingest import ingest

    known()
    wall, begun = time.perf_counter(), os.times()
    requests = ingest([path], cache=cache).requests.height
    wall, ended = time.perf_counter() - wall, os.times()
    return {"requests": requests, "wall": wall, "cpu": sum(ended[:4]) - sum(begun[:4])}


def timed(command: Sequence[str], env: Mapping[str, str] | None = None, *, sampled: bool = False) -> Run:
    """Run a program to its end; raises RuntimeError with what it said where it fails."""
    begun = time.perf_counter()
    with subprocess.Popen(
        command, env={**os.environ, **(env or {})}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        watch = _Watch(process.pid) if sampled else None
        said = process.stderr.read() if process.stderr else b""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - begun
        peak = watch.stop() if watch else 0
    if process.returncode:
        raise RuntimeError((said.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1][:200])
    return Run(wall, usage.ru_utime + usage.ru_stime, peak)


class _Watch:
    """The memory of a process and all its children, each shared page counted once (PSS), at its peak."""

    def __init__(self, pid: int) -> None:
        self.pid, self.peak, self.over = pid, 0, threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()

    def stop(self) -> int:
        self.over.set()
        self.thread.join()
        return self.peak

    def _look(self) -> None:
        while not self.over.wait(SAMPLED_S):
            self.peak = max(self.peak, sum(_pss(pid) for pid in _tree(self.pid)))


def _tree(pid: int) -> list[int]:
    found = [pid]
    for one in found:
        try:
            for children in Path(f"/proc/{one}/task").glob("*/children"):
                found += map(int, children.read_text().split())
        except OSError:
            continue
    return found


def _pss(pid: int) -> int:
    try:
        said = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in said.splitlines() if line.startswith("Pss:")), 0)


# --- against the peers ------------------------------------------------------------------------------------------------


def end_to_end(given: argparse.Namespace) -> Table:
    """Ours and the peers on one folder of Claude Code sessions, in turns."""
    log = _logs.made("claude-code", given.megabytes * 1_000_000, given.seed, given.folder)
    home = _home(given.folder, log)
    programs: dict[str, tuple[list[str], dict[str, str]]] = {OURS: (_spend(log), _installed(given.folder))}
    table = Table(
        f"Claude Code, {given.megabytes:,} MB, end to end",
        ("program", "wall s", "CPU s", "MB/s", "peak MiB", f"wall of {OURS} / its wall, pairs"),
    )
    for name, found in (("ccusage", ccusage(given.peers)), ("tokscale", tokscale(given.peers))):
        if isinstance(found, str):
            table.notes.append(f"{name} left out: {found}")
        else:
            programs[name] = (found, home)
    runs: dict[str, list[Run]] = {name: [] for name in programs}
    for name, (command, env) in list(programs.items()):
        try:
            timed(command, env)  # the page cache is warm from here on
        except RuntimeError as problem:
            if name == OURS:
                raise
            table.notes.append(f"{name} left out: {problem}")
            del programs[name], runs[name]
    for _ in range(given.runs):
        for name, (command, env) in programs.items():
            runs[name].append(timed(command, env))
    for name, (command, env) in programs.items():
        peak = timed(command, env, sampled=True).peak
        mine = runs[name]
        wall = statistics.median(r.wall for r in mine)
        pairs = [ours.wall / theirs.wall for ours, theirs in zip(runs[OURS], mine, strict=True)]
        shown = "" if name == OURS else f"{statistics.median(pairs):.2f} ({min(pairs):.2f} to {max(pairs):.2f})"
        table.rows.append(
            (
                name, f"{wall:.2f}", f"{statistics.median(r.cpu for r in mine):.2f}",
                f"{given.megabytes / wall:,.0f}", f"{peak / MIB:,.0f}", shown,
            )
        )  # fmt: skip
    return table


def _spend(log: Path) -> list[str]:
    ask = ["spend", str(log), "--by", "day,model", "--format", "json", "--no-cache"]
    return [sys.executable, "-m", "costaudit", *ask]


def ccusage(peers: Path) -> list[str] | str:
    script = peers / "node_modules" / "ccusage" / "src" / "cli.js"
    native = next(iter(sorted(peers.glob("node_modules/@ccusage/*/bin/ccusage"))), None)
    ask = ["daily", "--offline", "--json", "--breakdown"]
    if native is not None and os.access(native, os.X_OK):
        return [str(native), *ask]  # without the 0.1 s that starting node takes
    if script.exists() and shutil.which("node"):
        return ["node", str(script), *ask]
    found = shutil.which("ccusage")
    return [found, *ask] if found else f"not below {peers} and not on PATH"


def tokscale(peers: Path) -> list[str] | str:
    script = peers / "node_modules" / "tokscale" / "bin.js"
    bun = peers / "node_modules" / ".bin" / "bun"
    found = str(bun) if bun.exists() else shutil.which("bun")
    if not script.exists():
        return f"not below {peers}"
    return (
        [found, str(script), "models", "--claude", "--json", "--no-spinner"]
        if found
        else "bun, which runs it, is absent"
    )


def _installed(folder: Path) -> dict[str, str]:
    """Modules are compiled once, as installing them does."""
    known = os.environ.get("PYTHONPATH", "")
    return {
        "PYTHONPYCACHEPREFIX": str(folder / "pycache"),
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(Path(__file__).parent.parent), known))),
    }


def _home(folder: Path, log: Path) -> dict[str, str]:
    """A home where the peers find the sessions, and tokscale the prices it would else fetch."""
    home = folder / f"home-{log.name}"
    projects = home / ".claude" / "projects"
    projects.parent.mkdir(parents=True, exist_ok=True)
    if not projects.is_symlink():
        projects.symlink_to(log.resolve(), target_is_directory=True)
    cache = home / ".cache" / "tokscale"
    cache.mkdir(parents=True, exist_ok=True)
    rates = {"input_cost_per_token": 3e-6, "output_cost_per_token": 15e-6, "cache_read_input_token_cost": 3e-7,
             "cache_creation_input_token_cost": 3.75e-6}  # fmt: skip
    for name, data in (("litellm", dict.fromkeys(_logs.CLAUDE, rates)), ("openrouter", {})):
        said = {"timestamp": int(time.time()), "data": data}
        (cache / f"pricing-{name}.json").write_text(json.dumps(said))
    return {"HOME": str(home), "CLAUDE_CONFIG_DIR": str(home / ".claude"), "XDG_CACHE_HOME": str(home / ".cache")}


# --- by format, and memory --------------------------------------------------------------------------------------------


def sums(given: argparse.Namespace) -> Table:
    """Each format by itself, end to end, where nothing but its sums is wanted."""
    table = Table(f"Sums alone, {given.megabytes:,} MB each, end to end", ("format", "wall s", "CPU s", "MB/s"))
    for kind in _logs.KINDS:
        log = _logs.made(kind, given.megabytes * 1_000_000, given.seed, given.folder)
        command, env = _spend(log), _installed(given.folder)
        timed(command, env)  # the page cache is warm from here on
        runs = [timed(command, env) for _ in range(given.runs)]
        wall, cpu = statistics.median(r.wall for r in runs), statistics.median(r.cpu for r in runs)
        table.rows.append((kind, f"{wall:.2f}", f"{cpu:.2f}", f"{given.megabytes / wall:,.0f}"))
    return table


def formats(given: argparse.Namespace) -> Table:
    """Each format by itself: reading, fingerprints and de-duplication, without imports and pricing."""
    table = Table(
        f"Reading alone, {given.megabytes:,} MB each",
        ("format", "requests", "wall s", "CPU s", "MB/s", "µs CPU a request"),
    )
    for kind in _logs.KINDS:
        log = _logs.made(kind, given.megabytes * 1_000_000, given.seed, given.folder)
        runs = [_read(log) for _ in range(given.runs)]
        wall, cpu = (statistics.median(run[name] for run in runs) for name in ("wall", "cpu"))
        calls = runs[0]["requests"]
        table.rows.append(
            (
                kind,
                f"{calls:,.0f}",
                f"{wall:.2f}",
                f"{cpu:.2f}",
                f"{given.megabytes / wall:,.0f}",
                f"{cpu / calls * 1e6:,.0f}",
            )
        )
    return table


def _read(log: Path) -> dict[str, float]:
    command = [sys.executable, str(Path(__file__)), "--read", str(log)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def memory(given: argparse.Namespace) -> Table:
    """The peak of the process tree where memory is hardest to bound."""
    table = Table("Peak memory of the process tree, shared pages once", ("log", "wall s", "peak MiB"))
    size = given.megabytes * 1_000_000
    logs = {
        f"Claude Code, {given.megabytes:,} MB in many files": _logs.made("claude-code", size, given.seed, given.folder),
        f"Claude Code, {2 * given.megabytes:,} MB in {_logs.FILES:,} files": _logs.made(
            "many-files", 2 * size, given.seed, given.folder
        ),
        f"Claude Code, one file of {2 * given.megabytes:,} MB": _logs.made(
            "one-file", 2 * size, given.seed, given.folder
        ),
        "Claude Code, one line of 200 MB": _logs.made("one-line", 200_000_000, given.seed, given.folder),
        f"Chat Completions, one file of {given.megabytes:,} MB": _logs.made(
            "openai-chat", size, given.seed, given.folder
        ),
        f"OTLP, one file of {given.megabytes:,} MB": _logs.made("otlp", size, given.seed, given.folder),
    }
    if given.largest:
        name = f"Chat Completions, one file of {given.largest:,} MB"
        logs[name] = _logs.made("openai-chat", given.largest * 1_000_000, given.seed, given.folder)
    command = [sys.executable, str(Path(__file__)), "--read"]
    for name, log in logs.items():
        run = timed([*command, str(log)], sampled=True)
        table.rows.append((name, f"{run.wall:.2f}", f"{run.peak / MIB:,.0f}"))
    name, log = list(logs.items())[-1]
    with tempfile.TemporaryDirectory(dir=given.folder) as cache:
        for what in ("kept in the cache", "taken from the cache"):
            run = timed([*command, str(log), "--cache", cache], sampled=True)
            table.rows.append((f"{name}, {what}", f"{run.wall:.2f}", f"{run.peak / MIB:,.0f}"))
    name, log = next((name, log) for name, log in logs.items() if log.name.startswith("many-files"))
    for what, run in _stored(log, given.folder):
        table.rows.append((f"{name}, {what}", f"{run.wall:.2f}", f"{run.peak / MIB:,.0f}"))
    return table


def _stored(log: Path, folder: Path) -> Iterator[tuple[str, Run]]:
    """A log merged into a new store and into a full one, as the program does it: with its cache, and without."""
    with tempfile.TemporaryDirectory(dir=folder) as home:
        env = {**_installed(folder), "XDG_CACHE_HOME": str(Path(home, "cache"))}
        command = [
            sys.executable,
            "-m",
            "costaudit",
            "ingest",
            str(log),
            "--store",
            str(Path(home, "store")),
            "--quiet",
        ]
        yield "into a new store", timed(command, env, sampled=True)
        yield "into the full store, from the cache", timed(command, env, sampled=True)
        for path in sorted(log.rglob("*.jsonl"))[::2]:
            path.touch()
        yield "into the full store, every other file touched", timed(command, env, sampled=True)
        yield "into the full store, all read again", timed([*command, "--no-cache"], env, sampled=True)


if __name__ == "__main__":
    main()
