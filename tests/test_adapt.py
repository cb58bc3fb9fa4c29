"""Adaptation: known optima, the law against simulation, gradients against differences, edges, files."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lab_policies import loaded
from program import flowhft
from scipy.optimize import minimize_scalar

from flowhft.errors import UnknownNameError, UsageError
from flowhft.features import Sensor
from flowhft.flow.network import init_network
from flowhft.flow.normaliser import Normaliser
from flowhft.flow.policy import FlowPolicy, save_policy
from flowhft.learn.adapt.adapt import adapt, policies_evaluator, records_of
from flowhft.learn.adapt.coordinate_search import coordinate_search
from flowhft.learn.adapt.gradient import adapted_nodes, score_along
from flowhft.learn.adapt.notes import require_known_law
from flowhft.learn.adapt.objective import Score, score_of
from flowhft.learn.adapt.paper import printed_adapter, printed_offsets, search_grid
from flowhft.learn.adapt.search import Scales, adapter_at
from flowhft.learn.adapt.state import search_state
from flowhft.learn.regime.law import NODES, law_along
from flowhft.learn.settings import AdaptSettings, GradientSettings, GridSettings, StateSettings
from flowhft.metrics.estimators import RISK_WEIGHT
from flowhft.policies.adapter import IDENTITY, Adapter, adapt_quote, compose
from flowhft.policies.names import find_policy
from flowhft.policies.regime_adapter import RegimeAdapter, shapes_of
from flowhft.policies.settings import NetworkSettings, SamplerSettings
from flowhft.scenarios.presets import paper_test
from flowhft.scenarios.scenario import Scenario
from flowhft.simulate.market.market import build
from flowhft.simulate.quoting.closed_form import adapted, closed_form
from flowhft.simulate.quoting.lab import in_lab, unmapped_in_lab
from flowhft.simulate.rollout import evaluate_one
from flowhft.types import SCALARS, Observation, Quote

# One step, so that there is no inventory to carry: the best half-spread is known.
ONE = Scenario("one", horizon=0.05, dt=0.05, volatility=0.001, base_intensity=10.0, exciter="own_fills")
TOO_WIDE = 0.2  # ticks that the policy quotes beyond it, per side: 0.3 / k
# Twenty steps with fees, a limit and jumps: what a session can have.
SMALL = Scenario(
    "small",
    dt=0.05,
    volatility=0.1,
    base_intensity=20.0,
    inventory_limit=3.0,
    maker_fee=1e-4,
    jump_intensity=0.5,
    jump_deviation=0.01,
)
UNIT = 1.0 / ONE.fill_decay


def best_half_spread(market: Scenario) -> float:
    """Return what maximises half_spread x P(fill), ticks: 1 / k where fills are rare."""

    def income(half_spread):
        orders = market.base_intensity * market.dt * np.exp(-market.fill_decay * half_spread)
        return half_spread * np.expm1(-orders)

    return float(minimize_scalar(income, (0.1, 1.0), tol=1e-10).x)


def quoting(half_spread: float) -> FlowPolicy:
    """Return a flow policy whose network says nothing: it quotes its normaliser's mean."""
    settings = NetworkSettings(features="paper", horizon=1, width=4, blocks=1, finest=1)
    count = settings.feature_count
    normaliser = Normaliser(
        jnp.zeros(count), jnp.ones(count), jnp.full(2, half_spread, jnp.float32), jnp.full(2, UNIT)
    )
    sensor = Sensor(*([1.0] * len(Sensor._fields)))
    sampler = SamplerSettings(steps=1, noise_scale=0.0)
    return FlowPolicy(init_network(settings, 0), normaliser, sensor, settings, sampler, "flow_matching")


# Lines of 17 candidates whatever the method: one program serves them all.
SEARCH = AdaptSettings(criterion="pnl", paths=8_000, fresh_paths=8_000, rounds=1, candidates=17)
GRID = GridSettings(scales=(1.0,), offsets=(-0.6, -0.3, 0.0, 0.3))
STATE = StateSettings(population=17, generations=6, step=0.3)
GRADIENT = GradientSettings(paths=16, batches=1, updates=60, check_every=20, rate=0.1, layer_rate=0.02)


@pytest.fixture(scope="module")
def too_wide() -> FlowPolicy:
    return quoting(best_half_spread(ONE) + TOO_WIDE)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["turns", "paper", "state", "gradient", "last_layer"])
def test_every_method_finds_the_best_half_spread_where_it_is_known(too_wide, method):
    """And gains on fresh paths what there is to gain; the tolerance is where the score is flat to 1 %."""
    best = best_half_spread(ONE)
    assert best == pytest.approx(UNIT, rel=0.12)
    policy = too_wide
    if method != "last_layer":  # a closed form, which compiles in no time
        blind = closed_form("avellaneda_stoikov", ONE, 1e-3)
        off = best + TOO_WIDE - UNIT
        policy = adapted(blind, IDENTITY._replace(offset_bid=off, offset_ask=off))
    result = adapt([policy], [ONE], SEARCH, 3, method=method, grid=GRID, state=STATE, gradient=GRADIENT)
    assert (result.adapter == IDENTITY) == (method == "last_layer")
    seen = Observation(*jnp.zeros(len(SCALARS)))
    policy = result.refitted or policy
    own, _ = policy.act(policy.init(), seen, jax.random.key(0))
    np.testing.assert_allclose(adapt_quote(result.adapter, own, seen)[:2], best, atol=0.15 * UNIT)
    assert result.fresh.low > 0.0
    assert result.search.filter("chosen").height >= 1


@pytest.mark.slow
@pytest.mark.parametrize("method", ["turns", "last_layer"])
def test_what_was_chosen_is_scored_on_paths_that_did_not_choose_it(method):
    """The gain again on either set of paths: were they one, the choice would flatter itself unseen."""
    policy = quoting(1.5) if method == "last_layer" else closed_form("glft", SMALL, 0.3)
    few = AdaptSettings(criterion="pnl", paths=64, fresh_paths=64, rounds=1, candidates=5)
    short = GradientSettings(paths=4, batches=1, updates=4, check_every=2, layer_rate=0.05)
    result = adapt([policy], [SMALL], few, 3, method=method, gradient=short)
    assert result.refitted is not None or result.adapter != IDENTITY
    chosen = result.refitted or adapted(policy, result.adapter)
    gains = {}
    for stage in ("validation", "fresh"):
        before, after = policies_evaluator([SMALL], few, 3)([[policy, chosen]], stage, 64)
        gains[stage] = after.value - before.value
    assert result.fresh.value == pytest.approx(gains["fresh"], rel=1e-4)
    assert abs(gains["fresh"] - gains["validation"]) > 0.01 * abs(gains["fresh"])


# --- the law ----------------------------------------------------------------------------------------------

MAP = Adapter(0.7, 0.1, -0.05, 0.1, 0.3)


@pytest.fixture(scope="module")
def recorded():
    return records_of([closed_form("glft", SMALL, 0.3)], [SMALL], 1_024, 0)


@pytest.fixture(scope="module")
def law(recorded):
    @jax.jit
    def laws(record):
        nodes = jax.vmap(jax.vmap(lambda *now: adapted_nodes(MAP, *now)))(record.moment, record.base)
        return jax.vmap(law_along)(record.path_law, nodes)

    return laws(recorded[0])


@pytest.fixture(scope="module")
def sampled():
    policy = adapted(closed_form("glft", SMALL, 0.3), MAP)
    return evaluate_one(build(SMALL), policy, paths=8_192, seed=0, scenario="elsewhere")


@pytest.mark.slow
def test_the_law_is_what_simulation_samples(law, sampled):
    """Mean, deviation and inventory of the same maker on other paths: within 4 standard errors of both."""
    for ours, theirs in (
        (law.mean, sampled["expected_pnl"]),
        (law.realised, sampled["pnl"]),
        (law.square, sampled["pnl"] ** 2),
        (law.square_inventory, sampled["mean_square_inventory"]),
        (law.fills, sampled["fills"]),
    ):
        error = np.hypot(np.std(ours) / len(ours) ** 0.5, np.std(theirs) / len(theirs) ** 0.5)
        assert abs(np.mean(ours) - np.mean(theirs)) < 4.0 * error + 1e-3 * abs(np.mean(theirs))
    assert np.mean(sampled["fills"]) > 5.0


def test_expected_fills_put_into_the_inventory_would_see_no_risk(recorded, law, sampled):
    """The naive relaxation q' = q + P(bid) - P(ask) sees under a third of the deviation that there is."""

    @jax.jit
    @jax.vmap
    def relaxed(way, moment, base):
        def step(carry, now):
            (q, wealth), (intensity, move, moment, base) = carry, now
            nodes = adapted_nodes(MAP, moment, base)
            half = jnp.stack([jnp.interp(q, jnp.asarray(NODES), side) for side in nodes.T])
            filled = -jnp.expm1(-intensity * jnp.exp(-way.fill_decay * half) * way.dt)
            q = q + filled[0] - filled[1]
            return (q, wealth + jnp.sum(half * filled) + q * move), None

        start = (jnp.zeros(()), jnp.zeros(()))
        return jax.lax.scan(step, start, (way.intensity, way.move, moment, base))[0][1]

    true = float(np.std(sampled["pnl"]))
    ours = float(np.sqrt(np.mean(law.square) - np.mean(law.realised) ** 2))
    assert ours == pytest.approx(true, rel=0.06)
    (record,) = recorded
    assert float(np.std(relaxed(record.path_law, record.moment, record.base))) < 0.3 * true


def test_the_gradient_is_that_of_finite_differences(recorded):
    (record,) = recorded
    few = [jax.tree.map(lambda leaf: leaf[:32], record)]
    scales, settings = Scales(UNIT, 1.0), AdaptSettings(criterion="utility", inventory_weight=0.1)

    @jax.jit
    def score(point):
        adapter = adapter_at(point, scales, jnp.exp)

        def quotes(record):
            return jax.vmap(jax.vmap(lambda *now: adapted_nodes(adapter, *now)))(record.moment, record.base)

        return score_along(quotes, few, settings)

    point, step = jnp.array([-0.3, 0.2, 0.4, 0.3, -0.2]), 0.03
    slope = jax.jit(jax.grad(score))(point)
    for i, along in enumerate(step * jnp.eye(5)):
        difference = (score(point + along) - score(point - along)) / (2.0 * step)
        assert float(slope[i]) == pytest.approx(float(difference), rel=0.03, abs=0.02)
    assert float(jnp.max(jnp.abs(slope))) > 0.5


def test_a_market_that_fills_several_lots_a_step_has_no_known_law():
    with pytest.raises(UsageError, match=r"`refill` must be off .* \[scenario 'many'\]. Use --method state."):
        require_known_law(SMALL.but(name="many", refill=True))


# --- searches, on scores that are known -------------------------------------------------------------------


def hill(top):
    """Return a judge whose score falls off around the adapter `top`, without any chance in it."""

    def judged(adapters):
        units = Adapter(1.0, UNIT, UNIT, UNIT, UNIT)
        return [
            Score(
                -sum(((x - y) / unit) ** 2 for x, y, unit in zip(adapter, top, units, strict=True)),
                np.zeros(4),
            )
            for adapter in adapters
        ]

    return judged


SCALES = Scales(UNIT, 1.0)


def test_evolution_finds_a_top_in_all_five_directions():
    top = Adapter(1.3, 0.3, -0.2, 0.25, -0.4)
    result = search_state(hill(top), SCALES, StateSettings(generations=40), seed=0)
    np.testing.assert_allclose(result.adapter, top, atol=0.05)
    assert result.edges == ()
    assert result.rows.filter("chosen")["score"].max() == pytest.approx(result.best.value)
    assert result.rows["direction"][0] == "none"
    again = search_state(hill(top), SCALES, StateSettings(generations=40), seed=0)
    assert again.adapter == result.adapter


def test_choices_on_the_edge_of_what_was_searched_are_named():
    far = IDENTITY._replace(skew=5.0)
    result = search_state(hill(far), SCALES, StateSettings(generations=30, bound=2.1), seed=0)
    assert result.edges == ("skew",)
    assert search_grid(hill(IDENTITY._replace(offset_bid=0.2)), UNIT, GridSettings()).edges == ()
    result = search_grid(hill(Adapter(1.0, 0.3, -0.2, 0.0)), UNIT, GridSettings())
    assert result.edges == ("offset_bid",)
    assert result.adapter == pytest.approx(Adapter(1.0, 0.3, -0.2, 0.0))
    one_scale = GridSettings(scales=(1.0,))  # an axis of one point has no edge
    assert search_grid(hill(IDENTITY), UNIT, one_scale).edges == ()
    assert coordinate_search(hill(far), UNIT, AdaptSettings()).edges == ("skew",)
    assert coordinate_search(hill(IDENTITY._replace(skew=0.13)), UNIT, AdaptSettings()).edges == ()


def test_what_chance_could_explain_is_left_as_it_is():
    random = np.random.default_rng(0)

    def noisy(adapters):
        values = random.normal(size=(len(adapters), 50))
        return [
            Score(0.0 if a == IDENTITY else 0.01, v - v.mean()) for a, v in zip(adapters, values, strict=True)
        ]

    assert search_grid(noisy, UNIT, GridSettings()).adapter == IDENTITY
    assert search_state(noisy, SCALES, StateSettings(generations=2), seed=0).adapter == IDENTITY


# --- scores, maps, presets --------------------------------------------------------------------------------


def test_a_score_over_pnl_given_fills_has_less_chance_and_the_same_expectation(sampled):
    result, paths = sampled, len(sampled["pnl"])
    for criterion in ("pnl", "utility", "sharpe"):
        plain, controlled = (score_of([result], criterion, controlled=c) for c in (False, True))
        error = np.std(plain.influence - controlled.influence) / paths**0.5
        assert abs(plain.value - controlled.value) < 4.0 * error
        assert np.std(controlled.influence) < 0.9 * np.std(plain.influence)
    mean, risk = result["expected_pnl"].mean(), result["pnl"].std(ddof=1)
    assert score_of([result], "utility", controlled=True).value == pytest.approx(mean - RISK_WEIGHT * risk)
    unknown = result | {"expected_pnl": np.full(paths, np.nan)}
    assert score_of([unknown], "pnl", controlled=True).value == pytest.approx(result["pnl"].mean())
    held = score_of([result], "pnl", inventory_weight=0.5)
    assert held.value == pytest.approx(result["pnl"].mean() - 0.5 * result["mean_square_inventory"].mean())
    shift = 0.5 * (result["mean_square_inventory"] - result["mean_square_inventory"].mean())
    np.testing.assert_allclose(held.influence, score_of([result], "pnl").influence - shift)


def test_two_maps_compose_into_one():
    inner, outer = Adapter(1.2, 0.1, -0.3, 0.2, 0.05), Adapter(0.7, -0.4, 0.2, 0.1, -0.3)
    seen = Observation(0.2, 0.8, 0.0, -3.0, 0.0, 0.0, 0.0, 1.0, 1.0)
    twice = adapt_quote(outer, adapt_quote(inner, Quote(0.6, 0.9), seen), seen)
    assert adapt_quote(compose(outer, inner), Quote(0.6, 0.9), seen) == pytest.approx(twice, rel=1e-12)


def test_the_printed_offsets_are_a_preset_of_their_cells_in_units_of_the_book():
    printed = printed_offsets()
    assert set(printed) == set(paper_test())
    assert printed["T1.HH"] == (0.15, 0.24)
    assert printed["T2.LL"] == (-0.4, 0.7)
    cell = paper_test()["T1.HH"]
    assert printed_adapter([cell]) == pytest.approx(Adapter(1.0, 0.15, 0.24, 0.0))
    thin = cell.but(fill_decay=0.75)
    assert printed_adapter([thin]) == pytest.approx(Adapter(1.0, 0.3, 0.48, 0.0))
    with pytest.raises(UnknownNameError, match="unknown test cell 'small'"):
        printed_adapter([SMALL])
    with pytest.raises(UsageError, match=r"`scenarios` must be one test cell .*; received small, one"):
        printed_adapter([SMALL, ONE])


def test_a_map_behind_a_network_that_works_out_another_comes_back_from_its_file(tmp_path):
    """And is what adaptation to another market replaces, the network itself kept."""
    settings = NetworkSettings(features="context", horizon=1, width=4, blocks=1, finest=1)
    count = settings.feature_count
    scales = Normaliser(jnp.zeros(count), jnp.ones(count), jnp.full(2, UNIT), jnp.full(2, UNIT))
    sensor = Sensor(*([1.0] * len(Sensor._fields)))
    sampler = SamplerSettings(steps=1, noise_scale=0.0)
    policy = FlowPolicy(init_network(settings, 0), scales, sensor, settings, sampler, "flow_matching")
    random = np.random.default_rng(0)
    arrays = {name: random.uniform(0.1, 1.0, shape) for name, shape in shapes_of(4).items()}
    regime = RegimeAdapter(**{name: jnp.asarray(array, jnp.float32) for name, array in arrays.items()})
    save_policy(tmp_path / "sensing.safetensors", policy, regime, dial=(0.1, 1.0), behind=MAP)
    saved = find_policy(str(tmp_path / "sensing.safetensors")).as_data()
    assert isinstance(saved.regime, RegimeAdapter)
    assert saved.adapter == MAP
    seen = Observation(0.2, 0.8, 0.0, -3.0, 0.0, 0.0, 0.0, 1.0, 1.0)
    seen = jax.tree.map(jnp.float32, seen)
    sensing, moved = unmapped_in_lab(saved, SMALL), in_lab(saved, SMALL)
    own, _ = sensing.act(sensing.init(), seen, jax.random.key(0))
    quote, _ = moved.act(moved.init(), seen, jax.random.key(0))
    np.testing.assert_allclose(quote, adapt_quote(MAP, own, seen), rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: AdaptSettings(inventory_weight=-1.0), "`inventory_weight` must be 0 or more"),
        (lambda: GridSettings(scales=()), "`scales` must hold at least one number"),
        (lambda: GridSettings(scales=(0.0,)), "`scales` must be positive and finite"),
        (lambda: GridSettings(offsets=(0.1, 0.1)), "`offsets` must hold every number once"),
        (lambda: GridSettings(offsets=(float("inf"),)), "`offsets` must be finite"),
        (lambda: GridSettings(offsets=tuple(range(50))), "`offsets` must make a grid of at most 2,000"),
        (lambda: StateSettings(population=3), "`population` must be at least 4"),
        (lambda: StateSettings(bound=1.0), "`bound` must exceed 2"),
        (lambda: GradientSettings(batches=200), "`batches` must lie between 1 and 128"),
        (lambda: GradientSettings(rate=0.0), "`rate` must be positive"),
    ],
)
def test_settings_refuse_what_cannot_be(make, words):
    with pytest.raises(UsageError, match=words):
        make()


def test_only_a_flow_policy_has_a_last_layer():
    with pytest.raises(UsageError, match=r"`policy` must be a flow policy, .*; received ClosedForm"):
        adapt([closed_form("glft", ONE)], [ONE], SEARCH, 0, method="last_layer")


def test_the_command_warns_at_the_edge_and_saves_what_it_chose(tmp_path, too_wide):
    save_policy(tmp_path / "wide.safetensors", too_wide)
    (tmp_path / "one.toml").write_text(
        'name = "one"\nhorizon = 0.05\ndt = 0.05\nvolatility = 0.001\nbase_intensity = 10.0\n'
        'exciter = "own_fills"\n'
    )
    said = flowhft(
        *("adapt", tmp_path / "wide.safetensors", "--scenarios", tmp_path / "one.toml", "--method", "paper"),
        *("--search.criterion", "pnl", "--search.paths", "8000", "--search.fresh-paths", "2000"),
        *("--grid.scales", "1", "--grid.offsets=-0.3,0,0.3", "--out", tmp_path / "run", "--quiet"),
    )
    assert said.code == 0, said.err
    assert "the chosen `offset_bid` lies on the edge of what was searched" in said.out
    assert "Widen --grid.scales or --grid.offsets." in said.out
    assert loaded(tmp_path / "run" / "policy.safetensors")[1] == pytest.approx(
        IDENTITY._replace(offset_bid=-0.3 * UNIT, offset_ask=-0.3 * UNIT)
    )
    said = flowhft(
        *("adapt", tmp_path / "wide.safetensors", "--scenarios", tmp_path / "one.toml", "--method"),
        *("printed", "--out", tmp_path / "printed", "--quiet"),
    )
    assert said.code == 2
    assert "unknown test cell 'one'" in said.err
