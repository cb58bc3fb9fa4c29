"""Resemblance: stylised facts of a recording beside those of its simulated market, and where they part."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float

from flowhft.calibrate.sessions import without_gaps
from flowhft.errors import require
from flowhft.recordings.book import top_of_book
from flowhft.recordings.ticks import Recording
from flowhft.runs import tables
from flowhft.runs.folder import read_table, stream, write_table
from flowhft.scenarios.scenario import Scenario
from flowhft.studies.realism.stylised import Fact, facts_at
from flowhft.studies.realism.tape import Tape, recorded_tape, simulated_tapes
from flowhft.studies.realism.unsimulated import Unsimulated, unsimulated
from flowhft.types import Progress, no_progress

PATHS = 99  # the real tape is the most extreme of a hundred with a chance of 1 %
TAIL = 0.025  # quantiles by which the two directions of a fact are scaled

POINT_UNITS = tables.units_of("resemble", "resemblance")
VERDICT_UNITS = tables.units_of("resemble", "resemblance_verdicts")


class Resemblance(NamedTuple):
    """How far a simulated market resembles a recording.

    Attributes:
        points: one row a fact and point, columns of `POINT_UNITS`.
        verdicts: one row a fact, columns of `VERDICT_UNITS`: whether all of its points together lie where
            simulated tapes do, and in words where not. What the simulator does not have has no p-value.
    """

    points: pl.DataFrame
    verdicts: pl.DataFrame

    @property
    def failures(self) -> list[str]:
        """Return what the simulator fails at, in words."""
        return self.verdicts.filter(~pl.col("resembles"))["said"].to_list()


class _Envelope(NamedTuple):
    p_value: float
    centre: Float[np.ndarray, " point"]
    low: Float[np.ndarray, " point"]
    high: Float[np.ndarray, " point"]


def envelope(
    recorded: Float[np.ndarray, " point"], simulated: Float[np.ndarray, "path point"], significance: float
) -> _Envelope:
    """Test a curve against simulated ones, all points at once.

    How far a curve is from the middle is the largest of its points' distances from the median, each in units
    of that of the simulated quantile on its side. The p-value is the share of all curves, the recorded one
    among them, that are as far: exact at any number of points, if the recorded one is a simulated one.

    Args:
        recorded: shape (point,).
        simulated: shape (path, point).
        significance: of the envelope: simulated curves leave it somewhere with this chance.

    Source: M. Myllymaki, T. Mrkvicka, P. Grabarnik, H. Seijo, U. Hahn, "Global envelope tests for spatial
    processes", JRSS B 79(2), 2017: the directional quantile test.
    """
    together = np.vstack([recorded[None], simulated])
    # The median, since a recorded point far off would pull a mean beyond the simulated quantiles.
    lower, centre, upper = np.quantile(together, [TAIL, 0.5, 1.0 - TAIL], axis=0)
    room = 1e-9 * (np.abs(centre) + 1e-300)
    below, above = np.maximum(centre - lower, room), np.maximum(upper - centre, room)
    apart = together - centre
    far = np.max(np.where(apart > 0.0, apart / above, -apart / below), axis=1)
    reach = float(np.quantile(far[1:], 1.0 - significance))
    p_value = float(np.mean(far >= far[0]))
    return _Envelope(p_value, centre, centre - reach * below, centre + reach * above)


def compare(
    recorded: Tape, simulated: Iterable[Tape], distance: float, significance: float = 0.01
) -> Resemblance:
    """Lay the stylised facts of a tape beside those of simulated ones.

    Parameters were estimated, often from the same tape: a market that resembles may still differ from it by
    their errors, and a fact that was fitted agrees more easily than one that was not.

    Args:
        recorded: of the market.
        simulated: of its simulation, of the same dt and length.
        distance: where a maker earns most, 1 / k, ticks.
        significance: chance that a fact of the same market is said to differ.
    """
    facts = facts_at(distance)
    places = [fact.points(recorded, distance) for fact in facts]
    real = [fact.values(recorded, x) for fact, x in zip(facts, places, strict=True)]
    drawn: list[list[np.ndarray]] = [[] for _ in facts]
    for tape in simulated:
        for seen, fact, x in zip(drawn, facts, places, strict=True):
            seen.append(fact.values(tape, x))
    points, verdicts = [], []
    for fact, x, values, again in zip(facts, places, real, drawn, strict=True):
        table, verdict = _evaluated(fact, x, values, np.array(again), significance)
        points.append(table)
        verdicts.append(verdict)
    return Resemblance(
        pl.concat(points), pl.DataFrame(verdicts, schema=_schema(VERDICT_UNITS, "p_value"), orient="row")
    )


def _schema(units: dict[str, str], *numbers: str) -> dict[str, type[pl.DataType]]:
    logical = ("outside", "logarithmic", "resembles")
    return {
        name: pl.Float64 if name in numbers else pl.Boolean if name in logical else pl.String
        for name in units
    }


def _evaluated(
    fact: Fact, x: np.ndarray, recorded: np.ndarray, simulated: np.ndarray, significance: float
) -> tuple[pl.DataFrame, tuple]:
    """Return the points of a fact and its verdict; points that a tape says nothing about are left out."""
    known = np.isfinite(recorded) & np.all(np.isfinite(simulated), axis=0)
    x, recorded, simulated = x[known], recorded[known], simulated[:, known]
    if not np.any(known):
        nothing = np.zeros((4, 0))
        return _points(fact, x, *nothing), (fact.name, fact.title, np.nan, True, "Nothing to compare.")
    floor = np.min(np.where(simulated > 0.0, simulated, np.inf)) if fact.logarithmic else 0.0
    floor = floor if np.isfinite(floor) else 1.0

    def seen(values: np.ndarray) -> np.ndarray:
        return np.log(np.maximum(values, 0.5 * floor)) if fact.logarithmic else values

    result = envelope(seen(recorded), seen(simulated), significance)
    centre, low, high = (np.exp(v) if fact.logarithmic else v for v in result[1:])
    table = _points(fact, x, recorded, centre, low, high)
    agrees = result.p_value > significance
    return table, (fact.name, fact.title, result.p_value, agrees, _said(fact, table, agrees))


def _points(fact: Fact, x: np.ndarray, recorded: np.ndarray, *curves: np.ndarray) -> pl.DataFrame:
    centre, low, high = curves
    numbers = ("x", "recorded", "simulated", "low", "high")
    columns = {
        "fact": [fact.name] * len(x),
        "title": [fact.title] * len(x),
        "axis": [fact.x] * len(x),
        "unit": [fact.unit] * len(x),
        **dict(zip(numbers, (x, recorded, centre, low, high), strict=True)),
        "outside": (recorded < low) | (recorded > high),
        "logarithmic": [fact.logarithmic] * len(x),
    }
    return pl.DataFrame(columns, schema=_schema(POINT_UNITS, *numbers))


def _said(fact: Fact, table: pl.DataFrame, agrees: bool) -> str:
    """Say in words where a fact of the recording lies beside those of the simulation."""
    if agrees:
        return f"{fact.title}: as simulated."
    gap = pl.max_horizontal(pl.col("recorded") - pl.col("high"), pl.col("low") - pl.col("recorded"))
    width = (pl.col("high") - pl.col("low")).clip(lower_bound=1e-300)
    worst = table.sort(gap / width, descending=True).row(0, named=True)
    where = _runs(table["x"].to_list(), table["outside"].to_list()) or f"{worst['x']:.3g}"
    unit = "" if fact.unit == "1" else f" {fact.unit}"
    return (
        f"{fact.title}: outside at {where} ({fact.x}); at {worst['x']:.3g}: "
        f"{worst['recorded']:.3g}{unit} recorded, {worst['low']:.3g} to {worst['high']:.3g} simulated."
    )


def _runs(x: list[float], outside: list[bool]) -> str:
    """Name the points outside: "1 to 2 and 10" if 5 of 1, 2, 5 and 10 is inside."""
    runs: list[list[float]] = []
    for point, out, before in zip(x, outside, [False, *outside], strict=False):
        if out and before:
            runs[-1].append(point)
        elif out:
            runs.append([point])
    return " and ".join(f"{r[0]:.3g}" if len(r) == 1 else f"{r[0]:.3g} to {r[-1]:.3g}" for r in runs)


def resemblance(
    recording: Recording,
    scenario: Scenario,
    *,
    order_window: float,
    paths: int = PATHS,
    seed: int = 0,
    progress: Progress = no_progress,
) -> Resemblance:
    """Compare a recording with the simulated market that a scenario describes.

    Args:
        recording: with trades; the gaps between its sessions are closed.
        scenario: usually the centre of what `calibrate` made of it; its dt is that of the comparison.
        order_window: seconds; market orders of a side closer than this are one, as in the calibration.
        paths: tapes to simulate, each as long as the recording; 99 make a test at 1 %.
        seed: of the simulation.
        progress: told the share done and the stage.
    """
    require(paths >= 19, "paths", "be 19 or more", paths, "99 make a test at 1 %.")
    progress(0.0, "cut the recording into steps")
    recording = without_gaps(recording)
    recorded = recorded_tape(recording, scenario.dt, order_window, stream(seed, "resemblance", "ties"))
    progress(0.1, "simulate")

    def tapes() -> Iterable[Tape]:
        drawn = simulated_tapes(scenario, recorded.steps, paths, seed, order_window)
        for index, tape in enumerate(drawn):
            progress(0.3 + 0.7 * index / paths, "measure")
            yield tape

    result = compare(recorded, tapes(), 1.0 / scenario.fill_decay, max(0.01, 1.0 / (paths + 1.0)))
    points, verdicts = zip(*map(_alone, unsimulated(top_of_book(recording))), strict=True)
    progress(1.0, "done")
    return Resemblance(pl.concat([result.points, *points]), pl.concat([result.verdicts, *verdicts]))


def _alone(one: Unsimulated) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the points and the verdict of a fact that the simulator does not have."""
    nothing = np.full(len(one.x), np.nan)
    fact = Fact(one.name, one.title, one.axis, one.unit, lambda tape, distance: one.x, lambda tape, x: x)
    points = _points(fact, one.x, one.values, nothing, nothing, nothing)
    verdict = (one.name, one.title, None, False, one.said)
    return points, pl.DataFrame([verdict], schema=_schema(VERDICT_UNITS, "p_value"), orient="row")


def save_resemblance(result: Resemblance, folder: Path) -> None:
    """Write a resemblance as `resemblance.parquet` and `resemblance_verdicts.parquet`.

    Args:
        result: what to write.
        folder: exists.
    """
    write_table(folder / "resemblance.parquet", result.points, POINT_UNITS)
    write_table(folder / "resemblance_verdicts.parquet", result.verdicts, VERDICT_UNITS)


def load_resemblance(folder: Path) -> Resemblance:
    """Read what `save_resemblance` wrote."""
    return Resemblance(
        read_table(folder / "resemblance.parquet"), read_table(folder / "resemblance_verdicts.parquet")
    )
