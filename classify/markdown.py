"""Table 2 as Markdown: the layout of the paper, and what it shows in plain words."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from classify.registry import model_label

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from classify.presets import Published
    from classify.statistics import Spread
    from classify.tables import Row, SetResult, Table

UNDEFINED = "–"
SHOWN = {"precision": "Precision", "sensitivity": "Sensitivity", "f1": "F1", "accuracy": "Accuracy"}
SHORT = {"precision": "prec.", "sensitivity": "sens.", "f1": "F1", "accuracy": "acc."}  # for consoles of 80 columns


def percent(value: float | None) -> str:
    """Return 0..1 as a percentage with one decimal; an en dash when it is undefined."""
    return UNDEFINED if value is None else f"{100 * value:.1f}"


def percent_over_folds(value: Spread | None) -> str:
    """Return the mean in percent, with ± the sample standard deviation where there are several folds."""
    if value is None:
        return UNDEFINED
    return percent(value.mean) + ("" if value.std is None else f"±{100 * value.std:.1f}")


def render(table: Table) -> str:
    """Return the whole document."""
    blocks = [
        "# Table 2: classifiers with and without synthetic images",
        "Test metrics in %. Ratios are synthetic:real. `n` counts test images of all folds together; ± is the sample "
        "standard deviation over folds, and one fold has none.",
        *(f"**{warning}**" for warning in table.warnings),
        _main_table(table.rows),
        *sentences(table.rows),
    ]
    if table.missing:
        blocks += ["The paper's rows that were not run here:", _missing_table(table.missing)]
    return "\n\n".join([*blocks, _origin(table)]) + "\n"


def _grid(header: Sequence[str], rows: Iterable[Sequence[str]], left: int) -> str:
    """Return a Markdown table whose first `left` columns are aligned to the left."""
    rule = ["---"] * left + ["---:"] * (len(header) - left)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *rows))


def _main_table(rows: Sequence[Row]) -> str:
    header = ["Model", "Parameters", "Ratio", *SHOWN.values(), "n", "Folds", "External right"]
    header += [f"Paper: {', '.join(SHOWN.values())}", "Paper: external"]
    return _grid(header, (_cells(row) for row in rows), left=3)


def _cells(row: Row) -> list[str]:
    label, ratio, *ours, n, external = _our_cells(row)
    folds = _folds(row.balanced or row.external)
    paper = [_published(row.paper), _published_external(row.paper)]
    return [label, _parameters(row.parameters), ratio, *ours, n, folds, external, *paper]


def console_cells(row: Row) -> list[str]:
    """Return a row as the console shows it: label, ratio, four metrics, the paper's accuracy."""
    accuracy = "±".join(_number(value, place) for place, value in enumerate(row.paper.get("accuracy", ())))
    return [*_our_cells(row)[:-2], accuracy or UNDEFINED]


def _our_cells(row: Row) -> list[str]:
    marks = ("†" if row.allow_seen else "") + ("‡" if row.protocol == "paper" else "")
    seed = f", seed {row.seed}" if row.seed else ""
    tested = row.balanced
    metrics = [percent_over_folds(tested.metrics[name]) if tested else UNDEFINED for name in SHOWN]
    n = str(tested.n) if tested else UNDEFINED
    return [f"{row.label}{seed}{marks}", row.ratio, *metrics, n, _external(row.external)]


def _parameters(counts: Mapping[str, int | None]) -> str:
    def millions(value: int | None) -> str:
        return UNDEFINED if value is None else f"{value / 1e6:.2f} M"

    trained = "all train" if counts["total"] == counts["trainable"] else f"{millions(counts['trainable'])} train"
    original = f"; ImageNet original {millions(counts['imagenet'])}" if counts.get("imagenet") else ""
    return f"{millions(counts['total'])}, {trained}{original}"


def _folds(result: SetResult | None) -> str:
    if result is None:
        return UNDEFINED
    return str(len(result.folds)) if len(result.folds) > 1 else f"1 (fold {result.folds[0]})"


def _external(result: SetResult | None) -> str:
    if result is None:
        return UNDEFINED
    return f"{result.confusion.right}/{result.n} ({percent_over_folds(result.metrics['accuracy'])})"


def _published(paper: Mapping[str, Published]) -> str:
    return (
        ", ".join("±".join(_number(v, i) for i, v in enumerate(paper[name])) for name in SHOWN) if paper else UNDEFINED
    )


def _number(value: float, place: int) -> str:
    return f"{value:g}" if place else f"{value:.1f}"


def _published_external(paper: Mapping[str, Published]) -> str:
    if "external" not in paper:
        return UNDEFINED
    right, n = paper["external"]
    return f"{right:.0f}/{n:.0f} ({percent(right / n)})"


def _missing_table(missing: Mapping[tuple[str, str], Mapping[str, Published]]) -> str:
    header = ["Model", "Ratio", f"Paper: {', '.join(SHOWN.values())}", "Paper: external"]
    rows = ([model_label(m), ratio, _published(v), _published_external(v)] for (m, ratio), v in missing.items())
    return _grid(header, rows, left=2)


def sentences(rows: Sequence[Row]) -> list[str]:
    """Say for each model what its rows show: accuracy with 95 % intervals, and whether the ratios can be told apart."""
    found = []
    for (label, _, seed), group in itertools.groupby(rows, key=lambda row: (row.label, row.protocol, row.seed)):
        tested = [(row.ratio, row.balanced) for row in group if row.balanced is not None]
        if not tested:
            continue
        parts = [f"{_accuracy(result)} {_at(ratio)}" for ratio, result in tested]
        intro = f"{label}{f', seed {seed}' if seed else ''}: accuracy " + ", ".join(parts)
        found.append(f"{intro} (95 % intervals in brackets). {_verdict(tested)}".rstrip())
    return found


def _at(ratio: str) -> str:
    return "without synthetic images" if ratio == "none" else f"at {ratio}"


def _accuracy(result: SetResult) -> str:
    low, high = result.interval
    return f"{percent(result.confusion.right / result.n)} % [{percent(low)}, {percent(high)}]"


def _verdict(tested: Sequence[tuple[str, SetResult]]) -> str:
    """Compare every ratio with none, by whether their intervals are apart."""
    without = next((result for ratio, result in tested if ratio == "none"), None)
    others = [(ratio, result) for ratio, result in tested if ratio != "none"]
    if without is None or not others:
        return ""
    gains = {ratio: result.confusion.right / result.n - without.confusion.right / without.n for ratio, result in others}
    if not any(gains.values()):
        return f"{_listed([f'at {ratio}' for ratio in gains]).capitalize()} it is the same as without."
    changes = [f"at {ratio} {abs(100 * g):.1f} points {'lower' if g < 0 else 'higher'}" for ratio, g in gains.items()]
    change = f"Beside that without, it is {_listed(changes)}"
    apart = [
        f"at {ratio}"
        for ratio, result in others
        if result.interval[0] > without.interval[1] or result.interval[1] < without.interval[0]
    ]
    if apart:
        return f"{change}; {_listed(apart)} that is more than chance among {without.n} test images explains."
    return (
        f"{change}, which chance among {without.n} test images may explain: this shows no effect of synthetic images."
    )


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _origin(table: Table) -> str:
    """Return seeds, devices, versions, commits and the command as one line."""
    commits: dict[str, list[str]] = {}
    for each in table.environments:
        versions = ", ".join(f"{name} {version}" for name, version in each["versions"].items())
        where = f"device {each['device']}, Python {each['python']}, {each['platform']}, {versions}"
        commits.setdefault(where, []).append(each["commit"][:12] if each["commit"] else "unknown")
    lines = [f"{where}, commit {', '.join(found)}" for where, found in commits.items()]
    seeds = ", ".join(map(str, sorted({row.seed for row in table.rows})))
    return f"Seed {seeds}; " + "; and ".join(lines) + f". Printed by `{table.command}`."
