"""Whether images may be given to those who may not see the photographs, and why."""

from dataclasses import dataclass

from scipy.stats import binomtest

from synth.selecting.memorization import MIN_HELD_OUT, Leaning

TOO_RARE = 0.01  # chance of so many copies, below which a generator draws copies


@dataclass(frozen=True)
class Evidence:
    """What is known of candidates when somebody asks whether those kept may be passed on.

    Attributes:
        leaning: of their generator.
        candidates, copies: how many were drawn, and are copies, none of which is kept.
        quantile: share of copies that is expected.
        kept: how many images are to be passed on.
        photographs: how many were compared with.
        unknown: photographs that the generator saw and that are not in the cohort.
        held_out: patients of the photographs that were held out from the training.
        foreign: photographs of other parts of the cohort that it saw, so that what is held out may not be.
    """

    leaning: Leaning
    candidates: int
    copies: int
    quantile: float
    kept: int
    photographs: int
    unknown: int
    held_out: int
    foreign: int


def shareable(found: Evidence) -> tuple[bool, str]:
    """Return whether images may be given to those who may not see the photographs, and why."""
    share, authentic = found.leaning.nearer_to_training, found.leaning.authenticity
    expected = found.leaning.authenticity_of_held_out
    if not found.kept:
        return False, "there is nothing to pass on"
    if found.unknown:
        return False, (
            f"its generator saw photographs that are not in this cohort ({found.unknown}), so nobody could compare "
            "with them"
        )
    if found.foreign:
        return False, f"its generator saw photographs of other parts of the cohort ({found.foreign}), held out here"
    chance = binomtest(found.copies, found.candidates, found.quantile, alternative="greater").pvalue
    if found.copies and chance < TOO_RARE:
        return False, (
            f"the generator draws copies: {found.copies} of {found.candidates} candidates, where "
            f"{100 * found.quantile:g} % of photographs are as near to one of another patient"
        )
    if share is None or authentic is None or expected is None:
        return False, (
            f"photographs of {found.held_out} patients were held out from the training, of the {MIN_HELD_OUT} that are "
            "needed to tell whether the generator knows its own by heart"
            if found.held_out < MIN_HELD_OUT
            else "the candidates, or the photographs, are too alike to tell whether the generator knows these by heart"
        )
    nearer = (
        f"{100 * share.value:.0f} % of the candidates are nearer to {found.leaning.n} photographs trained on than to "
        f"as many held out, where {100 * share.expected:.0f} % are expected "
        f"({_points(share.excess_low, share.excess_high)})"
    )
    farther = (
        f"{100 * authentic:.0f} % are authentic, where {100 * expected:.0f} % of the held-out photographs are "
        f"({_points(found.leaning.excess_low, found.leaning.excess_high)})"
    )
    if not share.excess_low <= 0:
        return False, f"the generator leans on its training photographs: {nearer}"
    if not (found.leaning.excess_high is not None and found.leaning.excess_high >= 0):
        return False, f"the generator draws what is nearer to its training photographs than others are: {farther}"
    return True, (
        f"none of the {found.kept} images is a copy of one of {found.photographs} photographs; {nearer}; {farther}"
    )


def _points(low: float | None, high: float | None) -> str:
    """Return an interval of a difference of shares."""
    return "unknown" if low is None or high is None else f"{100 * low:+.0f} to {100 * high:+.0f} points"
