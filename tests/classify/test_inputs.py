from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from fitting import CPU

from classify import features, inputs
from classify.augment import draw_changes, transform, vary
from classify.features import FeatureStore, backbone_sha256
from classify.inputs import FeatureInputs, Inputs, PixelInputs, choose_inputs
from classify.mixing import Entries, Mixture, mix
from classify.models import Classifier, build_model, set_trainable
from classify.pixels import Pixels
from classify.prefix import Cut, cut
from classify.ratio import Ratio
from classify.schedule import Shown
from classify.supply import Supply
from shared.bundle import Bundle
from shared.cohort import Cohort
from shared.errors import UserError
from shared.weights import WeightSource

SEED = 11


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


def test_a_feature_depends_on_nothing_but_its_image(classifier: Classifier, small: Cohort) -> None:
    pixels, parts = pixels_of(small.images[:11]), frozen(classifier)
    entries = Entries(np.arange(11), np.arange(11) % 6, np.arange(11) % 3)
    store = FeatureStore(None)
    together = store.features(classifier, parts, pixels, entries)
    alone = [store.features(classifier, parts, pixels, entries[np.array([row])]) for row in (10, 0)]
    np.testing.assert_array_equal(np.concatenate(alone), together[[10, 0]])


def test_a_folder_saves_what_was_computed_before(
    classifier: Classifier, small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, parts = np.asarray(small.images)[:6], frozen(classifier)
    computed = []

    def count(*arguments: object) -> np.ndarray:
        computed.append(len(arguments[3]))
        return compute(*arguments)

    compute = features._compute
    monkeypatch.setattr(features, "_compute", count)
    store = FeatureStore(tmp_path)
    plain = Entries(np.arange(4), np.zeros(4, np.int64))
    first = store.features(classifier, parts, pixels_of(images), plain)
    # Images 2 and 3 are known; 3 turned is another picture; 1 is asked for in another place of another array.
    wanted = Entries(np.array([2, 1, 2, 0]), np.array([0, 0, 3, 0]))
    more = store.features(classifier, parts, pixels_of(images[1:]), wanted)
    assert computed == [4, 1]
    np.testing.assert_array_equal(more[[0, 1, 3]], first[[3, 2, 1]])
    store.features(classifier, parts, pixels_of(images), plain.varied(1))  # random changes make other pictures
    store.features(classifier, parts, pixels_of(images), plain.varied(1))  # which are the same the next time
    assert computed == [4, 1, 4]
    with torch.no_grad():
        next(classifier.backbone.parameters()).mul_(2)
    store.features(classifier, parts, pixels_of(images), plain[np.arange(1)])
    assert computed == [4, 1, 4, 1]  # another backbone shares nothing
    set_trainable(classifier, 5, name="efficientnet_lite0")
    store.features(classifier, frozen(classifier), pixels_of(images), plain[np.arange(1)])
    assert computed == [4, 1, 4, 1, 1]  # nor does another piece of it
    assert len(list(tmp_path.glob("*.safetensors"))) == 3


def test_stored_features_are_named_by_all_that_decides_on_them(classifier: Classifier) -> None:
    before = backbone_sha256(classifier)
    names = {before, backbone_sha256(classifier, "relu_3")}
    with torch.no_grad():
        classifier.head[0].weight.mul_(2)
        assert backbone_sha256(classifier) == before  # the head decides on no feature
        statistics = next(b for name, b in classifier.backbone.named_buffers() if name.endswith("running_var"))
        for tensor in (classifier.mean, classifier.std, next(classifier.backbone.parameters()), statistics):
            tensor.mul_(1.25)
            names.add(backbone_sha256(classifier))
    classifier.image_size = 64
    names.add(backbone_sha256(classifier))
    assert len(names) == 7


def test_a_damaged_file_of_features_is_refused(classifier: Classifier, small: Cohort, tmp_path: Path) -> None:
    store, entries = FeatureStore(tmp_path), Entries(np.arange(2), np.zeros(2, np.int64))
    store.features(classifier, frozen(classifier), pixels_of(small.images), entries)
    path = next(tmp_path.glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"a damaged feature file .* delete it"):
        store.features(classifier, frozen(classifier), pixels_of(small.images), entries)


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


def test_features_are_kept_where_layers_are_frozen_and_memory_allows(
    classifier: Classifier, mixture: Mixture, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = Shown([mixture.train], [mixture.validation])

    def chosen() -> Inputs:
        return choose_inputs(classifier, cut(classifier), mixture, shown, FeatureStore(), SEED)

    assert isinstance(chosen(), FeatureInputs)
    distinct = len({*zip(mixture.train.index, mixture.train.transform, strict=True)}) + len(mixture.validation)
    monkeypatch.setattr(inputs, "MAX_KEPT_BYTES", 4 * 1280 * distinct)  # floats of 1280 features
    assert isinstance(chosen(), FeatureInputs)
    monkeypatch.setattr(inputs, "MAX_KEPT_BYTES", 4 * 1280 * distinct - 1)
    capsys.readouterr()
    assert isinstance(chosen(), PixelInputs)
    assert "so they run in every epoch" in capsys.readouterr().err
    set_trainable(classifier, None, name="efficientnet_lite0")
    assert isinstance(chosen(), PixelInputs)
