"""Networks of timm by name: what is published of each, and their weights, read without running anything of theirs.

Libraries are imported when they are used, so that a registry of networks can be read without torch.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from shared.errors import UserError
from shared.weights import FoundWeights, WeightFile, WeightSource, find_weights

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor, nn

Rgb = tuple[float, float, float]

TIMM_PREFIX = "timm:"
_HUB = "https://huggingface.co/"
_NEAR = 3  # names that a refusal suggests
_BEGINNING = 12  # letters of a name that others may have in common with it


@dataclass(frozen=True)
class TimmNetwork:
    """A network of timm and how it was published.

    Attributes:
        name: with the tag of its weights, such as "resnet18.a1_in1k".
        weights: their file.
        input_px: side of the pictures that it takes.
        interpolation: how pictures are brought to that size, "bilinear" or "bicubic".
        mean, std: of pixels in [0, 1], by which it takes them.
    """

    name: str
    weights: WeightFile
    input_px: int
    interpolation: str
    mean: Rgb
    std: Rgb


def timm_config(name: str, option: str) -> Any:
    """Return timm's `PretrainedCfg` of its network `name`, with or without the tag of its weights.

    `option` is what the user named the network by, such as "--model".

    Raises `UserError`: no such network, or no such tag.
    """
    import timm

    asked, architecture = f"{option} {TIMM_PREFIX}{name}", name.partition(".")[0]
    if not timm.is_model(name):
        near = [TIMM_PREFIX + found for found in _near(architecture, timm.list_models())]
        hint = f" such as {', '.join(near)}" if near else ", as timm.list_models() lists them"
        raise UserError(f"{asked}: timm has no network of this name; give another{hint}.")
    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        raise UserError(
            f"{asked}: timm has no weights of this name for the network; give {TIMM_PREFIX}{architecture}."
        ) from error
    if config is None:
        raise UserError(f"{asked}: timm has no ImageNet weights for it; give another.")
    return config


def _near(name: str, known: Sequence[str]) -> list[str]:
    """Return a few of the names that are spelt nearly as `name`, or else that hold its beginning."""
    holding = [each for each in known if name[:_BEGINNING] in each]
    return list(dict.fromkeys([*difflib.get_close_matches(name, known, _NEAR), *holding]))[:_NEAR]


def timm_weights(name: str, option: str) -> WeightFile:
    """Return the file of the weights that timm names for its network `name`; `option` as in `timm_config`.

    Raises `UserError`: no such network, or its weights are not published.
    """
    config = timm_config(name, option)
    licence = config.license if config.license not in (None, "unknown") else ""
    if config.hf_hub_id:
        stem = config.hf_hub_id.rpartition("/")[2]
        url = f"{_HUB}{config.hf_hub_id}/resolve/main/model.safetensors"
        return WeightFile(f"{stem}.safetensors", url=url, licence=licence)
    if config.url:
        return WeightFile(config.url.rpartition("/")[2], url=config.url, licence=licence)
    raise UserError(f"{option} {TIMM_PREFIX}{name}: timm publishes no ImageNet weights for it; give another network.")


def find_timm_network(name: str, option: str) -> TimmNetwork:
    """Return what timm publishes of its network `name`; `option` as in `timm_config`.

    Raises `UserError`: no such network, its weights are not published, or it takes no square pictures.
    """
    import timm.data

    weights, config = timm_weights(name, option), timm_config(name, option)
    data = cast(Any, timm.data).resolve_data_config(pretrained_cfg=config.to_dict())
    channels, height, width = data["input_size"]
    if channels != 3 or height != width:
        raise UserError(
            f"{option} {TIMM_PREFIX}{name}: takes {channels} channels of {height} x {width} px, while pictures here "
            "are square and in colour; give another network."
        )
    full_name = f"{config.architecture}.{config.tag}" if config.tag else str(config.architecture)
    return TimmNetwork(full_name, weights, height, data["interpolation"], tuple(data["mean"]), tuple(data["std"]))


def load_timm_network(network: TimmNetwork, source: WeightSource) -> tuple[nn.Module, FoundWeights]:
    """Return `network` with its weights, without its classifier, frozen and channels-last; and where they were found.

    It takes float32 [N, 3, P, P], P = `network.input_px`, and returns float32 [N, F], pooled.

    Raises `UserError`: the weights cannot be had, or are another network's.
    """
    import timm
    import torch

    found = find_weights(network.weights, source)
    content = _read(found.path)
    try:
        if not isinstance(content, dict) or not content:  # of an empty one timm would look for others on its hub
            raise TypeError("it holds no named tensors")
        # With the classifier that the file has, so that timm, which converts foreign names, refuses what is left over.
        loaded: Any = timm.create_model(
            network.name, pretrained=True, pretrained_cfg_overlay={"state_dict": content, "source": ""}
        )
    except (AssertionError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(
            f"{found.path}: not the weights of {TIMM_PREFIX}{network.name} ({reason}); put those of "
            f"{network.weights.url} there."
        ) from error
    loaded.pretrained_cfg.pop("state_dict", None)  # a second copy of all tensors
    loaded.reset_classifier(0)
    frozen: nn.Module = loaded.to(memory_format=torch.channels_last).requires_grad_(False).eval()
    return frozen, found


def read_tensors(path: Path) -> Mapping[str, Tensor]:
    """Return the named tensors of a .safetensors or .pth file; nothing in it is executed.

    Raises `UserError`: the file is damaged or holds something else.
    """
    import torch

    tensors = _read(path)
    if not isinstance(tensors, dict) or not all(isinstance(value, torch.Tensor) for value in tensors.values()):
        raise UserError(f"{path}: not a file of named tensors; give the weights that the library publishes.")
    return tensors


def _read(path: Path) -> Any:
    import torch
    from safetensors.torch import load_file

    try:
        return load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (MemoryError, OSError):
        raise
    except Exception as error:  # torch raises many kinds for what is not data
        reason = str(error).split("\n", 1)[0]
        raise UserError(f"{path}: not readable as weights ({reason}); delete it and run the command again.") from error
