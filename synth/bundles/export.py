"""The images of a bundle or a candidates file as PNGs with a table, or as a folder that ImageFolder reads.

A folder appears when it is complete (`synth.drawing.png_folder`), the table last: pictures beside `images.csv` are
complete.
"""

import contextlib
import csv
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shared.bundle import Bundle, Candidates
from shared.columns import Array
from shared.console import say
from shared.errors import UserError
from shared.files import whole_file
from shared.progress import progress
from shared.stored import pieces_of
from synth.bundles.info import may_share, open_drawn, printable
from synth.drawing.png_folder import png_name, require_empty, staged, write_png

TABLE = "images.csv"
COLUMNS = ("file", "seed", "class", "label", "similarity", "discriminator")
FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # what a cell begins with that a spreadsheet calculates
MAX_NAME_BYTES = 100
DIGITS = 8  # of a SHA-256, that keep altered names apart

_NOT_IN_NAMES = frozenset('<>:"/\\|?*')
_DEVICES = re.compile(r"(con|prn|aux|nul|clock\$|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\..*)?", re.IGNORECASE)


@dataclass(frozen=True)
class ExportOptions:
    """Options of `synth bundle export`: one of both folders, or both."""

    file: Path
    png: Path | None = None
    imagefolder: Path | None = None
    force: bool = False

    def __post_init__(self) -> None:
        if self.png is None and self.imagefolder is None:
            raise UserError("--png, --imagefolder: neither is given, so nothing would be written; give one or both.")
        if self.png is not None and self.imagefolder is not None:
            png, other = self.png.resolve(), self.imagefolder.resolve()
            if png in (other, *other.parents) or other in png.parents:
                raise UserError(f"--png {self.png}: not apart from --imagefolder {self.imagefolder}; give another.")


def export(options: ExportOptions) -> list[Path]:
    """Write a PNG an image and `images.csv` beside them, and return the folders in which they are.

    `png` gets them itself, `imagefolder` in a folder named after the class (`folder_name`). The table has the columns
    of `COLUMNS`, the scores empty for candidates, and what else is known in numbers of each image as a candidate.

    With `force` the pictures and the table of an earlier export are replaced, and what else lies there stays.

    Raises `UserError`: a file that cannot be read or has a seed twice, a folder that holds something, or none given.
    """
    drawn = open_drawn(options.file)
    _require_own_names(options.file, drawn)
    targets: list[tuple[Path, str]] = []
    for option, folder, inner in (
        ("--png", options.png, ""),
        ("--imagefolder", options.imagefolder, folder_name(drawn.class_name)),
    ):
        if folder is not None:
            require_empty(folder, option=option, force=options.force)
            targets.append((folder, inner))
    with progress("exporting", len(drawn), unit="images") as bar, contextlib.ExitStack() as stack:
        stages = [stack.enter_context(staged(*target, last=TABLE)) for target in targets]
        for image, seed in _pictures(drawn):
            for stage in stages:
                write_png(stage, image, seed)
            bar.advance()
        for stage in stages:
            _write_table(stage / TABLE, drawn)
    return _report(options.file, drawn, targets)


def folder_name(class_name: str) -> str:
    """Return the name of a class where it can be a folder's on every system, else one like it with a part of its hash.

    It never leads to another folder, is never empty, hidden, a device of Windows, or longer than about 100 bytes, and
    different classes have different ones.
    """
    name = "".join("_" if each in _NOT_IN_NAMES or not each.isprintable() else each for each in class_name).strip(" .")
    name = name.encode()[:MAX_NAME_BYTES].decode(errors="ignore")
    if _DEVICES.fullmatch(name):
        name = f"_{name}"
    if name and name == class_name:
        return name
    digest = hashlib.sha256(class_name.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{name or 'class'}-{digest[:DIGITS]}"


def defused(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula: behind an apostrophe where it begins like one."""
    return f"'{text}" if text.lstrip().startswith(FORMULA) else text


def _require_own_names(path: Path, drawn: Candidates) -> None:
    seeds, counts = np.unique(drawn.seed, return_counts=True)
    if (counts > 1).any():
        raise UserError(
            f"{path}: has the seed {seeds[counts > 1][0]} twice, and so two pictures of one name; draw them again."
        )


def _pictures(drawn: Candidates) -> Iterator[tuple[Any, int]]:
    """Give each image, uint8 [S, S, 3], with its seed."""
    seeds = iter(drawn.seed.tolist())
    for piece in pieces_of(drawn.images):
        yield from zip(piece, seeds, strict=False)  # the seeds go on with the next piece


def _write_table(path: Path, drawn: Candidates) -> None:
    columns = _columns(drawn)
    further = [name for name in columns if name not in COLUMNS]
    class_name = defused(drawn.class_name.encode("utf-8", "replace").decode())
    with whole_file(path) as part, part.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([*COLUMNS, *(defused(name.encode("utf-8", "replace").decode()) for name in further)])
        for row, seed in enumerate(drawn.seed.tolist()):
            scores = [_cell(columns[name][row]) if name in columns else "" for name in (*COLUMNS[4:], *further)]
            writer.writerow([png_name(seed), seed, class_name, drawn.label, *scores])


def _columns(drawn: Candidates) -> dict[str, Array]:
    """Return the numbers that are known of each image, each [N]."""
    if not isinstance(drawn, Bundle):
        return {}
    known = drawn.candidates
    rows = np.flatnonzero(known["selected"])
    rows = rows[np.argsort(known["seed"][rows])]
    rows = rows[np.searchsorted(known["seed"][rows], drawn.seed)]
    names = [name for name in sorted(known) if known[name].dtype.kind in "biuf" and name not in (*COLUMNS, "selected")]
    scores = {"similarity": drawn.similarity, "discriminator": drawn.discriminator}
    return scores | {name: known[name][rows] for name in names}


def _cell(value: Any) -> str:
    return str(int(value) if isinstance(value, np.bool_) else value)


def _report(file: Path, drawn: Candidates, targets: list[tuple[Path, str]]) -> list[Path]:
    folders = [folder / inner for folder, inner in targets]
    for folder in folders:
        say(f"{folder}: {len(drawn)} images of {printable(drawn.class_name)}, and {TABLE}")
    shareable, reason = may_share(drawn)
    if not shareable:
        say(f"warning: the images of {file} must not be passed on: {printable(reason)}")
    if not len(drawn):
        say(f"warning: {file} holds no images, so there are none in the folder.")
    return folders
