import copy

import pytest
import torch
from torch import nn

from classify.inference import for_inference
from classify.models import Classifier, build_model, set_trainable


def moved(name: str, size: int) -> Classifier:
    """A network whose batch statistics and scales are anything but those it is built with."""
    torch.manual_seed(4)
    classifier = build_model(name, image_size=size)
    for module in classifier.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
    return classifier


@pytest.mark.parametrize(
    ("name", "size"), [("custom_cnn", 32), ("resnet50", 64), ("efficientnet_lite0", 64), ("inception_v3", 75)]
)
def test_a_classifier_made_ready_gives_the_same_logits(name: str, size: int) -> None:
    classifier = moved(name, size).eval()
    images = torch.randint(0, 256, (3, 48, 48, 3), dtype=torch.uint8)
    with torch.inference_mode():
        expected = classifier(images)
        torch.testing.assert_close(for_inference(classifier)(images), expected, rtol=1e-4, atol=1e-4)
    assert expected.std() > 1e-3  # so that 1e-4 tells something


@pytest.mark.parametrize("name", ["custom_cnn", "resnet50"])
def test_batch_norms_go_into_the_convolutions_and_the_original_stays(name: str) -> None:
    classifier = moved(name, 32)
    set_trainable(classifier, 2, name=name)
    classifier.train()
    trains = [parameter.requires_grad for parameter in classifier.parameters()]
    before = copy.deepcopy(classifier.state_dict())
    ready = for_inference(classifier)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in ready.backbone.modules())
    assert not any(module.training for module in ready.modules())
    assert classifier.head.training
    assert all(torch.equal(value, before[key]) for key, value in classifier.state_dict().items())
    assert [parameter.requires_grad for parameter in classifier.parameters()] == trains


class Capricious(nn.Module):
    """Its course depends on its images, so that no graph of it can be drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.layer(x))
        return (x if x.sum() > 0 else -x).mean((2, 3))


def test_a_network_that_cannot_be_followed_stays_as_it_is() -> None:
    torch.manual_seed(0)
    classifier = Classifier(Capricious(), nn.Linear(4, 2), image_size=8, mean=(0.5,) * 3, std=(0.5,) * 3).eval()
    images = torch.randint(0, 256, (3, 8, 8, 3), dtype=torch.uint8)
    with torch.inference_mode():
        torch.testing.assert_close(for_inference(classifier)(images), classifier(images), rtol=0, atol=0)
