"""Text of somebody else: TOML and JSON within bounds, names that a terminal and a file system can bear."""

import json

import pytest
from program import flowhft

from flowhft.errors import UsageError
from flowhft.policies.names import find_policy
from flowhft.runs import foreign
from flowhft.runs.labels import escaped, fault_of, require_name, shown
from flowhft.scenarios.scenario import Scenario
from flowhft.stages.policies import load_policy

DEEP = "nested deeper than 64 levels"
LONG = "it holds a number of thousands of digits"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x = " + "[" * 5000 + "]" * 5000, DEEP),
        ("x = " + "{a = " * 3000 + "1" + "}" * 3000, DEEP),
        (".".join("a" * 70) + " = 1", DEEP),
        ("[" + ".".join("a" * 70) + "]\nb = 1", DEEP),
        (".".join(['"a b"'] * 100_000) + " = 1", DEEP),
        ("x = 1" + "0" * 400, "a whole number of 1329 bits, more than 64"),
        ("x = 0x" + "f" * 100, "a whole number of 400 bits"),
        ("x = " + "1" * 5000, LONG),
        ("x = 1e999", "the number 1e999, which is too large for float64"),
        ("x = 'a", "Expected"),
        ("x = 1\nx = 2", "overwrite"),
        ("\x00", "Invalid"),
        ("# " + "x" * foreign.LONGEST_TOML, "it has more than 4,194,304 bytes"),
    ],
)
def test_toml_that_the_standard_library_chokes_on_is_refused_in_a_sentence(text, why):
    with pytest.raises(ValueError, match=why):
        foreign.toml(text.encode())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[" * 100_000, DEEP),
        ('{"a":' * 100_000, DEEP),
        ("[" * 70 + "]" * 70, DEEP),
        ("[1e999]", "the number 1e999"),
        ("[NaN]", "it holds NaN, which is no JSON"),
        ("[-Infinity]", "it holds -Infinity"),
        ('{"a": 1, "b": 2, "a": 3}', "it holds the key 'a' twice"),
        ("[" + "1" * 5000 + "]", LONG),
        ("[18446744073709551616]", "a whole number of 65 bits"),
        ("", "Expecting value"),
        ("[1] [2]", "Extra data"),
    ],
)
def test_json_that_is_none_of_ours_is_refused_in_a_sentence(text, why):
    with pytest.raises(ValueError, match=why):
        foreign.json_of(text)


def test_bytes_that_are_no_utf8_are_a_value_error_too():
    for read in (foreign.toml, foreign.json_of):
        with pytest.raises(ValueError, match="utf-8"):
            read(b"\xff\xfe\x00")


def test_what_is_sound_comes_back_as_it_is():
    assert foreign.json_of("[18446744073709551615, -9223372036854775808, 1.5, null, true]")[0] == 2**64 - 1
    assert foreign.json_of("[" * 64 + "]" * 64)
    read = foreign.toml(
        b'a.b = 1_000\nc = [inf, -inf, 1_0.5e-3]\n"d.e" = "x.y.z"\r\nf = 2024-07-18T00:00:00Z'
    )
    assert (read["a"], read["c"], read["d.e"]) == (
        {"b": 1000},
        [float("inf"), float("-inf"), 0.0105],
        "x.y.z",
    )
    assert foreign.toml("note = '" + "a." * 100 + "'")["note"].startswith(
        "a."
    )  # dots in a text are no levels


def test_no_more_of_a_long_file_is_read_than_tells_so(tmp_path):
    path = tmp_path / "long.json"
    path.write_text("[" + " " * 100 + "]")
    with pytest.raises(ValueError, match="it has more than 50 bytes"):
        foreign.json_in(path, 50)


# --- names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("", "not be empty"),
        (" ", "not be empty"),
        ("x" * 101, "have at most 100 letters"),
        ("\x1b[2J\x1b]0;pwned\x07", "be printable, without control characters and line breaks"),
        ("a\nb", "be printable"),
        ("a\u202eb", "be printable"),  # from here on a terminal writes from right to left
        ("\ud800", "be printable"),
    ],
)
def test_a_name_that_a_terminal_would_obey_or_a_table_cannot_bear_is_refused(name, rule):
    assert fault_of(name).startswith(rule)
    with pytest.raises(UsageError, match=rule) as refusal:
        Scenario(name)
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 400


@pytest.mark.parametrize("label", ["../../up", "a/b", "a\\b", "..", "\x1b[2J", "x" * 101, "a\nb"])
def test_a_label_that_is_no_plain_name_is_refused_where_it_is_read(label):
    for find in (lambda: find_policy(f"{label}=glft"), lambda: load_policy("glft", label)):
        with pytest.raises(UsageError, match=r"`label` must .*\[of a policy\]"):
            find()


@pytest.mark.parametrize("label", ["calm", "volatility x0.5, demand x2", "große", "a=b@c"])
def test_a_plain_label_stays(label):
    assert find_policy(f"{label}=glft").name == label
    require_name("label", label, path=True)


def test_a_label_from_a_folder_is_asked_for_another_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = "def quote(observation):\n    return 1.0, 1.0\n"
    (tmp_path / "mine.py").write_text(code)
    said = flowhft("evaluate", "--policies", "a/b=mine.py:quote", "--scenarios", "T1.LL", "--paths", 8)
    assert (said.code, said.err.count("Write label=path.")) == (2, 1)


def test_what_is_printed_is_escaped_and_what_is_printable_is_not_touched():
    assert escaped("große \u00b5 ± →") == "große \u00b5 ± →"
    assert escaped("a\x1b[2J\x07\x7f\u202e\n") == "a\\x1b[2J\\x07\\x7f\\u202e\\n"
    assert escaped("a\nb", "\n") == "a\nb"
    assert escaped("\ud800") == "\\ud800"
    assert len(shown("y" * 10_000)) < 300


def test_a_command_prints_no_control_character_of_a_file(tmp_path):
    path = tmp_path / "evil.toml"
    path.write_text('name = "\\u001b[2J\\u001b]0;pwned\\u0007evil"')
    said = flowhft("scenarios", path)
    assert said.code == 2
    assert "\x1b" not in said.out + said.err
    assert "received '\\x1b[2J" in said.err
    path.write_text('scenarios = "\\u001b[2J"\npolicies = "glft"')
    said = flowhft("evaluate", "--config", path)
    assert said.code == 2
    assert "`scenarios` must be text without control characters and line breaks" in said.err
    run = tmp_path / "run"
    run.mkdir()
    values = {"command": "\x1b[2J", "fingerprint": "\x07", "config": {"a\nb": 1}, "summary": {}, "files": {}}
    (run / "manifest.json").write_text(json.dumps(values))
    said = flowhft("info", run)
    assert said.code == 0
    assert not set("\x1b\x07") & set(said.out)
    assert "\\x1b[2J" in said.out
    assert "config.a\\nb" in said.out


@pytest.mark.parametrize("word", ["9" * 5000, str(2**64), "1" + "0" * 400])
def test_a_number_of_the_command_line_that_no_run_can_hold_is_refused(word):
    said = flowhft("evaluate", "--policies", "glft", "--scenarios", "T1.LL", "--paths", word)
    assert said.code == 2
    assert "must be a whole number" in said.err
    assert len(said.err) < 500


@pytest.mark.parametrize("text", ["x = " + "[" * 5000, "volatility = 1" + "0" * 400, "v = " + "1" * 5000])
def test_commands_name_the_file_that_they_cannot_read(tmp_path, text):
    path = tmp_path / "bad.toml"
    path.write_text('name = "x"\n' + text)
    for arguments in (("scenarios", path), ("evaluate", "--config", path)):
        said = flowhft(*arguments)
        assert said.code == 3
        assert f"`{path}` must be TOML; it" in said.err
