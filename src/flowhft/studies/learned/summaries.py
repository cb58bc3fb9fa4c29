"""Studies in summary: what the seeds of a variant have in common, against its teacher."""

from typing import Any

import numpy as np
import polars as pl

from flowhft.studies.learned.wins import THREE

SAMPLER = ("steps", "execute", "noise_scale", "noise")


def seeds_of(rows: pl.DataFrame, metric: str) -> np.ndarray:
    """Return the mean over cells of a metric, one number a seed, in the order of the seeds.

    Args:
        rows: of one variant and sampler.
        metric: column.
    """
    return rows.group_by("seed").agg(pl.col(metric).mean()).sort("seed")[metric].to_numpy()


def relative_of(rows: pl.DataFrame, metric: str) -> np.ndarray:
    """Return how far a metric is from the teacher's, relative, mean over cells: one number a seed.

    Args:
        rows: of one variant and sampler.
        metric: of the paper's three.
    """
    teacher = pl.col(f"teacher_{metric}")
    share = rows.with_columns(share=(pl.col(metric) - teacher) / teacher.abs())
    return seeds_of(share, "share")


def against(studies: pl.DataFrame, study: str) -> dict[str, dict[str, Any]]:
    """Return for every variant of a study how far it is from its teacher, mean over cells and seeds.

    Args:
        studies: all rows.
        study: which.
    """
    result = {}
    for (variant,), rows in studies.filter(pl.col("study") == study).group_by("variant", maintain_order=True):
        result[str(variant)] = {metric: float(np.mean(relative_of(rows, metric))) for metric in THREE}
        result[str(variant)]["seeds"] = rows["seed"].n_unique()
    return result


def compare_variants(studies: pl.DataFrame) -> pl.DataFrame:
    """Return one row per study, variant and sampler: means over seeds of the metrics, and their spread.

    Args:
        studies: all rows.

    Returns:
        Columns study, variant, instructors, steps, execute, noise_scale, noise, seeds; for each of the three
        metrics and the utility M (mean over cells and seeds), M_spread (standard deviation over seeds of the
        mean over cells); M_share for the three: relative to the teacher.
    """
    rows = []
    keys = ["study", "variant", "instructors", "horizon", *SAMPLER]
    for key, result in studies.group_by(keys, maintain_order=True):
        row: dict[str, Any] = dict(zip(keys, key, strict=True))
        row["seeds"] = result["seed"].n_unique()
        times = result["latency_us"].drop_nulls().to_list() if "latency_us" in result.columns else []
        row["latency_us"] = times[0] if times else None
        for metric in (*THREE, "utility"):
            values = seeds_of(result, metric)
            row[metric] = float(np.mean(values))
            row[f"{metric}_spread"] = float(np.std(values, ddof=1)) if len(values) > 1 else None
        for metric in THREE:
            row[f"{metric}_share"] = float(np.mean(relative_of(result, metric)))
        rows.append(row)
    return pl.DataFrame(rows, infer_schema_length=None)
