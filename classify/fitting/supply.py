"""Where the synthetic images of a fit come from: the bundles that fit its fold, by class."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from classify.fitting.ratio import NONE, Ratio
from shared.bundle import ALL_FOLDS, Bundle
from shared.cohort import NEGATIVE, POSITIVE, Cohort
from shared.errors import UserError

SYNTHETIC = ("positive", "both")  # the classes that have synthetic images

_SYNTHETIC_DRAW = 1  # keeps the random stream apart

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Supply:
    """Bundles by class, each class in the order of their hashes; without any, a fit has real images alone."""

    positive: tuple[Bundle, ...] = ()
    negative: tuple[Bundle, ...] = ()

    @property
    def all(self) -> tuple[Bundle, ...]:
        """The bundles of both classes, positives first."""
        return (*self.positive, *self.negative)

    @property
    def synthetic(self) -> str:
        """Which classes have synthetic images, as `--synthetic` names them."""
        return "both" if self.negative else "positive"

    def of(self, label: int) -> tuple[Bundle, ...]:
        """Return the bundles of one class."""
        return self.positive if label == POSITIVE else self.negative


def require_classes(synthetic: str | None, ratio: Ratio, control: str) -> None:
    """Raise `UserError` when `--synthetic` names no classes, or both where there are no synthetic images."""
    if synthetic not in (None, *SYNTHETIC):
        raise UserError(f"--synthetic {synthetic}: not known; give one of {', '.join(SYNTHETIC)}.")
    if synthetic == "both" and (control != NONE or not ratio.synthetic):
        without = f"--control {control}" if control != NONE else f"--ratio {NONE}"
        raise UserError(f"--synthetic both: {without} has no synthetic images in any class; leave one of them out.")


def find_supply(
    bundles: Sequence[Bundle], cohort: Cohort, fold: int, protocol: str, synthetic: str | None = None
) -> Supply:
    """Return those of `bundles` that hold images for `fold`; under protocol paper those of all folds go first.

    `synthetic` says which classes are to have such images; None takes negatives when there is a bundle of them.

    Raises `UserError`: none fits, or one that fits is of another class, size or cohort.
    """
    if not bundles:
        raise UserError("--bundle: missing, and a ratio other than none needs synthetic images; give a bundle.")
    positive = _fitting(bundles, POSITIVE, fold, protocol)
    negative = _fitting(bundles, NEGATIVE, fold, protocol) if synthetic != SYNTHETIC[0] else ()
    for found, name, wanted in (
        (positive, cohort.positive, True),
        (negative, cohort.classes[NEGATIVE], synthetic == "both"),
    ):
        if wanted and not found:
            held = "; ".join(f"{b.path} is of class {b.class_name}, fold {_fold_name(b.fold)}" for b in bundles)
            raise UserError(
                f"--bundle: none fits class {name}, fold {fold} under protocol {protocol} ({held}); give one that does."
            )
    for bundle in (*positive, *negative):
        _check(bundle, cohort)
    return Supply(positive, negative)


def _fitting(bundles: Sequence[Bundle], label: int, fold: int, protocol: str) -> tuple[Bundle, ...]:
    for wanted in (ALL_FOLDS, fold) if protocol == "paper" else (fold,):
        found = {b.sha256: b for b in bundles if (b.label, b.fold) == (label, wanted)}
        if found:
            return tuple(found[digest] for digest in sorted(found))
    return ()


def _fold_name(fold: int) -> str:
    return "all" if fold == ALL_FOLDS else str(fold)


def _check(bundle: Bundle, cohort: Cohort) -> None:
    wanted = cohort.classes[bundle.label]
    if bundle.class_name != wanted:
        kind = "rare" if bundle.label == POSITIVE else "other"
        raise UserError(
            f"{bundle.path}: holds {bundle.class_name}, where the cohort's {kind} class is {wanted}; give the "
            "bundle of this class."
        )
    if bundle.size != cohort.size:
        raise UserError(
            f"{bundle.path}: its images are {bundle.size} px and the cohort's {cohort.size} px, which would tell them "
            f"apart; prepare the cohort with --size {bundle.size}, or give a bundle made from this one."
        )
    if bundle.cohort != cohort.sha256 and not set(bundle.seen_image_id) & set(cohort.image_id):
        raise UserError(
            f"{bundle.path}: made from another cohort, of which no photograph is in {cohort.path}, so its fold means "
            "nothing here; give a bundle made from this cohort."
        )


def draw(
    bundles: Sequence[Bundle], count: int, seed: Sequence[int], *, real: int, ratio: Ratio
) -> tuple[Indices, Indices]:
    """Return which bundle [count] and which of its rows [count] stand beside `real` images.

    Each bundle gives its images in an order of its own: its own order if it has one, else a random one from `seed`.
    Several take turns. So what a smaller ratio draws, a larger one draws too.

    Raises `UserError`: they hold too few.
    """
    held = sum(map(len, bundles))
    if count > held:
        names = ", ".join(str(bundle.path) for bundle in bundles) or NONE
        raise UserError(
            f"--ratio {ratio}: {count} synthetic images wanted for {real} real ones, but {names} "
            f"{'hold' if len(bundles) > 1 else 'holds'} {held}, so {count - held} are missing; generate and select "
            "more, or give a smaller ratio."
        )
    orders = [
        np.arange(len(bundle))
        if bundle.is_ordered
        else np.random.default_rng([*seed, _SYNTHETIC_DRAW, bundle.label, number]).permutation(len(bundle))
        for number, bundle in enumerate(bundles)
    ]
    turn = np.concatenate([np.empty(0, np.int64), *(np.arange(len(order)) for order in orders)])
    first = np.argsort(turn, kind="stable")[:count]
    which = np.repeat(np.arange(len(orders)), [len(order) for order in orders])
    return which[first], np.concatenate([np.empty(0, np.int64), *orders])[first]
