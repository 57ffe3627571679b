"""How sure a finished network's score is, and the features of its images, by which others are compared with it.

That takes longer than a score, so it is done once, for the checkpoint that is kept.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared.errors import UserError
from shared.files import whole_file
from synth.scores.groups import Groups
from synth.scores.kernels import MOST_PAIRS
from synth.scores.moments import Features, extrapolated, fakes_to_extrapolate, standard_error
from synth.scores.quality import Fakes, QualityMeter

MAX_BYTES = 1 << 32  # of a file of features, unpacked
MOST = 2000  # reals and fakes, at most, that a distance's standard error is told from
FEW_MORE = 3  # times as many fakes as a score has may be drawn, to know what infinitely many would give


@dataclass(frozen=True)
class Certainty:
    """What to think of a distance.

    Attributes:
        standard_error: of the distance at its numbers of images, from halves of reals and fakes (2000 of each at most,
            so of more images it is too large); None for fewer than four, or than four groups of reals.
        infinite: the distance that infinitely many fakes would have; None where that takes many more than a score.
    """

    standard_error: float | None
    infinite: float | None


def enough_fakes(meter: QualityMeter) -> int:
    """Return how many fakes to look at: what an extrapolation needs if that is little more than a score does."""
    needed = fakes_to_extrapolate(meter.extractor.width)
    return needed if meter.fakes < needed <= FEW_MORE * meter.fakes else meter.fakes


def certainty(meter: QualityMeter, fakes: Fakes) -> Certainty:
    """Return how sure the distance of `meter.fakes` of these fakes to the reals of `meter` is."""
    groups, scored = meter.groups.first(MOST), fakes.first[: min(MOST, meter.fakes)]
    enough = min(groups.count, len(scored)) >= 4
    error = standard_error(meter.real[:MOST], scored, seed=meter.seed, groups=groups) if enough else None
    return Certainty(error, extrapolated(meter.moments, fakes.first, seed=meter.seed))


@dataclass(frozen=True, eq=False)
class Compared:
    """The features that two networks are compared by: of fakes of the same seeds, and of the reals that choose."""

    fakes: Features
    reals: Features
    groups: Groups  # of the reals

    @classmethod
    def of(cls, meter: QualityMeter, fakes: Fakes) -> "Compared":
        """Take the first fakes, and the reals that were held out if there are any."""
        held_out = len(meter.validation) >= 2
        reals, groups = (meter.validation, meter.validation_groups) if held_out else (meter.real, meter.groups)
        return cls(fakes.first[: min(MOST_PAIRS, meter.fakes)], reals[:MOST_PAIRS], groups.first(MOST_PAIRS))

    def write(self, path: Path) -> None:
        """Write all, features in single precision, to an .npz file."""
        fakes, reals = (features.astype(np.float32) for features in (self.fakes, self.reals))
        with whole_file(path) as part, part.open("wb") as stream:
            np.savez(stream, fakes=fakes, reals=reals, groups=self.groups.index)

    @classmethod
    def read(cls, path: Path) -> "Compared":
        """Read what `write` wrote.

        Raises `UserError`: the file is damaged.
        """
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                if sum(part.file_size for part in stored.zip.infolist()) > MAX_BYTES:
                    raise ValueError("larger than any comparison")
                fakes, reals, groups = stored["fakes"], stored["reals"], stored["groups"]
        except (MemoryError, FileNotFoundError):
            raise
        except Exception as error:  # zipfile and NumPy raise many kinds for what is no array
            raise UserError(f"{path}: damaged; remove the run folder to train again.") from error
        for each in (fakes, reals):
            if each.ndim != 2 or each.dtype != np.float32 or not np.isfinite(each).all():
                raise UserError(f"{path}: damaged; remove the run folder to train again.")
        if groups.shape != (len(reals),) or groups.dtype != np.int64:
            raise UserError(f"{path}: damaged; remove the run folder to train again.")
        return cls(fakes.astype(np.float64), reals.astype(np.float64), Groups.of(groups))
