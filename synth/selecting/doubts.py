"""What should make a reader doubt a selection, a sentence each."""

from collections.abc import Sequence

from synth.choices import TYPICAL
from synth.selecting.memorization import Leaning
from synth.selecting.mix import Line
from synth.selecting.selection import Passes

ENOUGH = 20  # candidates, of which nearly all or nearly none means something
DISAGREE = 0.2  # one score keeps less than this share of what the other one does
MANY_REALS = 0.2  # of those that set no threshold: at 2 sigma few percent are expected
FEW, MANY = 0.01, 0.99  # shares of the candidates at which a score does next to nothing
SCORES = {"similarity": "similarity to the mean", "discriminator": "discriminator", "typicality": "typicality"}


def control_part(reference: str) -> str:
    """Return what the photographs that set no threshold are called."""
    return "training" if reference == "validation" else "held-out"


def of_control(by: Passes, reference: str) -> list[str]:
    """Return which scores reject many photographs that set no threshold."""
    total, part = len(by.similarity), control_part(reference)
    rejects = {name: total - int(getattr(by, name).sum()) for name in SCORES}
    return [
        f"the {SCORES[name]} rejects {count} of {total} {part} photographs, so it does not tell what is real."
        for name, count in rejects.items()
        if count > MANY_REALS * total
    ]


def warnings(rule: str, passing: int, by: Passes, copies: int, lines: Sequence[Line], found: Leaning) -> list[str]:
    """Return what should make a reader doubt the selection, a sentence each.

    Args:
        rule: that was used.
        passing: how many candidates it keeps, copies and twins among them.
        by: what passes by each score.
        copies: how many candidates are copies.
        lines: who is among them.
        found: whether the generator knows its photographs by heart.
    """
    total = len(by.similarity)
    counts = {name: int(getattr(by, name).sum()) for name in SCORES}
    told = []
    if passing <= FEW * total:
        told.append(f"{rule} keeps {passing} of {total}; train longer, or give a larger --sigma or another --rule.")
    for name, count in counts.items() if total >= ENOUGH else ():
        if count >= MANY * total:
            told.append(f"the {SCORES[name]} rejects {total - count} of {total}, so it does nothing here.")
        elif count <= FEW * total:
            told.append(f"the {SCORES[name]} passes {count} of {total}: by it the candidates are unlike the reals.")
    few, many = sorted((counts["similarity"], counts["discriminator"]))
    if few < DISAGREE * many:
        other = "discriminator" if counts["similarity"] == many else "similarity"
        further = few and rule != "intersection"
        way_out = "train longer, or give --rule intersection" if further else "train longer"
        told.append(
            f"the two scores disagree, {many} against {few} of {total}: by the {other} score few candidates are like "
            f"the reals; look at the sheet, {way_out}."
        )
    way_out = "give a larger --keep, or train on more of them" if rule == TYPICAL else f"compare --rule {TYPICAL}"
    told += [
        f"{rule} leaves out {line.attribute} {line.value}: {line.kept} of {line.candidates} kept, p = {line.p:.2g}; "
        f"{way_out}."
        for line in lines
        if line.left_out
    ]
    if copies:
        told.append(f"copies of photographs among the {total} candidates: {copies}, rejected; look at the pairs.")
    share = found.nearer_to_training
    if share is not None and share.excess_low > 0:
        told.append(
            f"the generator leans on its training photographs: {100 * share.value:.0f} % of the candidates are nearer "
            f"to these than to as many held out ({100 * share.expected:.0f} % expected); train shorter, or on more."
        )
    if found.excess_high is not None and found.excess_high < 0:
        told.append(
            f"{100 * (found.authenticity or 0):.0f} % of the candidates are authentic, and "
            f"{100 * (found.authenticity_of_held_out or 0):.0f} % of the held-out photographs: the generator draws "
            "what is near to its training photographs; train shorter, or on more."
        )
    return told
