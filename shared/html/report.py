"""Reports: a page as one HTML file, and where others take it up as Markdown, too."""

from collections.abc import Sequence
from pathlib import Path

from shared import __version__
from shared.document import Block
from shared.errors import UserError
from shared.files import require_new, write_text
from shared.html import to_html

HTML = ".html"


def require_new_report(out: Path, *, force: bool, inputs: Sequence[Path] = ()) -> None:
    """Raise `UserError` when `out` cannot be a new file, or its name does not end in .html."""
    if out.suffix != HTML:
        raise UserError(f"--out {out}: not an HTML file; give a name that ends in {HTML}.")
    require_new(out, force=force, inputs=inputs)


def write_report(out: Path, blocks: Sequence[Block], *, folder: Path, command: str) -> None:
    """Write a page to `out`, with its pictures inside, whose files are named from `folder`.

    Raises `UserError`: a picture cannot be read, or the page is too large.
    """
    write_text(out, to_html(blocks, folder=folder, made_by=f"`{command}`, rarescreen {__version__}"))
