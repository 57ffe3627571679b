"""What a network and a training run are made of, and the published presets as rows of data."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

NoiseMode = Literal["const", "random", "none"]
NOISE_MODES: tuple[NoiseMode, ...] = ("const", "random", "none")
Architecture = Literal["resnet", "orig", "skip"]
AugPipe = Literal[
    "none", "blit", "geom", "color", "filter", "noise", "cutout", "bg", "bgc", "bgcf", "bgcfn", "bgcfnc", "diffaug"
]
Loss = Literal["logistic", "hinge"]
MAX_RESOLUTION = 1024
MAX_WIDTH = 2048
MAX_LAYERS = 32
MAX_SCALES = 8
MAX_CHANNEL_BASE = 1 << 20


def channels_at(resolution: int, channel_base: int, channel_max: int) -> int:
    """Return the number of feature maps at `resolution`: they double as the picture halves, up to a maximum."""
    return min(channel_base // resolution, channel_max)


def _check_sizes(**sizes: int) -> None:
    """Raise ValueError for a size that no network has: a file must not be able to ask for all memory."""
    for name, size in sizes.items():
        low = 0 if name == "c_dim" else 1
        high = MAX_LAYERS if name == "mapping_layers" else MAX_WIDTH
        if not low <= size <= high:
            raise ValueError(f"{name} {size} is out of range; it must be from {low} to {high}")


def check_resolution(resolution: int) -> None:
    """Raise ValueError unless `resolution` is a power of two that the networks can be built for."""
    if not 8 <= resolution <= MAX_RESOLUTION or resolution & (resolution - 1):
        raise ValueError(
            f"an image size of {resolution} px does not fit StyleGAN2: "
            f"it must be a power of two from 8 to {MAX_RESOLUTION}"
        )


def _check_convolutions(resolution: int, channel_base: int, conv_clamp: float | None) -> None:
    """Raise ValueError unless every layer has a channel, and what clamps activations is a positive number or None."""
    if not resolution <= channel_base <= MAX_CHANNEL_BASE:
        raise ValueError(
            f"channel_base {channel_base} is out of range; it must be from {resolution} to {MAX_CHANNEL_BASE}"
        )
    number = isinstance(conv_clamp, int | float) and not isinstance(conv_clamp, bool)
    if conv_clamp is not None and not (number and 0 < conv_clamp < math.inf):
        raise ValueError(f"conv_clamp {conv_clamp} must be a positive number, or none")


@dataclass(frozen=True)
class GeneratorConfig:
    """Shape of the generator."""

    img_resolution: int
    z_dim: int = 512
    c_dim: int = 0
    w_dim: int = 512
    img_channels: int = 3
    mapping_layers: int = 8
    channel_base: int = 32768
    channel_max: int = 512
    conv_clamp: float | None = None

    def __post_init__(self) -> None:
        check_resolution(self.img_resolution)
        _check_sizes(z_dim=self.z_dim, c_dim=self.c_dim, w_dim=self.w_dim, img_channels=self.img_channels)
        _check_sizes(mapping_layers=self.mapping_layers, channel_max=self.channel_max)
        _check_convolutions(self.img_resolution, self.channel_base, self.conv_clamp)


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Shape of the discriminator."""

    img_resolution: int
    c_dim: int = 0
    img_channels: int = 3
    architecture: Architecture = "resnet"
    channel_base: int = 32768
    channel_max: int = 512
    conv_clamp: float | None = None
    mbstd_group_size: int = 4

    def __post_init__(self) -> None:
        check_resolution(self.img_resolution)
        _check_sizes(c_dim=self.c_dim, img_channels=self.img_channels, channel_max=self.channel_max)
        _check_sizes(mbstd_group_size=self.mbstd_group_size)
        _check_convolutions(self.img_resolution, self.channel_base, self.conv_clamp)


@dataclass(frozen=True)
class ProjectedConfig:
    """Shape of a projected discriminator, and which pretrained network it looks through.

    Attributes:
        backbone, backbone_sha256: name and file hash of the pretrained network, which is not part of the discriminator.
        input_px: side that pictures are brought to before it.
        channels, strides: of the maps that it gives, from fine to coarse; a map has input_px / stride px a side.
        widths: channels of the mixed maps.
        max_width: the most channels that a head has.
    """

    img_resolution: int
    backbone: str
    backbone_sha256: str
    input_px: int
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    widths: tuple[int, ...]
    max_width: int = 256
    c_dim: int = 0
    img_channels: int = 3
    mbstd_group_size: int = 1  # every image is judged alone

    def __post_init__(self) -> None:
        check_resolution(self.img_resolution)
        for name in ("channels", "strides", "widths"):
            row = tuple(getattr(self, name))  # a file has lists
            if not 1 <= len(row) <= MAX_SCALES or not all(isinstance(each, int) for each in row):
                raise ValueError(f"{name} {row} must be 1 to {MAX_SCALES} whole numbers")
            object.__setattr__(self, name, row)
        for row in (self.channels, self.widths, (self.max_width,)):
            for each in row:
                _check_sizes(channel_max=each)
        if not len(self.channels) == len(self.strides) == len(self.widths):
            raise ValueError("channels, strides and widths must be as many")
        check_resolution(self.input_px)
        if any(not 1 <= stride <= self.input_px or self.input_px % stride for stride in self.strides):
            raise ValueError(f"strides {self.strides} must divide {self.input_px} px")
        if self.c_dim != 0 or self.mbstd_group_size != 1:
            raise ValueError("a projected discriminator knows no labels and no groups")


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that steers optimisation; symbols as in the StyleGAN2-ADA paper (arXiv:2006.06676)."""

    batch: int
    gamma: float  # weight of R1
    lr: float
    ema_kimg: float
    ema_rampup: float | None = 0.05
    target: float = 0.6  # r_t that the controller holds
    augpipe: AugPipe = "bgc"  # "diffaug" always happens, and needs no controller
    loss: Loss = "logistic"
    ada_kimg: float = 500.0  # images, in thousands, in which p can travel from 0 to 1
    ada_interval: int = 4
    initial_p: float = 0.0
    max_p: float = 1.0  # the most that p may become
    style_mixing: float = 0.9
    noise: NoiseMode = "random"  # "none" leaves all variation to the latent vector: noise is never learnt
    pl_weight: float = 2.0
    pl_decay: float = 0.01
    pl_batch_shrink: int = 2
    g_reg_interval: int = 4
    d_reg_interval: int = 16
    freeze_d: int = 0  # how many of the discriminator's first layers stay as they are
    singular: bool = False  # train singular values of the weights only, for networks that have been trained before


@dataclass(frozen=True)
class Preset:
    """One row: a published configuration, or ours for small machines. None means "follows from the resolution"."""

    batch: int | None
    gamma: float | None
    lr: float | None
    ema_kimg: float | None
    ema_rampup: float | None
    channel_base: int | None
    mbstd_group_size: int | None
    channel_max: int = 512
    z_dim: int = 512
    mapping_layers: int = 8
    architecture: Architecture = "resnet"
    style_mixing: float = 0.9
    pl_weight: float = 2.0


# ADA paper, table in appendix C ("training configurations"); `tiny` is ours.
PRESETS: dict[str, Preset] = {
    "auto": Preset(None, None, None, None, 0.05, None, None, mapping_layers=2),
    "paper256": Preset(64, 1.0, 0.0025, 20, None, 16384, 8),
    "paper512": Preset(64, 0.5, 0.0025, 20, None, 32768, 8),
    "paper1024": Preset(32, 2.0, 0.002, 10, None, 32768, 4),
    "cifar": Preset(
        64, 0.01, 0.0025, 500, 0.05, 32768, 32, mapping_layers=2, architecture="orig", style_mixing=0.0, pl_weight=0.0
    ),
    "tiny": Preset(
        32,
        None,
        0.005,  # narrow layers need more: with equalised learning rate a step moves them by about lr * sqrt(inputs)
        None,
        0.05,
        2048,
        4,
        channel_max=64,
        z_dim=128,
        mapping_layers=2,
        style_mixing=0.0,  # as published for CIFAR, whose pictures are as small
        pl_weight=0.0,
    ),
}


def resolve(
    preset: str, resolution: int, *, c_dim: int = 0, batch: int | None = None
) -> tuple[GeneratorConfig, DiscriminatorConfig, TrainingConfig]:
    """Fill a preset's open places by the published `auto` rules for `resolution`.

    Args:
        preset: a name in `PRESETS`.
        resolution: image size in px.
        c_dim: number of classes, 0 for an unconditional network.
        batch: images a step, by default the preset's.

    Raises:
        ValueError: unknown preset or a resolution that no network can have.
    """
    if preset not in PRESETS:
        raise ValueError(f"configuration {preset!r} is unknown; use one of {', '.join(PRESETS)}")
    check_resolution(resolution)
    row = PRESETS[preset]
    batch = batch or row.batch or max(min(4096 // resolution, 32), 1)
    channel_base = row.channel_base or (32768 if resolution >= 512 else 16384)
    training = TrainingConfig(
        batch=batch,
        gamma=row.gamma if row.gamma is not None else 0.0002 * resolution**2 / batch,
        lr=row.lr or (0.002 if resolution >= 1024 else 0.0025),
        ema_kimg=row.ema_kimg or batch * 10 / 32,
        ema_rampup=row.ema_rampup,
        style_mixing=row.style_mixing,
        pl_weight=row.pl_weight,
    )
    generator = GeneratorConfig(
        img_resolution=resolution,
        z_dim=row.z_dim,
        c_dim=c_dim,
        w_dim=row.z_dim,
        mapping_layers=row.mapping_layers,
        channel_base=channel_base,
        channel_max=row.channel_max,
    )
    discriminator = DiscriminatorConfig(
        img_resolution=resolution,
        c_dim=c_dim,
        architecture=row.architecture,
        channel_base=channel_base,
        channel_max=row.channel_max,
        mbstd_group_size=row.mbstd_group_size or min(batch, 4),
    )
    return generator, discriminator, training


def replace_training(config: TrainingConfig, **changes: object) -> TrainingConfig:
    """Return `config` with the changes that are not None."""
    given = {name: value for name, value in changes.items() if value is not None}
    return dataclasses.replace(config, **given)  # type: ignore[arg-type]
