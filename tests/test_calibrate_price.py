"""Memory, jumps, seasons and gaps of the price: the library's own market with known parameters, recovered."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import gamma
from scipy.stats import kstest, norm

from flowhft.calibrate.hurst import fit_hurst
from flowhft.calibrate.jumps import fit_jumps, no_jumps_p_value, threshold, usual_deviation, window_of
from flowhft.calibrate.seasonality import PART, fit_seasonality
from flowhft.calibrate.sessions import without_gaps
from flowhft.recordings import read_recording, sample_recording, top_of_book
from flowhft.recordings.market_orders import market_orders
from flowhft.recordings.split import split
from flowhft.scenarios.scenario import Scenario
from flowhft.studies.realism.tape import simulated_tapes

MARKET = Scenario(
    name="known",
    dt=1.0,
    horizon=600.0,
    price="additive",
    volatility=2.0,
    base_intensity=0.5,
    decay=2.0,
    fill_decay=0.05,
)


def simulated_mids(scenario: Scenario, steps: int, paths: int) -> list[np.ndarray]:
    return [tape.mids for tape in simulated_tapes(scenario, steps, paths, seed=3)]


class TestHurst:
    @pytest.mark.parametrize("noise", [0.0, 2.0])
    def test_truth_lies_within_the_interval_as_often_as_stated(self, noise):
        # 24 recordings of ten minutes, 95 % intervals: Binomial(24, 0.05) misses; P(more than 5) = 0.1 %.
        rng = np.random.default_rng(1)
        missed, distances = 0, []
        for truth in (0.3, 0.7):
            for mids in simulated_mids(MARKET.but(hurst_exponent=truth), 600, 12):
                result = fit_hurst(mids + noise * rng.standard_normal(len(mids)), 1.0).hurst_exponent
                missed += not result.low <= truth <= result.high
                distances.append((result.value - truth) / result.standard_error)
        assert missed <= 5
        # Four standard errors of mean and scatter of 24 standard normals, and a bias of a third of an error.
        assert abs(np.mean(distances)) < 4.0 / np.sqrt(24.0) + 0.3
        assert 0.4 < np.std(distances) < 1.6

    def test_noise_is_told_from_memory_where_the_naive_exponent_fails(self):
        rng = np.random.default_rng(2)
        walk = np.cumsum(rng.standard_normal(4001))
        result = fit_hurst(walk + 1.5 * rng.standard_normal(4001), 1.0)
        # Four standard errors: one false alarm in 15,000.
        assert abs(result.hurst_exponent.value - 0.5) < 4.0 * result.hurst_exponent.standard_error < 0.25
        assert not result.significant
        assert result.noise == pytest.approx(1.5, rel=0.15)
        assert result.volatility == pytest.approx(1.0, rel=0.3)
        squares = result.structure["mean_square_move"].to_numpy()
        naive = 0.5 * np.log2(squares[1] / squares[0])
        assert naive < 0.2
        np.testing.assert_allclose(result.structure["fitted"][:6], squares[:6], rtol=0.15)

    def test_memory_of_the_volatility_is_no_memory_of_the_price(self):
        # A market whose volatility comes in bursts of a minute: the Gaussian error alone misses too often.
        rng = np.random.default_rng(3)
        results = [
            fit_hurst(
                np.cumsum(rng.standard_normal(1001) * np.repeat(rng.gamma(0.5, 2.0, 18), 60)[:1001]), 1.0
            )
            for _ in range(20)
        ]
        # 0.5 is left out at 99 %: Binomial(20, 0.01); P(more than 3) = 0.004 %.
        assert sum(fit.significant for fit in results) <= 3
        # The errors are those of the scatter; by the law of Gaussian moves they would be a quarter less.
        exponents, errors = np.array([fit.hurst_exponent[1:3] for fit in results]).T
        assert np.mean(errors) > 0.042
        assert 0.5 < np.std(exponents) / np.mean(errors) < 1.5

    def test_trending_prices_are_told_from_chance(self):
        mids = simulated_mids(MARKET.but(hurst_exponent=0.7), 600, 12)[0]
        result = fit_hurst(mids, 1.0)
        assert result.significant
        assert result.volatility == pytest.approx(2.0, rel=0.25)
        # The same moves, four seconds apart each: a fractional price scales by 4^H.
        slow = fit_hurst(mids, 4.0)
        assert slow.volatility == pytest.approx(
            result.volatility / 4.0**result.hurst_exponent.value, rel=1e-6
        )

    def test_one_exponent_that_does_not_hold_is_said(self):
        rng = np.random.default_rng(4)
        # Moves that trend for two steps and then forget.
        moves = np.convolve(rng.standard_normal(4001), np.ones(2), "valid")
        result = fit_hurst(np.cumsum(moves), 1.0)
        assert "does not scale by one exponent" in " ".join(result.warnings)
        # A mid on rails has no exponent at all.
        rails = fit_hurst(np.cumsum(np.repeat(rng.standard_normal(40), 100)), 1.0)
        assert "is the edge of what is possible" in " ".join(rails.warnings)
        assert not rails.significant

    def test_few_moves_are_refused(self):
        short = fit_hurst(np.arange(200.0), 2.0)
        assert np.isnan(short.hurst_exponent.value)
        assert not short.significant
        assert short.warnings[0] == (
            "`hurst_exponent` must rest on 300 moves over 2 s of which 100 are not 0; received 199 of which "
            "199. Use a longer recording."
        )
        still = fit_hurst(np.repeat([1.0, 2.0], 500), 2.0)
        assert "received 999 of which 1." in still.hurst_exponent.diagnostic


class TestJumps:
    truth = MARKET.but(volatility=1.0, jump_intensity=0.01, jump_mean=15.0, jump_deviation=1.5)

    def test_truth_lies_within_the_intervals_as_often_as_stated(self):
        # 20 recordings of 50 minutes: Binomial(20, 0.05) misses a parameter; P(more than 5) = 0.03 %.
        names = ("jump_intensity", "jump_mean", "jump_deviation")
        missed, deviations = dict.fromkeys(names, 0), []
        for mids in simulated_mids(self.truth, 3000, 20):
            result = fit_jumps(mids)
            assert result.significant
            for name in names:
                parameter = result.parameters[name]
                missed[name] += not parameter.low <= getattr(self.truth, name) <= parameter.high
            deviations.append(result.parameters["jump_deviation"].value)
        assert max(missed.values()) <= 5, missed
        # 600 sizes: five standard errors of 0.05. With the diffusion left in it would be 1.8.
        assert np.mean(deviations) == pytest.approx(1.5, abs=0.25)

    def test_shares_and_p_values_are_those_of_their_formulas(self):
        """One jump of 20 among moves of 1: the usual variance is pi / 2, that of a product of neighbours."""
        moves = np.tile([1.0, -1.0], 300)
        moves[200] = 20.0
        result = fit_jumps(np.concatenate([[0.0], np.cumsum(moves)]))
        assert result.parameters["jump_share"].value == pytest.approx((400.0 - np.pi / 2.0) / (400.0 + 599.0))
        rng = np.random.default_rng(13)
        moves = rng.standard_normal(500) * np.exp(rng.standard_normal(500).cumsum() / 10.0)
        n, size = 500, np.abs(moves)
        pairs = sum(size[i] * size[i - 1] for i in range(1, n)) * n / (n - 1) * np.pi / 2.0
        normal = 2.0 ** (2.0 / 3.0) * gamma(7.0 / 6.0) / gamma(0.5)  # E |Z|^(4/3)
        triples = sum((size[i] * size[i - 1] * size[i - 2]) ** (4.0 / 3.0) for i in range(2, n))
        quarticity = n * n / (n - 2) * triples / normal**3
        assert quarticity > 1.5 * pairs**2  # the volatility does change
        spread = (np.pi**2 / 4.0 + np.pi - 5.0) * quarticity / pairs**2 / n
        z = (1.0 - pairs / np.sum(moves**2)) / np.sqrt(spread)
        assert no_jumps_p_value(moves) == pytest.approx(norm.sf(z))

    def test_a_price_without_jumps_shows_none(self):
        # 100 recordings, each with a jump by a chance of 1 %: P(more than 5) = 0.05 %. p-values are uniform.
        rng = np.random.default_rng(5)
        results = [fit_jumps(np.cumsum(rng.standard_normal(1000))) for _ in range(100)]
        assert sum(len(fit.jumps) > 0 for fit in results) <= 5
        assert kstest([fit.p_value for fit in results], "uniform").pvalue > 1e-3
        assert not any(fit.significant for fit in results)
        none = next(fit for fit in results if len(fit.jumps) == 0)
        assert none.parameters["jump_intensity"].value == 0.0
        # Nothing seen in T seconds: the exact 95 % bound is -log(0.025) / T.
        assert none.parameters["jump_intensity"].high == pytest.approx(-np.log(0.025) / 999.0)
        assert np.isnan(none.parameters["jump_mean"].value)
        assert "must rest on 5 jumps; received 0" in none.parameters["jump_mean"].diagnostic
        assert none.parameters["jump_share"].value == 0.0
        assert np.isnan(none.parameters["jump_share"].standard_error)
        assert none.parameters["jump_share"].diagnostic.startswith("no jump; p-value")

    def test_changing_volatility_is_not_jumps(self):
        rng = np.random.default_rng(6)
        scale = np.exp(np.sin(np.arange(4000) / 500.0))
        results = [fit_jumps(np.cumsum(scale * rng.standard_normal(4000))) for _ in range(20)]
        assert sum(fit.significant for fit in results) == 0

    def test_the_usual_deviation_is_that_of_a_loop(self):
        moves = np.random.default_rng(7).standard_normal(150)
        half = window_of(150) // 2
        for here in (0, 5, 75, 149):
            products = [
                0.5 * np.pi * abs(moves[i] * moves[i + 1])
                for i in range(max(here - half, 0), min(here + half, 149))
                if here not in (i, i + 1)
            ]
            assert usual_deviation(moves)[here] == pytest.approx(np.sqrt(np.mean(products)))
        # A jump does not hide itself, and others hardly hide it.
        moves[75] = 100.0
        assert usual_deviation(moves)[75] < 1.5
        assert 4.0 < threshold(500) < threshold(100_000) < 7.0
        assert no_jumps_p_value(moves) < 1e-6

    def test_books_that_stand_still_are_refused(self):
        mids = np.round(np.cumsum(0.02 * np.random.default_rng(8).standard_normal(5000)))
        result = fit_jumps(mids)
        assert (
            "`jump_intensity` must rest on 200 moves of which 5% at most are 0; received"
            in result.warnings[0]
        )
        assert not result.significant


class TestSeasonality:
    seconds = 12 * PART

    def orders(self, profile, rng):
        """Poisson orders of both sides whose rate follows a profile of half hours."""
        counts = rng.poisson(2.0 * profile * PART)
        return np.sort(np.concatenate([(i + rng.random(n)) * PART for i, n in enumerate(counts)]))

    def test_truth_lies_within_the_interval_as_often_as_stated(self):
        # 24 sessions each: Binomial(24, 0.05) misses; P(more than 5) = 0.1 %. The profiles are drawn, since
        # the interval is for the law that they come from.
        rng = np.random.default_rng(9)
        missed = {"rate": 0, "volatility": 0}
        for _ in range(24):
            rate, volatility = 0.5 * (1.0 + 0.3 * rng.standard_normal((2, 12)).clip(-2.5, 2.5))
            moves = np.repeat(volatility, 1800) * rng.standard_normal(12 * 1800)
            mids = np.concatenate([[0.0], np.cumsum(moves)])
            result = fit_seasonality(self.orders(rate, rng), mids, 1.0, self.seconds, 0)
            for name in missed:
                parameter = result.parameters[f"{name}_seasonality"]
                missed[name] += not parameter.low <= 0.3 <= parameter.high
        assert max(missed.values()) <= 5, missed

    def test_a_constant_market_has_none(self):
        rng = np.random.default_rng(10)
        said = 0
        for _ in range(10):
            mids = np.cumsum(rng.standard_normal(12 * 1800))
            result = fit_seasonality(self.orders(np.full(12, 0.5), rng), mids, 1.0, self.seconds, 0)
            said += len(result.warnings)
            assert result.parameters["rate_seasonality"].low < 0.02
        # 20 tests at 5 %, those of the volatility somewhat more often: P(more than 6 at 7 %) = 0.05 %.
        assert said <= 6

    def test_the_profile_is_that_of_the_session(self):
        rng = np.random.default_rng(11)
        profile = np.array([2.0, 1.5, 1.0, 0.5, 0.5, 0.5, 0.5, 0.5, 1.0, 1.0, 1.5, 3.0])
        mids = np.cumsum(np.repeat(profile, 1800) * rng.standard_normal(12 * 1800))
        result = fit_seasonality(self.orders(profile, rng), mids, 1.0, self.seconds, 0)
        # Five standard errors: one false alarm in a million a part.
        for name in ("rate", "volatility"):
            apart = (result.profile[name].to_numpy() - profile) / result.profile[f"{name}_error"].to_numpy()
            assert np.max(np.abs(apart)) < 5.0
        assert result.parameters["rate_seasonality"].value == pytest.approx(
            np.std(profile, ddof=1) / np.mean(profile), rel=0.1
        )
        assert "rate: from 0.4" in result.warnings[0]

    def test_half_hours_without_an_order_count(self):
        rng = np.random.default_rng(12)
        profile = np.array([1.0, 1.0, 0.0, 0.0, 1.0, 1.0])
        mids = np.cumsum(rng.standard_normal(6 * 1800))
        result = fit_seasonality(self.orders(profile, rng), mids, 1.0, 6 * PART, 0)
        # Standard deviation over mean of the profile: sqrt(6 / 5 x (2 / 3) (1 / 3)) / (2 / 3).
        assert result.parameters["rate_seasonality"].value == pytest.approx(0.775, rel=0.05)
        assert "6 parts" in result.parameters["rate_seasonality"].diagnostic

    def test_an_hour_is_refused(self):
        result = fit_seasonality(np.arange(10.0), np.arange(100.0), 1.0, 3600.0, 0)
        assert "must rest on 4 half hours; received 2.00." in result.warnings[0]
        assert np.isnan(result.parameters["volatility_seasonality"].value)


class TestSessions:
    def test_a_night_between_two_sessions_is_no_move(self):
        whole = read_recording(sample_recording())
        first, second = split(whole, 0.5)
        night, opening = 3_600_000_000_000, 10_000
        later = second.events.copy()
        for name in ("exchange_time_ns", "local_time_ns"):
            later[name] += night
        later["price"] += opening
        spans = [(e["local_time_ns"][0], e["local_time_ns"][-1]) for e in (first.events, later)]
        joined = replace(
            first,
            events=np.concatenate([first.events, later]),
            sessions=tuple((int(a), int(b)) for a, b in spans),
        )
        closed = without_gaps(joined)
        assert closed.duration == pytest.approx(whole.duration, abs=1.0)
        apart, together, before = (top_of_book(r).mid_price for r in (joined, closed, whole))
        assert np.nanmax(np.abs(np.diff(apart))) >= opening - 500
        assert np.nanmax(np.abs(np.diff(together))) <= np.nanmax(np.abs(np.diff(before))) + 1.0
        reach, expected = (np.sort(market_orders(r).reach) for r in (closed, whole))
        assert len(reach) == len(expected)
        assert np.mean(np.abs(reach - expected) > 1.0) < 0.002  # but at the seam
        assert without_gaps(whole) is whole
