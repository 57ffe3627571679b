"""A page as one HTML file that needs nothing else: no network, no script, pictures inside.

Sections are folded at their third level, so that the plain part is read first; print unfolds them. Colours follow the
reader's system, or the choice at the top. The page's own policy forbids scripts and everything from elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from shared.document import Block, Bullets, Grid, Heading, Paragraph, Picture
from shared.errors import UserError
from shared.html.outline import Outline, outline
from shared.html.pictures import DENSITIES, Embedded, embed
from shared.markdown import plain, to_html_inline

MAX_BYTES = 10_000_000  # of a file, so that it can go by mail


def to_html(blocks: Sequence[Block], *, folder: Path, made_by: str) -> str:
    """Return a page as HTML.

    Args:
        blocks: of the page; the first is its title, and below it stand sections of level 2 and detail of level 3.
        folder: where the files of its pictures are.
        made_by: the command that made it, and of which version.

    Raises `UserError`: a picture is missing or cannot be read, or the page is larger than `MAX_BYTES` even with small
    pictures. `ValueError`: the page does not begin with its title.
    """
    page = outline(blocks)
    files = sorted({block.file for block in blocks if isinstance(block, Picture)})
    for density in DENSITIES:
        pictures = {file: embed(_beside(folder, file), density) for file in files}
        html = _render(page, pictures, made_by)
        if len(html.encode()) <= MAX_BYTES:
            return html
    raise UserError(
        f"the report would have {len(html.encode()) / 1e6:.1f} MB, and at most {MAX_BYTES / 1e6:.0f} can be sent by "
        "mail; leave a part out."
    )


def _beside(folder: Path, file: str) -> Path:
    """Return where a file of a page is, whether or not the page's folder is there yet."""
    return Path(os.path.normpath(folder.resolve() / file))


def _render(page: Outline, pictures: dict[str, Embedded], made_by: str) -> str:
    environment = Environment(
        loader=PackageLoader("shared.html", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"inline": lambda text: Markup(to_html_inline(text)), "plain": plain}  # escaped
    environment.tests |= {
        name: lambda block, kind=kind: isinstance(block, kind)
        for name, kind in (
            ("paragraph", Paragraph),
            ("bullets", Bullets),
            ("grid", Grid),
            ("picture", Picture),
            ("heading", Heading),
        )
    }
    style = resources.files("shared.html").joinpath("style.css").read_text(encoding="utf-8")
    return environment.get_template("page.html").render(
        page=page,
        pictures=pictures,
        made_by=made_by,
        style=Markup(style),  # ours
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
    )
