"""A report: a page as Markdown, and beside it as one HTML file."""

from collections.abc import Sequence
from pathlib import Path

from shared import __version__
from shared.document import Block, to_markdown
from shared.errors import UserError
from shared.files import require_new, write_text
from shared.html import to_html

HTML = ".html"


def require_new_report(out: Path, *, force: bool, inputs: Sequence[Path] = ()) -> None:
    """Raise `UserError` when `out`, or the Markdown beside it, cannot be a new file; its name ends in .html."""
    if out.suffix != HTML:
        raise UserError(f"--out {out}: not an HTML file; give a name that ends in {HTML}.")
    for path in (out, out.with_suffix(".md")):
        require_new(path, force=force, inputs=inputs)


def write_report(out: Path, blocks: Sequence[Block], *, command: str) -> None:
    """Write a page to `out`, with its pictures inside, and as Markdown beside it; pictures are named from there.

    Raises `UserError`: a picture cannot be read, or the page is too large.
    """
    html = to_html(blocks, folder=out.parent, made_by=f"`{command}`, rarescreen {__version__}")
    write_text(out.with_suffix(".md"), to_markdown(blocks))
    write_text(out, html)
