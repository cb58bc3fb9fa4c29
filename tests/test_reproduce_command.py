"""`flowhft reproduce paper` as a command: its page, its report, interruption, refusals."""

import json
import re
import shutil
from pathlib import Path

import pytest
from program import contents, flowhft, manifest
from renderings import assert_both_say_the_same
from table_list import assert_listed

from flowhft.report.blocks import read
from flowhft.report.markdown import markdown
from flowhft.studies import effects
from flowhft.studies.effects import effects_in
from flowhft.studies.paper import CLOSED_FORMS, PPO

TINY_PPO = ("--ppo.updates", 1, "--ppo.environments", 2, "--ppo.seeds", 1, "--ppo.layers", 2)
TINY = ("--cells", "T1.LH,T2.LH", "--paths", 30)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a small reproduction, PPO included, with the page copied beside it."""
    folder = tmp_path_factory.mktemp("reproduce") / "run"
    page = folder.parent / "docs" / "page.md"
    learner = (*TINY_PPO, "--ppo.validation", 2, "--ppo.minibatches", 1, "--ppo.epochs", 1)
    said = flowhft(
        "reproduce", "paper", *TINY, *learner, "--out", folder, "--docs", page, "--json", "--quiet"
    )
    result = said.json
    assert result["folder"] == str(folder)
    assert len(result["comparison"]) == 2 * 6 * 3
    assert len(result["missed"]) == 2  # a few sessions reproduce nothing, and nobody required them to
    assert {row["policy"] for row in result["placing"]} == {*CLOSED_FORMS, PPO, "no_quote"}
    return folder


def test_the_page_is_a_whole_document_and_says_nothing_of_the_machine(finished):
    page = (finished / "reproduction.md").read_text()
    assert page == (finished.parent / "docs" / "page.md").read_text()
    for heading in (
        "# The FlowHFT paper, reproduced",
        "### Table 2: Hurst exponent 0.5, drift 0.02",
        "## Against",
    ):
        assert heading in page
    for option in ("--paths 30", "--cells T1.LH,T2.LH", "--ppo.updates 1", "--ppo.layers 2"):
        assert f" {option} " in page  # the command that is told makes this page, its agents included
    assert "| LH | GLFT-drift | 40.82 | " in page
    assert "| LH | no quote | – | 0\u00a0±\u00a00 | – | – | n/a | – | – | 0\u00a0±\u00a00 | – |" in page
    assert "T1.LH prints 25.87 where T2.LH prints 25.21" in page
    assert not re.search(r"/tmp|/home|/work|20\d\d-\d\d|\d seconds|\bNone\b|\bnan\b", page)
    for block in re.findall(r"(?:^\|.*\|\n)+", page, re.MULTILINE):
        assert len({line.count("|") for line in block.splitlines()}) == 1
    report = (finished / "report.html").read_text()
    assert 'id="reproduction"' in report
    result = read(finished)
    assert markdown(result) == page
    assert_both_say_the_same(result)
    assert assert_listed(finished) >= 6
    assert [section.key for section in result.sections][-1] == "placing"
    assert "T1.LH prints 25.87" in report


def test_a_folder_of_a_version_before_gets_its_page_by_the_same_command(finished, tmp_path):
    folder = shutil.copytree(finished, tmp_path / "run")
    (folder / "page.json").unlink()
    told = json.loads((folder / "manifest.json").read_text())
    del told["files"]["page.json"]
    (folder / "manifest.json").write_text(json.dumps(told))
    said = flowhft("report", folder)
    assert (said.code, "into the same folder: finished stages are kept" in said.err) == (3, True)
    learner = (*TINY_PPO, "--ppo.validation", 2, "--ppo.minibatches", 1, "--ppo.epochs", 1)
    assert flowhft("reproduce", "paper", *TINY, *learner, "--out", folder, "--quiet").code == 0
    for name in ("page.json", "reproduction.md", "evaluate/manifest.json"):
        assert (folder / name).read_bytes() == (finished / name).read_bytes()


def test_an_interrupted_reproduction_resumes_to_the_same_bytes(finished, tmp_path, monkeypatch):
    learner = ("--agents", finished / "ppo")
    command = ("reproduce", "paper", *TINY, *learner, "--out", tmp_path / "run", "--quiet")
    calls: list[str] = []

    def stop_at_the_second(scenario, **settings):
        calls.append(scenario.name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return effects_in(scenario, **settings)

    monkeypatch.setattr(effects, "effects_in", stop_at_the_second)
    said = flowhft(*command)
    assert said.code == 130
    assert "run the same command again to resume" in said.err
    assert not (tmp_path / "run" / "reproduction.md").exists()
    assert flowhft(*command).code == 0
    assert len(calls) == 3  # the first cell was kept, the second begun again
    parents = manifest(tmp_path / "run")["parents"]
    assert parents == {"agents": manifest(finished / "ppo")["fingerprint"]}
    for name in ("comparison", "agreement", "unexplained", "effects", "placing", "contradictions"):
        assert (tmp_path / "run" / f"{name}.parquet").read_bytes() == (
            finished / f"{name}.parquet"
        ).read_bytes()
    assert (tmp_path / "run" / "reproduction.md").read_text() == (finished / "reproduction.md").read_text()
    before = contents(tmp_path / "run")
    page = tmp_path / "again.md"
    said = flowhft(*command, "--docs", page, "--require")
    assert said.code == 4  # the same result, now with a bar
    assert "must be at most 2 %" in said.err
    assert page.read_text() == (finished / "reproduction.md").read_text()
    assert contents(tmp_path / "run") == before


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--cells", "T9.HH"), 2, "T9.HH"),
        (("--cells", "liquidity-low"), 2, "`cells` must be cells of the paper"),
        (("--cells", ","), 2, "`cells` must name at least one cell"),
        (("--paths", 1), 2, "`paths` must lie between 2 and"),
        (
            ("--without-ppo", "--agents", "nowhere"),
            2,
            "`agents` must not be given together with `--without-ppo`",
        ),
        (("--agents", "nowhere"), 3, "nowhere"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_computed(arguments, code, words, tmp_path):
    said = flowhft("reproduce", "paper", *arguments, "--out", tmp_path / "run")
    assert (said.code, words in said.err) == (code, True), said.err
    assert not (tmp_path / "run").exists()


def test_agents_of_another_command_or_kind_are_refused(finished, tmp_path):
    told = json.loads((finished / "ppo" / "manifest.json").read_text())
    told["config"]["observation"] = "regime"
    (tmp_path / "ppo").mkdir()
    (tmp_path / "ppo" / "manifest.json").write_text(json.dumps(told))
    said = flowhft("reproduce", "paper", "--agents", tmp_path / "ppo", "--out", tmp_path / "run")
    assert said.code == 2
    assert "`agents` must be trained with the observation state, as the paper's were; received" in said.err
    said = flowhft("reproduce", "paper", "--agents", finished / "evaluate", "--out", tmp_path / "run")
    assert said.code == 3
    assert "`agents` must be a run folder of `flowhft ppo`" in said.err
