"""The audit of a selection for people who read: a page in Markdown beside the bundle, with its pictures."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import numpy as np

from shared.document import escaped
from shared.files import write_text
from synth.choices import TYPICAL
from synth.selecting.audit import Audit
from synth.selecting.audit_pictures import draw_pictures, pictures
from synth.selecting.doubts import control_part
from synth.selecting.options import SelectOptions
from synth.selecting.scored import Inputs, Scored
from synth.selecting.verdict import Choice

LISTED = 50  # copies, by their seeds
EMPTY = "–"
KEEP = "Some of them show photographs of patients: keep them where these are."
PHOTOGRAPH = "photograph"  # column of the table of copies that names files


def pages(out: Path) -> tuple[Path, ...]:
    """Return the page and the pictures of a bundle at `out`."""
    return out.with_name(f"{out.stem}_audit.md"), *pictures(out)


def write_pages(inputs: Inputs, scored: Scored, choice: Choice, found: Audit, options: SelectOptions) -> None:
    """Write page and pictures, each whole or not at all."""
    draw_pictures(inputs, scored, choice, found, options)
    write_text(pages(options.out)[0], render(inputs, scored, choice, found, options))


def render(inputs: Inputs, scored: Scored, choice: Choice, found: Audit, options: SelectOptions) -> str:
    """Return the page."""
    histograms, sheet, borders, copies = (quote(path.name) for path in pictures(options.out))
    candidates, counts = inputs.candidates, found.counts
    kept = f"**{counts['kept']} of {counts['candidates']}** candidates of {escaped(candidates.class_name)}"
    lines = [
        f"# Audit of {escaped(options.out.name)}",
        "",
        f"{kept} are kept by the rule *{options.rule}* at {options.sigma:g} sigma of {len(inputs.reference)} "
        f"photographs (the {options.reference} part), in the features of {inputs.extractor.name} "
        f"({inputs.extractor.layer}){_without_copies(counts)}. "
        f"Shareable: **{'yes' if found.shareable else 'no'}**, {escaped(found.reason)}.",
        "",
        *(f"- Warning: {escaped(warning)}" for warning in found.warnings),
        *([""] if found.warnings else []),
        *_rules(inputs, scored, found, options),
        *_copies_section(found, copies),
        *_copies_listed(inputs, scored, choice),
        *_diversity(found),
        *_mix(found),
        "## Pictures",
        "",
        KEEP,
        "",
        f"![Scores of reals and candidates, with thresholds]({histograms})",
        "",
        f"![Real and selected synthetic images]({sheet})",
        "",
        f"![Best, borderline and worst candidates by each score]({borders})",
    ]
    return "\n".join(lines) + "\n"


def _without_copies(counts: Mapping[str, int]) -> str:
    """Say that copies are taken out of what the rule keeps, which the table of rules counts with them."""
    return f"; {counts['copies']} candidates are left out as copies of photographs" if counts["copies"] else ""


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
        f"Copies: {counts['copies']}, rejected whatever the rule. These are candidates nearer than "
        f"{memory['gate']:.2f} to one of {memory['photographs']} photographs, turned and mirrored (the "
        f"{100 * memory['quantile']:g} % quantile of the photographs' own distances to the nearest one of another "
        f"patient), or the same by their pixels ({counts['copies_by_pixels']}).",
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
            f"| {_percent(memory['authenticity_of_held_out'])}, of those held out "
            f"| {100 * memory['excess_low']:+.0f} to {100 * memory['excess_high']:+.0f} points |",
            "",
        ]
        lines += [
            "Of a generator that knows the disease and no photograph, the candidates and photographs in their place "
            "show the same. One that leans on its photographs is *nearer to those trained on* more often than these. "
            "Authentic is what is farther from its nearest training photograph than that one is from all others: of "
            "copies nearly none is, of images that are unlike all photographs nearly every one.",
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
    lines = [f"| seed | distance | by its pixels | {PHOTOGRAPH} | which was |", "|--:|--:|---|---|---|"]
    for row in rows[:LISTED].tolist():
        photograph = scored.originals.parts.rows[places[row]]
        part = "trained on" if places[row] < scored.originals.trained else "held out"
        by_pixels = "yes" if judged.same[row] >= 0 else "no"
        lines.append(
            f"| {inputs.candidates.seed[row]} | {judged.distance[row]:.2f} | {by_pixels} "
            f"| {escaped(str(inputs.cohort.source_path[photograph]))} | {part} |"
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
            f"| {escaped(line.attribute)} | {escaped(line.value)}{mark} | {line.reals} | {line.candidates} "
            f"| {line.kept} | {share} | {chance} |"
        )
    hidden = ", ".join(map(escaped, found.not_shown))
    return [
        *lines,
        "",
        *([f"Not shown, having too many values or none: {hidden}.", ""] if hidden else []),
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
