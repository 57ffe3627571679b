"""A backbone cut in front of what trains is the same network, in both modes, with the same gradients."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fitting import QUICK, assert_near, here, run, tensors
from torch import Tensor, nn

from classify.fitting import making as stage
from classify.fitting.inputs import FeatureInputs, PixelInputs, choose_inputs
from classify.fitting.making import make_classifier
from classify.fitting.mixing import Mixture
from classify.fitting.pixels import Pixels
from classify.fitting.plan import plan
from classify.fitting.prefix import Cut, cut
from classify.fitting.settings import FitOptions
from classify.models import Classifier, build_model, parameter_modules, set_trainable, trainable_state
from shared.cohort import Cohort

NETWORKS = [
    ("resnet50", 64, 6),
    ("inception_v3", 75, 34),
    ("efficientnet_lite0", 64, 4),
    ("efficientnet_lite0", 32, 0),
    ("mobilenet", 64, 5),
    ("custom_cnn", 32, 2),
    ("custom_cnn", 32, 11),
    ("timm:vit_tiny_patch16_224", 224, 9),
    ("timm:regnety_002", 64, 8),
]


def network(name: str, size: int, unfreeze: int) -> Classifier:
    """Random weights, and batch statistics as of some data."""
    torch.manual_seed(1)
    classifier = build_model(name, image_size=size)
    for module in classifier.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
    set_trainable(classifier, unfreeze, name=name)
    return classifier


def kept(classifier: Classifier) -> Cut:
    parts = cut(classifier)
    assert parts is not None
    return parts


def images_of(size: int, count: int = 4) -> Tensor:
    return torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8)


def gradients(classifier: Classifier) -> dict[str, Tensor | None]:
    return {name: p.grad for name, p in classifier.backbone.named_parameters() if p.requires_grad}


def near(found: Tensor, expected: Tensor) -> None:
    scale = float(expected.detach().abs().max())
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.parametrize(("name", "size", "unfreeze"), NETWORKS)
def test_both_pieces_make_the_whole(name: str, size: int, unfreeze: int) -> None:
    whole = network(name, size, unfreeze)
    pieces = copy.deepcopy(whole)
    parts, images = kept(pieces), images_of(size)
    assert all(torch.equal(value, whole.state_dict()[key]) for key, value in pieces.state_dict().items())
    for each in (whole, pieces):
        each.eval()
    with torch.inference_mode():
        features = parts.first(pieces.prepare(images))
        assert features.shape == (4, parts.width)
        assert features.dtype == torch.float32
        near(parts.rest(features), whole.features(images))
        near(parts.rest(features[2:3]), whole.features(images[2:3]))


@pytest.mark.parametrize(("name", "size", "unfreeze"), [each for each in NETWORKS if each[2]])
def test_both_pieces_train_as_the_whole_does(name: str, size: int, unfreeze: int) -> None:
    whole = network(name, size, unfreeze)
    pieces = copy.deepcopy(whole)
    parts, images = kept(pieces), images_of(size)
    pieces.eval()
    with torch.inference_mode():
        features = parts.first(pieces.prepare(images)).clone()
    for each in (whole, pieces):
        each.train()
    expected, found = whole.features(images), parts.rest(features.clone())
    near(found, expected)
    weight = torch.randn_like(expected)
    for out in (expected, found):
        (out * weight).sum().backward()
    theirs, ours = gradients(whole), gradients(pieces)
    assert any(gradient is not None and gradient.any() for gradient in theirs.values())
    assert theirs.keys() == ours.keys()
    for key, gradient in theirs.items():
        if gradient is None:  # the network has it and does not use it
            assert ours[key] is None
        else:
            near(ours[key], gradient)
    # The frozen piece has no gradients, and batch statistics have moved alike: those of the layers that train.
    assert all(p.grad is None for each in (whole, pieces) for p in each.backbone.parameters() if not p.requires_grad)
    for key, value in whole.state_dict().items():
        if value.is_floating_point():
            near(pieces.state_dict()[key], value)


def test_several_tensors_may_cross_the_cut() -> None:
    """Between two branches of InceptionV3's last blocks there are the block's input, one branch's inside, its pool."""
    classifier = network("inception_v3", 75, 34)
    parts = kept(classifier)
    assert len(parts.description.split()) > 1
    with torch.inference_mode():
        features = parts.first(classifier.prepare(images_of(75, 2)))
    assert parts.width == features.shape[1]


def test_a_cut_leaves_modes_and_statistics_as_they_were() -> None:
    for mode in (True, False):
        classifier = network("resnet50", 64, 6)
        classifier.train(mode)
        modes = [module.training for module in classifier.modules()]
        state = copy.deepcopy(classifier.state_dict())
        kept(classifier)
        assert [module.training for module in classifier.modules()] == modes
        assert all(torch.equal(value, state[name]) for name, value in classifier.state_dict().items())


@pytest.mark.parametrize(("name", "size"), [("custom_cnn", 32), ("mobilenet", 32), ("resnet50", 32)])
def test_nothing_is_kept_when_the_first_layer_trains(name: str, size: int) -> None:
    classifier = network(name, size, 0)
    set_trainable(classifier, None, name=name)
    assert cut(classifier) is None
    set_trainable(classifier, len(parameter_modules(classifier.backbone)) - 1, name=name)
    assert cut(classifier) is not None  # the first alone is frozen


def test_a_transformer_whose_graph_cannot_be_drawn_is_left_whole() -> None:
    assert cut(network("timm:test_vit", 160, 3)) is None


class Capricious(nn.Module):
    """Its course depends on its images, so that no graph of it can be drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.second = nn.Conv2d(4, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.second(x if x.sum() > 0 else -x).mean((2, 3))


class Biased(nn.Module):
    """What is frozen gives something that does not depend on an image, and so has one row for all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.randn(1, 4))
        self.first = nn.Conv2d(3, 4, 3)
        self.second = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).mean((2, 3))) + self.bias.exp()


@pytest.mark.parametrize("backbone", [Capricious, Biased])
def test_a_network_that_cannot_be_cut_is_left_whole(backbone: type[nn.Module]) -> None:
    classifier = Classifier(backbone(), nn.Linear(4, 2), image_size=8, mean=(0.5,) * 3, std=(0.5,) * 3)
    set_trainable(classifier, 1, name="toy")
    classifier.train()
    modes = [module.training for module in classifier.modules()]
    assert cut(classifier) is None
    assert [module.training for module in classifier.modules()] == modes
    set_trainable(classifier, 0, name="toy")
    assert kept(classifier).width == 4  # frozen as a whole it is no matter


FROZEN = [
    replace(QUICK, depth=3, unfreeze=2, epochs=2),
    FitOptions(model="mobilenet", image_size=32, unfreeze=4, epochs=2, head=(8,), lr=1e-4, precision="fp32"),
    FitOptions(model="efficientnet_lite0", image_size=32, epochs=2, precision="fp32"),
]


@pytest.mark.parametrize("options", FROZEN, ids=lambda options: f"{options.model} {options.unfreeze}")
def test_a_fit_with_kept_features_is_the_fit_with_pixels(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: FitOptions
) -> None:
    monkeypatch.setattr(stage, "build_model", without_weights)
    used = []

    def watched(*arguments: object) -> object:
        used.append(choose_inputs(*arguments))
        return used[-1]

    monkeypatch.setattr(stage, "choose_inputs", watched)
    features = run(small, tmp_path / "features", options)
    assert [type(each) for each in used] == [FeatureInputs]

    def forced(classifier: Classifier, _parts: Cut, mixture: Mixture, *given: object) -> PixelInputs:
        settings = given[1]
        return PixelInputs(classifier, Pixels(mixture.images, classifier.mean.device, settings.seed))

    monkeypatch.setattr(stage, "choose_inputs", forced)
    assert_near(features, run(small, tmp_path / "pixels", options))


def without_weights(name: str, **options: object) -> Classifier:
    return build_model(name, **options | {"weights": None})


@pytest.mark.parametrize("options", FROZEN, ids=lambda options: f"{options.model} {options.unfreeze}")
def test_a_fit_leaves_every_bit_of_frozen_layers_as_it_was(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: FitOptions
) -> None:
    monkeypatch.setattr(stage, "build_model", without_weights)
    planned = plan(small, 0, options=options, device=here().device)
    begun = make_classifier(planned.config, here())
    before, trains = begun.state_dict(), trainable_state(begun).keys()
    after = tensors(run(small, tmp_path / "m", options))
    assert after.keys() == before.keys()
    stood = {name for name, value in after.items() if torch.equal(value, before[name])}
    assert stood == before.keys() - trains
    assert any("running_var" in name for name in stood)
