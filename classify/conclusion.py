"""What Table 2 says in plain words: did synthetic images help, by how much, and how sure is that?"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from classify.registry import model_label
from classify.wording import control_words, listed, p_words, percent, percent_words, points, row_words, signed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from classify.contrast import Contrast
    from classify.gather import RowKey
    from classify.outcome import SetResult
    from classify.tables import Row

BEYOND = "by more than chance explains"


def conclude(rows: Sequence[Row], against_none: Sequence[Contrast], against_controls: Sequence[Contrast]) -> list[str]:
    """Return a paragraph for each model and protocol that has a test on the balanced set."""
    found = []
    for (label, protocol), group in itertools.groupby(rows, key=lambda row: (row.label, row.key.protocol)):
        tested = {row.key: row.balanced for row in group if row.balanced is not None}
        if not tested:
            continue
        none = [each for each in against_none if each.row in tested]
        controls = [each for each in against_controls if each.row in tested]
        name = label if protocol == "strict" else f"{label}, protocol {protocol}"
        sentences = [
            f"{name}{_accuracies(tested)}",
            *_of_synthetic(tested, none),
            *_of_controls(none, controls),
            *_of_brackets(none, len(against_none)),
        ]
        found.append(" ".join(sentences))
    return found


def rank_models(between: Sequence[Contrast]) -> list[str]:
    """Say for each protocol which model does best without synthetic images, and beside which ones that is sure."""
    found = []
    for protocol in dict.fromkeys(each.row.protocol for each in between):
        own = [each for each in between if each.row.protocol == protocol]
        worse = {each.other for each in own if each.gain > 0}
        best = next((each.row for each in own if each.row not in worse), None)
        rivals = [each for each in own if each.row == best]
        if best is None or not rivals:
            continue
        told = [_lead(each) for each in rivals]
        where = "" if protocol == "strict" else f", protocol {protocol}"
        name = model_label(best.model)
        found.append(f"Models without synthetic images{where}: {name} does best, {listed(told)}.{_sure(rivals)}")
    return found


def _lead(contrast: Contrast) -> str:
    low, high = map(signed, contrast.gain_interval)
    lead = f"{100 * contrast.gain:.1f} points above" if contrast.gain > 0 else "and as well as"
    return f"{lead} {model_label(contrast.other.model)} ({low} to {high}, {p_words(contrast.p_holm)})"


def _sure(rivals: Sequence[Contrast]) -> str:
    alike = [model_label(each.other.model) for each in rivals if not each.is_better]
    return f" It cannot be told from {listed(alike)}." if alike else ""


def _accuracies(tested: dict[RowKey, SetResult]) -> str:
    """Say what the rows with and without synthetic images come to, or what there is."""
    shown = {key: result for key, result in tested.items() if not key.is_control} or tested
    numbers = {result.n for result in shown.values()}
    own = "" if len(numbers) > 1 else f", on {next(iter(numbers))} test images"
    said: list[str] = []
    for key, result in shown.items():
        n = f" of {result.n} test images" if len(numbers) > 1 else ""
        said.append(f"{percent_words(result.measured['accuracy'])}{n} {_row_words(key, said)}")
    return f"{own}: accuracy is {listed(said)}."


def _row_words(key: RowKey, before: Sequence[str]) -> str:
    """Return `row_words`, where the first that has synthetic images says so."""
    if key.is_baseline or key.is_control:
        return row_words(key)
    if len(before) > 1:
        return row_words(key)
    return f"with {'them' if before else 'synthetic images'} {row_words(key)}"


def _of_synthetic(tested: dict[RowKey, SetResult], none: Sequence[Contrast]) -> list[str]:
    """Say what synthetic images changed against none."""
    made = [each for each in none if not each.row.is_control]
    if not made:
        if all(key.is_baseline or key.is_control for key in tested):
            return ["No classifier with synthetic images was tested beside it."]
        return ["No classifier without them was tested on the same images, so whether they help is not known."]
    changes = [_gain(each, f", {p_words(each.p_holm)}") for each in made]
    better = [row_words(each.row) for each in made if each.is_better]
    worse = [row_words(each.row) for each in made if each.is_worse]
    unsure = [each for each in made if not each.is_better and not each.is_worse]
    clauses = []
    if better:
        clauses.append(f"synthetic images helped {listed(better)} {BEYOND}")
    if worse:
        clauses.append(f"{'they' if better else 'synthetic images'} did harm {listed(worse)} {BEYOND}")
    if unsure:
        where = f"{listed([row_words(each.row) for each in unsure])} " if len(unsure) < len(made) else ""
        clauses.append(f"{where}neither benefit nor harm is shown: {_bounds(unsure)}")
    return [f"Against training without synthetic images, that is {listed(changes)}.", f"So {'; '.join(clauses)}."]


def _gain(contrast: Contrast, p: str = "") -> str:
    low, high = map(signed, contrast.gain_interval)
    return f"{points(contrast.gain, None)} {row_words(contrast.row)} ({low} to {high}{p})"


def _bounds(made: Sequence[Contrast]) -> str:
    """Say what gains and losses the intervals leave."""
    most = percent(max(each.gain_interval[1] for each in made))
    least = percent(-min(each.gain_interval[0] for each in made))
    gains = f"gains above {most} points" if float(most) > 0 else "any gain"
    losses = f"losses above {least} points" if float(least) > 0 else "any loss"
    return f"{gains} and {losses} are unlikely"


def _of_controls(none: Sequence[Contrast], controls: Sequence[Contrast]) -> list[str]:
    """Say what as much training without synthetic images does, and whether synthetic images do better."""
    alone = [_gain(each) for each in none if each.row.is_control]
    sentences = [f"As much training without synthetic images gives {listed(alone)}."] if alone else []
    for synthetic, where in (("positive", ""), ("both", " in both classes")):
        own = [each for each in controls if each.row.synthetic == synthetic]
        beaten = [_other(each) for each in own if each.is_better]
        lost = [_other(each) for each in own if each.is_worse]
        alike = [_other(each) for each in own if not each.is_better and not each.is_worse]
        for found, words in ((beaten, "better"), (lost, "worse")):
            if found:
                sentences.append(f"Synthetic images{where} did {words} than {listed(found)} {BEYOND}.")
        if alike:
            words = "did neither better nor worse than"
            sentences.append(f"Synthetic images{where} {words} {listed(alike)}, as far as can be told.")
    doubtful = _doubtful(none, controls)
    if doubtful:
        sentences.append(f"So the benefit {listed(doubtful)} may come from longer training, and not from the images.")
    return sentences


def _other(contrast: Contrast) -> str:
    return f"{control_words(contrast.other)} at {contrast.other.ratio}"


def _doubtful(none: Sequence[Contrast], controls: Sequence[Contrast]) -> list[str]:
    """Return the rows that are better than none, and no better than any of their controls."""
    controlled = {each.row for each in controls}
    proven = {each.row for each in controls if each.is_better}
    return [row_words(each.row) for each in none if each.is_better and each.row in controlled - proven]


def _of_brackets(none: Sequence[Contrast], tests: int) -> list[str]:
    if not none:
        return ["(In brackets: 95 % intervals.)"]
    corrected = f", corrected for {tests} comparisons" if tests > 1 else ""
    return [f"(In brackets: 95 % intervals. p: McNemar's exact test{corrected}.)"]
