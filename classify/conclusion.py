"""What Table 2 says in plain words: did synthetic images help, by how much, and how sure is that?"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from classify.wording import listed, percent, points, row_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from classify.contrast import Contrast
    from classify.outcome import Measured
    from classify.tables import Row


def conclude(rows: Sequence[Row], against_none: Sequence[Contrast], against_controls: Sequence[Contrast]) -> list[str]:
    """Return a paragraph for each model and protocol that has a test on the balanced set."""
    found = []
    for (label, protocol), group in itertools.groupby(rows, key=lambda row: (row.label, row.key.protocol)):
        tested = [row for row in group if row.balanced is not None]
        if not tested:
            continue
        keys = {row.key for row in tested}
        none = [each for each in against_none if each.row in keys]
        controls = [each for each in against_controls if each.row in keys]
        made = [each for each in none if not each.row.is_control]
        name = label if protocol == "strict" else f"{label}, protocol {protocol}"
        sentences = [f"{name}: {_accuracies(tested)}.", *_of_synthetic(made, len(none)), *_of_controls(none, controls)]
        found.append(" ".join(sentences))
    return found


def _accuracies(rows: Sequence[Row]) -> str:
    baseline = next((row for row in rows if row.key.is_baseline), rows[0])
    others = [row for row in rows if row is not baseline]
    assert baseline.balanced is not None
    first = f"accuracy {_measured(baseline.balanced.measured['accuracy'])} {row_words(baseline.key)}"
    rest = [
        f"{percent(row.balanced.measured['accuracy'].value)} % {row_words(row.key)}"
        for row in others
        if row.balanced is not None
    ]
    images = f" on {baseline.balanced.n} test images"
    return ", ".join([first + images, *rest])


def _measured(measured: Measured) -> str:
    if measured.interval is None:
        return f"{percent(measured.value)} %"
    low, high = measured.interval
    return f"{percent(measured.value)} % (95 % interval {percent(low)} to {percent(high)})"


def _of_synthetic(made: Sequence[Contrast], tests: int) -> list[str]:
    """Say what synthetic images changed against none."""
    if not made:
        return []
    corrected = f", corrected for {tests} comparisons" if tests > 1 else ""
    changes = [f"{row_words(each.row)} {points(each.gain, each.gain_interval)} (p {_p(each.p_holm)})" for each in made]
    better = [row_words(each.row) for each in made if each.is_better]
    worse = [row_words(each.row) for each in made if each.is_worse]
    sentences = [f"Beside that without them, {listed(changes)}{corrected}."]
    if better:
        sentences.append(f"So they helped {listed(better)}, beyond chance.")
    if worse:
        sentences.append(f"So they harmed {listed(worse)}, beyond chance.")
    if not better and not worse:
        sentences.append(f"So no benefit is shown, and no harm{_bounds(made)}.")
    return sentences


def _bounds(made: Sequence[Contrast]) -> str:
    """Say what gains and losses the intervals leave."""
    intervals = [each.gain_interval for each in made if each.gain_interval is not None]
    if not intervals:
        return ""
    most, least = max(high for _, high in intervals), min(low for low, _ in intervals)
    return f": gains above {100 * max(most, 0):.1f} points and losses above {100 * max(-least, 0):.1f} are unlikely"


def _of_controls(none: Sequence[Contrast], controls: Sequence[Contrast]) -> list[str]:
    """Say whether what stands in the place of synthetic images does as well."""
    alone = [each for each in none if each.row.is_control]
    if not alone or not controls:
        return []
    gains = [f"{row_words(each.row)} {points(each.gain, each.gain_interval)}" for each in alone]
    sentences = [f"With the same budget and no synthetic image, {listed(gains)}."]
    beaten = [each for each in controls if each.is_better]
    lost = [each for each in controls if each.is_worse]
    if len(beaten) == len(controls):
        sentences.append("The synthetic images gave more than each of these, beyond chance.")
    elif lost and not beaten:
        sentences.append(
            f"{listed([f'{row_words(e.other)} is better than {row_words(e.row)}' for e in lost]).capitalize()}, "
            "beyond chance."
        )
    else:
        told = [f"{row_words(each.row)} from {each.other.control}" for each in beaten + lost]
        rest = f" but {listed(told)}" if told else ""
        sentences.append(f"Synthetic images cannot be told from these beyond chance{rest}.")
    return sentences


def _p(value: float) -> str:
    return "below 0.001" if value < 0.001 else f"{value:.2g}"
