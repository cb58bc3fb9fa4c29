"""Errors: one tree, one exit code each, and messages that say the rule, the value and the way out."""

from pathlib import Path

import pytest

from flowhft.errors import (
    BarMissedError,
    DataError,
    FlowhftError,
    MissingExtraError,
    RecordingError,
    UnknownNameError,
    UsageError,
    require,
)


def test_every_error_has_its_exit_code():
    codes = {
        FlowhftError: 1,
        UsageError: 2,
        UnknownNameError: 2,
        MissingExtraError: 2,
        DataError: 3,
        RecordingError: 3,
        BarMissedError: 4,
    }
    assert {kind: kind.exit_code for kind in codes} == codes
    assert all(issubclass(kind, FlowhftError) for kind in codes)
    assert issubclass(RecordingError, DataError)


def test_an_unknown_name_is_answered_with_the_nearest():
    error = UnknownNameError("expert", "avellanda", ["glft", "avellaneda_stoikov"], "See `flowhft --help`.")
    assert (
        str(error) == "unknown expert 'avellanda'; did you mean 'avellaneda_stoikov'? See `flowhft --help`."
    )


def test_an_unknown_name_without_a_near_one_is_answered_with_all_of_them():
    error = UnknownNameError("expert", "xyz", iter(["oracle", "glft"]))
    assert str(error) == "unknown expert 'xyz'; it must be one of glft, oracle."


def test_a_missing_extra_is_answered_with_the_command_that_installs_it():
    error = MissingExtraError("hftbacktest", "replay")
    assert str(error) == "`hftbacktest` must be installed for this; run: pip install 'flowhft[replay]'."


def test_a_fault_in_a_recording_names_file_and_row():
    error = RecordingError("`price` must be positive; received -3. Drop it.", "a/btc.parquet", row=1_204_551)
    assert str(error) == "row 1,204,551 of `a/btc.parquet`: `price` must be positive; received -3. Drop it."
    assert (error.path, error.row) == (Path("a/btc.parquet"), 1_204_551)
    assert str(RecordingError("is empty.", Path("x"), row=0)).startswith("row 0 of `x`: ")
    assert str(RecordingError("is empty.", "x")) == "`x`: is empty."


def test_require_speaks_only_when_the_rule_is_broken():
    require(True, "hurst_exponent", "lie between 0 and 1", 0.5)
    with pytest.raises(
        UsageError, match=r"^`hurst_exponent` must lie between 0 and 1; received 1\.5\. Lower it\.$"
    ):
        require(False, "hurst_exponent", "lie between 0 and 1", 1.5, "Lower it.")
    with pytest.raises(UsageError, match=r"^`steps` must be at least 1; received 0\.$"):
        require(False, "steps", "be at least 1", 0)
