"""The stage `synth report`: photographs, generators and selections as one page for people who read no code."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.cohort import PHANTOM, Cohort, read_cohort
from shared.console import say
from shared.document import Block, Bullets, Grid, Heading, Paragraph, Picture, deeper, escaped, moved, to_markdown
from shared.drawn import Json
from shared.errors import UserError
from shared.files import read_json, require_file, require_new, write_text
from shared.html.report import cohort_words, require_new_report, write_report
from shared.markdown import read_page
from shared.provenance import environment
from shared.results import best_cell
from synth.bundles.info import describe
from synth.cohorts.page import cohort_page
from synth.networks.provenance import own_run
from synth.selecting.audit_page import KEEP, PHOTOGRAPH
from synth.table1.markdown import how_trained

SHEETS = ("_sheet.png", "_copies.png")  # of a bundle, with photographs among them
# Nobody looked for copies of photographs among the first, and the others show those that were rejected, too.
UNCHECKED = ("best.png", "_borders.png")
WITH_PHOTOGRAPHS = (
    "**This page shows photographs of patients: keep it where these are, or make it with --no-photographs.**"
)
MADE = (
    "From photographs of {positive} a generator learnt to draw new ones. {selected}How good they are is told here in "
    "distances between drawn and real images, beside those that real images have among themselves."
)
SELECTED = (
    "Drawn images that are near enough to photographs are kept, to train classifiers with, and copies of a photograph "
    "are thrown away. "
)
NO_COPIES = (
    "That no copy was found does not prove that none is there; the test is described under *Copies of photographs*."
)
NOT_SELECTED = (
    "Nobody looked for copies of photographs among the images here: `synth select` does, and `--bundle` shows it."
)
LIMITS = (
    "A generator knows what it was shown. What these photographs lack (a skin tone, a site, an age, an early stage) "
    "its images lack too, and the tables can only count what the cohort names.",
    "A score measures likeness in the features of one network. It sees texture and colour better than medicine.",
    "No image here has a diagnosis: it has the label of the photographs that its generator was shown.",
    "Whether the images help is decided by classifiers on photographs that nobody trained on: `classify study`.",
)


@dataclass(frozen=True)
class ReportOptions:
    """Options of `synth report`.

    Attributes:
        cohort: the photographs.
        runs: folders of runs or grids, one a fold.
        bundles: what was selected; its audit page is read beside it.
        out: the HTML file; the same as Markdown goes beside it.
        photographs: whether it may show photographs, what may be copies of some, and the names of their files.
        force: whether to replace files.
    """

    cohort: Path
    out: Path
    runs: tuple[Path, ...] = ()
    bundles: tuple[Path, ...] = ()
    photographs: bool = True
    force: bool = False


def report(options: ReportOptions) -> None:
    """Write the report.

    Raises `UserError`: a file is missing, damaged, or of another cohort, or the report exists.
    """
    markdown = options.out.with_suffix(".md")
    require_new_report(options.out, force=options.force, inputs=[options.cohort, *options.bundles])
    require_new(markdown, force=options.force, inputs=[options.cohort, *options.bundles])
    cohort = read_cohort(options.cohort)
    tables = {run: read_table(run) for run in options.runs}
    abouts = {bundle: describe(bundle) for bundle in options.bundles}
    for bundle, about in abouts.items():
        if about["audit"] is None:
            raise UserError(
                f"{bundle}: candidates, of which nothing is selected; give what `synth select` made of them."
            )
        if about["cohort"] != cohort.sha256:
            raise UserError(f"{bundle}: of another cohort than {options.cohort}; give the bundles that belong to it.")
    kept = [block for run, table in tables.items() for block in _run(run, table, options)]
    kept += [block for bundle, about in abouts.items() for block in _bundle(bundle, about, options)]
    if not options.photographs:
        kept = [block for each in kept for block in _without_photographs(each)]
    shown = any(isinstance(block, Picture) and block.file.endswith(SHEETS) for block in kept)
    blocks = [
        Heading(_title(cohort.positive, made=bool(tables or abouts))),
        *_lead(cohort, tables, abouts, patients=shown and cohort.source != PHANTOM),
        *cohort_page(cohort, named=options.photographs),
        *kept,
        Heading("Limits of the images", 2),
        Bullets([*LIMITS, *([NO_COPIES if abouts else NOT_SELECTED] if tables or abouts else [])]),
        *_origin(cohort, tables, abouts),
    ]
    write_report(options.out, blocks, folder=options.out.parent, command=_command(options))
    write_text(markdown, to_markdown(blocks))
    say(f"written: {options.out} and {markdown.name}")


def _title(positive: str, *, made: bool) -> str:
    about = f"Synthetic images of {escaped(positive)}: what was made, and of what"
    return about if made else f"Photographs of {escaped(positive)}: what there is"


def _command(options: ReportOptions) -> str:
    runs = [word for run in options.runs for word in ("--run", run.name)]
    bundles = [word for bundle in options.bundles for word in ("--bundle", bundle.name)]
    asked = [*runs, *bundles, *["--no-photographs"] * (not options.photographs), "--out", options.out.name]
    return shlex.join(["synth", "report", options.cohort.name, *asked])


def read_table(run: Path) -> dict[str, Any]:
    """Return Table 1 of a run or a grid; raise `UserError` where it is none, or names a place outside of it."""
    path = require_file(run / "table1.json", "table of the run or grid")
    try:
        table: dict[str, Any] = read_json(path)
        best_cell(table)
        _generator(table["rows"][0])
        own_run(path, table["rows"][0]["run"])
    except (ArithmeticError, AttributeError, ValueError, LookupError, TypeError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}: damaged; run the same `synth train` command again to write it anew.") from error
    return table


def _lead(cohort: Cohort, tables: dict[Path, Any], abouts: dict[Path, Json], *, patients: bool) -> list[Block]:
    """Return what a reader wants to know first."""
    warnings = [WITH_PHOTOGRAPHS] if patients else []
    if cohort.source == PHANTOM:
        warnings.append("**The cohort is the phantom, rendered skin: nothing here says anything of patients.**")
    made = MADE.format(positive=escaped(cohort.positive), selected=SELECTED if abouts else "")
    lines = [made] if tables or abouts else []
    lines += [" ".join(best_cell(table)) for table in tables.values()]
    for about in abouts.values():
        candidates, copies = about["candidates"]["total"], about["audit"].get("counts", {}).get("copies")
        were = "was a copy" if copies == 1 else "were copies"
        told = "" if copies is None else f"; {copies} of the candidates {were} of a photograph, and rejected"
        may = "They may" if about["shareable"] else "They may not"
        lines.append(
            f"{_fold(about['fold'])}: {about['images']} of {candidates} generated images were kept by the rule "
            f"*{about['rule']}*{told}. {may} be passed on: {escaped(about['shareable_reason'])}."
        )
    return [*map(Paragraph, warnings), *map(Paragraph, lines)]


def _fold(fold: int) -> str:
    return "All folds" if fold < 0 else f"Fold {fold}"


def _run(run: Path, table: dict[str, Any], options: ReportOptions) -> list[Block]:
    """Return Table 1 of a run or a grid, its curves, and pictures of its best checkpoint."""
    best = table["rows"][0]
    sheet = Picture((Path(str(best["run"])) / "best.png").as_posix(), "Images of the best checkpoint of the best cell")
    blocks = _with_first(sheet, read_page(run / "table1.md")[1:])
    title = Heading(f"The generator, {_fold(best['fold']).lower()}", 2)
    return [title, *moved(deeper(blocks), run, options.out.parent)]


def _bundle(bundle: Path, about: Json, options: ReportOptions) -> list[Block]:
    """Return the audit of a selection, with real beside synthetic images first."""
    sheet = f"{bundle.stem}{SHEETS[0]}"
    rest = [b for b in _audit(bundle)[1:] if b != Paragraph(KEEP) and not (isinstance(b, Picture) and b.file == sheet)]
    blocks = _with_first(Picture(sheet, "Real images and selected synthetic ones"), rest)
    title = Heading(f"The selection, {_fold(about['fold']).lower()}", 2)
    return [title, *moved(deeper(blocks), bundle.parent, options.out.parent)]


def _without_photographs(block: Block) -> list[Block]:
    """Return a block as those may see it who may not see the photographs: none, or without the names of their files."""
    match block:
        case Picture(file) if file.endswith((*SHEETS, *UNCHECKED)):
            return []
        case Grid(header, rows, left) if PHOTOGRAPH in header:
            here = list(header).index(PHOTOGRAPH)
            header, *rows = ([*row[:here], *row[here + 1 :]] for row in (header, *rows))
            return [Grid(header, rows, left - (here < left))]
    return [block]


def _audit(bundle: Path) -> list[Block]:
    page = bundle.with_name(f"{bundle.stem}_audit.md")
    if not page.is_file():
        raise UserError(
            f"{page}: no such file, and the report tells what is in it; leave the bundle beside the audit that `synth "
            "select` wrote."
        )
    return read_page(page)


def _with_first(picture: Picture, blocks: Sequence[Block]) -> list[Block]:
    """Return the blocks of a page, with a picture behind what stands before its first heading."""
    first = next((i for i, block in enumerate(blocks) if isinstance(block, Heading)), len(blocks))
    return [*blocks[:first], picture, *blocks[first:]]


def _origin(cohort: Cohort, tables: dict[Path, Any], abouts: dict[Path, Json]) -> list[Block]:
    """Return what each part was made from, by checksums, versions and seeds."""
    lines = [f"{cohort_words(cohort.sha256)}, {escaped(cohort.source)}, seed {cohort.seed}."]
    lines += [_generator(table["rows"][0]) for table in tables.values()]
    for about in abouts.values():
        network = about["generator"].get("network", "unknown")
        lines.append(f"Bundle of {_fold(about['fold']).lower()}: `{about['sha256']}`, by the network `{network}`.")
    here = environment("cpu")
    versions = ", ".join(f"{name} {version}" for name, version in here["versions"].items())
    lines.append(f"This page: Python {here['python']}, {here['platform']}, {versions}.")
    return [Heading("Where the images come from", 2), Bullets(lines)]


def _generator(row: dict[str, Any]) -> str:
    return (
        f"Generator of {_fold(row['fold']).lower()}: {escaped(how_trained([row]))}, "
        f"{row['kimg']:g} kimg, seed {int(row['seed'])}, "
        f"{row['seconds']:.0f} s on {escaped(str(row['device']))}."
    )
