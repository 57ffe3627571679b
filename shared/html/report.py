"""Reports: a page as one HTML file, and where others take it up as Markdown, too."""

import re
from collections.abc import Sequence
from pathlib import Path

from shared import __version__
from shared.document import Block, Bullets
from shared.errors import UserError
from shared.files import require_new, write_text
from shared.html import to_html

HTML = ".html"
_COHORT = "Cohort: sha256 `{}`"


def require_new_report(out: Path, *, force: bool, inputs: Sequence[Path] = ()) -> None:
    """Raise `UserError` when `out` cannot be a new file, or its name does not end in .html."""
    if out.suffix != HTML:
        raise UserError(f"--out {out}: not an HTML file; give a name that ends in {HTML}.")
    require_new(out, force=force, inputs=inputs)


def write_report(out: Path, blocks: Sequence[Block], *, folder: Path, command: str) -> None:
    """Write a page to `out`, with its pictures inside, whose files are named from `folder`.

    Raises `UserError`: a picture cannot be read, or the page is too large.
    """
    write_text(out, to_report(blocks, folder=folder, command=command))


def to_report(blocks: Sequence[Block], *, folder: Path, command: str) -> str:
    """Return a page as HTML that says which command of which version made it.

    Raises `UserError`: as `write_report`.
    """
    return to_html(blocks, folder=folder, made_by=f"`{command}`, rarescreen {__version__}")


def cohort_words(sha256: str) -> str:
    """Return the words by which a page says of which cohort it is."""
    return _COHORT.format(sha256)


def cohort_named(blocks: Sequence[Block]) -> str | None:
    """Return the sha256 of the cohort that a page says it is of, by `cohort_words` in a list; None without."""
    pattern = re.compile(_COHORT.format("([0-9a-f]{64})"))
    items = (item for block in blocks if isinstance(block, Bullets) for item in block.items)
    return next((found[1] for item in items if (found := pattern.match(item))), None)
