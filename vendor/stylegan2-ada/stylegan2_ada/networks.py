"""The three networks that are trained and kept together."""

import copy
from dataclasses import dataclass

import torch
from torch import nn

from stylegan2_ada.config import DiscriminatorConfig, GeneratorConfig, ProjectedConfig
from stylegan2_ada.discriminator import Discriminator
from stylegan2_ada.generator import Generator
from stylegan2_ada.projected import ProjectedDiscriminator

AnyDiscriminator = Discriminator | ProjectedDiscriminator


@dataclass
class Networks:
    """The three networks of a run: `G_ema` is the average that pictures are drawn with."""

    G_ema: Generator
    G: Generator
    D: AnyDiscriminator

    @classmethod
    def build(
        cls, generator: GeneratorConfig, discriminator: DiscriminatorConfig | ProjectedConfig, seed: int
    ) -> "Networks":
        """Initialise networks from `seed`, without touching the process's own random state."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            G = Generator(generator)
            D: AnyDiscriminator
            if isinstance(discriminator, ProjectedConfig):
                D = ProjectedDiscriminator(discriminator)
            else:
                D = Discriminator(discriminator)
        return cls(copy.deepcopy(G).eval().requires_grad_(False), G, D)

    def to(self, device: torch.device) -> "Networks":
        """Move all three to `device`."""
        return Networks(self.G_ema.to(device), self.G.to(device), self.D.to(device))


def layers_of_finer_half(D: AnyDiscriminator) -> int:
    """Return how many of `freezable_layers` belong to the finer half of the resolutions, 4 x 4 counted in.

    At 256 px these are 256 to 32, which FreezeD (arXiv:2002.10964) freezes in its published command.
    """
    if isinstance(D, ProjectedDiscriminator):
        return 0
    half = [getattr(D, f"b{size}") for size in D.resolutions[: (len(D.resolutions) + 2) // 2]]
    return sum(layer in list(block.children()) for layer in freezable_layers(D) for block in half)


def freezable_layers(D: AnyDiscriminator) -> list[nn.Module]:
    """List the discriminator's convolutions from the picture inwards, as FreezeD counts them (arXiv:2002.10964).

    A projected discriminator's first layers are frozen anyway: it has none to name.
    """
    if isinstance(D, ProjectedDiscriminator):
        return []
    blocks = [getattr(D, f"b{size}") for size in D.resolutions]
    names = ("fromrgb", "conv0", "conv1", "skip")
    return [getattr(block, name) for block in blocks for name in names if hasattr(block, name)]
