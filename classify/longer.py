"""A longer fit goes on from the end of a shorter one.

More epochs on the real images alone (the control `epochs`) begin as fewer of them, with the same random numbers, so a
study trains them once: what one fit leaves at its end is where the next begins, and the tensors are the same.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from classify import folder
from classify.ratio import NONE
from classify.settings import FitConfig
from shared.console import say
from shared.errors import UserError
from shared.files import whole_file
from shared.nn.resume import load_state

_SAME = ("device", "platform", "versions")  # of two environments, for the same bits


def beginning(config: FitConfig) -> FitConfig | None:
    """Return what all lengths of a fit have in common, None for one that no other length begins as.

    These are fits that may end early, and those whose random changes depend on the number of epochs.
    """
    if config.patience is not None or config.control == "augmentation":
        return None
    if config.control == "epochs":  # it sees what a fit without synthetic images does
        config = replace(config, control=NONE, ratio=NONE)
    return replace(config, epochs=0)


def shorter(config: FitConfig, fits: Mapping[Path, FitConfig]) -> list[Path]:
    """Return those of `fits`, which are configurations by folder, that `config` may go on from, the longest first."""
    mine = beginning(config)
    found = [path for path, other in fits.items() if _begins(other, mine) and other.epochs < config.epochs]
    return sorted(found, key=lambda path: -fits[path].epochs)


def has_longer(config: FitConfig, fits: Mapping[Path, FitConfig]) -> bool:
    """Tell whether one of `fits` may go on from the end of `config`."""
    mine = beginning(config)
    return any(_begins(other, mine) and other.epochs > config.epochs for other in fits.values())


def _begins(config: FitConfig, common: FitConfig | None) -> bool:
    return common is not None and beginning(config) == common


def go_on(path: Path, fits: Mapping[Path, FitConfig]) -> None:
    """Let the fit that has just begun in the folder `path` go on from the end of the longest of `fits` that is there.

    One that was made with other versions, on another kind of device, or that cannot be read, is left alone.
    """
    if (path / folder.CHECKPOINT).exists():
        return
    config, document = folder.read_config(path)
    for other in shorter(config, fits):
        with contextlib.suppress(UserError, OSError):
            kept, of = folder.read_config(other)
            same = all(of["environment"][name] == document["environment"][name] for name in _SAME)
            if kept == fits[other] and same and folder.is_finished(other):
                load_state(other / folder.END)
                with whole_file(path / folder.CHECKPOINT) as part:
                    part.write_bytes((other / folder.END).read_bytes())
                say(f"{path}: goes on from the {kept.epochs} epochs of {other}")
                return
