"""The command line: whatever is wrong with the input is one sentence on standard error and exit code 2."""

import re
from importlib import metadata
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from shared.cohort import Cohort
from synth.cli import cli


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(each) for each in arguments])


def assert_refused(result: Result, *named: str) -> None:
    assert result.exit_code == 2, result.output
    (sentence,) = result.stderr.strip().splitlines()
    assert sentence.startswith("error: ")
    assert sentence.endswith(".")
    for word in named:
        assert word in sentence


@pytest.fixture
def cohort_path(cohort: Cohort) -> Path:
    assert cohort.path is not None
    return cohort.path


def test_no_such_cohort(tmp_path: Path) -> None:
    assert_refused(_run("train", tmp_path / "missing.h5", "--out", tmp_path / "run"), "missing.h5", "no such file")
    assert not (tmp_path / "run").exists()


def test_a_folder_where_a_file_is_expected(tmp_path: Path) -> None:
    assert_refused(_run("train", tmp_path, "--out", tmp_path / "run"), str(tmp_path))


def test_a_file_where_a_folder_is_expected(tmp_path: Path, cohort_path: Path) -> None:
    assert_refused(
        _run("prepare", "--positive", cohort_path, "--negative", tmp_path, "--out", tmp_path / "c.h5"), "--positive"
    )
    assert_refused(_run("train", cohort_path, "--out", cohort_path), "--out")


@pytest.mark.parametrize("name", ["prepare", "train", "generate", "select"])
def test_every_command_has_help(name: str) -> None:
    result = _run(name, "--help")
    assert result.exit_code == 0
    assert "--out" in result.output


DAMAGES = {
    "truncated": (lambda content: content[:-1000], "truncated"),
    "one byte": (lambda content: content[:-500] + bytes([content[-500] ^ 1]) + content[-499:], "damaged"),
    "another format": (lambda _: b"\x89HDF\r\n\x1a\n" + bytes(1000), "not one of Rarescreen's"),
    "newer": (lambda content: re.sub(rb"/1 sha256:", b"/9 sha256:", content, count=1), "version 9"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_cohorts_and_candidates(tmp_path: Path, cohort_path: Path, run_folder: Path, damage: str) -> None:
    candidates = tmp_path / "candidates.h5"
    assert _run("generate", run_folder, "--count", 4, "--out", candidates).exit_code == 0
    change, named = DAMAGES[damage]
    damaged = tmp_path / "damaged.h5"

    damaged.write_bytes(change(cohort_path.read_bytes()))
    assert_refused(_run("train", damaged, "--out", tmp_path / "run"), "damaged.h5", named)
    assert not (tmp_path / "run").exists()

    damaged.write_bytes(change(candidates.read_bytes()))
    bundle = tmp_path / "bundle.h5"
    arguments = ("--cohort", cohort_path, "--network", run_folder, "--features", "offline", "--out", bundle)
    assert_refused(_run("select", damaged, *arguments), "damaged.h5", named)
    assert not list(tmp_path.glob("bundle*"))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--fold", "3"], "--fold 3"),
        (["--fold", "one"], "--fold one"),
        (["--gamma", "-1"], "--gamma -1"),
        (["--gamma", "much"], "--gamma"),
        (["--target", "1.5"], "--target 1.5"),
        (["--lr", "0"], "--lr 0"),
        (["--kimg", "0"], "--kimg 0"),
        (["--cfg", "huge"], "--cfg huge"),
        (["--cells", "nowhere.toml"], "--cells nowhere.toml"),
        (["--cells", "demo", "--gamma", "1"], "--gamma"),
        (["--start", "nowhere"], "nowhere"),
        (["--augpipe", "all"], "--augpipe all"),
        (["--device", "abacus"], "--device abacus"),
        (["--checkpoint-every", "often"], "--checkpoint-every often"),
        (["--max-p", "9"], "--max-p 9"),
        (["--surprise"], "--surprise"),
    ],
)
def test_train_options(tmp_path: Path, cohort_path: Path, arguments: list[str], named: str) -> None:
    result = _run("train", cohort_path, "--out", tmp_path / "run", "--offline", "--features", "offline", *arguments)
    assert_refused(result, named)
    assert not (tmp_path / "run").exists()


def test_out_is_needed(cohort_path: Path) -> None:
    assert_refused(_run("train", cohort_path), "--out")
    assert_refused(
        _run("train", cohort_path, "--out", "run.h5"), "run.h5: a file's name, and a folder is to be written"
    )
    wrong = _run("export", "phantom-skin-32", "--out", "n.txt")
    assert_refused(wrong, "--out n.txt: a network is written as .safetensors; give a name that ends so")


def test_an_existing_output_needs_force(tmp_path: Path) -> None:
    out = tmp_path / "cohort.h5"
    out.write_text("precious")
    assert_refused(_run("prepare", "--phantom", "--size", "32", "--out", out), "--force")
    assert out.read_text() == "precious"


def test_version() -> None:
    result = _run("--version")
    assert result.exit_code == 0
    assert result.output == f"synth {metadata.version('rarescreen')}\n"
