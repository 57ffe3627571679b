"""Which candidates the pictures of an audit show."""

import numpy as np
import pytest

from synth.selecting.audit_pictures import A_LINE, _in_order, pictures


def test_both_sides_of_the_threshold_are_shown() -> None:
    above = np.arange(40) - 12.0  # rows 0 to 11 are rejected
    shown = _in_order(np.roll(above, 7))
    found = {words: (np.roll(above, 7)[rows]).tolist() for words, rows in shown.items()}
    assert found["best"] == list(range(27, 27 - A_LINE, -1))
    assert found["the last 5 that pass"] == [4, 3, 2, 1, 0]
    assert found["the first 5 that do not"] == [-1, -2, -3, -4, -5]
    assert found["worst"] == list(range(-12, -2))


@pytest.mark.parametrize(
    ("above", "words", "rows"),
    [
        ([1.0, 3.0, 2.0], "the last 3 that pass", [1, 2, 0]),
        ([1.0, 3.0, 2.0], "the first 0 that do not", []),
        ([-1.0, -3.0], "the last 0 that pass", []),
        ([-1.0, -3.0], "the first 2 that do not", [0, 1]),
        ([0.0], "the last 1 that pass", [0]),
    ],
)
def test_what_is_not_there_is_not_shown(above: list[float], words: str, rows: list[int]) -> None:
    assert _in_order(np.array(above))[words].tolist() == rows


def test_pictures_stand_beside_their_bundle(tmp_path) -> None:
    assert {path.parent for path in pictures(tmp_path / "bundle.h5")} == {tmp_path}
    assert len(set(pictures(tmp_path / "bundle.h5"))) == 4
