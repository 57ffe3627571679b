"""NVIDIA's snapshots: the same networks from them, and what would be drawn otherwise is refused in one sentence."""

import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from nvidia_layout import Module, dump, snapshot
from reference import load_golden, relative_error
from snapshot_reading import FILE, assert_refused, read

from stylegan2_ada import load_networks, network_bytes, read_header
from stylegan2_ada.config import DiscriminatorConfig, GeneratorConfig
from stylegan2_ada.snapshot import LICENCE, is_snapshot
from stylegan2_ada.snapshot_arguments import discriminator_config, generator_config
from stylegan2_ada.snapshot_objects import Module as ReadModule

FORWARD = 1e-5


def test_golden_networks() -> None:
    networks, expected = load_networks(FILE), load_golden("nvidia_snapshot_r16_expected")
    with torch.no_grad():
        image = networks.G_ema(torch.from_numpy(expected["z"]))
        logits = networks.D.eval()(torch.from_numpy(expected["real"]))
    assert relative_error(image, expected["image_G_ema"]) < FORWARD
    assert relative_error(logits, expected["logits_real"]) < FORWARD
    assert not torch.equal(networks.G.mapping.fc0.weight, networks.G_ema.mapping.fc0.weight)  # each its own
    assert networks.G.mapping.fc0.weight.requires_grad
    assert not networks.G_ema.mapping.fc0.weight.requires_grad


def test_golden_header() -> None:
    about = read_header(FILE)["about"]
    expected = load_golden("nvidia_snapshot_r16_expected")
    assert about["licence"] == LICENCE
    assert "non-commercial" in LICENCE
    assert (about["name"], about["source"], about["num_fp16_res"]) == (FILE.name, "nvidia-pkl", 0)
    assert about["augment_p"] == pytest.approx(float(expected["augment_p"]))


def test_a_snapshot_becomes_a_network_file(tmp_path: Path) -> None:
    networks, header = load_networks(FILE), read_header(FILE)
    path = tmp_path / "network.safetensors"
    path.write_bytes(network_bytes(networks, header["about"]))
    assert read_header(path) == header
    again = load_networks(path)
    for name in ("G_ema", "G", "D"):
        before, after = getattr(networks, name).state_dict(), getattr(again, name).state_dict()
        assert before.keys() == after.keys()
        assert all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize("name", ["networks_cond2_r32", "networks_orig_r16", "networks_uncond_r16"])
def test_other_shapes(tmp_path: Path, name: str) -> None:
    networks, golden = read(tmp_path, dump(snapshot(name))), load_golden(name)
    z, real = torch.from_numpy(golden["z"]), torch.from_numpy(golden["real"])
    c = torch.from_numpy(golden["c"]) if networks.G.c_dim else None
    with torch.no_grad():
        assert relative_error(networks.G_ema(z, c), golden["image"]) < FORWARD
        assert relative_error(networks.G_ema(z, c, truncation_psi=0.7), golden["image_psi07"]) < FORWARD
        assert relative_error(networks.D(real, c), golden["logits_real"]) < FORWARD


@pytest.mark.parametrize("protocol", [3, 4])  # of Python 3.0 to 3.7, and later
@pytest.mark.parametrize("numpy_module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_every_spelling_reads_the_same(tmp_path: Path, protocol: int, numpy_module: bytes) -> None:
    content = dump(snapshot(), protocol)
    if protocol == 3:  # names are lines of text there
        content = content.replace(b"numpy._core.multiarray", numpy_module)
        assert numpy_module in content
    golden = load_golden("networks_cond2_r32")
    with torch.no_grad():
        image = read(tmp_path, content).G_ema(torch.from_numpy(golden["z"]), torch.from_numpy(golden["c"]))
    assert relative_error(image, golden["image"]) < FORWARD


def test_the_content_tells_the_format_not_the_name(tmp_path: Path) -> None:
    path = tmp_path / "network.safetensors"
    path.write_bytes(FILE.read_bytes())
    assert read_header(path)["about"]["source"] == "nvidia-pkl"
    # A safetensors header of 640 or 1152 bytes begins like a pickle of protocol 2 or 4.
    for protocol in (2, 3, 4, 5):
        length = 0x80 + (protocol << 8)
        path.write_bytes(struct.pack("<Q", length) + b"{" + bytes(length))
        assert not is_snapshot(path)


def test_frozen_layers_keep_parameters_as_buffers(tmp_path: Path) -> None:
    root = snapshot()
    layer = root["D"].at("b32.conv0")
    layer.buffers |= {name: parameter.data for name, parameter in layer.parameters.items()}
    layer.parameters = {}
    root["D"].kwargs["block_kwargs"] = {"freeze_layers": 2}
    frozen, plain = read(tmp_path, dump(root)).D, read(tmp_path, dump(snapshot())).D
    assert torch.equal(frozen.b32.conv0.weight, plain.b32.conv0.weight)


def _read_module(class_name: str, *places: Any, **named: Any) -> ReadModule:
    return ReadModule(class_name, {"_init_args": places, "_init_kwargs": named})


def test_absent_arguments_have_the_published_defaults() -> None:
    generator, _ = generator_config(
        _read_module("Generator", z_dim=512, c_dim=0, w_dim=512, img_resolution=256, img_channels=3)
    )
    assert generator == GeneratorConfig(
        img_resolution=256, z_dim=512, w_dim=512, mapping_layers=8, channel_base=32768, channel_max=512, conv_clamp=None
    )
    assert discriminator_config(
        _read_module("Discriminator", c_dim=0, img_resolution=256, img_channels=3)
    ) == DiscriminatorConfig(
        img_resolution=256,
        architecture="resnet",
        channel_base=32768,
        channel_max=512,
        conv_clamp=None,
        mbstd_group_size=4,
    )


def test_arguments_by_place_and_by_name_are_the_same() -> None:
    synthesis = {"channel_base": 16384, "num_fp16_res": 4, "conv_clamp": 256}
    by_place = _read_module("Generator", 64, 10, 32, 128, 3, {"num_layers": 2}, synthesis)
    by_name = _read_module(
        "Generator",
        z_dim=64,
        c_dim=10,
        w_dim=32,
        img_resolution=128,
        img_channels=3,
        mapping_kwargs={"num_layers": 2},
        synthesis_kwargs=synthesis,
    )
    config, facts = generator_config(by_place)
    assert (config, facts) == generator_config(by_name)
    assert facts == {"num_fp16_res": 4}
    assert (config.z_dim, config.c_dim, config.w_dim, config.img_resolution) == (64, 10, 32, 128)
    assert (config.mapping_layers, config.channel_base, config.conv_clamp) == (2, 16384, 256.0)
    epilogue = {"mbstd_group_size": 8}
    placed = _read_module("Discriminator", 10, 128, 3, "orig", 16384, 256, 4, 256, None, {}, {}, epilogue)
    config_d = discriminator_config(placed)
    assert (config_d.c_dim, config_d.img_resolution, config_d.architecture) == (10, 128, "orig")
    assert (config_d.channel_max, config_d.conv_clamp, config_d.mbstd_group_size) == (256, 256.0, 8)


def _edit(network: str, part: str, **changes: Any) -> bytes:
    root = snapshot()
    kwargs = root[network].kwargs
    (kwargs.setdefault(part, {}) if part else kwargs).update(changes)
    if network == "G_ema":
        root["G"].attributes["_init_kwargs"] = kwargs
    return dump(root)


@pytest.mark.parametrize(
    ("network", "part", "changes"),
    [
        ("G_ema", "synthesis_kwargs", {"use_noise": False}),
        ("G_ema", "synthesis_kwargs", {"activation": "relu"}),
        ("G_ema", "synthesis_kwargs", {"architecture": "resnet"}),
        ("G_ema", "synthesis_kwargs", {"resample_filter": [1, 2, 1]}),
        ("G_ema", "synthesis_kwargs", {"kernel_size": 5}),
        ("G_ema", "synthesis_kwargs", {"conv_clamp": float("nan")}),
        ("G_ema", "synthesis_kwargs", {"conv_clamp": "wide"}),
        ("G_ema", "synthesis_kwargs", {"magnitude_ema_beta": 0.999}),
        ("G_ema", "synthesis_kwargs", {"channel_base": 0}),
        ("G_ema", "synthesis_kwargs", {"channel_max": 1 << 40}),
        ("G_ema", "mapping_kwargs", {"lr_multiplier": 1.0}),
        ("G_ema", "mapping_kwargs", {"embed_features": 7}),
        ("G_ema", "mapping_kwargs", {"num_layers": 0}),
        ("G_ema", "", {"z_dim": 32.0}),
        ("G_ema", "", {"img_resolution": 48}),
        ("G_ema", "", {"w_dim": True}),
        ("G_ema", "", {"surprise": 1}),
        ("G_ema", "", {"mapping_kwargs": 3}),
        ("D", "", {"architecture": "wavelet"}),
        ("D", "", {"cmap_dim": 3}),
        ("D", "block_kwargs", {"activation": "relu"}),
        ("D", "mapping_kwargs", {"num_layers": 4}),
        ("D", "epilogue_kwargs", {"mbstd_group_size": None}),
        ("D", "epilogue_kwargs", {"mbstd_num_channels": 2}),
    ],
)
def test_what_would_be_drawn_otherwise_is_refused(
    tmp_path: Path, network: str, part: str, changes: dict[str, Any]
) -> None:
    (name,) = changes
    words = [] if name in ("img_resolution", "num_layers") else [name]
    assert_refused(tmp_path, _edit(network, part, **changes), *words)


def test_layers_that_contradict_their_network_are_refused(tmp_path: Path) -> None:
    for attribute, value in (("use_noise", False), ("conv_clamp", None), ("activation", "elu"), ("architecture", "x")):
        root = snapshot()
        root["G_ema"].at("synthesis.b8.conv0").attributes[attribute] = value
        assert_refused(tmp_path, dump(root), "synthesis.b8.conv0", attribute)


def test_networks_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    root = snapshot()
    del root["D"]
    assert_refused(tmp_path, dump(root), "no network D")
    root = snapshot()
    root["G"].attributes["_init_kwargs"] = root["G"].kwargs | {"z_dim": 8}
    assert_refused(tmp_path, dump(root), "not of one shape")
    assert_refused(tmp_path, dump(snapshot() | {"D": snapshot("networks_uncond_r16")["D"]}), "different pictures")
    root = snapshot()
    root["G_ema"].meta["class_name"] = "Encoder"
    assert_refused(tmp_path, dump(root), "Encoder")
    root = snapshot()
    root["G_ema"].meta["version"] = 7
    assert_refused(tmp_path, dump(root), "version 6")
    root = snapshot()
    del root["G_ema"].at("synthesis.b8.conv0").parameters["weight"]
    assert_refused(tmp_path, dump(root), "synthesis.b8.conv0.weight", "None")
    root = snapshot()
    root["G_ema"].at("synthesis.b8.conv0").parameters["extra"] = torch.zeros(1)
    assert_refused(tmp_path, dump(root), "extra")
    for root in ([], "G", {"G": 1}, {"G": Module("Generator")}):
        assert_refused(tmp_path, dump(root))
