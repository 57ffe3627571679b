"""What Table 2 says in plain words: did synthetic images help, by how much, and how sure is that?

A claim without a reserve wants both tests of a contrast: that of the test images, and that of the folds, without which
another training of the same models might undo it.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from classify.registry import model_label
from classify.table2.wording import (
    control_words,
    exact_test,
    listed,
    p_words,
    percent,
    percent_words,
    points,
    row_name,
    row_words,
    signed,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from classify.table2.contrast import Contrast, Contrasts
    from classify.table2.gather import RowKey
    from classify.table2.outcome import SetResult
    from classify.table2.summary import Row

BEYOND = "by more than chance among test images explains"
BEYOND_BOTH = "by more than chance among test images and among trainings explains"
OTHERWISE = "other trainings might change that"


def conclude(rows: Sequence[Row], contrasts: Contrasts) -> list[str]:
    """Return a paragraph for each model and protocol that has a test on the balanced set."""
    found = []
    for (label, protocol), group in itertools.groupby(rows, key=lambda row: (row.label, row.key.protocol)):
        own = [row for row in group if row.balanced is not None]
        tested = {row.key: row.balanced for row in own if row.balanced is not None}
        if not tested:
            continue
        none = [each for each in contrasts.against_none if each.row in tested]
        controls = [each for each in contrasts.against_controls if each.row in tested]
        name = label if protocol == "strict" else f"{label}, protocol {protocol}"
        sentences = [
            f"{name}{_accuracies(tested)}",
            *_of_synthetic(tested, none, contrasts.count),
            *_of_controls(none, controls),
            *_of_epochs(own),
            *_of_both([each for each in contrasts.against_positive if each.row in tested]),
            *_of_shortcut(own),
            *_of_leaks(own),
            *_of_brackets(none, contrasts.count),
        ]
        found.append(" ".join(sentences))
    return found


def headline(rows: Sequence[Row], contrasts: Contrasts) -> str:
    """Return the answer in a sentence or two: what is sure of other images and of other trainings, and what is not.

    Test images that were seen, or that chose the epochs, answer nothing.
    """
    asked = [each for each in contrasts.against_none if not each.row.is_control]
    if not asked:
        return "Whether synthetic images help was not tested here."
    seen = {row.key for row in rows if row.balanced is not None and row.balanced.seen}
    made = [each for each in asked if each.row.protocol == "strict" and not seen & {each.row, each.other}]
    if not made:
        return (
            "Whether synthetic images help cannot be told from this: all test images had been seen before or chose the "
            "epochs."
        )
    sure = [each for each in made if each.holds_for_trainings]
    better, worse = ([each for each in sure if getattr(each, name)] for name in ("is_better", "is_worse"))
    said = [
        f"{did} {listed([f'{_at(each.row)} ({points(each.gain, None)})' for each in found])}"
        for did, found in (("helped", better), ("did harm to", worse))
        if found
    ]
    left, count = len(made) - len(better) - len(worse), len(made)
    without = f" ({len(asked) - count} more were on test images that had been seen before or chose the epochs.)"
    without = without if len(asked) > count else ""
    if not said:
        comparisons = "the one comparison" if count == 1 else f"any of {count} comparisons"
        shown = f"Neither benefit nor harm of synthetic images is shown in {comparisons} with training without them."
        return shown + without
    rest = f"; in {left} of {count} comparisons neither is shown" if left else ""
    sentence = f"Synthetic images {' and '.join(said)}, beyond chance among test images and among trainings{rest}."
    return " ".join([sentence, *_reserves(better, contrasts.against_controls)]) + without


def _reserves(better: Sequence[Contrast], controls: Sequence[Contrast]) -> list[str]:
    """Say which benefit has not been shown to be more than what a control gives, or was not held against any."""
    said = []
    for each in better:
        own = [control for control in controls if control.row == each.row]
        rivals = [control_words(control.other) for control in own if not control.is_better]
        if not own:
            said.append(f"{_at(each.row)} was not compared with as much training without synthetic images.")
        elif rivals:
            said.append(f"The benefit for {_at(each.row)} may be one that {_give(rivals)} as well.")
    return said


def _at(row: RowKey) -> str:
    return row_name(row, " at ")


def _give(rivals: Sequence[str]) -> str:
    return f"{listed(rivals)} {'gives' if len(rivals) == 1 else 'give'}"


def rank_models(contrasts: Contrasts) -> list[str]:
    """Say for each protocol which model does best without synthetic images, and beside which ones that is sure."""
    between, found = contrasts.between_models, []
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
        sentences = [f"Models without synthetic images{where}: {name} does best, {listed(told)}.", *_sure(rivals)]
        probed = [each for each in contrasts.against_probe if each.row.protocol == protocol]
        if probed:
            gains = [f"{model_label(each.row.model)} has {_gain(each)}" for each in probed]
            sentences.append(f"Against {model_label(probed[0].other.model)} without them, {listed(gains)}.")
        found.append(" ".join(sentences))
    return found


def _lead(contrast: Contrast) -> str:
    low, high = map(signed, contrast.gain_interval)
    lead = f"{100 * contrast.gain:.1f} points above" if contrast.gain > 0 else "and as well as"
    return f"{lead} {model_label(contrast.other.model)} ({low} to {high}, {_p(contrast)})"


def _sure(rivals: Sequence[Contrast]) -> list[str]:
    alike = [model_label(each.other.model) for each in rivals if not each.is_better]
    open_ = [model_label(each.other.model) for each in rivals if each.is_better and not each.holds_for_trainings]
    sentences = [f"It cannot be told from {listed(alike)}."] if alike else []
    return sentences + ([f"Beside {listed(open_)}, {OTHERWISE}."] if open_ else [])


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


def _of_synthetic(tested: dict[RowKey, SetResult], none: Sequence[Contrast], tests: int) -> list[str]:
    """Say what synthetic images changed against none."""
    made = [each for each in none if not each.row.is_control]
    if not made:
        if all(key.is_baseline or key.is_control for key in tested):
            return ["No classifier with synthetic images was tested beside it."]
        return ["No classifier without them was tested on the same images, so whether they help is not known."]
    unsure = [each for each in made if not each.is_better and not each.is_worse]
    clauses = [
        *_claims([each for each in made if each.is_better], "synthetic images helped", "do better"),
        *_claims([each for each in made if each.is_worse], "synthetic images did harm", "do worse"),
    ]
    if unsure:
        where = f"{_where(unsure)} " if len(unsure) < len(made) else ""
        clauses.append(f"{where}neither benefit nor harm is shown{_bounds(unsure, tests)}")
    changes = [_gain(each) for each in made]
    return [f"Against training without synthetic images, that is {listed(changes)}.", f"So {'; '.join(clauses)}."]


def _claims(found: Sequence[Contrast], did: str, do: str) -> list[str]:
    """Say what is sure of trainings, too, and what of these models alone."""
    lasting = [each for each in found if each.holds_for_trainings]
    others = [each for each in found if not each.holds_for_trainings]
    clauses = [f"{did} {_where(lasting)} {BEYOND_BOTH}"] if lasting else []
    if others:
        clauses.append(f"the models trained with them {_where(others)} {do} {BEYOND}, but {OTHERWISE}")
    return clauses


def _where(found: Sequence[Contrast]) -> str:
    return listed([row_words(each.row) for each in found])


def _gain(contrast: Contrast) -> str:
    low, high = map(signed, contrast.gain_interval)
    return f"{points(contrast.gain, None)} {row_words(contrast.row)} ({low} to {high}, {_p(contrast)})"


def _p(contrast: Contrast) -> str:
    over = "" if contrast.p_folds_holm is None else f"; over trainings {p_words(contrast.p_folds_holm)}"
    return f"{p_words(contrast.p_holm)}{over}"


def _bounds(unsure: Sequence[Contrast], tests: int) -> str:
    """Say which gains and losses the intervals of these models leave."""
    bounded = [each for each in unsure if each.gain_interval[0] <= 0 <= each.gain_interval[1]]
    apart = [each for each in unsure if each not in bounded]
    said = []
    if bounded:
        ends = [
            f"gains above {percent(each.gain_interval[1])} and losses above {percent(-each.gain_interval[0])} points"
            + (f" {row_words(each.row)}" if len(unsure) > 1 else "")
            for each in bounded
        ]
        said.append(f"{listed(ends)} are unlikely on other images")
    if apart:
        said.append(f"the interval {_where(apart)} leaves out zero, as one of {tests} comparisons may by chance")
    return f": {'; '.join(said)}"


def _of_controls(none: Sequence[Contrast], controls: Sequence[Contrast]) -> list[str]:
    """Say what as much training without synthetic images does, and whether synthetic images do better."""
    alone = [_gain(each) for each in none if each.row.is_control]
    sentences = [f"As much training without synthetic images gives {listed(alone)}."] if alone else []
    for synthetic, where in (("positive", ""), ("both", " in both classes")):
        own = [each for each in controls if each.row.synthetic == synthetic]
        better, worse = [each for each in own if each.is_better], [each for each in own if each.is_worse]
        for found, words in ((better, "better"), (worse, "worse")):
            for lasts, beyond in ((True, BEYOND_BOTH), (False, f"{BEYOND}, but {OTHERWISE}")):
                names = [_other(each) for each in found if each.holds_for_trainings == lasts]
                if names:
                    sentences.append(f"Synthetic images{where} did {words} than {listed(names)} {beyond}.")
        alike = [_other(each) for each in own if not each.is_better and not each.is_worse]
        if alike:
            words = "did neither better nor worse than"
            sentences.append(f"Synthetic images{where} {words} {listed(alike)}, as far as can be told.")
    return [*sentences, *_doubts(none, controls)]


def _of_epochs(rows: Sequence[Row]) -> list[str]:
    """Say where more epochs changed nothing, since an epoch was kept that the shorter training kept, too."""
    before = next((set(row.kept_epochs) for row in rows if row.key.is_baseline), set())
    said = []
    for row in rows:
        both = {each[:2] for each in before} & {each[:2] for each in row.kept_epochs}
        same = len(before & set(row.kept_epochs))
        if row.key.control == "epochs" and both and same:
            said.append(f"{same} of {len(both)} ({row.key.ratio})")
    if not said:
        return []
    return [f"In {listed(said)} folds, more epochs ended with the same best epoch, and so with the same model."]


def _other(contrast: Contrast) -> str:
    return f"{control_words(contrast.other)} at {contrast.other.ratio}"


def _doubts(none: Sequence[Contrast], controls: Sequence[Contrast]) -> list[str]:
    """Say which benefit might as well come from what a control has, too."""
    doubts = []
    for each in none:
        rivals = [control_words(c.other) for c in controls if c.row == each.row and not c.is_better]
        if each.is_better and rivals:
            doubts.append(f"the benefit {row_words(each.row)} may be one that {_give(rivals)} as well")
    return [f"So {listed(doubts)}."] if doubts else []


def _of_both(found: Sequence[Contrast]) -> list[str]:
    """Say what synthetic images in both classes change, beside positives alone."""
    if not found:
        return []
    gains = [_gain(each) for each in found]
    return [f"Beside synthetic positives alone, those of both classes give {listed(gains)}."]


def _of_shortcut(rows: Sequence[Row]) -> list[str]:
    told = [row_words(row.key) for row in rows if row.knows_synthetic]
    if not told:
        return []
    return [
        f"The features {listed(told)} tell synthetic from real positives, so looking synthetic could be learnt as a "
        "sign of the disease."
    ]


def _of_leaks(rows: Sequence[Row]) -> list[str]:
    seen = max((row.balanced.seen for row in rows if row.balanced is not None), default=0)
    said = [f"{seen} of these test images had been seen before"] if seen else []
    said += ["the epochs were chosen on these test images"] if any(r.key.protocol == "paper" for r in rows) else []
    return [f"But {listed(said)}, so none of this is to be relied on."] if said else []


def _of_brackets(none: Sequence[Contrast], tests: int) -> list[str]:
    if not none:
        return ["(In brackets: 95 % intervals.)"]
    folds = any(each.p_folds is not None for each in none)
    over = ", and over trainings the corrected t test of the folds" if folds else ""
    corrected = f"; corrected for {tests} comparisons" if tests > 1 else ""
    alone = "" if folds else " One fold tells nothing of other trainings."
    return [f"(In brackets: 95 % intervals, and p: {exact_test(none)}{over}{corrected}.{alone})"]
