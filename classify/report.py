"""The stage `classify report`: from the photographs to the answer, as one page for people who read no code."""

from collections.abc import Sequence
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
from shared.files import require_new
from shared.html.report import require_new_report, write_report
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
        out: the HTML file; the same as Markdown and the figures go beside it.
        pages: of `synth report` (its Markdown or HTML), which come before the classifiers.
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
    out = options.out
    before = [page.with_suffix(".md") if page.suffix == ".html" else page for page in options.pages]
    require_new_report(out, force=options.force, inputs=[*options.records, *before])
    pictures = {name: out.with_name(f"{out.stem}_{name}.png") for name in FIGURES}
    for path in pictures.values():
        require_new(path, force=options.force)
    included = [block for page in before for block in _included(page, out.parent)]
    names = " ".join(path.name for path in options.records)
    command = f"classify report {names}{''.join(f' --page {page.name}' for page in before)} --out {out.name}"
    table, drawn = read_table(
        options.records, pictures, operating=options.operating, least=options.least, command=command
    )
    blocks: Sequence[Block] = [
        Heading(TITLE),
        *answer(table),
        *included,
        *sections(table, {name: pictures[name].name for name in drawn}),
        Heading("Limits", 2),
        Bullets(LIMITS),
    ]
    write_report(out, blocks, command=command)
    say(f"written: {out} and {out.with_suffix('.md').name}")


def _included(page: Path, folder: Path) -> list[Block]:
    """Return a page as sections of one in `folder`: its title becomes that of what stood below it."""
    match read_page(page):
        case [Heading(_, 1) as title, *rest]:
            return moved([replace(title, level=2), *rest], page.parent, folder)
    raise UserError(f"{page}: does not begin with a title; give a page that `synth report` wrote.")
