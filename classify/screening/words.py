"""A judgement in plain words: what it means, how sure it is, and that nobody should wait because of it."""

from classify.screening.judgement import Judgement, Verdict

ALWAYS = (
    "This is a research tool and not a medical device. It cannot rule anything out. If you feel ill, if it spreads or "
    "hurts, or if you are worried, see a doctor now, whatever stands here."
)
REHEARSAL = (
    "The model has learnt rendered skin and has seen no patient: this page is a rehearsal, and what it says of a "
    "photograph means nothing."
)
_COUNT = 1000  # a share is told as so many of these where it is small
_SMALL = 0.01


def headline(judgement: Judgement, disease: str) -> str:
    """Return the result in a sentence."""
    match judgement.verdict:
        case Verdict.ABOVE:
            return f"This photograph looks to the model like {disease}. Please have it seen by a clinician soon."
        case Verdict.BELOW:
            return (
                f"The model does not see {disease} in this photograph. That does not rule it out: it misses cases, and "
                "it knows nothing but the picture."
            )
        case Verdict.NONE:
            return "The model cannot judge this photograph, so it says nothing about it."


def reasons(judgement: Judgement, *, prevalence: float, disease: str, sensitivity: float) -> list[str]:
    """Return what the result means, or why there is none, a sentence each."""
    if judgement.probability is None:
        said = [f"The photograph cannot be used: {problem}." for problem in judgement.problems]
        if not judgement.is_known:
            said.append("It is unlike the photographs that the model has learnt from, so nothing follows from them.")
        return [*said, "Take another one: near, sharp, in daylight, with the skin alone in the middle."]
    found = judgement.probability
    return [
        f"Of photographs like this one, {_share(found.single)} would show {disease}, where {_share(prevalence)} of the "
        f"patients have it; between {_share(found.low)} and {_share(found.high)}, as far as the photographs that the "
        "model was checked with can tell.",
        f"The threshold was set to find {100 * sensitivity:g} of 100 photographs of {disease}; among other patients it "
        "may find fewer.",
    ]


def percentage(percent: float) -> str:
    """Return a percentage with one digit; none is called certain, whatever it is rounded to."""
    if percent >= 99.95:
        return "over 99.9"
    return "under 0.1" if percent < 0.05 else f"{percent:.1f}"


def _share(value: float) -> str:
    if value < _SMALL:
        per_thousand = value * _COUNT
        return "fewer than 1 in 1000" if per_thousand < 1 else f"{per_thousand:.0f} in 1000"
    percent = 100 * value
    return "more than 99 in 100" if percent > 99 else f"{percent:.0f} in 100"
