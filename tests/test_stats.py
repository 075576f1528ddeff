"""The statistics against figures worked out by hand, against scipy, and against their own promises by simulation."""

from __future__ import annotations

import csv
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costaudit import stats
from costaudit.stats import Z95

scipy_stats = pytest.importorskip("scipy.stats", reason="scipy is the oracle of these tests (extra `dev`)")

Z = 1.96


# Shares


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(8, 10, 0.4902, 0.9433), (0, 20, 0.0, 0.1611), (20, 20, 0.8389, 1.0), (1, 1, 0.2065, 1.0)],
)
def test_wilson_gives_the_published_bounds(successes, n, low, high):
    assert stats.wilson(successes, n, Z)[1:] == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_agrees_with_scipy(case):
    successes, n = case
    z = scipy_stats.norm.ppf(0.975)
    expected = scipy_stats.binomtest(successes, n).proportion_ci(0.95, method="wilson")
    assert stats.wilson(successes, n, z)[1:] == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_newcombe_for_independent_shares_gives_the_published_interval():
    assert stats.newcombe(56, 70, 48, 80, Z) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


@pytest.mark.parametrize(
    ("cells", "z", "expected"),
    [
        ((20, 12, 2, 16), Z, (0.200, 0.056, 0.329)),
        ((747, 95, 383, 94), Z95, (-0.218, -0.244, -0.193)),
        ((10, 0, 0, 0), Z, (0.0, -0.2775, 0.2775)),  # no disagreement and no failures: the correlation is undefined
    ],
)
def test_newcombe_for_pairs_gives_the_published_interval(cells, z, expected):
    assert stats.newcombe_paired(*cells, z) == pytest.approx(expected, abs=1e-3)


@given(st.tuples(*[st.integers(0, 60)] * 4).filter(sum))
def test_swapping_the_sides_of_a_difference_mirrors_its_interval(cells):
    both, first, second, neither = cells
    there = stats.newcombe_paired(both, first, second, neither)
    back = stats.newcombe_paired(both, second, first, neither)
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low))
    assert -1 <= there.low <= there.value <= there.high <= 1


def test_newcombe_pairs_reproduce_the_cells_of_real_answers(shared):
    files = sorted((shared / "datasets" / "routellm_gsm8k").glob("*.csv"))
    with files[0].open(newline="") as file:
        rows = list(csv.DictReader(file))
    columns = [name for name, value in rows[0].items() if value in ("True", "False")]
    assert len(columns) == 2
    right = [tuple(row[name] == "True" for name in columns) for row in rows]
    cells = [right.count(cell) for cell in ((True, True), (True, False), (False, True), (False, False))]
    assert sorted(cells) == sorted([747, 95, 383, 94])


def test_the_risk_difference_over_strata_agrees_with_sato_by_hand():
    # Weights 10·10/20 = 5 and 20·10/30 = 20/3; numerators (8·10 - 5·10)/20 = 1.5 and (12·10 - 4·20)/30 = 4/3.
    interval = stats.mantel_haenszel([(8, 10, 5, 10), (12, 20, 4, 10)])
    assert interval.value == pytest.approx((1.5 + 4 / 3) / (5 + 20 / 3))
    # P: (100·5 - 100·8)/400 = -0.75 and (400·4 - 100·12 + 200·(-10)/2)/900 = -2/3.
    # Q: (8·5 + 5·2)/40 = 1.25 and (12·6 + 4·8)/60 = 104/60.
    variance = (interval.value * (-0.75 - 2 / 3) + 1.25 + 104 / 60) / (5 + 20 / 3) ** 2
    assert interval.high - interval.value == pytest.approx(Z95 * math.sqrt(variance))


def test_one_stratum_is_the_plain_difference_and_empty_arms_carry_nothing():
    assert stats.mantel_haenszel([(8, 10, 5, 10), (3, 4, 0, 0)]).value == pytest.approx(0.3)
    with pytest.raises(ValueError, match="both arms"):
        stats.mantel_haenszel([(3, 4, 0, 0)])


def test_few_pairs_give_a_probability_of_not_being_worse():
    # Equal uniform posteriors: P(x > y - m) = 1 - (1 - m)²/2.
    assert stats.no_worse_probability((0, 0), (0, 0), 0.1, seed=1) == pytest.approx(1 - 0.81 / 2, abs=0.015)
    assert stats.no_worse_probability((9, 10), (9, 10), 0.05, 7) == stats.no_worse_probability(
        (9, 10), (9, 10), 0.05, 7
    )


# Distributions


@given(st.floats(-40, 40), st.floats(0.5, 5_000))
def test_students_distribution_agrees_with_scipy(x, df):
    assert stats.student_cdf(x, df) == pytest.approx(scipy_stats.t.cdf(x, df), abs=1e-9)


@given(st.floats(1e-4, 1 - 1e-4), st.floats(1, 1_000))
def test_students_quantile_inverts_its_distribution(p, df):
    assert stats.student_quantile(p, df) == pytest.approx(scipy_stats.t.ppf(p, df), rel=1e-6, abs=1e-9)


# Ratios of means


def _costs(seed: int, n: int, cv: float = 1.0, mean: float = 1.0) -> list[float]:
    source = random.Random(seed)
    sigma = math.sqrt(math.log(1 + cv * cv))
    return [mean * source.lognormvariate(-sigma * sigma / 2, sigma) for _ in range(n)]


def test_the_unpaired_ratio_is_its_formula():
    # Means 2 and 4; variances 1 and 4, three values a side: se² = 1/(3·4) + 4/(3·16) = 1/6.
    ratio = stats.mean_ratio([1, 2, 3], [2, 4, 6])
    assert (ratio.ratio, ratio.se) == pytest.approx((2, math.sqrt(1 / 6)))
    assert ratio.df == pytest.approx(4)
    assert ratio.interval().low == pytest.approx(2 * math.exp(-1.645 / math.sqrt(6)))


@pytest.mark.parametrize("level", [0.9, 0.95])
def test_the_p_value_of_a_bound_is_what_the_bound_leaves_out(level):
    found = stats.mean_ratio([1, 2, 3, 4, 5], [2, 3, 5, 7, 11])
    interval = found.student(level)
    assert found.p_above(interval.low) == pytest.approx(1 - level)
    assert found.p_above(interval.high) == pytest.approx(level)


def test_variation_is_the_standard_deviation_over_the_mean():
    assert stats.variation([1, 2, 3]) == pytest.approx(0.5)
    assert stats.variation(_costs(1, 50)) == pytest.approx(scipy_stats.variation(_costs(1, 50), ddof=1))


def test_the_paired_ratio_is_its_formula_and_ignores_what_pairs_share():
    # d = 1/4 - 1/2, 3/4 - 1/2 ... for base (1, 3), head (2, 6): d = (2/4 - 1/2, 6/4 - 3/2) = (0, 0).
    assert stats.mean_ratio_paired([1, 3], [2, 6]) == stats.LogRatio(math.log(2), 0.0, 1.0)
    # base (1, 3), head (3, 5): d = (3/4 - 1/2, 5/4 - 3/2) = (1/4, -1/4); sd = √(2/16) = 0.3536; se = 1/4.
    assert stats.mean_ratio_paired([1, 3], [3, 5]).se == pytest.approx(0.25)


@pytest.mark.parametrize("n", [100, 400])
def test_the_formulas_agree_with_scipys_bootstrap(n):
    base, head = _costs(1, n), _costs(2, n)
    expected = scipy_stats.bootstrap(
        (base, head),
        lambda a, b, axis: b.mean(axis=axis) / a.mean(axis=axis),
        confidence_level=0.9,
        n_resamples=2_000,
        method="percentile",
        rng=3,
    ).confidence_interval
    width = math.log(expected.high / expected.low)
    formula = stats.mean_ratio(base, head).interval()
    assert math.log(formula.high / formula.low) == pytest.approx(width, rel=0.1)
    drawn = stats.bootstrap_ratio(base, head, seed=4)
    assert math.log(drawn.high / drawn.low) == pytest.approx(width, rel=0.1)


def test_the_paired_formula_agrees_with_resampled_pairs():
    base = _costs(1, 200)
    head = [value * noise for value, noise in zip(base, _costs(5, 200, cv=0.3), strict=True)]
    formula, drawn = stats.mean_ratio_paired(base, head).interval(), stats.bootstrap_ratio_paired(base, head, seed=6)
    assert math.log(drawn.high / drawn.low) == pytest.approx(math.log(formula.high / formula.low), rel=0.1)
    assert drawn.value == pytest.approx(formula.value)


def test_a_bootstrap_gives_the_same_digits_again_and_other_digits_for_another_seed():
    base, head = _costs(1, 20), _costs(2, 20)
    assert stats.bootstrap_ratio(base, head, seed=1) == stats.bootstrap_ratio(base, head, seed=1)
    assert stats.bootstrap_ratio(base, head, seed=1) != stats.bootstrap_ratio(base, head, seed=2)


def test_clusters_of_several_units_are_resampled_whole():
    # Each case ran four times with equal cost: a hundred units, but twenty-five independent ones.
    base, head = _costs(1, 25), _costs(2, 25)
    fours = stats.bootstrap_ratio(
        [4 * x for x in base], [4 * x for x in head], 1, base_sizes=[4] * 25, head_sizes=[4] * 25
    )
    assert fours == pytest.approx(stats.bootstrap_ratio(base, head, 1))


@pytest.mark.parametrize("n", [5, 10, 25])
def test_bounds_from_few_units_miss_about_as_often_as_they_say(n):
    trials = 120
    missed = sum(
        stats.bootstrap_ratio(_costs(2 * i, n, 0.7), _costs(2 * i + 1, n, 0.7), seed=i).low > 1 for i in range(trials)
    )
    assert missed / trials < 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)


def test_few_units_or_one_that_dominates_want_a_bootstrap():
    assert stats.wants_bootstrap([1.0] * 29, [1.0] * 40)
    assert not stats.wants_bootstrap([1.0] * 30, [1.0] * 40)
    assert stats.wants_bootstrap([1.0] * 40, [*[1.0] * 39, 20.0])
    assert not stats.wants_bootstrap([1.0] * 10_001, [1.0] * 29)


@pytest.mark.parametrize("sides", [([], [1.0]), ([1.0], [1.0]), ([0.0, 0.0], [1.0, 1.0]), ([1.0, 1.0], [0.0, 0.0])])
def test_a_ratio_without_meaning_is_refused(sides):
    with pytest.raises(ValueError, match=r"needed|needs"):
        stats.mean_ratio(*sides)


def test_exchanging_units_counts_the_ways_to_tell_the_sides_apart():
    # Of the 20 ways to pick 3 of 6 different costs one is as dear as the dearest three; of 8 ways to turn 3 pairs, one.
    assert stats.exchange_p([1, 2, 3], [4, 5, 6], 1, paired=False) == pytest.approx(1 / 20, abs=0.015)
    assert stats.exchange_p([1, 2, 3], [4, 5, 6], 1, paired=True) == pytest.approx(1 / 8, abs=0.025)
    assert stats.exchange_p([1.0] * 5, [1.0] * 5, 1, paired=True) == 1.0


@pytest.mark.parametrize("paired", [False, True])
def test_exchanging_units_agrees_with_scipys_permutation_test(paired):
    base, head = _costs(1, 12), _costs(2, 12, mean=1.4)
    expected = scipy_stats.permutation_test(
        (head, base),
        lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis),
        permutation_type="samples" if paired else "independent",
        alternative="greater",
        vectorized=True,
        n_resamples=5_000,
        rng=1,
    ).pvalue
    assert stats.exchange_p(base, head, 3, paired=paired) == pytest.approx(expected, abs=0.04)


def test_a_covariate_takes_out_what_it_explains():
    covariate = _costs(1, 300)
    noise = _costs(2, 300, cv=0.1)
    values = [2 * x + e for x, e in zip(covariate, noise, strict=True)]
    adjusted = stats.cuped(values, covariate)
    rho2 = scipy_stats.pearsonr(values, covariate).statistic ** 2
    assert scipy_stats.tvar(adjusted) == pytest.approx(scipy_stats.tvar(values) * (1 - rho2))
    assert sum(adjusted) == pytest.approx(sum(values))
    assert stats.cuped([1.0, 2.0], [5.0, 5.0]) == [1.0, 2.0]


# Many tests


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_false_discovery_control_agrees_with_scipy(p_values):
    assert stats.benjamini_hochberg(p_values) == pytest.approx(list(scipy_stats.false_discovery_control(p_values)))


def test_no_tests_have_no_adjusted_values():
    assert stats.benjamini_hochberg([]) == []


# Order statistics and spread


@pytest.mark.parametrize(
    ("n", "q", "rank"),
    [(59, 0.95, 59), (58, 0.95, None), (100, 0.95, 99), (1_000, 0.95, 962), (299, 0.99, 299), (298, 0.99, None)],
)
def test_the_tolerance_bound_has_the_published_rank(n, q, rank):
    assert stats.tolerance_rank(n, q) == rank


@given(st.integers(1, 800), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_the_tolerance_rank_is_the_first_that_scipy_accepts(n, q):
    rank = stats.tolerance_rank(n, q)
    if rank is None:
        assert scipy_stats.binom.cdf(n - 1, n, q) < 0.95
    else:
        assert scipy_stats.binom.cdf(rank - 1, n, q) >= 0.95
        assert scipy_stats.binom.cdf(rank - 2, n, q) < 0.95


def test_a_conformal_width_needs_four_errors_and_covers():
    assert stats.conformal_width([0.1, -0.4, 0.2, 0.3]) == 0.4
    with pytest.raises(ValueError, match="3 errors"):
        stats.conformal_width([0.1, 0.2, 0.3])
    source = random.Random(4)
    covered = sum(
        abs(source.gauss(0, 1)) <= stats.conformal_width([source.gauss(0, 1) for _ in range(9)]) for _ in range(4_000)
    )
    assert covered / 4_000 >= 0.8 - 3 * math.sqrt(0.16 / 4_000)


def test_robust_z_agrees_with_scipys_mad_and_survives_a_mad_of_zero():
    values = _costs(1, 51)
    mad = scipy_stats.median_abs_deviation(values)
    centre = sorted(values)[25]
    assert stats.robust_z(values)[3] == pytest.approx(0.6745 * (values[3] - centre) / mad)
    assert stats.robust_z([1, 1, 1, 5]) == [0, 0, 0, math.inf]


def test_a_sequence_of_looks_holds_at_every_look():
    source, missed, trials = random.Random(8), 0, 400
    widths = [stats.mixture_half_width(n, 1.0, planned=500) for n in range(1, 1_001)]
    for _ in range(trials):
        total = 0.0
        for n, width in enumerate(widths, 1):
            total += source.gauss(0, 1)
            if abs(total / n) > width:
                missed += 1
                break
    assert missed / trials <= 0.05


def test_the_logarithmic_mean_splits_a_product_exactly():
    # 100·3·2 = 600 becomes 120·3.3·1.8 = 712.8.
    weight = stats.lmdi_weight(712.8, 600.0)
    effects = [weight * math.log(after / before) for before, after in ((100, 120), (3, 3.3), (2, 1.8))]
    assert effects == pytest.approx([119.381, 62.407, -68.988], abs=5e-4)
    assert sum(effects) == pytest.approx(112.8)
    assert stats.lmdi_weight(5.0, 5.0) == 5.0


@given(st.floats(1e-9, 1e9), st.floats(-1e-3, 1e-3))
def test_the_logarithmic_mean_is_smooth_where_its_formula_divides_by_nothing(a, step):
    b = a * (1 + step)
    assert stats.lmdi_weight(a, b) == pytest.approx((a + b) / 2, rel=1e-6)
    assert stats.lmdi_weight(a, b) == pytest.approx(stats.lmdi_weight(b, a), rel=1e-12)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=25))
def test_concentration_agrees_with_brute_force(values):
    total, n = sum(values), len(values)
    if total <= 1e-9:
        return
    pairs = sum(abs(a - b) for a in values for b in values)
    assert stats.gini(values) == pytest.approx(pairs / (2 * n * total), abs=1e-9)
    assert stats.herfindahl(values) == pytest.approx(sum((v / total) ** 2 for v in values))


def test_nothing_to_share_is_not_concentrated():
    assert stats.gini([]) == stats.gini([0.0, 0.0]) == stats.herfindahl([]) == 0.0


# Power


def test_the_sizes_asked_for_are_those_of_the_tables():
    assert [stats.pairs_for_difference(0.10, d) for d in (0.05, 0.02)] == [248, 1_547]
    assert [stats.units_for_difference(0.9, d) for d in (0.05, 0.02)] == [446, 2_784]
    assert [stats.units_for_ratio(1.0, r) for r in (1.1, 1.2, 1.5)] == [1_362, 373, 76]
    assert [stats.units_for_paired_ratio(0.35, r) for r in (1.1, 1.2, 1.5)] == [84, 23, 5]
    assert stats.units_for_ratio(2.0, 1.2) == pytest.approx(4 * 373, abs=4)


def test_the_detectable_ratio_is_the_size_formula_turned_round():
    # cv 1, 1,362 units a side: se = √(2/1362); the effect that can be seen is +10 %.
    assert stats.detectable_ratio(math.sqrt(2 / 1_362)) == pytest.approx(1.1, abs=1e-4)


def test_a_seed_depends_on_its_words_only():
    assert stats.seed_of("gate", "triage") == stats.seed_of("gate", "triage") != stats.seed_of("gatet", "riage")
