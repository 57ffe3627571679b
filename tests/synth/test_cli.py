"""The command line: whatever is wrong with the input is one sentence on standard error and exit code 2."""

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


@pytest.mark.parametrize("damage", ["truncated", "one byte", "other format"])
def test_damaged_cohorts(tmp_path: Path, cohort_path: Path, damage: str) -> None:
    content = bytearray(cohort_path.read_bytes())
    if damage == "truncated":
        content = content[:-1000]
    elif damage == "one byte":
        content[len(content) // 2] ^= 1
    else:
        content = bytearray(b"\x89HDF\r\n\x1a\n" + bytes(1000))
    path = tmp_path / "damaged.h5"
    path.write_bytes(bytes(content))
    assert_refused(_run("train", path, "--out", tmp_path / "run"), "damaged.h5")
    assert not (tmp_path / "run").exists()


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


def test_an_existing_output_needs_force(tmp_path: Path) -> None:
    out = tmp_path / "cohort.h5"
    out.write_text("precious")
    assert_refused(_run("prepare", "--phantom", "--size", "32", "--out", out), "--force")
    assert out.read_text() == "precious"


def test_version() -> None:
    result = _run("--version")
    assert result.exit_code == 0
    assert result.output.startswith("synth, version ")
