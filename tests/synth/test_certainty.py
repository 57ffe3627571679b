"""What is kept of a finished network, and read again."""

from pathlib import Path

import numpy as np
import pytest

from shared.errors import UserError
from synth.scores import certainty
from synth.scores.certainty import Compared
from synth.scores.groups import Groups

RNG = np.random.default_rng(0)
COMPARED = Compared(RNG.normal(size=(7, 3)), RNG.normal(size=(4, 3)), Groups.of(np.array([5, 5, 9, 2])))
REALS = {"reals": np.zeros((2, 3), np.float32), "groups": np.arange(2)}


def test_features_come_back_in_single_precision(tmp_path: Path) -> None:
    COMPARED.write(tmp_path / "compared.npz")
    again = Compared.read(tmp_path / "compared.npz")
    assert again.fakes.dtype == np.float64
    np.testing.assert_allclose(again.fakes, COMPARED.fakes, rtol=1e-7)
    np.testing.assert_allclose(again.reals, COMPARED.reals, rtol=1e-7)
    np.testing.assert_array_equal(again.groups.related, COMPARED.groups.related)


@pytest.mark.parametrize(
    "content",
    [
        {"fakes": np.zeros((2, 3), np.float32)},
        {"fakes": np.zeros(3, np.float32)} | REALS,
        {"fakes": np.full((2, 3), np.nan, np.float32)} | REALS,
        {"fakes": np.array([[{}]], dtype=object)} | REALS,
        {"fakes": np.zeros((2, 3), np.float32)} | REALS | {"groups": np.arange(3)},
        {"fakes": np.zeros((2, 3), np.float32)} | REALS | {"groups": np.zeros(2)},
        None,
    ],
)
def test_a_damaged_file_is_one_sentence(tmp_path: Path, content: dict[str, np.ndarray] | None) -> None:
    path = tmp_path / "compared.npz"
    if content is None:
        path.write_bytes(b"PK\x03\x04 nothing")
    else:
        np.savez(path, **content)
    with pytest.raises(UserError, match="damaged; remove the run folder"):
        Compared.read(path)


def test_a_file_that_unpacks_to_more_than_any_comparison_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A megabyte of zeros takes a kilobyte of such a file."""
    path = tmp_path / "compared.npz"
    np.savez_compressed(path, **{"fakes": np.zeros((250, 1000), np.float32)} | REALS)
    monkeypatch.setattr(certainty, "MAX_BYTES", 999_999)
    with pytest.raises(UserError, match="damaged; remove the run folder"):
        Compared.read(path)
