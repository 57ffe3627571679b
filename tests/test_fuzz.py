"""A few damaged files of every kind that is read; `tests/fuzz.py` reads more, for hours."""

import os

import pytest
from fuzz import content_of, fuzz
from readers import READERS

FILES = 25


@pytest.mark.skipif(os.name != "posix", reason="signals and limits are POSIX")
@pytest.mark.parametrize("kind", READERS)
def test_damaged_files_are_a_sentence_or_could_have_been_written(kind: str) -> None:
    found = fuzz(kind, 0, FILES, seed=0)
    assert len(found) == FILES
    assert {number: text for number, text in found.items() if text not in ("refused", "accepted")} == {}


def test_a_finding_can_be_made_again() -> None:
    """Of what files hold that are the same at every making."""
    for kind in ("cohort", "csv", "snapshot"):
        assert content_of(kind, 7, 0) == content_of(kind, 7, 0)
        assert content_of(kind, 7, 0) != content_of(kind, 8, 0)
