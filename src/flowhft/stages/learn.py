"""Learn: a maker that sees the order book, from recordings."""

from collections.abc import Mapping, Sequence
from dataclasses import replace as changed
from pathlib import Path
from typing import Any, NamedTuple

from flowhft.calibrate.answers import answered_share
from flowhft.desk.replay.labels import LabelSettings, label_orders
from flowhft.desk.replay.latency import as_received
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.desk.replay.signals import read_signals
from flowhft.desk.replay.tape import read_tape
from flowhft.errors import DataError, require
from flowhft.features.scales import scales_of, second_move
from flowhft.learn.recordings.examples import Examples
from flowhft.learn.recordings.fit import Learned
from flowhft.learn.recordings.fit import learn as fitted
from flowhft.learn.recordings.gate import Gate
from flowhft.learn.recordings.settings import MakerSettings
from flowhft.learn.recordings.training_set import DAY_NS, Seen, dated, training_set, whole
from flowhft.policies.policy import Policy
from flowhft.recordings.book import first_mid
from flowhft.recordings.formats.read import read_recording
from flowhft.recordings.opening import opening_ns
from flowhft.recordings.order_size import small_order
from flowhft.recordings.split import between
from flowhft.recordings.ticks import Recording, require_trades
from flowhft.types import Progress, no_progress

MAKER, REPLAY = MakerSettings(), ReplaySettings()


def replay_for(settings: MakerSettings, replay: ReplaySettings, recording: Recording) -> ReplaySettings:
    """Return the settings of a replay in which a maker learns and trades.

    Args:
        settings: of the maker.
        replay: latencies, queue, what fills.
        recording: whose market orders say how large an order is, and whose best prices how many of those
            that improve them are answered, where the settings do not.
    """
    lots = settings.order_lots or replay.order_lots or small_order(recording)
    share = answered_share(recording) if replay.answered is None else replay.answered
    return changed(
        replay.answering(share),
        decision_interval=settings.interval,
        order_lots=lots,
        inventory_limit=settings.limit,
    )


def examples_of(
    recording: Recording, settings: MakerSettings = MAKER, replay: ReplaySettings = REPLAY, seed: int = 0
) -> Examples:
    """Return a recording's decisions: what a maker saw, and what became of every order it could have sent.

    Args:
        recording: with a book and trades.
        settings: of the maker.
        replay: by whose rules orders fill; its order size is used where it says one, and its latencies.
        seed: of the draws which orders are answered.

    Raises:
        DataError: it has no book, no sizes or no trades, or does not outlast its exchange's opening.
    """
    require_trades(recording, "learning what orders earn")
    rules = replay_for(settings, replay, recording)
    received = as_received(recording, rules)
    tape = read_tape(received, rules)
    time_ns, mid = tape.time_ns[:-1], tape.mid_price[:-1]
    opened = opening_ns(recording)
    if opened is not None:
        late = time_ns >= opened + round(settings.after_opening * 1e9)
        time_ns, mid = time_ns[late], mid[late]
    if len(time_ns) < 2:
        raise DataError(
            f"`{recording.name}` must last longer than the {settings.after_opening:g} s after its exchange's "
            "opening that are left out; received nothing after them. Use a longer recording."
        )
    unit = second_move(time_ns, mid)
    if not unit > 0.0:
        raise DataError(
            f"the mid of `{recording.name}` must move to be learned from; received one that never does."
        )
    signals = read_signals(received, time_ns, rules.order_window)
    tried = LabelSettings(settings.offsets, settings.lifetime, (settings.edge_horizon,))
    labels = label_orders(recording, time_ns, rules, tried, seed)
    placed, filled, edge = labels.placed, labels.filled, labels.edge[..., 0]
    return Examples(recording.name, time_ns, mid, signals, placed, filled, edge, scales_of(signals, unit))


def seen(
    recording: Recording, settings: MakerSettings = MAKER, replay: ReplaySettings = REPLAY, seed: int = 0
) -> Seen:
    """Return a recording as learning knows it; arguments as those of `examples_of`."""
    times = recording.events["local_time_ns"]
    examples = examples_of(recording, settings, replay, seed)
    after = settings.lifetime + settings.edge_horizon
    return Seen(recording.name, int(times[0]), int(times[-1]), examples, after)


class BookMaking(NamedTuple):
    """A maker that learned from recordings, and how.

    Attributes:
        policy: it, ready to be replayed.
        learned: its heads, values and gate.
        replay: settings in which it learned, and is meant to trade.
        examples: decisions that it learned from, by recording.
    """

    policy: Policy
    learned: Learned
    replay: ReplaySettings
    examples: Mapping[str, int]


def learn(
    recordings: Sequence[Recording | Path | str],
    *,
    share: float = 0.6,
    anywhere: bool = False,
    settings: MakerSettings = MAKER,
    replay: ReplaySettings = REPLAY,
    seed: int = 0,
    progress: Progress = no_progress,
) -> BookMaking:
    """Learn a maker that sees the order book: for the first recording, from all of them.

    Args:
        recordings: the first is the market that it is for, of which its first part is learned from; the
            others are of the same kind of market, learned from as far as the clock allows.
        share: of the first one's time that is learned from; 1 for all.
        anywhere: whether it is for any market like theirs: all recordings are learned from whole, on all of
            them positions are valued and the gate is set, and it takes scales and fees from the market that
            it is brought into.
        settings: of the maker.
        replay: by whose rules orders fill, with their latencies and the fee.
        seed: of the draws which orders are answered.
        progress: told after every recording.

    Raises:
        UsageError: a setting that cannot be.
        DataError: a recording lacks what is needed, or no price had enough fills.
    """
    require(len(recordings) > 0, "recordings", "name one or more", "none")
    require(0.0 < share <= 1.0, "share", "lie above 0 and not above 1", share)
    require(
        share == 1.0 or not anywhere,
        "share",
        "be 1 for a maker that is for any market",
        share,
        "Nothing is kept unseen.",
    )
    known: list[Seen] = []
    rules, first_price, day, border, last = replay, 0.0, 0, 0, 0
    for done, one in enumerate(recordings):
        progress(0.7 * done / len(recordings), "what became of orders")
        recording = one if isinstance(one, Recording) else read_recording(one)
        times = recording.events["local_time_ns"]
        begin, end = int(times[0]), int(times[-1])
        if done == 0:
            day, border, last = begin // DAY_NS, begin + round(share * (end - begin)), end
            first_price = first_mid(recording)
        if (
            not anywhere and begin // DAY_NS == day and end > border
        ):  # nothing behind the border is looked at, no scale either
            if begin >= border:
                continue
            recording = between(recording, None, border)
        if done == 0:
            rules = replay_for(settings, replay, recording)
        known.append(seen(recording, settings, replay, seed))
    known[0] = known[0]._replace(last_ns=last)
    progress(0.7, "fitting heads")
    given = whole(known) if anywhere else training_set(known[0], known[1:], share)
    cost = 1e-4 * rules.fee_bps * first_price
    learned = fitted(given.examples, given.like, given.own.scales, settings.aims, cost)
    if anywhere:
        like = tuple(one.scales.width for one in given.examples)
        learned = learned._replace(maker=changed(learned.maker, like=like))
    counts: dict[str, int] = {}
    for known_part in given.examples:
        counts[_called(known_part, counts)] = len(known_part.time_ns)
    training = {
        "learned_from": counts,
        "spans": [[one.name, int(one.time_ns[0]), int(one.time_ns[-1])] for one in given.examples],
        **({} if anywhere else {"order_lots": rules.lots}),  # elsewhere an order is of another size
        "interval": settings.interval,
        "lifetime": settings.lifetime,
        "edge_horizon": settings.edge_horizon,
        "seed": seed,
        "gate": _written(learned.gates),
    }
    progress(1.0, "learned")
    return BookMaking(Policy(learned.maker, training=training), learned, rules, counts)


def _called(examples: Examples, taken: Mapping[str, int]) -> str:
    """Return the name of a recording with its date; each has another."""
    name = dated(examples.name, int(examples.time_ns[0]))
    number = 2
    called = name
    while called in taken:
        called, number = f"{name} ({number})", number + 1
    return called


def _written(gates: Sequence[Gate]) -> list[dict[str, Any]]:
    """Return the gates of bids and asks as JSON has them: None for what is not known."""
    return [
        {"side": side} | {name: None if value != value else value for name, value in gate._asdict().items()}
        for side, gate in zip(("bid", "ask"), gates, strict=True)
    ]
