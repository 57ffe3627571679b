"""The command line as a user meets it: every mistake is exit code 2 and one sentence."""

import json
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from recorded import record

from classify.cli import cli
from classify.table2.figures import CAPTIONS
from shared.cohort import Cohort
from shared.records import append_record


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, list(map(str, arguments)))


def refused(result: Result) -> str:
    """Return the one sentence of a command that ended with exit code 2."""
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    lines = [line for line in result.stderr.splitlines() if not line.startswith("note: ")]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    assert lines[0].endswith(".")
    return lines[0]


@pytest.fixture
def place(tmp_path: Path, cohort: Cohort, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder with a cohort in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cohort.h5").write_bytes(Path(cohort.path).read_bytes())
    return tmp_path


FIT = ("fit", "cohort.h5", "--out", "m", "--device", "cpu")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("fit", "none.h5", "--out", "m"), "none.h5: no such file"),
        (("fit", ".", "--out", "m"), ".: a folder, where the cohort must be a file"),
        (("fit", "cohort.h5", "--out", "m.onnx"), "m.onnx: a file's name, and a folder is to be written"),
        (("export", "m", "--out", "m.zip"), "m: no such folder"),
        (("fit", "cohort.h5"), "Missing option '--out'; see `classify fit --help`"),
        (("fit",), "Missing argument 'COHORT'"),
        (("fit", "cohort.h5", "--out", "m", "--layers", "3"), "No such option"),
        (
            (*FIT, "--depth", "8"),
            "cohort.h5: its images have 32 px, which custom_cnn cannot take; give other images, or --image-size "
            "(image_size in a preset), a multiple of 128",
        ),
        (("frobnicate",), "No such command 'frobnicate'"),
        ((*FIT, "--ratio", "1:0"), "--ratio 1:0: not a ratio"),
        ((*FIT, "--ratio", "2"), "--ratio 2: not a ratio"),
        ((*FIT, "--ratio", "1:5"), "--bundle: missing"),
        ((*FIT, "--fold", "3"), "--fold 3: out of range"),
        ((*FIT, "--fold", "-1"), "--fold -1: out of range"),
        ((*FIT, "--fold", "first"), "Invalid value for '--fold': 'first' is neither a number nor all"),
        ((*FIT, "--fold", "9" * 5000), "Invalid value for '--fold': '999999999…' is neither a number nor all"),
        ((*FIT, "--model", "alexnet"), "--model alexnet: no such model"),
        ((*FIT, "--protocol", "loose"), "Invalid value for '--protocol': 'loose' is not one of 'strict', 'paper'"),
        ((*FIT, "--optimizer", "adagrad"), "--optimizer adagrad: not known"),
        ((*FIT, "--optimizer", ""), "--optimizer : not known; give one of adam"),
        ((*FIT, "--synthetic", "both"), "--synthetic both: --ratio none has no synthetic images"),
        ((*FIT, "--synthetic", "neither"), "--synthetic neither: not known; give one of positive, both"),
        (
            (*FIT, "--ratio", "1:2", "--control", "oversampling", "--synthetic", "both"),
            "--synthetic both: --control oversampling has no synthetic images in any class; leave one of them out",
        ),
        ((*FIT, "--cache", "cohort.h5"), "--cache cohort.h5: "),
        ((*FIT, "--cache", "cohort.h5/x"), "--cache cohort.h5/x: "),
        ((*FIT, "--control", "epochs"), "--control epochs: stands in the place of the synthetic images"),
        ((*FIT, "--control", "prayer", "--ratio", "1:2"), "--control prayer: not known"),
        ((*FIT, "--head", "many"), "Invalid value for '--head'"),
        ((*FIT, "--epochs", "0"), "--epochs 0: too few"),
        ((*FIT, "--epochs", "many"), "Invalid value for '--epochs'"),
        ((*FIT, "--lr", "-1"), "--lr -1: not a positive number"),
        ((*FIT, "--image-size", "100"), "--image-size 100: custom_cnn cannot take it"),
        ((*FIT, "--unfreeze", "99"), "--unfreeze 99: custom_cnn has 12 modules"),
        ((*FIT, "--device", "abacus"), "--device abacus: no such device"),
        ((*FIT, "--bundle", "none.h5"), "none.h5: no such file"),
        ((*FIT, "--bundle", "cohort.h5", "--ratio", "1:5"), "cohort.h5: "),
        (("evaluate", "m", "--cohort", "cohort.h5", "--records", "r"), "m: no such folder; the model must be one"),
        (("evaluate", "cohort.h5", "--cohort", "cohort.h5", "--records", "r"), "cohort.h5: holds no model"),
        (("table", "none.jsonl", "--out", "t.md"), "none.jsonl: no such file"),
        (("table", "cohort.h5", "--out", "t.md"), "cohort.h5: not a records file"),
        (("table", "--out", "t.md"), "Missing argument 'RECORDS...'"),
        (("table", "cohort.h5", "--out", "t.md", "--prevalence", "3"), "--prevalence 3: not a share"),
        (("table", "cohort.h5", "--out", "t.md", "--sensitivity", "0"), "--sensitivity 0: not a share"),
        (
            ("table", "none.jsonl", "--out", "t.md", "--least", "-5"),
            "Invalid value for '--least': -5 is not in the range",
        ),
        (("table", "cohort.h5", "--out", "t.txt"), "--out t.txt: not a Markdown file"),
        (
            ("study", "cohort.h5", "--preset", "best", "--out", "m", "--records", "r", "--table", "t.md"),
            "--preset best: no such preset",
        ),
        (
            ("study", "cohort.h5", "--preset", "none.toml", "--out", "m", "--records", "r", "--table", "t.md"),
            "none.toml: no such file",
        ),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_is_written(
    place: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    assert f"error: {sentence}" in refused(run(*arguments))
    assert [path.name for path in place.iterdir()] == ["cohort.h5"]


def test_more_synthetic_images_than_the_bundle_holds(
    place: Path, cohort: Cohort, bundle_file: Callable[..., Path]
) -> None:
    bundle_file(cohort, count=3)
    sentence = refused(run(*FIT, "--bundle", "bundle.h5", "--ratio", "1:1"))
    assert "holds 3, so 15 are missing" in sentence


@pytest.mark.parametrize("damage", ["truncated", "damaged", "a newer version"])
def test_a_cohort_that_is_not_whole(place: Path, damage: str) -> None:
    path = place / "cohort.h5"
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        content = content[:-7]
    elif damage == "damaged":
        content[len(content) // 2] ^= 1
    else:
        content[: content.index(b"/1 ") + 3] = b"rarescreen-cohort/2 "
    path.write_bytes(content)
    sentence = refused(run(*FIT))
    assert ("version 2" if damage == "a newer version" else damage) in sentence


def test_a_table_stands_with_its_pictures_beside_it_and_says_what_it_shows(place: Path) -> None:
    for each in (record(), record((94, 95), ratio="1:2")):
        append_record(place / "r.jsonl", each)
    command = ("table", "r.jsonl", "--out", "made/t.md", "--prevalence", "0.1", "--prevalence", "0.2")
    made = run(*command)
    assert made.exit_code == 0, made.stderr
    pictures = {f"t_{name}.png" for name in CAPTIONS}
    assert {path.name for path in (place / "made").iterdir()} == {"t.md", "t.json", *pictures}
    document = json.loads((place / "made" / "t.json").read_text())
    assert document["operating"] == {"sensitivity": 0.95, "prevalence": [0.1, 0.2]}
    said = " ".join(made.stderr.split())
    assert all(sentence in said for sentence in document["sentences"])
    assert "| Precision at 10 % | Precision at 20 % |" in (place / "made" / "t.md").read_text()
    assert "made/t.md: exists already; give --force" in refused(run(*command))
    assert run(*command, "--force").exit_code == 0


def test_help_tells_every_command_and_version_the_version() -> None:
    shown = run("--help")
    assert shown.exit_code == 0
    assert all(name in shown.output for name in ("evaluate", "fit", "study", "table"))
    for name in cli.list_commands(click.Context(cli)):
        assert run(name, "--help").exit_code == 0
    assert run("--version").output == f"classify {metadata.version('rarescreen')}\n"
    alone = run()
    assert alone.exit_code == 2
    assert "Usage: " in alone.stderr


def test_a_real_process_ends_with_code_2_and_no_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from classify.cli import cli; cli(prog_name='classify')", "fit", "none.h5"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "error: none.h5: no such file; the cohort must be an existing file.\n"


PRESET = """
format = "rarescreen-table2"
version = 1
cells = [
    { model = "efficientnet_lite0", ratio = "none", fold = "all", epochs = 1, image_size = 32 },
    { model = "efficientnet_lite0", ratio = "1:5", fold = 0, epochs = 1, image_size = 32 },
]
"""


def test_a_study_makes_table_2_and_does_again_only_what_is_stale(
    place: Path, cohort: Cohort, bundle_file: Callable[..., Path]
) -> None:
    bundle_file(cohort)
    (place / "mine.toml").write_text(PRESET)
    command = ("study", "cohort.h5", "--preset", "mine.toml", "--bundle", "bundle.h5", "--out", "models")
    command += ("--records", "r.jsonl", "--table", "t.md", "--device", "cpu", "--offline")
    first = run(*command)
    assert first.exit_code == 0, first.stderr
    models = [f"none/fold{fold}" for fold in range(cohort.folds)] + ["1to5/fold0"]
    tensors = [place / "models" / "efficientnet_lite0" / name / "model.safetensors" for name in models]
    kept = [path.read_bytes() for path in tensors]
    rows = json.loads((place / "t.json").read_text())["rows"]
    assert [(row["key"]["ratio"], row["balanced"]["folds"], row["external"]["n"]) for row in rows] == [
        ("none", [0, 1, 2], 4),  # every fold's model judges the same images
        ("1:5", [0], 4),
    ]
    assert {row["external"]["left_out"] for row in rows} == {1}
    records = (place / "r.jsonl").read_text().splitlines()
    (place / "r.jsonl").write_text("\n".join(records[:-1]) + "\n")  # the last evaluation is lost
    second = run(*command)
    assert second.exit_code == 0, second.stderr
    assert second.stderr.count("done before") == 1
    assert [path.read_bytes() for path in tensors] == kept
    again = (place / "r.jsonl").read_text().splitlines()
    assert again[:-1] == records[:-1]
    assert json.loads(again[-1])["confusion"] == json.loads(records[-1])["confusion"]


def test_a_study_that_cannot_end_does_not_begin(place: Path, cohort: Cohort, bundle_file: Callable[..., Path]) -> None:
    bundle_file(cohort, count=3)
    (place / "mine.toml").write_text(PRESET.replace("1:5", "1:1"))
    command = ("study", "cohort.h5", "--preset", "mine.toml", "--bundle", "bundle.h5", "--out", "models")
    assert "are missing" in refused(run(*command, "--records", "r.jsonl", "--table", "t.md"))
    assert not (place / "models").exists()
