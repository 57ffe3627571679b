"""The stage `classify report`: from the photographs to the answer, as one page for people who read no code."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from classify.figures import FIGURES
from classify.operating import Operating
from classify.page import answer, sections
from classify.summary import LEAST
from classify.tables import read_table
from shared.console import say
from shared.document import Block, Bullets, Heading, moved
from shared.errors import UserError
from shared.html.report import HTML, require_new_report, write_report
from shared.markdown import read_page

TITLE = "Do synthetic images make the classifier better?"
LIMITS = (
    "This is research software and not a medical device: no figure here is a reason to treat, or not to treat, a "
    "patient.",
    "A test set with as many positives as negatives flatters the precision; the table of thresholds says what it "
    "would be where few have the disease.",
    "Intervals say how far other photographs of the same kind would move a figure. Another clinic, camera or "
    "population moves it further, and nothing here can say how far.",
    "What a table does not show may still be there: *not shown* is not *shown not to be*. The interval says which "
    "effects are unlikely.",
)


@dataclass(frozen=True)
class ReportOptions:
    """Options of `classify report`.

    Attributes:
        records: files of `classify evaluate` and `classify study`.
        out: the HTML file.
        pages: of `synth report` (its Markdown, or the HTML beside it), which come before the classifiers.
        operating: sensitivity asked for, and prevalences.
        least: images of an attribute's value below which nothing is said of it.
    """

    records: tuple[Path, ...]
    out: Path
    pages: tuple[Path, ...] = ()
    operating: Operating = Operating()  # noqa: RUF009 - frozen
    least: int = LEAST
    force: bool = False


def report(options: ReportOptions) -> None:
    """Write the report.

    Raises `UserError`: no record, a page or record that is damaged, or a report that exists.
    """
    require_new_report(options.out, force=options.force, inputs=[*options.records, *options.pages])
    with tempfile.TemporaryDirectory() as folder:
        write_report(options.out, blocks_of(options, Path(folder)), folder=Path(folder), command=_command(options))
    say(f"written: {options.out}")


def blocks_of(options: ReportOptions, folder: Path) -> list[Block]:
    """Return the page, and draw its figures into `folder`, which its pictures are named from.

    Raises `UserError`: as `report`.
    """
    included = [block for page in options.pages for block in _included(page, folder)]
    pictures = {name: folder / f"{name}.png" for name in FIGURES}
    table, drawn = read_table(
        options.records, pictures, operating=options.operating, least=options.least, command=_command(options)
    )
    return [
        Heading(TITLE),
        *answer(table),
        *included,
        *sections(table, {name: pictures[name].name for name in drawn}),
        Heading("Limits", 2),
        Bullets(LIMITS),
    ]


def _command(options: ReportOptions) -> str:
    names = " ".join(path.name for path in options.records)
    pages = "".join(f" --page {page.name}" for page in options.pages)
    return f"classify report {names}{pages} --out {options.out.name}"


def _included(page: Path, folder: Path) -> list[Block]:
    """Return a page as sections of one in `folder`: its title becomes that of what stood below it."""
    match read_page(page.with_suffix(".md") if page.suffix == HTML else page):
        case [Heading(_, 1) as title, *rest]:
            return moved([replace(title, level=2), *rest], page.parent, folder)
    raise UserError(f"{page}: does not begin with a title; give a page that `synth report` wrote.")
