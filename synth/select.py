"""Keep the candidates that look and score like the reals and are no copies of them: a bundle, its audit, pictures."""

from dataclasses import asdict

import numpy as np
import numpy.typing as npt

from shared.bundle import Bundle, Candidates, read_bundle, write_bundle
from shared.cohort import Cohort
from shared.columns import Array
from shared.console import say
from shared.errors import UserError
from shared.files import require_new
from shared.progress import progress
from shared.splits import partners
from shared.stored import MadeImages, read_rows
from synth.choices import TYPICAL
from synth.scores.features import provenance
from synth.selecting.audit import Audit, audit
from synth.selecting.audit_page import pages, write_pages
from synth.selecting.doubts import control_part
from synth.selecting.memorization import gate_of, is_copy
from synth.selecting.options import SelectOptions
from synth.selecting.scored import Inputs, Scored, open_inputs, score_all
from synth.selecting.scoring import Rows
from synth.selecting.selection import RULES, Verdicts, passes
from synth.selecting.verdict import Choice, choose
from synth.training.launch import joined

WRITE_AT_ONCE = 64


def select(options: SelectOptions) -> Bundle:
    """Score reals and candidates, keep what the rule keeps, write bundle, audit and pictures, and return the bundle.

    Several processes (`synth.training.launch`) score a share each.

    Raises `UserError`: whatever the user can mend, before anything is scored; and when the images may not be passed on
    though that is required.
    """
    for path in (options.out, *pages(options.out)):
        require_new(path, force=options.force, inputs=[options.candidates, options.cohort, options.network])
    with joined(options.device) as (ranks, device):
        inputs = open_inputs(options, device)
        scored = score_all(inputs, options, ranks)
        return ranks.from_first(lambda: _conclude(inputs, scored, options))


def _conclude(inputs: Inputs, scored: Scored, options: SelectOptions) -> Bundle:
    """Choose, look at what came of it, and write everything."""
    gate = gate_of(scored.originals, options.gate)
    by = passes(scored.judged.scores, scored.thresholds)
    passing = int((RULES[options.rule](by) & ~is_copy(scored.judged.distance, scored.judged.same, gate)).sum())
    with progress("looking for twins", passing, unit="images") as bar:
        choice = choose(
            inputs.candidates.images,
            scored.judged,
            by,
            scored.thresholds,
            scored.pool,
            rule=options.rule,
            gate=gate,
            keep=options.keep,
            bar=bar,
        )
    found = audit(inputs, scored, choice, options, gate)
    if options.require_shareable and not found.shareable:
        raise UserError(
            f"--require-shareable: {found.reason}; no bundle is written; leave the option out to see the audit."
        )
    for page in pages(options.out):  # those of an older bundle must not stand beside the new one
        page.unlink(missing_ok=True)
    write_bundle(options.out, _bundle(inputs, scored, choice, found, options))
    write_pages(inputs, scored, choice, found, options)
    _report(inputs, scored, choice, found, options)
    return read_bundle(options.out)


def _bundle(inputs: Inputs, scored: Scored, choice: Choice, found: Audit, options: SelectOptions) -> Bundle:
    candidates, cohort, scores, rows = inputs.candidates, inputs.cohort, scored.judged.scores, choice.rows
    looked_at = np.concatenate([inputs.reference, inputs.control, inputs.parts.rows])
    seen_image_id, seen_group_id = _seen(candidates, cohort, np.unique(looked_at))
    return Bundle(
        images=MadeImages(
            (len(rows), *candidates.images.shape[1:]),
            lambda places: read_rows(candidates.images, rows[places]),
            WRITE_AT_ONCE,
        ),
        seed=candidates.seed[rows],
        similarity=scores.similarity[rows],
        discriminator=scores.discriminator[rows],
        candidates=_columns(inputs, scored, choice, options, seen_image_id),
        reference={
            "image_id": cohort.image_id[inputs.reference],
            "similarity": scored.reference.similarity,
            "discriminator": scored.reference.discriminator,
            "typicality": scored.reference.typicality,
        },
        seen_image_id=seen_image_id,
        seen_group_id=seen_group_id,
        class_name=candidates.class_name,
        label=candidates.label,
        fold=candidates.fold,
        protocol=candidates.protocol,
        rule=options.rule,
        sigma=options.sigma,
        thresholds=asdict(scored.thresholds)
        | {"reference": options.reference, "control": {"n": len(inputs.control), "kept": _counts(scored.control_kept)}},
        generator=candidates.generator,
        quality=candidates.quality,
        features=provenance(inputs.extractor) | {"partner_seed": options.seed},
        cohort=candidates.cohort,
        shareable=found.shareable,
        shareable_reason=found.reason,
        memorization=found.memorization,
        audit=found.as_json(),
    )


def _columns(
    inputs: Inputs, scored: Scored, choice: Choice, options: SelectOptions, seen_image_id: npt.NDArray[np.str_]
) -> dict[str, npt.NDArray[np.generic]]:
    """Return what a bundle says of every candidate; its nearest photograph is a row of `seen/`."""
    judged, originals = scored.judged, scored.originals
    place = {name: row for row, name in enumerate(seen_image_id.tolist())}
    photographs = np.array([place[name] for name in inputs.cohort.image_id[originals.parts.rows].tolist()], np.int64)
    columns: dict[str, Array] = {
        "seed": inputs.candidates.seed,
        "similarity": judged.scores.similarity,
        "discriminator": judged.scores.discriminator,
        "typicality": judged.scores.typicality,
        "selected": choice.selected,
        "by_similarity": choice.by.similarity,
        "by_discriminator": choice.by.discriminator,
        "by_typicality": choice.by.typicality,
        "is_copy": choice.copies,
        "is_twin": choice.twins,
        "nearest": photographs[np.where(judged.same >= 0, judged.same, judged.nearest)],
        "nearest_distance": judged.distance,
        "trained_distance": judged.to_trained,
        **({"held_out_distance": judged.to_held_out} if len(originals.parts.held_out) else {}),
        "typology_angle": judged.tone,
    }
    if options.rule == TYPICAL:
        order = np.full(len(judged), -1, np.int64)
        order[choice.rows] = np.arange(len(choice.rows))
        columns["order"] = order
    return columns


def _seen(candidates: Candidates, cohort: Cohort, rows: Rows) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.int64]]:
    """Return id and group of what the network saw, and after it of the groups of `rows` that it did not."""
    rows = np.concatenate([rows, partners(cohort, rows)])
    new = rows[~np.isin(cohort.image_id[rows], candidates.seen_image_id)]
    return (
        np.concatenate([candidates.seen_image_id, cohort.image_id[new]]),
        np.concatenate([candidates.seen_group_id, cohort.group_id[new]]),
    )


def _counts(kept: dict[str, Verdicts]) -> dict[str, int]:
    return {rule: int(verdicts.sum()) for rule, verdicts in kept.items()}


def _report(inputs: Inputs, scored: Scored, choice: Choice, found: Audit, options: SelectOptions) -> None:
    total, thresholds = len(inputs.candidates), scored.thresholds
    counts, control = _counts(scored.kept), _counts(scored.control_kept)
    say(
        f"thresholds, {options.sigma:g} sigma around the mean of {len(inputs.reference)} reals: similarity from "
        f"{thresholds.similarity:.4f} ({inputs.extractor.name}), discriminator from {thresholds.discriminator:.3f}, "
        f"typicality {thresholds.typicality_low:.2f} to {thresholds.typicality_high:.2f}"
    )
    for rule, count in counts.items():
        held_out = len(inputs.control)
        passed = f"; of {held_out} {control_part(options.reference)} reals {control[rule]}" if held_out else ""
        chosen = "  <- this rule" if rule == options.rule else ""
        say(f"  {rule:<19} keeps {count} of {total}{passed}{chosen}")
    say(
        f"copies: {int(choice.copies.sum())} of {total} candidates, nearer than {found.memorization['gate']:.2f} to "
        f"one of {len(scored.originals)} photographs, or the same by their pixels; twins: {int(choice.twins.sum())}"
    )
    if options.keep is not None and len(choice.rows) < options.keep:
        say(f"warning: --keep {options.keep}: no more than {len(choice.rows)} are there.")
    for warning in found.warnings:
        say(f"warning: {warning}")
    say(f"shareable: {'yes' if found.shareable else 'no'}, {found.reason}")
    say(f"{options.out}: {len(choice.rows)} images of {inputs.candidates.class_name}; see {pages(options.out)[0].name}")
