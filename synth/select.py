"""Keep the candidates that look and score like the reals: bundle.h5, score histograms and a sheet."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from shared.bundle import Bundle, Candidates, read_candidates, write_bundle
from shared.cohort import Cohort, read_cohort
from shared.console import say
from shared.errors import UserError
from shared.files import require_new
from shared.plots import ScorePanel, image_sheet, score_histograms
from shared.progress import progress
from shared.weights import WeightSource
from stylegan2_ada import Ranks
from synth.features import Extractor, identity, open_extractor
from synth.launch import joined
from synth.projection import attach_backbone
from synth.scoring import Judges, Rows, reference_rows, score
from synth.selection import RULES, ScorePair, Thresholds, Verdicts, kept_by_rule, passes, thresholds_of
from synth.trained import TrainedNetwork, open_network

MAX_SIGMA = 1000.0
SHEET_IMAGES = 20
DISAGREE = 0.2  # one score keeps less than this share of what the other one does
FEW, MANY = 0.01, 0.99  # shares of the candidates at which a rule does next to nothing


@dataclass(frozen=True)
class SelectOptions:
    """Options of `synth select`; `seed` chooses the reals that the discriminator sees beside each image."""

    candidates: Path
    cohort: Path
    network: str | Path
    out: Path
    sigma: float = 2.0
    rule: str = "union"
    features: str = "auto"
    seed: int = 0
    device: str = "auto"
    weights: Path | None = None
    offline: bool = False
    force: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.sigma) and 0 <= self.sigma <= MAX_SIGMA):
            raise UserError(f"--sigma {self.sigma:g}: out of range; give 0 to {MAX_SIGMA:g}.")
        if self.rule not in RULES:
            raise UserError(f"--rule {self.rule}: no such rule; give one of {', '.join(RULES)}.")
        if not 0 <= self.seed < 2**32:
            raise UserError(f"--seed {self.seed}: out of range; give 0 to {2**32 - 1}.")


@dataclass(frozen=True, eq=False)
class Inputs:
    """What is selected from, and by what."""

    candidates: Candidates
    cohort: Cohort
    trained: TrainedNetwork
    extractor: Extractor
    reference: Rows  # rows of the cohort that set the thresholds
    control: Rows  # held-out rows, may be none


@dataclass(frozen=True, eq=False)
class Selection:
    """Scores, thresholds, and what each rule keeps of the candidates and of the control."""

    candidates: ScorePair
    reference: ScorePair
    thresholds: Thresholds
    kept: dict[str, Verdicts]  # by rule, [C]
    control: dict[str, Verdicts]  # by rule, [V]


def select(options: SelectOptions) -> Bundle:
    """Score reals and candidates, keep what the rule keeps, write bundle and pictures, and return the bundle.

    Several processes (`synth.launch`) score a share each.

    Raises `UserError`: whatever the user can mend, before anything is scored.
    """
    for path in (options.out, *_pictures(options.out)):
        require_new(path, force=options.force)
    with joined(options.device) as (ranks, device):
        inputs = _open(options, device)
        selection = _score(inputs, options, ranks)
        bundle = _bundle(inputs, selection, options)
        return bundle if not ranks.first else _write(inputs, selection, bundle, options)


def _write(inputs: Inputs, selection: Selection, bundle: Bundle, options: SelectOptions) -> Bundle:
    _draw(inputs, selection, bundle, options)
    write_bundle(options.out, bundle)
    _report(inputs, selection, options)
    return bundle


def _open(options: SelectOptions, device: torch.device) -> Inputs:
    candidates, cohort = read_candidates(options.candidates), read_cohort(options.cohort)
    if not candidates.cohort:
        raise UserError(
            f"{options.candidates}: drawn by a network that no cohort trained, so no reals set its thresholds; "
            "adapt it by `synth train --start` and draw with that."
        )
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
    reference, control = reference_rows(cohort, candidates.label, candidates.fold, candidates.protocol)
    attach_backbone(trained.networks.D, source)
    extractor = open_extractor(
        options.features,
        "similarity",
        source=source,
        device=device,
        looked_through=trained.looked_through,
    )
    return Inputs(candidates, cohort, trained, extractor, reference, control)


def _score(inputs: Inputs, options: SelectOptions, ranks: Ranks) -> Selection:
    candidates, cohort = inputs.candidates, inputs.cohort
    reals, held_out = np.asarray(cohort.images[inputs.reference]), np.asarray(cohort.images[inputs.control])
    D = inputs.trained.networks.D
    judges = Judges(inputs.extractor, D, candidates.label if D.c_dim else None, options.seed)
    mine = ranks.part(range(len(candidates)))
    images = candidates.images[mine.start : mine.stop]
    with progress("scoring", len(reals) + len(held_out) + len(images), unit="images") as bar:
        reference, (control, part) = score(reals, (held_out, images), judges, bar)
    drawn = ScorePair.joined(ranks.gather(part))
    for scores in (reference, control, drawn):
        if not (np.isfinite(scores.similarity).all() and np.isfinite(scores.discriminator).all()):
            raise UserError(
                f"{inputs.trained.path}: its scores are not finite, so its training diverged; train it again with a "
                "smaller --lr or a larger --gamma."
            )
    thresholds = thresholds_of(reference, options.sigma)
    return Selection(drawn, reference, thresholds, kept_by_rule(drawn, thresholds), kept_by_rule(control, thresholds))


def _bundle(inputs: Inputs, selection: Selection, options: SelectOptions) -> Bundle:
    candidates, cohort, scores = inputs.candidates, inputs.cohort, selection.candidates
    selected = selection.kept[options.rule]
    by_similarity, by_discriminator = passes(scores, selection.thresholds)
    seen_image_id, seen_group_id = _seen(candidates, cohort, np.concatenate([inputs.reference, inputs.control]))
    return Bundle(
        images=np.asarray(candidates.images[np.flatnonzero(selected)]),
        seed=candidates.seed[selected],
        similarity=scores.similarity[selected],
        discriminator=scores.discriminator[selected],
        candidates={
            "seed": candidates.seed,
            "similarity": scores.similarity,
            "discriminator": scores.discriminator,
            "selected": selected,
            "by_similarity": by_similarity,
            "by_discriminator": by_discriminator,
        },
        reference={
            "image_id": cohort.image_id[inputs.reference],
            "similarity": selection.reference.similarity,
            "discriminator": selection.reference.discriminator,
        },
        seen_image_id=seen_image_id,
        seen_group_id=seen_group_id,
        class_name=candidates.class_name,
        label=candidates.label,
        fold=candidates.fold,
        protocol=candidates.protocol,
        rule=options.rule,
        sigma=options.sigma,
        thresholds=asdict(selection.thresholds)
        | {"control": {"n": len(inputs.control), "kept": _counts(selection.control)}},
        generator=candidates.generator,
        quality=candidates.quality,
        features=identity(inputs.extractor) | {"partner_seed": options.seed},
        cohort=candidates.cohort,
    )


def _seen(candidates: Candidates, cohort: Cohort, rows: Rows) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.int64]]:
    """Return id and group of the images that the network saw, and after them those of `rows` that it did not."""
    new = rows[~np.isin(cohort.image_id[rows], candidates.seen_image_id)]
    return (
        np.concatenate([candidates.seen_image_id, cohort.image_id[new]]),
        np.concatenate([candidates.seen_group_id, cohort.group_id[new]]),
    )


def _counts(kept: dict[str, Verdicts]) -> dict[str, int]:
    return {rule: int(verdicts.sum()) for rule, verdicts in kept.items()}


def _pictures(out: Path) -> tuple[Path, Path]:
    return out.with_name(f"{out.stem}_scores.png"), out.with_name(f"{out.stem}_sheet.png")


def _draw(inputs: Inputs, selection: Selection, bundle: Bundle, options: SelectOptions) -> None:
    """Write the score histograms, and the sheet of reals and selected pictures."""
    histograms, sheet = _pictures(options.out)
    labels = {
        "similarity": ("Similarity", f"cosine to the mean real feature ({inputs.extractor.name})"),
        "discriminator": ("Discriminator", "logit (larger = more real)"),
    }
    panels = [
        ScorePanel(
            title=title,
            xlabel=xlabel,
            reals=getattr(selection.reference, name),
            candidates=getattr(selection.candidates, name),
            threshold=getattr(selection.thresholds, name),
            rule=f"mean - {options.sigma:g} sigma of the reals",
        )
        for name, (title, xlabel) in labels.items()
    ]
    counts = f"{len(bundle)} of {len(inputs.candidates)} selected by {options.rule}"
    score_histograms(histograms, panels, title=f"{bundle.class_name}: {counts}")
    rows = [
        (f"real, {len(inputs.reference)} reference images", inputs.cohort.images[_spread(inputs.reference)]),
        (f"synthetic, {counts}", np.asarray(bundle.images)[_spread(np.arange(len(bundle)))]),
    ]
    image_sheet(sheet, rows, title=f"{bundle.class_name}: real and synthetic")


def _spread(rows: Rows) -> Rows:
    """Return at most `SHEET_IMAGES` of `rows`, evenly spread."""
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), SHEET_IMAGES)).round().astype(np.int64)]


def _report(inputs: Inputs, selection: Selection, options: SelectOptions) -> None:
    total, thresholds = len(inputs.candidates), selection.thresholds
    counts, control = _counts(selection.kept), _counts(selection.control)
    say(
        f"thresholds, mean - {options.sigma:g} sigma of {len(inputs.reference)} reals: similarity "
        f"{thresholds.similarity:.4f} ({inputs.extractor.name}), discriminator {thresholds.discriminator:.3f}"
    )
    for rule, count in counts.items():
        held_out = len(inputs.control)
        passed = f"; of {held_out} held-out reals {control[rule]}" if held_out else ""
        chosen = "  <- this rule" if rule == options.rule else ""
        say(f"  {rule:<13} keeps {count} of {total}{passed}{chosen}")
    kept = counts[options.rule]
    if kept <= FEW * total:
        say(f"warning: {kept} of {total} candidates kept; train longer, or give a larger --sigma or --rule union.")
    elif kept >= MANY * total:
        say(f"warning: {kept} of {total} candidates kept, so the filter does nothing; give a smaller --sigma.")
    few, many = sorted((counts["similarity"], counts["discriminator"]))
    if few < DISAGREE * many:
        other = "discriminator" if counts["similarity"] == many else "similarity"
        say(
            f"warning: the two scores disagree, {many} against {few} of {total}: by the {other} score few candidates "
            "are like the reals; look at the sheet, train longer, or give --rule intersection."
        )
    say(f"{options.out}: {kept} images of {inputs.candidates.class_name}")
