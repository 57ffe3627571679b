"""What a study of Table 2 refuses, in one sentence and before the first fit."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from table_studies import QUICK, write_files, write_preset

from classify.study import study
from classify.studying import checks as study_checks
from classify.studying.options import StudyOptions
from shared.bundle import Bundle, write_bundle
from shared.cohort import EXTERNAL, Cohort, read_cohort, write_cohort
from shared.errors import UserError
from shared.records import VERSION, read_records
from shared.splits import balanced_test_set


@pytest.fixture
def options(tmp_path: Path, make_cohort: Callable[..., Cohort], make_bundle: Callable[..., Bundle]) -> StudyOptions:
    """A study of five cells, a moment each."""
    return write_files(tmp_path / "study", make_cohort, make_bundle)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (['ratio = "1-2"'], "--ratio 1-2: not a ratio of synthetic to real images"),
        (['ratio = "1:9"'], "custom_cnn/1to9/fold0: --ratio 1:9: less than one synthetic image for"),
        (['ratio = "9:1"'], "custom_cnn/9to1/fold0: --ratio 9:1: .* are missing"),
        (["fold = 2"], "custom_cnn/none/fold2: --fold 2: out of range, since the cohort has 2 folds"),
        (["epochs = 0"], "custom_cnn/none/fold0: --epochs 0: too few"),
        (
            ["depth = 7"],
            "custom_cnn/none/fold0: .*cohort.h5: its images have 32 px, which custom_cnn cannot take",
        ),
        (['control = "epochs"'], "none-epochs/fold0: --control epochs: stands in the place of"),
        (['optimizer = "adagrad"'], "custom_cnn/none/fold0: --optimizer adagrad: not known"),
        (['protocol = "paper"'], "has a cell of protocol paper, and all cells of a study are of one"),
        (['synthetic = "both", ratio = "1:2"'], "1to2-both/fold0: --bundle: none fits class rash, fold 0"),
        (["fold = 0", "lr = 1e-4"], "custom_cnn/none/fold0 stands there 2 times; give each cell once"),
        (['ratio = "1:2"', 'ratio = "2:4"'], "custom_cnn/1to2/fold0 stands there 2 times"),
        (["fold = 0", 'synthetic = "both"'], "none-both/fold0: --synthetic both: --ratio none has no synthetic images"),
        (
            ['synthetic = "both", ratio = "1:2", control = "oversampling"'],
            "1to2-oversampling-both/fold0: --synthetic both: --control oversampling has no synthetic images",
        ),
        (['synthetic = "neither"'], "custom_cnn/none/fold0: --synthetic neither: not known"),
        (["layers = 3"], "cell 1: no such setting as layers"),
    ],
)
def test_a_preset_that_cannot_be_done_is_one_sentence(options: StudyOptions, rows: list[str], message: str) -> None:
    """Which names the preset and the cell; nothing is written."""
    before = sorted(write_preset(options.cohort.parent, *(_quick(row) for row in rows)).parent.iterdir())
    with pytest.raises(UserError, match=rf"^--preset {re.escape(options.preset)}.*{message}"):
        study(options)
    assert sorted(options.cohort.parent.iterdir()) == before


def test_a_fold_that_no_row_is_of_is_one_sentence(options: StudyOptions) -> None:
    preset = write_preset(options.cohort.parent, f'{QUICK}, ratio = "none", fold = 0')
    with pytest.raises(UserError, match=rf"^--fold 1: no cell of --preset {re.escape(str(preset))} is of it; leave"):
        study(replace(options, folds=(1,)))


def _quick(row: str) -> str:
    """Return a row with the quick settings that it does not give itself."""
    given = {setting.split(" = ")[0] for setting in row.split(", ")}
    usual = ('model = "custom_cnn"', "depth = 1", "head = [2]", "epochs = 1")
    return ", ".join([row, *(setting for setting in usual if setting.split(" = ")[0] not in given)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bundles": ()}, "1to2/fold0: --bundle: missing, and a ratio other than none needs synthetic images"),
        ({"bundles": ("bundle0.h5",)}, "1to2/fold1: --bundle: none fits class herpeticum, fold 1 .*bundle0"),
        ({"bundles": ("cohort.h5",)}, "cohort.h5: of format rarescreen-cohort, where the bundle is expected"),
        ({"cohort": "bundle0.h5"}, "bundle0.h5: of format rarescreen-bundle, where the cohort is expected"),
        ({"preset": "best"}, "--preset best: no such preset"),
        ({"preset": "none.toml"}, "none.toml: no such file"),
        ({"protocol": "loose"}, "--protocol loose: not known; give one of strict, paper"),
        ({"folds": (0, -1)}, "--fold -1: negative"),
        ({"folds": (2,)}, "--fold 2: out of range, since the cohort has 2 folds"),
        ({"seeds": (0, -1)}, "--seed -1: negative"),
        ({"jobs": 0}, "--jobs 0: out of range; give 1 to 1024"),
        ({"grace": 0.0}, "--grace 0: out of range; give 1 to 100000 seconds"),
        ({"grace": float("nan")}, "--grace nan: out of range"),
        ({"study_name": "mine"}, "--study mine: names a study in --storage; give both"),
        ({"storage": "journal", "study_name": ""}, "--study : names a study in --storage; give both"),
        ({"storage": "nonsense"}, "--storage nonsense: not a storage"),
        ({"storage": "journal:/no/such.log"}, "--storage journal:/no/such.log: there is no folder /no"),
        ({"precision": "fp64"}, "--precision fp64: unknown"),
        ({"device": "abacus"}, "--device abacus: no such device"),
        ({"table": "t.txt"}, r"--table .*t.txt: not a Markdown file; give a name that ends in .md"),
        ({"table": "cohort.h5/t.md"}, "cohort.h5 is a file, where a folder must be; give another --table"),
        ({"records": "cohort.h5/r"}, "cohort.h5 is a file, where a folder must be; give another --records"),
        ({"records": "."}, "a folder, where a file is to be written"),
        ({"records": "p.toml"}, "what this command reads .*, which would be lost; give another --records"),
        ({"records": "notes"}, "notes, line 1: not JSON, so the file is no records file"),
        ({"records": "old"}, "--records .*old: a record lacks 'control'; give another file"),
        ({"records": "t.json"}, "--records .*t.json: --table writes this file, so the records would be lost"),
        ({"out": "notes"}, "notes: a file, where the folder of the models should be"),
        ({"out": "notes/m"}, "notes is a file, where a folder must be; give another --out"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_before_the_first_fit(
    options: StudyOptions, changes: dict[str, Any], message: str
) -> None:
    """And neither it nor a dry run writes anything."""
    place = options.cohort.parent
    (place / "notes").write_text("mine\n")
    record = {
        "format": "rarescreen-record",
        "version": VERSION,
        "key": {"model": "vgg16", "ratio": "none", "set": "balanced"},
    }
    (place / "old").write_text(json.dumps(record) + "\n")
    before = sorted(place.iterdir())
    for name in ("cohort", "records", "table", "out"):
        if name in changes:
            changes = changes | {name: place / changes[name]}
    if "bundles" in changes:
        changes = changes | {"bundles": tuple(place / name for name in changes["bundles"])}
    for dry_run in (True, False):
        with pytest.raises(UserError, match=message):
            study(replace(options, dry_run=dry_run, **changes))
        assert sorted(place.iterdir()) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"class_name": "measles"}, "bundle0.h5: holds measles, where the cohort's rare class is herpeticum"),
        ({"images": np.zeros((12, 16, 16, 3), np.uint8)}, "bundle0.h5: its images are 16 px and the cohort's 32 px"),
        ({"fold": 7}, "--bundle: none fits class herpeticum, fold 0 .*bundle0.h5 is of class herpeticum, fold 7"),
        ({"cohort": "0" * 64}, "bundle0.h5: made from another cohort, of which no photograph is in"),
    ],
)
def test_a_bundle_of_something_else_is_refused(
    options: StudyOptions, make_bundle: Callable[..., Bundle], change: dict[str, Any], message: str
) -> None:
    write_bundle(options.bundles[0], replace(make_bundle(read_cohort(options.cohort)), **change))
    with pytest.raises(UserError, match=f"custom_cnn/1to2/fold0: .*{message}"):
        study(options)
    assert not options.out.exists()


def test_what_could_not_be_tested_is_not_fitted(options: StudyOptions, make_bundle: Callable[..., Bundle]) -> None:
    """A generator that saw test images shows before hours of fits, and not after them."""
    cohort = read_cohort(options.cohort)
    tested = np.flatnonzero((cohort.fold == 0) & (cohort.label == 1))[:1]
    write_bundle(options.bundles[0], make_bundle(cohort, seen=tested.tolist()))
    n = len(balanced_test_set(cohort, 0))
    with pytest.raises(UserError, match=rf"1to2/fold0: 2 of the {n} images of the balanced test set were seen before"):
        study(options)
    assert not options.out.exists()
    write_preset(options.cohort.parent, f'{QUICK}, ratio = "1:2"')
    study(replace(options, allow_seen=True))
    assert {record["allow_seen"] for record in read_records(options.records)} == {True}


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            'model = "custom_cnn", depth = 1, unfreeze = 3',
            "custom_cnn/none/fold1: --unfreeze 3: custom_cnn has 2 modules",
        ),
        ('model = "linear_probe", unfreeze = 500', "linear_probe/none/fold1: --unfreeze 500: linear_probe has "),
        (
            'model = "timm:test_resnet", unfreeze = 99',
            "timm_test_resnet/none/fold1: --unfreeze 99: timm:test_resnet has",
        ),
        ('model = "vgg16", image_size = 32', "vgg16/none/fold1: vgg16-397923af.pth: missing .*offline work downloads"),
        ('model = "timm:test_resnet"', "timm_test_resnet/none/fold1: test_resnet.*: missing .*offline work downloads"),
    ],
)
def test_a_network_that_cannot_be_built_is_told_before_the_first_fit(
    options: StudyOptions, monkeypatch: pytest.MonkeyPatch, dry_run: bool, row: str, message: str
) -> None:
    """Though its cell is the last one."""
    place = options.cohort.parent
    monkeypatch.setenv("TORCH_HOME", str(place / "torch"))
    write_preset(place, f"{QUICK}, fold = 0", f"{row}, fold = 1")
    with pytest.raises(UserError, match=rf"^--preset {re.escape(options.preset)}, {message}"):
        study(replace(options, dry_run=dry_run))
    assert not options.out.exists()


def test_weights_of_models_that_are_done_are_not_looked_for(
    options: StudyOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_preset(options.cohort.parent, 'model = "linear_probe", image_size = 32, epochs = 1, fold = "all"')
    looked = []
    find = study_checks.find_weights
    monkeypatch.setattr(study_checks, "find_weights", lambda file, source: (looked.append(file), find(file, source))[1])
    study(options)
    assert len(looked) == 1  # two cells have one network
    study(options)
    assert len(looked) == 1


def test_a_dry_run_with_a_network_downloads_nothing(options: StudyOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_checks, "find_weights", lambda *_: pytest.fail("looked for weights"))
    write_preset(options.cohort.parent, 'model = "linear_probe", image_size = 32, epochs = 1')
    study(replace(options, offline=False, dry_run=True))


def test_a_fold_without_positives_is_refused(options: StudyOptions) -> None:
    cohort = read_cohort(options.cohort)
    fold = np.where((cohort.label == 1) & (cohort.fold == 1), 0, cohort.fold).astype(np.int8)
    write_cohort(options.cohort, replace(cohort, images=np.asarray(cohort.images), fold=fold))
    with pytest.raises(UserError, match=r"^--preset .*fold1: .*cohort.h5: fold 1 lacks a class"):
        study(replace(options, bundles=(), preset=str(write_preset(options.cohort.parent, f"{QUICK}, fold = 1"))))
    assert not options.out.exists()


def test_external_images_that_are_all_left_out_are_no_test_set(options: StudyOptions) -> None:
    """Those whose group holds a study image: the study goes without them."""
    cohort = read_cohort(options.cohort)
    group = np.where(cohort.role == EXTERNAL, cohort.group_id[0], cohort.group_id)
    write_cohort(options.cohort, replace(cohort, images=np.asarray(cohort.images), group_id=group))
    write_preset(options.cohort.parent, QUICK)
    study(replace(options, bundles=()))
    assert [record["key"]["set"] for record in read_records(options.records)] == ["balanced"]
