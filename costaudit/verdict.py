"""What the gate and the monthly review say, as data: the nouns between comparison and rendering."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal, localcontext
from enum import StrEnum

import msgspec
import polars as pl

from costaudit.audit import Audit, Window
from costaudit.finding import Kind
from costaudit.price.bridge import Bridge
from costaudit.price.mix import EXACT
from costaudit.reconciliation import Reconciliation
from costaudit.stats import Interval, Outlook


class Verdict(StrEnum):
    """What the gate says about a task."""

    FAIL = "FAIL"
    PASS = "PASS"
    CANNOT_TELL = "CANNOT TELL"
    CANNOT_JUDGE = "CANNOT JUDGE"


class PromptChange(msgspec.Struct, frozen=True):
    """The first place where the prompts of a task differ between two sides.

    position       message, counted from 1; 0: the declared tools, which stand before all messages
    before_tokens  of the message, baseline; after_tokens: candidate
    share          of the candidate's units whose prompts have it
    behind_tokens  of the prompt behind it, in the first call of a unit; None: not known
    tools          the declared tools differ too
    only_one       only one side's prompts go on alike to this place
    """

    position: int
    before_tokens: int | None = None
    after_tokens: int | None = None
    share: float | None = None
    behind_tokens: int | None = None
    tools: bool = False
    only_one: bool = False


class BudgetVerdict(msgspec.Struct, frozen=True):
    """One budget of the settings against the candidate's own spend.

    name        `task research, a run`
    subject     as the rule `budget-overrun` names it
    limit_usd   the budget [USD]
    of          periods (days, weeks, months), runs or calls looked at; over: of these, past the budget
    worst       the dearest of them, and its cost: worst_usd [USD]
    beyond_usd  what those over cost past the budget, together [USD]
    accepted    it is over, but somebody accepted it: passes, and says so
    """

    name: str
    subject: Mapping[str, str]
    limit_usd: Decimal
    verdict: Verdict
    why: str
    of: int = 0
    over: int = 0
    worst: str = ""
    worst_usd: Decimal | None = None
    beyond_usd: Decimal = Decimal(0)
    accepted: bool = False


class TaskVerdict(msgspec.Struct, frozen=True):
    """One task of the gate.

    units          units (cases, runs, calls) compared, baseline and candidate
    left_out       units not compared: something in them has no price, or their case is on one side only
    unit_usd       mean cost of a unit, baseline and candidate; None where nothing is known [USD]
    ratio          candidate over baseline, with the ends of a 90 % interval; None where it has no meaning
    median_ratio   a side line: the mean decides, because the mean is what is paid
    token_ratio    the same ratio in tokens
    detectable     smallest ratio that 8 of 10 such comparisons would fail
    needed         units a side (pairs, where paired) at which one at the end of the margin would fail
    month_units    units of last month, where known; month_usd: the effect at that volume [USD]
    bridge         of the cost of a unit, on FAIL
    prompt         what differs first in the prompts, on FAIL; None where nothing is known to
    advice         how to run the candidate so that more can be told; "" for none
    accepted       it would fail, but somebody accepted it: passes, and says so
    """

    task: str
    verdict: Verdict
    why: str
    units: tuple[int, int] = (0, 0)
    left_out: tuple[int, int] = (0, 0)
    unit_usd: tuple[Decimal | None, Decimal | None] = (None, None)
    paired: bool = False
    ratio: Interval | None = None
    median_ratio: float | None = None
    token_ratio: float | None = None
    p: float | None = None
    detectable: float | None = None
    needed: int | None = None
    month_units: float | None = None
    month_usd: Decimal | None = None
    bridge: Bridge | None = None
    prompt: PromptChange | None = None
    advice: str = ""
    accepted: bool = False


class SideLabel(msgspec.Struct, frozen=True):
    """Where one side of a comparison came from."""

    name: str
    window: Window
    calls: int
    coverage: float


class Gate(msgspec.Struct, frozen=True):
    """The answer of `check`: one row a task, the loudest verdict first.

    overall    Σ baseline share × task ratio: a change of mix between tasks does not move it
    priced_on  the day whose prices both sides pay
    month      where the volume of a month comes from; "": it is not known
    budgets    one row a budget of the settings
    """

    rows: tuple[TaskVerdict, ...]
    baseline: SideLabel | None
    candidate: SideLabel
    tolerance: float
    pass_margin: float
    overall: Interval | None
    overall_tokens: float | None
    priced_on: date | None
    exit_code: int
    notes: tuple[str, ...] = ()
    month: str = ""
    budgets: tuple[BudgetVerdict, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The gravest one said: a failure is never hidden by a task that cannot be judged."""
        order = (Verdict.FAIL, Verdict.CANNOT_JUDGE, Verdict.CANNOT_TELL)
        said = {row.verdict for row in self.rows} | {row.verdict for row in self.budgets}
        return next((v for v in order if v in said), Verdict.PASS if said else Verdict.CANNOT_JUDGE)


class Standing(StrEnum):
    """What became of a finding from one month to the next."""

    NEW = "new"
    OPEN = "still open"
    SMALL = "below the floor"  # or accepted: it is there, and not shown
    FIXED = "fixed"
    GONE = "gone"  # with the work it was about: nothing was fixed
    UNSEEN = "not checked"


class Followed(msgspec.Struct, frozen=True):
    """A finding of this month, of the month before, or of both (same rule and subject).

    before_usd, now_usd  its dollars in either month; None: it was not shown there
    promised   of a fixed one: what it was to save at this month's volume, with its interval [USD]
    measured   of a fixed one: what a unit of its task (or tenant, model) costs less, times this month's units, with a
               90 % interval [USD]; other changes of the same work are in it; None where it cannot be measured
    """

    standing: Standing
    id: str
    rule: str
    kind: Kind
    title: str
    before_usd: Decimal | None
    now_usd: Decimal | None
    promised: tuple[Decimal, Decimal, Decimal | None] | None = None
    measured: Interval | None = None


class Regression(msgspec.Struct, frozen=True):
    """A change of unit cost for the worse, and the day from which it holds; None: against the month before."""

    since: date | None
    title: str
    usd: Decimal
    finding: str


class Coming(msgspec.Struct, frozen=True):
    """Where spend goes from the last day of the log in this month.

    end        what this month comes to, spent so far included; None: the month is over
    following  spend of the next month; None: it lies farther ahead than the log reaches back
    """

    outlook: Outlook
    end: Interval | None
    following: Interval | None
    following_label: str


class Month(msgspec.Struct, frozen=True):
    """The monthly review.

    audit          this month: window, coverage, spend, findings
    before_window  the month compared with; before_usd, before_share: its spend and the share of it that is priced,
                   None where the logs hold nothing of it
    bridge         from the month before to this one; its bars add up to the change
    tables         by `task`, `model`, `tenant`: the name, cost_usd, before_usd, change_usd, units, units_before,
                   unit_usd, unit_before_usd; rows add up to both totals. A unit is a run (`price.mix.unit`),
                   for models a request. `trend`: spend of the last weeks of the log, the oldest first [USD]
    drill          task, model, tenant, before_usd, cost_usd, change_usd: where the change happened, the largest first;
                   rows add up to both totals
    price_events   model, on, class, before_usd, after_usd (per published unit), announced; of models used
    price_effects  (model, day) -> dollars of the event: of calls since then, or announced, of the last 28 days again
    followed       findings new, still open, fixed; None: there is no month to compare with
    regressions    in order of their day
    budgets        see `analyze.budget_overrun.standing`; None: none is set
    bill           the month's calls against an export of the provider; None: none was given
    """

    audit: Audit
    label: str
    before_label: str
    before_window: Window
    before_usd: Decimal | None
    before_share: float | None
    bridge: Bridge | None
    tables: Mapping[str, pl.DataFrame]
    price_events: pl.DataFrame
    notes: tuple[str, ...] = ()
    drill: pl.DataFrame | None = None
    price_effects: Mapping[tuple[str, date], Decimal] = msgspec.field(default_factory=dict)
    followed: tuple[Followed, ...] | None = None
    regressions: tuple[Regression, ...] = ()
    budgets: pl.DataFrame | None = None
    coming: Coming | None = None
    bill: Reconciliation | None = None

    @property
    def change_usd(self) -> Decimal | None:
        if self.before_usd is None:
            return None
        with localcontext(prec=EXACT):
            return self.audit.spend.total_usd - self.before_usd
