"""What SCIN tables may hold that is refused, in one sentence: code, paths out of the folder, rounded ids, too much."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from scin_folder import ECZEMA, HERPES, Case, options, published, write_scin

from shared.errors import UserError
from synth.cli import cli
from synth.prepare import prepare


@pytest.fixture
def scin(tmp_path: Path) -> Path:
    return write_scin(tmp_path / "scin", published())


LABEL, WEIGHTS_CELL = "dermatologist_skin_condition_on_label_name", "weighted_skin_condition_label"
DANGER = "__import__('os').system('touch x')"
DAMAGES: dict[str, tuple[Callable[[list[Case]], object], str]] = {
    "code for weights": (lambda c: c[6].update({WEIGHTS_CELL: DANGER}), f"case 12: the cell {WEIGHTS_CELL} is not"),
    "code for names": (lambda c: c[6].update({LABEL: f"[{DANGER}]"}), f"case 12: the cell {LABEL} is not a list"),
    "code for a path": (lambda c: c[6].update(image_1_path=f"$({DANGER})"), "lacks"),
    "deep": (lambda c: c[6].update({WEIGHTS_CELL: "{" * 3000}), "is not names with weights"),
    "large": (lambda c: c[6].update({WEIGHTS_CELL: "1" * 5000}), "row 8 has a cell above 4096 bytes"),
    "huge": (lambda c: c[6].update({WEIGHTS_CELL: "1" * 200_000}), "not a CSV in UTF-8"),
    "a weight above 1": (lambda c: c[6].update({WEIGHTS_CELL: "{'Eczema': 2}"}), "has a weight above 1"),
    "up": (lambda c: c[6].update(image_1_path="dataset/../../secret.png"), "no plain path inside"),
    "absolute": (lambda c: c[6].update(image_1_path="/etc/passwd"), "no plain path inside"),
    "a share": (lambda c: c[6].update(image_1_path="\\\\host\\x.png"), "no plain path inside"),
    "a drive": (lambda c: c[6].update(image_1_path="C:x.png"), "no plain path inside"),
    "a long path": (lambda c: c[6].update(image_1_path="a" * 300), "no plain path inside"),
    "rounded": (lambda c: c[6].update(case_id="-5.15644E+18"), "case_id -5.15644E+18 was rounded, as spreadsheets do"),
    "a number": (lambda c: c[6].update(case_id="12.0"), "case_id 12.0 was rounded"),
    "double": (lambda c: c[6].update(case_id="11"), "case_id 11 is double"),
    "no case id": (lambda c: c[6].update(case_id=" "), "a row has no case_id"),
    "a flag": (lambda c: c[6].update(body_parts_arm="perhaps"), "case 12: the cell body_parts_arm is 'perhaps'"),
    "a long value": (lambda c: c[6].update(sex_at_birth="x" * 300), "case 12: the cell sex_at_birth is too long"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_tables(damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    change, sentence = DAMAGES[damage]
    cases = published()
    change(cases)
    folder = write_scin(tmp_path / "scin", cases)
    arguments = ["--scin", str(folder), "--condition", HERPES, "--size", "16", "--folds", "2", "--out", "c.h5"]
    result = CliRunner().invoke(cli, ["prepare", *arguments])
    assert sentence in result.stderr
    if damage == "code for a path":  # a name of no file, which is told
        assert result.exit_code == 0
    else:
        assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
        assert result.stderr.endswith(".\n")
        assert not Path("c.h5").exists()
    assert {path.name for path in tmp_path.iterdir()} <= {"scin", "c.h5"}


@pytest.mark.parametrize(
    "column", ["case_id", "image_1_path", WEIGHTS_CELL, LABEL, "dermatologist_gradable_for_skin_condition_1"]
)
def test_a_missing_column(tmp_path: Path, column: str) -> None:
    folder = write_scin(tmp_path / "scin", published(), without=column)
    with pytest.raises(UserError, match=f"has no column {column}; give the table as it was published"):
        prepare(options(folder))


@pytest.mark.parametrize("target", ["outside.png", "circle.png"])
def test_a_link_out_of_the_folder(scin: Path, target: str) -> None:
    image = scin / "dataset/images/12.png"
    shutil.copy(image, scin.parent / "outside.png")
    image.unlink()
    (scin / "dataset/images/circle.png").symlink_to(image)
    image.symlink_to(
        os.path.relpath(scin.parent / target if target == "outside.png" else image.parent / target, image.parent)
    )
    with pytest.raises(UserError, match=r"'dataset/images/12\.png', which is no plain path inside the folder"):
        prepare(options(scin))


REFUSED: dict[str, tuple[dict[str, object], str]] = {
    "no condition": ({"condition": None}, "--condition: missing; name the disease as `synth prepare --list-conditions"),
    "unknown": ({"condition": "Gout"}, r"--condition Gout: no case has a weight for it; give a name that"),
    "no name": ({"condition": ""}, r"no case has a weight for it"),
    "near": ({"condition": "eczema herpeticum"}, r"near to it are Eczema \(9\), Herpes Simplex \(6\) cases"),
    "unknown negative": ({"negative_condition": ("Tinae",)}, r"--negative-condition Tinae: .* Tinea \(2\) cases"),
    "the same": ({"negative_condition": ("herpes simplex",)}, "the same as --condition"),
    "no weight": ({"min_weight": 0.0}, "--min-weight 0: out of range"),
    "not a number": ({"min_weight": float("nan")}, "--min-weight nan: out of range"),
    "more than all": ({"min_weight": 1.01}, "--min-weight 1.01: out of range"),
    "too much": ({"min_weight": 0.9}, r"no usable case has so much of Herpes Simplex, whose largest weight is 0.8"),
    "no negatives": ({"condition": ECZEMA, "negative_condition": (HERPES,)}, "no usable case is without Eczema"),
    "folders": ({"positive": (Path(),)}, "--scin: has its own images, classes and cases, so it takes no --positive"),
    "two folders": ({"negative": (Path(),), "csv": Path("t.csv")}, "it takes no --negative, no --csv; give one or"),
    "the phantom": ({"phantom": True}, "--phantom: renders its own images, so it takes no --scin"),
    "a condition of folders": ({"scin": None}, "--condition: says what is taken of a SCIN folder"),
    "a weight of folders": ({"scin": None, "condition": None, "phantom": True, "min_weight": 0.4}, "--min-weight: "),
    "nothing there": ({"scin": Path("nowhere")}, "scin_cases.csv and scin_labels.csv are neither there nor in "),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_done_is_one_sentence(name: str, scin: Path) -> None:
    change, sentence = REFUSED[name]
    with pytest.raises(UserError, match=sentence) as caught:
        prepare(options(scin, **change))
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)
    assert not (scin.parent / "c.h5").exists()


def test_a_name_of_the_labelling_tool_is_told_what_it_became(tmp_path: Path) -> None:
    cases = published()
    for each in cases[:2]:
        each[LABEL] = repr(["Kaposi's varicelliform eruption"])
    with pytest.raises(
        UserError, match=r"dermatologists wrote it of 2 cases, whose weights are of Herpes Simplex \(2\)"
    ):
        prepare(options(write_scin(tmp_path / "scin", cases), condition="kaposi's varicelliform eruption"))


def test_a_condition_whose_images_say_nothing(tmp_path: Path) -> None:
    """Case 24 of `published` alone has it."""
    cases = published()
    cases[-1]["weighted_skin_condition_label"] = repr({"Gout": 1.0})
    with pytest.raises(UserError, match="--condition Gout: the images of all its cases were found insufficient"):
        prepare(options(write_scin(tmp_path / "scin", cases), condition="gout"))


def test_tables_of_different_releases(scin: Path, tmp_path: Path) -> None:
    other = write_scin(tmp_path / "other", [each | {"case_id": f"{each['case_id']}0"} for each in published()])
    shutil.copy(other / "dataset/scin_labels.csv", scin / "dataset")
    with pytest.raises(UserError, match="have no case in common"):
        prepare(options(scin))


def test_no_images_at_all(scin: Path) -> None:
    shutil.rmtree(scin / "dataset" / "images")
    with pytest.raises(UserError, match="none of the 17 images that its tables name is there; download dataset/images"):
        prepare(options(scin))


def test_too_many_bytes_of_images(scin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synth.cohorts.photographs.MAX_BYTES", 17 * 3 * (16**2 + 64**2) - 1)
    with pytest.raises(UserError, match="--size 16: 17 images of this size take"):
        prepare(options(scin))


def test_tables_of_bounded_size(scin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synth.cohorts.scin_tables.MAX_CONDITIONS", 2)
    with pytest.raises(UserError, match="more than 2 conditions"):
        prepare(options(scin))
    monkeypatch.setattr("synth.cohorts.scin_tables.MAX_CASES", 13)
    with pytest.raises(UserError, match="more than 13 rows"):
        prepare(options(scin))
    monkeypatch.setattr("synth.cohorts.scin_tables.MAX_BYTES", 1000)
    with pytest.raises(UserError, match="more than 1000 bytes"):
        prepare(options(scin))
