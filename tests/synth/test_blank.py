"""A cohort with a white background: the same photographs, and another file."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from shared.cohort import Cohort, read_cohort
from shared.errors import UserError
from synth.blank import BlankOptions, blank, blanked
from synth.cli import cli
from synth.prepare import PrepareOptions, prepare

SIZE = 16


class Middle:
    """Known masks: a square in the middle, and none for the first image of all."""

    name = "known masks"

    def __init__(self) -> None:
        self.asked = 0

    def __call__(
        self, images: np.ndarray, *, whole: bool = False, advance: Callable[[float], None] = lambda _: None
    ) -> np.ndarray:
        assert whole  # a person, and not a part
        masks = np.zeros(images.shape[:3], bool)
        masks[:, 4:12, 6:14] = True
        if self.asked == 0:
            masks[0] = False
        self.asked += len(images)
        advance(len(images))
        return masks


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    out = tmp_path / "cohort.h5"
    prepare(PrepareOptions(out=out, phantom=True, size=SIZE, folds=2, phantom_counts=(6, 70, 3)))
    return read_cohort(out)


def test_a_picture_of_that_name_is_not_lost(cohort: Cohort, tmp_path: Path) -> None:
    (tmp_path / "blank_sheet.png").write_text("mine")
    with pytest.raises(UserError, match=r"blank_sheet\.png: exists already; give --force"):
        blank(cohort, Middle(), BlankOptions(tmp_path / "blank.h5"))
    assert (tmp_path / "blank_sheet.png").read_text() == "mine"
    assert not (tmp_path / "blank.h5").exists()


def test_what_is_beside_the_mask_is_white_and_all_else_stays(
    cohort: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    segmenter = Middle()
    blank(cohort, segmenter, BlankOptions(tmp_path / "blank.h5"))
    made = read_cohort(tmp_path / "blank.h5")
    assert segmenter.asked == len(cohort) == 79  # in two batches
    before, after = np.asarray(cohort.images[:]), np.asarray(made.images[:])
    assert np.array_equal(after[0], before[0])  # its mask was empty
    assert np.array_equal(after[1:, 4:12, 6:14], before[1:, 4:12, 6:14])
    outside = np.ones((SIZE, SIZE), bool)
    outside[4:12, 6:14] = False
    assert (after[1:, outside] == 255).all()
    for name in ("label", "image_id", "group_id", "fold", "role", "source_path"):
        assert np.array_equal(getattr(made, name), getattr(cohort, name)), name
    assert made.attributes.keys() == cohort.attributes.keys()
    assert all(np.array_equal(made.attributes[name], cohort.attributes[name]) for name in made.attributes)
    assert (made.classes, made.folds, made.seed) == (cohort.classes, cohort.folds, cohort.seed)
    assert made.source == "phantom; background white by known masks"
    assert made.sha256 != cohort.sha256
    assert "1 masks took less than 1%" in capsys.readouterr().err
    with Image.open(tmp_path / "blank_sheet.png") as sheet:
        assert (np.asarray(sheet.convert("RGB")) == after[78][8, 8]).all(-1).any()


def test_blanking_twice_or_over_a_file_is_refused(cohort: Cohort, tmp_path: Path) -> None:
    blank(cohort, Middle(), BlankOptions(tmp_path / "blank.h5"))
    digest = hashlib.sha256((tmp_path / "blank.h5").read_bytes()).hexdigest()
    with pytest.raises(UserError, match="exists already; give --force"):
        blank(cohort, Middle(), BlankOptions(tmp_path / "blank.h5"))
    with pytest.raises(UserError, match="white already"):
        blank(read_cohort(tmp_path / "blank.h5"), Middle(), BlankOptions(tmp_path / "twice.h5"))
    blank(cohort, Middle(), BlankOptions(tmp_path / "blank.h5", force=True))
    assert hashlib.sha256((tmp_path / "blank.h5").read_bytes()).hexdigest() == digest


def test_blanked_is_a_choice_pixel_by_pixel() -> None:
    rng = np.random.default_rng(0)
    images, masks = rng.integers(0, 255, (2, 5, 5, 3), dtype=np.uint8), rng.random((2, 5, 5)) < 0.5
    found = blanked(images, masks)
    for place in np.ndindex(masks.shape):
        assert np.array_equal(found[place], images[place] if masks[place] else [255] * 3)
    assert found.dtype == np.uint8


def test_without_weights_one_sentence_says_what_to_download(cohort: Cohort, tmp_path: Path) -> None:
    arguments = ["blank", str(cohort.path), "--segmentation", str(tmp_path / "none"), "--out", str(tmp_path / "b.h5")]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 2
    assert "config.json is missing; download" in result.stderr
    assert "facebook/sam-vit-base" in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "b.h5").exists()
