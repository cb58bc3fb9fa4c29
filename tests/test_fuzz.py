"""A slice of `make fuzz`, the same every time: an input ends in an error of ours or in a result."""

import json
import warnings

import numpy as np
import pytest
from fuzzing import mutate
from fuzzing.targets import targets
from fuzzing.worker import Trial, packed, tried

IN_MEMORY, IN_FILES = 400, 12
TARGETS = targets()


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_no_input_of_a_slice_gets_through(target, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trial = Trial(target, None, 0, gentle=True)
    for number, files in enumerate(trial.seeds):  # what is valid is read
        for name, content in files.items():
            trial.run((number, name, content))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        failures = [
            f"{packed(given)[:300]!r}: {failure!r}"
            for given, failure in tried(trial, IN_MEMORY if target.memory else IN_FILES)
        ]
    assert failures == []


def test_every_reader_of_recordings_is_fuzzed_as_it_is_and_repaired():
    names = {target.name for target in TARGETS}
    for name in ("binance", "stream", "lobster", "bitstamp", "tardis", "declared", "npz", "ticks"):
        assert {name, f"{name}, repaired"} <= names


def test_changes_follow_from_the_seed_and_keep_the_form_mostly():
    value = json.dumps({"a": [1, 2, {"b": "c"}]}).encode()
    made = [
        [mutate.by_form("x.json")(np.random.default_rng(seed), value, [value], True) for seed in range(50)]
        for _ in range(2)
    ]
    assert made[0] == made[1]
    assert len(set(made[0])) > 25


def test_what_fails_is_noticed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bad = TARGETS[0]._replace(run=lambda content: [][len(content)])
    assert len(list(tried(Trial(bad, None, 0, gentle=True), 5))) == 5
    kept = Trial(TARGETS[1], tmp_path / "corpus", 0, gentle=True)
    assert list(tried(kept, 50)) == []
    again = Trial(TARGETS[1], tmp_path / "corpus", 1, gentle=True)
    assert len(again.inputs) > len(TARGETS[1].seeds())  # goes on from what was kept
