"""Calibration: estimators against simulated truth, independent slow formulas, and real recordings."""

import json
import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, kstest

from flowhft.calibrate.calibrate import Calibration, CalibrationSettings, calibrate, load_calibration, save
from flowhft.calibrate.calibration import TABLES
from flowhft.calibrate.fill_curve import (
    Bursts,
    bursts_of,
    fit_fill_curve,
    least_squares,
    maximum_likelihood,
    where_quotes_live,
)
from flowhft.calibrate.hawkes import Hawkes, curvature, log_likelihood, residuals, spread_ties
from flowhft.calibrate.hawkes_fit import fit_hawkes
from flowhft.calibrate.volatility import GRID_STEPS, estimate, interval_for, mean_square_move, signature
from flowhft.errors import DataError, UsageError
from flowhft.recordings import read_recording, sample_recording
from flowhft.recordings.market_orders import MarketOrders
from flowhft.recordings.split import split
from flowhft.recordings.ticks import BUY, SELL, TRADE
from flowhft.runs.folder import units_of

TRUTH = Hawkes(base_intensity=0.5, self_excitation=1.0, cross_excitation=0.4, decay=2.5)


def simulate_hawkes(process, seconds, rng):
    """Draw a two-sided Hawkes process on [0, seconds] exactly, as clusters: immigrants and descendants.

    A. Hawkes, D. Oakes, "A cluster process representation of a self-exciting process", 1974. It shares
    nothing with the likelihood, which is written in intensities.
    """
    count = rng.poisson(process.base_intensity * seconds, 2)
    times = rng.uniform(0.0, seconds, count.sum())
    sides = np.repeat([0, 1], count)
    generations = [(times, sides)]
    while len(times):
        born = []
        for excitation, flip in ((process.self_excitation, 0), (process.cross_excitation, 1)):
            children = rng.poisson(excitation / process.decay, len(times))
            child_times = np.repeat(times, children) + rng.exponential(1.0 / process.decay, children.sum())
            born.append((child_times, np.repeat(sides, children) ^ flip))
        times, sides = (np.concatenate(parts) for parts in zip(*born, strict=True))
        inside = times < seconds
        times, sides = times[inside], sides[inside]
        generations.append((times, sides))
    times, sides = (np.concatenate(parts) for parts in zip(*generations, strict=True))
    order = np.argsort(times)
    return times[order], sides[order]


def slow_log_likelihood(process, times, sides, seconds):
    """The definition, O(N^2): sum of log intensities minus the integral of both intensities."""
    base, own, other, decay = process
    value = -2.0 * base * seconds
    for now, side in zip(times, sides, strict=True):
        intensity = base
        for before, from_side in zip(times, sides, strict=True):
            if before < now:
                intensity += (own if from_side == side else other) * math.exp(-decay * (now - before))
        value += math.log(intensity)
        value -= (own + other) / decay * (1.0 - math.exp(-decay * (seconds - now)))
    return value


class TestHawkesLikelihood:
    times, sides = simulate_hawkes(TRUTH, 60.0, np.random.default_rng(5))

    @pytest.mark.parametrize(
        "process", [TRUTH, Hawkes(1.3, 0.2, 0.9, 7.0), Hawkes(0.01, 0.001, 0.0, 0.02)], ids=str
    )
    def test_recursion_is_the_definition(self, process):
        value, _ = log_likelihood(process, self.times, self.sides, 60.0)
        assert value == pytest.approx(slow_log_likelihood(process, self.times, self.sides, 60.0), rel=1e-12)

    @given(
        process=st.builds(
            Hawkes, st.floats(0.05, 3.0), st.floats(0.01, 5.0), st.floats(0.01, 5.0), st.floats(0.1, 20.0)
        )
    )
    def test_derivatives_are_exact(self, process):
        _, gradient = log_likelihood(process, self.times, self.sides, 60.0)
        hessian = curvature(process, self.times, self.sides, 60.0)
        scale = np.sqrt(np.abs(np.diag(hessian)))
        for index in range(4):
            step = 1e-5 * process[index]
            name = Hawkes._fields[index]
            above, below = (
                log_likelihood(process._replace(**{name: moved}), self.times, self.sides, 60.0)
                for moved in (process[index] + step, process[index] - step)
            )
            slope = (above[0] - below[0]) / (2 * step)
            bend = (above[1] - below[1]) / (2 * step)
            assert slope == pytest.approx(gradient[index], rel=1e-5, abs=1e-6 * scale[index])
            np.testing.assert_allclose(
                bend, hessian[index], rtol=1e-4, atol=1e-6 * scale.max() * scale[index]
            )

    def test_residuals_are_the_integrated_intensity(self):
        base, own, other, decay = TRUTH

        def integral(side, until):
            """Of the intensity of a side from 0, by its definition."""
            past = self.times < until
            size = np.where(self.sides[past] == side, own, other) / decay
            return base * until + np.sum(size * (1.0 - np.exp(-decay * (until - self.times[past]))))

        expected, before = [], {}
        for now, side in zip(self.times, self.sides, strict=True):
            if side in before:
                expected.append(integral(side, now) - integral(side, before[side]))
            before[side] = now
        np.testing.assert_allclose(residuals(TRUTH, self.times, self.sides), expected, rtol=1e-9)


class TestHawkesFit:
    def test_truth_lies_within_the_intervals_as_often_as_stated(self):
        # 30 recordings, 95 % intervals: each parameter misses Binomial(30, 0.05) times. P(more than 6) =
        # 0.06 % a parameter: five parameters raise a false alarm in 0.3 % of all choices of seeds.
        truth = {**TRUTH._asdict(), "branching_ratio": TRUTH.branching_ratio}
        missed, distances = dict.fromkeys(truth, 0), []
        for seed in range(30):
            times, sides = simulate_hawkes(TRUTH, 600.0, np.random.default_rng(seed))
            parameters = fit_hawkes(times, sides, 600.0).parameters
            for name, value in truth.items():
                missed[name] += not parameters[name].low <= value <= parameters[name].high
            distances.append(
                (parameters["branching_ratio"].value - truth["branching_ratio"])
                / parameters["branching_ratio"].standard_error
            )
        assert max(missed.values()) <= 6, missed
        # The errors are neither too small nor too large: the scatter of z is 1 within 4 standard errors.
        assert 0.48 < np.std(distances) < 1.52

    def test_residuals_accept_the_truth_and_reject_poisson(self):
        times, sides = simulate_hawkes(TRUTH, 2000.0, np.random.default_rng(7))
        assert kstest(residuals(TRUTH, times, sides), "expon").pvalue > 0.001
        poisson = Hawkes(len(times) / 4000.0, 0.0, 0.0, 1.0)
        assert kstest(residuals(poisson, times, sides), "expon").pvalue < 1e-10
        fit = fit_hawkes(times, sides, 2000.0)
        assert fit.ks_statistic < 0.02 < 0.1 < fit.ks_statistic_poisson
        assert fit.warnings == ()
        observed, theoretical, poisson_waits = (
            fit.residuals[name].to_numpy() for name in ("observed", "theoretical", "poisson")
        )
        assert np.max(np.abs(np.log(observed / theoretical)[20:-20])) < 0.1
        # Overdispersion: under a Poisson process most waits look too short and a few far too long.
        assert poisson_waits[49] < 0.8 * theoretical[49]
        assert poisson_waits[-2] > 1.2 * theoretical[-2]

    def test_sides_swapped_change_nothing(self):
        times, sides = simulate_hawkes(TRUTH, 400.0, np.random.default_rng(11))
        one, two = fit_hawkes(times, sides, 400.0), fit_hawkes(times, 1 - sides, 400.0)
        np.testing.assert_allclose(one.process, two.process, rtol=1e-8)

    def test_seconds_and_milliseconds_agree(self):
        times, sides = simulate_hawkes(TRUTH, 400.0, np.random.default_rng(12))
        one, two = fit_hawkes(times, sides, 400.0), fit_hawkes(times * 1e-2, sides, 4.0)
        np.testing.assert_allclose(np.array(one.process) * 1e2, two.process, rtol=1e-3)

    def test_poisson_orders_show_no_excitation(self):
        rng = np.random.default_rng(3)
        fit = fit_hawkes(np.sort(rng.uniform(0.0, 1000.0, 1500)), rng.integers(0, 2, 1500), 1000.0)
        assert fit.process.branching_ratio < 0.2
        assert fit.process.rate == pytest.approx(0.75, rel=0.05)
        assert "no better than Poisson" in " ".join(fit.warnings)
        for parameter in fit.parameters.values():
            assert ("no error" in parameter.diagnostic) == math.isnan(parameter.standard_error)

    def test_a_mixture_of_two_time_scales_is_called_a_poor_fit(self):
        rng = np.random.default_rng(4)
        slow, slow_sides = simulate_hawkes(Hawkes(0.02, 0.4, 0.0, 0.5), 8000.0, rng)
        # Every order is split into several pieces within milliseconds, as a router does.
        pieces = rng.geometric(0.4, len(slow))
        times = np.repeat(slow, pieces) + rng.exponential(0.003, pieces.sum())
        order = np.argsort(times)
        fit = fit_hawkes(times[order], np.repeat(slow_sides, pieces)[order], 8001.0)
        assert "poor fit" in " ".join(fit.warnings)

    def test_too_few_orders_are_refused(self):
        with pytest.raises(DataError, match=r"`decay` .* 100 market orders a side; received 99 sell orders"):
            fit_hawkes(np.linspace(0.0, 9.0, 300), np.repeat([0, 1], [99, 201]), 10.0)

    def test_the_highest_of_several_maxima_is_found(self):
        """Orders that cluster at two time scales: a likelihood with a maximum at each."""
        rng = np.random.default_rng(6)
        slow, slow_sides = simulate_hawkes(Hawkes(0.05, 0.4, 0.0, 0.5), 2000.0, rng)
        fast, fast_sides = simulate_hawkes(Hawkes(0.1, 200.0, 0.0, 400.0), 2000.0, rng)
        order = np.argsort(np.concatenate([slow, fast]))
        times = np.concatenate([slow, fast])[order]
        sides = np.concatenate([slow_sides, fast_sides])[order]
        result = fit_hawkes(times, sides, 2000.0).process
        best, gradient = log_likelihood(result, times, sides, 2000.0)
        assert np.max(np.abs(gradient * np.array(result))) < 1e-5 * len(times)
        rng = np.random.default_rng(7)
        for decay in np.geomspace(0.01, 1e4, 40):
            for branching in (0.1, 0.3, 0.5, 0.7):
                share, base = rng.uniform(0.2, 1.0), rng.uniform(0.3, 1.0) * len(times) / 4000.0
                jump = branching * decay
                other = Hawkes(base, jump * share, jump * (1.0 - share), decay)
                assert log_likelihood(other, times, sides, 2000.0)[0] < best


class TestTies:
    def test_order_and_clock_are_kept(self):
        rng = np.random.default_rng(0)
        exact = np.sort(rng.integers(0, 10**10, 5000))
        shown = exact // 10**6 * 10**6
        assert len(np.unique(shown)) < 5000
        times = spread_ties(shown, 0, seed=1)
        assert np.all(np.diff(times) > 0.0)
        np.testing.assert_array_equal(np.floor(times * 1e3 + 1e-6), shown // 10**6)
        np.testing.assert_array_equal(times, spread_ties(shown, 0, seed=1))

    def test_nanosecond_clocks_are_left_alone(self):
        times = np.array([0, 5, 7, 1_000_000_000])
        np.testing.assert_allclose(spread_ties(times, 0, seed=1), times * 1e-9, atol=1.1e-9)

    def test_a_millisecond_clock_does_not_change_the_fit(self):
        times, sides = simulate_hawkes(TRUTH, 1000.0, np.random.default_rng(21))
        exact = fit_hawkes(times, sides, 1000.0).process
        shown = (times * 1e3).astype(np.int64) * 10**6
        np.testing.assert_allclose(
            fit_hawkes(spread_ties(shown, 0, 2), sides, 1000.001).process, exact, rtol=0.02
        )


def brownian(seconds, step, volatility, rng):
    return np.cumsum(volatility * math.sqrt(step) * rng.standard_normal(round(seconds / step) + 1))


class TestVolatility:
    def test_truth_lies_within_the_interval_as_often_as_stated(self):
        # 100 recordings of 10 minutes: misses are Binomial(100, 0.05) if the error is right; the quarticity
        # is estimated from some 60 windows, which costs a little. P(more than 15 at 0.07) = 0.2 %.
        rng = np.random.default_rng(1)
        fits = [estimate(brownian(600.0, 0.1, 3.0, rng), 0.1) for _ in range(100)]
        values = np.array([fit.volatility.value for fit in fits])
        assert sum(not fit.volatility.low <= 3.0 <= fit.volatility.high for fit in fits) <= 15
        assert np.mean(values) == pytest.approx(3.0, abs=4 * np.std(values) / 10)
        stated = np.mean([fit.volatility.standard_error for fit in fits])
        assert 0.75 < stated / np.std(values) < 1.3
        # In closed form 1.62 sigma^4 h / T; the scatter over 100 recordings is known to 7 %.
        assert np.std(values) == pytest.approx(3.0 * math.sqrt(1.62 * 10.0 / 600.0) / 2.0, rel=0.28)

    def test_bid_ask_bounce_is_removed_where_the_naive_estimate_fails(self):
        rng = np.random.default_rng(2)
        mids = brownian(20_000.0, 0.1, 1.0, rng)
        observed = mids + 3.0 * rng.choice([-1.0, 1.0], len(mids))
        fit = estimate(observed, 0.1)
        assert abs(fit.volatility.value - 1.0) < 4 * fit.volatility.standard_error < 0.3
        # Naive: all moves of the grid, or even those over ten seconds alone: sqrt(1 + 2 x 9 / 10) = 1.67.
        assert math.sqrt(np.mean(np.diff(observed) ** 2) / 0.1) > 10.0
        assert fit.plain == pytest.approx(math.sqrt(1.0 + 2.0 * 9.0 / 10.0), rel=0.1)
        assert "does not yet diffuse" in " ".join(fit.warnings)
        curve = fit.signature
        np.testing.assert_allclose(
            curve["volatility"][:6], np.sqrt(1.0 + 18.0 / curve["interval"][:6].to_numpy()), rtol=0.05
        )

    def test_changing_volatility_widens_the_error(self):
        rng = np.random.default_rng(3)
        noise = rng.standard_normal(60_000) * math.sqrt(0.1)
        calm = estimate(np.cumsum(noise), 0.1)
        bursts = np.where(
            np.arange(60_000) % 6000 < 600, math.sqrt(10.0), 0.0
        )  # the same variance, in tenths
        wild = estimate(np.cumsum(noise * bursts), 0.1)
        assert wild.volatility.standard_error > 2.0 * calm.volatility.standard_error

    def test_drift_is_found_with_its_error(self):
        rng = np.random.default_rng(4)
        mids = brownian(3000.0, 0.1, 1.0, rng) + 0.2 * 0.1 * np.arange(30_001)
        fit = estimate(mids, 0.1)
        assert fit.drift.standard_error == pytest.approx(1.0 / math.sqrt(3000.0), rel=0.15)
        assert fit.volatility.value == pytest.approx(1.0, rel=0.15)
        assert abs(fit.drift.value - 0.2) < 4 * fit.drift.standard_error
        p_value = chi2.sf((fit.drift.value / fit.drift.standard_error) ** 2, 1)
        assert fit.drift.diagnostic == f"p-value of none: {p_value:.2g}"

    def test_the_signature_has_the_errors_of_overlapping_windows(self):
        # Brownian: the variance over h has the relative error sqrt(4 / 3 h / T), the volatility half of it.
        curve = estimate(brownian(4000.0, 0.1, 3.0, np.random.default_rng(5)), 0.1).signature
        for row in curve.filter(pl.col("interval") <= 10.0).iter_rows(named=True):
            expected = 3.0 * math.sqrt(4.0 / 3.0 * row["interval"] / 4000.0) / 2.0
            assert row["standard_error"] == pytest.approx(
                expected, rel=0.25 if row["interval"] > 0.1 else 0.3
            )

    def test_moves_over_half_of_a_short_path_are_not_too_small(self):
        # Net of its drift a path of 21 is a bridge; 2,000 of them tell the mean square over 10 to 3 %.
        rng = np.random.default_rng(6)
        squares = [mean_square_move(np.cumsum(rng.standard_normal(21)), 10) for _ in range(2000)]
        assert np.mean(squares) == pytest.approx(10.0, rel=0.15)

    def test_the_sampling_interval_follows_the_length(self):
        assert interval_for(23_400.0, 10.0) == 10.0
        assert interval_for(120.0, 10.0) == 4.0
        assert interval_for(25.0, 0.5) == 0.5
        with pytest.raises(DataError, match=r"`volatility` .* 30 intervals .* received 12\.0 s"):
            interval_for(12.0, 10.0)

    def test_a_mid_that_stands_still_is_refused(self):
        with pytest.raises(DataError, match=r"`volatility` .* stands still or only bounces"):
            estimate(np.full(1000, 5.0), 0.1)

    def test_signature_of_a_still_mid_is_zero_and_of_short_ones_empty(self):
        assert signature(np.zeros(GRID_STEPS * 30), 0.1)["volatility"].max() == 0.0
        assert signature(np.zeros(5), 0.1).is_empty()


def exponential_bursts(intensity, decay, seconds, rng, nearest=0.5):
    """Bursts whose continuous reach is exponential, known to the tick below, as prices are."""
    rate = intensity * math.exp(-decay * nearest)
    count = rng.poisson(rate * seconds, 2)
    reach = nearest + np.floor(rng.exponential(1.0 / decay, count.sum()))
    time = rng.uniform(0.0, seconds, count.sum())
    order = np.argsort(time)
    return Bursts(time[order], np.repeat([False, True], count)[order], reach[order])


class TestFillCurve:
    def test_exponential_reaches_are_recovered_within_the_stated_intervals(self):
        # 40 recordings: misses of a right 95 % interval are Binomial(40, 0.05); a bootstrap of 50 blocks with
        # weights that follow the counts misses somewhat more. P(more than 10 at 0.08) = 0.05 % a parameter.
        truth = {
            "intensity": 0.4,
            "intensity_bid": 0.4,
            "fill_decay": 0.08,
            "fill_decay_ask": 0.08,
            "fill_imbalance": 0.0,
            "reach": 0.2,
        }
        missed, values, likelihoods = dict.fromkeys(truth, 0), [], []
        for seed in range(40):
            rng = np.random.default_rng(seed)
            bursts = exponential_bursts(0.4, 0.08, 2000.0, rng)
            orders = np.sort(rng.uniform(0.0, 2000.0, 8000))
            fit = fit_fill_curve(bursts, orders, 2000.0, seed, samples=200)
            for name, value in truth.items():
                missed[name] += not fit.parameters[name].low <= value <= fit.parameters[name].high
            values.append(fit.curve)
            likelihoods.append(fit.likelihood)
        assert max(missed.values()) <= 10, missed
        intensity, decay, r_squared = np.array(values).T
        assert np.mean(decay) == pytest.approx(0.08, rel=0.03)
        assert np.mean(intensity) == pytest.approx(0.4, rel=0.05)
        assert np.min(r_squared) > 0.95
        # Maximum likelihood, the efficient one here, though a twentieth of the bursts is censored.
        assert np.mean([one.fill_decay for one in likelihoods]) == pytest.approx(0.08, rel=0.02)
        assert np.mean([one.intensity for one in likelihoods]) == pytest.approx(0.4, rel=0.03)

    def test_near_orders_do_not_bend_the_curve(self):
        # Nine orders in ten stop at the touch, half a tick from the mid, as on a market one tick wide.
        rng = np.random.default_rng(9)
        bursts = exponential_bursts(0.4, 0.05, 5000.0, rng)
        touch = rng.uniform(0.0, 5000.0, 9 * len(bursts.time))
        both = Bursts(
            np.concatenate([bursts.time, touch]),
            np.concatenate([bursts.buy, rng.random(len(touch)) < 0.5]),
            np.concatenate([bursts.reach, np.full(len(touch), 0.5)]),
        )
        fit = fit_fill_curve(both, touch, 5000.0, 0)
        assert fit.curve.fill_decay == pytest.approx(0.05, rel=0.1)
        assert fit.curve.intensity == pytest.approx(0.4, rel=0.15)
        # The naive fit from the touch on is wrong by a factor.
        assert maximum_likelihood(both.reach, 0.5, 60.0, 10_000.0).fill_decay > 0.2
        assert fit.parameters["reach"].value == pytest.approx(fit.curve.intensity / (len(touch) / 10_000.0))

    def test_errors_grow_when_orders_cluster(self):
        rng = np.random.default_rng(10)
        calm = exponential_bursts(0.4, 0.05, 4000.0, rng)
        # The same orders squeezed into one block of time in five.
        squeezed = calm.time // 400.0 * 400.0 + (calm.time % 400.0) / 5.0
        orders = np.sort(squeezed)
        errors = [
            fit_fill_curve(bursts, orders, 4000.0, 0).parameters["intensity"].standard_error
            for bursts in (calm, Bursts(squeezed, calm.buy, calm.reach))
        ]
        assert errors[1] > 1.5 * errors[0]

    def test_a_curve_that_is_not_exponential_is_called_so(self):
        rng = np.random.default_rng(11)
        count = 20_000
        reach = 1.5 + np.floor(5.0 * rng.pareto(1.2, count))
        bursts = Bursts(np.sort(rng.uniform(0.0, 5000.0, count)), rng.random(count) < 0.5, reach)
        fit = fit_fill_curve(bursts, bursts.time, 5000.0, 0, distances=(1.5, 100.0))
        assert "not exponential" in " ".join(fit.warnings)

    def test_sides_that_differ_are_named(self):
        rng = np.random.default_rng(12)
        one = exponential_bursts(0.8, 0.05, 4000.0, rng)
        keep = ~one.buy | (rng.random(len(one.buy)) < 0.4)
        bursts = Bursts(*(values[keep] for values in one))
        fit = fit_fill_curve(bursts, bursts.time, 4000.0, 0)
        assert fit.parameters["intensity_bid"].value == pytest.approx(0.8, rel=0.2)
        assert fit.parameters["intensity_ask"].value == pytest.approx(0.32, rel=0.2)
        # (0.8 - 0.32) / (0.8 + 0.32), at 1 / k as at any distance, since both decay alike.
        differ = fit.parameters["fill_imbalance"]
        assert differ.low < 0.4286 < differ.high
        assert "takes 20" not in " ".join(fit.warnings)
        assert "fills both at their mean, and is wrong by 4" in fit.warnings[0]

    def test_sides_that_reach_differently_are_named_with_what_it_costs(self):
        rng = np.random.default_rng(15)
        near, far = (exponential_bursts(0.4, decay, 8000.0, rng) for decay in (0.1, 0.05))
        both = [np.concatenate([a[~near.buy], b[far.buy]]) for a, b in zip(near, far, strict=True)]
        fit = fit_fill_curve(Bursts(*both), np.sort(both[0]), 8000.0, 0)
        said = next(text for text in fit.warnings if "1 / k is" in text)
        bid, ask, k = (fit.parameters[f"fill_decay{side}"].value for side in ("_bid", "_ask", ""))
        assert f"1 / k is {1.0 / bid:.3g} ticks at the bid, {1.0 / ask:.3g} at the ask" in said
        # What a quote at 1 / k earns of the most that its side can, distance x rate, found by search.
        distance = np.linspace(0.1, 100.0, 100_000)
        lost = [1.0 - np.exp(-own / k) / k / np.max(distance * np.exp(-own * distance)) for own in (bid, ask)]
        assert f"earns up to {max(lost):.0%} less" in said

    def test_the_table_counts_what_a_loop_counts(self):
        rng = np.random.default_rng(13)
        bursts = exponential_bursts(0.5, 0.1, 1000.0, rng)
        table = fit_fill_curve(bursts, bursts.time, 1000.0, 0, samples=100).table
        for row in table.iter_rows(named=True):
            of_side = {"bid": ~bursts.buy, "ask": bursts.buy, "mean": bursts.buy | True}[row["side"]]
            count = sum(reach >= row["distance"] for reach in bursts.reach[of_side])
            assert row["count"] == count
            assert row["rate"] == pytest.approx(count / (2000.0 if row["side"] == "mean" else 1000.0))

    def test_quotes_live_around_one_over_k(self):
        rng = np.random.default_rng(14)
        start, end = where_quotes_live(exponential_bursts(5.0, 0.05, 20_000.0, rng).reach)
        assert start == pytest.approx(0.5 * 20.0, rel=0.3)
        assert end == pytest.approx(3.0 * 20.0, rel=0.3)

    @given(st.floats(0.01, 5.0), st.floats(0.001, 0.5))
    def test_least_squares_is_exact_on_an_exact_curve(self, intensity, decay):
        distance = np.linspace(1.0, 3.0 / decay, 20)
        seconds = 1e6 / intensity
        curve = least_squares(distance, intensity * np.exp(-decay * distance) * seconds, seconds)
        assert curve.intensity == pytest.approx(intensity, rel=1e-9)
        assert curve.fill_decay == pytest.approx(decay, rel=1e-9)
        assert curve.r_squared == pytest.approx(1.0)

    def test_too_few_orders_are_refused(self):
        bursts = Bursts(np.arange(29.0), np.arange(29) % 2 == 0, np.full(29, 3.0))
        with pytest.raises(DataError, match=r"`fill_decay` must rest on 30 .* received 29"):
            fit_fill_curve(bursts, bursts.time, 29.0, 0)
        bursts = Bursts(np.arange(300.0), np.arange(300) % 2 == 0, np.full(300, 1.5))
        with pytest.raises(DataError, match=r"`fill_decay` .* 4 distances .* and 1 distances"):
            fit_fill_curve(bursts, bursts.time, 300.0, 0)

    def test_a_tick_too_large_for_any_curve_is_said_to_be_one(self):
        """Ten thousand orders, of which few pass the touch: no option makes a curve of them."""
        reach = np.full(10_000, 0.5)
        reach[:67] = 1.5
        bursts = Bursts(np.arange(10_000.0), np.arange(10_000) % 2 == 0, reach)
        for distances in (None, (0.5, 3.0), (0.1, 2.0)):
            with pytest.raises(DataError, match=r"received 2: 67 of 10,000 .* no option helps"):
                fit_fill_curve(bursts, bursts.time, 1e4, 0, distances=distances)
        reach[:20], reach[:10], reach[:5] = 2.5, 3.5, 4.5  # few, but on distances enough
        assert fit_fill_curve(bursts._replace(reach=reach), bursts.time, 1e4, 0).curve.fill_decay > 0.0


class TestBursts:
    def test_a_burst_counts_once_and_from_where_it_began(self):
        # Time in ms, side, worst price, mid before: buys at 0, 20 and 49 ms are a burst, that at 50 the next.
        tape = [
            (0, BUY, 101, 100.0),
            (10, SELL, 98, 100.5),
            (20, BUY, 103, 102.0),
            (49, BUY, 102, 102.5),
            (50, BUY, 104, 103.0),
            (200, SELL, 99, 100.0),
        ]
        times, side, worst, mid = (np.array(column) for column in zip(*tape, strict=True))
        orders = MarketOrders(times * 10**6, side, np.ones(6, np.int64), worst, mid, side * (worst - mid))
        bursts = bursts_of(orders, 0, 0.05)
        np.testing.assert_allclose(bursts.time, [0.0, 0.01, 0.05, 0.2])
        np.testing.assert_array_equal(bursts.buy, [True, False, True, False])
        np.testing.assert_allclose(bursts.reach, [3.0, 2.5, 1.0, 1.0])
        alone = bursts_of(orders, 0, 0.0)
        np.testing.assert_allclose(alone.reach, orders.reach)


class TestSettings:
    @pytest.mark.parametrize(
        ("field", "message"),
        [
            ({"sampling_interval": 0.0}, "`sampling_interval` must be positive and finite"),
            ({"response_latency": -1.0}, "`response_latency` must be 0 s or more; received -1.0"),
            ({"order_window": -0.1}, "`order_window` must be 0 s or more; received -0.1"),
            ({"order_window": math.nan}, "`order_window` must be 0 s or more; received nan"),
            ({"fit_from": 3.0}, "`fit_from` must come with `fit_to`"),
            ({"fit_from": 3.0, "fit_to": 2.0}, "`fit_from` must lie between 0 and `fit_to`"),
            ({"bootstrap_samples": 5}, "`bootstrap_samples` must be at least 100; received 5"),
            ({"confidence": 1.0}, "`confidence` must lie between 0 and 1"),
        ],
        ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
    )
    def test_bad_settings_are_refused(self, field, message):
        with pytest.raises(UsageError, match=message):
            CalibrationSettings(**field)


@pytest.fixture(scope="module")
def sample():
    return read_recording(sample_recording())


@pytest.fixture(scope="module")
def calibration(sample) -> Calibration:
    return calibrate(sample)


class TestSample:
    def test_parameters_are_near_independent_fits(self, calibration):
        value = {name: parameter.value for name, parameter in calibration.parameters.items()}
        assert value["volatility_in_currency"] == pytest.approx(4.2, rel=0.1)
        assert value["fill_decay_in_currency"] == pytest.approx(0.34, rel=0.2)
        # Both sides; 1.6 / s where every piece of a burst counts, from a mid that is 50 ms old.
        assert value["intensity_both_sides"] == pytest.approx(0.5, rel=0.2)
        assert 0.6 < value["branching_ratio"] < 0.95
        assert calibration.facts.fill_curve_r_squared > 0.98
        assert calibration.facts.hawkes_ks_statistic < 0.03 < 0.1 < calibration.facts.poisson_ks_statistic
        assert not any("Hawkes" in warning for warning in calibration.warnings)

    def test_a_quote_that_moves_every_tenth_of_a_second_is_filled_as_the_curve_says(
        self, sample, calibration
    ):
        """Count the steps in which a quote, re-centred at each, is traded through: no bursts, no reaches."""
        from flowhft.recordings.book import mid_at, top_of_book

        top, dt = top_of_book(sample), 0.1
        trades = sample.events[sample.events["kind"] == TRADE]
        starts = np.arange(top.exchange_time_ns[0], top.exchange_time_ns[-1], round(dt * 1e9))
        mids = mid_at(top, starts)
        step = np.searchsorted(starts, trades["exchange_time_ns"]) - 1
        through = np.full((2, len(starts)), -np.inf)
        away = trades["side"] * (trades["price"] - mids[step])
        np.maximum.at(through, ((trades["side"] > 0).astype(int), step), away)
        intensity, decay = (calibration.parameters[name].value for name in ("intensity", "fill_decay"))
        for distance in (15.0, 25.0, 40.0):
            rate = -math.log1p(-np.mean(through >= distance)) / dt
            assert intensity * math.exp(-decay * distance) == pytest.approx(rate, rel=0.25)

    def test_the_parts_fit_together(self, sample, calibration):
        value = {name: parameter.value for name, parameter in calibration.parameters.items()}
        assert value["reach"] == pytest.approx(value["intensity"] / value["market_order_rate"])
        assert value["branching_ratio"] == pytest.approx(
            (value["self_excitation"] + value["cross_excitation"]) / value["decay"]
        )
        # The stationary rate of the fitted process is the rate that was counted.
        stationary = value["base_intensity"] / (1.0 - value["branching_ratio"])
        assert stationary == pytest.approx(value["market_order_rate"], rel=0.1)
        assert value["intensity_both_sides"] == pytest.approx(2.0 * value["intensity"])
        assert value["fill_decay_in_currency"] == pytest.approx(value["fill_decay"] / sample.tick_size)
        # Eight minutes of a book that stands still two seconds in three carry neither jumps nor seasons.
        refused = {name for name, parameter in calibration.parameters.items() if math.isnan(parameter.value)}
        assert refused == {f"jump_{name}" for name in ("intensity", "mean", "deviation", "share")} | {
            "rate_seasonality",
            "volatility_seasonality",
            "order_fill_ratio",
        }
        assert calibration.facts.order_window == 0.01
        for name, parameter in calibration.parameters.items():
            assert parameter.diagnostic, name
            if name in refused:
                assert "must rest on" in parameter.diagnostic
                assert "received" in parameter.diagnostic
            else:
                assert parameter.low <= parameter.value <= parameter.high
        assert calibration.facts.market_orders == round(
            2.0 * value["market_order_rate"] * calibration.facts.seconds
        )

    def test_estimates_hold_no_drift_that_may_be_noise(self, calibration):
        estimates = calibration.estimates(horizon=60.0)
        assert estimates.drift == 0.0
        assert estimates.horizon == 60.0
        assert estimates.volatility == calibration.parameters["volatility"].value
        drift = calibration.parameters["drift"]._replace(low=0.5, value=1.0, high=1.5)
        sure = replace(calibration, parameters={**calibration.parameters, "drift": drift})
        assert sure.estimates(60.0).drift == 1.0
        with pytest.raises(UsageError, match="`horizon` must be above 0"):
            calibration.estimates(0.0)

    def test_same_seed_same_numbers(self, sample, calibration):
        again = calibrate(sample, CalibrationSettings(), seed=0)
        assert again.parameters == calibration.parameters
        other = calibrate(sample, CalibrationSettings(), seed=1)
        assert other.parameters["fill_decay"].value == calibration.parameters["fill_decay"].value
        assert other.parameters["decay"].value == pytest.approx(
            calibration.parameters["decay"].value, rel=0.01
        )

    def test_halves_can_be_calibrated_alone(self, sample, calibration):
        halves = [calibrate(part) for part in split(sample, 0.5)]
        for half in halves:
            assert half.facts.seconds == pytest.approx(calibration.facts.seconds / 2.0, rel=0.01)
            # Four standard errors of the half: 1 in 10,000, were the market the same all along.
            for name in ("volatility", "fill_decay"):
                one, all_of_it = half.parameters[name], calibration.parameters[name]
                assert abs(one.value - all_of_it.value) < 4.0 * one.standard_error, name
            # Not the chance pairs of opposite sides within a millisecond, which a free decay would take up.
            assert 0.5 < half.parameters["branching_ratio"].value < 0.95
            assert half.facts.hawkes_ks_statistic < 0.03
        # An order that the cut divides, or that comes before the second half's first mid, may differ.
        orders = sum(half.facts.market_orders for half in halves)
        assert abs(orders - calibration.facts.market_orders) <= 5

    def test_progress_runs_from_0_to_1(self, sample):
        told = []
        calibrate(sample, progress=lambda done, now: told.append((done, now)))
        shares = [done for done, _ in told]
        assert shares == sorted(shares)
        assert (shares[0], shares[-1]) == (0.0, 1.0)

    def test_save_and_load(self, calibration, tmp_path):
        odd = calibration.parameters["decay"]._replace(standard_error=math.nan)
        saved = replace(calibration, parameters={**calibration.parameters, "decay": odd})
        save(saved, tmp_path / "calibrate")
        loaded = load_calibration(tmp_path / "calibrate")
        assert loaded.facts == saved.facts
        assert loaded.warnings == saved.warnings
        assert math.isnan(loaded.parameters.pop("decay").standard_error)
        assert loaded.parameters == {k: v for k, v in saved.parameters.items() if k != "decay"}
        for name in TABLES:
            table = getattr(loaded, name)
            assert table.equals(getattr(saved, name))
            assert set(units_of(tmp_path / "calibrate" / f"{name}.parquet")) == set(table.columns)

    def test_facts_of_before_instruments_had_terms(self, calibration, tmp_path):
        """What older folders do not say follows from venue and symbol, inverse contracts too."""
        for venue, symbol, inverse in (("binance-usdm", "BTCUSDT", False), ("binance-coinm", "BTCUSD", True)):
            of = calibration.facts.instrument._replace(venue=venue, symbol=symbol)
            save(replace(calibration, facts=calibration.facts._replace(instrument=of)), tmp_path)
            content = json.loads((tmp_path / "calibration.json").read_text())
            for name in ("inverse", "contract_value", "settlement"):
                del content["facts"][name]
            (tmp_path / "calibration.json").write_text(json.dumps(content))
            terms = {"inverse": True, "contract_value": 100.0, "settlement": "BTC"} if inverse else {}
            assert load_calibration(tmp_path).facts.instrument == of._replace(**terms)

    def test_a_damaged_folder_is_named(self, calibration, tmp_path):
        with pytest.raises(DataError, match=r"calibration\.json.* must exist"):
            load_calibration(tmp_path)
        save(calibration, tmp_path)
        content = json.loads((tmp_path / "calibration.json").read_text())
        del content["facts"]["tick_size"]
        (tmp_path / "calibration.json").write_text(json.dumps(content))
        with pytest.raises(DataError, match=r"must be a calibration; .*tick_size"):
            load_calibration(tmp_path)
        (tmp_path / "calibration.json").write_text("[1]")
        with pytest.raises(DataError, match=r"calibration.json` must be a JSON object; received a list"):
            load_calibration(tmp_path)


class TestRefusals:
    def test_a_recording_without_trades(self, sample):
        silent = replace(sample, events=sample.events[sample.events["kind"] != TRADE])
        with pytest.raises(DataError, match=r"must hold trades, a calibration needs them; received none in"):
            calibrate(silent)

    def test_a_recording_without_a_book(self, sample):
        blind = replace(sample, events=sample.events[sample.events["kind"] == TRADE])
        with pytest.raises(DataError, match="`volatility` must be measured on mid prices; received 0"):
            calibrate(blind)

    def test_a_recording_of_a_few_seconds(self, sample):
        first, _ = split(sample, 0.02)
        with pytest.raises(DataError, match=r"`volatility` .* 30 intervals .* received 9\.\d s"):
            calibrate(first)


class TestNasdaq:
    def test_goog_is_near_independent_fits(self, shared_data):
        calibration = calibrate(read_recording(shared_data / "lobster_nasdaq_2012" / "GOOG"))
        value = {name: parameter.value for name, parameter in calibration.parameters.items()}
        assert value["volatility_in_currency"] == pytest.approx(0.039, rel=0.05)
        # 0.34 / s and 16.6 / USD over 1 to 25 ticks, unweighted, visible orders, each piece of a burst alone.
        assert value["intensity_both_sides"] == pytest.approx(0.34, rel=0.3)
        assert value["fill_decay_in_currency"] == pytest.approx(16.6, rel=0.2)
        assert calibration.facts.market_spread == pytest.approx(27.3, rel=0.01)
        assert isinstance(calibration.signature, pl.DataFrame)
        assert calibration.signature["interval"].max() == pytest.approx(300.0)
