"""What a bundle or a candidates file holds, where it came from, and whether it may be passed on."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from shared.bundle import (
    ALL_FOLDS,
    BUNDLE_FORMAT,
    CANDIDATES_FORMAT,
    Bundle,
    Candidates,
    read_bundle,
    read_candidates,
)
from shared.console import tabulate
from shared.drawn import Json
from shared.errors import UserError
from shared.files import require_file
from shared.sealed import read_seal

WHAT, MADE_BY = "bundle or candidates file", "`synth select` or `synth generate`"
NOT_SELECTED = "candidates are what a network drew, and nobody has looked for copies of photographs among them"
VERDICTS = ("selected", "by_similarity", "by_discriminator")  # the first to be counted
SELECTION = (
    "rule",
    "sigma",
    "thresholds",
    "candidates",
    "reference",
    "features",
    "shareable",
    "shareable_reason",
    "memorization",
    "audit",
)
QUALITY = ("name", "value", "n", "n_real", "n_fake", "extractor", "layer", "resizer", "reference")  # of many figures
MAX_DEPTH = 4  # of nested values that are shown one by one
NONE = "–"


@dataclass(frozen=True)
class InfoOptions:
    """Options of `synth bundle info`; `json` prints one JSON object instead of a table."""

    file: Path
    json: bool = False


def info(options: InfoOptions) -> Json:
    """Print what `describe` tells on standard output, and return it.

    Raises `UserError`: as `describe`.
    """
    about = describe(options.file)
    if options.json:
        print(json.dumps(about, indent=2))
    else:
        tabulate(_table(about))
    return about


def describe(path: Path) -> Json:
    """Return what a bundle or a candidates file says of itself; its images stay unread.

    Keys of both: file, bytes, sha256 (of what is behind the seal, the identity that models and tables name), format,
    version, images, size (px), class_name, label, fold (-1: all), protocol, cohort (sha256), seen (numbers of images
    and groups), generator, quality, shareable, shareable_reason. The others of `SELECTION` are None for candidates;
    candidates has their number (total) and how many each verdict holds for, reference the number of reals.

    Raises `UserError`: no such file, of another kind, or damaged.
    """
    drawn = open_drawn(path)
    seal = read_seal(path, what=WHAT, made_by=MADE_BY)
    about: Json = {
        "file": str(path),
        "bytes": Path(path).stat().st_size,
        "sha256": drawn.sha256,
        "format": seal.format,
        "version": seal.version,
        "images": len(drawn),
        "size": drawn.size,
        "class_name": drawn.class_name,
        "label": drawn.label,
        "fold": drawn.fold,
        "protocol": drawn.protocol,
        "cohort": drawn.cohort,
        "seen": {
            "images": len(np.unique(drawn.seen_image_id)),
            "groups": len(np.unique(drawn.seen_group_id)),
        },
        "generator": drawn.generator,
        "quality": drawn.quality,
    }
    about |= dict.fromkeys(SELECTION) | (_selection(drawn) if isinstance(drawn, Bundle) else {})
    about["shareable"], about["shareable_reason"] = may_share(drawn)
    return about


def open_drawn(path: Path) -> Candidates:
    """Read a bundle (a `Bundle`) or a candidates file, whichever its seal names.

    Raises `UserError`: no such file, of another kind, or not as its format says.
    """
    seal = read_seal(require_file(path, WHAT), what=WHAT, made_by=MADE_BY)
    if seal.format == BUNDLE_FORMAT:
        return read_bundle(path)
    if seal.format == CANDIDATES_FORMAT:
        return read_candidates(path)
    raise UserError(f"{path}: of format {seal.format}, where a {WHAT} is expected; give one that {MADE_BY} wrote.")


def may_share(drawn: Candidates) -> tuple[bool, str]:
    """Return whether images may be given to those who may not see the photographs, and why."""
    return (drawn.shareable, drawn.shareable_reason) if isinstance(drawn, Bundle) else (False, NOT_SELECTED)


def printable(text: str) -> str:
    """Return a text from a file without what would command a terminal or cannot be encoded."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _selection(bundle: Bundle) -> Json:
    columns = bundle.candidates
    verdicts = [name for name in columns if columns[name].dtype == bool and name not in VERDICTS]
    return {
        "rule": bundle.rule,
        "sigma": bundle.sigma,
        "thresholds": bundle.thresholds,
        "candidates": {"total": len(columns["seed"])}
        | {name: int(columns[name].sum()) for name in (*VERDICTS, *sorted(verdicts))},
        "reference": len(bundle.reference["image_id"]),
        "features": bundle.features,
        "memorization": bundle.memorization,
        "audit": bundle.audit,
    }


def _table(about: Json) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for _ in range(3):
        table.add_column(overflow="fold")  # a checksum that is cut short is of no use
    for heading, values in _sections(about).items():
        rows = list(_flat(values)) or [("", NONE)]
        for number, (name, value) in enumerate(rows):
            table.add_row(*map(Text, ("" if number else heading, printable(name), value)))
    return table


def _sections(about: Json) -> dict[str, Json]:
    """Return what is shown of a description, under headings."""
    seen, quality = about["seen"], about["quality"]
    sections: dict[str, Json] = {
        "file": {
            "path": about["file"],
            "size": decimal(about["bytes"]),
            "sha256": f"{about['sha256']} (of what is behind its seal)",
            "format": f"{about['format']}, version {about['version']}",
        },
        "images": {
            "number": about["images"],
            "size": f"{about['size']} px",
            "class": about["class_name"],
            "label": about["label"],
            "fold": "all" if about["fold"] == ALL_FOLDS else about["fold"],
            "protocol": about["protocol"],
        },
    }
    if about["candidates"] is not None:
        counts = dict(about["candidates"])
        total = counts.pop("total")
        limits = {name: value for name, value in about["thresholds"].items() if not isinstance(value, dict)}
        sections["selection"] = {"rule": about["rule"], "sigma": about["sigma"], "thresholds": limits}
        sections["candidates"] = {name: f"{count} of {total}" for name, count in counts.items()}
    sections["generator"] = about["generator"]
    sections["quality"] = {name: quality[name] for name in QUALITY if name in quality}
    left = len(quality) - len(sections["quality"])
    if left:
        sections["quality"]["more"] = f"{left} further figures, which --json prints"
    if about["features"] is not None:
        sections["features"] = about["features"]
    sections["reals"] = {
        "cohort": about["cohort"],
        "seen": f"{seen['images']} images of {seen['groups']} groups",
        "reference": about["reference"],
    }
    sections["sharing"] = {"may be passed on": about["shareable"], "because": about["shareable_reason"]}
    warnings = (about["audit"] or {}).get("warnings")
    if isinstance(warnings, list):
        sections["warnings"] = {str(number): text for number, text in enumerate(warnings, start=1)}
    if about["audit"]:
        sections["more"] = {"--json": "prints the whole audit: counts, fidelity, diversity, who is in it, copies"}
    return sections


def _flat(values: Json, prefix: str = "", depth: int = MAX_DEPTH) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, dict) and value and depth > 1:
            yield from _flat(value, f"{prefix}{name}.", depth - 1)
        else:
            yield f"{prefix}{name}", printable(_shown(value))


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return NONE if value is None or value == "" else str(value)
