"""The stage `classify report`: from the photographs to the answer, as one page for people who read no code."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from classify.measuring.operating import LEAST, Operating
from classify.table2.figures import FIGURES
from classify.table2.page import answer, sections
from classify.tables import command_line, least_argument, read_table
from shared.console import say
from shared.document import Block, Bullets, Heading, moved
from shared.errors import UserError
from shared.html.report import HTML, cohort_named, require_new_report, write_report
from shared.markdown import read_page

SHORT = 12  # digits of a checksum in a sentence
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
    pictures = {name: folder / f"{name}.png" for name in FIGURES}
    table, drawn = read_table(
        options.records, pictures, operating=options.operating, least=options.least, command=_command(options)
    )
    cohorts = [str(cohort["sha256"]) for cohort in table.cohorts]
    included = [block for page in options.pages for block in _included(page, folder, cohorts)]
    return [
        Heading(TITLE),
        *answer(table),
        *included,
        *sections(table, {name: pictures[name].name for name in drawn}),
        Heading("Limits", 2),
        Bullets(LIMITS),
    ]


def _command(options: ReportOptions) -> str:
    pages = [word for page in options.pages for word in ("--page", page.name)]
    asked = [*options.operating.arguments, *least_argument(options.least)]
    return command_line("report", options.records, [*pages, *asked, "--out", options.out.name])


def _included(page: Path, folder: Path, cohorts: Sequence[str]) -> list[Block]:
    """Return a page as sections of one in `folder`: its title becomes that of what stood below it.

    Raises `UserError`: it has no title, or is of another cohort than those (sha256) of the records.
    """
    text = page.with_suffix(".md") if page.suffix == HTML else page
    if page.is_file() and not text.is_file():
        raise UserError(
            f"{page}: {text.name} does not stand beside it, as `synth report` writes it; give a page that it wrote, "
            "with that file."
        )
    blocks = read_page(text)
    told = cohort_named(blocks)
    if told is not None and told not in cohorts:
        raise UserError(
            f"{page}: of cohort {told[:SHORT]}, and the records are of {', '.join(each[:SHORT] for each in cohorts)}; "
            "give the page that `synth report` writes of the same cohort."
        )
    match blocks:
        case [Heading(_, 1) as title, *rest]:
            anywhere = Path(page.absolute().anchor)  # `synth report` leaves pictures where runs and bundles are
            return moved([replace(title, level=2), *rest], page.parent, folder, within=anywhere)
    raise UserError(f"{page}: does not begin with a title; give a page that `synth report` wrote.")
