"""The layers of VGG16 and the networks of timm as feature spaces."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision import models

from shared.errors import UserError
from shared.weights import WeightFile, WeightSource
from synth.scores import features
from synth.scores.features import CHOICES, identity, open_extractor, provenance, resolve_choice

CPU = torch.device("cpu")
HALF, IMAGENET = ((0.5,) * 3, (0.5,) * 3), ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
TIMM_PX = 160
TIMM = {  # tiny networks as timm documents them: interpolation, mean and SD
    "test_resnet": (Image.Resampling.BILINEAR, HALF),
    "test_byobnet": (Image.Resampling.BICUBIC, IMAGENET),
    "test_vit": (Image.Resampling.BICUBIC, HALF),
}


def pictures(count: int, size: int) -> np.ndarray:
    """Squares of full colours, eight a side: noise would pool to the same features in every picture."""
    squares = np.random.default_rng(0).integers(0, 2, (count, 8, 8, 3), dtype=np.uint8) * 255
    return squares.repeat(size // 8, axis=1).repeat(size // 8, axis=2)


def randomize(tensors: Iterable[Tensor]) -> None:
    """Draw weights that neither fade nor overpower the picture on its way through the layers."""
    torch.manual_seed(0)
    for tensor in tensors:
        if tensor.ndim > 1:
            nn.init.kaiming_normal_(tensor)
        else:
            nn.init.normal_(tensor, mean=0.5, std=0.2)


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


@pytest.fixture
def source(tmp_path: Path) -> WeightSource:
    return WeightSource(folder=tmp_path, offline=True)


def published(name: str, folder: Path) -> nn.Module:
    """timm's network with random weights, which lie in `folder` under the name that timm's hub gives them."""
    network = timm.create_model(name).eval()
    randomize(network.parameters())
    save_file(network.state_dict(), folder / f"{name}.r160_in1k.safetensors")
    return network


@pytest.mark.slow  # half a gigabyte of weights
def test_the_layers_of_vgg16_are_those_of_the_paper(
    tmp_path: Path, source: WeightSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = models.vgg16(weights=None, init_weights=False).state_dict()
    randomize(tensors.values())
    torch.save(tensors, tmp_path / "vgg16.pth")
    images = pictures(2, 224)
    with torch.inference_mode():
        expected = vgg16_by_hand(tensors, prepared(images, *IMAGENET))
    for space, activations in expected.items():
        monkeypatch.setitem(features.WEIGHTS, space, WeightFile(name="vgg16.pth"))
        extractor = open_extractor(space, "similarity", source=source, device=CPU)
        found = extractor(images)
        scale = float((activations[0] - activations[1]).abs().max())
        torch.testing.assert_close(found, activations, rtol=0, atol=1e-4 * scale)
        assert torch.equal(extractor(images[::-1]), found.flip(0))
        assert torch.equal(extractor(images[:1]), found[:1])
        assert (extractor.name, extractor.width) == ("VGG16", activations.shape[1])
    assert len({features.VGG16_LAYERS[space][0] for space in expected}) == len(expected)


def vgg16_by_hand(tensors: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
    """Configuration D of arXiv:1409.1556, Table 1, on float32 [N, 3, 224, 224], where the 7 px maps need no pooling."""
    for block in ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28)):
        for layer in block:
            x = F.relu(F.conv2d(x, tensors[f"features.{layer}.weight"], tensors[f"features.{layer}.bias"], padding=1))
        x = F.max_pool2d(x, 2)
    assert x.shape[1:] == (512, 7, 7)
    fc1 = F.relu(x.flatten(1) @ tensors["classifier.0.weight"].T + tensors["classifier.0.bias"])
    fc2 = F.relu(fc1 @ tensors["classifier.3.weight"].T + tensors["classifier.3.bias"])
    return {"vgg16": fc2, "vgg16-fc1": fc1, "vgg16-conv5": x.mean(dim=(2, 3))}


def prepared(images: np.ndarray, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    x = (images.astype(np.float64) / 255 - mean) / std
    return torch.tensor(x, dtype=torch.float32).permute(0, 3, 1, 2)


@pytest.mark.parametrize("name", TIMM)
def test_timm_is_the_pooled_features_of_the_whole_picture(tmp_path: Path, source: WeightSource, name: str) -> None:
    """The oracle resizes by Pillow, in floating point, and pools by timm's own way to what its classifier takes."""
    interpolation, (mean, std) = TIMM[name]
    network = published(name, tmp_path)
    images = pictures(3, 200)
    resized = np.stack([resize(image, interpolation) for image in images])
    with torch.inference_mode():
        maps = network.forward_features(prepared(resized, mean, std))
        expected = network.forward_head(maps, pre_logits=True)
    extractor = open_extractor(f"timm:{name}", "similarity", source=source, device=CPU)
    scale = float((expected[0] - expected[1]).abs().max())
    torch.testing.assert_close(extractor(images), expected, rtol=0, atol=2e-3 * scale)
    assert extractor.width == expected.shape[1]


def resize(image: np.ndarray, interpolation: Image.Resampling) -> np.ndarray:
    channels = [Image.fromarray(image[..., c].astype(np.float32)) for c in range(3)]
    resized = [np.asarray(channel.resize((TIMM_PX, TIMM_PX), interpolation)) for channel in channels]
    return np.stack(resized, axis=-1).clip(0, 255)


def test_a_feature_depends_on_its_picture_alone(tmp_path: Path, source: WeightSource) -> None:
    published("test_resnet", tmp_path)
    extractor = open_extractor("timm:test_resnet", "similarity", source=source, device=CPU)
    images = pictures(11, 40)
    found = extractor(images)
    order = np.random.default_rng(1).permutation(len(images))
    torch.testing.assert_close(extractor(images[order]), found[order], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(extractor(images[3:4]), found[3:4], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(extractor(torch.tensor(images[:2])), found[:2], rtol=1e-5, atol=1e-6)


def test_no_part_of_a_lesion_is_cut_off(tmp_path: Path, source: WeightSource) -> None:
    """timm would crop 95 % of the side, so that the outermost 2.5 % would not matter."""
    published("test_resnet", tmp_path)
    extractor = open_extractor("timm:test_resnet", "similarity", source=source, device=CPU)
    images = np.repeat(pictures(1, 160), 2, axis=0)
    images[1, :2] = 255 - images[1, :2]
    found = extractor(images)
    assert (found[0] - found[1]).abs().max() > 1e-4 * found.abs().max()


def test_a_network_of_timm_says_which_it_is(tmp_path: Path, source: WeightSource) -> None:
    published("test_vit", tmp_path)
    content = (tmp_path / "test_vit.r160_in1k.safetensors").read_bytes()
    found = [
        open_extractor(choice, "quality", source=source, device=CPU)
        for choice in ("timm:test_vit", "timm:test_vit.r160_in1k")
    ]
    assert provenance(found[0]) == {
        "extractor": "timm:test_vit.r160_in1k",
        "layer": "pooled, before the classifier",
        "resizer": "bicubic, antialiased, to 160 px",
        "weights_sha256": hashlib.sha256(content).hexdigest(),
        "licence": timm.get_pretrained_cfg("test_vit").license,
    }
    assert identity(found[0]) == identity(found[1])


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("resnet81", r"timm has no network of this name; give another"),
        ("test_vi", r"timm has no network of this name; give another such as timm:test_vit"),
        ("", r"timm has no network of this name"),
        ("hf-hub:someone/something", r"timm has no network of this name"),
        ("resnet18.nobody", r"timm has no weights of this name for the network; give timm:resnet18\."),
        ("regnetz_b16_evos", r"timm publishes no ImageNet weights for it; give another network"),
        ("vit_base_patch16_sapiens2", r"takes 3 channels of 1024 x 768 px, while pictures here are square"),
    ],
)
def test_what_timm_does_not_have_is_one_sentence(source: WeightSource, name: str, sentence: str) -> None:
    with pytest.raises(UserError, match=rf"^--features timm:{name}: {sentence}"):
        resolve_choice(f"timm:{name}", "similarity", source)


def test_weights_on_a_hub_out_of_reach_are_named_with_their_place(tmp_path: Path, source: WeightSource) -> None:
    with pytest.raises(UserError) as error:
        resolve_choice("timm:test_resnet", "similarity", source)
    said = str(error.value)
    assert said.startswith("test_resnet.r160_in1k.safetensors: missing")
    assert "https://huggingface.co/timm/test_resnet.r160_in1k/resolve/main/model.safetensors" in said
    assert str(tmp_path / "torch" / "hub" / "checkpoints") in said
    assert "--weights" in said


def test_weights_of_another_network_do_not_fit(tmp_path: Path, source: WeightSource) -> None:
    published("test_vit", tmp_path)
    path = tmp_path / "test_resnet.r160_in1k.safetensors"
    (tmp_path / "test_vit.r160_in1k.safetensors").rename(path)
    with pytest.raises(UserError, match=rf"^{path}: not the weights of timm:test_resnet.r160_in1k \(.*; put those of"):
        open_extractor("timm:test_resnet", "similarity", source=source, device=CPU)


@pytest.mark.parametrize("change", ["none", "one tensor less", "one tensor more", "no tensor"])
def test_every_tensor_must_be_there(tmp_path: Path, source: WeightSource, change: str) -> None:
    tensors = published("test_resnet", tmp_path).state_dict()
    if change == "one tensor less":
        del tensors["conv1.0.weight"]
    if change == "one tensor more":
        tensors["conv9.weight"] = torch.zeros(1)
    if change == "no tensor":
        tensors.clear()
    save_file(tensors, tmp_path / "test_resnet.r160_in1k.safetensors")
    if change == "none":
        assert open_extractor("timm:test_resnet", "similarity", source=source, device=CPU).width
        return
    with pytest.raises(UserError, match=r"not the weights of timm:test_resnet.r160_in1k"):
        open_extractor("timm:test_resnet", "similarity", source=source, device=CPU)


def test_judging_by_the_network_that_training_looks_through_is_warned_of(
    tmp_path: Path, source: WeightSource, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tf_efficientnet_lite0.in1k.safetensors").write_bytes(b"never read here")
    for choice in ("offline", "timm:tf_efficientnet_lite0", "timm:tf_efficientnet_lite0.in1k"):
        assert resolve_choice(choice, "similarity", source, looked_through=True) == choice
        assert f"--features {choice}: the training looks through" in capsys.readouterr().err
    resolve_choice("lite1", "similarity", source, looked_through=True)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("space", ["vgg16-fc1", "vgg16-conv5"])
def test_the_layers_of_vgg16_are_offered_and_need_its_weights(source: WeightSource, space: str) -> None:
    assert space in CHOICES
    with pytest.raises(UserError, match=r"^vgg16-397923af.pth: missing"):
        resolve_choice(space, "quality", source)


def test_a_network_that_pools_nothing_is_refused(
    tmp_path: Path, source: WeightSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    published("test_resnet", tmp_path)
    monkeypatch.setattr(timm.models.resnet.ResNet, "forward", lambda self, x: self.forward_features(x))
    with pytest.raises(UserError, match=r"^--features timm:test_resnet: gives no vector of features for a picture \("):
        open_extractor("timm:test_resnet", "similarity", source=source, device=CPU)
