"""A search of settings: what it reads, when it ends, and what it leaves."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.trial import TrialState
from PIL import Image
from searches import FOLD, LONG, found, trials_of, write_search
from table_studies import figures, options_in

from classify import tune as stage
from classify.fitting.folder import CONFIG
from classify.fitting.score import Score
from classify.fitting.training import Training
from classify.presets import read_preset
from classify.study import study
from classify.tune import tune
from classify.tuning.options import TuneOptions
from shared.bundle import Bundle, write_bundle
from shared.cohort import STUDY, Cohort, read_cohort, write_cohort
from shared.errors import UserError
from shared.splits import inner_parts, parts


@pytest.fixture
def options(make_cohort: Callable[..., Cohort], tmp_path: Path) -> TuneOptions:
    """A search of three trials, a moment each."""
    return write_search(tmp_path, make_cohort)


class Watched:
    """Images of a cohort that remember which of them were read."""

    def __init__(self, images: Any) -> None:
        self.images, self.shape, self.dtype = images, images.shape, images.dtype
        self.read: set[int] = set()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: Any) -> Any:
        self.read |= set(np.arange(len(self))[rows].tolist())
        return self.images[rows]


def test_no_image_but_those_of_the_training_part_is_read(options: TuneOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    cohort = read_cohort(options.cohort)
    watched = Watched(cohort.images)
    monkeypatch.setattr(stage, "read_cohort", lambda _: replace(cohort, images=watched))
    tune(options)
    assert watched.read
    assert watched.read <= set(parts(cohort, FOLD).train.tolist())


def test_other_images_and_their_labels_change_nothing(options: TuneOptions, tmp_path: Path) -> None:
    """Noise in the place of validation, test and external images, and the labels of the tested fold turned round."""
    cohort = read_cohort(options.cohort)
    others = np.setdiff1d(np.arange(len(cohort)), parts(cohort, FOLD).train)
    images, label = np.array(cohort.images), np.array(cohort.label)
    images[others] = np.random.default_rng(0).integers(0, 256, images[others].shape, np.uint8)
    tested = (cohort.role == STUDY) & (cohort.fold == FOLD)
    label[tested] = 1 - label[tested]
    write_cohort(tmp_path / "other.h5", replace(cohort, images=images, label=label))
    assert len(others) > len(cohort) / 2
    tune(options)
    other = replace(options, cohort=tmp_path / "other.h5", out=tmp_path / "other")
    tune(other)
    one, two = found(options.out), found(other.out)
    assert one["plan"].pop("cohort") != two["plan"].pop("cohort")
    assert one == two


def test_what_it_leaves(options: TuneOptions, capsys: pytest.CaptureFixture[str]) -> None:
    """The ranking says how many images judged it, and that its best is too good; the dashboard sees the same."""
    tune(options)
    cohort = read_cohort(options.cohort)
    n = len(inner_parts(cohort, FOLD).validation)
    document = found(options.out)
    rows = document["trials"]
    order = [(-row["balanced_accuracy"], row["balanced_loss"]) for row in rows]
    assert order == sorted(order)
    assert {row["n"] for row in rows} == {n}
    assert {document["plan"][name] for name in ("cohort", "fold", "seed")} == {cohort.sha256, FOLD, 0}
    text = (options.out / "tune.md").read_text()
    assert f"3 trials, judged on {n} images that they were not fitted on" in text
    best = f"{100 * rows[0]['balanced_accuracy']:.1f}"
    assert f"the {best} % of the best is too good, since it was chosen by them" in text
    chance = 2 * 100 * (0.25 / n) ** 0.5  # two standard errors of a share of one half
    assert f"differ by less than {chance:.0f} points may be chance" in text
    assert f"Cohort {cohort.sha256[:12]}, seed 0; device cpu" in text
    assert len([line for line in text.splitlines() if line.startswith("| ")]) == 1 + 3
    said = capsys.readouterr().err
    assert all(row["name"] in said for row in rows)
    by_name = {row["name"]: row for row in rows}
    for trial in trials_of(options):
        row = by_name[trial.user_attrs["cell"]]
        assert trial.params == {name: row[name] for name in ("lr", "depth", "layers", "width", "optimizer")}
        assert trial.value == pytest.approx(1 - row["balanced_accuracy"])
        curve = {epoch: pytest.approx(1 - value) for epoch, value in enumerate(row["curve"], start=1)}
        assert trial.intermediate_values == curve


def test_the_picture_is_whole(options: TuneOptions) -> None:
    """No letter reaches its edge: a longer legend would be cut off there."""
    tune(replace(options, budget="6cells", lr=("1.23456e-5:1.23457e-5",), optimizers=("rmsprop",)))
    pixels = np.asarray(Image.open(options.out / "tune.png").convert("L"))
    edges = np.concatenate([pixels[:2].ravel(), pixels[-2:].ravel(), pixels[:, :2].ravel(), pixels[:, -2:].ravel()])
    assert (edges == 255).all()
    drawn = np.flatnonzero((pixels < 128).any(axis=0))
    assert drawn[-1] - drawn[0] > 0.85 * pixels.shape[1]  # and the curves have the width


def test_its_preset_is_one_that_a_study_runs(
    options: TuneOptions, tmp_path: Path, make_bundle: Callable[..., Bundle]
) -> None:
    tune(replace(options, batch=16, seed=3, precision="fp32"))
    best = found(options.out)["trials"][0]
    cells = read_preset(str(options.out / "tuned.toml"))
    # The training part of the fold holds the test images of all others, so the settings are of no other.
    assert [(cell.options.ratio, cell.fold) for cell in cells] == [(ratio, FOLD) for ratio in ("none", "1:5", "1:2")]
    assert f"these are settings of fold {FOLD} alone" in (options.out / "tuned.toml").read_text()
    assert "settings of another fold need a search of their own" in (options.out / "tune.md").read_text()
    for cell in cells:
        asked = cell.options
        assert (asked.model, asked.depth, list(asked.head), asked.optimizer, asked.epochs, asked.batch) == (
            *("custom_cnn", best["depth"], best["head"], best["optimizer"]),
            *(options.epochs, 16),
        )
        assert (asked.lr, asked.seed, asked.precision) == (best["lr"], 3, "fp32")
    place = tmp_path / "study"
    place.mkdir()
    shutil.copy(options.cohort, place / "cohort.h5")
    for fold in range(2):
        write_bundle(place / f"bundle{fold}.h5", make_bundle(read_cohort(place / "cohort.h5"), fold=fold))
    made = options_in(place, preset=str(options.out / "tuned.toml"))
    assert study(made) is not None
    rows = figures(made.table)["rows"]
    assert [(row["key"]["ratio"], row["balanced"]["folds"]) for row in rows] == [
        (ratio, [FOLD]) for ratio in ("none", "1:5", "1:2")
    ]


@pytest.mark.parametrize(("budget", "trials"), [("2cells", 2), ("5epochs", 3), ("1h", 4)])
def test_a_budget_ends_it(options: TuneOptions, monkeypatch: pytest.MonkeyPatch, budget: str, trials: int) -> None:
    """The third trial of two epochs begins when four of five are used, the fourth of 20 minutes after one hour's 60."""
    row = stage.TuneStudy._row
    monkeypatch.setattr(stage.TuneStudy, "_row", lambda *arguments: row(*arguments) | {"seconds": 1199.0})
    tune(replace(options, budget=budget))
    assert len(found(options.out)["trials"]) == trials


def test_the_same_command_does_nothing_and_a_larger_budget_goes_on(
    options: TuneOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    tune(options)
    first = found(options.out)
    before = {path: path.stat().st_mtime_ns for path in options.out.rglob(CONFIG)}
    capsys.readouterr()
    tune(options)
    assert "images/s" not in capsys.readouterr().err
    assert found(options.out) == first
    tune(replace(options, budget="4cells"))
    assert {path: path.stat().st_mtime_ns for path in before} == before
    rows = found(options.out)["trials"]
    assert len(rows) == 4
    assert [row for row in rows if row in first["trials"]] == first["trials"]


def test_trials_far_behind_are_ended_and_rank_last(options: TuneOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the median pruner, of scores that are set here: five trials come to their end, and later ones fall behind."""
    made = []

    def score(training: Training, entries: Any) -> Score:
        if not training.progress.history:
            made.append(training)
        late = len(made) > 5
        return Score(loss=1.0, accuracy=0.5, balanced_loss=1.0, balanced_accuracy=0.95 if not late else 0.1)

    monkeypatch.setattr(Training, "score", score)
    tune(replace(options, **LONG))
    rows = found(options.out)["trials"]
    assert [row["pruned"] for row in rows] == [False] * 5 + [True] * 3
    assert {row["epochs"] for row in rows[:5]} == {5}
    assert all(3 <= row["epochs"] < 5 for row in rows[5:])
    states = [trial.state for trial in trials_of(options)]
    assert states == [TrialState.COMPLETE] * 5 + [TrialState.PRUNED] * 3
    assert (options.out / "tune.md").read_text().count(" (ended) |") == 3


def test_hyperband_ends_trials_that_are_not_among_the_best_third(
    options: TuneOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each trial is worse than the one before, so only the first one goes beyond the first rung, an epoch."""
    made: list[Training] = []

    def score(training: Training, entries: Any) -> Score:
        if training not in made:
            made.append(training)
        return Score(loss=1.0, accuracy=0.5, balanced_loss=1.0, balanced_accuracy=0.9 - 0.1 * len(made))

    monkeypatch.setattr(Training, "score", score)
    tune(replace(options, budget="4cells", pruner="hyperband"))
    rows = found(options.out)["trials"]
    assert [(row["pruned"], row["epochs"]) for row in rows] == [(False, 2), (True, 1), (True, 1), (True, 1)]


def test_an_ended_trial_ranks_behind_worse_ones_that_came_to_their_end(
    options: TuneOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    accuracy = iter([0.9, 0.2, 0.3, 0.2, 0.3])
    score = {"loss": 1.0, "accuracy": 0.5, "balanced_loss": 1.0}
    monkeypatch.setattr(Training, "score", lambda *_: Score(**score, balanced_accuracy=next(accuracy)))
    monkeypatch.setattr("classify.tuning.search.NopPruner.prune", lambda _, study, trial: trial.number == 0)
    tune(options)
    rows = found(options.out)["trials"]
    assert [(row["pruned"], row["balanced_accuracy"], row["epochs"]) for row in rows] == [
        (False, 0.3, 2),
        (False, 0.3, 2),
        (True, 0.9, 1),
    ]


def test_a_point_that_is_chosen_again_is_not_fitted_again(
    options: TuneOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = []
    fit = stage.TuneStudy._fit
    monkeypatch.setattr(stage.TuneStudy, "_fit", lambda *given: (fitted.append(given[1].name), fit(*given))[1])
    few = {"lr": ("1e-3",), "layers": "0:1", "width": (2, 4), "optimizers": ("adam",), "budget": "3cells"}
    tune(replace(options, **few))
    assert len(fitted) == len(set(fitted)) == len(found(options.out)["trials"])


def test_a_trial_that_fails_is_told_and_no_other_ends(options: TuneOptions) -> None:
    # four layers, in which steps that are too large multiply until the loss is no number any more
    few = {"layers": "4", "width": (64,), "optimizers": ("sgd",), "batch": 4, "budget": "2cells"}
    tune(replace(options, lr=("1e-3", "1e6"), **few))
    document = found(options.out)
    assert [row["lr"] for row in document["trials"]] == [1e-3]
    assert list(document["failed"]) == ["lr1e+06_conv1_head64x32x16x8_sgd"]
    assert (
        "- lr1e+06_conv1_head64x32x16x8_sgd: --lr 1e+06: the loss is no longer finite"
        in (options.out / "tune.md").read_text()
    )
    none_done = replace(options, lr=("1e6",), out=options.out / "none", **few | {"budget": "1cells"})
    with pytest.raises(UserError, match=r"none: --lr 1e\+06: the loss is no longer finite in epoch 1; give a smaller"):
        tune(none_done)
