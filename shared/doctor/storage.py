"""Whether the storage of a study answers."""

from collections.abc import Iterator
from pathlib import Path

from shared.doctor.finding import Finding, bad, good
from shared.errors import UserError
from shared.studies.storage import open_existing


def examine_storage(asked: str | None, out: Path) -> Iterator[Finding]:
    """Reach the storage that `--storage` names, if one was given; none is made."""
    if asked is None:
        return
    try:
        there = open_existing(asked, out)
    except UserError as error:
        yield bad("storage", str(error))
        return
    yield good("storage", "it answers" + ("" if there else ", and holds no study yet"))
