"""SCIN as it is published becomes a cohort: who is positive, who is negative, who is left out, and what is refused."""

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from scin_folder import INSUFFICIENT, SUFFICIENT, Case, case, write_scin

from shared.cohort import Cohort, read_cohort
from shared.errors import UserError
from shared.images import image_id, read_photo
from synth.cli import cli
from synth.prepare import prepare
from synth.prepare_options import MIN_WEIGHT, PrepareOptions
from synth.scin import Sides
from synth.scin_tables import Case as ReadCase
from synth.scin_tables import read_scin

LARGE = -5156441036700827606  # a published case id: no floating point number is equal to it
HERPES, ECZEMA = "Herpes Simplex", "Eczema"


def published() -> list[Case]:
    """Return four positives, five negatives, and one or two of each kind that is left out."""
    yes = [
        case(LARGE + n, {HERPES: 0.5 + n / 10, ECZEMA: 0.5 - n / 10}, images=[f"-{n}{k}.png" for k in "123"])
        for n in range(4)
    ]
    no = [case(10 + n, {ECZEMA if n < 3 else "Tinea": 1.0}, images=[f"{10 + n}.png"]) for n in range(5)]
    others = [
        case(20, {ECZEMA: 0.51, HERPES: 0.49}, images=["20.png"]),
        case(21, {ECZEMA: 1.0}, images=["21.png"], dermatologist_skin_condition_on_label_name=repr([HERPES, ECZEMA])),
        case(22, {}, images=["22.png"]),
        case(
            23, {}, images=["23.png"], weighted_skin_condition_label="", dermatologist_skin_condition_on_label_name=""
        ),
        case(24, {HERPES: 1.0}, images=["24.png"], dermatologist_gradable_for_skin_condition_1=INSUFFICIENT),
    ]
    return [*yes, *no, *others]


@pytest.fixture
def scin(tmp_path: Path) -> Path:
    return write_scin(tmp_path / "scin", published())


def options(folder: Path, **changes: object) -> PrepareOptions:
    given = PrepareOptions(
        out=folder.parent / "c.h5", scin=folder, condition=HERPES, size=16, folds=2, skip_bad=False, force=True
    )
    return replace(given, **changes)


def by_path(cohort: Cohort) -> dict[str, int]:
    return dict(zip(cohort.source_path.tolist(), cohort.label.tolist(), strict=True))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["prepare", *map(str, arguments)])


def test_cases_become_positives_and_negatives(scin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(options(scin))
    cohort = read_cohort(scin.parent / "c.h5")
    assert (cohort.source, cohort.classes) == ("SCIN", ("other conditions", HERPES))
    assert by_path(cohort) == (
        {f"dataset/images/-{n}{k}.png": 1 for n in range(4) for k in "123"}
        | {f"dataset/images/{n}.png": 0 for n in range(10, 15)}
    )  # fmt: skip
    for path, name in zip(cohort.source_path.tolist(), cohort.image_id.tolist(), strict=True):
        assert name == image_id(read_photo(scin / path))
    text = capsys.readouterr().err
    assert "SCIN: 14 cases, of which 4 are Herpes Simplex (weight 0.5 or more) and 5 other conditions" in text
    assert "left out: 1 cases whose images dermatologists found insufficient" in text
    assert "left out: 2 cases without a label" in text
    assert "left out: 2 cases in which the condition was considered, with less weight" in text
    assert "no --csv" not in text


def test_the_images_of_a_case_are_in_one_fold(scin: Path) -> None:
    cohort = prepare(options(scin))
    cases: dict[str, set[tuple[int, int]]] = {}
    for row, path in enumerate(cohort.source_path.tolist()):
        cases.setdefault(path[:-5] if "/-" in path else path, set()).add((cohort.group_id[row], cohort.fold[row]))
    assert len(cases) == 4 + 5
    assert all(len(places) == 1 for places in cases.values())
    assert len({group for places in cases.values() for group, _ in places}) == 9


def test_case_ids_that_one_float_rounds_to_are_two_cases(tmp_path: Path) -> None:
    """The ids of `published` differ in their last digit; a reader that takes numbers makes one case of them."""
    assert len({float(LARGE + n) for n in range(4)}) == 1
    scin = read_scin(write_scin(tmp_path, published()))
    assert [each.case_id for each in scin.cases][:4] == [str(LARGE + n) for n in range(4)]


def test_the_tables_lie_where_they_were_downloaded_to(scin: Path, tmp_path: Path) -> None:
    expected = prepare(options(scin)).sha256
    inner = prepare(options(scin / "dataset", out=scin.parent / "c.h5"))
    renamed = shutil.copytree(scin / "dataset", tmp_path / "renamed")
    apart = shutil.copytree(scin, tmp_path / "apart")
    for name in ("scin_cases.csv", "scin_labels.csv"):
        (apart / "dataset" / name).rename(apart / name)
    assert {inner.sha256, prepare(options(renamed)).sha256, prepare(options(apart)).sha256} == {expected}


@pytest.mark.parametrize(
    "change",
    [
        {"bom": True},
        {"renamed": {"dermatologist_skin_condition_on_label_name": "dermatologist_skin_condition_label_name"}},
        {"without": "monk_skin_tone_label_us"},
        {"without": "dermatologist_gradable_for_skin_condition_3"},
    ],
)
def test_tables_that_differ_as_published_ones_do_are_the_same(
    scin: Path, tmp_path: Path, change: dict[str, object]
) -> None:
    expected = by_path(prepare(options(scin)))
    assert by_path(prepare(options(write_scin(tmp_path / "other", published(), **change)))) == expected


@pytest.mark.parametrize(("min_weight", "positives"), [(0.3, 4), (0.5, 4), (0.6, 3), (0.7, 2), (0.8, 1)])
def test_a_weight_at_the_limit_is_enough(scin: Path, min_weight: float, positives: int) -> None:
    """Of 0.5, 0.6, 0.7 and 0.8; the case of weight 0.49 is positive from there down."""
    cohort = prepare(replace(options(scin), min_weight=min_weight, folds=2)) if positives > 1 else None
    if cohort is None:
        with pytest.raises(UserError, match="only 1 independent positive"):
            prepare(options(scin, min_weight=min_weight))
        return
    found = {path for path, label in by_path(cohort).items() if label == 1}
    assert len({path for path in found if "/-" in path}) == 3 * positives
    assert ("dataset/images/20.png" in found) == (min_weight <= 0.49)


def test_negatives_can_be_of_one_condition(scin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cohort = prepare(options(scin, negative_condition=("eczema",)))
    assert cohort.classes == (ECZEMA, HERPES)
    assert {path for path, label in by_path(cohort).items() if label == 0} == {
        f"dataset/images/{n}.png" for n in (10, 11, 12)
    }
    assert "left out: 2 cases without the condition, and with less weight of what" in capsys.readouterr().err
    both = prepare(options(scin, negative_condition=("tinea", ECZEMA, "TINEA")))
    assert (both.classes[0], (both.label == 0).sum()) == ("Tinea+Eczema", 5)


WEIGHTS = st.dictionaries(st.sampled_from("abc"), st.sampled_from([0.2, 0.5, 1.0]))


@given(WEIGHTS, st.frozensets(st.sampled_from("abc")), st.booleans(), st.sampled_from([(), ("b",), ("b", "c")]))
def test_sides_as_the_documents_say_them(
    weights: dict[str, float], named: frozenset[str], gradable: bool, negative: tuple[str, ...]
) -> None:
    verdict = Sides("a", negative, 0.5).of(ReadCase("1", (), gradable, weights, named, {}))
    labelled = gradable and len(weights) > 0
    positive = labelled and weights.get("a", 0) >= 0.5
    thought_of = "a" in weights or "a" in named
    wanted = not negative or max([weights.get(each, 0) for each in negative]) >= 0.5
    assert (verdict == 1) == positive
    assert (verdict == 0) == (labelled and not thought_of and wanted)


@pytest.mark.parametrize(
    ("said", "gradable"),
    [
        (["", "", ""], True),
        ([SUFFICIENT, "", ""], True),
        ([INSUFFICIENT, INSUFFICIENT, SUFFICIENT], True),
        (["YES_IMAGE_QUALITY_SUFFICIENT_NO_DISCERNIBLE_PATHOLOGY", "", ""], True),
        (["True", "", ""], True),
        (["yes", "", ""], True),
        ([INSUFFICIENT, "", ""], False),
        (["NO", "False", "MULTIPLE_CONDITIONS"], False),
    ],
)
def test_one_dermatologist_who_can_tell_is_enough(tmp_path: Path, said: list[str], gradable: bool) -> None:
    cells = {f"dermatologist_gradable_for_skin_condition_{n}": each for n, each in enumerate(said, start=1)}
    assert read_scin(write_scin(tmp_path, [case(1, {HERPES: 1.0}, **cells)])).cases[0].gradable == gradable


def test_an_image_that_is_not_there_is_told(scin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (scin / "dataset/images/-11.png").unlink()
    cohort = prepare(options(scin))
    assert len(cohort) == 16
    assert "dataset/images/-11.png" not in by_path(cohort)
    text = capsys.readouterr().err
    assert f"left out: 1 images that the tables name and {scin} lacks:\n  dataset/images/-11.png\n" in text


def test_an_image_of_both_classes_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two cases of one class that share an image are one group; the published set has such images."""
    cases = published()
    cases[4]["image_2_path"] = cases[0]["image_1_path"]
    cases[5]["image_2_path"] = cases[6]["image_1_path"]
    cohort = prepare(options(write_scin(tmp_path / "scin", cases)))
    assert cases[0]["image_1_path"] not in by_path(cohort)
    assert "left out: 1 images that cases of both classes name" in capsys.readouterr().err
    shared = cohort.group_id[np.isin(cohort.source_path, [cases[5]["image_1_path"], cases[6]["image_1_path"]])]
    assert (len(shared), len(set(shared.tolist()))) == (3, 1)


def test_attributes_are_as_published(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = published()
    tones = [("FST2", "", ""), ("FST2", "FST3", ""), ("FST5", "FST1", "FST4"), ("FST6", "FST6", "")]
    for n, (each, labels) in enumerate(zip(cases, [*tones, *[("", "", "")] * 5], strict=False)):
        each |= {f"dermatologist_fitzpatrick_skin_type_label_{k}": label for k, label in enumerate(labels, start=1)}
        each |= {"fitzpatrick_skin_type": ["NONE_IDENTIFIED", "FST1", ""][n % 3], "age_group": "AGE_40_TO_49"}
        each |= {"monk_skin_tone_label_us": f"{n + 2}.0", "monk_skin_tone_label_india": "" if n else "3"}
        each |= {"body_parts_arm": "YES" if n % 2 else "", "body_parts_leg": "yes" if n > 2 else "NO"}
    cases[0]["age_group"], cases[1]["sex_at_birth"] = "AGE_UNKNOWN", "FEMALE"
    prepare(options(write_scin(tmp_path / "scin", cases)))
    cohort = read_cohort(tmp_path / "c.h5")
    first = {name: column[[0, 3, 6, 9, *range(12, 17)]].tolist() for name, column in cohort.attributes.items()}
    assert first["fitzpatrick_skin_type"] == ["NONE_IDENTIFIED", "FST1", ""] * 3
    assert first["dermatologist_fitzpatrick_skin_type"] == ["FST2", "", "FST4", "FST6", "", "", "", "", ""]
    assert first["monk_skin_tone_label_us"] == [str(n) for n in range(2, 11)]
    assert first["monk_skin_tone_label_india"] == ["3", *[""] * 8]
    assert first["age_group"] == ["", *["AGE_40_TO_49"] * 8]
    assert first["sex_at_birth"] == ["OTHER_OR_UNSPECIFIED", "FEMALE", *["OTHER_OR_UNSPECIFIED"] * 7]
    assert first["body_part"] == ["", "ARM", "", "SEVERAL", "LEG", "SEVERAL", "LEG", "SEVERAL", "LEG"]
    text = capsys.readouterr().err
    line = next(line for line in text.splitlines() if line.startswith("attribute monk_skin_tone_label_us: "))
    assert [int(each) for each in re.findall(r"(\d+) \(", line)] == list(range(2, 11))
    assert line.startswith("attribute monk_skin_tone_label_us: 2 (3, 3 positive), 3 (3, 3 positive)")
    assert line.endswith("9 (1, 0 positive), 10 (1, 0 positive)")


def test_cells_with_quotes_commas_and_lines(tmp_path: Path) -> None:
    cases = published()
    cases[4] |= {"source": 'says "SCIN",\nand more', "related_category": "a,b"}
    cases[5] = case(11, {"Bowen's disease": 0.4, 'so-called "tinea", old': 0.6}, images=["11.png"])
    cohort = prepare(options(write_scin(tmp_path / "scin", cases)))
    assert len(cohort) == 17
    assert prepare(options(tmp_path / "scin", negative_condition=('SO-CALLED "tinea",  old', ECZEMA))).classes[0] == (
        'so-called "tinea", old+Eczema'
    )


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
    result = run("--scin", folder, "--condition", HERPES, "--size", 16, "--folds", 2, "--out", "c.h5")
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


def test_a_link_within_the_folder_is_a_file(scin: Path) -> None:
    image = scin / "dataset/images/12.png"
    image.rename(scin / "elsewhere.png")
    image.symlink_to("../../elsewhere.png")
    assert "dataset/images/12.png" in by_path(prepare(options(scin)))


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


def test_no_images_at_all(scin: Path) -> None:
    shutil.rmtree(scin / "dataset" / "images")
    with pytest.raises(UserError, match="none of the 17 images that its tables name is there; download dataset/images"):
        prepare(options(scin))


def test_too_many_bytes_of_images(scin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synth.photographs.MAX_BYTES", 17 * 3 * (16**2 + 64**2) - 1)
    with pytest.raises(UserError, match="--size 16: 17 images of this size take"):
        prepare(options(scin))


def test_tables_of_bounded_size(scin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synth.scin_tables.MAX_CASES", 13)
    with pytest.raises(UserError, match="more than 13 rows"):
        prepare(options(scin))
    monkeypatch.setattr("synth.scin_tables.MAX_BYTES", 1000)
    with pytest.raises(UserError, match="more than 1000 bytes"):
        prepare(options(scin))


def test_the_conditions_are_listed_without_anything_else(scin: Path) -> None:
    result = run("--list-conditions", scin)
    assert result.exit_code == 0, result.stderr
    rows = [re.split(r"\s{2,}", line.strip()) for line in result.stdout.splitlines()]
    assert rows == [
        ["condition", "cases of weight 0.5 or more", "of any weight"],
        [ECZEMA, "6", "9"],
        [HERPES, "4", "5"],
        ["Tinea", "2", "2"],
    ]
    refused = run("--list-conditions", scin.parent)
    assert (refused.exit_code, len(refused.stderr.splitlines())) == (2, 1)


def test_the_default_of_the_weight_stands_once() -> None:
    parameters = {each.name: each for each in cli.get_command(None, "prepare").params}  # type: ignore[arg-type, union-attr]
    assert parameters["min_weight"].default == MIN_WEIGHT
