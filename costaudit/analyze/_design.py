"""How a log came to use two models for one task: what that can prove.

Balance on what a log shows is necessary and never sufficient: a router that reads the question can be balanced on
everything but difficulty. So overlap counts only with a visible mechanism that has not looked at the input.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import NamedTuple

import polars as pl

from costaudit.analyze._swap import R_IN

BALANCED = 0.1  # standardised mean difference (Austin 2009)
BLIND = 0.55  # area under the curve of a classifier that cannot tell the models apart
BINS = 10
LARGEST_TENANTS = 5
SAMPLE = 20_000  # units the classifier looks at
CLEAN = 0.95  # share of units that follow a mechanism
LATE = 0.02  # share of units on the wrong side of a switch
BLOCKS = 6  # stretches of time that make a time split
STRETCH = timedelta(hours=6)  # of the median stretch; shorter ones are a conversation or a batch that kept its model
INSTRUCTIONS = 50  # tokens of an opening block from which two counts of it show how tokenizers differ
TIMES = ("hour_sin", "hour_cos", "weekend")
KEYS = 2  # keys a model; with one each, whoever chose the model chose the key with it


class Balance(NamedTuple):
    """Whether the models got the same kind of work: standardised differences by feature, and a classifier's AUC."""

    table: pl.DataFrame
    worst: float
    feature: str
    auc: float
    noise: float  # standard error of a standardised difference at these sizes

    @property
    def passed(self) -> bool:
        return self.worst < BALANCED and self.auc < BLIND

    @property
    def refuted(self) -> bool:
        """Whether an imbalance is too large for chance: what a declared random assignment must survive."""
        return self.worst > BALANCED + 3.5 * self.noise or self.auc > BLIND + 3.5 * self.noise / 2


def features(units: pl.DataFrame) -> pl.DataFrame:
    """What was known about each unit before its model answered, as numbers; columns without spread are left out.

    A router that works by the week is no experiment either, so whether it was a weekend is among them.
    """
    turn = pl.col("hour").cast(pl.Float64) * (2 * math.pi / 24)
    named = units.select(
        log_tokens=(pl.col("opening_tokens").cast(pl.Int64) + 1).log(),
        history=pl.col("history").cast(pl.Float64),
        tools=pl.col("tools").cast(pl.Float64),
        hour_sin=turn.sin(),
        hour_cos=turn.cos(),
        step=pl.col("step").cast(pl.Float64),
        weekend=(pl.col("started_at").dt.weekday() > 5).cast(pl.Float64),
    )
    largest = (
        units.group_by("tenant").len().drop_nulls().sort("len", "tenant", descending=[True, False])["tenant"]
    ).head(LARGEST_TENANTS)
    own = [
        (pl.col("tenant") == name).fill_null(value=False).cast(pl.Float64).alias(f"tenant {name}") for name in largest
    ]
    table = named.hstack(units.select(own))
    least, most = (table.select(end).row(0) for end in (pl.all().min(), pl.all().max()))
    varied = [c for c, a, b in zip(table.columns, least, most, strict=True) if a is not None and a < b]
    return table.select(varied)


def balance(
    units: pl.DataFrame, is_cheap: pl.Series, seed: int, *, counted_alike: bool = True, timeless: bool = False
) -> Balance:
    """Compare the work two models got.

    units          of the two models
    is_cheap       which model answered each
    counted_alike  whether both are known to count the same text as the same number of tokens, where the log does not
                   show how each counts a prompt that both got; else a difference that a tokenizer explains is none
    timeless       without the hour and the day of the week: of models that came one after the other
    """
    known = features(units).drop(TIMES if timeless else (), strict=False)
    if "log_tokens" in known.columns:
        most = 0.0 if counted_alike else math.log(R_IN[1])
        known = known.with_columns(log_tokens=_recounted(known["log_tokens"], units, is_cheap, most))
    arms = known.with_columns(cheap=is_cheap)
    rows = []
    sides = arms.group_by("cheap").agg(pl.all().mean(), pl.all().var().name.prefix("var ")).sort("cheap")
    for name in known.columns:
        (m_dear, m_cheap), (v_dear, v_cheap) = sides[name].to_list(), sides[f"var {name}"].to_list()
        if None in (m_dear, m_cheap, v_dear, v_cheap):
            rows.append((name, math.inf))  # known for one model only: no balance can be shown
            continue
        spread = math.sqrt((v_dear + v_cheap) / 2)
        rows.append((name, abs(m_cheap - m_dear) / spread if spread else (0.0 if m_cheap == m_dear else math.inf)))
    table = pl.DataFrame(rows, schema={"feature": pl.String, "smd": pl.Float64}, orient="row")
    table = table.sort("smd", "feature", descending=[True, False])
    n_cheap = int(is_cheap.sum())
    noise = math.sqrt(1 / max(n_cheap, 1) + 1 / max(units.height - n_cheap, 1))
    worst, feature = (table["smd"][0], table["feature"][0]) if table.height else (0.0, "")
    return Balance(table, worst, feature, _auc(known, is_cheap, seed), noise)


def _recounted(log_tokens: pl.Series, units: pl.DataFrame, is_cheap: pl.Series, most: float) -> pl.Series:
    """The sizes as if one tokenizer had counted both sides: by what each made of the instructions that both got, else
    at most so far apart.
    """
    shift = _of_tokenizers(units, is_cheap)
    if shift is None:
        medians = [log_tokens.filter(side).median() for side in (is_cheap, ~is_cheap)]
        new, old = (m if isinstance(m, float) else 0.0 for m in medians)
        shift = max(-most, min(most, new - old))
    return log_tokens - shift * is_cheap.cast(pl.Float64)


def _of_tokenizers(units: pl.DataFrame, is_cheap: pl.Series) -> float | None:
    """ln of the cheap model's tokens over the dear one's on equal opening blocks; None where there are none."""
    seen = units.select("first_block", "front", cheap=is_cheap).filter(pl.col("front") >= INSTRUCTIONS)
    sizes = (
        seen.drop_nulls().group_by("first_block", "cheap").agg(pl.median("front"), n=pl.len()).filter(pl.col("n") > 4)
    )
    sides = [sizes.filter(pl.col("cheap") == side).select("first_block", "front") for side in (True, False)]
    both = sides[0].join(sides[1], on="first_block", suffix="_dear")
    return (
        None if both.is_empty() else float(both.select((pl.col("front") / pl.col("front_dear")).log().median()).item())
    )


def _auc(known: pl.DataFrame, is_cheap: pl.Series, seed: int) -> float:
    """Area under the curve of naive Bayes on quantile bins, learned on one half and tried on the other."""
    import numpy as np

    n = known.height
    if n < 4 or not known.width:
        return 0.5
    random = np.random.Generator(np.random.PCG64(seed))
    drawn = random.random(n)
    least = np.argpartition(drawn, SAMPLE)[:SAMPLE] if n > SAMPLE else np.arange(n)
    order = least[np.lexsort((least, drawn[least]))]
    y = is_cheap.to_numpy()[order]
    train = np.arange(len(order)) % 2 == 0
    if not (0 < y[train].sum() < train.sum() and 0 < y[~train].sum() < (~train).sum()):
        return 0.5
    odds = np.zeros(len(order))
    for name in known.columns:
        x = known[name].fill_null(strategy="mean").to_numpy()[order]
        edges = np.unique(np.quantile(x[train], np.arange(1, BINS) / BINS))
        bins = np.searchsorted(edges, x, side="right")
        cheap = np.bincount(bins[train & y], minlength=BINS) + 1.0
        dear = np.bincount(bins[train & ~y], minlength=BINS) + 1.0
        odds += np.log((cheap / cheap.sum()) / (dear / dear.sum()))[bins]
    ranks = pl.Series(odds[~train]).rank("average").to_numpy()
    held = y[~train]
    positive, negative = int(held.sum()), int((~held).sum())
    area = (ranks[held].sum() - positive * (positive + 1) / 2) / (positive * negative)
    return float(max(area, 1 - area))


def mechanism(units: pl.DataFrame, is_cheap: pl.Series) -> str | None:
    """Who chose the model, where the log shows that it was not the input; None: nobody can tell.

    units   of the two models, in order of time
    """
    return _fallback(units, is_cheap) or _key_split(units, is_cheap) or _turns(units, is_cheap)


def _fallback(units: pl.DataFrame, is_cheap: pl.Series) -> str | None:
    """One model answers where the other was limited or out of order."""
    for second in (is_cheap, ~is_cheap):
        arm = units.select("provider", "model")[(~second).arg_true().head(1)]
        after = units["outages"].filter(second).list.contains("/".join(arm.row(0)))
        if after.len() and int(after.sum()) >= CLEAN * after.len():
            return "fallback after limits and outages"
    return None


def _key_split(units: pl.DataFrame, is_cheap: pl.Series) -> str | None:
    keys = (
        units.with_columns(cheap=is_cheap)
        .filter(pl.col("key_id").is_not_null())
        .group_by("key_id")
        .agg(n=pl.len(), cheap=pl.sum("cheap"))
        .with_columns(major=pl.max_horizontal("cheap", pl.col("n") - pl.col("cheap")))
    )
    sides = keys.select(pl.col("cheap") * 2 > pl.col("n")).to_series()
    seen, major = (int(keys[name].sum()) for name in ("n", "major"))
    if seen < CLEAN * units.height or min(int(sides.sum()), int((~sides).sum())) < KEYS:
        return None
    return "split by key" if major >= CLEAN * seen else None


def _turns(units: pl.DataFrame, is_cheap: pl.Series) -> str | None:
    """Models that take turns: at every unit (load balancing) or in long stretches (a split by time)."""
    n = is_cheap.len()
    changes = int((is_cheap != is_cheap.shift(1)).sum() or 0)
    if changes >= CLEAN * (n - 1):
        return "load balancing in turns"
    if BLOCKS - 1 <= changes <= n / 20:
        at = units.select(stretch=is_cheap.rle_id(), at="started_at").group_by("stretch").agg(pl.min("at"))
        usual = at.sort("stretch")["at"].diff().median()
        return "split by time" if isinstance(usual, timedelta) and usual >= STRETCH else None
    return None


def switch_time(units: pl.DataFrame, is_cheap: pl.Series) -> tuple[datetime, int] | None:
    """When the task changed its model once and for all, and +1 where the cheap one came second; None: it did not.

    units   of the two models, in order of time
    """
    n, total = is_cheap.len(), int(is_cheap.sum())
    if not 0 < total < n:
        return None
    before = is_cheap.cast(pl.Int64).cum_sum()  # cheap units among the first i + 1
    place = pl.int_range(1, n + 1, eager=True)
    # Wrong sides where the cheap model comes second: cheap ones before, dear ones after.
    wrong = before + (n - place) - (total - before)
    best, worst = int(wrong.arg_min() or 0), int(wrong.arg_max() or 0)
    for index, errors, sign in ((best, wrong[best], 1), (worst, n - wrong[worst], -1)):
        if errors <= LATE * n and index + 1 < n:
            moment = units["started_at"][index + 1]
            return (moment, sign) if moment is not None else None
    return None
