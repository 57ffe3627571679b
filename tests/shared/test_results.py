"""The last screen: every file is named, and the sentences follow from the tables' numbers."""

import json
from pathlib import Path

import pytest

from shared.errors import UserError
from shared.results import MADE, summarize


def _folder(folder: Path, *, before: float, after: float, floor: float | None = 30.0) -> Path:
    for name in MADE:
        (folder / name).touch()
    best = {"name": "FID", "value": 81.0, "n_fake": 1000, "n_real": 341, "n_equal": 170, "floor": floor}
    row = {
        "method": "transfer",
        "gamma": 0.1,
        "lr": 0.002,
        "target": 0.6,
        "quality": best | {"equal_n": None if floor is None else floor + after},
        "quality_at_start": best | {"equal_n": None if floor is None else floor + before},
    }
    (folder / "table1.json").write_text(json.dumps({"rows": [row]}))
    (folder / "table2.json").write_text(json.dumps({"headline": "No.", "sentences": ["It did not help."]}))
    return folder


def _shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    summarize(folder)
    return " ".join(capsys.readouterr().err.replace("│", " ").split())


@pytest.mark.parametrize(
    ("before", "after", "said"), [(100.0, 40.0, "60 % of the excess is gone"), (40.0, 50.0, "no improvement")]
)
def test_the_excess_over_the_floor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], before: float, after: float, said: str
) -> None:
    shown = _shown(_folder(tmp_path, before=before, after=after), capsys)
    assert said in shown
    assert f"lies {after:.1f} above" in shown
    assert "It did not help." in shown


def test_too_few_images_for_a_floor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = _shown(_folder(tmp_path, before=1, after=1, floor=None), capsys)
    assert "FID 81.0 (n = 1000 against 341)" in shown
    assert "above" not in shown


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    folder = _folder(tmp_path, before=2, after=1)
    whole = (folder / "table2.json").read_text()
    for damaged in ("{", "{}", "[]", "3", '{"headline": "No."}', "\x00"):
        (folder / "table2.json").write_text(damaged)
        with pytest.raises(UserError, match=r"table2\.json: damaged; make it again"):
            summarize(folder)
    (folder / "table2.json").write_text(whole)
    for damaged in ("", "{}", '{"rows": []}', '{"rows": [{}]}', '{"rows": 3}'):
        (folder / "table1.json").write_text(damaged)
        with pytest.raises(UserError, match=r"table1\.json: damaged; make it again"):
            summarize(folder)
    (folder / "bundle.h5").unlink()
    with pytest.raises(UserError, match=r"bundle.h5: no such file"):
        summarize(folder)
