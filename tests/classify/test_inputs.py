from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from classify import inputs
from classify.inputs import FeatureInputs, FeatureStore, PixelInputs
from classify.mixing import Entries, Ratio, mix
from classify.models import build_model
from shared.bundle import Bundle
from shared.cohort import Cohort
from shared.errors import UserError
from shared.weights import WeightSource


@pytest.fixture
def classifier() -> torch.nn.Module:
    torch.manual_seed(2)
    return build_model("efficientnet_lite0", image_size=32, weights=WeightSource(offline=True)).eval()


@pytest.fixture
def small(make_cohort: Callable[..., Cohort]) -> Cohort:
    return make_cohort(positives=8, negatives=8, externals=2, folds=2)


def test_cached_features_give_the_same_logits_as_pixels(
    classifier: torch.nn.Module, small: Cohort, make_bundle: Callable[..., Bundle], tmp_path: Path
) -> None:
    mixture = mix(small, 0, Ratio.parse("1:2"), make_bundle(small, count=4), "strict")
    with torch.inference_mode():
        expected = PixelInputs(classifier, mixture.images).logits(mixture.train)
        for folder in (None, tmp_path, tmp_path):  # without a folder, a new file, and one that is there
            found = FeatureInputs(classifier, mixture, FeatureStore(folder)).logits(mixture.train)
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_feature_depends_on_nothing_but_its_image(classifier: torch.nn.Module, small: Cohort, tmp_path: Path) -> None:
    images = np.asarray(small.images)[:11]
    entries = Entries(np.arange(11), np.arange(11) % 6)
    store = FeatureStore(None)
    together = store.features(classifier, images, entries)
    alone = np.concatenate([store.features(classifier, images, entries[np.array([row])]) for row in (10, 0)])
    np.testing.assert_array_equal(alone, together[[10, 0]])


def test_a_folder_saves_what_was_computed_before(
    classifier: torch.nn.Module, small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = np.asarray(small.images)[:6]
    computed = []

    def count(*arguments: object) -> np.ndarray:
        computed.append(len(arguments[2]))
        return compute(*arguments)

    compute = inputs._compute
    monkeypatch.setattr(inputs, "_compute", count)
    store = FeatureStore(tmp_path)
    first = store.features(classifier, images, Entries(np.arange(4), np.zeros(4, np.int64)))
    # Images 2 and 3 are known; 3 turned is another picture; 1 is asked for in another place of another array.
    more = store.features(classifier, images[1:], Entries(np.array([2, 1, 2, 0]), np.array([0, 0, 3, 0])))
    assert computed == [4, 1]
    np.testing.assert_array_equal(more[[0, 1, 3]], first[[3, 2, 1]])
    with torch.no_grad():
        next(classifier.backbone.parameters()).mul_(2)
    store.features(classifier, images, Entries(np.arange(1), np.zeros(1, np.int64)))
    assert computed == [4, 1, 1]  # another backbone shares nothing
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


def test_a_damaged_file_of_features_is_refused(classifier: torch.nn.Module, small: Cohort, tmp_path: Path) -> None:
    store, entries = FeatureStore(tmp_path), Entries(np.arange(2), np.zeros(2, np.int64))
    store.features(classifier, np.asarray(small.images), entries)
    path = next(tmp_path.glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"a damaged feature file .* delete it"):
        store.features(classifier, np.asarray(small.images), entries)
