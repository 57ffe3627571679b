"""The paper's own network (Table 4), and those of other depths and heads."""

import itertools

import pytest
import torch
from torch import nn

from classify.backbones import MAX_CUSTOM_DEPTH, largest_depth
from classify.models import Classifier, build_model, count_parameters, parameter_modules
from shared.errors import UserError

TABLE_4 = (896, 64, 18_496, 128, 55_392, 192, 110_720, 256, 184_480, 320, 276_672, 384, 393_248, 66)


def on_meta(image_size: int, **options: object) -> Classifier:
    """Build without memory: shapes alone."""
    with torch.device("meta"):
        return build_model("custom_cnn", image_size=image_size, **options)


def rows(classifier: Classifier) -> list[int]:
    """Parameters of each module that has its own, in order."""
    modules = [*parameter_modules(classifier.backbone), *parameter_modules(classifier.head)]
    return [sum(parameter.numel() for parameter in module.parameters(recurse=False)) for module in modules]


def test_the_custom_cnn_is_table_4_row_by_row() -> None:
    classifier = on_meta(256)
    assert tuple(rows(classifier)) == TABLE_4
    assert count_parameters(classifier) == {"total": 1_041_314, "trainable": 1_041_314}
    assert sum(TABLE_4) == 1_041_314


def test_the_custom_cnn_pools_after_each_convolution_but_the_first() -> None:
    kinds = [type(module).__name__ for module in on_meta(256).backbone]
    block = ["Conv2d", "BatchNorm2d", "ReLU"]
    assert kinds == block + 5 * [*block, "MaxPool2d"] + ["Flatten"]
    assert [type(module).__name__ for module in on_meta(256).head] == ["Linear", "ReLU", "Dropout", "Linear"]


@pytest.mark.parametrize("size", [32, 64, 96])
def test_a_smaller_custom_cnn_differs_in_its_first_fully_connected_layer_alone(size: int) -> None:
    small = rows(on_meta(size))
    assert small[-2] == 192 * (size // 32) ** 2 * 32 + 32
    assert [*small[:-2], small[-1]] == [*TABLE_4[:-2], TABLE_4[-1]]


def closed_form(depth: int, size: int, head: tuple[int, ...]) -> int:
    """Convolutions 3x3 of 32, 64, 96 … channels with bias and norm, halved by all but the first, then a chain."""
    convolutions = 9 * 3 * 32 + sum(9 * 32 * i * 32 * (i + 1) for i in range(1, depth))
    biases_and_norms = 3 * sum(32 * i for i in range(1, depth + 1))
    widths = [32 * depth * (size // 2 ** (depth - 1)) ** 2, *head, 2]
    return convolutions + biases_and_norms + sum((a + 1) * b for a, b in itertools.pairwise(widths))


@pytest.mark.parametrize("head", [(), (32,), (7, 5), (128, 64, 32)])
@pytest.mark.parametrize(("depth", "size"), [(1, 32), (1, 33), (2, 34), (3, 100), (5, 48), (6, 256), (7, 64), (9, 256)])
def test_any_depth_and_head_have_as_many_parameters_as_the_layers_say(
    depth: int, size: int, head: tuple[int, ...]
) -> None:
    classifier = on_meta(size, depth=depth, head=head)
    assert count_parameters(classifier)["total"] == closed_form(depth, size, head)
    assert len(parameter_modules(classifier.backbone)) == 2 * depth
    assert classifier(torch.empty(2, 40, 40, 3, dtype=torch.uint8, device="meta")).shape == (2, 2)
    assert [m.p for m in classifier.head if isinstance(m, nn.Dropout)] == [0.5] * len(head)


def test_without_dropout_training_mode_of_the_head_is_no_other_function() -> None:
    torch.manual_seed(0)
    head = build_model("custom_cnn", image_size=32, depth=1, head=(16,), dropout=0.0).head
    x = torch.randn(3, head[0].in_features)
    torch.testing.assert_close(head.train()(x), head.eval()(x), rtol=0, atol=0)


def can_be_built(size: int, depth: int) -> bool:
    try:
        on_meta(size, depth=depth)
    except UserError:
        return False
    return True


def test_the_largest_depth_is_the_last_that_can_be_built() -> None:
    for size in (*range(32, 100), 256, 384, 512, 768, 1023, 1024):
        fitting = [depth for depth in range(1, MAX_CUSTOM_DEPTH + 1) if can_be_built(size, depth)]
        assert fitting == list(range(1, largest_depth(size) + 1))


@pytest.mark.parametrize(
    ("size", "depth", "problem"),
    [
        (48, 6, r"a multiple of 32 from 32 to 1024 px, or --depth 5 or less\.$"),
        (33, 2, r"a multiple of 2 from 32 to 1024 px, or --depth 1 or less\.$"),
        (32, 9, r"a multiple of 256 from 256 to 1024 px, or --depth 6 or less\.$"),
        (16, 6, r"a multiple of 32 from 32 to 1024 px\.$"),  # no depth would do
        (2048, 6, r"a multiple of 32 from 32 to 1024 px\.$"),
        (30, 1, r"cannot take it; give from 32 to 1024 px\.$"),
    ],
)
def test_a_depth_that_an_image_size_does_not_allow_is_refused_with_one_that_it_does(
    size: int, depth: int, problem: str
) -> None:
    with pytest.raises(UserError, match=rf"^--image-size {size}: custom_cnn .*{problem}"):
        on_meta(size, depth=depth)


@pytest.mark.parametrize("depth", [0, -1, MAX_CUSTOM_DEPTH + 1])
def test_a_depth_out_of_range_is_refused(depth: int) -> None:
    with pytest.raises(UserError, match=f"^--depth {depth}: out of range; give 1 to {MAX_CUSTOM_DEPTH} convolutions"):
        on_meta(256, depth=depth)


def test_the_depth_of_other_networks_is_theirs() -> None:
    with pytest.raises(UserError, match=r"^--depth 3: resnet50 has the layers that it has; leave it out, or give cust"):
        build_model("resnet50", depth=3)
