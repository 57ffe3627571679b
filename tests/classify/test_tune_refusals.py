"""What a search of settings refuses, in one sentence."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from searches import write_search

from classify.cli import cli
from classify.tune import tune
from classify.tuning.options import TuneOptions
from shared.cohort import Cohort, read_cohort, write_cohort
from shared.errors import UserError


@pytest.fixture
def options(make_cohort: Callable[..., Cohort], tmp_path: Path) -> TuneOptions:
    """A search of three trials, a moment each."""
    return write_search(tmp_path, make_cohort)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["tune", *map(str, arguments)])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--fold 2", "--fold 2: out of range, since the cohort has 2 folds"),
        ("--seed -1", "--seed -1: negative"),
        ("--batch 0", "--batch 0: too few"),
        ("--image-size 20", "--image-size 20: custom_cnn cannot take it; give a multiple of 4 from 32 to 1024 px"),
        ("--image-size 2048", "--image-size 2048: custom_cnn cannot take it"),
        ("--lr 1e-3 --lr nan", "--lr nan: not a positive number"),
        ("--lr 1e-3 --lr 1e39", "--lr 1e+39: more than 1e+06"),
        ("--lr 1e-3:1e39:log", "--lr 0.001:1e+39:log: not within 0 to 1e+06; give a range"),
        ("--depth 7", "--depth 7: images of 32 px can be halved 5 times"),
        ("--budget 20", "--budget 20: not a budget"),
        ("--precision fp64", "Invalid value for '--precision': 'fp64' is not one of"),
        ("--device abacus", "--device abacus: no such device"),
        ("--storage nonsense", "--storage nonsense: not a storage"),
        ("--storage journal --study=", "--study : names a study in --storage; give both"),
        ("--epochs many", "Invalid value for '--epochs'"),
        ("--weights none --model vgg16", "none"),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_is_written(options: TuneOptions, more: str, message: str) -> None:
    ended = run(options.cohort, "--out", options.out, "--offline", "--device", "cpu", *more.split())
    assert ended.exit_code == 2, ended.output
    assert isinstance(ended.exception, SystemExit)
    assert [line.startswith("error: ") for line in ended.stderr.splitlines()] == [True]
    assert message in ended.stderr
    assert not options.out.exists()


def test_a_folder_of_something_else_is_left_alone(options: TuneOptions, tmp_path: Path) -> None:
    options.out.mkdir()
    (options.out / "tuned.toml").write_text("mine")
    with pytest.raises(UserError, match=r"tuned.toml: exists already, and no search has left it; give another --out"):
        tune(options)
    assert [path.name for path in options.out.iterdir()] == ["tuned.toml"]
    with pytest.raises(UserError, match=r"tuned.toml: a file, where the folder of the search should be; give another"):
        tune(replace(options, out=options.out / "tuned.toml"))
    with pytest.raises(UserError, match=r"tuned.toml is a file, where a folder must be; give another --out"):
        tune(replace(options, out=options.out / "tuned.toml" / "more"))


def test_another_search_in_the_same_folder_is_one_sentence(options: TuneOptions) -> None:
    tune(options)
    with pytest.raises(
        UserError, match=r"study tune is of another grid or cohort \(fold 1 there, 0 asked\); give another --out"
    ):
        tune(replace(options, fold=0))
    with pytest.raises(UserError, match=r"\(optimizers adam only there\)"):
        tune(replace(options, optimizers=("sgd",)))


def test_a_fold_that_could_not_be_tested_is_not_searched_on(options: TuneOptions) -> None:
    """Its preset could not be run."""
    cohort = read_cohort(options.cohort)
    fold = np.where((cohort.label == 1) & (cohort.fold == options.fold), 0, cohort.fold).astype(np.int8)
    write_cohort(options.cohort, replace(cohort, images=np.asarray(cohort.images), fold=fold))
    with pytest.raises(UserError, match=r"cohort.h5: fold 1 lacks a class, .* fewer --folds"):
        tune(options)
    assert not options.out.exists()


def test_a_cohort_too_small_to_be_divided_again_is_one_sentence(
    options: TuneOptions, make_cohort: Callable[..., Cohort], tmp_path: Path
) -> None:
    write_cohort(tmp_path / "few.h5", make_cohort(positives=6, negatives=6, externals=0, folds=2))
    with pytest.raises(UserError, match=r"few.h5: the training part of fold 1 cannot be divided again"):
        tune(replace(options, cohort=tmp_path / "few.h5"))
