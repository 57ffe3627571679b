"""Table 2 as Markdown: the layout of the paper, how sure its figures are, and what it shows in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from classify.figures import CAPTIONS
from classify.registry import model_label
from classify.wording import (
    UNDEFINED,
    listed,
    number_interval,
    p_value,
    percent,
    percent_interval,
    percent_over_folds,
    points,
    ratio_name,
    row_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from classify.contrast import Contrast
    from classify.gather import RowKey
    from classify.outcome import AtThreshold, SetResult
    from classify.presets import Published
    from classify.tables import Row, Table

SHOWN = {"precision": "Precision", "sensitivity": "Sensitivity", "f1": "F1", "accuracy": "Accuracy"}
SHORT = {"precision": "prec.", "sensitivity": "sens.", "f1": "F1", "accuracy": "acc."}  # for consoles of 80 columns
CONSOLE = ("model", "ratio", *SHORT.values(), "paper: acc.")


def render(table: Table, pictures: Mapping[str, str]) -> str:
    """Return the whole document; `pictures` names the figure files that there are."""
    blocks = [
        "# Table 2: classifiers with and without synthetic images",
        *(f"**{warning}**" for warning in table.warnings),
        *table.conclusion,
        "Test metrics in %. Ratios are synthetic:real. `n` counts test images of all folds together; ± is the sample "
        "standard deviation over folds, and one fold has none. The 95 % interval of the accuracy is Wilson's, or that "
        "of a bootstrap over patients or cases where these have several images and it is wider. `External right` "
        "counts an image once, though several models judged it: by the mean of their verdicts.",
        _main_table(table.rows),
        *_contrast_blocks(table),
        *_beyond_blocks(table),
        *_shortcut_blocks(table.rows),
        *_parts_block(table.rows),
        *(f"![{CAPTIONS[name]}]({file})\n\n*{CAPTIONS[name]}*" for name, file in pictures.items()),
        *_cost_blocks(table),
    ]
    if table.missing:
        blocks += ["The paper's rows that were not run here:", _missing_table(table.missing)]
    return "\n\n".join([*blocks, _origin(table)]) + "\n"


def _grid(header: Sequence[str], rows: Iterable[Sequence[str]], left: int) -> str:
    """Return a Markdown table whose first `left` columns are aligned to the left."""
    rule = ["---"] * left + ["---:"] * (len(header) - left)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *rows))


def _main_table(rows: Sequence[Row]) -> str:
    header = ["Model", "Parameters", "Ratio", *SHOWN.values(), "95 % interval", "n", "Folds", "External right"]
    header += [f"Paper: {', '.join(SHOWN.values())}", "Paper: external"]
    return _grid(header, (_cells(row) for row in rows), left=3)


def _cells(row: Row) -> list[str]:
    label, ratio, *ours = _our_cells(row)
    tested = row.balanced
    interval = tested.measured["accuracy"].interval if tested else None
    shown = UNDEFINED if interval is None else f"{percent(interval[0])} to {percent(interval[1])}"
    n = str(tested.n) if tested else UNDEFINED
    rest = [shown, n, _folds(row.balanced or row.external), _external(row.external)]
    return [
        label,
        _parameters(row.parameters),
        ratio,
        *ours,
        *rest,
        _published(row.paper),
        _published_external(row.paper),
    ]


def console_cells(row: Row) -> list[str]:
    """Return a row as the console shows it: label, ratio, four metrics, the paper's accuracy."""
    accuracy = "±".join(_number(value, place) for place, value in enumerate(row.paper.get("accuracy", ())))
    return [*_our_cells(row), accuracy or UNDEFINED]


def _our_cells(row: Row) -> list[str]:
    marks = ("†" if row.allow_seen else "") + ("‡" if row.key.protocol == "paper" else "")
    tested = row.balanced
    metrics = [percent_over_folds(tested.metrics[name]) if tested else UNDEFINED for name in SHOWN]
    return [f"{row.label}{marks}", ratio_name(row.key), *metrics]


def _parameters(counts: Mapping[str, int | None]) -> str:
    def millions(value: int | None) -> str:
        return UNDEFINED if value is None else f"{value / 1e6:.2f} M"

    trained = "all train" if counts["total"] == counts["trainable"] else f"{millions(counts['trainable'])} train"
    original = f"; ImageNet original {millions(counts['imagenet'])}" if counts.get("imagenet") else ""
    return f"{millions(counts['total'])}, {trained}{original}"


def _folds(result: SetResult | None) -> str:
    if result is None:
        return UNDEFINED
    folds = str(len(result.folds)) if len(result.folds) > 1 else f"1 (fold {result.folds[0]})"
    return folds if len(result.seeds) == 1 else f"{folds}, {len(result.seeds)} seeds"


def _external(result: SetResult | None) -> str:
    """Return how many external images are right; an image that several models judged counts once, by their mean."""
    accuracy = None if result is None else result.measured["accuracy"].value
    if result is None or accuracy is None:
        return UNDEFINED
    right = round(accuracy * result.n, 1)  # not whole where models differ
    return f"{right:g}/{result.n}, {percent_interval(result.measured['accuracy'])}"


def _published(paper: Mapping[str, Published]) -> str:
    if not any(name in paper for name in SHOWN):
        return UNDEFINED
    return ", ".join("±".join(_number(v, i) for i, v in enumerate(paper[name])) for name in SHOWN)


def _number(value: float, place: int) -> str:
    return f"{value:g}" if place else f"{value:.1f}"


def _published_external(paper: Mapping[str, Published]) -> str:
    if "external" not in paper:
        return UNDEFINED
    right, n = paper["external"]
    return f"{right:.0f}/{n:.0f} ({percent(right / n)})"


def _contrast_blocks(table: Table) -> list[str]:
    of, blocks = table.contrasts, []
    for title, found in (
        ("**Against the same model without synthetic images**, on the same test images:", of.against_none),
        ("**Synthetic images against what stands in their place**, with the same budget:", of.against_controls),
        ("**Synthetic images in both classes against positives alone**:", of.against_positive),
        ("**Models against each other**, without synthetic images, on the same test images:", of.between_models),
        ("**With synthetic images against the linear probe without them**:", of.against_probe),
    ):
        if found:
            blocks += [title, _contrast_table(found)]
    if blocks:
        several = max(each.seeds for family in vars(of).values() for each in family) > 1
        signs = ", or with several seeds the same test of an image's mean verdict" if several else ""
        blocks.append(
            "Gains are in accuracy, with 95 % intervals for these models on other images: Newcombe's for pairs, or "
            "that of a bootstrap over patients or cases where it goes further. *only this* and *only that* count the "
            f"images that one of the two gets right; McNemar's exact test{signs} asks whether they are as many. That "
            "says nothing of other trainings: p (folds), the corrected resampled t test (Nadeau and Bengio, 2003), "
            "asks what these would change, and with few folds finds large differences only. Holm's method corrects "
            f"either for all {of.count} comparisons."
        )
    return blocks


def _contrast_table(found: Sequence[Contrast]) -> str:
    header = ["Row", "against", "n", "Gain", "only this", "only that", "p (McNemar)", "by Holm", "p (folds)", "by Holm"]
    header.append("Gain in AUC")
    rows = (
        [
            row_name(each.row),
            ratio_name(each.other) if each.other.model == each.row.model else row_name(each.other),
            str(each.n),
            points(each.gain, each.gain_interval),
            f"{round(each.only_row_right, 1):g}",
            f"{round(each.only_other_right, 1):g}",
            *map(p_value, (each.p, each.p_holm, each.p_folds, each.p_folds_holm)),
            UNDEFINED if each.auc_gain is None else points(each.auc_gain, each.auc_interval),
        ]
        for each in found
    )
    return _grid(header, rows, left=2)


def _beyond_blocks(table: Table) -> list[str]:
    tested = [row for row in table.rows if row.balanced is not None]
    if not tested:
        return []
    asked = 100 * table.operating.sensitivity
    return [
        "**Beyond accuracy**, on the balanced test set:",
        _grid(
            ["Row", "Precision", "F1", "TP", "FP", "TN", "FN", "Patients or cases"],
            (_count_cells(row.key, row.balanced) for row in tested if row.balanced is not None),
            left=1,
        ),
        "In %, and counts of all models together. Patients or cases are what the bootstrap draws.",
        _grid(
            ["Row", "AUC", "Average precision", "Brier", "after T", "Calibration error", "after T", "T"],
            (_probability_cells(row.key, row.balanced) for row in tested if row.balanced is not None),
            left=1,
        ),
        "AUC and average precision are means over models, since scores of different models have no common scale. T "
        "is the mean temperature that each model's validation images give; the calibration error of few images is "
        "never 0. An interval without width says that these images leave nothing to vary, not that the value is sure.",
        f"**At a threshold**: the likelier class, and what finds {asked:g} % of a model's validation positives. A "
        "balanced test set flatters the precision, so here it stands as it would be where so many have the disease "
        "(`--prevalence`):",
        _grid(
            ["Row", "Verdict", "Sensitivity", "Specificity"]
            + [f"Precision at {100 * each:g} %" for each in table.operating.prevalence],
            (
                [row_name(row.key), name, *_threshold_cells(at)]
                for row in tested
                if row.balanced is not None
                for name, at in zip(
                    ("likelier class", f"finds {asked:g} %"), row.balanced.at_threshold.values(), strict=True
                )
            ),
            left=2,
        ),
    ]


def _count_cells(key: RowKey, result: SetResult) -> list[str]:
    counts = result.confusion
    shares = [percent_interval(result.measured[name]) for name in ("precision", "f1")]
    return [row_name(key), *shares, *map(str, (counts.tp, counts.fp, counts.tn, counts.fn, result.groups))]


def _probability_cells(key: RowKey, result: SetResult) -> list[str]:
    measured = result.measured
    names = ("auc", "average_precision", "brier", "brier_calibrated")
    errors = ("calibration_error", "calibration_error_calibrated")
    shown = [number_interval(measured[name]) for name in (*names, *errors)]
    return [row_name(key), *shown, f"{result.temperature:.2f}"]


def _threshold_cells(at: AtThreshold) -> list[str]:
    shares = [percent_interval(each) for _, each in at.precision]
    return [percent_interval(at.sensitivity), percent_interval(at.specificity), *shares]


def _shortcut_blocks(rows: Sequence[Row]) -> list[str]:
    probed = [row for row in rows if row.synthetic_probe is not None or row.source_probe is not None]
    if not probed:
        return []
    header = ["Row", "synthetic or real positive", "external or study negative"]
    cells = (
        [
            row_name(row.key),
            *(UNDEFINED if p is None else number_interval(p, 2) for p in (row.synthetic_probe, row.source_probe)),
        ]
        for row in probed
    )
    blocks = [
        "**Shortcut checks.** AUC of a linear probe on what the classifier's last layer sees, on images that the probe "
        "was not fitted on (mean over models); 0.5 is chance:",
        _grid(header, cells, left=1),
    ]
    told = [row_name(row.key, " at ") for row in probed if row.knows_synthetic]
    if told:
        blocks.append(
            f"The features of {listed(told)} tell synthetic from real positives. Only positives are synthetic there, "
            'so "looks synthetic" could be learnt as "has the disease", which no test image rewards; synthetic images '
            "in both classes (`--synthetic both`) take that away."
        )
    return blocks


def _parts_block(rows: Sequence[Row]) -> list[str]:
    shown = [(row, part) for row in rows if row.balanced for part in row.balanced.parts]
    hidden = max((row.balanced.hidden_parts for row in rows if row.balanced), default=0)
    if not shown and not hidden:
        return []
    values = "1 value has" if hidden == 1 else f"{hidden} values have"
    few = f" {values} too few images to say anything, and {'is' if hidden == 1 else 'are'} left out." if hidden else ""
    cells = (
        [row_name(row.key), part.attribute, part.value, str(part.n), percent_interval(part.accuracy)]
        for row, part in shown
    )
    return [
        f"**By attribute.**{few}",
        *([_grid(["Row", "Attribute", "Value", "n", "Accuracy"], cells, left=3)] if shown else []),
    ]


def _cost_blocks(table: Table) -> list[str]:
    header = ["Row", "Training, s a model", "Epochs", "Validation", "Test", "Test, ms an image", "Peak memory, MiB"]
    header += ["Parameters", "of these train"]
    return [
        "**Cost, and validation beside test** (the paper's Table 6; time an image is its Equation 8: test time / "
        "images). Validation is the accuracy of the kept epochs; under protocol strict it chose them, so it is a "
        "little too good. Peak memory is the most that the process held during the training (on a GPU: its "
        "tensors):",
        _grid(header, (_cost_cells(row) for row in table.rows), left=1),
    ]


def _cost_cells(row: Row) -> list[str]:
    def number(value: float | None, scale: float, digits: int) -> str:
        return UNDEFINED if value is None else f"{value * scale:,.{digits}f}"

    accuracy = row.balanced.metrics["accuracy"] if row.balanced else None
    return [
        row_name(row.key),
        number(row.train_s, 1, 0),
        number(row.epochs, 1, 0),
        percent(row.validation),
        percent(accuracy.mean if accuracy else None),
        number(row.image_s, 1000, 1),
        number(row.peak_bytes, 2**-20, 0),
        number(row.parameters["total"], 1, 0),
        number(row.parameters["trainable"], 1, 0),
    ]


def _missing_table(missing: Mapping[tuple[str, str], Mapping[str, Published]]) -> str:
    header = ["Model", "Ratio", f"Paper: {', '.join(SHOWN.values())}", "Paper: external"]
    rows = ([model_label(m), ratio, _published(v), _published_external(v)] for (m, ratio), v in missing.items())
    return _grid(header, rows, left=2)


def _origin(table: Table) -> str:
    """Return seeds, devices, versions, commits and the command as one paragraph: the paper's Table 5."""
    commits: dict[str, list[str]] = {}
    for each in table.environments:
        versions = ", ".join(f"{name} {version}" for name, version in each["versions"].items())
        where = f"device {each['device']}, Python {each['python']}, {each['platform']}, {versions}"
        commits.setdefault(where, []).append(_short_commit(each["commit"]))
    lines = [f"{where}, commit {', '.join(found)}" for where, found in commits.items()]
    results = [each for row in table.rows for each in (row.balanced, row.external) if each is not None]
    seeds = sorted({seed for each in results for seed in each.seeds})
    named = f"seed{'' if len(seeds) == 1 else 's'} {', '.join(map(str, seeds))}"
    machines = "; ".join(map(_machine, table.hardware))
    return (
        f"Environment (the paper's Table 5): tested on {machines}; {named}; fitted and tested with "
        f"{'; and '.join(lines)}. Printed by `{table.command}`."
    )


def _machine(hardware: Mapping[str, Any]) -> str:
    known = {"threads": "threads", "memory_gib": "GiB"}
    parts = [f"{hardware[name]:g} {unit}" for name, unit in known.items() if hardware[name] is not None]
    return ", ".join([hardware["processor"], *parts])


def _short_commit(commit: str | None) -> str:
    if not commit:
        return "unknown"
    digits, _, state = commit.partition("-")
    return digits[:12] + (f"-{state}" if state else "")
