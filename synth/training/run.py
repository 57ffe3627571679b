"""One run: training steps, logs, scored checkpoints, states saved between them, and the finished network.

Scores stand at fixed numbers of images and nothing else is decided elsewhere, so a run that was killed or stopped at
any moment, and goes on from the state before, ends with the same bits.
"""

import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from shared.console import say
from shared.errors import UserError
from shared.files import whole_file, write_json
from shared.interruption import Interruption, StopAskedError
from shared.nn.resume import DamagedStateError
from stylegan2_ada import Networks, Trainer, TrainingDivergedError, network_bytes
from synth.drawing.pictures import draw
from synth.scores.certainty import Compared, certainty, enough_fakes
from synth.scores.features import identity
from synth.scores.quality import QualityMeter
from synth.training.averages import AverageFolder
from synth.training.board import Board, open_board
from synth.training.checkpoints import Checkpoints, State, best_of, last_good
from synth.training.health import (
    MAX_ROLLBACKS,
    SATURATION_SHARE,
    SaturationWatch,
    collapse_in_words,
    has_collapsed,
    seed_after_rollback,
)
from synth.training.options import TrainOptions
from synth.training.run_folder import RunFolder
from synth.training.run_log import RunLog, in_words, writable
from synth.training.samples import save_grid


class Watcher(Protocol):
    """Who follows a run's scores, and may end it before its time."""

    def check(self) -> None:
        """Raise an error when the run is no longer this process's own."""

    def report(self, nimg: int, value: float) -> None:
        """Take the score after `nimg` images, smaller is better."""

    def should_prune(self) -> bool:
        """Tell whether the rest is not worth its time."""


class PrunedError(Exception):
    """The run was ended before its time."""


UNCHANGED = ": the networks it began with, which no checkpoint improved on; train longer, or otherwise"
LOG_EVERY_STEPS = 16  # one cycle of the lazy regularisers, so that each average holds each loss
BOARD_SCORES = (  # with what their intervals are made of
    *("value", "equal_n", "equal_n_sd", "floor", "precision", "precision_sd", "recall", "recall_sd"),
    *("held_out", "held_out_sd", "trained_on", "trained_on_sd", "kid_validation", "kid_low", "kid_high"),
)
CHECKPOINTS = 10  # by default,
MIN_CHECKPOINT_KIMG = 4.0  # but not so often that scores take longer than training
SAMPLES = 32
PICTURES = 64


@dataclass(frozen=True)
class Moment:
    """What changed since the last one, for the progress bar."""

    kimg_done: float
    note: str


def every_nimg(options: TrainOptions) -> float:
    """Return after how many images there is another score."""
    return 1000 * (options.checkpoint_every or max(options.kimg / CHECKPOINTS, MIN_CHECKPOINT_KIMG))


class Run:
    """Train one cell in its folder, from its newest whole state if there is one.

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
        interruption: Interruption | None = None,
        watcher: Watcher | None = None,
    ) -> None:
        """Take up the run in `folder`; `quality_at_start` is the score of the start networks, where it is known.

        Of several ranks the first one has the `watcher`.

        Raises `UserError`: its states are all damaged, or do not fit.
        """
        self.folder, self.trainer, self.meter = folder, trainer, meter
        self.options, self.about = options, about
        self.quality_at_start = quality_at_start
        self.interruption = interruption or Interruption()
        self.watcher = watcher
        self.ranks = trainer.ranks  # all do the same, and the first alone reads and writes
        self.checkpoints = Checkpoints(folder.checkpoints)
        self.averages = AverageFolder(folder.averages)
        self.every_nimg = every_nimg(options)
        self.total_nimg = 1000 * options.kimg
        self.log = RunLog()
        self.seconds = 0.0
        self.processor_seconds = 0.0
        self.rollbacks = 0
        self.saturation = SaturationWatch(trainer.config.max_p, SATURATION_SHARE * trainer.config.ada_kimg)
        state = self.ranks.from_first(self.checkpoints.load_newest)
        if state is not None:
            self._restore(state)
            self.log.require_space(identity(meter.extractor), folder.path)
            say(f"{folder.path}: going on from {trainer.cur_nimg / 1000:g} kimg")

    def go(self) -> Iterator[Moment]:
        """Train to the end, telling of every few steps; the trainer then stands at the best checkpoint.

        Raises:
            UserError: gradients stopped being finite, and again after going back once.
            OSError: something cannot be written; the newest state is as it was.
            SystemExit: a signal asked to stop; the state is saved.
        """
        if self.ranks.first:
            for folder in (self.folder.samples, self.folder.averages):
                folder.mkdir(parents=True, exist_ok=True)
            self.folder.write_log(self.log.lines)
        if self.watcher is not None:
            for score in self.log.scores():
                self.watcher.report(score.nimg, score.criterion)
        complete = False
        while not complete:
            before = self.trainer.cur_nimg
            with open_board(self.folder.path, before + 1 if self.log.lines else 0, write=self.ranks.first) as board:
                try:
                    yield from self._train(board)
                    complete = True
                except TrainingDivergedError as error:
                    reached = self.trainer.cur_nimg
                    self._roll_back(error)
                    yield Moment((self.trainer.cur_nimg - reached) / 1000, self._note())
                except StopAskedError:
                    self._stop(board)
                except PrunedError:
                    complete = True
                    say(
                        f"{self.folder.path}: ended at {self.trainer.cur_nimg / 1000:g} kimg, its scores being far "
                        "behind those of other cells"
                    )
        try:
            yield Moment(0.0, "scoring the best checkpoint")
            self._finish()
        except StopAskedError:
            self._say_stopped(self.log.lines[-1]["kimg"])
            raise SystemExit(self.interruption.exit_code) from None

    def summary(self) -> str:
        """Return the best checkpoint in words."""
        best = self.log.best()
        unchanged = UNCHANGED if best["kimg"] == 0 < self.log.lines[-1]["kimg"] else ""
        return f"best at {best['kimg']:g} kimg, {in_words(best['quality'])}{unchanged}"

    def _train(self, board: Board) -> Iterator[Moment]:
        """Step until the end, with a score at every mark and a state every few minutes."""
        saved_s = time.monotonic()
        while True:
            if self._score_is_due():
                yield Moment(0.0, "scoring")
                self._checkpoint(board)
                yield Moment(0.0, self._note())
                saved_s = time.monotonic()
            if self.trainer.cur_nimg >= self.total_nimg:
                return
            if self.watcher is not None:
                self.watcher.check()
            self.interruption.check(self.ranks)
            if self.ranks.most(int(time.monotonic() - saved_s >= 60 * self.options.save_every_min)):
                self._save(board)
                saved_s = time.monotonic()
            self._step(board)
            yield Moment(self.trainer.config.batch / 1000, self._note())

    def _score_is_due(self) -> bool:
        """Tell whether a mark was passed by the last step, or the end, and is not scored yet.

        That follows from the number of images alone, so it is the same after any interruption.
        """
        reached, scores = self.trainer.cur_nimg, self.log.scores()
        if not scores or scores[-1].nimg == reached:
            return not scores
        before = reached - self.trainer.config.batch
        return reached // self.every_nimg > before // self.every_nimg or reached >= self.total_nimg

    def _step(self, board: Board) -> None:
        started, processor_started = time.monotonic(), time.process_time()
        self.log.observe(self.trainer.train_step())
        if self.trainer.step % LOG_EVERY_STEPS == 0:
            self._log_losses(board)
        self.seconds += time.monotonic() - started
        self.processor_seconds += time.process_time() - processor_started

    def _log_losses(self, board: Board) -> None:
        values = self.log.averages() | {"p": self.trainer.ada.p}
        if self.trainer.ada.last_r_t is not None:
            values["r_t"] = self.trainer.ada.last_r_t
        line = writable(values)
        if self.saturation.observe(self.trainer.ada.p, self.trainer.cur_nimg / 1000):
            line["p_saturated"] = True
            say(f"{self.folder.path}: {self.saturation.in_words()}")
        self._log(line, board)

    def _log(self, values: dict[str, Any], board: Board) -> None:
        left_out = self.trainer.finite_steps
        left_out.look()
        in_a_row = max(left_out.in_a_row.values())
        bad = {"bad_steps": left_out.total} if left_out.total else {}
        bad |= {"bad_steps_in_a_row": in_a_row} if in_a_row else {}
        self.log.add(self._now() | values | bad)
        for name, value in values.items():
            if isinstance(value, float):
                board.add_scalar(name, value, self.trainer.cur_nimg)

    def _now(self) -> dict[str, Any]:
        times = {"seconds": round(self.seconds, 2), "processor_seconds": round(self.processor_seconds, 2)}
        return {"kimg": self.trainer.cur_nimg / 1000} | times

    def _note(self) -> str:
        return self.log.note(self.trainer.ada.p, self.trainer.finite_steps.total)

    def _draw(self, first_seed: int, count: int) -> npt.NDArray[np.uint8]:
        """Draw the pictures of the seeds from `first_seed` on; a conditional network draws its classes in turn.

        Raises `StopAskedError`: a signal has come; the score is due again when the run goes on.
        """
        if self.ranks.count == 1:  # several must stop at the same place, which is between two steps
            self.interruption.check()
        return draw(self.trainer.G_ema, range(first_seed, first_seed + count), noise=self.options.noise or "const")

    def _checkpoint(self, board: Board) -> None:
        """Score, draw samples, and save the state; steps that a GPU left out are known before that."""
        self.trainer.finite_steps.check(self.trainer.cur_nimg / 1000)
        quality, samples = self._score(), self._draw(0, SAMPLES)
        last = self.log.last_scored()
        line = {"quality": quality} | ({"collapsed": True} if last is not None and has_collapsed(quality) else {})
        if "collapsed" in line and last is not None and "collapsed" not in last:
            say(f"{self.folder.path}: {collapse_in_words(quality, self.trainer.cur_nimg / 1000)}")
        self._log(line, board)
        for name in BOARD_SCORES:
            if quality[name] is not None:
                board.add_scalar(f"quality/{name}", quality[name], self.trainer.cur_nimg)
        if self.ranks.first:
            save_grid(self.folder.samples / f"kimg{self.trainer.cur_nimg / 1000:07.1f}.png", samples)
            self.averages.save(self.trainer, {best_of(self.log.scores()).nimg}, self.options.averages)
        board.add_images("samples", samples, self.trainer.cur_nimg, dataformats="NHWC")
        self._save(board)
        self._let_watch()

    def _let_watch(self) -> None:
        """Tell the newest score.

        Raises `PrunedError`: the rest is not worth its time.
        """
        prune = False
        if self.watcher is not None:
            newest = self.log.scores()[-1]
            self.watcher.report(newest.nimg, newest.criterion)
            prune = self.trainer.cur_nimg < self.total_nimg and self.watcher.should_prune()
        if self.ranks.most(int(prune)):
            raise PrunedError

    def _score(self) -> dict[str, Any]:
        """Score the network; cells that one process trains start from the same one, which is scored once."""
        if self.trainer.step > 0:
            return self.meter.score(self._draw)
        if self.quality_at_start is None:
            self.quality_at_start = self.meter.score(self._draw)
        return self.quality_at_start

    def _save(self, board: Board) -> None:
        """Save the state, then the log that belongs to it: who reads the log sees what a killed run goes on from."""
        state = {
            "trainer": self.trainer.state_dict(),
            "log": self.log.state_dict(),
            "seconds": self.seconds,
            "processor_seconds": self.processor_seconds,
            "rollbacks": self.rollbacks,
            "saturation": dataclasses.asdict(self.saturation),
        }
        if self.ranks.first:
            board.flush()
            self.checkpoints.save(self.trainer.cur_nimg, state, self.log.scores())
            self.folder.write_log(self.log.lines)

    def _restore(self, state: State) -> None:
        try:
            self.trainer.load_state_dict(state["trainer"])
            self.log.load_state_dict(state["log"], self.trainer.device)
            self.seconds, self.processor_seconds = state["seconds"], state["processor_seconds"]
            self.rollbacks = state["rollbacks"]
            self.saturation = SaturationWatch(**state["saturation"])
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise UserError(
                f"{self.folder.checkpoints}: holds states that do not fit this run ({type(error).__name__}); "
                "remove the run folder to train anew."
            ) from error

    def _roll_back(self, error: TrainingDivergedError) -> None:
        """Go back to the last good scored checkpoint, with other random numbers; a second time is the end.

        States between scores are passed over: where the clock put them must not change the outcome.
        """
        if self.rollbacks >= MAX_ROLLBACKS:
            raise UserError(f"{self.folder.path}: {error}, in another --out, since going back once did not help.")
        kimg, left_out = self.trainer.cur_nimg / 1000, self.trainer.finite_steps.total
        diverged = {"diverged_at_kimg": kimg, "diverged_bad_steps": left_out}
        good = last_good(self.log.scores()).nimg
        self._restore(self.ranks.from_first(lambda: self.checkpoints.load(good)))
        self.rollbacks += 1
        seed = seed_after_rollback(self.options.seed, self.rollbacks)
        self.trainer.reseed(seed)
        self.log.add(self._now() | {"rollback": self.rollbacks} | diverged)
        if self.ranks.first:
            self.checkpoints.drop_after(self.trainer.cur_nimg)
            self.averages.drop_after(self.trainer.cur_nimg)
        kimg = self.trainer.cur_nimg / 1000
        say(f"{self.folder.path}: {error}; going on from {kimg:g} kimg with other random numbers, this once")

    def _stop(self, board: Board) -> None:
        """Save what a signal interrupted, without a score that would not be there otherwise, and end."""
        self._save(board)
        self._say_stopped(self.trainer.cur_nimg / 1000)
        self.ranks.most(0)  # the first one that ends makes torchrun end the others: all wait for the file
        raise SystemExit(self.interruption.exit_code)

    def _say_stopped(self, kimg: float) -> None:
        assert self.interruption.signal is not None
        say(
            f"{self.folder.path}: stopped by {self.interruption.signal.name} and saved at {kimg:g} kimg; "
            "the same command goes on."
        )

    def _finish(self) -> None:
        """Write the best checkpoint's network, and what others compare with it, once the log says all of the run."""
        if self.ranks.first:
            self.folder.write_log(self.log.lines)
        best = self.log.best()
        nimg = round(best["kimg"] * 1000)
        if nimg != self.trainer.cur_nimg:
            self.trainer.load_state_dict(self.ranks.from_first(lambda: self._load_best(nimg)))
        fakes = self.meter.look_at(self._draw, enough_fakes(self.meter))
        pictures = self._draw(0, PICTURES)
        if self.ranks.first:
            save_grid(self.folder.pictures, pictures)
            Compared.of(self.meter, fakes).write(self.folder.compared)
            write_json(self.folder.certainty, dataclasses.asdict(certainty(self.meter, fakes)))
            self._write_network(best)

    def _load_best(self, nimg: int) -> dict[str, Any]:
        try:
            trainer: dict[str, Any] = self.checkpoints.load(nimg)["trainer"]
        except DamagedStateError as error:
            raise UserError(
                f"{self.checkpoints.path(nimg)}: damaged, and the best network is in it; "
                "remove the run folder to train anew."
            ) from error
        return trainer

    def _write_network(self, best: dict[str, Any]) -> None:
        about = self.about | {
            "generator": self.about["generator"] | {"kimg": best["kimg"]},
            "quality": best["quality"],
            "training": dataclasses.asdict(self.trainer.config),
        }
        with whole_file(self.folder.network) as part:
            part.write_bytes(network_bytes(Networks(self.trainer.G_ema, self.trainer.G, self.trainer.D), about))
