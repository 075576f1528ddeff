"""Rule tenant-under-water: tenants that cost more than they pay."""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from datetime import date, tzinfo
from decimal import Decimal

import polars as pl

from costaudit.analyze._analyzer import COST, NO_TASK, Analyzer, CannotCheck, Claim, need, option, total_usd
from costaudit.analyze._revenue import Revenue, paid, revenue
from costaudit.analyze._series import local_day
from costaudit.analyze._units import spend_rows
from costaudit.finding import Confidence, Kind, Lever, Severity
from costaudit.price.ledger import Ledger
from costaudit.schema import USD

PLACES = Decimal(1).scaleb(-18)


class TenantUnderWater(Analyzer):
    """Tenants whose requests cost more than the tenant pays.

    ## What it finds
    Tenants whose cost in the audited window is above their revenue, even at the low end of what the log leaves open.
    Revenue comes from the file `revenue:` in costaudit.yaml (tenant, usd a month); months covered in part count by
    days. Cost that belongs to no tenant is never spread over tenants. A range that crosses the line says
    nothing.
    ## Why it costs money
    Such a tenant loses money with every request, and the better it likes the product the more.
    ## What to do
    Look at its dearest tasks and users, set a budget or a ceiling for it, or change its plan.
    ## Example
    ```console
    $ costaudit analyze --config sample_logs/analyzers/tenant-under-water.yaml sample_logs/analyzers/*water.jsonl
    …
           $3.32  northwind: costs $8.32 and pays $5.00, $3.32 under water
                  medium  tenant-under-water · F-92a993 · $3.32 · confidence high · 30 requests
    …
    ```
    """

    name = "tenant-under-water"
    kind = Kind.EXPOSURE
    levers = ("budget",)
    reads = ("started_at", "task", "tenant", "user", "cost_usd", "price_status", "low_usd", "high_usd")

    margin: float = option(0.0, "share", "Part of the revenue that must be left after the cost.")

    def look(self, ledger: Ledger) -> Iterator[Claim]:
        if ledger.settings.revenue is None:
            raise CannotCheck("no revenue file: name one with `revenue:` in costaudit.yaml (tenant, usd a month)")
        calls = spend_rows(ledger.calls).filter(pl.col("started_at").is_not_null())
        need(calls, {"tenant": "no tenant field: map one with `tenants:` in costaudit.yaml"})
        pays = revenue(ledger.settings.revenue)
        zone = ledger.settings.zone
        shares = _covered(calls, zone)
        monthly = _monthly(calls.filter(pl.col("tenant").is_not_null()), zone)
        known = [
            t for t in monthly["tenant"].unique().sort() if any(paid(pays, t, month) is not None for month in shares)
        ]
        if not known:
            raise CannotCheck("the revenue file names no tenant of this log")
        for tenant in known:
            rows = _account(
                tenant, monthly.filter(pl.col("tenant") == tenant), pays, shares, Decimal(1) - Decimal(str(self.margin))
            )
            claim = self._claim(tenant, rows, calls.filter(pl.col("tenant") == tenant), shares)
            if claim is not None:
                yield claim

    def _claim(self, tenant: str, rows: pl.DataFrame, calls: pl.DataFrame, shares: dict[str, Decimal]) -> Claim | None:
        cost, earned = total_usd(rows), total_usd(rows, "revenue_usd")
        line = total_usd(rows, "line_usd")
        low = total_usd(rows, "low_usd")
        if low <= line:
            return None
        unbounded = rows["high_usd"].null_count() > 0
        whole = all(share == 1 for share in shares.values())
        drivers = (
            calls.group_by(pl.col("task").fill_null(NO_TASK), pl.col("user").fill_null("(no user)"))
            .agg(calls=pl.len(), spend_usd=COST.sum())
            .sort("spend_usd", "task", "user", descending=[True, False, False])
            .head(10)
        )
        because = (
            "every month is whole" if whole else "revenue of months that the log covers in part is counted by days"
        )
        short = "short of the margin" if self.margin else "under water"
        return Claim(
            subject={"tenant": tenant},
            title=f"{tenant}: costs ${cost:,.2f} and pays ${earned:,.2f}, {{usd}} {short}",
            remedy="look at its dearest tasks and users, set a budget for it, or change its plan",
            lever=Lever("budget"),
            severity=Severity.HIGH if cost >= 2 * earned else Severity.MEDIUM,
            confidence=Confidence.HIGH if whole else Confidence.MEDIUM,
            evidence=rows,
            because=(because, "cost without a tenant is not spread over tenants"),
            stake_usd=cost - line,
            stake_low=low - line,
            stake_high=None if unbounded else total_usd(rows, "high_usd") - line,
            unbounded=unbounded,
            requests=calls.height,
            details={"drivers": drivers},
        )


def _covered(calls: pl.DataFrame, zone: tzinfo) -> dict[str, Decimal]:
    """Part of each month of the window that lies between the first and the last day of the log."""
    first, last = calls.select(first=local_day(zone).min(), last=local_day(zone).max()).row(0)
    shares: dict[str, Decimal] = {}
    month = first.replace(day=1)
    while month <= last:
        days = calendar.monthrange(month.year, month.month)[1]
        end = min(last, month.replace(day=days))
        shares[f"{month:%Y-%m}"] = Decimal((end - max(first, month)).days + 1) / days
        month = date(month.year + month.month // 12, month.month % 12 + 1, 1)
    return shares


def _monthly(calls: pl.DataFrame, zone: tzinfo) -> pl.DataFrame:
    """tenant, month, cost_usd, low_usd, high_usd (null: no upper bound), unpriced calls included by their range."""
    high = pl.coalesce("high_usd", "cost_usd")
    return (
        calls.group_by("tenant", local_day(zone).dt.strftime("%Y-%m").alias("month"))
        .agg(
            cost_usd=COST.sum(),
            low_usd=pl.coalesce("low_usd", COST).sum(),
            high_usd=pl.when(high.null_count() == 0).then(high.sum()),
        )
        .sort("tenant", "month")
    )


def _account(tenant: str, rows: pl.DataFrame, pays: Revenue, shares: dict[str, Decimal], kept: Decimal) -> pl.DataFrame:
    """Cost and revenue of one tenant by month; months whose revenue is not known are left out on both sides.

    line_usd is what the cost may be: the part `kept` of the revenue. A month that is paid for and not used counts too.
    """
    amounts = {month: paid(pays, tenant, month) for month in shares}
    known = {month: (usd * shares[month]).quantize(PLACES) for month, usd in amounts.items() if usd is not None}
    line = [(usd * kept).quantize(PLACES) for usd in known.values()]
    earned = pl.DataFrame(
        {
            "month": list(known),
            "revenue_usd": pl.Series(list(known.values()), dtype=USD),
            "line_usd": pl.Series(line, dtype=USD),
        }
    )
    zero = pl.lit(Decimal(0), USD)
    unused = pl.col("tenant").is_null()
    return (
        earned.join(rows, on="month", how="left", maintain_order="left")
        .with_columns(
            pl.col("cost_usd", "low_usd").fill_null(zero),
            high_usd=pl.when(unused).then(zero).otherwise("high_usd"),
            tenant=pl.lit(tenant),
        )
        .with_columns(loss_usd=pl.col("cost_usd") - pl.col("line_usd"))
        .select("tenant", "month", "cost_usd", "revenue_usd", "line_usd", "loss_usd", "low_usd", "high_usd")
        .sort("month")
    )
