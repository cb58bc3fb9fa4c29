"""A flow policy that sees the order book: one network for both sides, the same in every executor."""

import json
import math
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from program import flowhft
from test_book_makers import COUNT, OFFSETS, SPREAD, maker, observed

from flowhft.desk.compiled import begin, freeze, quote
from flowhft.desk.replay.engine import replay
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.desk.replay.tape import Tape
from flowhft.errors import DataError, UsageError
from flowhft.features import NAMES as FEATURES
from flowhft.features.book import MIRROR, NAMES, SIGN
from flowhft.features.book_side import (
    CHOICES,
    NONE,
    PRICES,
    SIDE,
    choose,
    place_of,
    see_side,
    standardise_book,
)
from flowhft.features.sensor import Sensor
from flowhft.flow.policy import flow_policy
from flowhft.learn.demonstrations.book import drawn_sessions, shown_by, taught, visited_sessions
from flowhft.learn.demonstrations.book_files import choices_in, rows_of, shown_in
from flowhft.policies.book_flow import ARRAYS, BookFlow
from flowhft.policies.file import load_policy, save_policy
from flowhft.policies.flow import Flow, drawn_by, weight_shapes
from flowhft.policies.names import find_policy
from flowhft.policies.policy import Policy
from flowhft.policies.reference import Reference
from flowhft.policies.settings import NetworkSettings, SamplerSettings
from flowhft.recordings import read_recording, sample_recording
from flowhft.recordings.split import window
from flowhft.simulate.quoting.lab import in_lab
from flowhft.stages.teach import first_part
from flowhft.types import Observation

STANDS = tuple(f"stands_{k}" for k in range(1, PRICES + 1))
SETTINGS = NetworkSettings(features="book", horizon=3, width=24, blocks=2, finest=4)


def book_flow(seed=0, quoted=(1.0, 1.0), limit=3, **sampler) -> BookFlow:
    """A policy of random weights at which no part of the network is negligible."""
    random = np.random.default_rng(seed)
    shapes = weight_shapes(SETTINGS.feature_count, SETTINGS.chunk_size, SETTINGS.width, SETTINGS.blocks)
    weights = {
        name: random.normal(0.0, 0.5 if "bias" in name else shape[-1] ** -0.5, shape).astype(np.float32)
        for name, shape in shapes.items()
    }
    normaliser = {
        "feature_mean": 0.1 * random.normal(size=len(SIDE)),
        "feature_std": random.uniform(0.5, 1.5, len(SIDE)),
        "action_mean": np.zeros(len(CHOICES)),
        "action_scale": np.ones(len(CHOICES)),
    }
    scales = {name: value.astype(np.float32) for name, value in normaliser.items()}
    drawn = SamplerSettings(**({"steps": 1} | sampler))
    flow = Flow(weights, scales, Sensor(*[1.0] * 7), SETTINGS, drawn, "shortcut")
    teacher = maker().arrays
    arrays = {name: np.float32(teacher[name]).astype(np.float64) for name in ARRAYS}
    return BookFlow(flow, arrays | {"quoted": np.array(quoted)}, limit)


def test_what_a_side_sees_is_named_and_the_ask_sees_the_mirror_image():
    assert FEATURES["book"] == (*NAMES, "inventory", "opens", "opposite_opens", *STANDS)
    book = np.random.default_rng(0).normal(size=COUNT)
    book[3], book[5] = math.nan, 1e9
    standard, bid, ask, again = np.zeros(COUNT), *np.zeros((3, len(SIDE)))
    standardise_book(book, np.zeros(COUNT), np.full(COUNT, 2.0), standard)
    assert (standard[3], standard[5]) == (0.0, 5.0)
    assert standard[7] == 0.5 * book[7]
    gate = np.array([1.0, 0.0])
    see_side(standard, 0, 0.5, gate, 2, bid)
    see_side(standard, 1, 0.5, gate, NONE, ask)
    np.testing.assert_array_equal(bid[:COUNT], standard)
    np.testing.assert_array_equal(ask[:COUNT], SIGN * standard[MIRROR])
    assert list(bid[COUNT:]) == [0.5, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0]
    assert list(ask[COUNT:]) == [-0.5, 0, 1, *[0] * PRICES]
    see_side(SIGN * standard[MIRROR], 1, -0.5, gate[::-1].copy(), 2, again)
    np.testing.assert_array_equal(again, bid)


def test_the_largest_score_counts_and_never_a_price_through_the_touch():
    scores = np.array([3.0, 2.0, 1.0, 0.0, 9.0, 9.0, 9.0, 9.0, 0.5])  # four prices are offered
    offsets = np.array([*OFFSETS, 0, 0, 0, 0], float)
    assert [choose(scores, offsets, 4, spread) for spread in (3, 2, 1)] == [0, 1, 2]
    scores[NONE] = 2.5
    assert choose(scores, offsets, 4, 2) == NONE
    assert [place_of(offsets, 4, x) for x in (2.0, -2.0, 5.0, math.nan)] == [0, 3, NONE, NONE]


@pytest.mark.parametrize("sampler", [{}, {"steps": 2, "execute": 2}, {"steps": 2, "warm_start": 0.5}])
def test_the_desk_quotes_as_the_reference(sampler):
    policy = Policy(book_flow(**sampler))
    frozen, slow = freeze(policy), Reference(policy)
    own, other = begin(frozen, 0), slow.init()
    prices = set()
    for seen in observed(120):
        wanted = quote(frozen, own, seen)
        expected, other = slow.act(other, seen)
        np.testing.assert_array_equal(wanted, expected)
        drawn = own.chunk.reshape(2, -1, len(CHOICES))
        execute = drawn.shape[1]
        np.testing.assert_allclose(drawn, other.scores[:, :execute], rtol=2e-4, atol=2e-5)
        spread = round(math.exp(seen.book[SPREAD]))
        prices.add(0.5 * spread - wanted.half_spread_bid)
        for half_spread in wanted[:2]:
            assert math.isnan(half_spread) or half_spread > -0.5 * spread
    assert len({price for price in prices if price == price}) > 2


def test_the_lab_draws_the_chunks_that_the_reference_draws():
    core = book_flow(steps=2)
    seen = next(iter(observed()))
    _, memory = Reference(Policy(core)).act(Reference(Policy(core)).init(), seen)
    standard, sees = np.zeros(COUNT), np.zeros(len(SIDE))
    standardise_book(seen.book, core.arrays["centre"], core.arrays["scale"], standard)
    lab = flow_policy(core.flow)
    for side in range(2):
        see_side(standard, side, seen.inventory / core.limit, core.arrays["quoted"], NONE, sees)
        chunk = lab.carry(jnp.asarray(sees, jnp.float32), jnp.zeros(SETTINGS.chunk_size), lab.init().chunk)
        np.testing.assert_allclose(chunk, memory.scores[side], rtol=2e-4, atol=2e-5)


def test_a_book_and_its_mirror_image_are_quoted_alike_all_session_long():
    frozen = freeze(Policy(book_flow()))
    own, other = begin(frozen, 0), begin(frozen, 0)
    for seen in observed(100):
        mirrored = seen._replace(
            book=SIGN * seen.book[MIRROR], inventory=-seen.inventory, mid_price=-seen.mid_price
        )
        wanted, turned = quote(frozen, own, seen), quote(frozen, other, mirrored)
        np.testing.assert_array_equal(wanted[:2], turned[1::-1])


def test_quotes_do_not_depend_on_what_comes_later():
    frozen, seen = freeze(Policy(book_flow())), list(observed(40))
    whole, part = begin(frozen, 0), begin(frozen, 0)
    early = [quote(frozen, part, one) for one in seen[:20]]
    np.testing.assert_array_equal([quote(frozen, whole, one) for one in seen][:20], early)


def test_it_stays_out_where_its_teacher_does():
    closed, limited = freeze(Policy(book_flow(quoted=(0.0, 0.0)))), freeze(Policy(book_flow(limit=2)))
    quoted = 0
    for seen in observed(100):
        wanted = quote(closed, begin(closed, 0), seen)
        assert seen.inventory < 0.0 or math.isnan(wanted.half_spread_bid)
        assert seen.inventory > 0.0 or math.isnan(wanted.half_spread_ask)
        quoted += int(np.isfinite(wanted[:2]).any())
        assert math.isnan(quote(limited, begin(limited, 0), seen._replace(inventory=1.5)).half_spread_bid)
    assert quoted > 10
    blind = next(iter(observed()))
    unknown = blind._replace(book=np.full(COUNT, math.nan))
    assert np.isnan(quote(closed, begin(closed, 0), unknown)[:2]).all()
    with pytest.raises(UsageError, match=rf"must hold the {COUNT} signals.*received none"):
        quote(closed, begin(closed, 0), blind._replace(book=None))


def test_chance_is_of_the_seed():
    frozen = freeze(Policy(book_flow(noise_scale=1.0)))
    seen = list(observed(30))

    def session(seed):
        memory = begin(frozen, seed)
        return [quote(frozen, memory, one) for one in seen]

    np.testing.assert_array_equal(session(0), session(0))
    assert not np.array_equal(session(0), session(1), equal_nan=True)


def test_it_is_kept_in_a_file_and_drawn_in_another_way_by_its_name(tmp_path):
    core = book_flow()
    save_policy(tmp_path / "student.safetensors", Policy(core, training={"seed": 3}))
    again = load_policy(tmp_path / "student.safetensors")
    seen = next(iter(observed()))
    first, second = freeze(Policy(core)), freeze(again)
    np.testing.assert_array_equal(quote(first, begin(first, 0), seen), quote(second, begin(second, 0), seen))
    named = find_policy(f"{tmp_path / 'student.safetensors'}[steps=4]")
    assert named.policy.kind == "book_flow"
    assert drawn_by(named.policy).sampler.steps == 4
    assert again.training == {"seed": 3}


def test_a_policy_of_other_signals_is_refused(tmp_path, monkeypatch):
    save_policy(tmp_path / "student.safetensors", Policy(book_flow()))
    monkeypatch.setitem(FEATURES, "book", (*SIDE[:-1], "another"))
    with pytest.raises(DataError, match=r"the features of .* received others: another, stands_8"):
        load_policy(tmp_path / "student.safetensors")


def test_the_lab_has_no_book_to_show():
    with pytest.raises(UsageError, match="without an order book in the lab"):
        in_lab(Policy(book_flow()), None)


def test_too_many_prices_are_refused():
    core = book_flow()
    offsets = np.arange(PRICES + 1.0)
    with pytest.raises(UsageError, match=rf"`offsets` must name 1 to {PRICES} prices; received 9"):
        replace(core, arrays=core.arrays | {"offsets": offsets})


# --- demonstrations on recordings --------------------------------------------------------------------------

STEPS = 4


def made_tape(decisions=60, seed=5) -> Tape:
    """Decisions at which the best prices stand on the grid and signals are as the spread says."""
    seen = list(observed(decisions + 1, seed))
    spread = np.array([round(math.exp(one.book[SPREAD])) for one in seen])
    bid = (
        np.array([round(one.mid_price - 0.5 * wide) for one, wide in zip(seen, spread, strict=True)]) + 1_000
    )
    zeros = np.zeros((len(seen), 2))
    time = 500_000_000 * np.arange(len(seen), dtype=np.int64)
    return Tape(time, bid, bid + spread, zeros, zeros + 1.0, np.array([one.book for one in seen]))


def test_a_maker_is_asked_at_every_position_and_a_chunk_is_its_plan():
    teacher, tape = freeze(Policy(maker())), made_tape()
    first, held = drawn_sessions(tape, STEPS, 3, np.random.default_rng(0))
    assert len(first) == 14
    assert np.abs(held).max() <= 3.0
    assert 0 < np.mean(held[:, 0] == np.rint(held[:, 0])) < 1
    shown = shown_by(teacher, tape, first, held)
    mid, origin = tape.mid_price, tape.mid_price[0]
    for session in range(len(first)):
        memory = begin(teacher, 0)
        last = (math.nan, math.nan)
        for step in range(STEPS):
            at = first[session] + step
            seen = Observation(*[0.0] * 9, book=tape.book[at])
            seen = seen._replace(mid_price=mid[at] - origin, inventory=held[session, step])
            wanted = quote(teacher, memory, seen)
            half = 0.5 * (tape.best_ask[at] - tape.best_bid[at])
            for side, half_spread in enumerate(wanted[:2]):
                assert shown.choice[session, step, side] == place_of(
                    OFFSETS, len(OFFSETS), half - half_spread
                )
                bettered = (1 - 2 * side) * (last[side] - seen.mid_price) + half
                assert shown.standing[session, step, side] == place_of(OFFSETS, len(OFFSETS), bettered)
            last = (seen.mid_price - wanted.half_spread_bid, seen.mid_price + wanted.half_spread_ask)
    led = shown_by(teacher, tape, first[:1], held[:1], np.full((1, STEPS, 2), math.nan))
    np.testing.assert_array_equal(led.standing, NONE)


def test_a_student_learns_from_either_side_what_is_open():
    one, tape = maker(quoted=(0.0, 1.0)), made_tape()
    shown = shown_by(
        freeze(Policy(one)), tape, np.arange(3) * STEPS, np.repeat([[-2.0], [1.0], [-2.5]], STEPS, 1)
    )
    features, quotes, *_ = taught(one, tape.book, shown)
    # Bids only take back: in the first and third session; asks stay out at the limit, in the third.
    assert features.shape == (2 + 2, STEPS, len(SIDE))
    assert set(np.unique(quotes)) == {-1.0, 1.0}
    np.testing.assert_array_equal(quotes.argmax(axis=-1)[0], shown.choice[0, :, 0])
    np.testing.assert_array_equal(quotes.argmax(axis=-1)[-1], shown.choice[1, :, 1])
    assert features[0, 0, COUNT] == pytest.approx(-2.0 / 3.0)
    assert features[-1, 0, COUNT] == pytest.approx(-1.0 / 3.0)
    standard, sees = np.zeros(COUNT), np.zeros(len(SIDE))
    standardise_book(tape.book[STEPS + 1], one.arrays["centre"], one.arrays["scale"], standard)
    see_side(standard, 1, 1.0 / 3.0, one.arrays["quoted"], int(shown.standing[1, 1, 1]), sees)
    np.testing.assert_allclose(features[-1, 1], sees, rtol=1e-6)


def test_where_a_student_led_its_own_quotes_stand():
    tape = made_tape()
    price = np.arange(40.0)[:, None] + np.array([0.0, 0.5])
    first, held, last = visited_sessions(tape, STEPS, np.arange(40.0), price)
    assert list(first) == list(range(0, 40, STEPS))
    assert np.isnan(last[0, 0]).all()
    np.testing.assert_array_equal(last[1], price[STEPS - 1 : 2 * STEPS - 1])
    np.testing.assert_array_equal(held[1], np.arange(STEPS, 2 * STEPS))


def test_what_was_shown_is_the_same_after_a_file():
    teacher, tape = freeze(Policy(maker())), made_tape()
    shown = shown_by(teacher, tape, *drawn_sessions(tape, STEPS, 3, np.random.default_rng(1)))
    rows = rows_of(shown, np.array(OFFSETS, float))
    again = shown_in(rows, np.array(OFFSETS, float), STEPS)
    for one, other in zip(shown, again, strict=True):
        np.testing.assert_array_equal(one, other)
    counts = choices_in(rows)
    assert sum(counts.values()) == shown.choice.size
    assert counts["none"] == int((shown.choice == NONE).sum())
    assert list(counts)[-1] == "none"


# --- from the command line ---------------------------------------------------------------------------------

SMALL = (
    *("--network.features", "book", "--network.width", 24, "--network.blocks", 1, "--network.horizon", 2),
    *("--training.objective", "shortcut", "--training.updates", 200, "--training.batch", 64),
    *("--training.learning-rate", 3e-3, "--network.finest", 4),
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A maker that quotes on the bundled recording, and what it taught there."""
    folder = tmp_path_factory.mktemp("taught")
    one = maker(cost=0.0)
    one.arrays["edge"][:, 0] = 5.0
    save_policy(folder / "maker.safetensors", Policy(one, training={"interval": 0.2, "order_lots": 8}))
    told = flowhft(
        *("teach", folder / "maker.safetensors", "--recordings", sample_recording()),
        *("--rounds", 2, "--steps", 8, "--out", folder / "taught", "--json"),
    )
    assert told.code == 0, told.err
    return folder


def test_a_maker_teaches_a_student(shop, tmp_path):
    card = json.loads((shop / "taught" / "demonstrations.json").read_text())
    assert card["pairs"] == sum(shard["rows"] for shard in card["shards"]) > 2_000
    said = flowhft("imitate", shop / "taught", *SMALL, "--out", tmp_path / "student", "--json")
    assert said.json["validation_loss"] < 1.0  # of numbers that are -1 or 1
    policy, teacher = (
        load_policy(path).core
        for path in (tmp_path / "student" / "policy.safetensors", shop / "maker.safetensors")
    )
    assert (policy.kind, policy.limit) == ("book_flow", teacher.limit)
    np.testing.assert_allclose(policy.arrays["scale"], teacher.arrays["scale"], rtol=1e-6)


@pytest.mark.slow
def test_a_student_answers_at_once_and_is_taught_where_it_leads(shop, tmp_path):
    flowhft("imitate", shop / "taught", *SMALL, "--out", tmp_path / "student")
    once = flowhft(
        *("distil", f"{tmp_path / 'student'}[steps=4]", shop / "taught", "--distil.updates", 100),
        *("--distil.batch", 64, "--out", tmp_path / "once", "--json"),
    )
    assert once.code == 0, once.err
    policy = load_policy(tmp_path / "once" / "policy.safetensors")
    assert (policy.kind, len(drawn_by(policy).plan.evaluations)) == ("book_flow", 1)
    again = flowhft(
        *("teach", shop / "maker.safetensors", "--recordings", sample_recording(), "--rounds", 1),
        *("--steps", 8, "--student", tmp_path / "once", "--out", tmp_path / "again", "--json"),
    )
    assert [one["round"] for one in read_card(tmp_path / "again")] == ["round 1", "where the student led"]
    assert again.json["shards"] == 2
    traded = replay(
        window(read_recording(sample_recording()), 170.0, 230.0),
        {"student": freeze(policy)},
        ReplaySettings(decision_interval=0.2, decision_latency_us=100.0, order_lots=8, inventory_limit=3),
    )["student"]
    assert np.isfinite(traded.trajectory.quote.half_spread_bid).any()


def read_card(folder) -> list[dict]:
    return json.loads((folder / "demonstrations.json").read_text())["shards"]


def test_demonstrations_of_another_kind_are_refused(shop, tmp_path):
    said = flowhft("imitate", shop / "taught", "--out", tmp_path / "x")
    assert said.code == 2
    assert "`features` must be book for demonstrations of a maker that sees the order book" in said.err
    said = flowhft("teach", "glft", "--recordings", sample_recording(), "--out", tmp_path / "y")
    assert said.code == 2
    assert "`maker` must be a maker that sees the order book; received 'glft'" in said.err
    (shop / "taught" / "demonstrations-0001.parquet").write_bytes(b"other")
    said = flowhft("imitate", shop / "taught", *SMALL, "--out", tmp_path / "z")
    assert said.code == 3
    assert "demonstrations-0001.parquet` must be as it was written; its hash" in said.err


def test_nothing_behind_the_part_that_is_shown_is_looked_at():
    whole = window(read_recording(sample_recording()), 170.0, 230.0)
    times = whole.events["local_time_ns"]
    late = times >= int(times[0]) + round(0.6 * int(times[-1] - times[0]))
    events = whole.events.copy()
    events["price"][late] += 500
    events["quantity"][late] *= 9
    given = (maker(), 0.2, 8)
    one, other = (
        first_part(way, 0.6, given, ReplaySettings(), own=False)
        for way in (whole, replace(whole, events=events))
    )
    np.testing.assert_array_equal(one.tape.book, other.tape.book)
    assert one.maker.unit == other.maker.unit
    np.testing.assert_array_equal(one.maker.arrays["scale"], other.maker.arrays["scale"])
