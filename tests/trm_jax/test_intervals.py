"""Intervals and tests against published tables, hand counts and brute force."""

import math

import numpy as np
import pytest
from scipy import stats

from trm_jax.intervals import (
    Interval,
    Pairs,
    clustered_rate,
    complement,
    difference,
    interval_fields,
    interval_of,
    mcnemar,
    mean,
    one_minus_mean,
    paired_difference,
    paired_mean,
    pairs,
    share,
    wilson,
)


@pytest.mark.parametrize(
    ("successes", "total", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_is_the_published_table(successes, total, low, high):
    """Newcombe, Statistics in Medicine 17 (1998), Table I, method 3, printed to four digits."""
    found = wilson(successes, total)
    assert found.value == successes / total
    assert found.low == pytest.approx(low, abs=5e-5)
    assert found.high == pytest.approx(high, abs=5e-5)


@pytest.mark.parametrize("total", [1, 7, 256])
def test_wilson_solves_its_defining_equation(total):
    """Both ends w satisfy (p - w)^2 = z^2 w (1 - w) / n, or lie at 0 or 1 with p."""
    z = 1.959963984540054
    for successes in {0, total // 3, total}:
        p, low, high = wilson(successes, total)
        assert 0 <= low <= p <= high <= 1
        for end in (low, high):
            residue = (p - end) ** 2 - z * z * end * (1 - end) / total
            assert abs(residue) < 1e-12, (successes, end)  # a few ulp of numbers below 4


@pytest.mark.parametrize("counts", [(1, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_impossible_counts(counts):
    with pytest.raises(ValueError, match=r"successes"):
        wilson(*counts)


def test_mean_is_the_textbook_standard_error():
    x = np.asarray([0.25, 0.5, 0.5, 0.75, 1.0])
    found = mean(x.sum(), np.sum(x * x), x.size)
    reach = 1.959963984540054 * x.std(ddof=1) / math.sqrt(x.size)
    # both are float64; the sum of squares loses a few of 53 bits
    np.testing.assert_allclose(found, [0.6, 0.6 - reach, 0.6 + reach], rtol=1e-13)


def test_mean_of_equal_values_has_no_width_and_one_value_no_known_width():
    assert mean(0.0, 0.0, 4) == Interval(0.0, 0.0, 0.0)
    one = mean(0.5, 0.25, 1)
    assert one.value == 0.5
    assert math.isnan(one.low)
    with pytest.raises(ValueError, match="at least one"):
        mean(0.0, 0.0, 0)


def test_complement_swaps_the_ends():
    assert complement(Interval(0.25, 0.125, 0.5)) == Interval(0.75, 0.5, 0.875)


@pytest.mark.parametrize(
    ("lost", "gained", "p"),
    [
        (0, 5, 2 / 2**5),  # 2 * C(5,0) / 2^5
        (1, 9, 2 * (1 + 10) / 2**10),
        (3, 3, 1.0),
        (0, 0, 1.0),
    ],
)
def test_mcnemar_by_hand(lost, gained, p):
    assert mcnemar(Pairs(lost, gained, 100)) == pytest.approx(p, rel=1e-12)
    assert mcnemar(Pairs(gained, lost, 100)) == pytest.approx(p, rel=1e-12)


def test_mcnemar_is_twice_the_binomial_tail():
    """Exact integers: 121 and 59 discordant pairs."""
    tail = sum(math.comb(180, k) for k in range(60))
    expected = 2 * tail / 2**180
    assert mcnemar(Pairs(121, 59, 314)) == pytest.approx(expected, rel=1e-9)


def test_pairs_counts_each_direction():
    reference = np.asarray([1, 1, 0, 0, 1], bool)
    other = np.asarray([0, 1, 1, 0, 0], bool)
    assert pairs(reference, other) == Pairs(lost=2, gained=1, total=5)
    with pytest.raises(ValueError, match="same puzzles"):
        pairs(reference, other[:4])


@pytest.mark.parametrize(
    "chances", [(0.0, 0.0), (0.02, 0.02), (0.1, 0.05), (0.3, 0.05), (0.2, 0.2)]
)
@pytest.mark.parametrize("total", [20, 60])
def test_paired_intervals_cover_what_they_promise(chances, total):
    """All outcomes enumerated: the interval holds the true difference in 95 % of them.

    An interval on counts cannot cover exactly; adjusted Wald intervals are known to stay within
    two points below their level (Bonett and Price 2012, for n of 20 and more).
    """
    down, up = chances
    covered = 0.0
    for lost in range(total + 1):
        for gained in range(total + 1 - lost):
            ways = math.comb(total, lost) * math.comb(total - lost, gained)
            rest = total - lost - gained
            chance = ways * down**lost * up**gained * (1 - down - up) ** rest
            _, low, high = paired_difference(Pairs(lost, gained, total))
            covered += chance * (low <= up - down <= high)
    assert 0.93 <= covered <= 1 + 1e-9


@pytest.mark.parametrize("changing", [0.001, 0.005, 0.01, 0.02, 0.05])
@pytest.mark.parametrize("total", [64, 200, 256])
def test_rare_changes_are_covered_where_a_percentile_bootstrap_misses_them(changing, total):
    """Puzzles that are only ever lost, all outcomes enumerated, as few as change in practice.

    Where none is lost a bootstrap draws nothing but unchanged puzzles: its interval [0, 0] misses
    every true loss, so that it covers at most 1 - (1 - changing)^total. The adjusted interval is
    held to the two points below its level that its authors found (Bonett and Price 2012).
    """
    lost = np.arange(total + 1)
    chance = stats.binom.pmf(lost, total, changing)
    intervals = [paired_difference(Pairs(int(k), 0, total)) for k in lost]
    covered = np.array([low <= -changing <= high for _, low, high in intervals])
    assert np.sum(chance * covered) >= 0.93
    low, high = (-stats.binom.ppf(tail, total, lost / total) / total for tail in (0.975, 0.025))
    drawn = np.sum(chance * ((low <= -changing) & (-changing <= high)))
    assert drawn <= 1 - (1 - changing) ** total + 1e-9


def test_no_change_on_few_puzzles_proves_little():
    few, many = (paired_difference(Pairs(0, 0, n)) for n in (20, 2000))
    assert few.value == many.value == 0.0
    assert few.high > 0.1 > 0.01 > many.high > 0
    assert paired_difference(Pairs(20, 0, 20)).low == -1.0


@pytest.mark.parametrize(("lost", "gained", "same"), [(3, 1, 16), (0, 0, 12), (5, 0, 0)])
def test_paired_mean_equals_the_difference_of_rates_and_goes_on_to_fractions(lost, gained, same):
    values = np.repeat([-1.0, 1.0, 0.0], [lost, gained, same])
    wanted = paired_difference(Pairs(lost, gained, lost + gained + same))
    # both are a few float64 operations on numbers of at most 1
    assert paired_mean(values) == pytest.approx(wanted, abs=1e-12)
    halves = paired_mean(values / 2)
    assert halves.value == wanted.value / 2
    assert halves.low <= halves.value <= halves.high


def test_one_minus_a_mean_joins_shards_and_stays_in_its_range():
    shards = [(0.5, 0.25), (0.0, 0.0)]  # errors 0.5 and 0
    whole = one_minus_mean(shards, 2)
    expected = complement(mean(0.5, 0.25, 2))
    assert whole.value == expected.value == 0.75
    assert expected.low > 0
    assert expected.high > 1  # the normal interval does not know where 1 is
    assert (whole.low, whole.high) == (expected.low, 1.0)
    assert one_minus_mean([(1.9, 1.85)], 2).low == 0.0
    assert one_minus_mean([(1.9, 1.85)], 2, floor=-1.0).low < 0.0


def test_no_puzzles_are_refused_and_nothing_is_divided_by_zero():
    none = Pairs(0, 0, 0)
    for estimate in (
        lambda: wilson(0, 0),
        lambda: mean(0.0, 0.0, 0),
        lambda: one_minus_mean([], 0),
        lambda: share(0, 0),
        lambda: paired_difference(none),
        lambda: paired_mean(np.zeros(0)),
    ):
        with pytest.raises(ValueError, match=r"needs|need"):
            estimate()
    assert mcnemar(none) == 1.0


def test_fields_of_a_record_give_the_interval_back():
    interval = Interval(0.5, 0.25, 0.75)
    record = interval_fields("exact", interval)
    assert record == {"exact": 0.5, "exact_low": 0.25, "exact_high": 0.75}
    assert interval_of(record, "exact") == interval


def test_a_difference_of_estimates_is_the_normal_one_where_both_are_symmetric():
    first, second = Interval(0.75, 0.6875, 0.8125), Interval(0.5, 0.25, 0.75)
    reach = math.hypot(0.0625, 0.25)  # variances of independent numbers add
    assert difference(first, second) == pytest.approx((0.25, 0.25 - reach, 0.25 + reach))
    one_sided = difference(Interval(1.0, 0.5, 1.0), Interval(0.0, 0.0, 0.25))
    assert one_sided == pytest.approx((1.0, 1 - math.hypot(0.5, 0.25), 1.0))


def test_clusters_that_differ_count_for_fewer_trials():
    """Two clusters that are all or nothing are two trials, even ones are as many as they have."""
    apart, even = clustered_rate([10, 0], [10, 10]), clustered_rate([5, 5], [10, 10])
    assert even == wilson(10, 20)
    # between: 2 * (5^2 + 5^2) / 20^2 = 1/4; single trials: 1/4 / 20; so 20 times, one trial is left
    assert apart == wilson(0.5, 1)
    assert clustered_rate([0, 0, 0], [10, 10, 10]) == wilson(0, 3)
    assert clustered_rate([3], [10]) == wilson(3, 10)
    with pytest.raises(ValueError, match="0 <= successes <= total"):
        clustered_rate([3, 4], [10, 3])


def test_clustered_intervals_hold_the_rate_of_new_clusters():
    """Rates of 12 clusters are uniform in [0, 1]: plain Wilson holds their mean far too rarely."""
    rng = np.random.default_rng(1)
    held, plain = 0, 0
    for _ in range(300):
        wins = rng.binomial(20, rng.random(12))
        interval, naive = clustered_rate(wins.tolist(), [20] * 12), wilson(int(wins.sum()), 240)
        held += interval.low <= 0.5 <= interval.high
        plain += naive.low <= 0.5 <= naive.high
    assert held / 300 > 0.95 - 4 * (0.95 * 0.05 / 300) ** 0.5  # four standard errors below 95 %
    assert plain / 300 < 0.6
