from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from fitting import CPU

from classify.fitting import inputs
from classify.fitting.augment import draw_changes, transform, vary
from classify.fitting.features import FeatureStore
from classify.fitting.inputs import FeatureInputs, Inputs, PixelInputs, choose_inputs
from classify.fitting.mixing import Entries, Mixture, mix
from classify.fitting.pixels import Pixels
from classify.fitting.prefix import Cut, cut
from classify.fitting.ratio import Ratio
from classify.fitting.schedule import Shown, TrainSettings
from classify.fitting.supply import Supply
from classify.models import Classifier, build_model, set_trainable
from shared.bundle import Bundle
from shared.cohort import Cohort
from shared.nn.device import autocast
from shared.weights import WeightSource

SEED = 11
SETTINGS = TrainSettings(epochs=1, lr=1e-3, batch=16, optimizer="adam", seed=SEED)


@pytest.fixture
def classifier() -> Classifier:
    torch.manual_seed(2)
    return build_model("efficientnet_lite0", image_size=32, weights=WeightSource(offline=True)).eval()


@pytest.fixture
def small(make_cohort: Callable[..., Cohort]) -> Cohort:
    return make_cohort(positives=8, negatives=8, externals=2, folds=2)


@pytest.fixture
def mixture(small: Cohort, make_bundle: Callable[..., Bundle]) -> Mixture:
    return mix(small, 0, Ratio.parse("1:2"), Supply((make_bundle(small, count=4),)), "strict")


def frozen(classifier: Classifier) -> Cut:
    parts = cut(classifier)
    assert parts is not None
    return parts


def pixels_of(images: np.ndarray) -> Pixels:
    return Pixels(np.asarray(images), CPU, SEED)


@pytest.mark.parametrize("unfreeze", [0, 5])
def test_cached_features_give_the_same_logits_as_pixels(
    classifier: Classifier, mixture: Mixture, tmp_path: Path, unfreeze: int
) -> None:
    set_trainable(classifier, unfreeze, name="efficientnet_lite0")
    pixels, parts = pixels_of(mixture.images), frozen(classifier)
    shown = Shown([mixture.train, mixture.train.varied(2)], [mixture.validation])
    with torch.inference_mode():
        for folder in (None, tmp_path, tmp_path):  # without a folder, a new file, and one that is there
            found = FeatureInputs(classifier, parts, pixels, shown, FeatureStore(folder))
            for entries in shown.all:
                expected = PixelInputs(classifier, pixels).logits(entries)
                torch.testing.assert_close(found.logits(entries), expected, rtol=1e-4, atol=1e-4)


def test_pixels_are_those_of_each_entrys_image_transform_and_change(small: Cohort) -> None:
    images = np.asarray(small.images)[:5]
    entries = Entries(np.array([4, 0, 2, 4]), np.array([3, 0, 5, 1]), np.array([0, 2, 0, 7]))
    found = Pixels(images, CPU, SEED)[entries]
    for row, (index, turn, variation) in enumerate(
        zip(entries.index, entries.transform, entries.variation, strict=True)
    ):
        expected = transform(torch.from_numpy(images[index : index + 1]), torch.tensor([turn]))
        if variation:
            key = (SEED, int(index), int(turn), int(variation))
            expected = vary(expected, torch.from_numpy(draw_changes([key])))
        torch.testing.assert_close(found[row], expected[0], rtol=0, atol=0)
    assert not torch.equal(Pixels(images, CPU, SEED + 1)[entries][1], found[1])
    assert torch.equal(Pixels(images, CPU, SEED + 1)[entries][0], found[0])


@pytest.mark.parametrize(("unfreeze", "store"), [(0, False), (0, True), (12, False)])
def test_features_for_half_precision_are_those_of_half_precision(
    classifier: Classifier, mixture: Mixture, tmp_path: Path, unfreeze: int, store: bool
) -> None:
    """Steps run in bfloat16 and scores in float32: kept features give to each what pixels do."""
    set_trainable(classifier, unfreeze, name="efficientnet_lite0")
    classifier.eval()
    pixels, parts = pixels_of(mixture.images), frozen(classifier)
    some = np.arange(0, len(mixture.train), 5)
    shown = Shown([mixture.train[some]], [mixture.validation])
    folder = tmp_path if store else None
    whole = PixelInputs(classifier, pixels)
    kept = FeatureInputs(classifier, parts, pixels, shown, FeatureStore(folder), torch.bfloat16)
    with torch.inference_mode():
        in_full = whole.logits(shown.trained[0])
        with autocast(CPU, torch.bfloat16):
            in_half, found = (each.logits(shown.trained[0]).float() for each in (whole, kept))
        expected = whole.logits(mixture.validation)
        torch.testing.assert_close(kept.logits(mixture.validation), expected, rtol=1e-4, atol=1e-4)
    # Half precision is not full precision (or this would show nothing), and the features are of the one asked for.
    assert (found - in_half).abs().max() < 0.1 * (in_full - in_half).abs().max()


def test_features_are_kept_where_layers_are_frozen_and_memory_allows(
    classifier: Classifier, mixture: Mixture, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def chosen() -> Inputs:
        return choose_inputs(classifier, cut(classifier), mixture, FeatureStore(), SETTINGS)

    assert isinstance(chosen(), FeatureInputs)
    distinct = len({*zip(mixture.train.index, mixture.train.transform, strict=True)}) + len(mixture.validation)
    monkeypatch.setattr(inputs, "MAX_KEPT_BYTES", 4 * 1280 * distinct)  # floats of 1280 features
    assert isinstance(chosen(), FeatureInputs)
    monkeypatch.setattr(inputs, "MAX_KEPT_BYTES", 4 * 1280 * distinct - 1)
    capsys.readouterr()
    assert isinstance(chosen(), PixelInputs)
    assert "so they run in every epoch" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.setattr(inputs, "free_bytes", lambda _: 2 * 4 * 1280 * distinct)  # of which half may be taken
    assert isinstance(chosen(), FeatureInputs)
    monkeypatch.setattr(inputs, "free_bytes", lambda _: 2 * 4 * 1280 * distinct - 2)
    assert isinstance(chosen(), PixelInputs)
    monkeypatch.setattr(inputs, "free_bytes", lambda _: None)  # a system that does not tell
    assert isinstance(chosen(), FeatureInputs)
    set_trainable(classifier, None, name="efficientnet_lite0")
    assert isinstance(chosen(), PixelInputs)
