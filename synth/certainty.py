"""How sure a finished network's score is, and the features of its images, by which others are compared with it.

That takes longer than a score, so it is done once, for the checkpoint that is kept.
"""

import dataclasses
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared.errors import UserError
from shared.files import whole_file
from synth.kernels import MOST_PAIRS
from synth.moments import Features, extrapolated, standard_error
from synth.quality import Fakes, QualityMeter

MOST = 2000  # reals and fakes, at most, that a distance's standard error is told from


@dataclass(frozen=True)
class Certainty:
    """What to think of a distance.

    Attributes:
        standard_error: of the distance at its numbers of images, from halves of reals and fakes (2000 of each at most,
            so of more images it is too large); None for fewer than four.
        infinite: the distance that infinitely many fakes would have; None where there are too few for that.
    """

    standard_error: float | None
    infinite: float | None


def certainty(meter: QualityMeter, fakes: Fakes) -> Certainty:
    """Return how sure the distance of fakes to the reals of `meter` is."""
    enough = min(len(meter.real), len(fakes.first)) >= 4
    error = standard_error(meter.real[:MOST], fakes.first[:MOST], seed=meter.seed) if enough else None
    return Certainty(error, extrapolated(meter.moments, fakes.first, seed=meter.seed))


@dataclass(frozen=True, eq=False)
class Compared:
    """The features that two networks are compared by: of fakes of the same seeds, and of the reals that choose."""

    fakes: Features
    reals: Features

    @classmethod
    def of(cls, meter: QualityMeter, fakes: Fakes) -> "Compared":
        """Take the first fakes, and the reals that were held out if there are any."""
        reals = meter.validation if len(meter.validation) >= 2 else meter.real
        return cls(fakes.first[:MOST_PAIRS], reals[:MOST_PAIRS])

    def write(self, path: Path) -> None:
        """Write both, in single precision, to an .npz file."""
        with whole_file(path) as part, part.open("wb") as stream:
            np.savez(stream, **{name: value.astype(np.float32) for name, value in vars(self).items()})

    @classmethod
    def read(cls, path: Path) -> "Compared":
        """Read what `write` wrote.

        Raises `UserError`: the file is damaged.
        """
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                found = cls(**{field.name: stored[field.name] for field in dataclasses.fields(cls)})
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise UserError(f"{path}: damaged; remove the run folder to train again.") from error
        for each in (found.fakes, found.reals):
            if each.ndim != 2 or each.dtype != np.float32 or not np.isfinite(each).all():
                raise UserError(f"{path}: damaged; remove the run folder to train again.")
        return cls(found.fakes.astype(np.float64), found.reals.astype(np.float64))
