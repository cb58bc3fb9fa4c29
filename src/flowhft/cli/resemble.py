"""`flowhft resemble`: lay a recording beside the market that was calibrated to it."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from flowhft.cli.calibrate import SCENARIOS
from flowhft.cli.command import Command, Result
from flowhft.cli.folder import begin, identity_of_run, run_of, summary_of
from flowhft.cli.terminal import Table, Terminal
from flowhft.errors import require
from flowhft.recordings.described import InstrumentSettings
from flowhft.runs.folder import manifest_of, read_json, read_table, write_json


@dataclass(frozen=True, kw_only=True)
class Resemble(Command):
    """Lay the stylised facts of a recording beside those of its simulated market, and say where they part.

    Writes resemblance.parquet (every point of every fact), resemblance_verdicts.parquet and recording.json.
    """

    recording: Positional[Path]
    """Session prefix (.../usdm_btcusdt_20240718), any of its files, or a folder that holds one session."""
    calibration: Path
    """Run folder of `flowhft calibrate`: the market that is simulated is the centre of its scenarios."""
    share: float | None = None
    """Share of the recording's time to compare with, from its start; by default what was calibrated on."""
    paths: int = 99
    """Simulated tapes, each as long as the recording; 99 make a test at 1 %."""
    repair: bool = False
    """Mend what can be mended in the recording, and say what was done."""
    instrument: InstrumentSettings = InstrumentSettings()

    def run(self, terminal: Terminal) -> Result:
        """Read, simulate, compare, write."""
        from flowhft.cli.recording import facts_of, identity_of_recording, read_parts
        from flowhft.scenarios.files import read_scenarios
        from flowhft.simulate.devices import prepare

        require(self.paths >= 19, "paths", "be 19 or more", self.paths, "99 make a test at 1 %.")
        parents = {"calibration": identity_of_run(self.calibration, "calibration", "calibrate")}
        scenario = read_scenarios(self.calibration / SCENARIOS)[0]
        facts = read_json(self.calibration / "calibration.json")["facts"]
        learned = manifest_of(self.calibration)["config"].get("share", 1.0)
        with terminal.stage("read the recording"):
            share = learned if self.share is None else self.share
            parts = read_parts(self.recording, share, self.repair, self.instrument)
        parents["recording"] = identity_of_recording(parts.learn)
        run = run_of(self, "resemble", parents)
        if work := begin(run, terminal):
            prepare()
            from flowhft.studies.realism.resemblance import resemblance, save_resemblance

            with terminal.stage("compare with the simulation") as progress:
                found = resemblance(
                    parts.learn,
                    scenario,
                    order_window=facts["order_window"],
                    paths=self.paths,
                    seed=self.seed,
                    progress=progress,
                )
            save_resemblance(found, work)
            write_json(work / "recording.json", facts_of(parts))
            run.finish(
                recording=parts.learn.name, paths=self.paths, dt=scenario.dt, failures=len(found.failures)
            )
        return result_of(run.folder)


def result_of(folder: Path) -> Result:
    """Return what a finished comparison found, read back from its folder."""
    summary = summary_of(folder)
    verdicts = read_table(folder / "resemblance_verdicts.parquet").to_dicts()
    rows = [[one["title"], one["p_value"], "yes" if one["resembles"] else "no"] for one in verdicts]
    return Result(
        summary={"folder": folder, **summary, "verdicts": verdicts},
        shown=[
            Table(
                columns=["stylised fact", "p-value", "resembles"],
                rows=rows,
                title=f"{summary['recording']} against {summary['paths']} simulated tapes",
            ),
            *(f"differs: {one['said']}" for one in verdicts if not one["resembles"]),
        ],
    )
