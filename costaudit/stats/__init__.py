"""Statistics the analyzers and the gate rest on; each helper is a page of arithmetic with its source.

Floats only: money is Decimal everywhere else, and statistics never feed back into a sum. Every random method takes a
seed and gives the same digits for it. Arguments that make a formula meaningless raise ValueError.
"""

from __future__ import annotations

from costaudit.stats.forecast import Backtest, Outlook, forecast
from costaudit.stats.multiple import benjamini_hochberg
from costaudit.stats.normal import Z95, Interval, normal_cdf, normal_quantile, seed_of, student_cdf, student_quantile
from costaudit.stats.peaks import peak, peak_ahead
from costaudit.stats.power import (
    detectable_ratio,
    pairs_for_difference,
    units_for_difference,
    units_for_paired_ratio,
    units_for_ratio,
)
from costaudit.stats.proportions import (
    mantel_haenszel,
    newcombe,
    newcombe_paired,
    no_worse_probability,
    wilson,
)
from costaudit.stats.ratios import (
    LogRatio,
    bootstrap_ratio,
    bootstrap_ratio_paired,
    cuped,
    exchange_p,
    mean_ratio,
    mean_ratio_paired,
    variation,
    wants_bootstrap,
)
from costaudit.stats.series import ChangePoint, Episode, change_point, episode, mann_kendall, theil_sen
from costaudit.stats.spread import (
    conformal_width,
    gini,
    herfindahl,
    lmdi_weight,
    mixture_half_width,
    robust_z,
    tolerance_rank,
)

__all__ = [
    "Z95",
    "Backtest",
    "ChangePoint",
    "Episode",
    "Interval",
    "LogRatio",
    "Outlook",
    "benjamini_hochberg",
    "bootstrap_ratio",
    "bootstrap_ratio_paired",
    "change_point",
    "conformal_width",
    "cuped",
    "detectable_ratio",
    "episode",
    "exchange_p",
    "forecast",
    "gini",
    "herfindahl",
    "lmdi_weight",
    "mann_kendall",
    "mantel_haenszel",
    "mean_ratio",
    "mean_ratio_paired",
    "mixture_half_width",
    "newcombe",
    "newcombe_paired",
    "no_worse_probability",
    "normal_cdf",
    "normal_quantile",
    "pairs_for_difference",
    "peak",
    "peak_ahead",
    "robust_z",
    "seed_of",
    "student_cdf",
    "student_quantile",
    "theil_sen",
    "tolerance_rank",
    "units_for_difference",
    "units_for_paired_ratio",
    "units_for_ratio",
    "variation",
    "wants_bootstrap",
    "wilson",
]
