"""A run folder with plausible numbers and all that a report shows: `python synthetic_run.py FOLDER`."""

import sys
from pathlib import Path

import numpy as np
import polars as pl

from flowhft import report
from flowhft.metrics.table import METRICS
from flowhft.policies.rules import EXPERTS
from flowhft.runs import folder as runs

POLICIES = {  # mean PnL per session, its deviation, typical inventory
    "white_noise": (-3.1, 9.0, 6.0),
    "avellaneda_stoikov": (4.2, 6.1, 3.5),
    "glft": (5.1, 4.0, 2.1),
    "glft_drift": (4.9, 4.4, 2.3),
    "flow_matching": (5.0, 4.1, 2.2),
    "shortcut": (4.8, 4.2, 2.2),
    "shortcut_adapted": (5.6, 3.3, 1.6),
    "oracle": (5.9, 3.1, 1.5),
}
ORIGINS = {
    name: {"family": EXPERTS[name].family, "rule": name}
    if name in EXPERTS
    else {"family": "learned", "rule": ""}
    for name in POLICIES
}
SCENARIOS = (
    "centre",
    *(f"volatility x{v}, demand x{d}" for v in (0.5, 1, 2) for d in (0.5, 1, 2) if (v, d) != (1, 1)),
    *("trend -1 sd", "trend +1 sd"),
)
LEARNED, REFERENCE = "shortcut_adapted", "glft"
CURRENCY = "USDT"
PATHS = 2000


def _evaluated(row: dict, pnl: float, error: float, deviation: float, inventory: float) -> dict:
    """Give every metric a value and an interval that hang together with a PnL."""
    values = {
        "pnl": (pnl, error),
        "expected_pnl": (pnl, 0.4 * error),
        "sharpe": (pnl / deviation, 0.06),
        "max_drawdown": (1.4 * deviation, 0.1 * deviation),
        "pnl_deviation": (deviation, 0.08 * deviation),
        "expected_shortfall": (pnl - 2.06 * deviation, 3 * error),
        "spread_pnl": (pnl + 3.2, 0.4 * error),
        "inventory_pnl": (-2.1, 0.9 * error),
        "fee": (1.1, 0.02),
        "fills": (212.4, 1.3),
        "rms_inventory": (inventory, 0.03 * inventory),
        "max_inventory": (2.6 * inventory, 0.05 * inventory),
        "half_spread": (31.4, 0.02),
        "pnl_to_map": (pnl / inventory, error / inventory),
        "sortino": (1.7 * pnl / deviation, 0.1),
        "calmar": (pnl / (1.4 * deviation), 0.05),
        "mean_inventory": (0.1 * inventory, 0.05 * inventory),
        "effective_spread": (3.1, 0.02),
        "realised_spread": (1.2, 0.05),
        "adverse_selection": (1.9, 0.05),
        "slippage": (-0.3, 0.01),
        "turnover": (51_200.0, 310.0),
        "fill_ratio": (0.042, 0.001),
        "order_to_trade": (47.1, 0.4),
        "quoting_ratio": (0.97, 0.002),
        "latency_p50": (5_100.0, 0.0),
        "latency_p99": (5_400.0, 12.0),
    }
    for name, (value, half) in values.items():
        row |= {name: value, f"{name}_low": value - half, f"{name}_high": value + half}
    return row


def results(scenarios: tuple[str, ...], paths: int, error: float, rng: np.random.Generator) -> pl.DataFrame:
    """Make a table of results."""
    rows = []
    for place, scenario in enumerate(scenarios):
        bend = 1.0 + 0.25 * np.sin(place)
        for policy, (pnl, deviation, inventory) in POLICIES.items():
            noise = rng.normal(0, 0.2)
            row = {"scenario": scenario, "policy": policy, **ORIGINS[policy], "paths": paths}
            rows.append(_evaluated(row, bend * pnl + noise, error, bend * deviation, inventory))
    return pl.DataFrame(rows)


def differences(table: pl.DataFrame, half: float, references: tuple[str, ...] = (REFERENCE,)) -> pl.DataFrame:
    """Make the paired differences of a table of results, every interval `half` times a typical size."""
    rows = []
    for reference in references:
        for row in table.iter_rows(named=True):
            other = table.filter(
                (pl.col("scenario") == row["scenario"]) & (pl.col("policy") == reference)
            ).row(0, named=True)
            if row["policy"] == reference:
                continue
            line = {"scenario": row["scenario"], "policy": row["policy"], **ORIGINS[row["policy"]]}
            line |= {"reference": reference}
            for name in METRICS:
                value, size = row[name] - other[name], half * max(abs(other[name]), 0.1) * 0.1
                line |= {name: value, f"{name}_low": value - size, f"{name}_high": value + size}
            rows.append(line)
    return pl.DataFrame(rows)


def _units(table: pl.DataFrame) -> dict[str, str]:
    return {name: METRICS[name].unit.replace("money", CURRENCY) for name in table.columns if name in METRICS}


def _equity_of_sessions(scenarios: tuple[str, ...], rng: np.random.Generator) -> pl.DataFrame:
    frames = []
    time = np.linspace(0.0, 600.0, 201)
    share = time / time[-1]
    for place, scenario in enumerate(scenarios):
        bend = 1.0 + 0.25 * np.sin(place)
        for policy, (pnl, deviation, inventory) in POLICIES.items():
            mean = bend * pnl * share + 0.02 * rng.normal(size=len(time)).cumsum()
            error = 0.06 * deviation * np.sqrt(share)
            fall = 0.9 * deviation * np.sqrt(share)
            reach = inventory * (1 - np.exp(-8 * share))
            frames.append(
                pl.DataFrame(
                    {
                        "scenario": scenario,
                        "policy": policy,
                        "time": time,
                        "equity": mean,
                        "equity_low": mean - error,
                        "equity_high": mean + error,
                        "drawdown": fall,
                        "drawdown_low": 0.96 * fall,
                        "drawdown_high": 1.04 * fall,
                        "inventory_low": np.round(-1.8 * reach),
                        "inventory_median": np.round(0.2 * reach * np.sin(6 * share)),
                        "inventory_high": np.round(1.8 * reach),
                        "spread_pnl": 1.6 * mean,
                        "inventory_pnl": -0.4 * mean,
                        "fee": 0.2 * mean,
                    }
                )
            )
    return pl.concat(frames)


def _equity_of_replay(rng: np.random.Generator) -> pl.DataFrame:
    frames = []
    time = np.arange(0.0, 1800.0, 0.5)
    for policy, (pnl, deviation, inventory) in POLICIES.items():
        if policy == "oracle":
            continue
        equity = 3 * pnl * time / time[-1] + 0.04 * deviation * rng.normal(size=len(time)).cumsum()
        held = np.zeros(len(time))
        for step in range(1, len(time)):
            held[step] = held[step - 1] * 0.99 + rng.normal(0, 0.15 * inventory)
        highest = np.maximum.accumulate(np.maximum(equity, 0.0))
        frames.append(
            pl.DataFrame(
                {
                    "policy": policy,
                    "time": time,
                    "equity": equity,
                    "drawdown": highest - equity,
                    "inventory": np.round(held),
                    "spread_pnl": 1.6 * equity,
                    "inventory_pnl": -0.4 * equity,
                    "fee": 0.2 * equity,
                }
            )
        )
    return pl.concat(frames)


def _recording(folder: Path) -> None:
    runs.write_json(
        folder / "recording/recording.json",
        {
            "name": "usdm_btcusdt_20240718",
            "symbol": "BTCUSDT",
            "venue": "Binance USD-M futures",
            "currency": CURRENCY,
            "tick_size": 0.1,
            "lot_size": 0.001,
            "seconds": 3605.2,
            "events": 1_843_211,
            "trades": 48_127,
            "clock_offset_ms": -3.2178,
            "learn_seconds": 1800.0,
            "unseen_seconds": 1805.2,
            "findings": [
                {
                    "severity": "note",
                    "message": "12 trades carry no exchange time; the local time stands in.",
                },
                {
                    "severity": "warning",
                    "message": "the update chain breaks once, at row 120,411: 0.8 s are missing.",
                },
            ],
        },
    )


def _calibration(folder: Path, rng: np.random.Generator) -> None:
    parameters = {}
    for name, value, error, unit, method in (
        ("volatility", 42.1734, 1.312, "ticks / √s", "overlapping 10 s differences"),
        ("drift", 0.0123, 0.742, "ticks / s", "first and last mid"),
        ("intensity", 0.8127, 0.0215, "1 / s", "Poisson likelihood beyond 5 ticks"),
        ("fill_decay", 0.03417, 0.00092, "1 / tick", "Poisson likelihood beyond 5 ticks"),
        ("base_intensity", 1.934, 0.071, "1 / s", "Hawkes likelihood"),
        ("self_excitation", 4.21, 0.33, "1 / s", "Hawkes likelihood"),
        ("cross_excitation", 0.212, 0.084, "1 / s", "Hawkes likelihood"),
        ("decay", 9.87, 0.71, "1 / s", "Hawkes likelihood"),
    ):
        parameters[name] = {
            "value": value,
            "standard_error": error,
            "low": value - 1.96 * error,
            "high": value + 1.96 * error,
            "unit": unit,
            "method": method,
        }
    runs.write_json(
        folder / "calibrate/calibration.json",
        {
            "parameters": parameters,
            "facts": {"market_orders": 8123, "market_spread": 1.031, "market_order_rate": 4.512},
            "warnings": [
                "Hawkes residuals differ from the exponential (KS p-value 0.003): bursts are fatter."
            ],
        },
    )
    interval = np.array([0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0])
    volatility = 42 + 9 * np.exp(-interval) + rng.normal(0, 0.4, len(interval))
    runs.write_table(
        folder / "calibrate/signature.parquet",
        pl.DataFrame(
            {"interval": interval, "volatility": volatility, "standard_error": 0.3 + 0.25 * np.sqrt(interval)}
        ),
        {"interval": "s"},
    )
    frames = []
    for side, level in (("bid", 0.86), ("ask", 0.78)):
        distance = np.arange(0.0, 130.0, 10.0)
        fitted = level * np.exp(-0.034 * distance)
        rate = fitted * np.exp(rng.normal(0, 0.06, len(distance)) + 0.5 * np.exp(-distance / 8))
        error = np.sqrt(rate / 1800.0) * 2
        frames.append(
            pl.DataFrame(
                {"side": side, "distance": distance, "rate": rate, "standard_error": error, "fitted": fitted}
            )
        )
    runs.write_table(folder / "calibrate/fill_curve.parquet", pl.concat(frames), {"distance": "ticks"})
    theory = -np.log1p(-(np.arange(1, 2000) - 0.5) / 2000)
    runs.write_table(
        folder / "calibrate/hawkes_residuals.parquet",
        pl.DataFrame(
            {"theoretical": theory, "observed": theory * (1 + 0.02 * theory), "poisson": theory**1.4}
        ),
        {},
    )
    told = [
        (
            signal,
            horizon,
            share / (1.0 + horizon),
            share / (1.0 + horizon) - 0.02,
            share / (1.0 + horizon) + 0.02,
        )
        for signal, share in (("touch_imbalance", 0.15), ("together", 0.17), ("log_spread", 0.0))
        for horizon in (0.1, 1.0, 10.0)
    ]
    names = ["signal", "horizon", "r_squared", "r_squared_low", "r_squared_high"]
    signals = pl.DataFrame(told, schema=names, orient="row")
    runs.write_table(folder / "calibrate/signals.parquet", signals, {"horizon": "s"})


def _learning(folder: Path, rng: np.random.Generator) -> None:
    rows = []
    for place, scenario in enumerate(SCENARIOS[:9]):
        for expert, (pnl, deviation, _) in list(POLICIES.items())[:4]:
            for risk_aversion in (0.01, 0.1, 1.0):
                score = pnl - 0.3 * np.log10(risk_aversion) ** 2 + rng.normal(0, 0.5) + 0.2 * place
                rows.append(
                    {
                        "scenario": scenario,
                        "expert": expert,
                        "risk_aversion": risk_aversion,
                        "score": score,
                        "score_low": score - 0.2,
                        "score_high": score + 0.2,
                        "pnl": pnl,
                        "sharpe": pnl / deviation,
                        "max_drawdown": 1.4 * deviation,
                    }
                )
    teachers = pl.DataFrame(rows).with_columns(
        chosen=pl.col("score") == pl.col("score").max().over("scenario")
    )
    runs.write_table(folder / "demonstrate/teachers.parquet", teachers, {"score": CURRENCY})
    margins = {
        f"{name}{end}": pl.lit(value + reach)
        for name, value in (("margin", 0.31), ("fresh_margin", 0.22))
        for end, reach in (("", 0.0), ("_low", -0.12), ("_high", 0.12))
    }
    choices = teachers.filter("chosen").select(
        *("scenario", "expert", "risk_aversion"),
        rival_expert=pl.lit("glft"),
        tie=pl.int_range(pl.len()) % 3 == 0,
        ties=pl.when(pl.int_range(pl.len()) % 3 == 0).then(pl.lit("glft,glft_drift")).otherwise(pl.lit("")),
        **margins,
        **{f"winner_{criterion}": pl.col("expert") for criterion in ("pnl", "sharpe", "utility")},
        **{f"tie_{criterion}": pl.int_range(pl.len()) % 3 == 0 for criterion in ("pnl", "sharpe", "utility")},
    )
    runs.write_table(folder / "demonstrate/choices.parquet", choices, {"margin": CURRENCY})
    for method, floor in (("flow_matching", 0.31), ("shortcut", 0.36)):
        update = np.arange(0, 60_000, 50)
        loss = floor + 1.6 * np.exp(-update / 4000) + 0.01 * rng.normal(size=len(update))
        validation = np.where(update % 1000 == 0, floor + 0.02 + 1.6 * np.exp(-update / 4000), np.nan)
        runs.write_table(
            folder / f"imitate/{method}/curve.parquet",
            pl.DataFrame(
                {
                    "update": update,
                    "loss": loss,
                    "validation_loss": validation,
                    "gradient_norm": 0.2 + np.exp(-update / 3000) + 0.05 * rng.random(len(update)),
                    "seconds": update * 0.004,
                }
            ),
            {},
        )
    search = []
    for turn in range(4):
        for _ in range(24):
            difference = -2.5 * rng.random() ** 2 + 0.3 * turn - 0.3
            search.append(
                {
                    "round": turn,
                    "scale": rng.uniform(0.7, 1.3),
                    "offset_bid": rng.normal(0, 3),
                    "offset_ask": rng.normal(0, 3),
                    "skew": rng.uniform(0, 4),
                    "score": 5 + difference,
                    "difference": difference,
                    "difference_low": difference - 0.25,
                    "difference_high": difference + 0.25,
                }
            )
    table = pl.DataFrame(search).with_columns(chosen=pl.col("score") == pl.col("score").max())
    runs.write_table(folder / "adapt/search.parquet", table, {"score": CURRENCY})
    runs.write_json(
        folder / "adapt/adapter.json",
        {
            "scale": 0.93271,
            "offset_bid": 1.2345,
            "offset_ask": -0.4321,
            "skew": 2.1098,
            "criterion": "pnl",
            "scenarios": ["centre"],
            "validation": {"value": 0.713, "low": 0.52, "high": 0.91},
            "fresh": {"value": 0.541, "low": 0.38, "high": 0.70},
            "winners_curse": 0.172,
        },
    )


def _evaluation(folder: Path, rng: np.random.Generator) -> None:
    table = results(SCENARIOS, PATHS, 0.4, rng)
    runs.write_table(folder / "evaluate/results.parquet", table, _units(table))
    runs.write_table(folder / "evaluate/differences.parquet", differences(table, 0.6), _units(table))
    runs.write_table(
        folder / "evaluate/equity.parquet", _equity_of_sessions(SCENARIOS, rng), {"equity": CURRENCY}
    )
    frames = []
    inventory = np.arange(-8.0, 9.0)
    for place, policy in enumerate(POLICIES):
        for time_left in (600.0, 300.0, 10.0):
            slope = (0.0, 1.4, 2.0, 2.0, 1.7, 1.6, 2.6, 2.8)[place] * (0.4 + time_left / 1000.0)
            frames.append(
                pl.DataFrame(
                    {
                        "policy": policy,
                        "inventory": inventory,
                        "time_left": time_left,
                        "half_spread_bid": 30.0 + slope * inventory + 0.3 * place,
                        "half_spread_ask": 30.0 - slope * inventory + 0.2 * place,
                    }
                )
            )
    runs.write_table(folder / "evaluate/fingerprint.parquet", pl.concat(frames), {"inventory": "lots"})


def _backtest(folder: Path, rng: np.random.Generator) -> None:
    table = results(("unseen",), 1, 2.5, rng).filter(pl.col("policy") != "oracle")
    table = table.with_columns(pl.lit(float("nan")).alias(f"sharpe{end}") for end in ("", "_low", "_high"))
    runs.write_table(folder / "backtest/results.parquet", table, _units(table))
    runs.write_table(folder / "backtest/differences.parquet", differences(table, 4.0), _units(table))
    runs.write_table(folder / "backtest/equity.parquet", _equity_of_replay(rng), {"equity": CURRENCY})
    horizons = [0.0, 0.1, 1.0, 10.0, 60.0]
    markouts = [
        {
            "policy": policy,
            "horizon": horizon,
            "markout": -2.0 + place * 0.3 - 1.2 * np.log10(1 + horizon),
            "markout_error": 0.2 + 0.1 * np.sqrt(horizon),
            "capture": 4.0,
            "realised": 2.0 + place * 0.3 - 1.2 * np.log10(1 + horizon),
            "realised_error": 0.2 + 0.1 * np.sqrt(horizon),
            "fills": 0 if policy == "white_noise" and horizon == 60.0 else 400,
        }
        for place, policy in enumerate(list(POLICIES)[:-1])
        for horizon in horizons
    ]
    runs.write_table(folder / "backtest/markouts.parquet", pl.DataFrame(markouts), {"markout": "ticks"})
    latency = [("feed", None, 4100.0), ("order", None, 5000.0), ("response", None, 5000.0)]
    latency += [
        ("decision", policy, 0.4 + 3.0 * (place > 3)) for place, policy in enumerate(list(POLICIES)[:-1])
    ]
    runs.write_table(
        folder / "backtest/latency.parquet",
        pl.DataFrame(
            [
                {
                    "kind": kind,
                    "policy": policy,
                    "p50": p50,
                    "p90": 1.2 * p50,
                    "p99": 2.1 * p50,
                    "maximum": 30 * p50,
                }
                for kind, policy, p50 in latency
            ]
        ),
        {"p50": "microseconds"},
    )
    runs.write_json(
        folder / "backtest/backtest.json",
        {
            "settings": {
                "decision_interval": 0.1,
                "order_latency_ms": 5.0,
                "maker_fee_bps": -0.5,
                "order_lots": 10,
            },
            "reference": REFERENCE,
            "learned": LEARNED,
            "sessions": 12,
            "session_seconds": 150.0,
            "total_pnl": {name: 12 * row[0] for name, row in POLICIES.items()},
            "run_drawdown": {name: 2.5 * row[1] for name, row in POLICIES.items()},
            "break_even_fee_bps": {
                name: None if row[0] < 0 else 0.012 * row[0] for name, row in POLICIES.items()
            },
            "orders": {name: {"submitted": 20411, "cancelled": 20100, "rejected": 3} for name in POLICIES},
            "decision_latency_us": {name: 100.0 for name in POLICIES},
            "warnings": ["white_noise was at its inventory limit for 41 % of the time."],
        },
    )


def write_run(folder: Path, seed: int = 1) -> Path:
    """Write every file of a demonstration, and return its folder."""
    rng = np.random.default_rng(seed)
    _recording(folder)
    _calibration(folder, rng)
    _learning(folder, rng)
    _evaluation(folder, rng)
    _backtest(folder, rng)
    for stage in ("calibrate", "demonstrate", "adapt", "evaluate", "backtest"):
        _finish(runs.Run(folder / stage, stage, {"paths": PATHS, "calibration": {"confidence": 0.95}}, seed))
    for method in ("flow_matching", "shortcut"):
        run = runs.Run(folder / "imitate" / method, "imitate", {"updates": 60_000}, seed)
        _finish(run, objective=method)
    return folder


def _finish(run: runs.Run, **summary: str) -> None:
    """Give a folder of loose files the manifest of a finished run."""
    loose = [path for path in run.folder.iterdir() if path.is_file()]
    work = run.begin()
    for path in loose:
        path.rename(work / path.name)
    run.finish(**summary)


if __name__ == "__main__":
    print(report.build(write_run(Path(sys.argv[1]))))
