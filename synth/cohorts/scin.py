"""SCIN as a source of photographs: which cases are positive, which negative, and where their images are."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from shared.cohort import NEGATIVE, POSITIVE, STUDY
from shared.errors import UserError
from synth.cohorts.conditions import find_condition
from synth.cohorts.photographs import Listing, Source, listed
from synth.cohorts.scin_tables import INNER, Case, Scin, read_scin

MAX_PATH_CHARS = 200
OTHERS = "other conditions"  # the negative class, where no condition is named


@dataclass(frozen=True)
class Sides:
    """Which cases are taken: by what they must have (keys of conditions) and how much of it."""

    positive: str
    negative: tuple[str, ...]  # any other condition, where empty
    min_weight: float

    def of(self, case: Case) -> int | str:
        """Return the label of a case, or why it is left out."""
        if not case.gradable:
            return "whose images dermatologists found insufficient"
        if not case.weights:
            return "without a label"
        if case.weights.get(self.positive, 0.0) >= self.min_weight:
            return POSITIVE
        if self.positive in case.weights or self.positive in case.named:
            return "in which the condition was considered, with less weight"
        if self.negative and not any(case.weights.get(key, 0.0) >= self.min_weight for key in self.negative):
            return "without the condition, and with less weight of what --negative-condition names"
        return NEGATIVE


def list_scin(folder: Path, condition: str, negatives: Sequence[str], min_weight: float) -> Listing:
    """Return the photographs of the cases with `condition`, and of those of which nobody thought that it might be.

    Positive: its weight is at least `min_weight`. Negative: it has no weight, no dermatologist wrote it, and, where
    `negatives` are named, the weight of one of them is at least `min_weight`. All other cases are left out and counted.
    The photographs of a case are a group.

    Raises `UserError`: as `read_scin` and `find_condition`, no positive or no negative case, a path that leaves
    `folder`, or not one image there.
    """
    scin = read_scin(folder)
    asked = find_condition(scin, condition, "--condition")
    others = tuple(dict.fromkeys(find_condition(scin, name, "--negative-condition") for name in negatives))
    if asked in others:
        raise UserError(f"--negative-condition {condition}: the same as --condition; name another, or none.")
    sides = Sides(asked, others, min_weight)
    verdicts = [(case, sides.of(case)) for case in scin.cases]
    taken = [(case, verdict) for case, verdict in verdicts if isinstance(verdict, int)]
    left_out = Counter(verdict for _, verdict in verdicts if isinstance(verdict, str))
    _require_both(scin, sides, {label for _, label in taken})
    classes = ("+".join(scin.spelling[key] for key in others) or OTHERS, scin.spelling[asked])
    counts = Counter(label for _, label in taken)
    notes = [
        f"SCIN: {len(scin.cases)} cases, of which {counts[POSITIVE]} are {classes[POSITIVE]} (weight {min_weight:g} or "
        f"more) and {counts[NEGATIVE]} {classes[NEGATIVE]}",
        *(f"left out: {_counted(count, 'case')} {reason}" for reason, count in left_out.most_common()),
    ]
    sources, missing, disputed = _sources(scin, taken)
    if disputed:
        notes.append(f"left out: {_counted(disputed, 'image')} that cases of both classes name")
    if missing:
        lacking = _counted(len(missing), "image")
        notes += [f"left out: {lacking} that the tables name and {folder} lacks:", listed(missing)]
    return Listing(sources, classes, "SCIN", tuple(notes))


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _require_both(scin: Scin, sides: Sides, labels: set[int]) -> None:
    name = scin.spelling[sides.positive]
    if POSITIVE not in labels:
        largest = max((case.weights.get(sides.positive, 0.0) for case in scin.cases if case.gradable), default=0.0)
        if not largest:
            raise UserError(f"--condition {name}: the images of all its cases were found insufficient; name another.")
        raise UserError(
            f"--min-weight {sides.min_weight:g}: no usable case has so much of {name}, whose largest weight is "
            f"{largest:g}; give a smaller --min-weight."
        )
    if NEGATIVE not in labels:
        raise UserError(
            f"--scin {scin.folder}: no usable case is without {name} and with what a negative must have; name "
            "another --negative-condition, or none."
        )


def _sources(scin: Scin, taken: Sequence[tuple[Case, int]]) -> tuple[list[Source], list[str], int]:
    """Return the images of the cases, the names of those that are not there, and how many are of both classes."""
    labels: dict[str, set[int]] = {}
    for case, label in taken:
        for name in case.images:
            labels.setdefault(name, set()).add(label)
    sources, missing = [], []
    root = scin.folder.resolve()
    for case, label in taken:
        for name in (name for name in case.images if len(labels[name]) == 1):
            path = _locate(scin, root, name)
            if path is None:
                missing.append(name)
            else:
                sources.append(Source(path, name, label, STUDY, case.case_id, case.attributes))
    if not sources:
        raise UserError(
            f"--scin {scin.folder}: none of the {len(missing)} images that its tables name is there; download "
            f"{INNER}/images beside the tables."
        )
    return sources, missing, sum(len(each) > 1 for each in labels.values())


def _locate(scin: Scin, root: Path, name: str) -> Path | None:
    """Return the file of an image, which is named from the bucket's root, or None where there is none.

    Raises `UserError`: a name that leads out of the folder, be it by a link.
    """
    plain = PurePosixPath(name)
    odd = len(name) > MAX_PATH_CHARS or not name.isprintable() or set(name) & set("\\:")
    if odd or plain.is_absolute() or ".." in plain.parts:
        raise _leaves(scin, name)
    for path in (scin.folder / plain, scin.tables / name.removeprefix(f"{INNER}/")):
        try:
            inside = path.resolve().is_relative_to(root)
        except (OSError, RuntimeError):  # links in a circle
            inside = False
        if not inside:
            raise _leaves(scin, name)
        if path.is_file():
            return path
    return None


def _leaves(scin: Scin, name: str) -> UserError:
    return UserError(
        f"--scin {scin.folder}: its tables name the image {name[:MAX_PATH_CHARS]!r}, which is no plain path inside the "
        "folder; give the tables as they were published, and files in the place of links."
    )
