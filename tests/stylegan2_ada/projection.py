"""A pretrained network for tests of the projected discriminator: random, and of a moment."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan2_ada import GeneratorConfig, Networks, ProjectedConfig, ProjectedDiscriminator

G_CONFIG = GeneratorConfig(img_resolution=16, z_dim=8, w_dim=8, mapping_layers=2, channel_base=128, channel_max=8)
D_CONFIG = ProjectedConfig(
    img_resolution=16,
    backbone="test",
    backbone_sha256="0" * 64,
    input_px=32,
    channels=(3, 5, 7),
    strides=(4, 8, 16),
    widths=(4, 6, 8),
    max_width=16,
)


class Backbone(nn.Module):
    """Enlarges pictures, and gives maps of `D_CONFIG`'s sides and channels."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        for index, channels in enumerate(D_CONFIG.channels):
            weight = torch.randn(channels, 3, 3, 3, generator=generator) / 27**0.5
            self.register_parameter(f"weight{index}", nn.Parameter(weight))

    def forward(self, pictures: Tensor) -> list[Tensor]:
        x = F.interpolate(pictures, size=(D_CONFIG.input_px, D_CONFIG.input_px), mode="bilinear")
        return [
            F.avg_pool2d(F.conv2d(x, self.get_parameter(f"weight{index}"), padding=1), stride)
            for index, stride in enumerate(D_CONFIG.strides)
        ]


def projected_networks(seed: int = 0) -> Networks:
    """Return networks whose discriminator has its pretrained network."""
    networks = Networks.build(G_CONFIG, D_CONFIG, seed)
    attach(networks)
    return networks


def attach(networks: Networks) -> ProjectedDiscriminator:
    """Give the discriminator its pretrained network, and return it."""
    assert isinstance(networks.D, ProjectedDiscriminator)
    networks.D.attach(Backbone())
    return networks.D
