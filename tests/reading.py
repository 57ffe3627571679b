"""What a reader of files from outside is: a whole file of its kind, and how that is read.

What a reader raises of a damaged file is an error of one sentence (`readers.ALLOWED`); anything else is a bug.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Reader:
    """A kind of file.

    Attributes:
        make: writes a whole one into a folder and returns its path; other files may stand beside it.
        read: reads it; all of it.
        is_text: whether values stand in it as texts.
        sealed: name and version of the format of a sealed file, whose seal can be made again.
    """

    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    is_text: bool = False
    sealed: tuple[str, int] | None = None


def pixels(count: int, size: int = 8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def write_small_cohort(folder: Path) -> Path:
    from shared.cohort import STUDY, Cohort, write_cohort

    n = 8
    made = Cohort(
        images=pixels(n), label=np.arange(n) % 2, image_id=np.array([f"{number:064x}" for number in range(n)]),
        group_id=np.arange(n), fold=(np.arange(n) // 4).astype(np.int8), role=np.full(n, STUDY, np.uint8),
        source_path=np.array([f"{number}.png" for number in range(n)]), classes=("other", "rare"), folds=2, seed=0,
        source="photographs", attributes={"tone": np.arange(n), "site": np.array(["arm", "leg"] * 4)},
    )  # fmt: skip
    write_cohort(folder / "cohort.h5", made)
    return folder / "cohort.h5"
