"""The projected discriminator: what it mixes, what is trained of it, and what a file holds."""

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from projection import D_CONFIG, Backbone, attach, projected_networks
from torch import Tensor, nn

from stylegan2_ada import (
    NetworkFileError,
    Networks,
    ProjectedConfig,
    ProjectedDiscriminator,
    Trainer,
    TrainingConfig,
    load_networks,
    losses,
    network_bytes,
)
from stylegan2_ada.networks import freezable_layers

CONFIG = TrainingConfig(
    batch=4, gamma=0.0, lr=0.002, ema_kimg=0.1, augpipe="diffaug", loss="hinge", pl_weight=0.0, style_mixing=0.0
)


def _D(seed: int = 0) -> ProjectedDiscriminator:
    return attach(projected_networks(seed))


def _pictures(count: int = 5, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def _trainer(**changes: Any) -> Trainer:
    images = torch.randint(0, 256, (10, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    config = dataclasses.replace(CONFIG, **changes)
    return Trainer(projected_networks(), config, images, None, seed=1, device=torch.device("cpu"))


def test_a_logit_depends_on_its_own_picture_alone() -> None:
    D, pictures = _D().eval(), _pictures()
    together = D(pictures)
    assert together.shape == (5, 3 * 4 * 4)
    for order in ([4, 2, 0, 1, 3], [1, 3]):
        torch.testing.assert_close(D(pictures[order]), together[order], rtol=1e-5, atol=1e-6)


def test_mixing_against_a_naive_loop() -> None:
    """1 x 1 convolutions as matrix products; 3 x 3 ones as sums over shifted maps, from the coarsest map on."""
    D = _D()
    maps = Backbone()(_pictures(2))
    kernel = {name: tensor.numpy() for name, tensor in D.named_buffers() if name.startswith("mix")}
    expected = [
        np.einsum("oc,nchw->nohw", kernel[f"mix_channels{scale}"][:, :, 0, 0], x.detach().numpy())
        for scale, x in enumerate(maps)
    ]
    for scale in (1, 0):
        coarse = np.pad(expected[scale + 1], ((0, 0), (0, 0), (1, 1), (1, 1)))
        side = coarse.shape[-1] - 2
        passed = sum(
            np.einsum(
                "oc,nchw->nohw",
                kernel[f"mix_scales{scale}"][:, :, dy, dx],
                coarse[:, :, dy : dy + side, dx : dx + side],
            )
            for dy in range(3)
            for dx in range(3)
        )
        expected[scale] = (expected[scale] + _doubled(passed)) / 2**0.5
    for mixed, wanted in zip(D.mix(maps), expected, strict=True):
        np.testing.assert_allclose(mixed.detach().numpy(), wanted, rtol=1e-4, atol=1e-5)


def _doubled(x: np.ndarray) -> np.ndarray:
    """Enlarge [N, C, H, W] twice: 3/4 of the nearest and 1/4 of the next nearest, along either side."""
    for axis in (2, 3):
        x = np.moveaxis(x, axis, -1)
        padded = np.pad(x, [(0, 0)] * 3 + [(1, 1)], mode="edge")
        both = np.stack([0.75 * x + 0.25 * padded[..., :-2], 0.75 * x + 0.25 * padded[..., 2:]], axis=-1)
        x = np.moveaxis(both.reshape(*x.shape[:-1], -1), -1, axis)
    return x


def test_mixing_keeps_the_variance() -> None:
    """Of independent unit normal maps, over many networks; upsampling smooths, so a mixed map has a little less."""
    found: list[list[float]] = []
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        maps = [
            torch.randn(2, channels, 32 // stride, 32 // stride, generator=generator)
            for channels, stride in zip(D_CONFIG.channels, D_CONFIG.strides, strict=True)
        ]
        found.append([float(x.var()) for x in _D(seed).mix(maps)])
    fine, middle, coarse = np.mean(found, axis=0)
    assert coarse == pytest.approx(1, rel=0.15)
    assert 0.5 < middle < 1.1
    assert 0.5 < fine < 1.1


def test_every_scale_counts_the_same() -> None:
    """The mean of all logits is the mean over scales of each scale's mean, whose own number of logits is 16, 16, 4."""
    D, pictures = _D().eval().requires_grad_(False), _pictures()
    logits = D(pictures).reshape(5, 3, 4, 4)
    coarsest = logits[:, 2]
    assert torch.equal(coarsest, coarsest[:, ::2, ::2].repeat_interleave(2, dim=1).repeat_interleave(2, dim=2))
    own = [logits[:, 0], logits[:, 1], coarsest[:, ::2, ::2]]
    expected = torch.stack([scale.flatten(1).mean(dim=1) for scale in own]).mean(dim=0)
    torch.testing.assert_close(D(pictures).mean(dim=1), expected)


def test_only_the_heads_are_trained_and_every_one_of_their_kernels_is() -> None:
    D = _D()
    pictures = _pictures().requires_grad_(True)
    D(pictures).square().mean().backward()
    assert {name.split(".")[0] for name, _ in D.named_parameters()} == {"heads"}
    for name, parameter in D.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().sum()) > 0, name
    assert pictures.grad is not None
    assert (pictures.grad.flatten(1).norm(dim=1) > 0).all()
    assert not any(parameter.requires_grad for backbone in D._backbone for parameter in backbone.parameters())


def test_heads_have_kernels_of_unit_spectral_norm() -> None:
    """The largest singular value of a kernel as a matrix [O, I K^2], after enough power iterations."""
    D = _D()
    for _ in range(200):
        D(_pictures(1))
    kernels = [module.weight for module in D.modules() if isinstance(module, nn.Conv2d)]
    assert len(kernels) == (1 + 2) + (0 + 2) + (0 + 2)  # halvings of 8, 4 and 2 px, and two more each
    for kernel in kernels:
        assert float(torch.linalg.svdvals(kernel.detach().flatten(1))[0]) == pytest.approx(1, rel=0.02)


def test_training_changes_the_heads_and_nothing_else_of_it() -> None:
    trainer = _trainer()
    before = copy.deepcopy(trainer.D.state_dict())
    for _ in range(3):
        stats = trainer.train_step()
        assert "r1" not in stats
        assert "path_length" not in stats
    changed = {name for name, tensor in trainer.D.state_dict().items() if not torch.equal(tensor, before[name])}
    assert {name for name in before if name.endswith("original")} <= changed  # all kernels
    assert {name.split(".")[0] for name in changed} == {"heads"}
    assert trainer.ada.p == 0
    assert trainer.G.state_dict().keys() == trainer.G_ema.state_dict().keys()


def test_hinge_losses_in_closed_form() -> None:
    logits = torch.tensor([[-2.0, 0.5], [0.0, 3.0]])
    assert float(losses.generator_loss_hinge(logits)) == pytest.approx(-(-2 + 0.5 + 0 + 3) / 4)
    assert float(losses.discriminator_loss_fake_hinge(logits)) == pytest.approx((0 + 1.5 + 1 + 4) / 4)
    assert float(losses.discriminator_loss_real_hinge(logits)) == pytest.approx((3 + 0.5 + 1 + 0) / 4)


def test_resume_gives_the_same_bits() -> None:
    """The power iterations of spectral norm go on too."""
    straight, first, second = _trainer(), _trainer(), _trainer()
    for _ in range(5):
        straight.train_step()
    for _ in range(3):
        first.train_step()
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for _ in range(2):
        second.train_step()
    for name in ("G_ema", "G", "D"):
        for key, tensor in getattr(straight, name).state_dict().items():
            assert torch.equal(tensor, getattr(second, name).state_dict()[key]), key


def test_without_its_pretrained_network_it_says_so() -> None:
    networks = Networks.build(projected_networks().G.config, D_CONFIG, 0)
    with pytest.raises(RuntimeError, match="attach test first"):
        networks.D(_pictures())


def test_the_pretrained_network_moves_along_and_is_copied_but_never_stored() -> None:
    D = _D()
    assert not any("weight0" in name for name in D.state_dict())
    copied = copy.deepcopy(D).to(torch.float64)
    assert {p.dtype for p in copied._backbone[0].parameters()} == {torch.float64}
    assert {p.dtype for p in D._backbone[0].parameters()} == {torch.float32}
    assert copied.eval()(_pictures().double()).shape == D.eval()(_pictures()).shape


def test_half_precision_is_near() -> None:
    D = _D().eval().requires_grad_(False)
    whole, half = D(_pictures()), D(_pictures(), dtype=torch.bfloat16)
    assert half.dtype == torch.float32
    assert float((whole - half).norm() / whole.norm()) < 0.03


def test_a_file_holds_heads_and_mixing(tmp_path: Path) -> None:
    before = projected_networks()
    path = tmp_path / "network.safetensors"
    content = network_bytes(before, {"name": "test"})
    path.write_bytes(content)
    after = load_networks(path)
    assert after.D.config == D_CONFIG
    D = attach(after)
    assert torch.equal(D.eval()(_pictures()), attach(before).eval()(_pictures()))
    assert network_bytes(after, {"name": "test"}) == content
    assert freezable_layers(D) == []


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("widths", [4, 6], "must be as many"),
        ("widths", [4, 6, 10**9], "out of range"),
        ("max_width", 10**9, "out of range"),
        ("strides", [4, 8, 5], "must divide"),
        ("strides", [4, 8, 0], "must divide"),
        ("channels", list(range(1, 1000)), "whole numbers"),
        ("channels", ["a", "b", "c"], "whole numbers"),
        ("input_px", 2**20, "does not fit"),
        ("c_dim", 2, "no labels"),
    ],
)
def test_sizes_that_no_network_has_are_refused(tmp_path: Path, key: str, value: Any, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        ProjectedConfig(**dataclasses.asdict(D_CONFIG) | {key: value})
    content = network_bytes(projected_networks(), {})
    old = json.dumps({key: dataclasses.asdict(D_CONFIG)[key]})[1:-1].replace('"', '\\"')
    assert old.encode() in content
    path = tmp_path / "network.safetensors"
    path.write_bytes(_with_header(content, key, value))
    with pytest.raises(NetworkFileError, match="do not fit together"):
        load_networks(path)


def _with_header(content: bytes, key: str, value: Any) -> bytes:
    """Replace one value of the discriminator's configuration in a network file."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    config = json.loads(header["__metadata__"]["config"])
    config["discriminator"][key] = value
    header["__metadata__"]["config"] = json.dumps(config)
    written = json.dumps(header).encode()
    return len(written).to_bytes(8, "little") + written + content[8 + length :]
