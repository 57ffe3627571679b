"""A longer fit goes on from the end of a shorter one.

More epochs on the real images alone (the control `epochs`) begin as fewer of them, with the same random numbers, so a
study trains them once: what one fit leaves at its end is where the next begins, and the tensors are the same.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from classify.fitting import folder
from classify.fitting.ratio import NONE
from classify.fitting.settings import FitConfig
from shared.console import say
from shared.errors import UserError
from shared.nn.resume import copy_state

_SAME = ("device", "platform", "versions", "commit")  # of two environments, for the same bits


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

    One that was made by another version, on another kind of device, or that cannot be read, is left alone.
    """
    if (path / folder.CHECKPOINT).exists():
        return
    config, document = folder.read_config(path)
    for other in shorter(config, fits):
        with contextlib.suppress(UserError, OSError):
            kept, of = folder.read_config(other)
            if kept == fits[other] and _made_alike(document, of) and folder.is_finished(other):
                copy_state(other / folder.END, path / folder.CHECKPOINT)
                say(f"{path}: goes on from the {kept.epochs} epochs of {other}")
                return


def _made_alike(ours: folder.Json, theirs: folder.Json) -> bool:
    """Tell whether two fits, by all that their `config.json` tell, come to the same bits."""
    here, there = ours.get("environment"), theirs.get("environment")
    if not isinstance(here, dict) or not isinstance(there, dict):
        return False
    return all(name in there and there[name] == here.get(name) for name in _SAME)


def drop_ends(fits: Mapping[Path, FitConfig]) -> None:
    """Remove the ends of those of `fits` from which none will go on any more, since all longer ones are done."""
    for path, config in fits.items():
        end, mine = path / folder.END, beginning(config)
        if end.exists() and all(
            folder.is_done(other, longer)
            for other, longer in fits.items()
            if _begins(longer, mine) and longer.epochs > config.epochs
        ):
            end.unlink(missing_ok=True)
