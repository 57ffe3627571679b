"""Heat maps: evidence lights up where it is known to be, and Grad-CAM is its formula."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from classify.backbones import custom_cnn
from classify.explaining import heatmap
from classify.explaining.feature_map import last_feature_map
from classify.explaining.heatmap import METHODS, choose_method, grad_cam, occlusion
from classify.inference import for_inference
from classify.models import Classifier, build_model, set_trainable
from shared.errors import UserError

SIDE, PIECE = 48, 8  # px of a picture, and of the bright square in it
PIXELS = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}  # pixels in [0, 1]


def square_finder(sign: float = 1.0, *, pieces: int = 4) -> Classifier:
    """Return a network whose log-odds are `sign` times the share of bright pieces, of `pieces` px, and nothing else."""
    convolution = nn.Conv2d(3, 1, pieces, stride=pieces)
    head = nn.Linear(1, 2)
    with torch.no_grad():
        convolution.weight.fill_(1 / (3 * pieces**2))
        convolution.bias.fill_(-0.5)  # a piece is bright above a half
        head.weight.copy_(torch.tensor([[-5.0 * sign], [5.0 * sign]]))
        head.bias.zero_()
    backbone = nn.Sequential(convolution, nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Classifier(backbone, nn.Sequential(head), image_size=SIDE, **PIXELS).eval()


def with_square(row: int, column: int, *, size: int = SIDE) -> Tensor:
    """Return a dark picture with one bright square, uint8 [1, size, size, 3]."""
    image = torch.full((1, size, size, 3), 20, dtype=torch.uint8)
    side = PIECE * size // SIDE
    image[:, row : row + side, column : column + side] = 250
    return image


@pytest.mark.parametrize("method", METHODS)
@given(row=st.integers(0, SIDE - PIECE), column=st.integers(0, SIDE - PIECE))
@settings(max_examples=15)
def test_the_square_that_decides_lights_up_and_no_mirror_image_of_it(method: str, row: int, column: int) -> None:
    heat = METHODS[method](square_finder(), with_square(row, column))[0]
    margin = 4 if method == "grad-cam" else 8  # a cell of the map; a window reaches over the square
    near = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    near[max(0, row - margin) : row + PIECE + margin, max(0, column - margin) : column + PIECE + margin] = True
    assert heat.shape == (SIDE, SIDE)
    assert heat[near].sum() > 0.99 * heat.sum() > 0
    y, x = divmod(int(heat.argmax()), SIDE)
    assert row - margin <= y < row + PIECE + margin
    assert column - margin <= x < column + PIECE + margin


@pytest.mark.parametrize("method", METHODS)
def test_what_speaks_against_is_not_warm_and_below_zero_with_signs(method: str) -> None:
    image = with_square(4, 32)
    against = METHODS[method](square_finder(-1), image)
    assert not against.any()
    signed = METHODS[method](square_finder(-1), image, signed=True)
    torch.testing.assert_close(signed.clamp(max=0), signed)
    torch.testing.assert_close(-signed, METHODS[method](square_finder(), image, signed=True))


@pytest.mark.parametrize("method", METHODS)
def test_pictures_of_another_size_than_the_networks_have_maps_of_their_own_size(method: str) -> None:
    heat = METHODS[method](square_finder(), with_square(8, 64, size=96))[0]
    assert heat.shape == (96, 96)
    y, x = divmod(int(heat.argmax()), 96)
    assert (8 <= y < 24, 64 <= x < 80) == (True, True)


def test_the_cells_sum_up_to_the_log_odds_behind_a_mean() -> None:
    """One layer behind the mean of the maps: log-odds = sum over cells of sum_k w_k A_k / cells + bias."""
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    classifier = Classifier(backbone, nn.Sequential(nn.Linear(5, 2)), image_size=16, **PIXELS)
    images = torch.randint(0, 256, (3, 16, 16, 3), dtype=torch.uint8)
    logits = classifier(images).detach()
    bias = classifier.head[0].bias.detach()
    expected = logits[:, 1] - logits[:, 0] - (bias[1] - bias[0])
    torch.testing.assert_close(grad_cam(classifier, images, signed=True).sum((1, 2)), expected)


def by_hand(classifier: Classifier, layer: nn.Module, images: Tensor, *, signed: bool = False) -> Tensor:
    """Grad-CAM by its formula: weights are mean gradients, then the weighted sum, ReLU, and enlarging."""
    kept: list[Tensor] = []

    def keep(_: nn.Module, __: Any, output: Tensor) -> Tensor:
        kept.append(output.detach().requires_grad_())
        return kept[-1].clone()  # what follows may write into it

    classifier.eval()
    maps = []
    for image in images:
        hook = layer.register_forward_hook(keep)
        logits = classifier(image[None])
        hook.remove()
        (gradient,) = torch.autograd.grad(logits[0, 1] - logits[0, 0], kept[-1])
        total = torch.zeros(kept[-1].shape[2:])
        for activation, slope in zip(kept[-1].detach()[0], gradient[0], strict=True):
            total += activation * slope.mean()
        total = total if signed else total.clamp(min=0)
        maps.append(F.interpolate(total[None, None], images.shape[1:3], mode="bilinear", align_corners=False)[0, 0])
    return torch.stack(maps)


# The layer behind the last convolution: a name below the backbone, and the side of its map.
LAYERS: dict[str, tuple[int, str, int]] = {
    "custom_cnn": (64, "relu6", 4),
    "inception_v3": (107, "Mixed_7c", 2),
    "vgg16": (64, "features.29", 4),
    "mobilenet": (64, "blocks", 2),
    "resnet50": (64, "layer4", 2),
    "efficientnet_lite0": (64, "bn2", 2),
    "linear_probe": (64, "bn2", 2),
    "timm:test_convnext": (64, "stages", 2),
}


@pytest.mark.parametrize("name", LAYERS)
def test_every_model_has_the_map_of_the_formula_and_is_left_as_it_was(name: str) -> None:
    size, place, side = LAYERS[name]
    torch.manual_seed(1)
    classifier = build_model(name, image_size=size)
    given = [parameter.requires_grad for parameter in classifier.parameters()]
    statistics = {key: value.clone() for key, value in classifier.state_dict().items()}
    classifier.train()
    images = torch.randint(0, 256, (2, 40, 40, 3), dtype=torch.uint8)
    found = last_feature_map(classifier)
    assert (found.height, found.width) == (side, side)
    signed, heat = grad_cam(classifier, images, signed=True), grad_cam(classifier, images)
    assert classifier.training
    assert [parameter.requires_grad for parameter in classifier.parameters()] == given
    assert all(parameter.grad is None for parameter in classifier.parameters())
    assert all(torch.equal(value, statistics[key]) for key, value in classifier.state_dict().items())
    layer = classifier.backbone.get_submodule(place)
    expected = by_hand(classifier, layer, images, signed=True)
    assert expected.std() > 0
    tolerance = 1e-4 * float(expected.abs().max())
    torch.testing.assert_close(signed, expected, rtol=1e-4, atol=tolerance)
    torch.testing.assert_close(heat, by_hand(classifier, layer, images), rtol=1e-4, atol=tolerance)


@pytest.mark.parametrize("unfreeze", [0, 2, None])
def test_frozen_and_trained_layers_have_the_same_map(unfreeze: int | None) -> None:
    torch.manual_seed(2)
    classifier = build_model("custom_cnn", image_size=32, depth=3)
    images = torch.randint(0, 256, (5, 32, 32, 3), dtype=torch.uint8)
    expected = grad_cam(classifier, images)
    set_trainable(classifier, unfreeze, name="custom_cnn")
    torch.testing.assert_close(grad_cam(classifier, images), expected)
    with torch.inference_mode():  # as a server may call it
        torch.testing.assert_close(grad_cam(classifier, images.clone()), expected)
    with torch.no_grad():
        torch.testing.assert_close(grad_cam(classifier, images), expected)


@pytest.mark.parametrize("method", METHODS)
def test_batches_do_not_matter_and_their_progress_is_told(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(3)
    classifier = build_model("custom_cnn", image_size=32, depth=3)
    images = torch.randint(0, 256, (5, 32, 32, 3), dtype=torch.uint8)
    expected = METHODS[method](classifier, images)
    monkeypatch.setattr(heatmap, "inference_batch", lambda _: 2)
    told: list[float] = []
    torch.testing.assert_close(METHODS[method](classifier, images, advance=told.append), expected)
    assert told == [2, 2, 1]


def test_occlusion_is_the_mean_drop_over_the_windows_that_cover_a_pixel() -> None:
    torch.manual_seed(4)
    backbone, width = custom_cnn(12, 2)
    classifier = Classifier(backbone, nn.Linear(width, 2), image_size=12, **PIXELS).eval()
    images = torch.randint(0, 256, (2, 12, 12, 3), dtype=torch.uint8)
    x = classifier.prepare(images)

    def score(each: Tensor) -> Tensor:
        with torch.no_grad():
            logits = classifier.head(classifier.backbone(each))
        return logits[:, 1] - logits[:, 0]

    total, count = torch.zeros(2, 12, 12), torch.zeros(12, 12)
    for row in range(11):  # windows of 2 px, shifted by 1
        for column in range(11):
            covered = x.clone()
            covered[:, :, row : row + 2, column : column + 2] = x.mean((2, 3), keepdim=True)
            total[:, row : row + 2, column : column + 2] += (score(x) - score(covered))[:, None, None]
            count[row : row + 2, column : column + 2] += 1
    torch.testing.assert_close(occlusion(classifier, images, signed=True), total / count, rtol=1e-4, atol=1e-5)


def test_attention_has_no_map_to_weigh_but_can_be_occluded() -> None:
    classifier = build_model("timm:test_vit")
    images = torch.zeros(1, 20, 20, 3, dtype=torch.uint8)
    with pytest.raises(UserError, match="--method occlusion") as raised:
        grad_cam(classifier, images)
    assert "\n" not in str(raised.value)
    assert occlusion(classifier, images).shape == (1, 20, 20)


def test_the_method_is_one_that_can_tell_where() -> None:
    assert choose_method(square_finder()) == ("grad-cam", None)
    coarse = build_model("custom_cnn", image_size=32)
    cells = "the network's last map has 2 x 2 cells, too few to tell where"
    assert choose_method(coarse) == ("occlusion", f"By occlusion, since {cells}.")
    assert choose_method(coarse, "grad-cam") == ("grad-cam", f"warning: {cells}; --method occlusion can.")
    assert choose_method(coarse, "occlusion") == ("occlusion", None)
    attention = build_model("timm:test_vit")
    assert choose_method(attention)[0] == "occlusion"
    with pytest.raises(UserError, match="give --method occlusion"):
        choose_method(attention, "grad-cam")


def test_a_fused_network_is_refused() -> None:
    with pytest.raises(ValueError, match="fused"):
        grad_cam(for_inference(square_finder()), with_square(0, 0))


def test_one_cell_is_no_map() -> None:
    """EfficientNet at 32 px ends in a single cell: the last convolution with more than one is taken."""
    found = last_feature_map(build_model("efficientnet_lite0", image_size=32))
    assert found.height * found.width > 1


def test_a_missing_extra_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "captum", None)
    with pytest.raises(UserError, match="with its extra explain") as raised:
        grad_cam(square_finder(), with_square(0, 0))
    assert "\n" not in str(raised.value)


def test_maps_are_float32_and_finite_on_a_blank_picture() -> None:
    heat = grad_cam(square_finder(), torch.zeros(2, SIDE, SIDE, 3, dtype=torch.uint8))
    assert heat.dtype == torch.float32
    assert not np.any(heat.numpy())
