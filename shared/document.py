"""A page as data: headings, paragraphs, lists, tables and pictures, and what they are as Markdown."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from shared.errors import UserError


@dataclass(frozen=True)
class Heading:
    """A heading; 1 is the page's own, 2 a section's, and 3 stands over detail, which a report folds."""

    text: str
    level: int = 1


@dataclass(frozen=True)
class Paragraph:
    """Running text, with Markdown's marks for emphasis, code and links."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """A list of texts as of `Paragraph`."""

    items: Sequence[str]


@dataclass(frozen=True)
class Grid:
    """A table of words and figures.

    Attributes:
        header: [C] names of the columns.
        rows: each of C cells.
        left: the first columns, which hold words; the others hold figures.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: int = 1

    def __post_init__(self) -> None:
        if any(len(row) != len(self.header) for row in self.rows):
            raise ValueError(f"table of {', '.join(self.header)}: a row has more cells than columns, or fewer.")


@dataclass(frozen=True)
class Picture:
    """A picture in a file, which is named from the page's folder, and what it shows."""

    file: str
    caption: str


Block = Heading | Paragraph | Bullets | Grid | Picture


def escaped(text: str) -> str:
    """Return a text from a file as it is to be read, on one line: no mark of Markdown or HTML has an effect."""
    return re.sub(r"([\\`*_\[\]<>|#&])", r"\\\1", " ".join(text.split()))


def deeper(blocks: Sequence[Block], by: int = 1) -> list[Block]:
    """Return the blocks of a page as part of another one: its headings are `by` levels lower."""
    return [replace(each, level=each.level + by) if isinstance(each, Heading) else each for each in blocks]


def moved(blocks: Sequence[Block], folder: Path, to: Path, within: Path | None = None) -> list[Block]:
    """Return the blocks of a page in `folder` for a page in the folder `to`: its pictures stay where they are.

    Raises `UserError`: a picture does not lie in `within`, or without it in `folder`.
    """
    home = (within or folder).resolve()

    def file(picture: Picture) -> str:
        place = (folder / picture.file).resolve()
        if not place.is_relative_to(home):
            raise UserError(
                f"{folder}: a page there shows {picture.file!a}, which lies elsewhere, and pages of others may not "
                "take pictures from everywhere; copy it beside the page."
            )
        return Path(os.path.relpath(place, to.resolve())).as_posix()

    return [replace(each, file=file(each)) if isinstance(each, Picture) else each for each in blocks]


def to_markdown(blocks: Sequence[Block]) -> str:
    """Return a page as Markdown, with an empty line between blocks."""
    return "\n\n".join(map(_markdown, blocks)) + "\n"


def _markdown(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {text}"
        case Paragraph(text):
            return text
        case Bullets(items):
            return "\n".join(f"- {item}" for item in items)
        case Grid():
            return _table(block)
        case Picture(file, caption):
            return f"![{caption}]({quote(file)})\n\n*{caption}*"


def _table(grid: Grid) -> str:
    rule = ["---"] * grid.left + ["---:"] * (len(grid.header) - grid.left)
    rows = ([_cell(text) for text in row] for row in (grid.header, *grid.rows))
    lines = ["| " + " | ".join(cells) + " |" for cells in rows]
    return "\n".join([lines[0], "| " + " | ".join(rule) + " |", *lines[1:]])


def _cell(text: str) -> str:
    """Return a text as one cell: a bar would begin another, and a line's end another row."""
    return " ".join(text.split()).replace("|", "\\|")
