"""Reference networks, rebuilt in our classes."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stylegan2_ada import Discriminator, DiscriminatorConfig, Generator, GeneratorConfig

GOLDEN = Path(__file__).parents[1] / "golden"
NETWORKS = ["networks_uncond_r16", "networks_cond2_r32", "networks_orig_r16"]


def load_golden(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as arrays:
        return {key: arrays[key] for key in arrays.files}


def relative_error(ours: Tensor, reference: np.ndarray) -> float:
    """Norm of the difference over the norm of the reference, in float64, for the tensor as a whole."""
    expected = torch.from_numpy(np.asarray(reference, dtype=np.float64))
    assert ours.shape == expected.shape
    return float((ours.detach().double() - expected).norm() / expected.norm().clamp_min(1e-12))


@dataclass
class GoldenNetworks:
    G: Generator
    D: Discriminator
    arrays: dict[str, np.ndarray]

    def tensor(self, name: str) -> Tensor:
        return torch.from_numpy(self.arrays[name])

    @property
    def label(self) -> Tensor | None:
        return self.tensor("c") if self.G.c_dim else None


def build_golden(name: str) -> GoldenNetworks:
    arrays = load_golden(name)
    config = json.loads(str(arrays["config"]))
    g, d = config["generator"], config["discriminator"]
    synthesis = g["synthesis_kwargs"]
    G = Generator(
        GeneratorConfig(
            img_resolution=g["img_resolution"],
            z_dim=g["z_dim"],
            c_dim=g["c_dim"],
            w_dim=g["w_dim"],
            mapping_layers=g["mapping_kwargs"]["num_layers"],
            channel_base=synthesis["channel_base"],
            channel_max=synthesis["channel_max"],
            conv_clamp=synthesis["conv_clamp"],
        )
    )
    D = Discriminator(
        DiscriminatorConfig(
            img_resolution=d["img_resolution"],
            c_dim=d["c_dim"],
            architecture=d["architecture"],
            channel_base=d["channel_base"],
            channel_max=d["channel_max"],
            conv_clamp=d["conv_clamp"],
            mbstd_group_size=d["epilogue_kwargs"]["mbstd_group_size"],
        )
    )
    for module, prefix in ((G, "G/"), (D, "D/")):
        state = {key[2:]: torch.from_numpy(value) for key, value in arrays.items() if key.startswith(prefix)}
        module.load_state_dict(state, strict=True)
    return GoldenNetworks(G, D, arrays)
