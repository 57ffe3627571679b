import numpy as np
import pytest
import timm
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from torch import Tensor, nn

from shared.errors import UserError
from shared.nn.backbone import (
    LiteMaps,
    OfflineBackbone,
    fold_for_inference,
    in_batches,
    load_efficientnet_lite,
    match_in_order,
    resize,
)


@pytest.fixture(scope="module")
def backbone() -> OfflineBackbone:
    return OfflineBackbone()


def noise(count: int, size: int = 32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def test_published_weights_recognise_a_palace():
    network = load_efficientnet_lite(0)
    photo = torch.tensor(load_sample_image("china.jpg"))[None, :, 106:533]  # the Summer Palace, its middle square
    with torch.inference_mode():
        logits = network((resize(photo, 224) - 127) / 128)
    assert timm.data.ImageNetInfo().index_to_description(int(logits.argmax())) == "palace"


def test_features_are_those_of_the_unfolded_network(backbone):
    images = noise(3)
    network = load_efficientnet_lite(0)
    with torch.inference_mode():
        maps = network.forward_features((resize(torch.tensor(images), 224) - 127) / 128)
    expected = maps.mean(dim=(2, 3))  # [N, 1280]
    torch.testing.assert_close(backbone(images), expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize(("side", "input_px"), [(32, 64), (64, 64), (96, 64)])
def test_maps_are_those_of_timm_at_four_scales(side, input_px):
    """timm's own way to intermediate maps, of the unfolded network; pictures are enlarged, kept, or made smaller."""
    network = load_efficientnet_lite(0)
    wanted = timm.create_model("tf_efficientnet_lite0", pretrained=False, features_only=True, out_indices=(1, 2, 3, 4))
    wanted.load_state_dict(network.state_dict(), strict=False)
    pictures = torch.rand(2, 3, side, side) * 2 - 1
    resized = nn.functional.interpolate(pictures, size=(input_px, input_px), mode="bilinear", antialias=side > input_px)
    maps = LiteMaps(0, input_px=input_px)
    with torch.inference_mode():
        expected = wanted.eval()((resized * 127.5 + 0.5) / 128)  # pixels are 127.5 (x + 1); (pixel - 127) / 128
        found = maps(pictures)
    assert [x.shape[1] for x in found] == list(LiteMaps.CHANNELS)
    assert [input_px // x.shape[-1] for x in found] == list(LiteMaps.STRIDES)
    for x, y in zip(found, expected, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-3, atol=1e-5 * float(y.abs().max()))


def test_gradients_pass_through_the_maps_to_the_pictures_alone():
    maps = LiteMaps(0, input_px=32)
    pictures = (torch.rand(2, 3, 16, 16) * 2 - 1).requires_grad_(True)
    sum(x.square().mean() for x in maps(pictures)).backward()
    assert pictures.grad.abs().sum() > 0
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in maps.parameters())


@pytest.mark.parametrize("side", [64, 72, 50], ids=["even", "odd later", "odd sooner"])
def test_folding_keeps_the_function(side):
    torch.manual_seed(0)
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    for module in network.modules():  # statistics and scales that would show if batch norms were mixed up
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_mean, module.running_var, module.weight, module.bias):
                tensor.data = torch.rand_like(tensor) + 0.5
    x = torch.randn(2, 3, side, side)
    with torch.inference_mode():
        expected, folded = network(x), fold_for_inference(network, input_px=side)(x)
    torch.testing.assert_close(folded, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_a_feature_depends_on_its_image_alone(backbone):
    images = noise(11)
    features = backbone(images)
    order = np.random.default_rng(1).permutation(11)
    close = {"rtol": 1e-5, "atol": 1e-6}
    torch.testing.assert_close(backbone(images[order]), features[order], **close)
    torch.testing.assert_close(backbone(images[3:5]), features[3:5], **close)
    torch.testing.assert_close(backbone(torch.tensor(images)), features, rtol=0, atol=0)


def test_features_of_no_images(backbone):
    assert backbone(noise(0)).shape == (0, 1280)


def test_read_only_and_reversed_views_are_taken(backbone):
    images = noise(3)
    expected = backbone(images.copy())
    images.flags.writeable = False
    torch.testing.assert_close(backbone(images[::-1]), expected.flip(0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("side", "wanted"), [(32, 64), (64, 32), (48, 33)])
def test_resize_is_pillow_without_its_rounding(side, wanted):
    image = noise(1, side)
    pillow = np.asarray(Image.fromarray(image[0]).resize((wanted, wanted), Image.Resampling.BILINEAR))
    ours = resize(torch.tensor(image), wanted)[0].permute(1, 2, 0).numpy()
    assert np.abs(ours - pillow).max() <= 1.01  # Pillow rounds to whole numbers after each of two passes


def test_batches_are_of_one_size():
    seen = []

    def network(images: Tensor) -> Tensor:
        seen.append(images)
        return images.float().mean(dim=(1, 2))

    images = noise(19, 4)
    features = in_batches(network, images, width=3, device=torch.device("cpu"))
    torch.testing.assert_close(features.numpy(), images.astype(np.float32).mean(axis=(1, 2)))
    assert [len(batch) for batch in seen] == [8, 8, 8]


def test_tensors_match_by_position_shape_and_kind():
    template = {"a.weight": torch.zeros(2, 3), "a.bias": torch.zeros(2)}
    weight, bias = torch.ones(2, 3), torch.ones(2)
    assert match_in_order({"x.weight": weight, "y.bias": bias}, template) == {"a.weight": weight, "a.bias": bias}
    for wrong in (
        {"x.weight": weight},
        {"x.weight": weight.T, "x.bias": bias},
        {"x.weight": weight, "x.running_mean": bias},
        {"x.bias": bias, "x.weight": weight},
    ):
        with pytest.raises(ValueError, match=r"tensors instead|must stand"):
            match_in_order(wrong, template)


@pytest.mark.parametrize("index", [-1, 3])
def test_unknown_network(index):
    with pytest.raises(UserError, match="use 0, 1 or 2"):
        load_efficientnet_lite(index)
