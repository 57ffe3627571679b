"""What is selected from, and what is known of each image of it."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from shared.bundle import Candidates, read_candidates
from shared.cohort import Cohort, read_cohort
from shared.errors import UserError
from shared.progress import progress
from shared.weights import WeightSource
from stylegan2_ada import Ranks
from synth.drawing.trained import TrainedNetwork, open_network
from synth.scores.features import Extractor, open_extractor
from synth.scores.quality import FEATURES
from synth.selecting.options import SelectOptions
from synth.selecting.originals import FORMS, Originals, Parts, parts_of
from synth.selecting.scoring import Judge, Judged, Rows, reference_rows
from synth.selecting.selection import ScoreTable, Thresholds, Verdicts, kept_by_rule, thresholds_of
from synth.selecting.verdict import Pool
from synth.training.projection import attach_backbone

POOL = 20_000  # candidates, at most, whose features are kept to tell how different they are


@dataclass(frozen=True, eq=False)
class Inputs:
    """What is selected from, and by what."""

    candidates: Candidates
    cohort: Cohort
    trained: TrainedNetwork
    extractor: Extractor
    reference: Rows  # rows of the cohort that set the thresholds
    control: Rows  # other rows, which set none; may be none
    parts: Parts  # of what the generator may have copied


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores of reference, control and candidates, and what the reference's allow."""

    originals: Originals
    reference: ScoreTable
    control: ScoreTable
    judged: Judged
    pool: Pool
    thresholds: Thresholds

    @property
    def kept(self) -> dict[str, Verdicts]:
        """What each rule keeps of the candidates, copies included."""
        return kept_by_rule(self.judged.scores, self.thresholds)

    @property
    def control_kept(self) -> dict[str, Verdicts]:
        """What each rule keeps of the control."""
        return kept_by_rule(self.control, self.thresholds)


def open_inputs(options: SelectOptions, device: torch.device) -> Inputs:
    """Open everything that a selection needs.

    Raises `UserError`: a file is missing, damaged or another one's, or weights cannot be had.
    """
    candidates, cohort = read_candidates(options.candidates), read_cohort(options.cohort)
    if not candidates.cohort:
        raise UserError(
            f"{options.candidates}: drawn by a network that no cohort trained, so no reals set its thresholds; "
            "adapt it by `synth train --start` and draw with that."
        )
    if not len(candidates):
        raise UserError(f"{options.candidates}: holds no images to select from; draw some.")
    if candidates.cohort != cohort.sha256:
        raise UserError(
            f"--cohort {options.cohort}: not the cohort that {options.candidates} stands for; give the file that the "
            "network was trained on."
        )
    source = WeightSource(folder=options.weights, offline=options.offline)
    trained = open_network(options.network, device, source)
    if candidates.generator.get("network") != trained.sha256:
        raise UserError(
            f"--network {options.network}: {trained.path} did not draw {options.candidates}; give the network that did."
        )
    if not candidates.size == cohort.size == trained.size:
        raise UserError(
            f"{options.candidates}: pictures of {candidates.size} px, where the cohort has {cohort.size} px and the "
            f"network {trained.size} px; draw them again."
        )
    label, fold, protocol = candidates.label, candidates.fold, candidates.protocol
    reference, control = reference_rows(cohort, label, fold, protocol, options.reference)
    attach_backbone(trained.networks.D, source)
    extractor = open_extractor(
        options.features,
        "similarity",
        source=source,
        device=device,
        looked_through=trained.looked_through,
    )
    of_one = candidates.generator.get("class") is None  # else the network was trained on both classes
    parts = parts_of(cohort, label if of_one else None, fold, protocol, candidates.seen_image_id)
    return Inputs(candidates, cohort, trained, extractor, reference, control, parts)


def score_all(inputs: Inputs, options: SelectOptions, ranks: Ranks) -> Scored:
    """Score reals and candidates; of several ranks each scores a share of the candidates.

    Raises `UserError`: a score is not finite.
    """
    candidates, cohort, D = inputs.candidates, inputs.cohort, inputs.trained.networks.D
    mine = ranks.part(range(len(candidates)))
    reals = len(inputs.reference) + len(inputs.control)
    with progress("scoring", reals + len(inputs.parts.rows) * FORMS + len(mine), unit="images") as bar:
        originals = Originals.of(cohort, inputs.parts, inputs.extractor, bar, options.out.parent / FEATURES)
        class_index = candidates.label if D.c_dim else None
        judge = Judge.of(
            originals,
            cohort,
            inputs.reference,
            inputs.extractor,
            D,
            class_index=class_index,
            seed=options.seed,
            gate=options.gate,
        )
        reference, control = (judge.of_reals(cohort, rows, bar) for rows in (inputs.reference, inputs.control))
        every = math.ceil(len(candidates) / POOL) or 1
        part, features = judge.look(candidates.images, mine, bar, every)
    judged = Judged.joined(ranks.gather(part))
    pool = Pool(np.arange(0, len(candidates), every), np.concatenate(ranks.gather(features)))
    for scores in (reference, control, judged.scores):
        if not (np.isfinite(scores.similarity).all() and np.isfinite(scores.discriminator).all()):
            raise UserError(
                f"{inputs.trained.path}: its scores are not finite, so its training diverged; train it again with a "
                "smaller --lr or a larger --gamma."
            )
    return Scored(originals, reference, control, judged, pool, thresholds_of(reference, options.sigma))
