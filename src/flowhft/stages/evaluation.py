"""What replays come to: metrics of every policy, differences, courses, markouts, latencies, costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from flowhft.desk.replay.engine import Replayed
from flowhft.desk.replay.latency import latency_table
from flowhft.desk.replay.markout import markout_in
from flowhft.desk.replay.settings import ReplaySettings
from flowhft.metrics.measures import (
    drawdown,
    equity,
    inventory_after,
    inventory_distribution,
)
from flowhft.metrics.sessions import evaluate_sessions
from flowhft.policies.origin import Origin, with_origins
from flowhft.recordings.ticks import Recording
from flowhft.recordings.windowed import Windowed
from flowhft.runs import tables
from flowhft.runs.folder import write_json, write_table
from flowhft.simulate.evaluate import columns
from flowhft.stages.booked import booked
from flowhft.stages.costs import evaluate_costs, parted
from flowhft.stages.open_sessions import left_out_pnl, only, open_sessions, said_of_closed
from flowhft.stages.settings import BLOCK_SECONDS, BLOCK_STEPS, OF_THIS_RECORDING
from flowhft.stages.tables import shown, units_in
from flowhft.types import Trajectory

SHOWN = ("sharpe", "max_drawdown", "fills", "rms_inventory", "quoting_ratio")


class Replays(NamedTuple):
    """What is judged: who did what, on which recording, at which settings.

    Attributes:
        recording: that was replayed; None where it is not at hand: there are no markouts then.
        replayed: by policy, what it did.
        settings: of the replay.
        reference: the policy that differences are taken against.
        currency: of money.
        money: currency of a tick x lot of one order.
        costs: of a sweep (`flowhft.stages.costs`); no rows where nothing was swept.
        origins: by policy, where its quotes come from.
        time: of every step, seconds; None for since the first decision.
        order: size of an order in words; empty for its lots.
    """

    recording: Windowed | None
    replayed: Mapping[str, Replayed]
    settings: ReplaySettings
    reference: str
    currency: str
    money: float
    costs: pl.DataFrame
    origins: Mapping[str, Origin]
    time: np.ndarray | None = None
    order: str = ""


@dataclass(frozen=True, repr=False)
class Backtest:
    """What policies came to on a recording.

    Attributes:
        results: one row a policy: every metric with its interval, per session, money in currency.
        differences: the same less the reference's, paired.
        equity: the course of every policy: equity, drawdown, inventory, PnL by cause, one row a step.
        inventory: how inventory is distributed, one row a policy.
        markouts: the mean move of the mid after a fill, one row a policy and horizon.
        fills: one row a fill.
        latency: percentiles of every delay between the market and our orders.
        costs: PnL at other fees and latencies; no rows where nothing was swept.
        bookings: PnL with fills booked whole, capped, capped + answered and without hidden executions; no
            rows where that was not asked for.
        reference: the policy that differences are taken against.
        currency: of money.
        record: what can be said beside the tables: settings, how fills were `booked`, sessions, orders,
            break-even fees, warnings;
            where closed time touches sessions, how many and what they earned: `closed_sessions`,
            `closed_pnl`.
        trajectories: every step of every policy, arrays of shape (1, step), ticks and lots of one order.
    """

    results: pl.DataFrame
    differences: pl.DataFrame
    equity: pl.DataFrame
    inventory: pl.DataFrame
    markouts: pl.DataFrame
    fills: pl.DataFrame
    latency: pl.DataFrame
    costs: pl.DataFrame
    bookings: pl.DataFrame
    reference: str
    currency: str
    record: Mapping[str, Any]
    trajectories: Mapping[str, Trajectory] = field(compare=False)

    def save(self, folder: Path | str) -> None:
        """Write the tables as Parquet files with their units, and the record, as `flowhft backtest` does.

        Args:
            folder: made where there is none.
        """
        folder = Path(folder)
        for name, table in (("results", self.results), ("differences", self.differences)):
            write_table(folder / f"{name}.parquet", table, units_in("backtest", name, self.currency))
        for name, table in (
            *((("costs", self.costs),) if self.costs.height else ()),
            *((("bookings", self.bookings),) if self.bookings.height else ()),
            ("equity", self.equity),
            ("inventory", self.inventory),
            ("markouts", self.markouts),
            ("fills", self.fills),
            ("latency", self.latency),
        ):
            units = tables.units_of("backtest", name, money=self.currency)
            write_table(folder / f"{name}.parquet", table, units)
        write_json(folder / "backtest.json", dict(self.record))

    def warned(self, warnings: Sequence[str]) -> "Backtest":
        """Return the same with more for its reader to know.

        Args:
            warnings: a sentence each.
        """
        return replace(self, record={**self.record, "warnings": [*self.record["warnings"], *warnings]})

    def __repr__(self) -> str:
        what = f"{len(self.trajectories)} policies, {self.record['sessions']} sessions"
        where = f"of {self.record['session_seconds']:g} s; reference {self.reference}; {self.currency}"
        warnings = [text for text in self.record["warnings"] if text.startswith(OF_THIS_RECORDING)]
        text_of = "".join(f"\nwarning: {text}" for text in warnings)
        return f"Backtest: {what} {where}\n{shown(self.results, SHOWN)}\n{self.record['booked']}{text_of}"


def evaluation_of_replays(
    replays: Replays,
    *,
    confidence: float,
    learned: str | None,
    more: Mapping[str, Any] | None = None,
) -> Backtest:
    """Return what replays come to.

    Args:
        replays: they.
        confidence: of every interval, between 0 and 1.
        learned: the policy that a report is about; None where only experts ran.
        more: what the record says besides, before the rest.
    """
    settings, replayed, reference = replays.settings, replays.replayed, replays.reference
    money, currency = replays.money, replays.currency
    trajectories = {name: one.trajectory for name, one in replayed.items()}
    session_steps = round(settings.session / settings.interval)
    counted = open_sessions(next(iter(replayed.values())).closed, session_steps)
    counts = {name: only(path, counted.steps) for name, path in trajectories.items()}
    steps = np.shape(next(iter(counts.values())).fee)[-1]
    block = max(BLOCK_STEPS, round(BLOCK_SECONDS / settings.interval))
    blocks: dict[str, Any] = {
        "session_steps": session_steps,
        "block_steps": min(block, max(1, steps // 2)),
        "reference": reference,
        "confidence": confidence,
    }
    result = evaluate_sessions(counts, **blocks)
    where = {"scenario": "recording", "currency": currency, "paths": result.sessions}
    results = [{"policy": name, **where, **columns(values, money)} for name, values in result.results.items()]
    differences = [
        {"policy": name, "reference": reference, **where, **columns(values, money)}
        for name, values in result.differences.items()
    ]
    swept = replays.costs
    if swept.height and counted.steps is not None:
        swept = swept.filter(pl.col("step").is_in(counted.steps.tolist()))
    costs, bookings = (
        _in_money(evaluate_costs(rows, **blocks, by=by), money) if rows.height else pl.DataFrame()
        for rows, by in parted(swept)
    )
    fills = {name: one.fills for name, one in replayed.items()}
    message = warnings_of(settings, result.sessions)
    left_out: dict[str, Any] = {}
    if counted.steps is not None:
        pnl = {
            name: money * left_out_pnl(path, counted.steps, session_steps)
            for name, path in trajectories.items()
        }
        left_out = {"closed_sessions": counted.left_out, "closed_pnl": pnl}
        message.insert(0, said_of_closed(counted, pnl, currency))
    record = {
        "settings": settings,
        "booked": booked(settings, replays.order),
        **(more or {}),
        "reference": reference,
        "learned": learned,
        "sessions": result.sessions,
        "session_seconds": settings.session,
        "block_seconds": blocks["block_steps"] * settings.interval,
        "total_pnl": {
            name: money * float(np.sum(t.spread_pnl + t.inventory_pnl - t.fee))
            for name, t in trajectories.items()
        },
        "run_drawdown": {name: money * value for name, value in result.run_drawdown.items()},
        "break_even_fee_bps": {name: break_even_fee(one) for name, one in replayed.items()},
        "orders": {name: one.orders for name, one in replayed.items()},
        "decision_latency_us": {name: one.decision_latency_us for name, one in replayed.items()},
        **left_out,
        "warnings": message,
    }
    return Backtest(
        results=with_origins(pl.DataFrame(results, infer_schema_length=None), replays.origins),
        differences=with_origins(
            pl.DataFrame(
                differences,
                schema=None if differences else {"scenario": str, "policy": str},
                infer_schema_length=None,
            ),
            replays.origins,
        ),
        equity=pl.concat([course_of(name, one, money, replays.time) for name, one in replayed.items()]),
        inventory=pl.DataFrame(
            [{"policy": name, **inventory_distribution(path)} for name, path in counts.items()]
        ),
        markouts=pl.DataFrame() if replays.recording is None else markout_in(fills, replays.recording),
        fills=pl.concat([table.with_columns(policy=pl.lit(name)) for name, table in fills.items()]),
        latency=latency_table(
            next(iter(replayed.values())).delays,
            {name: one.measured_latency_us for name, one in replayed.items()},
        ),
        costs=costs,
        bookings=bookings,
        reference=reference,
        currency=currency,
        record=record,
        trajectories=trajectories,
    )


def _in_money(costs: pl.DataFrame, money: float) -> pl.DataFrame:
    names = [name for name in costs.columns if name.startswith(("pnl", "difference"))]
    return costs.with_columns(pl.col(names).cast(pl.Float64) * money)


def course_of(name: str, replayed: Replayed, money: float, time: np.ndarray | None = None) -> pl.DataFrame:
    """Return the course of a replay: equity, drawdown, inventory and PnL by cause after every step.

    Args:
        name: of the policy.
        replayed: what it did.
        money: currency of a tick x lot of one order.
        time: of every step, seconds; by default since the first decision.
    """
    path = replayed.trajectory
    wealth = equity(path)
    return pl.DataFrame(
        {
            "policy": name,
            "time": np.asarray(path.observation.time)[0] if time is None else time,
            "equity": money * wealth[0],
            "drawdown": money * drawdown(wealth)[0],
            "inventory": inventory_after(path)[0],
            "spread_pnl": money * np.cumsum(path.spread_pnl[0]),
            "inventory_pnl": money * np.cumsum(path.inventory_pnl[0]),
            "fee": money * np.cumsum(path.fee[0]),
        }
    )


def break_even_fee(replayed: Replayed) -> float | None:
    """Return the maker fee in basis points at which nothing would have been earned; None without fills."""
    path = replayed.trajectory
    traded = 0.0 if path.activity is None else float(np.sum(path.activity.turnover))
    return 1e4 * float(np.sum(path.spread_pnl + path.inventory_pnl)) / traded if traded else None


def in_sample(calibrated_on: Mapping[str, Any], whole: Recording, after: float) -> list[str]:
    """Return a warning where the judgement looks at what the calibration has learned from.

    Args:
        calibrated_on: what the calibration wrote down about its recording.
        whole: the recording, of which the last part is judged.
        after: share of it that comes before.
    """
    same = calibrated_on.get("name") == whole.name and calibrated_on.get("events") == len(whole.events)
    learned = float(calibrated_on.get("learn_seconds") or 0.0)
    if not same or after * whole.duration >= learned - 1e-6:
        return []
    return [
        f"The first {learned:.0f} s of this recording were learned from, and the judgement begins at "
        f"{after * whole.duration:.0f} s: it is in sample. Pass --after {learned / whole.duration:.4g}."
    ]


def warnings_of(settings: ReplaySettings, sessions: int) -> list[str]:
    """Return what a reader of the replay must know, in plain words."""
    messages = [
        "The recorded market does not answer our orders; larger orders would have moved it.",
        f"The judgement rests on {sessions} sessions of one recording: its intervals say how far chance goes "
        "within it, not how other days would differ.",
    ]
    if settings.fee_bps == 0.0:
        messages.append(
            "Fees are set to 0. Compare the break-even fee of each policy with what your venue charges: a "
            "regular maker fee of 1 to 2 basis points is more than any policy here earns unless it says so."
        )
    return messages
