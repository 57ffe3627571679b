"""What a fit is asked for, and what that comes to."""

import types
from dataclasses import dataclass
from typing import Any, get_args, get_origin


@dataclass(frozen=True)
class FitOptions:
    """What a user asks for; None means the model's own setting."""

    model: str = "custom_cnn"
    ratio: str = "none"
    protocol: str = "strict"
    control: str = "none"  # what stands in the place of synthetic images
    synthetic: str | None = None  # which classes have some: positive or both; None: as there are bundles
    image_size: int | None = None
    unfreeze: int | None = None
    depth: int | None = None
    head: tuple[int, ...] | None = None
    dropout: float | None = None
    epochs: int | None = None
    patience: int | None = None
    lr: float | None = None
    batch: int | None = None
    optimizer: str | None = None
    precision: str | None = None
    seed: int = 0


@dataclass(frozen=True)
class FitConfig:
    """All that decides on the tensors of a fit, resolved; two fits of one configuration give one model."""

    model: str
    ratio: str
    protocol: str
    control: str
    synthetic: str
    fold: int
    seed: int
    image_size: int  # side of the network's input, px
    unfreeze: int | None  # backbone modules that train, from the end; None: all
    depth: int | None  # convolutions of the custom CNN, None for other models
    head: tuple[int, ...]  # widths of the hidden layers
    dropout: float  # behind each of them
    epochs: int
    patience: int | None  # epochs without a better one, after which it ends; None: never
    lr: float
    batch: int
    optimizer: str
    precision: str  # fp32, tf32 or bf16
    cohort: str  # sha256
    bundles: tuple[str, ...]  # sha256, those of positives first


def fits(value: object, hint: Any) -> bool:
    """Tell whether a value is of the type that `hint` names: a plain one, a tuple of plain ones, or a union."""
    if get_origin(hint) is types.UnionType:
        return any(fits(value, each) for each in get_args(hint))
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(fits(each, get_args(hint)[0]) for each in value)
    if hint is float and isinstance(value, int):
        return not isinstance(value, bool)
    return isinstance(value, hint) and (hint is bool or not isinstance(value, bool))


def as_read(value: Any) -> Any:
    """Return a value of a JSON or TOML file as a setting has it: lists are tuples."""
    return tuple(value) if isinstance(value, list) else value
