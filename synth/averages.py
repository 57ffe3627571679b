"""Averages of a run's generator at its scored checkpoints, from which one of any width is made after training."""

import copy
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from shared.errors import UserError
from shared.nn.resume import load_state, save_state
from stylegan2_ada import Generator, Trainer
from stylegan2_ada.averages import Profile, mixture

FORMAT = "rarescreen-gan-averages"
VERSION = 1
MOST = 40  # files a run keeps
_NAME = re.compile(r"averages-([0-9]{7,})\.([0-9]{3})\.pt")


def thinned(nimgs: list[int], most: int = MOST) -> list[int]:
    """Return at most so many of the ascending `nimgs`: first and last stay, the closest by ratio go."""
    left = list(nimgs)
    while len(left) > most:
        index = min(range(1, len(left) - 1), key=lambda i: left[i + 1] / max(left[i - 1], 1))
        del left[index]
    return left


@dataclass(frozen=True)
class AverageFolder:
    """The files of one run: its usual average with all buffers, and the parameters of the power-function averages."""

    folder: Path

    def path(self, nimg: int) -> Path:
        """Return where the averages after `nimg` images are."""
        return self.folder / f"averages-{nimg // 1000:07d}.{nimg % 1000:03d}.pt"

    def nimgs(self) -> list[int]:
        """Return the images shown until each file, ascending."""
        names = [_NAME.fullmatch(entry.name) for entry in self.folder.glob("averages-*.pt")]
        return sorted(int(name[1]) * 1000 + int(name[2]) for name in names if name)

    def save(self, trainer: Trainer) -> None:
        """Write the averages of this moment, in half the precision, and thin out the files of before."""
        kept = trainer.power_averages.state_dict()
        save_state(
            self.path(trainer.cur_nimg),
            {
                "format": FORMAT,
                "version": VERSION,
                "step": kept["step"],
                "G_ema": trainer.G_ema.state_dict(),
                "averages": {
                    width: {name: tensor.half() for name, tensor in average.items()}
                    for width, average in kept["averages"].items()
                },
            },
        )
        nimgs = self.nimgs()
        for old in set(nimgs) - set(thinned(nimgs)):
            self.path(old).unlink()

    def drop_after(self, nimg: int) -> None:
        """Remove the averages of a future that will not be."""
        for newer in self.nimgs():
            if newer > nimg:
                self.path(newer).unlink()

    def load(self, nimg: int) -> dict[str, Any]:
        """Read one file.

        Raises `UserError`: it is missing, damaged, or not of this program or version.
        """
        path = self.path(nimg)
        if not path.exists():
            raise UserError(f"{path}: missing; train the run again.")
        state = load_state(path)
        if state.get("format") != FORMAT or state.get("version") != VERSION:
            raise UserError(f"{path}: not the averages of a run of this Rarescreen; train the run again.")
        return state

    def usual(self, nimg: int, like: Generator) -> Generator:
        """Return the usual average after `nimg` images, in a copy of the generator `like`."""
        return _filled(like, self.load(nimg)["G_ema"], self.path(nimg))

    def of_width(self, nimg: int, width: float, like: Generator) -> Generator:
        """Return the average of any width after `nimg` images, made of all files until then.

        Raises `UserError`: no file is of that moment, or files do not fit the generator `like`.
        """
        states = {n: self.load(n) for n in self.nimgs() if n <= nimg}
        if nimg not in states or states[nimg]["step"] == 0:
            raise UserError(f"{self.folder}: no averages of {nimg / 1000:g} kimg; give another moment of this run.")
        kept = [
            (Profile(float(name), float(state["step"])), average)
            for state in states.values()
            if state["step"] > 0
            for name, average in state["averages"].items()
        ]
        wanted = Profile(width, float(states[nimg]["step"]))
        factors = mixture([profile for profile, _ in kept], wanted)
        tensors = {
            name: sum(factor * average[name].double() for factor, (_, average) in zip(factors, kept, strict=True))
            for name in kept[0][1]
        }
        return _filled(like, states[nimg]["G_ema"] | tensors, self.path(nimg))


def _filled(like: Generator, tensors: dict[str, Any], path: Path) -> Generator:
    generator = copy.deepcopy(like)
    try:
        generator.load_state_dict({name: torch.as_tensor(tensor).float() for name, tensor in tensors.items()})
    except (RuntimeError, KeyError, TypeError) as error:
        raise UserError(f"{path}: does not fit the run's generator; train the run again.") from error
    return generator
