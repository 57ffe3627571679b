"""The pictures of a selection: scores, real beside selected, best and worst, and the nearest photographs.

They show photographs of patients: they are not to be passed on, even where the bundle may be.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from shared.plots import ScorePanel, image_sheet, score_histograms
from shared.stored import read_rows
from synth.scores.quality import Images
from synth.selecting.audit import Audit
from synth.selecting.options import SelectOptions
from synth.selecting.scored import Inputs, Scored
from synth.selecting.scoring import Rows
from synth.selecting.verdict import Choice

SHEET_IMAGES = 20
A_LINE = 10  # pictures
PAIRS = 15


def pictures(out: Path) -> tuple[Path, Path, Path, Path]:
    """Return the pictures of a bundle at `out`: scores, sheet, borders, copies."""
    scores, sheet, borders, copies = (
        out.with_name(f"{out.stem}_{name}.png") for name in ("scores", "sheet", "borders", "copies")
    )
    return scores, sheet, borders, copies


def draw_pictures(inputs: Inputs, scored: Scored, choice: Choice, found: Audit, options: SelectOptions) -> None:
    """Write the pictures, each whole or not at all."""
    histograms, sheet, borders, copies = pictures(options.out)
    counts = f"{len(choice.rows)} of {len(inputs.candidates)} selected by {options.rule}"
    title = f"{inputs.candidates.class_name}: {counts}"
    score_histograms(histograms, _panels(inputs, scored, options), title=title)
    _draw_sheet(sheet, inputs, choice, counts)
    _draw_borders(borders, inputs, scored)
    _draw_copies(copies, inputs, scored, choice, found)


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
    """Draw for each score the best candidates, those on either side of its threshold, and the worst."""
    blocks = []
    for name, panel in scores_in_order(scored).items():
        blocks += [(f"{name}: {which}", read_rows(inputs.candidates.images, rows)) for which, rows in panel.items()]
    image_sheet(path, blocks, columns=A_LINE, title=f"{inputs.candidates.class_name}: best, borderline and worst")


def scores_in_order(scored: Scored) -> dict[str, dict[str, Rows]]:
    """Return the rows of some candidates that are best, nearest to the threshold and worst by each score, in words.

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
    return {name: _in_order(value) for name, value in above.items()}


def _in_order(above: npt.NDArray[np.float64]) -> dict[str, Rows]:
    """Return some rows in words, of candidates that are so far above a threshold: those from 0 on are kept."""
    order = np.argsort(-above, kind="stable")
    kept, rejected = order[above[order] >= 0], order[above[order] < 0]
    last, first = kept[-A_LINE // 2 :], rejected[: A_LINE // 2]
    return {
        "best": order[:A_LINE],
        f"the last {len(last)} that pass": last,
        f"the first {len(first)} that do not": first,
        "worst": order[::-1][:A_LINE],
    }


def _draw_copies(path: Path, inputs: Inputs, scored: Scored, choice: Choice, found: Audit) -> None:
    """Draw candidates beside their nearest photographs: those that are copies, and the nearest of those selected."""
    judged = scored.judged
    groups = {
        f"copies, rejected ({int(choice.copies.sum())} in all)": np.flatnonzero(choice.copies),
        f"nearest of {len(choice.rows)} selected": choice.rows,
    }
    blocks = []
    for name, rows in groups.items():
        shown = rows[np.argsort(judged.distance[rows], kind="stable")[:PAIRS]]
        first = f", the first {len(shown)}" if len(shown) < len(rows) else ""
        label = f"{name}{first}: each left of its photograph"
        blocks.append((label, _pairs(inputs, scored, shown)))
    gate = found.memorization["gate"]
    image_sheet(path, blocks, columns=A_LINE, title=f"Copies: nearer than {gate:.2f}, or the same pixels")


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
