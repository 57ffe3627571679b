"""What a selection did: counts, fidelity and diversity before and after, who was left out, and what is doubtful."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.cohort import Cohort
from shared.duplicates import thumbnails_of
from synth.scores.groups import Groups
from synth.scores.halvings import Halvings
from synth.scores.moments import Features
from synth.selecting.diversity import MOST_VENDI, mean_vendi
from synth.selecting.doubts import of_control, warnings
from synth.selecting.memorization import leaning
from synth.selecting.mix import ESTIMATED_TONE, Line, mix, readable
from synth.selecting.options import SelectOptions
from synth.selecting.scored import Inputs, Scored
from synth.selecting.selection import RULES, Passes, Verdicts, passes
from synth.selecting.sharing import Evidence, shareable
from synth.selecting.skin_tone import CLASSES, tone_class, typology_angle
from synth.selecting.verdict import Choice

FEWEST = 8  # images of which a distance or a count of kinds is computed
MOST = 5000  # candidates, at most, that are compared with photographs to tell how good and how different they are

Json = dict[str, Any]


@dataclass(frozen=True)
class Diversity:
    """How near some images are to photographs, and how many different ones there are.

    Attributes:
        n: images a side of distance, precision and recall against half of the photographs (`synth.scores.halvings`).
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
        not_shown: columns of the cohort that have too many values for that.
        memorization: the gate, and what is known of the generator (`synth.selecting.memorization.Leaning`).
        shareable, reason: whether the images may be passed on.
        warnings: a sentence each.
    """

    counts: Json
    diversity: dict[str, Diversity]
    mix: list[Line]
    not_shown: list[str]
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
            "not_shown": self.not_shown,
            "warnings": self.warnings,
        }


def audit(inputs: Inputs, scored: Scored, choice: Choice, options: SelectOptions, gate: float) -> Audit:
    """Look at what a choice did."""
    candidates, originals, pool, selected = inputs.candidates, scored.originals, scored.pool, choice.selected
    places = originals.columns(inputs.reference)
    some = {name: _some(each) for name, each in (("candidates", pool.features), ("kept", pool.of(selected)))}
    found = leaning(originals.distances(some["candidates"]), originals, seed=options.seed)
    parts, group_id = inputs.parts, inputs.cohort.group_id
    foreign = ~np.isin(group_id[parts.others], group_id[np.concatenate([parts.trained, parts.held_out])])
    lines = mix_of(inputs.cohort, inputs.reference, scored.judged.tone, scored.judged.like, selected)
    copies = int(choice.copies.sum())
    passing = int(RULES[options.rule](choice.by).sum())
    may, reason = shareable(
        Evidence(
            found,
            candidates=len(candidates),
            copies=copies,
            quantile=options.gate,
            kept=len(choice.rows),
            photographs=len(originals),
            held_out=len(np.unique(group_id[parts.held_out])),
            unknown=int((~np.isin(candidates.seen_image_id, inputs.cohort.image_id)).sum()),
            foreign=int(foreign.sum()),
        )
    )
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
        not_shown=sorted(inputs.cohort.attributes.keys() - {line.attribute for line in lines}),
        memorization={"gate": gate, "quantile": options.gate, "photographs": len(originals)} | found.as_json(),
        shareable=may,
        reason=reason,
        warnings=[
            *warnings(options.rule, passing, choice.by, copies, lines, found),
            *of_control(passes(scored.control, scored.thresholds), options.reference),
        ],
    )


def _some(features: Features) -> Features:
    """Return `MOST` of them at most, evenly spread: more would tell nothing more."""
    return features[:: -(-len(features) // MOST) or 1]


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
    """Compare sets of images [N, F] with photographs [R, F], and one half of these with the other ("photographs").

    All in equal numbers; a set of fewer than `FEWEST` is left out, and does not make the numbers small.
    """
    sets = {name: features for name, features in sets.items() if len(features) >= FEWEST}
    fewest = min((len(features) for features in sets.values()), default=0)
    everything = {"photographs": reals, **{name: features.astype(np.float64) for name, features in sets.items()}}
    n_vendi = min(MOST_VENDI, *(len(features) for features in everything.values()))
    vendi = {name: mean_vendi(each, n_vendi, seed=seed) if n_vendi >= 2 else None for name, each in everything.items()}
    found: dict[str, Diversity] = {}
    floor = Diversity(0, None, None, None, n_vendi, vendi["photographs"])
    for name in sets:
        halvings = Halvings(reals, len(everything[name]), seed=seed, groups=groups, most=fewest)
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
    reals = {ESTIMATED_TONE: tone_class(typology_angle(thumbnails_of(np.asarray(cohort.images[reference]))))}
    candidates = {ESTIMATED_TONE: tone_class(tone)}
    for name, column in sorted(cohort.attributes.items()):
        classes = readable(np.asarray(column)[reference])
        if classes is not None:
            reals[name], candidates[name] = classes, classes[like]
    return mix(reals, candidates, kept, {ESTIMATED_TONE: [name for name, _ in CLASSES]})
