"""The guard: no test image may have been seen while the classifier came about, unless the user says so.

A photograph is seen when its id, or a photograph of its group, is in what a model folder remembers, which are whole
groups: so it is known when the cohort is prepared again, at another size or with fewer or more photographs. Group
numbers mean something within one file only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shared.bundle import Bundle
from shared.cohort import Cohort
from shared.errors import UserError
from shared.splits import partners

Mask = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]

FITTED = "the classifier"
GENERATED = "the generator or the selection of its synthetic images"


@dataclass(frozen=True, eq=False)
class Seen:
    """Real images that something saw: `by` names it, `cohort` is the SHA-256 of the file whose groups these are."""

    by: str
    cohort: str
    image_id: npt.NDArray[np.str_]  # [K]
    group_id: npt.NDArray[np.int64]  # [K]


def seen_by_fit(cohort: Cohort, rows: Indices) -> Seen:
    """Return the images `rows` of `cohort` that a classifier is fitted on, in whole groups.

    Under protocol paper the test images choose the epoch, too. They do not count as seen: tables tell of the protocol.
    """
    rows = np.concatenate([rows, partners(cohort, rows)])
    return Seen(FITTED, cohort.sha256, cohort.image_id[rows], cohort.group_id[rows])


def seen_by_bundle(bundle: Bundle) -> Seen:
    """Return the real images that stand behind a bundle."""
    return Seen(GENERATED, bundle.cohort, bundle.seen_image_id, bundle.seen_group_id)


def seen_mask(seen: Seen, cohort: Cohort, rows: Indices) -> Mask:
    """Tell which of `rows` [R] of `cohort` were seen, by id or by group."""
    known = np.isin(cohort.image_id, seen.image_id)
    groups = cohort.group_id[known]
    if seen.cohort == cohort.sha256:
        groups = np.concatenate([groups, seen.group_id])
    return known[rows] | np.isin(cohort.group_id[rows], groups)


def seen_by_any(parts: Sequence[Seen], cohort: Cohort, rows: Indices) -> Mask:
    """Tell which of `rows` [R] of `cohort` one of `parts` saw."""
    mask: Mask = np.logical_or.reduce([np.zeros(len(rows), bool), *(seen_mask(each, cohort, rows) for each in parts)])
    return mask


def count_seen(parts: Sequence[Seen], cohort: Cohort, rows: Indices) -> dict[str, int]:
    """Return how many of `rows` were seen by whom (several of `parts` may go by one name), and under "any" in all."""
    by: dict[str, list[Seen]] = {}
    for part in parts:
        by.setdefault(part.by, []).append(part)
    counts = {name: int(seen_by_any(those, cohort, rows).sum()) for name, those in by.items()}
    return counts | {"any": int(seen_by_any(parts, cohort, rows).sum())}


def refuse_seen(parts: Sequence[Seen], cohort: Cohort, rows: Indices, *, model: Path, test_set: str) -> None:
    """Raise `UserError` when one of the test images `rows` was seen."""
    counts = count_seen(parts, cohort, rows)
    if counts["any"]:
        by = " and ".join(f"{count} by {name}" for name, count in counts.items() if count and name != "any")
        raise UserError(
            f"{model}: {counts['any']} of the {len(rows)} images of the {test_set} test set were seen before ({by}), "
            "by image or by group, so the figures would flatter; evaluate on a cohort or fold that nothing saw, or "
            "give --allow-seen and every table will say so."
        )
