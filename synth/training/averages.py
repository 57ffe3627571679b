"""Averages of a run's generator at its scored checkpoints, from which one of any width is made after training."""

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from shared.errors import UserError
from shared.nn.resume import DamagedStateError, load_state, save_state
from stylegan2_ada import Generator, Trainer
from stylegan2_ada.averages import KEPT_WIDTHS, Mixture, Profile, mixture
from synth.training.numbered_files import NumberedFiles

FORMAT = "rarescreen-gan-averages"
VERSION = 1
MOST = 40  # files a run keeps


def thinned(nimgs: Sequence[int], keep: Collection[int] = (), most: int = MOST) -> list[int]:
    """Return at most so many of the ascending `nimgs`: the last and those to `keep` stay, the closest by ratio go."""
    left = list(nimgs)
    while len(left) > most:
        may_go = [i for i in range(1, len(left) - 1) if left[i] not in keep]
        if not may_go:
            break
        del left[min(may_go, key=lambda i: left[i + 1] / max(left[i - 1], 1))]
    return left


@dataclass(frozen=True)
class AverageFolder(NumberedFiles):
    """The files of one run: parameters of its usual and its power-function averages, and buffers."""

    stem: ClassVar[str] = "averages"

    def save(self, trainer: Trainer, keep: Collection[int] = (), most: int = MOST) -> None:
        """Write the averages of this moment, in half precision, and thin out those of before but what to `keep`.

        At most `most` files are left, as far as `keep` allows; of 0 none is written.
        """
        if most == 0:
            return
        kept = trainer.power_averages.state_dict()["averages"]
        parameters = dict(trainer.G_ema.named_parameters())
        save_state(
            self.path(trainer.cur_nimg),
            {
                "format": FORMAT,
                "version": VERSION,
                "usual": {name: tensor.half() for name, tensor in parameters.items()},
                "buffers": dict(trainer.G_ema.named_buffers()),
                "averages": {
                    width: {name: tensor.half() for name, tensor in average.items()} for width, average in kept.items()
                },
            },
        )
        nimgs = self.nimgs()
        for old in set(nimgs) - set(thinned(nimgs, keep, most)):
            self.path(old).unlink()

    def load(self, nimg: int) -> dict[str, Any]:
        """Read one file.

        Raises `UserError`: it is missing, damaged, or not of this program or version.
        """
        path = self.path(nimg)
        if not path.exists():
            raise UserError(f"{path}: missing; train the run again.")
        try:
            state = load_state(path)
        except DamagedStateError as error:
            raise UserError(
                f"{path}: damaged; train the run again, or move {self.folder} away: then the width stays as it is."
            ) from error
        if state.get("format") != FORMAT or state.get("version") != VERSION:
            raise UserError(f"{path}: not the averages of a run of this Rarescreen; train the run again.")
        return state

    def usual(self, nimg: int, like: Generator) -> Generator:
        """Return the usual average after `nimg` images, in a copy of the generator `like`."""
        state = self.load(nimg)
        return self._filled(like, state.get("usual"), state.get("buffers"), nimg)

    def mixture(self, nimg: int, width: float) -> Mixture:
        """Return how the averages until `nimg` images make one of a width there."""
        return mixture([profile for _, _, profile in self._kept(nimg)], Profile(width, float(nimg)))

    def of_widths(self, nimg: int, widths: Sequence[float], like: Generator) -> list[Generator]:
        """Return the averages of some widths after `nimg` images, made of all files until then, each read once.

        Raises `UserError`: no file is of that moment, or files do not fit the generator `like`.
        """
        if nimg not in self.nimgs() or nimg == 0:
            raise UserError(f"{self.folder}: no averages of {nimg / 1000:g} kimg; give another moment of this run.")
        factors = [self.mixture(nimg, width).factors for width in widths]
        totals = [{name: torch.zeros_like(p, device="cpu") for name, p in like.named_parameters()} for _ in widths]
        state: dict[str, Any] = {}
        for (at, name, _), *shares in zip(self._kept(nimg), *factors, strict=True):
            if state.get("at") != at:
                state = self.load(at) | {"at": at}
            for total, share in zip(totals, shares, strict=True):
                self._add(total, state, name, share, at)
        return [self._filled(like, total, state.get("buffers"), nimg) for total in totals]

    def _add(self, total: dict[str, Tensor], state: Mapping[str, Any], name: str, share: float, nimg: int) -> None:
        try:
            average = state["averages"][name]
            for key, sum_ in total.items():
                sum_.add_(average[key].float(), alpha=share)
        except (AttributeError, RuntimeError, KeyError, TypeError) as error:
            raise self._unfit(nimg) from error

    def _kept(self, nimg: int) -> list[tuple[int, str, Profile]]:
        """Return moment, name and profile of every average until `nimg` images; the start counts in none."""
        return [
            (at, str(width), Profile(width, float(at)))
            for at in self.nimgs()
            if 0 < at <= nimg
            for width in KEPT_WIDTHS
        ]

    def _filled(self, like: Generator, parameters: Any, buffers: Any, nimg: int) -> Generator:
        generator = copy.deepcopy(like)
        try:
            state = {name: tensor.float() for name, tensor in (*parameters.items(), *buffers.items())}
            generator.load_state_dict(state)
        except (AttributeError, RuntimeError, KeyError, TypeError) as error:
            raise self._unfit(nimg) from error
        return generator

    def _unfit(self, nimg: int) -> UserError:
        return UserError(f"{self.path(nimg)}: does not fit the run's generator; train the run again.")
