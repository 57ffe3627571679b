"""SCIN as it is published becomes a cohort: who is positive, who is negative, who is left out, and what is refused."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from scin_folder import ECZEMA, HERPES, INSUFFICIENT, LARGE, SUFFICIENT, case, options, published, write_scin

from shared.cohort import Cohort, read_cohort
from shared.images import image_id, read_photo
from synth.cli import cli
from synth.cohorts.options import MIN_WEIGHT
from synth.cohorts.scin import Sides
from synth.cohorts.scin_tables import Case as ReadCase
from synth.cohorts.scin_tables import read_scin
from synth.prepare import prepare


@pytest.fixture
def scin(tmp_path: Path) -> Path:
    return write_scin(tmp_path / "scin", published())


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
    assert "left out: 1 case whose images dermatologists found insufficient" in text
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


@pytest.mark.parametrize(
    ("min_weight", "enough"),
    [(0.3, [0.49, 0.5, 0.6, 0.7, 0.8]), (0.5, [0.5, 0.6, 0.7, 0.8]), (0.51, [0.6, 0.7, 0.8]), (0.7, [0.7, 0.8])],
)
def test_a_weight_at_the_limit_is_enough(scin: Path, min_weight: float, enough: list[float]) -> None:
    weights = {f"dataset/images/-{n}{k}.png": 0.5 + n / 10 for n in range(4) for k in "123"}
    weights["dataset/images/20.png"] = 0.49
    found = {path for path, label in by_path(prepare(options(scin, min_weight=min_weight))).items() if label == 1}
    assert found == {path for path, weight in weights.items() if round(weight, 2) in enough}


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
    assert f"left out: 1 image that the tables name and {scin} lacks:\n  dataset/images/-11.png\n" in text


def test_an_image_of_both_classes_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two cases of one class that share an image are one group; the published set has such images."""
    cases = published()
    cases[4]["image_2_path"] = cases[0]["image_1_path"]
    cases[5]["image_2_path"] = cases[6]["image_1_path"]
    cohort = prepare(options(write_scin(tmp_path / "scin", cases)))
    assert cases[0]["image_1_path"] not in by_path(cohort)
    assert "left out: 1 image that cases of both classes name" in capsys.readouterr().err
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


def test_a_link_within_the_folder_is_a_file(scin: Path) -> None:
    image = scin / "dataset/images/12.png"
    image.rename(scin / "elsewhere.png")
    image.symlink_to("../../elsewhere.png")
    assert "dataset/images/12.png" in by_path(prepare(options(scin)))


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
