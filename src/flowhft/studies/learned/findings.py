"""From what the stages found to the tables of the page: wins, counts, targets, sentences."""

from collections.abc import Mapping

import polars as pl

from flowhft.studies.learned.dial import printed_reached
from flowhft.studies.learned.misses import misses_of
from flowhft.studies.learned.repeats import with_wins
from flowhft.studies.learned.sentences import sentences_of
from flowhft.studies.learned.summaries import compare_variants
from flowhft.studies.learned.targets import (
    Target,
    against_printed,
    cell_targets,
    dial_target,
    imitation_targets,
    table_of,
)
from flowhft.studies.learned.wins import counts_of, wins_of

KEPT = ("cells", "trainings", "worth", "dial", "unseen", "imitation", "studies")


def tables_of(stages: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Return the tables of the page, those of stages that are not there left out.

    Args:
        stages: tables of the finished stages, of several markets together.
    """
    tables = {name: stages[name] for name in KEPT if name in stages}
    if "trainings" in tables:
        tables["trainings"] = with_wins(tables["trainings"])
    targets: list[Target] = []
    if "cells" in stages:
        cells = stages["cells"]
        tables["wins"] = wins_of(cells, stages["margins"])
        tables["counts"] = counts_of(tables["wins"])
        learned = cells.filter(pl.col("role") == "learned")["policy"].unique(maintain_order=True).to_list()
        tables["printed"] = against_printed(cells, learned)
        tables["misses"] = misses_of(tables["wins"], cells, stages.get("dial"))
        targets += cell_targets(tables["wins"], tables["printed"])
    if "dial" in stages:
        tables["dial_printed"] = printed_reached(stages["dial"])
        targets += dial_target(tables["dial_printed"])
    if "imitation" in stages:
        targets += imitation_targets(stages["imitation"])
    if "studies" in stages:
        tables["study_summaries"] = compare_variants(stages["studies"])
    if targets:
        tables["targets"] = table_of(targets)
    return tables | {"sentences": sentences_of(tables)}
