"""Maps of random weights: what is drawn, and what the comparison says of maps that do or do not depend on it."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from classify.explaining.heatmap import grad_cam
from classify.explaining.randomized import NETWORKS, Randomized, compare_randomized, randomized, rank_correlations
from classify.models import Classifier, build_model

IMAGES = torch.randint(0, 256, (6, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def network() -> Classifier:
    torch.manual_seed(5)
    classifier = build_model("custom_cnn", image_size=32, depth=3)
    for module in classifier.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return classifier.eval()


def brightness(classifier: Classifier, images: Tensor, **_: Any) -> Tensor:
    """A map that shows the picture, whatever the network thinks of it."""
    return images.float().mean(3)


def test_every_weight_is_new_and_the_classifier_stays_as_it_was() -> None:
    classifier = network()
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    made = randomized(classifier, IMAGES, seed=1)
    after = made.state_dict()
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())
    for name, value in before.items():
        if value.is_floating_point() and "norm" not in name:
            assert (after[name] != value).float().mean() > 0.99, name
    assert not made.training
    for again, same in ((1, True), (2, False)):
        other = randomized(classifier, IMAGES, seed=again).state_dict()
        assert torch.equal(other["head.0.weight"], after["head.0.weight"]) == same


def test_normalisations_know_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two batches of three: mean and unbiased variance of the first layer are the averages over both."""
    monkeypatch.setattr("classify.explaining.randomized.inference_batch", lambda _: 3)
    made = randomized(network(), IMAGES, seed=3)
    with torch.no_grad():
        first = made.backbone.conv1(made.prepare(IMAGES))
    pieces = [piece.transpose(0, 1).flatten(1) for piece in (first[:3], first[3:])]
    norm = made.backbone.norm1
    torch.testing.assert_close(norm.running_mean, torch.stack([piece.mean(1) for piece in pieces]).mean(0))
    torch.testing.assert_close(norm.running_var, torch.stack([piece.var(1) for piece in pieces]).mean(0))
    assert torch.equal(norm.weight, torch.ones_like(norm.weight))


@pytest.mark.parametrize("images", [IMAGES, IMAGES[:1]])
def test_random_networks_still_answer_differently_to_different_places(images: Tensor) -> None:
    """A network that has died has the same map everywhere, and nothing could be compared."""
    for seed in range(3):
        maps = grad_cam(randomized(network(), images, seed=seed), images, signed=True)
        assert (maps.std((1, 2)) > 1e-4 * maps.abs().amax((1, 2))).all()


def test_layers_without_a_beginning_of_their_own_are_shuffled() -> None:
    class Scale(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gamma = torch.nn.Parameter(torch.arange(40.0))

        def forward(self, x: Tensor) -> Tensor:
            return x

    classifier = network()
    classifier.backbone.add_module("scale", Scale())
    found = randomized(classifier, IMAGES, seed=0).backbone.scale.gamma.detach()
    assert torch.equal(found.sort().values, torch.arange(40.0))
    assert not torch.equal(found, torch.arange(40.0))


def test_rank_correlations_are_one_for_any_rising_change_and_undefined_for_flat_maps() -> None:
    rng = np.random.default_rng(0)
    maps = rng.random((4, 5, 5))
    others = np.stack([np.exp(maps[0]), -maps[1], np.zeros((5, 5)), rng.permutation(maps[3].ravel()).reshape(5, 5)])
    found = rank_correlations(maps, others)
    ranks = [np.argsort(np.argsort(each.ravel())) for each in (maps[3], others[3])]
    assert found[:2] == pytest.approx([1, -1])
    assert np.isnan(found[2])
    assert found[3] == pytest.approx(np.corrcoef(*ranks)[0, 1])


def test_maps_of_the_weights_change_with_them_and_maps_of_the_picture_do_not() -> None:
    classifier = network()
    told: list[float] = []
    learnt = compare_randomized(classifier, IMAGES, grad_cam, seed=0, advance=told.append)
    assert (learnt.n, learnt.networks, sum(told)) == (6, NETWORKS, 6 * (1 + NETWORKS))
    assert learnt.mean is not None
    assert learnt.mean < 0.9
    blind = compare_randomized(classifier, IMAGES, brightness, seed=0)
    assert blind.mean == pytest.approx(1)
    assert blind.std == pytest.approx(0)
    assert "do not read them" in blind.sentence
    assert blind.others == pytest.approx(
        np.mean([np.corrcoef(*_ranks(IMAGES, row, row - 1))[0, 1] for row in range(6)]), abs=0.01
    )  # ties are few


def _ranks(images: Tensor, *rows: int) -> list[np.ndarray]:
    return [np.argsort(np.argsort(images[row].float().mean(2).numpy().ravel(), kind="stable")) for row in rows]


def test_the_mean_is_over_images_of_means_over_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = iter(np.random.default_rng(1).random((1 + NETWORKS, 4, 3, 3)))
    drawn: list[np.ndarray] = []

    def method(*_: Any, **__: Any) -> Tensor:
        drawn.append(next(maps))
        return torch.from_numpy(drawn[-1])

    found = compare_randomized(network(), IMAGES[:4], method, seed=0)
    table = np.array([rank_correlations(drawn[0], other) for other in drawn[1:]])
    assert found.mean == pytest.approx(table.mean())
    assert found.std == pytest.approx(table.mean(0).std(ddof=1))


def test_flat_maps_are_counted_and_said() -> None:
    def flat(classifier: Classifier, images: Tensor, **_: Any) -> Tensor:
        return torch.zeros(images.shape[:3])

    found = compare_randomized(network(), IMAGES[:2], flat, seed=0)
    assert (found.n, found.mean, found.std, found.others) == (0, None, None, None)
    assert found.undefined == 2 * NETWORKS
    assert "the same everywhere" in found.sentence


@pytest.mark.parametrize(
    ("mean", "verdict"),
    [(0.05, "what the network has learnt"), (-0.45, "part of what the maps show"), (0.8, "do not read them")],
)
def test_the_sentence_follows_the_number(mean: float, verdict: str) -> None:
    sentence = Randomized(n=9, networks=3, mean=mean, std=0.125, undefined=0, others=0.25).sentence
    assert verdict in sentence
    assert f"{mean:.2f} ± 0.12" in sentence
    assert "n = 9 images" in sentence
