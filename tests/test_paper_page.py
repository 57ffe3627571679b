"""The page that lists the paper's claims: each has a file that is there, and the counts in it are those of the code."""

import re
from pathlib import Path

from classify.registry import MODELS

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "paper.md"


def rows() -> list[list[str]]:
    """Return the cells of every row of the page's tables but for their heads."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if " here |" not in line]


def files(cell: str) -> list[Path]:
    """Return the files that a cell names."""
    return [ROOT / name for name in re.findall(r"`([\w./-]+/[\w./-]*)`", cell)]


def test_each_claim_names_the_file_that_does_it() -> None:
    found = rows()
    assert len(found) > 30
    for row in found:
        assert len(row) == 3, row
        named = files(row[1])
        assert named, row[0]
        assert all(path.exists() for path in named), row[1]


def test_inception_v3_has_the_counts_that_the_page_tells() -> None:
    (row,) = (row for row in rows() if row[0].startswith("InceptionV3 23.0 M"))
    original = MODELS["inception_v3"].imagenet_parameters
    assert original is not None
    ours = original - (2048 * 1000 + 1000) + 1_049_088 + 131_328 + 514  # Table 3's head in the place of ImageNet's
    assert f"{ours:,}" in row[2]
    assert f"{original:,}" in row[2]
    assert round(ours / 1e6, 1) == 23.0
