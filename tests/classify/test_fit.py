"""The stage `classify fit`: what it asks for, what it refuses, and what it leaves behind."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fitting import CPU, QUICK, assert_near, here, run, same, tensors

from classify import fit as stage
from classify.fit import fit
from classify.fitting import plan as planning
from classify.fitting.folder import CHECKPOINT, CONFIG, MODEL, read_model
from classify.fitting.plan import plan
from classify.fitting.ratio import Ratio
from classify.fitting.schedule import OPTIMIZERS
from classify.fitting.settings import FitConfig, FitOptions
from classify.guard import seen_by_bundle
from shared.bundle import Bundle
from shared.cohort import Cohort
from shared.errors import BusyError, UserError
from shared.files import claimed
from shared.splits import parts


@pytest.fixture(scope="module")
def done(make_cohort: Callable[..., Cohort], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of three epochs of the cohort `small`; tests copy it before they change it."""
    cohort = make_cohort(positives=10, negatives=12, externals=2, folds=2)
    return run(cohort, tmp_path_factory.mktemp("models") / "done")


def resolved(options: FitOptions, cohort: Cohort, fold: int = 0) -> FitConfig:
    return plan(cohort, fold, options=options, device=CPU).config


def test_a_finished_fit_is_left_as_it_is_and_another_configuration_is_refused(
    small: Cohort, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = shutil.copytree(done, tmp_path / "m")
    before = (place / MODEL).read_bytes()
    monkeypatch.setattr(stage, "make_training", lambda *_, **__: pytest.fail("trained again"))
    assert run(small, place) == place
    assert f"done before, in {place}" in capsys.readouterr().err
    assert (place / MODEL).read_bytes() == before
    with pytest.raises(
        UserError,
        match=r"another configuration \(epochs 3, not 4, lr 0\.001, not 0\.1\); give --force",
    ):
        run(small, place, replace(QUICK, epochs=4, lr=0.1))
    with pytest.raises(UserError, match=r"another configuration \(head 8, not 16\+4\)"):
        run(small, place, replace(QUICK, head=(16, 4)))
    assert (place / MODEL).read_bytes() == before


def test_force_replaces_another_configuration(small: Cohort, done: Path, tmp_path: Path) -> None:
    place = shutil.copytree(done, tmp_path / "m")
    run(small, place, replace(QUICK, epochs=1), force=True)
    assert read_model(place).config.epochs == 1
    assert len(read_model(place).history["epochs"]) == 1


def test_force_does_not_replace_what_is_the_same(
    small: Cohort, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = shutil.copytree(done, tmp_path / "m")
    monkeypatch.setattr(stage, "make_training", lambda *_, **__: pytest.fail("trained again"))
    before = (place / MODEL).read_bytes()
    run(small, place, force=True)
    assert (place / MODEL).read_bytes() == before


@pytest.mark.parametrize("name", [MODEL, "history.json", "seen.json"])
def test_what_is_damaged_is_fitted_again_with_force_alone(
    small: Cohort, done: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = shutil.copytree(done, tmp_path / "m")
    (place / name).write_bytes(b"not what it was")
    with monkeypatch.context() as patch:
        patch.setattr(stage, "make_training", lambda *_, **__: pytest.fail("trained again"))
        run(small, place)
    run(small, place, force=True)
    assert read_model(place).history["epochs"]
    before, after = tensors(done), tensors(place)
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_a_folder_of_something_else_is_refused(small: Cohort, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(UserError, match="exists and holds no model"):
        run(small, tmp_path)
    with pytest.raises(UserError, match="a file, where the model's folder should be"):
        run(small, tmp_path / "photo.jpg")


def test_a_folder_where_another_process_fits_is_refused(small: Cohort, tmp_path: Path) -> None:
    place = tmp_path / "m"
    with claimed(place, "unused"), pytest.raises(BusyError, match=r"m: another process is fitting this model; wait"):
        run(small, place)
    assert not (place / CONFIG).exists()
    assert run(small, place, replace(QUICK, epochs=1)) == place  # it is free again
    with claimed(place, "unused"), pytest.raises(BusyError, match="give another --out"):
        run(small, place, replace(QUICK, epochs=1))


def test_a_fit_holds_its_folder_until_it_ends(small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = []

    def begin(*arguments: object) -> None:
        with pytest.raises(BusyError) as busy:
            run(small, tmp_path / "m", replace(QUICK, epochs=1))
        refused.append(busy)

    monkeypatch.setattr(stage, "_warn_of_seen", begin)
    run(small, tmp_path / "m", replace(QUICK, epochs=1))
    assert len(refused) == 1


def test_a_frozen_backbone_trains_its_head_alike_with_and_without_a_cache(small: Cohort, tmp_path: Path) -> None:
    options = FitOptions(model="efficientnet_lite0", image_size=32, epochs=2)
    plain = tensors(run(small, tmp_path / "plain", options))
    for name in ("first", "second"):
        cached = tensors(run(small, tmp_path / name, options, cache=tmp_path / "features"))
        assert all(torch.equal(plain[key], cached[key]) for key in plain)
    assert len(list((tmp_path / "features").glob("*.safetensors"))) == 1


def test_fold_all_makes_a_folder_a_fold(small: Cohort, tmp_path: Path) -> None:
    options = replace(QUICK, epochs=1)
    places = fit(small, options=options, out=tmp_path / "m", folds=range(2), place=here())
    assert places == [tmp_path / "m" / "fold0", tmp_path / "m" / "fold1"]
    assert [read_model(place).config.fold for place in places] == [0, 1]
    run(small, tmp_path / "one", options)
    with pytest.raises(UserError, match="holds the model of a single fold; give another --out"):
        fit(small, options=options, out=tmp_path / "one", folds=range(2), place=here())


def test_settings_come_from_the_user_and_else_from_the_registry(small: Cohort) -> None:
    config = resolved(FitOptions(model="inception_v3", lr=0.5), small, 1)
    assert (config.lr, config.epochs, config.unfreeze, config.image_size) == (0.5, 20, 34, 299)
    assert (config.head, config.dropout, config.depth, config.patience) == ((512, 256), 0.5, None, None)
    assert resolved(FitOptions(unfreeze=0), small).unfreeze == 0
    assert resolved(FitOptions(), small).image_size == small.size == 32
    custom = resolved(FitOptions(), small)
    assert (custom.depth, custom.head, custom.unfreeze, custom.optimizer, custom.epochs) == (
        6,
        (32,),
        None,
        "rmsprop",
        300,
    )
    given = FitOptions(depth=2, head=(), dropout=0.0, patience=7, optimizer="sgd", batch=5, precision="fp32", seed=3)
    mine = resolved(given, small)
    assert {name: getattr(mine, name) for name in ("depth", "head", "dropout", "patience", "optimizer", "batch")} == {
        "depth": 2,
        "head": (),
        "dropout": 0.0,
        "patience": 7,
        "optimizer": "sgd",
        "batch": 5,
    }
    assert (mine.precision, mine.seed, mine.cohort, mine.bundles) == ("fp32", 3, small.sha256, ())


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (FitOptions(epochs=0), "--epochs 0"),
        (FitOptions(batch=0), "--batch 0"),
        (FitOptions(patience=0), "--patience 0"),
        (FitOptions(lr=0.0), "--lr 0"),
        (FitOptions(lr=float("nan")), "--lr nan"),
        (FitOptions(lr=float("inf")), "--lr inf: not a positive number"),
        (FitOptions(lr=1e39), r"--lr 1e\+39: more than 1e\+06, with which nothing learns; give one such as 0.000115"),
        (FitOptions(lr=1.01e6), r"--lr 1.01e\+06: more than"),
        (FitOptions(seed=-1), "--seed -1"),
        (FitOptions(optimizer="adagrad"), f"--optimizer adagrad: .* {', '.join(OPTIMIZERS)}"),
        (FitOptions(protocol="loose"), "--protocol loose: .* strict, paper"),
        (FitOptions(precision="fp8"), "--precision fp8: unknown"),
        (FitOptions(image_size=48), "--image-size 48"),
        (FitOptions(image_size=0), "--image-size 0"),
        (FitOptions(depth=0), "--depth 0"),
        (FitOptions(model="resnet50", depth=4), "--depth 4: resnet50"),
        (FitOptions(head=(0,)), "--head 0"),
        (FitOptions(dropout=1.0), "--dropout 1"),
        (FitOptions(ratio="2"), "--ratio 2"),
        (FitOptions(control="epochs"), "--control epochs"),
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


@pytest.mark.parametrize("protocol", ["strict", "paper"])
def test_a_fold_that_could_not_be_tested_is_not_fitted(small: Cohort, tmp_path: Path, protocol: str) -> None:
    """All positives are in the other fold."""
    fold = np.where((small.label == 1) & (small.fold == 0), 1, small.fold).astype(np.int8)
    without = replace(small, fold=fold)
    with pytest.raises(UserError, match=r": fold 0 lacks a class, .*; prepare the cohort with fewer --folds"):
        run(without, tmp_path / "m", replace(QUICK, protocol=protocol))
    assert not (tmp_path / "m").exists()
    assert plan(without, 0, options=QUICK, device=CPU, inner=True).config.fold == 0  # which tests nothing


def test_weights_that_are_missing_are_told_before_anything_is_written(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    with pytest.raises(UserError, match="and offline work downloads nothing"):
        run(small, tmp_path / "m", FitOptions(model="resnet50", image_size=32))
    assert not (tmp_path / "m").exists()


def test_a_loss_that_explodes_is_told(small: Cohort, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^--lr 1e\+06: the loss is no longer finite in epoch 1"):
        run(small, tmp_path / "m", replace(QUICK, lr=1e6, optimizer="sgd", epochs=1))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_lowers_the_loss(small: Cohort, tmp_path: Path, optimizer: str) -> None:
    options = replace(QUICK, optimizer=optimizer, dropout=0.0, lr=1e-4 if optimizer != "sgd" else 1e-3)
    losses = [row["train"]["loss"] for row in read_model(run(small, tmp_path / "m", options)).history["epochs"]]
    assert losses[-1] < losses[0]


def test_a_model_tells_what_it_was_made_of(
    small: Cohort, make_bundle: Callable[..., Bundle], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    tested = int((small.fold == 0).nonzero()[0][0])
    bundle = make_bundle(small, seen=[tested], count=6)
    place = run(small, tmp_path / "m", replace(QUICK, epochs=1, ratio="1:2"), bundles=[bundle])
    said = capsys.readouterr().err
    # What evaluate will refuse is said early: the image and its group's other one.
    assert "warning: 2 test images of fold 0 were seen" in said
    real, others = np.bincount(small.label[parts(small, 0).train])[::-1]
    made = Ratio(1, 2).count(real)
    distinct = min(others, real + made)
    assert (
        f"learnt from {real} real and {made} synthetic positives and {real + made} negatives ({distinct} distinct), "
        f"six-fold {2 * 6 * (real + made)};"
    ) in said
    fitted = read_model(place)
    assert {each.by for each in fitted.seen} == {"the classifier", seen_by_bundle(bundle).by}
    assert fitted.config.bundles == (bundle.sha256,)
    assert [(each["label"], each["images"]) for each in fitted.document["bundles"]] == [(1, 6)]
    assert not (place / CHECKPOINT).exists()
    assert len(fitted.history["validation"]["score"]) == len(fitted.history["validation"]["label"])
    logits = fitted.load()(torch.zeros(1, 32, 32, 3, dtype=torch.uint8))
    assert logits.shape == (1, 2)


def test_a_bundle_without_a_ratio_is_noted_and_not_used(
    small: Cohort, make_bundle: Callable[..., Bundle], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    place = run(small, tmp_path / "m", replace(QUICK, epochs=1), bundles=[make_bundle(small)])
    assert "note: --ratio none uses no synthetic images" in capsys.readouterr().err
    assert read_model(place).config.bundles == ()
    control = replace(QUICK, epochs=1, ratio="1:2", control="oversampling")
    place = run(small, tmp_path / "control", control, bundles=[make_bundle(small)])
    assert "note: --control oversampling uses no synthetic images, so --bundle is not used." in capsys.readouterr().err
    assert read_model(place).config.bundles == ()


def test_the_fastest_precision_is_taken_unless_the_head_alone_trains(
    small: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    for fastest in ("bf16", "tf32", "fp32"):
        monkeypatch.setattr(planning, "fastest_precision", lambda device, name=fastest: name)
        for asked in (None, "auto"):
            assert resolved(FitOptions(precision=asked), small).precision == fastest
            frozen = FitOptions(model="efficientnet_lite0", precision=asked)
            assert resolved(frozen, small).precision == "fp32"
            assert resolved(replace(frozen, unfreeze=1), small).precision == fastest
        assert resolved(FitOptions(precision="fp32"), small).precision == "fp32"
        assert resolved(FitOptions(model="linear_probe", precision="bf16"), small).precision == "bf16"


def test_half_precision_goes_through_epochs_of_its_own_that_are_near(small: Cohort, tmp_path: Path) -> None:
    options = replace(QUICK, dropout=0.0, lr=1e-4)
    full, half = (run(small, tmp_path / name, replace(options, precision=name)) for name in ("fp32", "bf16"))
    assert not same(full, half)
    assert_near(full, half, 0.05)
    assert all(value.dtype != torch.bfloat16 for value in tensors(half).values())
