import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from classify import fit as stage
from classify import training
from classify.fit import find_bundle, fit, resolve
from classify.folder import MODEL, read_model
from classify.registry import MODELS
from classify.settings import FitOptions
from classify.training import OPTIMIZERS
from shared.bundle import ALL_FOLDS, Bundle
from shared.cohort import Cohort
from shared.errors import UserError
from shared.weights import WeightSource

CPU = torch.device("cpu")
QUICK = FitOptions(epochs=3, batch=16, lr=1e-3)


def run(cohort: Cohort, out: Path, options: FitOptions = QUICK, **more: Any) -> Path:
    given = {"folds": [0], "device": CPU, "weights": WeightSource(offline=True)} | more
    return fit(cohort, options=options, out=out, **given)[0]


@pytest.fixture
def small(make_cohort: Callable[..., Cohort]) -> Cohort:
    return make_cohort(positives=10, negatives=12, externals=2, folds=2)


@pytest.fixture(scope="module")
def done(make_cohort: Callable[..., Cohort], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of three epochs; tests copy it before they change it."""
    cohort = make_cohort(positives=10, negatives=12, externals=2, folds=2)
    return run(cohort, tmp_path_factory.mktemp("models") / "done")


def test_the_same_seed_gives_the_same_tensors_and_another_seed_others(
    small: Cohort, done: Path, tmp_path: Path
) -> None:
    first = load_file(done / MODEL)
    torch.manual_seed(99)  # whatever the caller's generator is, it is neither used nor moved
    state = torch.random.get_rng_state()
    again = load_file(run(small, tmp_path / "again") / MODEL)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert first.keys() == again.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)
    other = load_file(run(small, tmp_path / "other", replace(QUICK, seed=1, epochs=1)) / MODEL)
    assert not torch.equal(first["head.0.weight"], other["head.0.weight"])


def test_an_interrupted_fit_goes_on_to_the_same_tensors(
    small: Cohort, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_EVERY_S", 0.0)
    step = training._step_through
    epochs = []

    def interrupted(*arguments: Any) -> dict[str, float]:
        epochs.append(arguments[5])
        if len(epochs) == 3:
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr(training, "_step_through", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(small, tmp_path / "m")
    assert not (tmp_path / "m" / MODEL).exists()
    with pytest.raises(UserError, match="a fit that is not done; run the same"):
        read_model(tmp_path / "m")
    place = run(small, tmp_path / "m")
    assert epochs == [1, 2, 3, 3]
    first, resumed = load_file(done / MODEL), load_file(place / MODEL)
    assert all(torch.equal(first[name], resumed[name]) for name in first)
    rows = [json.loads((folder / "history.json").read_text())["epochs"] for folder in (done, place)]
    assert rows[0] == rows[1]
    assert sorted(path.name for path in place.iterdir() if not path.name.startswith(".")) == [
        "config.json",
        "history.json",
        "model.safetensors",
        "seen.json",
    ]


def test_a_damaged_checkpoint_is_refused(small: Cohort, done: Path, tmp_path: Path) -> None:
    place = shutil.copytree(done, tmp_path / "m")
    (place / MODEL).unlink()
    (place / "checkpoint.pt").write_bytes(b"half a checkpoint")
    with pytest.raises(UserError, match=r"checkpoint.pt: .* remove it"):
        run(small, place)


def test_the_best_epoch_is_kept(small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of scores that are set here, the highest balanced accuracy wins, ties go to the smaller balanced loss."""
    scores = iter([(0.5, 0.1), (0.9, 0.6), (0.9, 0.4), (0.9, 0.4), (0.7, 0.1)])
    states: list[dict[str, torch.Tensor]] = []

    def scored(classifier: Any, *arguments: Any) -> training.Score:
        states.append({name: value.clone() for name, value in classifier.state_dict().items()})
        accuracy, loss = next(scores)
        return training.Score(loss=9.0, accuracy=0.0, balanced_loss=loss, balanced_accuracy=accuracy)

    monkeypatch.setattr(training, "evaluate", scored)
    place = run(small, tmp_path / "m", replace(QUICK, epochs=5))
    assert read_model(place).history["best_epoch"] == 3
    kept = load_file(place / MODEL)
    assert all(torch.equal(kept[name], states[2][name]) for name in kept)
    assert not torch.equal(kept["head.0.weight"], states[3]["head.0.weight"])


def test_the_history_holds_each_epoch_and_training_learns(done: Path) -> None:
    epochs = read_model(done).history["epochs"]
    assert [row["epoch"] for row in epochs] == [1, 2, 3]
    assert all(row.keys() == {"epoch", "train", "validation"} for row in epochs)
    losses = [row["train"]["loss"] for row in epochs]
    assert losses == sorted(losses, reverse=True)


def test_protocol_paper_chooses_on_the_test_images(small: Cohort, tmp_path: Path) -> None:
    fitted = read_model(run(small, tmp_path / "m", replace(QUICK, protocol="paper")))
    epochs = fitted.history["epochs"]
    best = max(epochs, key=lambda row: (row["test"]["balanced_accuracy"], -row["test"]["balanced_loss"]))
    assert fitted.history["best_epoch"] == best["epoch"]
    assert all(row["validation"] is not None for row in epochs)


def test_a_finished_fit_is_left_as_it_is_and_another_configuration_is_refused(
    small: Cohort, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = shutil.copytree(done, tmp_path / "m")
    before = (place / MODEL).read_bytes()
    monkeypatch.setattr(stage, "train", lambda *_: pytest.fail("trained again"))
    assert run(small, place) == place
    assert (place / MODEL).read_bytes() == before
    with pytest.raises(
        UserError,
        match=r"another configuration \(epochs 3, not 4; lr|epochs 3, not 4, lr 0.001, not 0.1\); give --force",
    ):
        run(small, place, replace(QUICK, epochs=4, lr=0.1))
    assert (place / MODEL).read_bytes() == before


def test_force_replaces_another_configuration(small: Cohort, done: Path, tmp_path: Path) -> None:
    place = shutil.copytree(done, tmp_path / "m")
    run(small, place, replace(QUICK, epochs=1), force=True)
    assert read_model(place).config.epochs == 1
    assert len(read_model(place).history["epochs"]) == 1


def test_a_folder_of_something_else_is_refused(small: Cohort, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(UserError, match="exists and holds no model"):
        run(small, tmp_path)
    with pytest.raises(UserError, match="a file, where the model's folder should be"):
        run(small, tmp_path / "photo.jpg")


def test_a_frozen_backbone_trains_its_head_alike_with_and_without_a_cache(small: Cohort, tmp_path: Path) -> None:
    options = FitOptions(model="efficientnet_lite0", image_size=32, epochs=2)
    plain = load_file(run(small, tmp_path / "plain", options) / MODEL)
    for name in ("first", "second"):
        cached = load_file(run(small, tmp_path / name, options, cache=tmp_path / "features") / MODEL)
        assert all(torch.equal(plain[key], cached[key]) for key in plain)
    assert len(list((tmp_path / "features").glob("*.safetensors"))) == 1


def test_fold_all_makes_a_folder_a_fold(small: Cohort, tmp_path: Path) -> None:
    places = fit(small, options=replace(QUICK, epochs=1), out=tmp_path / "m", folds=range(2), device=CPU)
    assert places == [tmp_path / "m" / "fold0", tmp_path / "m" / "fold1"]
    assert [read_model(place).config.fold for place in places] == [0, 1]


def test_settings_come_from_the_user_and_else_from_the_registry(small: Cohort) -> None:
    spec = MODELS["inception_v3"]
    config = resolve(FitOptions(model="inception_v3", lr=0.5), spec, small, 1, None)
    assert (config.lr, config.epochs, config.unfreeze, config.image_size) == (0.5, 20, 34, 299)
    assert resolve(FitOptions(unfreeze=0), MODELS["custom_cnn"], small, 0, None).unfreeze == 0
    assert resolve(FitOptions(), MODELS["custom_cnn"], small, 0, None).image_size == small.size == 32


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (FitOptions(epochs=0), "--epochs 0"),
        (FitOptions(batch=0), "--batch 0"),
        (FitOptions(lr=0.0), "--lr 0"),
        (FitOptions(lr=float("nan")), "--lr nan"),
        (FitOptions(seed=-1), "--seed -1"),
        (FitOptions(optimizer="adagrad"), f"--optimizer adagrad: .* {', '.join(OPTIMIZERS)}"),
        (FitOptions(protocol="loose"), "--protocol loose: .* strict, paper"),
        (FitOptions(image_size=48), "--image-size 48"),
        (FitOptions(ratio="2"), "--ratio 2"),
        (FitOptions(model="vgg"), "--model vgg"),
        (FitOptions(unfreeze=13), "--unfreeze 13: custom_cnn has 12"),
    ],
)
def test_a_setting_out_of_range_is_refused_before_anything_is_written(
    small: Cohort, tmp_path: Path, options: FitOptions, names: str
) -> None:
    with pytest.raises(UserError, match=f"^{names}"):
        run(small, tmp_path / "m", options)
    assert not (tmp_path / "m").exists()


def test_a_loss_that_explodes_is_told(small: Cohort, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^--lr 1e\+30: the loss is no longer finite in epoch 1"):
        run(small, tmp_path / "m", FitOptions(lr=1e30, optimizer="sgd", epochs=1))


def test_the_bundle_of_fold_and_label_is_used(small: Cohort, make_bundle: Callable[..., Bundle]) -> None:
    bundles = [
        make_bundle(small, fold=0, path=Path("b0")),
        make_bundle(small, fold=1, path=Path("b1")),
        make_bundle(small, fold=0, label=0, class_name=small.classes[0], path=Path("negatives")),
        make_bundle(small, fold=ALL_FOLDS, path=Path("all")),
    ]
    assert find_bundle(bundles, small, 0, "strict") is bundles[0]
    assert find_bundle(bundles, small, 1, "strict") is bundles[1]
    assert find_bundle(bundles, small, 1, "paper") is bundles[3]
    assert find_bundle(bundles[:3], small, 1, "paper") is bundles[1]
    with pytest.raises(UserError, match=r"none fits class herpeticum, fold 1 .*b0 is of class herpeticum, fold 0"):
        find_bundle([bundles[0], bundles[3]], small, 1, "strict")
    with pytest.raises(UserError, match="several fit"):
        find_bundle([bundles[0], bundles[0]], small, 0, "strict")
    with pytest.raises(UserError, match="--bundle: missing"):
        find_bundle([], small, 0, "strict")


def test_a_bundle_of_another_class_size_or_cohort_is_refused(small: Cohort, make_bundle: Callable[..., Bundle]) -> None:
    good = make_bundle(small, seen=[0, 1], path=Path("b.h5"))
    assert find_bundle([replace(good, cohort="0" * 64)], small, 0, "strict")  # the same photographs, prepared again
    wrong = {
        "holds measles, where the cohort's rare class is herpeticum": replace(good, class_name="measles"),
        "its images are 16 px and the cohort's 32 px": replace(good, images=good.images[:, :16, :16]),
        "made from another cohort": replace(good, cohort="0" * 64, seen_image_id=good.seen_image_id[:0]),
    }
    for problem, bundle in wrong.items():
        with pytest.raises(UserError, match=problem):
            find_bundle([bundle], small, 0, "strict")


def test_what_evaluate_will_refuse_is_said_early(
    small: Cohort, make_bundle: Callable[..., Bundle], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    tested = int((small.fold == 0).nonzero()[0][0])
    bundle = make_bundle(small, seen=[tested], count=6)
    place = run(small, tmp_path / "m", replace(QUICK, epochs=1, ratio="1:5"), bundles=[bundle])
    assert "warning: 2 test images of fold 0 were seen" in capsys.readouterr().err  # it and its group's other image
    assert {each.by for each in read_model(place).seen} == {"the classifier", stage.seen_by_bundle(bundle).by}
