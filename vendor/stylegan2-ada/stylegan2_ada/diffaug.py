"""Differentiable augmentation (arXiv:2006.10738): colour, translation and cutout, chance split from deed."""

from dataclasses import dataclass

import torch
from torch import Tensor

from stylegan2_ada.ranks import Dice

BRIGHTNESS = 0.5  # added, at most, to values in [-1, 1]
SATURATION = (0.0, 2.0)  # factor of the distance from grey
CONTRAST = (0.5, 1.5)  # factor of the distance from the mean
SHIFT = 0.125  # of the side, at most
CUTOUT = 0.5  # of the side


@dataclass(frozen=True)
class DiffAugParameters:
    """What happens to each of N images.

    Attributes:
        brightness, saturation, contrast: added value, and two factors, [N].
        shift: in whole px (x, y), [N, 2].
        cutout_centre: in px (x, y), [N, 2].
    """

    brightness: Tensor
    saturation: Tensor
    contrast: Tensor
    shift: Tensor
    cutout_centre: Tensor

    def to(self, device: torch.device) -> "DiffAugParameters":
        """Return them on the device, in one transfer."""
        columns = [self.brightness[:, None], self.saturation[:, None], self.contrast[:, None]]
        whole = torch.cat([*columns, self.shift, self.cutout_centre], dim=1).to(device, non_blocking=True)
        brightness, saturation, contrast = whole[:, :3].unbind(dim=1)
        return DiffAugParameters(brightness, saturation, contrast, whole[:, 3:5], whole[:, 5:7])


def draw_parameters(shape: torch.Size, dice: Dice) -> DiffAugParameters:
    """Roll the dice for a batch of `shape` [N, C, S, S]."""
    count, side = shape[0], shape[-1]
    most = int(side * SHIFT + 0.5)
    return DiffAugParameters(
        brightness=(dice.uniform(count) * 2 - 1) * BRIGHTNESS,
        saturation=_between(SATURATION, dice.uniform(count)),
        contrast=_between(CONTRAST, dice.uniform(count)),
        shift=(dice.uniform(count, 2) * (2 * most + 1)).floor() - most,
        cutout_centre=(dice.uniform(count, 2) * (side + 1 - int(side * CUTOUT) % 2)).floor(),
    )


def _between(bounds: tuple[float, float], u: Tensor) -> Tensor:
    low, high = bounds
    return low + (high - low) * u


def augment(pictures: Tensor, parameters: DiffAugParameters) -> Tensor:
    """Apply `parameters` to pictures [N, C, S, S] in [-1, 1]: colour, then translation, then cutout."""
    wide = (slice(None), None, None, None)
    parameters = parameters.to(pictures.device)
    x = pictures + parameters.brightness[wide]
    grey = x.mean(dim=1, keepdim=True)
    x = grey + (x - grey) * parameters.saturation[wide]
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    x = mean + (x - mean) * parameters.contrast[wide]
    x = _translate(x, parameters.shift)
    return x * _outside_square(x, parameters.cutout_centre)


def _translate(x: Tensor, shift: Tensor) -> Tensor:
    """Move each picture by whole px to the right and down; what comes in is 0."""
    side = x.shape[-1]
    place = torch.arange(side, device=x.device)
    columns = (place - shift[:, :1])[:, None, None, :]  # [N, 1, 1, S], where each column comes from
    rows = (place - shift[:, 1:])[:, None, :, None]
    inside = (rows >= 0) & (rows < side) & (columns >= 0) & (columns < side)
    for dimension, index in ((2, rows), (3, columns)):
        x = x.gather(dimension, index.clamp(0, side - 1).long().expand_as(x))
    return x * inside


def _outside_square(x: Tensor, centre: Tensor) -> Tensor:
    """Return 1 outside and 0 inside of each image's square, [N, 1, S, S]; squares may reach over the edge."""
    side = x.shape[-1]
    place = torch.arange(side, device=x.device)
    half = int(side * CUTOUT) // 2
    columns, rows = ((place >= centre[:, i : i + 1] - half) & (place < centre[:, i : i + 1] + half) for i in (0, 1))
    return (~(rows[:, None, :, None] & columns[:, None, None, :])).to(x.dtype)
