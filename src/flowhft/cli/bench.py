"""`flowhft bench latency`: how long a frozen policy takes to decide, beside a C kernel of the same size."""

import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from flowhft.cli.command import Action, Result
from flowhft.cli.terminal import Table, Terminal
from flowhft.errors import UsageError, require

if TYPE_CHECKING:
    from flowhft.desk.compiled.latency import Latency

COLUMNS = (
    "width",
    "evaluations",
    "p50 (us)",
    "p99",
    "p99.9",
    "max",
    "cold",
    "loop",
    "C by rows",
    "C by columns",
    "p50 / C",
)


@dataclass(frozen=True, kw_only=True)
class BenchLatency(Action):
    """Measure how long a flow policy or an agent takes from observation to quote, on this machine.

    One process, one thread, one call from Python at a time, everything in it: features, network, adapter.
    Beside it the network alone in plain C, compiled here, measured in turns with it.
    """

    policy: Positional[str] = ""
    """Policy to measure, as it is saved; without one, untrained networks of all widths and evaluations."""
    scenario: str = ""
    """Name or TOML file of the market in whose units the policy quotes."""
    evaluations: tuple[int, ...] = (1, 2, 4, 8)
    """Evaluations of the network for one chunk of quotes."""
    widths: tuple[int, ...] = (64, 128, 256)
    """Units of a hidden layer."""
    calls: int = 10000
    """Timed calls per row."""

    def run(self, terminal: Terminal) -> Result:
        """Measure and tell."""
        require(self.calls >= 100, "calls", "be at least 100", self.calls)
        for name, values in (("evaluations", self.evaluations), ("widths", self.widths)):
            if not values or min(values) < 1:
                raise UsageError(f"`{name}` must be whole numbers from 1 up; received {values}.")
        from flowhft.desk.compiled.latency import measure_latency, untrained
        from flowhft.desk.compiled.peer import compiler

        if self.policy:
            policies = [self._frozen()]
        else:
            policies = [untrained(width, count) for width in self.widths for count in self.evaluations]
        rows = []
        with terminal.stage("Measuring") as progress:
            for number, policy in enumerate(policies):
                progress(number / len(policies), f"policy {number + 1} of {len(policies)}")
                rows.append(measure_latency(policy, self.calls))
        summary = {
            "policy": self.policy or "untrained",
            "machine": _machine(),
            "compiler": compiler(),
            "calls": self.calls,
            "rows": [row._asdict() for row in rows],
        }
        note = (
            "p50 to max: one call from Python, observation to quote. cold: the same after 64 MiB of other "
            "data (median). loop: mean within a compiled loop (median). C: the network alone in C (median), "
            "its matrices in two orders; the faster one counts."
        )
        if rows[0].ratio is None:
            note += (
                " No comparison: the policy is an agent, has noise or a warm start that the kernel lacks, or "
                "no compiler here could build it."
            )
        table = Table(COLUMNS, [_cells(row) for row in rows], f"microseconds a decision, {_machine()}")
        return Result(summary=summary, shown=[table, note])

    def _frozen(self) -> Any:
        from flowhft.desk.compiled.freeze import freeze
        from flowhft.policies.names import find_policy
        from flowhft.scenarios.presets import find_scenarios

        scenarios = find_scenarios(self.scenario) if self.scenario else [None]
        if len(scenarios) != 1:
            raise UsageError(f"`scenario` must name one market; received '{self.scenario}'.")
        frozen = freeze(find_policy(self.policy, frozen=True), scenarios[0])
        if not frozen.has_network:
            raise UsageError(
                f"`policy` must be a flow policy or an agent; received '{self.policy}', which has no network."
            )
        return frozen


def _cells(row: "Latency") -> list[Any]:
    return [
        row.width,
        row.evaluations,
        *(round(value, 1) for value in (row.p50_us, row.p99_us, row.p999_us, row.max_us)),
        *(round(value, 1) for value in (row.cold_us, row.loop_us)),
        *("-" if value is None else round(value, 1) for value in (row.c_rows_us, row.c_columns_us)),
        "-" if row.ratio is None else round(row.ratio, 2),
    ]


def _machine() -> str:
    return f"{platform.system()} {platform.machine()}"
