"""A page as data: headings, paragraphs, tables and pictures, and what they are as Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Heading:
    """A heading; 1 is the page's own."""

    text: str
    level: int = 1


@dataclass(frozen=True)
class Paragraph:
    """Running text, with Markdown's marks for emphasis, code and links."""

    text: str


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
    """A picture in a file beside the page, and what it shows."""

    file: str
    caption: str


Block = Heading | Paragraph | Grid | Picture


def to_markdown(blocks: Sequence[Block]) -> str:
    """Return a page as Markdown, with an empty line between blocks."""
    return "\n\n".join(map(_markdown, blocks)) + "\n"


def _markdown(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {text}"
        case Paragraph(text):
            return text
        case Grid():
            return _table(block)
        case Picture(file, caption):
            return f"![{caption}]({file})\n\n*{caption}*"


def _table(grid: Grid) -> str:
    rule = ["---"] * grid.left + ["---:"] * (len(grid.header) - grid.left)
    rows = ([_cell(text) for text in row] for row in (grid.header, *grid.rows))
    lines = ["| " + " | ".join(cells) + " |" for cells in rows]
    return "\n".join([lines[0], "| " + " | ".join(rule) + " |", *lines[1:]])


def _cell(text: str) -> str:
    """Return a text as one cell: a bar would begin another, and a line's end another row."""
    return " ".join(text.split()).replace("|", "\\|")
