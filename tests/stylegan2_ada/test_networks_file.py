"""Networks in a file: the same pictures back, the same bytes again, and refusals in one sentence."""

import contextlib
import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from stylegan2_ada import (
    DiscriminatorConfig,
    GeneratorConfig,
    NetworkFileError,
    Networks,
    load_networks,
    network_bytes,
    read_header,
    resolve,
)


def _networks() -> Networks:
    G = GeneratorConfig(img_resolution=8, z_dim=8, w_dim=8, mapping_layers=2, channel_base=64, channel_max=8)
    return Networks.build(G, DiscriminatorConfig(img_resolution=8, channel_base=64, channel_max=8), seed=4)


CONTENT = network_bytes(_networks(), {"name": "test"})


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "network.safetensors"
    path.write_bytes(CONTENT)
    z = torch.randn(3, 8)
    before, after = _networks(), load_networks(path)
    assert torch.equal(before.G_ema(z), after.G_ema(z))
    assert torch.equal(before.D(before.G(z)), after.D(after.G(z)))
    assert not any(p.requires_grad for p in after.G_ema.parameters())
    assert read_header(path)["about"] == {"name": "test"}
    assert network_bytes(after, {"name": "test"}) == CONTENT


def test_half_precision_is_half_the_size_and_nearly_the_same(tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    content = network_bytes(_networks(), {}, half=True)
    path.write_bytes(content)
    z = torch.randn(4, 8)
    whole, half = _networks().G_ema(z), load_networks(path).G_ema(z)
    assert half.dtype == torch.float32
    assert float((whole - half).norm() / whole.norm()) < 2e-3


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "not a complete network file"),
        (CONTENT[:-100], "not a complete network file"),
        (b"PK\x03\x04" + bytes(100), "not a complete network file"),
        (save({"x": torch.zeros(1)}), "not a complete network file"),
        (save({"x": torch.zeros(1)}, metadata={"config": "{}"}), "not a StyleGAN2-ADA network"),
        (
            save(
                {"x": torch.zeros(1)},
                metadata={"config": json.dumps({"format": "stylegan2-ada-networks", "version": 9})},
            ),
            "version 9",
        ),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, named: str) -> None:
    path = tmp_path / "network.safetensors"
    path.write_bytes(content)
    with pytest.raises(NetworkFileError, match=named) as caught:
        load_networks(path)
    assert "\n" not in str(caught.value)


@given(st.integers(0, 400), st.integers(1, 255))
def test_a_damaged_header_never_crashes(tmp_path_factory: pytest.TempPathFactory, place: int, flip: int) -> None:
    damaged = bytearray(CONTENT)
    damaged[place] ^= flip
    path = tmp_path_factory.mktemp("damaged") / "network.safetensors"
    path.write_bytes(bytes(damaged))
    with contextlib.suppress(NetworkFileError):  # any other exception fails the test
        load_networks(path)


@given(st.integers(8 + int.from_bytes(CONTENT[:8], "little"), len(CONTENT) - 1), st.integers(0, 7))
def test_a_flipped_bit_of_a_tensor_is_found(tmp_path_factory: pytest.TempPathFactory, place: int, bit: int) -> None:
    damaged = bytearray(CONTENT)
    damaged[place] ^= 1 << bit
    path = tmp_path_factory.mktemp("flipped") / "network.safetensors"
    path.write_bytes(bytes(damaged))
    with pytest.raises(NetworkFileError, match="does not hold what was written"):
        load_networks(path)


def test_presets_follow_the_published_rules() -> None:
    _, _, training = resolve("auto", 256)
    assert training.batch == 16
    assert training.gamma == pytest.approx(0.0002 * 256**2 / 16)
    assert training.lr == 0.0025
    assert training.ema_kimg == pytest.approx(5.0)
    generator, discriminator, training = resolve("paper512", 512)
    assert (generator.mapping_layers, generator.channel_base, discriminator.mbstd_group_size) == (8, 32768, 8)
    assert (training.batch, training.gamma, training.ema_rampup) == (64, 0.5, None)


def test_tiny_is_as_documented() -> None:
    generator, discriminator, training = resolve("tiny", 32)
    assert (generator.channel_base, generator.channel_max, generator.z_dim, generator.w_dim) == (2048, 64, 128, 128)
    assert (generator.mapping_layers, training.batch) == (2, 32)
    assert (discriminator.channel_base, discriminator.channel_max) == (2048, 64)


@pytest.mark.parametrize("size", [4, 48, 2048])
def test_impossible_sizes(size: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        resolve("tiny", size)


def test_unknown_configuration_names_the_known() -> None:
    with pytest.raises(ValueError, match="auto, paper256"):
        resolve("papre", 32)
