"""`flowhft train`: train the network that adapts a frozen policy to whatever market it senses."""

from dataclasses import dataclass, replace

from flowhft.cli.command import Command, Result
from flowhft.cli.folder import begin, identity_of, run_of, summary_of
from flowhft.cli.terminal import Table, Terminal
from flowhft.errors import UsageError, require
from flowhft.learn.regime.settings import FamilySettings, RegimeSettings
from flowhft.runs.folder import plain, read_table, write_table

PILOT, PILOT_PATHS = 48, 32  # held-out scenarios, and sessions of each, that are scored along the training


@dataclass(frozen=True, kw_only=True)
class Train(Command):
    """Train a regime adapter behind a frozen flow policy, over a broad random family of markets.

    No named scenario is trained on. Writes policy.safetensors, curve.parquet and held_out.parquet (other
    random scenarios by risk dial, of which the policy's is chosen); an interrupted training resumes from its
    last checkpoint and ends bit for bit as it would have.
    """

    base: str = ""
    """Flow policy that quotes within, frozen: a .safetensors file or a run folder of `flowhft imitate`, with
    options in brackets; none is the control, half-spreads of 1 / k."""
    family: FamilySettings = FamilySettings()
    regime: RegimeSettings = RegimeSettings()

    def run(self, terminal: Terminal) -> Result:
        """Make the banks, train, choose the dial, save."""
        from flowhft.simulate.devices import prepare

        prepare()
        from flowhft.flow.policy import as_data, flow_policy
        from flowhft.learn.regime.bank import make_bank
        from flowhft.learn.regime.family import draw_family
        from flowhft.learn.regime.held_out import TABLE_UNITS, choose_dial, held_out_table, judge_dials
        from flowhft.learn.regime.plain import plain_policy
        from flowhft.learn.regime.train import CURVE_UNITS, train
        from flowhft.policies.file import save_policy
        from flowhft.policies.flow import flow_in
        from flowhft.policies.names import find_policy
        from flowhft.scenarios.known import units_of
        from flowhft.scenarios.sensor import sensor_for

        parents, remembered, base = {}, "", None
        if self.base:
            named = find_policy(self.base)
            flow = flow_in(named.policy)
            if flow is None or named.path is None:
                raise UsageError(
                    f"`base` must be a flow policy; received '{self.base}'. Name a .safetensors file."
                )
            base = flow
            require(not named.delay, "base", "be trained behind without a delay", f"'{self.base}'")
            require(not named.told, "base", "not be told the market", f"'{self.base}'")
            require(
                base.sampler.noise_scale == 0.0 and base.sampler.execute == 1,
                "base",
                "quote without chance and draw a chunk every step",
                f"'{self.base}'",
                "Write policy[noise_scale=0,execute=1].",
            )
            parents, remembered = {"base": identity_of(named.path)}, named.remembered
        run = run_of(self, "train", parents, base=remembered)
        if work := begin(run, terminal):
            banks = {}
            families = {
                "train": draw_family(self.family, self.family.scenarios, self.seed, "train"),
                "held out": draw_family(self.family, self.family.held_out, self.seed, "held out"),
            }
            units = units_of(families["train"][0])
            base = None if base is None else base.in_units(*units)
            within = plain_policy(sensor_for(families["train"][0])) if base is None else flow_policy(base)
            for name, part, paths in (
                ("train", families["train"], self.family.paths),
                ("pilot", families["held out"][:PILOT], PILOT_PATHS),
            ):
                with terminal.stage(f"walk through random markets ({name})") as progress:
                    banks[name] = make_bank(
                        part,
                        paths,
                        self.seed,
                        within.sensor,
                        None if base is None else within,
                        self.regime.swing,
                        progress,
                    )
            with terminal.stage("train") as progress:
                trained = train(
                    banks["train"], banks["pilot"], self.regime, self.seed, work / "checkpoints", progress
                )
            learned = as_data(within, trained.regime)
            with terminal.stage("judge risk dials in held-out markets") as progress:
                judged = judge_dials(
                    learned,
                    families["held out"],
                    self.regime.settings_shown,
                    self.family.held_out_paths,
                    self.seed,
                    work / "held-out",
                    progress,
                )
            table = held_out_table(judged)
            dial = choose_dial(table)
            chosen = learned.at_dial(dial)
            write_table(work / "curve.parquet", trained.curve, CURVE_UNITS)
            write_table(work / "held_out.parquet", table, TABLE_UNITS)
            about = {
                "seed": self.seed,
                "family": plain(self.family),
                "settings": plain(self.regime),
                "base": remembered,
                "parents": run.parents,
            }
            trained_for = replace(chosen, dial=self.regime.dial, training=about)
            save_policy(work / "policy.safetensors", trained_for)
            run.finish(dial=dial, **trained.curve.row(-1, named=True))
        summary = summary_of(run.folder)
        table = read_table(run.folder / "held_out.parquet")
        columns = [name for name in table.columns if name not in ("scenarios",)]
        return Result(
            summary={"folder": run.folder, **summary, "held_out": table.to_dicts()},
            shown=[
                Table(
                    columns=[name.replace("_", " ") for name in columns],
                    rows=[list(row) for row in table.select(columns).iter_rows()],
                    title="Held-out random scenarios: against the best expert of each, metric by metric",
                ),
                f"{summary['update']:,} updates in {summary['seconds']:.0f} s; the risk dial that wins most "
                f"held-out scenarios is {summary['dial']:g}",
                f"The policy is {run.folder / 'policy.safetensors'}",
            ],
        )
