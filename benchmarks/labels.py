"""How many orders are labelled a second, beside the same orders sent through hftbacktest.

    python benchmarks/labels.py [RECORDING] [--interval 0.1] [--lots 10]

Labels are of all decisions, sides and offsets of the recording; through hftbacktest go those of every
hundredth decision, of which its time is extrapolated. One core, compiled before, the recording read before.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from flowhft.desk.orders import POST_ONLY
from flowhft.desk.replay.events import exchange_events
from flowhft.desk.replay.labels import Labels, LabelSettings, label_orders
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.desk.replay.venue import advance, begin_time, cancel, close_venue, look_up, open_venue, submit
from flowhft.recordings import read_recording, sample_recording

EVERY = 100  # decision of which goes through hftbacktest


def sent(events: np.ndarray, time_ns: np.ndarray, settings: ReplaySettings, made: Labels, life: float) -> int:
    """Send the orders of some decisions through hftbacktest; return how many there were."""
    venue = open_venue(events, settings)
    orders = {number + 1: tuple(at) for number, at in enumerate(np.argwhere(made.placed[::EVERY]))}
    acts = [
        (int(time_ns[EVERY * at[0]]) + after, number)
        for number, at in orders.items()
        for after in (100_000, 100_000 + round(1e9 * life))
    ]
    gone: set[int] = set()
    begin_time(venue)
    for at_ns, number in sorted(acts):
        advance(venue, at_ns)
        at = orders[number]
        if number in gone:
            cancel(venue, number)
        else:
            price = int(made.price[EVERY * at[0], at[1], at[2]])
            submit(venue, at[1] == 0, number, price, settings.lots, POST_ONLY)
            gone.add(number)
    for number in orders:
        look_up(venue, number)
    close_venue(venue)
    return len(orders)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recording", nargs="?", type=Path, default=sample_recording())
    parser.add_argument("--interval", type=float, default=0.1)
    parser.add_argument("--lots", type=int, default=10)
    options = parser.parse_args()
    recording, labels = read_recording(options.recording), LabelSettings()
    settings = ReplaySettings(order_lots=options.lots, decision_latency_us=100.0, fills="whole")
    local = recording.events["local_time_ns"]
    time_ns = np.arange(local[0], local[-1], round(1e9 * options.interval))
    label_orders(recording, time_ns[:10], settings, labels)  # compiles
    started = time.perf_counter()
    made = label_orders(recording, time_ns, settings, labels)
    took = time.perf_counter() - started
    orders = int(made.placed.sum())
    print(f"{recording.name}: {len(recording.events):,} events, {orders:,} orders")
    print(f"labels: {took:.2f} s, {orders / took:,.0f} orders/s (book, tape and edges included)")
    events = exchange_events(recording)
    sent(events, time_ns[:EVERY], settings, made._replace(placed=made.placed[:1]), labels.lifetime)
    started = time.perf_counter()
    count = sent(events, time_ns, settings, made, labels.lifetime)
    other = time.perf_counter() - started
    print(f"hftbacktest: {other:.2f} s for {count:,} orders, {count / other:,.0f} orders/s")
    print(f"ratio {orders / took / (count / other):.1f}")


if __name__ == "__main__":
    main()
