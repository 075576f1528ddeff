"""Accept a finding on purpose: until a day, up to an amount, with a reason"""

from __future__ import annotations

import getpass
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from costaudit.commands import _options as options
from costaudit.commands._output import emit, progress

if TYPE_CHECKING:
    from costaudit.config import Node, Settings, Suppression
    from costaudit.finding import Finding
    from costaudit.pipeline import Progress

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_ .@/-]*[A-Za-z0-9]")
_WORDS = frozenset(("true", "false", "yes", "no", "on", "off", "null"))  # YAML reads them as something else


def command(
    finding: Annotated[
        str,
        typer.Argument(
            metavar="FINDING|RULE", help="Its id in the report, e.g. F-3ac91b; or the name of a rule, with --subject."
        ),
    ],
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="PATH", help="The logs in which it is found; none with --subject.")
    ] = None,
    until: Annotated[
        str, typer.Option(metavar="DATE", help="The last day it is accepted; then it is open again.")
    ] = "",
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for whoever reads it next.")] = "",
    owner: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who answers for it; else you, as this machine knows you.")
    ] = None,
    max_usd: Annotated[
        str | None, typer.Option("--max", metavar="USD", help="Dollars a month past which it is open again.")
    ] = None,
    subject: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="What the rule speaks of, e.g. task=triage (repeatable)."),
    ] = None,
    config: options.Config = None,
    tz: options.Zone = None,
    tasks: options.Tasks = None,
    outcomes: options.Outcomes = None,
    prices: options.Prices = None,
    no_cache: options.NoCache = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Write into costaudit.yaml that a finding is accepted; everything else in the file stays as it is.

    The finding is left out of reports, and a regression of that task passes `check`, until the day is over or the
    amount is passed; it is counted all the while. Without logs, name the rule and its subject:
    `costaudit suppress cost-regression --subject task=triage`.

    Exit code: 0 written; 2 wrong usage, no such finding, or nothing it could change.
    """
    from costaudit.config import FILE_NAME, Suppression, find

    asked = _Asked.of(until, reason, owner, max_usd)
    settings = options.settings(config, no_cache=no_cache, tz=tz, tasks=tasks, outcomes=outcomes, prices_dir=prices)
    with progress(quiet=quiet, verbose=verbose) as show:
        rule, named, title = _subject(finding, paths or [], subject or [], settings, asked, show)
    added = Suppression(rule, named, asked.owner, asked.reason, asked.until, asked.max_usd)
    _not_there_already(added, settings)
    target = config or find(Path.cwd()) or Path(FILE_NAME)
    lines = entry(added)
    text = write(target, lines)
    emit(text, target)
    shown = "\n".join(f"  {line}" for line in lines)
    cap = f", up to ${asked.max_usd:f} a month" if asked.max_usd is not None else ""
    emit(f"{_clean(title)}\naccepted until {asked.until}{cap}, in {_clean(str(target))}:\n{shown}\n")


class _Asked(msgspec.Struct, frozen=True):
    until: date
    reason: str
    owner: str
    max_usd: Decimal | None

    @classmethod
    def of(cls, until: str, reason: str, owner: str | None, max_usd: str | None) -> _Asked:
        from costaudit.config import MAX_USD
        from costaudit.errors import UsageError

        if not until:
            raise UsageError(
                "--until is missing",
                hint="an exception without an end never ends: --until 2027-01-31; `costaudit analyze PATH -v` lists "
                "those there are",
            )
        try:
            day = date.fromisoformat(until)
        except ValueError:
            raise UsageError(f"--until is no date: {until}", hint="e.g. 2027-01-31") from None
        if not reason.strip():
            raise UsageError("--reason is missing", hint='say why, for whoever reads it next: --reason "..."')
        owner = _me() if owner is None else owner
        if not owner.strip():
            raise UsageError("--owner is empty", hint="who answers for it, e.g. a name or an address")
        if max_usd is None:
            return cls(day, reason, owner, None)
        try:
            usd = Decimal(max_usd.removeprefix("$").replace("_", ""))
        except InvalidOperation:
            usd = Decimal("NaN")
        if not usd.is_finite() or not 0 < usd < MAX_USD:
            raise UsageError(f"--max is no amount in US dollars: {max_usd}", hint="e.g. --max 80")
        return cls(day, reason, owner, usd)


def _me() -> str:
    """The user as the environment knows them; an address where there is one."""
    named = os.environ.get("GIT_AUTHOR_EMAIL") or os.environ.get("EMAIL") or ""
    try:
        return named or getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return ""


def _subject(
    wanted: str,
    paths: Sequence[str],
    pairs: Sequence[str],
    settings: Settings,
    asked: _Asked,
    show: Progress | None,
) -> tuple[str, Mapping[str, str], str]:
    """Rule, subject and what to call it: from a finding of the logs, or as the user names them."""
    from costaudit.errors import UsageError
    from costaudit.pipeline import checked

    if not pairs:
        if not paths:
            raise UsageError(
                f"in which logs is {wanted} found?", hint=f"costaudit suppress {wanted} PATH..., as for analyze"
            )
        found = _find(wanted, paths, settings, asked, show)
        return found.rule, found.subject, f"{found.id} {found.title}"
    if paths:
        raise UsageError("--subject needs no logs", hint="leave PATH out, or leave --subject out and give a finding")
    named: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key or not value.strip():
            raise UsageError(f"not KEY=VALUE: {pair}", hint="e.g. --subject task=triage")
        named[key] = value
    from msgspec.structs import replace

    from costaudit.config import Suppression

    trial = Suppression(wanted, named, asked.owner, asked.reason, asked.until, where="FINDING")
    rule = checked(replace(settings, suppressions=(trial,))).suppressions[0].rule
    return rule, named, f"{rule} of {', '.join(f'{key} {value}' for key, value in named.items())}"


def _find(wanted: str, paths: Sequence[str], settings: Settings, asked: _Asked, show: Progress | None) -> Finding:
    """The finding in the logs; UsageError where accepting it so would change nothing."""
    from costaudit import pipeline
    from costaudit.analyze._standing import last_day, months_of
    from costaudit.commands.show import find
    from costaudit.errors import UsageError
    from costaudit.known import Known

    before = Known(paths, settings)
    settings = pipeline.checked(settings)
    known = pipeline.load(paths, settings, show)
    audit = before.audit(make=lambda: pipeline.audited(known, settings, paths))
    for one in audit.accepted:
        if one.finding and one.finding.upper() == wanted.strip().upper() and one not in audit.reopened:
            raise UsageError(f"{one.finding} is accepted until {one.by.until}", hint=f"change it there: {one.by.where}")
    found = find(wanted, audit)
    latest, months = last_day(known.calls), months_of(known.calls)
    if latest > asked.until:
        raise UsageError(f"--until {asked.until} is over before the log ends, on {latest}", hint="give a later day")
    if asked.max_usd is not None and found.amount_usd > asked.max_usd * months:
        raise UsageError(
            f"{found.id} is past --max {asked.max_usd:f} already: ${found.amount_usd / months:,.2f} a month",
            hint="give a higher amount, or leave it out",
        )
    return found


def _not_there_already(added: Suppression, settings: Settings) -> None:
    from costaudit.errors import UsageError

    for old in settings.suppressions:
        if (old.rule, dict(old.subject)) == (added.rule, dict(added.subject)) and old.until >= added.until:
            raise UsageError(f"accepted until {old.until} already", hint=f"change it there: {old.where}")


def entry(added: Suppression) -> list[str]:
    """The lines of a suppression in a settings file."""
    subject = ", ".join(f"{_yaml(key)}: {_yaml(value)}" for key, value in added.subject.items())
    lines = [
        f"rule: {added.rule}",
        f"subject: {{{subject}}}",
        f"owner: {_yaml(added.owner)}",
        f"reason: {_yaml(added.reason)}",
        f"until: {added.until}",
    ]
    return [*lines, f"max_usd: {added.max_usd:f}"] if added.max_usd is not None else lines


def write(target: Path, lines: Sequence[str]) -> str:
    """The file's text with the entry in it, proved: read again it says what it said, and this.

    ConfigError, with the lines to add by hand, where that cannot be done.
    """
    from costaudit.config import Settings, append, parse
    from costaudit.errors import ConfigError

    old = target.read_bytes().decode("utf-8") if target.exists() else ""
    before = parse(target) if target.exists() else None
    try:
        text = append.with_item(old, "suppressions", lines, str(target))
        with tempfile.TemporaryDirectory(dir=target.absolute().parent, prefix=".costaudit-") as folder:
            trial = Path(folder) / target.name
            trial.write_bytes(text.encode())
            Settings.load(trial, start=trial.parent)
            after = parse(trial)
        _same_but_one(before, after, target)
    except ConfigError as error:
        error.hint = "\n".join([error.hint or append.PASTE, *(f"  {line}" for line in lines)])
        raise
    return text


def _same_but_one(before: Node | None, after: Node | None, target: Path) -> None:
    """ConfigError unless the file says what it said before, and one more suppression at the end of them."""
    from costaudit.config import append
    from costaudit.errors import ConfigError

    said, says = (dict(node.plain()) if node else {} for node in (before, after))
    *kept, _ = says.pop("suppressions")
    if kept != (said.pop("suppressions", None) or []) or says != said:
        raise ConfigError(f"{target} would not say the same as before", hint=append.PASTE)


def _yaml(text: str) -> str:
    from costaudit.report._text import printable_yaml

    return text if _PLAIN.fullmatch(text) and text.lower() not in _WORDS else printable_yaml(text)


def _clean(text: str) -> str:
    from costaudit.report._text import clean

    return clean(text)
