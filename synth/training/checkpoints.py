"""The states that a run can go on from: which there are, which are kept, and what to do with a damaged one.

A state is named by the thousands of images it stands at: `state-0000010.016.pt`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from shared.console import say
from shared.errors import UserError
from shared.nn.resume import DamagedStateError, load_state, save_state
from synth.training.numbered_files import NumberedFiles

FORMAT = "rarescreen-gan-state"
VERSION = 1
NEWEST_KEPT = 2  # the newest may be damaged

State = dict[str, Any]


@dataclass(frozen=True)
class Score:
    """A scored checkpoint.

    Attributes:
        nimg: images shown until it.
        criterion: what checkpoints are chosen by, smaller is better.
        good: whether gradients were finite just before it, so that a run that diverges can go back to it.
    """

    nimg: int
    criterion: float
    good: bool = True


def best_of(scores: Sequence[Score]) -> Score:
    """Return the best score, the first among equals."""
    return min(scores, key=lambda score: score.criterion)


def last_good(scores: Sequence[Score]) -> Score:
    """Return the last score that a run can go back to; the first always is, since no step came before it."""
    return next(score for score in reversed(scores) if score.good or score is scores[0])


def kept(nimgs: Sequence[int], scores: Sequence[Score]) -> set[int]:
    """Return which states stay: the newest two, and what each of them may need: its last good and its best scored.

    Args:
        nimgs: of the states that there are.
        scores: of the run so far, in order.
    """
    newest = sorted(nimgs)[-NEWEST_KEPT:]
    result = set(newest)
    for nimg in newest:
        until = [score for score in scores if score.nimg <= nimg]
        if until:
            result |= {last_good(until).nimg, best_of(until).nimg}
    return result


@dataclass(frozen=True)
class Checkpoints(NumberedFiles):
    """The states of one run, in a folder of their own."""

    stem: ClassVar[str] = "state"

    def save(self, nimg: int, state: State, scores: Sequence[Score]) -> None:
        """Write a state, and only then remove those that nothing needs any more."""
        save_state(self.path(nimg), {"format": FORMAT, "version": VERSION} | state)
        nimgs = self.nimgs()
        for old in set(nimgs) - kept(nimgs, scores):
            self.path(old).unlink()

    def load(self, nimg: int) -> State:
        """Read the state after `nimg` images.

        Raises `UserError`: it is damaged (`DamagedStateError`), or not of this program or version.
        """
        path = self.path(nimg)
        state = load_state(path)
        if state.get("format") != FORMAT or state.get("version") != VERSION:
            raise UserError(
                f"{path}: of format {state.get('format')} {state.get('version')}, not {FORMAT} {VERSION}; "
                "go on with the Rarescreen that wrote it, or give another --out."
            )
        return state

    def load_newest(self) -> State | None:
        """Read the newest state that is whole, and remove damaged ones, which is said; None when there are no states.

        Raises `UserError`: all are damaged.
        """
        nimgs = self.nimgs()
        for nimg in reversed(nimgs):
            try:
                state = self.load(nimg)
            except DamagedStateError:
                if nimg == nimgs[0]:
                    raise UserError(
                        f"{self.folder}: all {len(nimgs)} checkpoints are damaged; remove the run folder to train anew."
                    ) from None
                say(f"{self.path(nimg)}: damaged; going on from the checkpoint before it")
                continue
            self.drop_after(nimg)
            return state
        return None
