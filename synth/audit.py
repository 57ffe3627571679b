"""What a selection did: counts, fidelity and diversity before and after, who was left out, and what is doubtful."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.cohort import Cohort
from synth.diversity import MOST_VENDI, mean_vendi
from synth.groups import Groups
from synth.halvings import Halvings
from synth.memorization import Leaning, leaning, shareable
from synth.mix import ESTIMATED_TONE, Line, mix, readable
from synth.moments import Features
from synth.scored import Inputs, Scored
from synth.select_options import SelectOptions
from synth.selection import TYPICAL, Passes, Verdicts, passes
from synth.skin_tone import CLASSES, tone_class, typology_angle
from synth.verdict import Choice

DISAGREE = 0.2  # one score keeps less than this share of what the other one does
MANY_REALS = 0.2  # of those that set no threshold: at 2 sigma few percent are expected
FEW, MANY = 0.01, 0.99  # shares of the candidates at which a score does next to nothing
MOST = 5000  # candidates, at most, that are compared with photographs to tell how good and how different they are
SCORES = {"similarity": "similarity to the mean", "discriminator": "discriminator", "typicality": "typicality"}

Json = dict[str, Any]


@dataclass(frozen=True)
class Diversity:
    """How near some images are to photographs, and how many different ones there are.

    Attributes:
        n: images a side of distance, precision and recall against half of the photographs (`synth.halvings`).
        distance, precision, recall: None where there are too few.
        n_vendi, vendi: Vendi score of as many images; None for fewer than two.
    """

    n: int
    distance: float | None
    precision: float | None
    recall: float | None
    n_vendi: int
    vendi: float | None


@dataclass(frozen=True)
class Audit:
    """All that is worth knowing of a selection.

    Attributes:
        counts: candidates, what each rule keeps, what each score rejects, copies, twins, kept.
        diversity: of photographs, candidates and kept images.
        mix: who is among them.
        memorization: the gate, and what is known of the generator (`synth.memorization.Leaning`).
        shareable, reason: whether the images may be passed on.
        warnings: a sentence each.
    """

    counts: Json
    diversity: dict[str, Diversity]
    mix: list[Line]
    memorization: Json
    shareable: bool
    reason: str
    warnings: list[str] = field(default_factory=list)

    def as_json(self) -> Json:
        """Return what a bundle keeps of it beside what has attributes of its own."""
        return {
            "counts": self.counts,
            "diversity": {name: dataclasses.asdict(each) for name, each in self.diversity.items()},
            "mix": [dataclasses.asdict(line) for line in self.mix],
            "warnings": self.warnings,
        }


def audit(inputs: Inputs, scored: Scored, choice: Choice, options: SelectOptions, gate: float) -> Audit:
    """Look at what a choice did."""
    candidates, originals, pool, selected = inputs.candidates, scored.originals, scored.pool, choice.selected
    places = originals.columns(inputs.reference)
    some = {name: _some(each) for name, each in (("candidates", pool.features), ("kept", pool.of(selected)))}
    found = leaning(originals.distances(some["candidates"]), originals, seed=options.seed)
    seen = np.isin(candidates.seen_image_id, inputs.cohort.image_id)
    may, reason = shareable(found, len(choice.rows), int((~seen).sum()), len(originals))
    lines = mix_of(inputs.cohort, inputs.reference, scored.judged.tone, scored.judged.like, selected)
    copies = int(choice.copies.sum())
    return Audit(
        counts={
            "candidates": len(candidates),
            "kept_by_rule": {rule: int(kept.sum()) for rule, kept in scored.kept.items()},
            "rejected": rejected(choice.by),
            "copies": copies,
            "copies_by_pixels": int((scored.judged.same >= 0).sum()),
            "twins": int(choice.twins.sum()),
            "kept": len(choice.rows),
        },
        diversity=diversity_of(
            originals.forms[0][places],
            Groups.of(originals.groups.index[places]),
            some,
            seed=options.seed,
        ),
        mix=lines,
        memorization={"gate": gate, "quantile": options.gate, "photographs": len(originals)} | found.as_json(),
        shareable=may,
        reason=reason,
        warnings=[
            *warnings(options.rule, len(choice.rows), choice.by, copies, lines, found),
            *_of_control(passes(scored.control, scored.thresholds), options.reference),
        ],
    )


def _some(features: Features) -> Features:
    """Return `MOST` of them at most, evenly spread: more would tell nothing more."""
    return features[:: -(-len(features) // MOST) or 1]


def control_part(reference: str) -> str:
    """Return what the photographs that set no threshold are called."""
    return "training" if reference == "validation" else "held-out"


def _of_control(by: Passes, reference: str) -> list[str]:
    """Return which scores reject many photographs that set no threshold."""
    total, part = len(by.similarity), control_part(reference)
    rejects = {name: total - int(getattr(by, name).sum()) for name in SCORES}
    return [
        f"the {SCORES[name]} rejects {count} of {total} {part} photographs, so it does not tell what is real."
        for name, count in rejects.items()
        if count > MANY_REALS * total
    ]


def rejected(by: Passes) -> Json:
    """Return how many candidates each score rejects, and how many both of the paper's do."""
    similarity, discriminator = ~by.similarity, ~by.discriminator
    return {
        "similarity": int(similarity.sum()),
        "discriminator": int(discriminator.sum()),
        "both": int((similarity & discriminator).sum()),
        "typicality": int((~by.typicality).sum()),
    }


def diversity_of(reals: Features, groups: Groups, sets: Mapping[str, Features], *, seed: int) -> dict[str, Diversity]:
    """Compare sets of images [N, F] with photographs [R, F], and one half of these with the other ("photographs")."""
    everything = {"photographs": reals, **{name: features.astype(np.float64) for name, features in sets.items()}}
    n_vendi = min(MOST_VENDI, *(len(features) for features in everything.values()))
    vendi = {name: mean_vendi(each, n_vendi, seed=seed) if n_vendi >= 2 else None for name, each in everything.items()}
    found: dict[str, Diversity] = {}
    floor = Diversity(0, None, None, None, n_vendi, vendi["photographs"])
    for name in sets:
        halvings = Halvings(reals, len(everything[name]), seed=seed, groups=groups)
        found[name] = Diversity(0, None, None, None, n_vendi, vendi[name])
        if halvings.n >= 2:
            equal = halvings.compare(everything[name])
            precision, recall = equal.precision, equal.recall
            found[name] = Diversity(
                equal.n,
                equal.distance.mean,
                None if precision is None else precision.mean,
                None if recall is None else recall.mean,
                n_vendi,
                vendi[name],
            )
            if equal.n > floor.n:
                floor = Diversity(
                    equal.n,
                    equal.distance.floor,
                    None if precision is None else precision.floor,
                    None if recall is None else recall.floor,
                    n_vendi,
                    vendi["photographs"],
                )
    return {"photographs": floor, **found}


def mix_of(
    cohort: Cohort,
    reference: npt.NDArray[np.int64],
    tone: npt.NDArray[np.float32],
    like: npt.NDArray[np.int64],
    kept: Verdicts,
) -> list[Line]:
    """Return who is among the reference, the candidates and those kept, by the cohort's columns and estimated tone.

    Args:
        cohort: of the photographs.
        reference: their rows.
        tone: typology angle of each candidate.
        like: for each candidate its nearest photograph, as a place in `reference`.
        kept: of the candidates.
    """
    reals = {ESTIMATED_TONE: tone_class(typology_angle(np.asarray(cohort.images[reference])))}
    candidates = {ESTIMATED_TONE: tone_class(tone)}
    for name, column in sorted(cohort.attributes.items()):
        classes = readable(np.asarray(column)[reference])
        if classes is not None:
            reals[name], candidates[name] = classes, classes[like]
    return mix(reals, candidates, kept, {ESTIMATED_TONE: [name for name, _ in CLASSES]})


def warnings(rule: str, kept: int, by: Passes, copies: int, lines: Sequence[Line], found: Leaning) -> list[str]:
    """Return what should make a reader doubt the selection, a sentence each.

    Args:
        rule: that was used.
        kept: how many candidates it kept at last.
        by: what passes by each score.
        copies: how many candidates are copies.
        lines: who is among them.
        found: whether the generator knows its photographs by heart.
    """
    total = len(by.similarity)
    counts = {name: int(getattr(by, name).sum()) for name in SCORES}
    told = []
    if kept <= FEW * total:
        told.append(f"{kept} of {total} candidates kept; train longer, or give a larger --sigma or another --rule.")
    for name, count in counts.items():
        if count >= MANY * total:
            told.append(f"the {SCORES[name]} rejects {total - count} of {total}, so it does nothing here.")
        elif count <= FEW * total:
            told.append(f"the {SCORES[name]} passes {count} of {total}: by it the candidates are unlike the reals.")
    few, many = sorted((counts["similarity"], counts["discriminator"]))
    if few < DISAGREE * many:
        other = "discriminator" if counts["similarity"] == many else "similarity"
        told.append(
            f"the two scores disagree, {many} against {few} of {total}: by the {other} score few candidates are like "
            "the reals; look at the sheet, train longer, or give --rule intersection."
        )
    way_out = "give a larger --keep, or train on more of them" if rule == TYPICAL else f"compare --rule {TYPICAL}"
    told += [
        f"{rule} leaves out {line.attribute} {line.value}: {line.kept} of {line.candidates} kept, p = {line.p:.2g}; "
        f"{way_out}."
        for line in lines
        if line.left_out
    ]
    if copies:
        told.append(f"{copies} of {total} candidates are copies of photographs, and rejected; look at the pairs.")
    share = found.nearer_to_training
    if share is not None and share.excess_low > 0:
        told.append(
            f"the generator leans on its training photographs: {100 * share.value:.0f} % of the candidates are nearer "
            f"to these than to as many held out ({100 * share.expected:.0f} % expected); train shorter, or on more."
        )
    return told
