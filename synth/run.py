"""One run: training steps, logs, sample grids, scored checkpoints, and the finished network."""

import dataclasses
import math
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from shared.errors import UserError
from shared.files import whole_file
from shared.nn.resume import load_state, save_state
from stylegan2_ada import Networks, Trainer, TrainingDivergedError, network_bytes
from synth.drawing import draw
from synth.quality import QualityMeter
from synth.run_folder import RunFolder
from synth.samples import save_grid
from synth.train_options import TrainOptions

LOG_EVERY_STEPS = 16  # one cycle of the lazy regularisers, so that each average holds each loss
CHECKPOINTS = 10  # by default,
MIN_CHECKPOINT_KIMG = 4.0  # but not so often that scores take longer than training
SAMPLES = 32


@dataclass(frozen=True)
class Moment:
    """What changed since the last one, for the progress bar."""

    kimg_done: float
    note: str


class Run:
    """Train one cell in its folder, from its last checkpoint if there is one.

    The network that is kept is the checkpoint nearest to the validation images by KID (strict protocol), or to the
    training images by the quality distance (paper protocol, or when the validation part is too small).
    """

    def __init__(
        self,
        folder: RunFolder,
        trainer: Trainer,
        meter: QualityMeter,
        options: TrainOptions,
        about: dict[str, Any],
        quality_at_start: dict[str, Any] | None = None,
    ) -> None:
        """Take up the run in `folder`; `quality_at_start` is the score of the start networks, where it is known."""
        self.folder, self.trainer, self.meter = folder, trainer, meter
        self.options, self.about = options, about
        self.quality_at_start = quality_at_start
        self.lines: list[dict[str, Any]] = []
        self.best: dict[str, Any] | None = None
        self.seconds = 0.0
        self._sums: dict[str, list[Tensor]] = defaultdict(list)
        if folder.state.exists():
            self._resume()

    def go(self) -> Iterator[Moment]:
        """Train to the end, telling of every few steps.

        Raises `UserError`: gradients stopped being finite.
        """
        self.folder.samples.mkdir(parents=True, exist_ok=True)
        every = (self.options.checkpoint_every or max(self.options.kimg / CHECKPOINTS, MIN_CHECKPOINT_KIMG)) * 1000
        total = self.options.kimg * 1000
        yield Moment(self.trainer.cur_nimg / 1000, "")
        with SummaryWriter(str(self.folder.path), purge_step=self.trainer.cur_nimg) as board:
            if not self.lines:
                self._checkpoint(board)
            while self.trainer.cur_nimg < total:
                before = self.trainer.cur_nimg
                self._step(board)
                reached = self.trainer.cur_nimg
                if reached // every > before // every or reached >= total:
                    self._checkpoint(board)
                yield Moment((reached - before) / 1000, self._note())
        self._finish()

    def summary(self) -> str:
        """Return the best checkpoint in words."""
        best = self.best
        return "no score" if best is None else f"best at {best['kimg']:g} kimg, {_in_words(best['quality'])}"

    def _step(self, board: SummaryWriter) -> None:
        started = time.monotonic()
        try:
            losses = self.trainer.train_step()
        except TrainingDivergedError as error:
            raise UserError(f"{self.folder.path}: {error}.") from error
        for name, value in losses.items():
            self._sums[name].append(value)
        if self.trainer.step % LOG_EVERY_STEPS == 0:
            self._log_losses(board)
        self.seconds += time.monotonic() - started

    def _log_losses(self, board: SummaryWriter) -> None:
        values = {name: float(torch.stack(values).mean()) for name, values in self._sums.items()}
        self._sums.clear()
        values |= {"p": self.trainer.ada.p}
        if self.trainer.ada.last_r_t is not None:
            values["r_t"] = self.trainer.ada.last_r_t
        self._log({name: value for name, value in values.items() if math.isfinite(value)}, board)

    def _log(self, values: dict[str, Any], board: SummaryWriter) -> None:
        kimg = self.trainer.cur_nimg / 1000
        bad = {"bad_steps": self.trainer.bad_steps} if self.trainer.bad_steps else {}
        self.lines.append({"kimg": kimg, "seconds": round(self.seconds, 2)} | values | bad)
        for name, value in values.items():
            if isinstance(value, float):
                board.add_scalar(name, value, self.trainer.cur_nimg)

    def _note(self) -> str:
        scored = [line["quality"]["value"] for line in self.lines if "quality" in line]
        return f"p {self.trainer.ada.p:.2f}" + (f", distance {scored[-1]:.1f}" if scored else "")

    def _draw(self, first_seed: int, count: int) -> npt.NDArray[np.uint8]:
        """Draw the pictures of the seeds from `first_seed` on; a conditional network draws its classes in turn."""
        return draw(self.trainer.G_ema, range(first_seed, first_seed + count))

    def _checkpoint(self, board: SummaryWriter) -> None:
        """Score, draw samples, keep the network if it is the best so far, and save the state."""
        kimg = self.trainer.cur_nimg / 1000
        quality = self._score()
        self._log({"quality": quality}, board)
        board.add_scalar("quality", quality["value"], self.trainer.cur_nimg)
        samples = self._draw(0, SAMPLES)
        save_grid(self.folder.samples / f"kimg{kimg:07.1f}.png", samples)
        board.add_images("samples", samples, self.trainer.cur_nimg, dataformats="NHWC")
        if self.best is None or criterion(quality) < criterion(self.best["quality"]):
            self.best = {"kimg": kimg, "quality": quality}
            with whole_file(self.folder.best) as part:
                part.write_bytes(self._network_bytes())
        self.folder.write_log(self.lines)
        save_state(
            self.folder.state,
            {"trainer": self.trainer.state_dict(), "lines": self.lines, "best": self.best, "seconds": self.seconds},
        )

    def _score(self) -> dict[str, Any]:
        """Score the network; all cells of a grid start from the same one, which is scored once."""
        if self.trainer.step > 0:
            return self.meter.score(self._draw)
        if self.quality_at_start is None:
            self.quality_at_start = self.meter.score(self._draw)
        return self.quality_at_start

    def _network_bytes(self) -> bytes:
        assert self.best is not None
        about = dict(self.about)
        about["generator"] = about["generator"] | {"kimg": self.best["kimg"]}
        about["quality"] = self.best["quality"]
        about["training"] = dataclasses.asdict(self.trainer.config)
        return network_bytes(Networks(self.trainer.G_ema, self.trainer.G, self.trainer.D), about)

    def _resume(self) -> None:
        state = load_state(self.folder.state)
        try:
            self.trainer.load_state_dict(state["trainer"])
            self.lines, self.best, self.seconds = state["lines"], state["best"], state["seconds"]
        except (KeyError, RuntimeError, TypeError) as error:
            raise UserError(
                f"{self.folder.state}: does not fit this run ({type(error).__name__}); remove it to start again."
            ) from error

    def _finish(self) -> None:
        with whole_file(self.folder.network) as part:
            part.write_bytes(self.folder.best.read_bytes())


def criterion(quality: dict[str, Any]) -> float:
    """Return what checkpoints and cells are chosen by, smaller is better: KID to validation, else the distance."""
    kid = quality.get("kid_validation")
    return float(quality["value"] if kid is None else kid)


def _in_words(quality: dict[str, Any]) -> str:
    return f"{quality['name']} {quality['value']:.1f} ({quality['n_fake']} against {quality['n_real']} images)"
