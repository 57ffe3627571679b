"""Features of frozen layers: what decides on them, what is kept of them, and what an interruption leaves."""

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fitting import CPU, run, same
from safetensors.numpy import load_file

from classify.fitting import feature_file, features
from classify.fitting.feature_file import FeatureFile
from classify.fitting.features import FeatureStore, backbone_sha256
from classify.fitting.folder import MODEL
from classify.fitting.mixing import Entries
from classify.fitting.pixels import Pixels
from classify.fitting.prefix import Cut, cut
from classify.fitting.settings import FitOptions
from classify.models import Classifier, build_model, set_trainable
from shared.cohort import Cohort
from shared.errors import UserError
from shared.interruption import Interruption, StopAskedError
from shared.weights import WeightSource

SEED = 11


@pytest.fixture
def classifier() -> Classifier:
    torch.manual_seed(2)
    return build_model("efficientnet_lite0", image_size=32, weights=WeightSource(offline=True)).eval()


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many features each call computes, as far as it comes."""
    counts: list[int] = []
    fill = FeatureStore._fill

    def watched(store: FeatureStore, found: Any, entries: Any, missing: Any, compute: Any, size: int) -> Any:
        if len(missing):
            counts.append(0)
        begun = 0
        for end in fill(store, found, entries, missing, compute, size):
            counts[-1] += end - begun
            begun = end
            yield end

    monkeypatch.setattr(FeatureStore, "_fill", watched)
    return counts


def frozen(classifier: Classifier) -> Cut:
    parts = cut(classifier)
    assert parts is not None
    return parts


def pixels_of(images: np.ndarray) -> Pixels:
    return Pixels(np.asarray(images), CPU, SEED)


def plain(count: int) -> Entries:
    return Entries(np.arange(count), np.zeros(count, np.int64))


def test_a_feature_depends_on_nothing_but_its_image(classifier: Classifier, small: Cohort) -> None:
    pixels, parts = pixels_of(small.images[:11]), frozen(classifier)
    entries = Entries(np.arange(11), np.arange(11) % 6, np.arange(11) % 3)
    store = FeatureStore(None)
    together = store.features(classifier, parts, pixels, entries)
    alone = [store.features(classifier, parts, pixels, entries[np.array([row])]) for row in (10, 0)]
    np.testing.assert_array_equal(np.concatenate(alone), together[[10, 0]])


def test_a_folder_saves_what_was_computed_before(
    classifier: Classifier, small: Cohort, tmp_path: Path, computed: list[int]
) -> None:
    images, parts = np.asarray(small.images)[:6], frozen(classifier)
    store, four = FeatureStore(tmp_path), plain(4)
    first = store.features(classifier, parts, pixels_of(images), four)
    # Images 2 and 3 are known; 3 turned is another picture; 1 is asked for in another place of another array.
    wanted = Entries(np.array([2, 1, 2, 0]), np.array([0, 0, 3, 0]))
    more = store.features(classifier, parts, pixels_of(images[1:]), wanted)
    assert computed == [4, 1]
    np.testing.assert_array_equal(more[[0, 1, 3]], first[[3, 2, 1]])
    store.features(classifier, parts, pixels_of(images), four.varied(1))  # random changes make other pictures
    store.features(classifier, parts, pixels_of(images), four.varied(1))  # which are the same the next time
    assert computed == [4, 1, 4]
    with torch.no_grad():
        next(classifier.backbone.parameters()).mul_(2)
    store.features(classifier, parts, pixels_of(images), four[np.arange(1)])
    assert computed == [4, 1, 4, 1]  # another backbone shares nothing
    set_trainable(classifier, 5, name="efficientnet_lite0")
    store.features(classifier, frozen(classifier), pixels_of(images), four[np.arange(1)])
    assert computed == [4, 1, 4, 1, 1]  # nor does another piece of it
    assert len(list(tmp_path.glob("*.safetensors"))) == 3


def test_stored_features_are_named_by_all_that_decides_on_them(classifier: Classifier) -> None:
    before = backbone_sha256(classifier)
    names = {before, backbone_sha256(classifier, "relu_3")}
    names |= {backbone_sha256(classifier, precision=name) for name in ("bf16", "tf32")}
    with torch.no_grad():
        classifier.head[0].weight.mul_(2)
        assert backbone_sha256(classifier) == before  # the head decides on no feature
        statistics = next(b for name, b in classifier.backbone.named_buffers() if name.endswith("running_var"))
        for tensor in (classifier.mean, classifier.std, next(classifier.backbone.parameters()), statistics):
            tensor.mul_(1.25)
            names.add(backbone_sha256(classifier))
    classifier.image_size = 64
    names.add(backbone_sha256(classifier))
    assert len(names) == 9


def test_a_damaged_file_of_features_is_refused(classifier: Classifier, small: Cohort, tmp_path: Path) -> None:
    store, entries = FeatureStore(tmp_path), plain(2)
    store.features(classifier, frozen(classifier), pixels_of(small.images), entries)
    path = next(tmp_path.glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"a damaged feature file .* delete it"):
        store.features(classifier, frozen(classifier), pixels_of(small.images), entries)


def test_a_file_of_features_of_another_version_is_refused(
    classifier: Classifier, small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = classifier, frozen(classifier), pixels_of(small.images), plain(2)
    monkeypatch.setattr(feature_file, "VERSION", "2")
    FeatureStore(tmp_path).features(*given)
    monkeypatch.undo()
    with pytest.raises(UserError, match=r"version 2, and this is version 1.* delete it"):
        FeatureStore(tmp_path).features(*given)


def test_another_version_of_pytorch_finds_nothing(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    before = backbone_sha256(classifier)
    monkeypatch.setattr(torch, "__version__", "0.4.1")
    assert backbone_sha256(classifier) != before


def test_what_frozen_layers_had_to_do_is_counted(classifier: Classifier, small: Cohort, tmp_path: Path) -> None:
    """Four pictures, and then two of them again beside one that is new."""
    given = classifier, frozen(classifier), pixels_of(small.images)
    first, second = FeatureStore(tmp_path), FeatureStore(tmp_path)
    first.features(*given, plain(4))
    second.features(*given, plain(5)[np.array([0, 3, 4])])
    assert (first.work.computed, first.work.kept) == (4, 0)
    assert (second.work.computed, second.work.kept) == (1, 2)
    assert first.work.seconds > 0


def test_each_precision_has_a_file_of_its_own(
    classifier: Classifier, small: Cohort, tmp_path: Path, computed: list[int]
) -> None:
    store, given = FeatureStore(tmp_path), (classifier, frozen(classifier), pixels_of(small.images), plain(3))
    full, half = (store.features(*given, dtype) for dtype in (torch.float32, torch.bfloat16))
    assert not np.array_equal(full, half)
    assert computed == [3, 3]
    for dtype, expected in ((torch.float32, full), (torch.bfloat16, half)):
        np.testing.assert_array_equal(store.features(*given, dtype), expected)
    assert computed == [3, 3]


class Counted(Interruption):
    """A signal that comes while batch `after` is computed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
        super().__init__()
        self.batches = 0
        prepare = Classifier.prepare

        def counted(classifier: Classifier, images: torch.Tensor) -> torch.Tensor:
            self.batches += 1
            if self.batches == after:
                self.receive(signal.SIGTERM, None)
            return prepare(classifier, images)

        monkeypatch.setattr(Classifier, "prepare", counted)


def test_a_signal_among_the_features_keeps_those_that_are_done(
    classifier: Classifier,
    small: Cohort,
    tmp_path: Path,
    computed: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts, pixels = frozen(classifier), pixels_of(small.images)
    whole = FeatureStore().features(classifier, parts, pixels, plain(20))
    monkeypatch.setattr(features, "CPU_BATCH_PIXELS", 4 * 32**2)  # batches of four
    stopping = Counted(monkeypatch, after=3)
    with pytest.raises(StopAskedError):
        FeatureStore(tmp_path, interruption=stopping).features(classifier, parts, pixels, plain(20))
    assert stopping.batches == 3  # it ends behind the batch
    (path,) = tmp_path.glob("*.safetensors")
    assert len(load_file(path)["features"]) == 12
    found = FeatureStore(tmp_path).features(classifier, parts, pixels, plain(20))
    assert computed == [20, 12, 8]
    np.testing.assert_allclose(found, whole, rtol=1e-4, atol=1e-5)


def test_a_fit_that_was_stopped_among_its_features_goes_on_there(
    small: Cohort, tmp_path: Path, computed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = FitOptions(model="efficientnet_lite0", image_size=32, epochs=1, batch=16, head=(8,))
    monkeypatch.setattr(features, "CPU_BATCH_PIXELS", 8 * 32**2)
    straight = run(small, tmp_path / "straight", options)
    interruption = Counted(monkeypatch, after=3)
    with pytest.raises(StopAskedError):
        run(small, tmp_path / "m", options, cache=tmp_path / "cache", interruption=interruption)
    assert not (tmp_path / "m" / MODEL).exists()
    assert same(straight, run(small, tmp_path / "m", options, cache=tmp_path / "cache"))
    whole, first, rest = computed
    assert first == 2 * 8  # the very first batch is a blank one, by which the network is cut
    assert rest == whole - first


def test_features_are_saved_every_half_minute(
    classifier: Classifier, small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is killed loses what came after."""
    parts, pixels = frozen(classifier), pixels_of(small.images)
    monkeypatch.setattr(features, "CPU_BATCH_PIXELS", 4 * 32**2)
    prepare, batches, now = Classifier.prepare, [], [0.0]

    def killed(own: Classifier, images: torch.Tensor) -> torch.Tensor:
        batches.append(images)
        now[0] += 12.0  # seconds a batch
        if len(batches) == 6:
            raise KeyboardInterrupt
        return prepare(own, images)

    monkeypatch.setattr(features.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(Classifier, "prepare", killed)
    with pytest.raises(KeyboardInterrupt):
        FeatureStore(tmp_path).features(classifier, parts, pixels, plain(24))
    (path,) = tmp_path.glob("*.safetensors")
    assert len(load_file(path)["features"]) == 3 * 4  # after 36 seconds; the next time would have been after 72


def test_others_may_add_to_a_file_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "f.safetensors"
    digests = [bytes([number]) * 32 for number in range(5)]
    values = np.arange(10, dtype=np.float32).reshape(5, 2)
    mine, theirs = FeatureFile(path, 2), FeatureFile(path, 2)
    into = np.zeros((5, 2), np.float32)
    assert not mine.look_up(digests, into).any()
    theirs.add(digests[2:4], values[2:4])
    mine.add(digests[:3], values[:3])  # one of them is there already
    assert mine.look_up(digests, into).tolist() == [True] * 4 + [False]
    np.testing.assert_array_equal(into[:4], values[:4])
    assert len(load_file(path)["features"]) == 4


def test_a_full_file_is_told_once_and_holds_what_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(feature_file, "MAX_STORED_BYTES", 4 * 2 * 3)  # three of two floats
    file, values = FeatureFile(tmp_path / "f.safetensors", 2), np.ones((5, 2), np.float32)
    digests = [bytes([number]) * 32 for number in range(5)]
    for rows in (slice(0, 2), slice(2, 4), slice(4, 5)):
        file.add(digests[rows], values[rows])
    assert file.look_up(digests, values).tolist() == [True, True, True, False, False]
    assert capsys.readouterr().err.count("more stays in memory only") == 1
