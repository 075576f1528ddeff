"""What a log says about quality, and the guards a score must pass before it may compare models."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

import msgspec
import polars as pl

from costaudit.stats import robust_z, wilson
from costaudit.words import percent

SCALES = (1.0, 5.0, 10.0, 100.0)  # the usual tops of a score; a margin of points is a share of the scale
ENOUGH = 30  # units before a guard may judge a model
LABELS = 20  # distinct answers up to which a task looks like a choice among labels
STRAY = 4.0  # robust z from which a model's mean cannot be its own
POINTS = 0.05  # differences of a mean, or of the share of missing scores, that break a comparison
PEERS = 4  # models a robust spread needs
LENGTH = 0.9  # rank correlation of scores with the length of the answers, in every model, from which they are lengths


class Quality(msgspec.Struct, frozen=True):
    """The best quality measure of a task.

    level   S3: outcome of the work; S2: form of the answer
    name    column it was read from
    binary  whether it is 0 or 1
    scale   what the measure was divided by
    """

    level: str
    name: str
    binary: bool
    scale: float = 1.0


def measure(task: pl.DataFrame) -> tuple[pl.DataFrame, Quality | None]:
    """The units of one task with `quality` in 0..1 (null: not known), and what it is; None: nothing is known.

    Success outranks a score, a score outranks the form of the answer; form counts only where it varies or nothing
    better exists.
    """
    if task["success"].null_count() < task.height:
        return task.with_columns(quality=pl.col("success").cast(pl.Float64)), Quality("S3", "success", binary=True)
    score = pl.col("score").fill_nan(None)
    known = task.select(score)["score"].drop_nulls()
    if known.len():
        low, high = float(known.min()), float(known.max())  # type: ignore[arg-type]
        scale = next((top for top in SCALES if high <= top), high) if low >= 0 else high - low
        base = 0.0 if low >= 0 else low
        values = task.with_columns(quality=(score - base) / (scale or 1.0))
        binary = bool(values["quality"].drop_nulls().is_in([0.0, 1.0]).all())
        return values, Quality("S3", "score", binary, scale)
    if task["well_formed"].null_count() < task.height:
        values = task.with_columns(quality=pl.col("well_formed").cast(pl.Float64))
        return values, Quality("S2", "form of the answer", binary=True)
    return task.with_columns(quality=pl.lit(None, pl.Float64)), None


def broken(task: pl.DataFrame, quality: Quality, stated: float | None, answers: int | None) -> str | None:
    """Why the scores of a task cannot be believed; None where nothing speaks against them.

    task     units with `quality`, provider, model
    stated   what somebody else says the mean is, 0..1
    answers  distinct answers of the task, where they are few enough to be labels
    """
    known = task.filter(pl.col("quality").is_not_null())
    mean = known["quality"].mean()
    if known.height < ENOUGH or not isinstance(mean, float):
        return None
    if stated is not None and abs(mean - stated) > POINTS:
        return f"the mean is {percent(mean, 1)} where {percent(stated, 1)} is stated"
    if quality.level == "S3" and known["quality"].n_unique() == 1:
        return f"every known {quality.name} is the same"
    models = (
        task.filter(pl.col("model").is_not_null())
        .group_by("provider", "model")
        .agg(
            mean=pl.mean("quality"),
            good=pl.sum("quality"),
            known=pl.col("quality").count(),
            missing=pl.col("quality").is_null().mean(),
        )
        .filter(pl.col("known") >= ENOUGH)
        .sort("provider", "model")
    )
    return _guessing(models, quality, answers) or _stray(models) or _missing(models) or _length(known, quality)


def _guessing(models: pl.DataFrame, quality: Quality, answers: int | None) -> str | None:
    if answers is None or not quality.binary or quality.level != "S3" or not 2 <= answers <= LABELS:
        return None
    for model, good, known in models.select("model", "good", "known").iter_rows():
        if wilson(round(good), known).high < 1 / answers:
            return f"{model} scores below guessing among {answers} labels"
    return None


def _stray(models: pl.DataFrame) -> str | None:
    means = models["mean"].to_list()
    if len(means) < PEERS:
        return None
    middle = median(means)
    for model, mean, z in zip(models["model"], means, robust_z(means), strict=True):
        if abs(z) > STRAY and abs(mean - middle) > POINTS:
            return f"{model} scores {percent(mean, 1)}, far from all other models ({percent(middle, 1)} in the middle)"
    return None


def _length(known: pl.DataFrame, quality: Quality) -> str | None:
    """Whether a score says little but how long the answer was."""
    if quality.binary or "output_tokens" not in known.columns:
        return None
    ranked = known.filter(pl.len().over("provider", "model") >= ENOUGH).group_by("provider", "model")
    found = ranked.agg(r=pl.corr("quality", "output_tokens", method="spearman").fill_nan(0).abs())["r"].drop_nulls()
    least = found.min()
    if not isinstance(least, float) or least < LENGTH:
        return None
    return f"it follows the length of the answer (rank correlation {least:.2f} or more)"


def _missing(models: pl.DataFrame) -> str | None:
    if models.height < 2:
        return None
    least, most = (
        models.sort("missing", "model").row(0, named=True),
        models.sort("missing", "model").row(-1, named=True),
    )
    if most["missing"] - least["missing"] <= POINTS:
        return None
    shares = (f"{percent(row['missing'])} of {row['model']}" for row in (most, least))
    return f"scores are missing for {' and '.join(shares)}"


def stated_mean(stated: Mapping[str, float], task: str) -> float | None:
    """The aggregate a user states for a task, as a share; percentages are understood."""
    value = stated.get(task)
    if value is None:
        return None
    return float(value) / 100 if float(value) > 1 else float(value)
