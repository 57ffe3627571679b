"""The audit of a selection for people who read and look: a page in Markdown, and pictures beside the bundle.

The pictures show photographs of patients: they are not to be passed on, even where the bundle may be.
"""

import re
from pathlib import Path

import numpy as np

from shared.files import write_text
from shared.plots import ScorePanel, image_sheet, score_histograms
from shared.stored import read_rows
from synth.audit import Audit, control_part
from synth.quality import Images
from synth.scored import Inputs, Scored
from synth.scoring import Rows
from synth.select_options import SelectOptions
from synth.selection import TYPICAL
from synth.verdict import Choice

SHEET_IMAGES = 20
A_LINE = 10  # pictures
PAIRS = 15
LISTED = 50  # copies, by their seeds
EMPTY = "–"


def pages(out: Path) -> tuple[Path, ...]:
    """Return the page and the pictures of a bundle at `out`: audit, scores, sheet, borders, copies."""
    names = ("audit.md", "scores.png", "sheet.png", "borders.png", "copies.png")
    return tuple(out.with_name(f"{out.stem}_{name}") for name in names)


def write_pages(inputs: Inputs, scored: Scored, choice: Choice, found: Audit, options: SelectOptions) -> None:
    """Write page and pictures, each whole or not at all."""
    page, histograms, sheet, borders, copies = pages(options.out)
    counts = f"{len(choice.rows)} of {len(inputs.candidates)} selected by {options.rule}"
    title = f"{inputs.candidates.class_name}: {counts}"
    score_histograms(histograms, _panels(inputs, scored, options), title=title)
    _draw_sheet(sheet, inputs, choice, counts)
    _draw_borders(borders, inputs, scored)
    _draw_copies(copies, inputs, scored, choice, found)
    write_text(page, render(inputs, scored, choice, found, options))


def _panels(inputs: Inputs, scored: Scored, options: SelectOptions) -> list[ScorePanel]:
    space, limits = inputs.extractor.name, scored.thresholds
    of_reals = f"{options.sigma:g} sigma of the reals"
    columns = {
        "similarity": (f"cosine to the mean real feature ({space})", limits.similarity, None, f"mean - {of_reals}"),
        "discriminator": ("logit (larger = more real)", limits.discriminator, None, f"mean - {of_reals}"),
        "typicality": (
            f"mean distance to the nearest reals ({space})",
            limits.typicality_low,
            limits.typicality_high,
            f"mean ± {of_reals}",
        ),
    }
    return [
        ScorePanel(
            title=name.capitalize(),
            xlabel=xlabel,
            reals=getattr(scored.reference, name),
            candidates=getattr(scored.judged.scores, name),
            threshold=low,
            upper=high,
            rule=rule,
        )
        for name, (xlabel, low, high, rule) in columns.items()
    ]


def _draw_sheet(path: Path, inputs: Inputs, choice: Choice, counts: str) -> None:
    rows = [
        (f"real, {len(inputs.reference)} reference images", inputs.cohort.images[_spread(inputs.reference)]),
        (f"synthetic, {counts}", read_rows(inputs.candidates.images, _spread(choice.rows))),
    ]
    image_sheet(path, rows, title=f"{inputs.candidates.class_name}: real and synthetic")


def _draw_borders(path: Path, inputs: Inputs, scored: Scored) -> None:
    """Draw for each score the best candidates, those nearest to its threshold, and the worst."""
    blocks = []
    for name, panel in scores_in_order(scored).items():
        blocks += [(f"{name}: {which}", read_rows(inputs.candidates.images, rows)) for which, rows in panel.items()]
    image_sheet(path, blocks, columns=A_LINE, title=f"{inputs.candidates.class_name}: best, borderline and worst")


def scores_in_order(scored: Scored) -> dict[str, dict[str, Rows]]:
    """Return the rows of some candidates that are best, nearest to the threshold and worst by each score.

    Of typicality the best are in the middle of its range, and the worst farthest from it, on either side.
    """
    limits, scores = scored.thresholds, scored.judged.scores
    middle = (limits.typicality_low + limits.typicality_high) / 2
    half = (limits.typicality_high - limits.typicality_low) / 2
    above = {
        "similarity": np.asarray(scores.similarity, np.float64) - limits.similarity,
        "discriminator": np.asarray(scores.discriminator, np.float64) - limits.discriminator,
        "typicality": half - np.abs(np.asarray(scores.typicality, np.float64) - middle),
    }
    return {
        name: {
            "best": np.argsort(-value, kind="stable")[:A_LINE],
            "borderline": np.argsort(np.abs(value), kind="stable")[:A_LINE],
            "worst": np.argsort(value, kind="stable")[:A_LINE],
        }
        for name, value in above.items()
    }


def _draw_copies(path: Path, inputs: Inputs, scored: Scored, choice: Choice, found: Audit) -> None:
    """Draw candidates beside their nearest photographs: those that are copies, and the nearest of those selected."""
    judged = scored.judged
    groups = {
        f"copies, rejected ({int(choice.copies.sum())} in all)": np.flatnonzero(choice.copies),
        "nearest of the selected": choice.rows,
    }
    blocks = []
    for name, rows in groups.items():
        shown = rows[np.argsort(judged.distance[rows], kind="stable")[:PAIRS]]
        label = f"{name}: candidate and its nearest photograph, in pairs"
        blocks.append((label, _pairs(inputs, scored, shown)))
    gate = found.memorization["gate"]
    image_sheet(path, blocks, columns=A_LINE, title=f"Nearest photographs; copies are nearer than {gate:.2f}")


def _pairs(inputs: Inputs, scored: Scored, rows: Rows) -> Images:
    """Return candidate, photograph, candidate, photograph, …: uint8 [2 N, S, S, 3]."""
    judged = scored.judged
    places = np.where(judged.same >= 0, judged.same, judged.nearest)[rows]
    photographs = inputs.cohort.images[scored.originals.parts.rows[places]]
    pairs = np.stack([read_rows(inputs.candidates.images, rows), photographs], axis=1)
    return np.asarray(pairs.reshape(-1, *pairs.shape[2:]))


def _spread(rows: Rows) -> Rows:
    """Return at most `SHEET_IMAGES` of `rows`, evenly spread."""
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), SHEET_IMAGES)).round().astype(np.int64)]


def render(inputs: Inputs, scored: Scored, choice: Choice, found: Audit, options: SelectOptions) -> str:
    """Return the page."""
    _, histograms, sheet, borders, copies = (path.name for path in pages(options.out))
    candidates, counts = inputs.candidates, found.counts
    kept = f"**{counts['kept']} of {counts['candidates']}** candidates of {_cell(candidates.class_name)}"
    lines = [
        f"# Audit of {options.out.name}",
        "",
        f"{kept} are kept by the rule *{options.rule}* at {options.sigma:g} sigma of {len(inputs.reference)} "
        f"photographs (the {options.reference} part), in the features of {inputs.extractor.name} "
        f"({inputs.extractor.layer}). Shareable: **{'yes' if found.shareable else 'no'}**, {found.reason}.",
        "",
        *(f"- Warning: {warning}" for warning in found.warnings),
        *([""] if found.warnings else []),
        *_rules(inputs, scored, found, options),
        *_copies_section(found, copies),
        *_copies_listed(inputs, scored, choice),
        *_diversity(found),
        *_mix(found),
        "## Pictures",
        "",
        "They show photographs of patients: keep them where these are.",
        "",
        f"![Scores of reals and candidates, with thresholds]({histograms})",
        "",
        f"![Real and selected synthetic images]({sheet})",
        "",
        f"![Best, borderline and worst candidates by each score]({borders})",
    ]
    return "\n".join(lines) + "\n"


def _rules(inputs: Inputs, scored: Scored, found: Audit, options: SelectOptions) -> list[str]:
    counts, total, held_out = found.counts, found.counts["candidates"], len(inputs.control)
    control = {rule: int(kept.sum()) for rule, kept in scored.control_kept.items()}
    part = control_part(options.reference)
    rejected = counts["rejected"]
    lines = [
        "## What each rule keeps",
        "",
        f"| rule | of {total} candidates | of {held_out} {part} photographs |",
        "|---|--:|--:|",
    ]
    for rule, count in counts["kept_by_rule"].items():
        name = f"**{rule}**" if rule == options.rule else rule
        lines.append(f"| {name} | {_share(count, total)} | {_share(control[rule], held_out)} |")
    either = rejected["similarity"] + rejected["discriminator"] - rejected["both"]
    return [
        *lines,
        "",
        f"Rejected by similarity: {rejected['similarity']}, by the discriminator: {rejected['discriminator']}, by "
        f"both: {rejected['both']}, by at least one: {either}; by typicality: {rejected['typicality']}. Of what the "
        f"rule keeps, {counts['twins']} twins of earlier images are left out"
        f"{'' if options.rule != TYPICAL else ', and the rest stands in the order in which it was chosen'}. A rule "
        "that rejects many photographs that nobody trained on rejects what is real.",
        "",
    ]


def _copies_section(found: Audit, picture: str) -> list[str]:
    memory, counts = found.memorization, found.counts
    lines = [
        "## Copies of photographs",
        "",
        f"{counts['copies']} candidates are copies, and rejected whatever the rule: nearer than {memory['gate']:.2f} "
        f"to one of {memory['photographs']} photographs, turned and mirrored (the {100 * memory['quantile']:g} % "
        "quantile of the photographs' own distances to the nearest one of another patient), or the same by their "
        f"pixels ({counts['copies_by_pixels']}).",
        "",
    ]
    share = memory["nearer_to_training"]
    if share is None:
        lines += ["Too few photographs were held out to tell whether the generator knows its own by heart.", ""]
    else:
        lines += [
            f"| n = {memory['n']} photographs a side | candidates | photographs in their place | difference |",
            "|---|--:|--:|--:|",
            f"| nearer to those trained on than to those held out | {_percent(share['value'])} "
            f"({_percent(share['low'])} to {_percent(share['high'])}) | {_percent(share['expected'])} "
            f"| {100 * share['excess_low']:+.0f} to {100 * share['excess_high']:+.0f} points |",
            f"| authentic (arXiv:2102.08921) | {_percent(memory['authenticity'])} "
            f"| {_percent(memory['authenticity_of_held_out'])} | |",
            "",
        ]
    return [*lines, f"![Candidates beside their nearest photographs]({picture})", ""]


def _copies_listed(inputs: Inputs, scored: Scored, choice: Choice) -> list[str]:
    """Return a table of the copies, the nearest first."""
    judged, rows = scored.judged, np.flatnonzero(choice.copies)
    if not len(rows):
        return []
    rows = rows[np.argsort(judged.distance[rows], kind="stable")]
    places = np.where(judged.same >= 0, judged.same, judged.nearest)
    lines = ["| seed | distance | by its pixels | photograph | which was |", "|--:|--:|---|---|---|"]
    for row in rows[:LISTED].tolist():
        photograph = scored.originals.parts.rows[places[row]]
        part = "trained on" if places[row] < scored.originals.trained else "held out"
        by_pixels = "yes" if judged.same[row] >= 0 else "no"
        lines.append(
            f"| {inputs.candidates.seed[row]} | {judged.distance[row]:.2f} | {by_pixels} "
            f"| {_cell(str(inputs.cohort.source_path[photograph]))} | {part} |"
        )
    left = len(rows) - LISTED
    return [*lines, "", *([f"And {left} more: `candidates/is_copy` in the bundle.", ""] if left > 0 else [])]


def _diversity(found: Audit) -> list[str]:
    lines = [
        "## Fidelity and diversity",
        "",
        "| images | n | distance | precision | recall | n | Vendi score |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name, each in found.diversity.items():
        numbers = (_number(each.distance, 1), _number(each.precision, 2), _number(each.recall, 2))
        lines.append(f"| {name} | {each.n} | {' | '.join(numbers)} | {each.n_vendi} | {_number(each.vendi, 1)} |")
    return [
        *lines,
        "",
        "Distance, precision and recall are of n images against n photographs (of these one half against the other); "
        "all three change with n. The Vendi score counts how many different images there seem to be "
        "(arXiv:2210.02410).",
        "",
    ]


def _mix(found: Audit) -> list[str]:
    lines = [
        "## Who is in it",
        "",
        "| attribute | value | photographs | candidates | kept | kept of these | p |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for line in found.mix:
        share = EMPTY if not line.candidates else f"{100 * line.kept / line.candidates:.0f} %"
        chance = EMPTY if line.p is None else f"{line.p:.2g}"
        mark = " **left out**" if line.left_out else ""
        lines.append(
            f"| {_cell(line.attribute)} | {_cell(line.value)}{mark} | {line.reals} | {line.candidates} | {line.kept} "
            f"| {share} | {chance} |"
        )
    return [
        *lines,
        "",
        "Generated images have no attributes: each is given those of its nearest photograph, and skin tone is "
        "estimated from the median colour (individual typology angle), which light, camera and inflamed skin change "
        "as much as skin does. p: Fisher's exact test of a class's share kept against all others', after Holm. *Left "
        "out* is kept less than four fifths as often as others.",
        "",
    ]


def _share(count: int, total: int) -> str:
    return EMPTY if not total else f"{count} ({100 * count / total:.0f} %)"


def _percent(value: float | None) -> str:
    return EMPTY if value is None else f"{100 * value:.0f} %"


def _number(value: float | None, digits: int) -> str:
    return EMPTY if value is None else f"{value:.{digits}f}"


def _cell(text: str) -> str:
    """Return a text from a file as it is to be read, within its cell: no mark of Markdown or HTML has an effect."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))
