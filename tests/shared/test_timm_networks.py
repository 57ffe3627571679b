import contextlib
import io
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import UserError
from shared.nn.timm_networks import find_timm_network, load_timm_network, read_tensors, timm_config, timm_weights
from shared.weights import WeightSource


def test_weights_lie_under_the_name_of_network_and_tag() -> None:
    file = timm_weights("resnet18", "--model")
    assert file.name == "resnet18.a1_in1k.safetensors"
    assert file.url == "https://huggingface.co/timm/resnet18.a1_in1k/resolve/main/model.safetensors"
    assert file == timm_weights("resnet18.a1_in1k", "--model")


def test_weights_on_no_hub_keep_the_name_of_their_address() -> None:
    file = timm_weights("legacy_seresnet18", "--model")
    assert file.url.startswith("https://")
    assert file.name == file.url.split("/")[-1]
    assert file.name.endswith(".pth")


def test_licences_are_those_that_timm_states() -> None:
    stated = {
        "resnet18": "apache-2.0",
        "vit_base_patch16_clip_224.openai": "apache-2.0",
        "eva02_tiny_patch14_224": "mit",
    }
    assert {name: timm_weights(name, "--model").licence for name in stated} == stated


@pytest.mark.parametrize("option", ["--model", "--features"])
@pytest.mark.parametrize("name", ["no_such_network", "resnet18.no_such_tag", "../x"])
def test_a_refusal_names_the_option(option: str, name: str) -> None:
    with pytest.raises(UserError, match=rf"^{option} timm:{name}: timm has no .*; give "):
        timm_config(name, option)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("efficentnet_b0", "efficientnet_b0"),
        ("mobilnetv3_large_100", "mobilenetv3_large_100"),
        ("resnet-50", "resnet50"),
        ("convnext_tinny.fb_in1k", "convnext_tiny"),
        ("legacy", "legacy_senet154"),  # the beginning of several
    ],
)
def test_a_slip_of_the_pen_is_told_what_was_meant(name: str, meant: str) -> None:
    with pytest.raises(UserError, match=r"timm has no network of this name; give another such as (.*)\.$") as raised:
        timm_config(name, "--model")
    near = str(raised.value).rpartition("such as ")[2].rstrip(".").split(", ")
    assert f"timm:{meant}" in near
    assert len(near) <= 3


def test_nothing_is_suggested_for_what_is_near_to_nothing() -> None:
    with pytest.raises(UserError, match=r"give another, as timm.list_models\(\) lists them\.$"):
        timm_config("zzzzqqqq", "--model")


def test_a_published_file_is_never_executed(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "executed",)

    network = find_timm_network("legacy_seresnet18", "--features")
    (tmp_path / network.weights.name).write_bytes(pickle.dumps({"conv1.weight": Trap()}, protocol=2))
    with pytest.raises(UserError, match="not readable as weights"):
        load_timm_network(network, WeightSource(tmp_path, offline=True))
    assert not (tmp_path / "executed").exists()


def test_what_is_loaded_is_frozen_and_has_no_classifier(tmp_path: Path) -> None:
    import timm

    torch.manual_seed(0)
    whole = timm.create_model("legacy_seresnet18").eval()
    network = find_timm_network("legacy_seresnet18", "--features")
    torch.save(whole.state_dict(), tmp_path / network.weights.name)
    loaded, found = load_timm_network(network, WeightSource(tmp_path, offline=True))
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        logits = loaded(x) @ whole.last_linear.weight.T + whole.last_linear.bias
        torch.testing.assert_close(logits, whole(x), rtol=1e-4, atol=1e-5)
    assert found.path == tmp_path / network.weights.name
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert "state_dict" not in loaded.pretrained_cfg


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), change=st.binary(min_size=1, max_size=8), cut=st.booleans())
@pytest.mark.filterwarnings("ignore")  # torch warns of some damage, too
def test_damaged_weights_are_one_sentence_or_still_tensors(
    tmp_path: Path, place: float, change: bytes, cut: bool
) -> None:
    whole = io.BytesIO()
    torch.save({"a.weight": torch.arange(6.0), "b": torch.ones(2, 2)}, whole)
    content = bytearray(whole.getvalue())
    at = int(place * len(content))
    content[at : len(content) if cut else at + len(change)] = change
    (tmp_path / "w.pth").write_bytes(content)
    with contextlib.suppress(UserError):
        assert all(isinstance(each, torch.Tensor) for each in read_tensors(tmp_path / "w.pth").values())
