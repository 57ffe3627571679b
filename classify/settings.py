"""What a fit is asked for, and what that comes to."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FitOptions:
    """What a user asks for; None means the model's own setting."""

    model: str = "custom_cnn"
    ratio: str = "none"
    protocol: str = "strict"
    image_size: int | None = None
    unfreeze: int | None = None
    epochs: int | None = None
    lr: float | None = None
    batch: int | None = None
    optimizer: str | None = None
    seed: int = 0


@dataclass(frozen=True)
class FitConfig:
    """All that decides on the tensors of a fit, resolved; two fits of one configuration give one model."""

    model: str
    ratio: str
    protocol: str
    fold: int
    seed: int
    image_size: int  # side of the network's input, px
    unfreeze: int | None  # backbone modules that train, from the end; None: all
    epochs: int
    lr: float
    batch: int
    optimizer: str
    cohort: str  # sha256
    bundle: str | None  # sha256
