"""Training state in a file: whole or absent, and loadable without running anything."""

from pathlib import Path
from typing import Any

import torch

from shared.errors import UserError
from shared.files import whole_file


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write tensors, numbers, strings and containers of them to `path`, whole or not at all."""
    with whole_file(path) as part:
        torch.save(state, part)


def load_state(path: Path) -> dict[str, Any]:
    """Read what `save_state` wrote, on the CPU.

    Raises `UserError`: the file is damaged or holds anything but data.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        raise UserError(
            f"{path}: not a complete checkpoint ({type(error).__name__}); remove it to start this run again."
        ) from error
    if not isinstance(state, dict):
        raise UserError(f"{path}: not a checkpoint of this program; remove it to start this run again.")
    return state
