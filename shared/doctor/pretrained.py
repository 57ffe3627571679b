"""Which pretrained weights are there, and whether they are the published ones; nothing is downloaded."""

from collections.abc import Mapping

from shared.doctor.finding import Finding, bad, good, note
from shared.errors import UserError
from shared.weights import SHOWN_DIGITS, WeightFile, WeightSource, find_weights, present_weights

UNPUBLISHED = "its publisher gives no hash"


def examine_weights(
    needed: Mapping[WeightFile, str], other: Mapping[WeightFile, str], source: WeightSource
) -> list[Finding]:
    """Look for files of weights, each with what uses it; `needed` ones that cannot be had are in the way."""
    found = [_examine(file, use, source, needed=True) for file, use in needed.items()]
    return found + [_examine(file, use, source, needed=False) for file, use in other.items() if file not in needed]


def _examine(file: WeightFile, use: str, source: WeightSource, *, needed: bool) -> Finding:
    about = f"weights, {use}"
    try:
        there = present_weights(file, source)
        if there is None and needed and (source.offline or file.package):
            find_weights(file, source)  # which says what to do
    except UserError as error:
        return bad(about, str(error))
    if there is None:
        later = "whatever needs it is refused offline" if source.offline else "it is downloaded when it is needed"
        wanted = f"; its SHA-256 begins with {file.sha256[:SHOWN_DIGITS]}" if file.sha256 else f"; {UNPUBLISHED}"
        return note(about, f"{file.name} is not here; {later}{wanted}")
    published = "the published one" if file.sha256 else UNPUBLISHED
    return good(about, f"{file.name}, SHA-256 {there.sha256[:SHOWN_DIGITS]}…, {published}")
