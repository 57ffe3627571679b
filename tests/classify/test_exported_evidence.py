import pytest
import torch
from captum.attr import LayerGradCam
from exporting import LAST_MAPS, moved, pictures
from torch import Tensor, nn
from torch.nn import functional as F

from classify.explaining import heatmap
from classify.exporting.evidence import NoSplit, Split, split
from classify.exporting.graph import ExportedClassifier
from classify.models import Classifier

STORED = 48  # side of a cohort's images, px
# Of other makers, with their sizes: what is behind their last map, and whether exported files can tell it.
OTHERS = {
    "timm:test_resnet": (96, True),
    "timm:test_efficientnet": (96, True),
    "timm:mobilenetv2_050": (96, True),
    "timm:test_convnext": (96, False),
    "timm:mobilenetv3_small_050": (96, False),
}
SIZES = {name: (size, True) for name, (size, _) in LAST_MAPS.items()} | OTHERS


def grad_cam(classifier: Classifier, layer: str, prepared: Tensor) -> Tensor:
    """Captum's Grad-CAM [N, h, w] of the log-odds, by automatic gradients."""

    def score(x: Tensor) -> Tensor:
        logits = classifier.head(classifier.backbone(x))
        return logits[:, 1] - logits[:, 0]

    with torch.enable_grad():
        found = LayerGradCam(score, classifier.backbone.get_submodule(layer)).attribute(
            prepared.requires_grad_(), relu_attributions=True
        )
    return found[:, 0].detach()


def turn_to_what_it_sees(classifier: Classifier, layer: str, prepared: Tensor) -> None:
    """Let the classes change places where a random network sees nothing that speaks for the positive one."""
    if not grad_cam(classifier, layer, prepared).max():
        turn(classifier)


def turn(classifier: Classifier) -> None:
    last = classifier.head[-1]
    last.weight.data, last.bias.data = last.weight.data.flip(0), last.bias.data.flip(0)


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n == "vgg16")) for n in LAST_MAPS])
def test_evidence_is_grad_cam(name: str) -> None:
    size, layer = LAST_MAPS[name]
    classifier = moved(name, size)
    prepared = classifier.prepare(torch.from_numpy(pictures(2, size, size)))
    turn_to_what_it_sees(classifier, layer, prepared)
    parts = split(classifier)
    assert isinstance(parts, Split)
    with torch.inference_mode():
        logits, evidence = parts.eval()(prepared)
        torch.testing.assert_close(logits, classifier.head(classifier.backbone(prepared)), rtol=1e-4, atol=1e-5)
    expected = grad_cam(classifier, layer, prepared)
    assert evidence.shape == expected.shape
    assert min(evidence.shape[1:]) > 1
    assert expected.max() > 0
    torch.testing.assert_close(evidence / expected.max(), expected / expected.max(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n == "vgg16")) for n in SIZES])
def test_evidence_is_what_classify_explain_draws(name: str) -> None:
    """Enlarged like a heat map, an export's evidence is `classify explain`'s map, or there is none and it says why."""
    size, tells = SIZES[name]
    classifier = moved(name, size)
    images = torch.from_numpy(pictures(3, STORED, STORED))
    if not heatmap.grad_cam(classifier, images).any():
        turn(classifier)
    expected = heatmap.grad_cam(classifier, images)
    assert expected.max() > 0
    network = ExportedClassifier(classifier, size=STORED, temperature=1.0)
    assert (network.no_evidence is None) == tells
    if tells:
        with torch.inference_mode():
            _, _, evidence = network(images)
        drawn = F.interpolate(evidence[:, None], (STORED, STORED), mode="bilinear", align_corners=False)[:, 0]
        torch.testing.assert_close(drawn / expected.max(), expected / expected.max(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("head", [(), (5,), (7, 6)])
@pytest.mark.parametrize("size", [32, 64])
def test_evidence_is_grad_cam_behind_any_head(head: tuple[int, ...], size: int) -> None:
    classifier = moved("custom_cnn", size, head=head, depth=4)
    prepared = classifier.prepare(torch.from_numpy(pictures(3, size, size)))
    turn_to_what_it_sees(classifier, "relu4", prepared)
    parts = split(classifier)
    assert isinstance(parts, Split)
    with torch.inference_mode():
        evidence = parts.eval()(prepared)[1]
    expected = grad_cam(classifier, "relu4", prepared)
    assert expected.max() > 0
    torch.testing.assert_close(evidence / expected.max(), expected / expected.max(), rtol=0, atol=1e-4)


def test_a_linear_probes_evidence_adds_up_to_what_its_features_say() -> None:
    """Zhou et al. 2016 (arXiv:1512.04150): a weighted sum of the last map, whose mean is the score without its bias."""
    classifier = moved("linear_probe", 64)
    (layer,) = classifier.head
    with torch.no_grad():
        layer.weight.copy_(torch.stack([-layer.weight[1].abs(), layer.weight[1].abs()]))
    prepared = classifier.prepare(torch.from_numpy(pictures(2, 64, 64)))
    parts = split(classifier)
    assert isinstance(parts, Split)
    with torch.inference_mode():
        logits, evidence = parts.eval()(prepared)
        maps = parts.first(prepared)
    assert maps.min() >= 0  # ReLU6, so with weights above 0 nothing of the evidence is cut
    score = logits[:, 1] - logits[:, 0] - (layer.bias[1] - layer.bias[0])
    torch.testing.assert_close(evidence.sum((1, 2)), score, rtol=1e-4, atol=1e-5)


def test_a_network_without_a_last_map_answers_without_evidence() -> None:
    classifier = moved("timm:vit_tiny_patch16_224", 224)
    network = ExportedClassifier(classifier, size=32, temperature=2.0)
    assert network.no_evidence is not None
    assert "map of more than one cell" in network.no_evidence
    images = torch.from_numpy(pictures(2, 32, 32))
    with torch.inference_mode():
        probability, score = network(images)
        logits = classifier(images)
    torch.testing.assert_close(score, logits[:, 1] - logits[:, 0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(probability, torch.sigmoid(score / 2))


class Headstrong(nn.Module):
    """Its features come from a map by a norm that has no closed form here."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3)
        self.norm = nn.LayerNorm(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.layer(x).mean((2, 3)))


def test_what_is_in_the_way_of_evidence_is_named() -> None:
    classifier = Classifier(Headstrong(), nn.Sequential(nn.Linear(4, 2)), image_size=8, mean=(0.5,) * 3, std=(0.5,) * 3)
    found = split(classifier.eval())
    assert isinstance(found, NoSplit)
    assert "stands norm" in found.reason
    classifier.backbone.norm = nn.Identity()
    assert isinstance(split(classifier), Split)
    classifier.head = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    found = split(classifier)
    assert isinstance(found, NoSplit)
    assert "its head" in found.reason
