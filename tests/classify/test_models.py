import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from classify.models import (
    Classifier,
    build_head,
    build_model,
    channels_last,
    count_parameters,
    load_backbone,
    parameter_modules,
    set_trainable,
    trainable_state,
)
from classify.registry import MODELS, TIMM_PREFIX, find_model
from shared.errors import UserError
from shared.nn.backbone import load_efficientnet_lite
from shared.nn.timm_networks import read_tensors
from shared.weights import WeightSource

OFFLINE = WeightSource(offline=True)


def on_meta(name: str, image_size: int | None = None) -> Classifier:
    """Build without memory: shapes alone."""
    with torch.device("meta"):
        return build_model(name, image_size=image_size)


def own_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters(recurse=False))


@pytest.mark.parametrize(
    ("name", "size"),
    [("custom_cnn", 33), ("custom_cnn", 16), ("custom_cnn", 2048), ("inception_v3", 74), ("vgg16", -1)],
)
def test_an_image_size_that_does_not_fit_is_refused(name: str, size: int) -> None:
    with pytest.raises(UserError, match=f"^--image-size {size}: {name} cannot take it; give "):
        on_meta(name, size)


def test_the_head_of_inception_v3_is_table_3() -> None:
    head = build_head(2048, MODELS["inception_v3"].head, 0.5)
    assert [own_parameters(module) for module in parameter_modules(head)] == [1_049_088, 131_328, 514]


def test_inception_v3_has_the_papers_23_million() -> None:
    counts = count_parameters(on_meta("inception_v3"))
    assert counts["total"] == 21_785_568 + 1_049_088 + 131_328 + 514 == 22_966_498
    assert find_model("inception_v3").image_size == 299


@pytest.mark.parametrize("name", [name for name in MODELS if name != "custom_cnn"])
def test_the_original_counts_are_those_of_the_libraries(name: str) -> None:
    originals = {
        "inception_v3": lambda: torchvision_model("inception_v3", aux_logits=False, init_weights=False),
        "vgg16": lambda: torchvision_model("vgg16"),
        "resnet50": lambda: torchvision_model("resnet50"),
        "mobilenet": lambda: timm_model("mobilenetv1_100"),
        "efficientnet_lite0": lambda: timm_model("tf_efficientnet_lite0"),
        "linear_probe": lambda: timm_model("tf_efficientnet_lite0"),
    }
    with torch.device("meta"):
        original = originals[name]()
    assert sum(parameter.numel() for parameter in original.parameters()) == MODELS[name].imagenet_parameters


def torchvision_model(name: str, **options: object) -> nn.Module:
    from torchvision import models

    return models.get_model(name, weights=None, **options)


def timm_model(name: str) -> nn.Module:
    import timm

    return timm.create_model(name)


@pytest.mark.parametrize("name", [name for name in MODELS if name != "custom_cnn"])
def test_a_frozen_backbone_leaves_the_head_alone_to_train(name: str) -> None:
    classifier = on_meta(name)
    set_trainable(classifier, 0, name=name)
    head = sum(parameter.numel() for parameter in classifier.head.parameters())
    assert classifier.is_frozen
    assert count_parameters(classifier)["trainable"] == head
    assert {key.split(".")[0] for key in trainable_state(classifier)} == {"head"}
    set_trainable(classifier, None, name=name)
    assert count_parameters(classifier)["trainable"] == count_parameters(classifier)["total"]


def test_a_linear_probe_is_one_layer_on_frozen_features() -> None:
    probe = on_meta("linear_probe")
    assert probe.is_frozen
    assert [type(layer).__name__ for layer in probe.head] == ["Linear"]
    assert count_parameters(probe)["trainable"] == 1280 * 2 + 2


def test_the_last_34_modules_of_inception_v3_are_17_convolutions_with_their_norms() -> None:
    classifier = on_meta("inception_v3")  # the registry's row unfreezes 34
    names = [n for n, m in classifier.backbone.named_modules() if any(True for _ in m.parameters(recurse=False))]
    trains = [
        n for n in names if all(p.requires_grad for p in classifier.backbone.get_submodule(n).parameters(recurse=False))
    ]
    assert trains == names[-34:]
    blocks = {name.rpartition(".")[0] for name in trains}
    assert len(blocks) == 17
    assert all(block.startswith(("Mixed_7b", "Mixed_7c")) for block in blocks)
    assert {block for block in blocks if block.startswith("Mixed_7c")} == {
        f"Mixed_7c.{n}" for n, m in classifier.backbone.Mixed_7c.named_children()
    }
    assert "Mixed_7b.branch1x1" not in blocks  # the first of Mixed_7b's nine is the one that stays frozen
    assert not any("Aux" in name for name, _ in classifier.named_modules())


def test_more_modules_than_there_are_cannot_be_unfrozen() -> None:
    classifier = on_meta("mobilenet")
    most = len(parameter_modules(classifier.backbone))
    set_trainable(classifier, most, name="mobilenet")
    with pytest.raises(UserError, match=rf"--unfreeze {most + 1}: mobilenet has {most} modules .* give 0 to {most}"):
        set_trainable(classifier, most + 1, name="mobilenet")
    with pytest.raises(UserError, match="--unfreeze -1"):
        set_trainable(classifier, -1, name="mobilenet")


def test_frozen_layers_do_not_move_while_the_rest_trains() -> None:
    torch.manual_seed(0)
    classifier = build_model("mobilenet", image_size=32)
    set_trainable(classifier, 4, name="mobilenet")
    classifier.train()
    modules = parameter_modules(classifier.backbone)
    assert [module.training for module in modules] == [False] * (len(modules) - 4) + [True] * 4
    assert classifier.head.training
    before = copy.deepcopy(classifier.state_dict())
    optimizer = torch.optim.SGD([p for p in classifier.parameters() if p.requires_grad], lr=0.1)
    images = torch.randint(0, 256, (6, 32, 32, 3), dtype=torch.uint8)
    nn.functional.cross_entropy(classifier(images), torch.tensor([0, 1] * 3)).backward()
    optimizer.step()
    moved = {name for name, value in classifier.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == set(trainable_state(classifier))
    assert sum("running_mean" in name for name in moved) == 2  # the last four are two convolutions with their norms
    classifier.eval()
    assert not any(module.training for module in classifier.modules())


def test_what_is_frozen_stands_still_from_the_beginning() -> None:
    """A network that was just built is in training mode; batch statistics move whenever such a one sees images."""
    torch.manual_seed(0)
    classifier = build_model("mobilenet", image_size=32)
    before = copy.deepcopy(classifier.state_dict())
    with torch.no_grad():
        classifier(torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8))
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())
    assert not any(module.training for module in classifier.backbone.modules())
    assert classifier.head.training


def test_pixels_are_normalised_inside_the_model() -> None:
    classifier = build_model("efficientnet_lite0", image_size=32)
    images = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    expected = (images.permute(0, 3, 1, 2).float() - 127) / 128
    torch.testing.assert_close(classifier.prepare(images), expected, rtol=0, atol=1e-6)
    plain = torch.full((1, 48, 48, 3), 200, dtype=torch.uint8)  # resizing leaves a plain image plain
    torch.testing.assert_close(classifier.prepare(plain), torch.full((1, 3, 32, 32), 73 / 128), rtol=0, atol=1e-5)


def test_the_offline_weights_give_the_features_of_the_original_network() -> None:
    classifier = build_model("efficientnet_lite0", image_size=64, weights=OFFLINE).eval()
    original = load_efficientnet_lite(0)
    images = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8))
    x = (images.permute(0, 3, 1, 2).float() - 127) / 128
    with torch.inference_mode():
        expected = original.classifier(original.forward_head(original.forward_features(x), pre_logits=True))
        found = original.classifier(classifier.features(images))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_the_head_is_as_wide_and_drops_as_much_as_the_user_says() -> None:
    def layers(**options: object) -> list[tuple[object, ...]]:
        head = build_model("efficientnet_lite0", image_size=32, **options).head
        return [(each.in_features, each.out_features) if isinstance(each, nn.Linear) else each.p
                for each in head if not isinstance(each, nn.ReLU)]  # fmt: skip

    assert layers() == [(1280, 512), 0.5, (512, 256), 0.5, (256, 2)]  # the registry's
    assert layers(head=(7,), dropout=0.25) == [(1280, 7), 0.25, (7, 2)]
    assert layers(head=()) == [(1280, 2)]
    assert layers(dropout=0.0) == [(1280, 512), 0.0, (512, 256), 0.0, (256, 2)]


def test_the_last_hidden_layer_is_what_the_logits_are_made_of() -> None:
    images = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8)
    for head, width in (((7, 5), 5), ((), 1280)):
        classifier = build_model("efficientnet_lite0", image_size=32, head=head).eval()
        with torch.inference_mode():
            hidden = classifier.last_hidden(images)
            assert hidden.shape == (3, width)
            torch.testing.assert_close(classifier.head[-1](hidden), classifier(images))


@pytest.mark.parametrize("options", [{"head": (0,)}, {"head": (8193,)}, {"head": (1,) * 5}])
def test_a_head_that_cannot_be_is_refused(options: dict[str, tuple[int, ...]]) -> None:
    shown = ",".join(map(str, options["head"]))
    with pytest.raises(UserError, match=f"^--head {shown}: no such head; give at most 4 widths from 1 to 8192"):
        build_model("efficientnet_lite0", image_size=32, **options)


@pytest.mark.parametrize("dropout", [-0.1, 1.0, float("nan")])
def test_a_dropout_that_is_no_share_is_refused(dropout: float) -> None:
    with pytest.raises(UserError, match=f"^--dropout {dropout:g}: not a share"):
        build_model("efficientnet_lite0", image_size=32, dropout=dropout)


def test_any_network_of_timm_can_be_named() -> None:
    spec = find_model("timm:resnet18")
    assert (spec.image_size, spec.mean) == (224, (0.485, 0.456, 0.406))
    assert on_meta("timm:resnet18").head[0].in_features == 512


@pytest.mark.parametrize("name", ["resnet", "timm:no_such_network", "timm:../x", "Custom_CNN", ""])
def test_an_unknown_model_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"^--model {name}: (no such model|timm has no network)"):
        find_model(name)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    classifier = build_model("resnet50", image_size=32)
    with pytest.raises(UserError, match=r"lacks conv1.weight, so it belongs to another network"):
        load_backbone(classifier.backbone, MODELS["efficientnet_lite0"], OFFLINE)


def test_weights_that_are_missing_offline_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("resnet50", "mobilenet", f"{TIMM_PREFIX}resnet18"):
        with pytest.raises(
            UserError, match=r"missing \(not in .*\), and offline work downloads nothing; download https://.* --weights"
        ):
            build_model(name, image_size=32, weights=OFFLINE)


def test_weights_are_read_from_the_folder_that_the_user_names(tmp_path: Path) -> None:
    torch.manual_seed(0)
    original = timm_model("resnet18.a1_in1k")
    save_file(original.state_dict(), tmp_path / "resnet18.a1_in1k.safetensors")
    found = build_model("timm:resnet18", image_size=32, weights=WeightSource(tmp_path, offline=True))
    expected = {name: value for name, value in original.state_dict().items() if not name.startswith("fc.")}
    assert expected.keys() == found.backbone.state_dict().keys()
    assert all(torch.equal(value, expected[name]) for name, value in found.backbone.state_dict().items())


@pytest.mark.parametrize("name", ["x.safetensors", "x.pth"])
def test_a_damaged_file_of_weights_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"\x80\x02 no weights")
    with pytest.raises(UserError, match="not readable as weights"):
        read_tensors(path)


@pytest.mark.parametrize("name", list(MODELS))
def test_every_model_maps_stored_pixels_of_any_size_to_two_logits(name: str) -> None:
    size = find_model(name).image_size or 64
    classifier = on_meta(name, size).train()
    images = torch.empty(3, 48, 48, 3, dtype=torch.uint8, device="meta")
    assert classifier.prepare(images).shape == (3, 3, size, size)
    assert classifier(images).shape == (3, 2)


@pytest.mark.parametrize("name", ["custom_cnn", "resnet50"])
def test_the_channels_of_feature_maps_stand_last(name: str) -> None:
    classifier = build_model(name, image_size=32)
    four = [tensor for tensor in classifier.parameters() if tensor.dim() == 4]
    assert four
    assert all(tensor.is_contiguous(memory_format=torch.channels_last) for tensor in four)
    assert classifier.prepare(torch.zeros(2, 32, 32, 3)).is_contiguous(memory_format=torch.channels_last)


def test_a_network_with_tensors_of_five_dimensions_can_be_named() -> None:
    assert count_parameters(on_meta("timm:lambda_resnet26t"))["total"] > 1e6  # torch's own `to` would refuse it
    layer = nn.Conv3d(2, 3, 2)
    before = layer.weight.clone()
    channels_last(layer)
    assert torch.equal(layer.weight, before)


def test_a_network_of_timm_that_takes_one_size_alone_is_refused_at_another() -> None:
    name = "timm:vit_tiny_patch16_224"
    assert on_meta(name).image_size == 224
    with pytest.raises(UserError, match=rf"^--model {name}: cannot be used at 96 px \(.+\); leave --image-size out"):
        on_meta(name, 96)
