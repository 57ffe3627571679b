"""Many photographs, and large ones."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shared.cohort import read_cohort
from shared.errors import UserError
from synth.cohorts.options import PrepareOptions
from synth.prepare import prepare

pytestmark = pytest.mark.slow
MANY = 10_000
LONG_PX = 20_000


def photographs(folder: Path, count: int, size: int, seed: int) -> None:
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for number in range(count):
        Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(folder / f"{number}.png")


def test_ten_thousand_tiny_photographs_are_a_cohort(tmp_path: Path) -> None:
    for name, count, seed in (("rare", 400, 0), ("other", MANY - 400, 1)):
        photographs(tmp_path / name, count, 16, seed)
    prepare(
        PrepareOptions(
            positive=(tmp_path / "rare",), negative=(tmp_path / "other",), size=16, out=tmp_path / "c.h5", folds=5
        )
    )
    cohort = read_cohort(tmp_path / "c.h5")
    assert len(cohort) == len(set(cohort.image_id.tolist())) == MANY
    assert int(cohort.label.sum()) == 400
    assert np.bincount(cohort.fold).tolist() == [MANY // 5] * 5


@pytest.mark.parametrize(("short_px", "refused"), [(5_900, False), (LONG_PX, True)])
def test_a_photograph_of_twenty_thousand_pixels(tmp_path: Path, short_px: int, refused: bool) -> None:
    """Of 118 million in all it is prepared; of 400 million it is refused before it is unpacked, in one sentence."""
    for name, seed in (("rare", 0), ("other", 1)):
        photographs(tmp_path / name, 10, 40, seed)
    large = Image.new("L", (LONG_PX, short_px), 90)
    large.paste(200, (LONG_PX // 2, 0, LONG_PX, short_px))  # bright on the right
    large.save(tmp_path / "rare" / "large.png")
    options = PrepareOptions(
        positive=(tmp_path / "rare",), negative=(tmp_path / "other",), size=32, out=tmp_path / "c.h5", folds=3
    )
    if refused:
        with pytest.raises(UserError, match=r"large\.png: more than 120 million pixels"):
            prepare(options)
        assert not (tmp_path / "c.h5").exists()
        return
    prepare(options)
    cohort = read_cohort(tmp_path / "c.h5")
    (row,) = np.flatnonzero(cohort.source_path == "rare/large.png")
    image = np.asarray(cohort.images[row])
    assert abs(image[:, :14].astype(int) - 90).max() <= 1
    assert abs(image[:, 18:].astype(int) - 200).max() <= 1
