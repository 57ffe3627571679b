"""What a search of settings leaves: its ranking in three forms, and a preset of the best."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rich.box
import rich.table

from classify.presets import FORMAT as PRESET_FORMAT
from classify.presets import VERSION as PRESET_VERSION
from classify.table2.wording import percent
from classify.tuning.options import TuneOptions
from shared.console import console, say
from shared.files import write_json, write_text
from shared.plots import Panel, Series, curves

FORMAT, VERSION = "rarescreen-tune", 1
TABLE, DOCUMENT, PRESET, PICTURE = "tune.md", "tune.json", "tuned.toml", "tune.png"
RATIOS = ("none", "1:5", "1:2")  # of the preset that is written
DRAWN, SHOWN = 6, 10  # of the best, in the picture and on the console
COMMIT_LETTERS = 12

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Found:
    """What a search has come to.

    Attributes:
        options: what it was asked for.
        rows: of the trials that are done.
        failed: names of those that could not be done, and why.
        plan: what all its workers agreed on.
        environment: device and versions (`shared.provenance.environment`).
    """

    options: TuneOptions
    rows: Sequence[Row]
    failed: Mapping[str, str]
    plan: Mapping[str, Any]
    environment: Mapping[str, Any]

    @property
    def ranked(self) -> list[Row]:
        """The rows, best first: by balanced accuracy, ties by the loss; those that were ended early come last."""
        return sorted(self.rows, key=lambda row: (row["pruned"], -row["balanced_accuracy"], row["balanced_loss"]))


def write_findings(found: Found, out: Path) -> None:
    """Write the ranking (.md, .json, .png) and a preset of the best into the folder `out`, and show the best."""
    ranked = found.ranked
    write_text(out / PRESET, _preset(found.options, ranked[0]))
    series = [
        Series(
            f"{rank}: lr {row['lr']:.2g}, {row['optimizer']}",  # short, since two stand side by side
            range(1, len(row["curve"]) + 1),
            [100 * value for value in row["curve"]],
        )
        for rank, row in enumerate(ranked[:DRAWN], start=1)
    ]
    ylabel = f"balanced accuracy in % (n = {ranked[0]['n']})"
    curves(out / PICTURE, [Panel("The best trials, by rank", "epoch", ylabel, series)])
    write_text(out / TABLE, _markdown(found))
    document = {"format": FORMAT, "version": VERSION, "plan": dict(found.plan), "trials": ranked}
    write_json(out / DOCUMENT, document | {"failed": dict(found.failed), "environment": dict(found.environment)})
    _show(ranked, out)


def _preset(options: TuneOptions, best: Row) -> str:
    """Return cells of Table 2 with the settings of the best trial, of the fold that was searched on.

    No other: its training part holds the test images of all other folds.
    """
    settings = [f'model = "{options.model}"', f"fold = {options.fold}"]
    settings += [f"lr = {best['lr']!r}", f"epochs = {options.epochs}"]
    settings += [f"head = {list(best['head'])}", f'optimizer = "{best["optimizer"]}"']
    settings += [
        f"{name} = {value}"
        for name, value in (("depth", best["depth"]), ("batch", options.batch), ("image_size", options.image_size))
        if value is not None
    ]
    settings += [f"seed = {options.seed}"] if options.seed else []
    settings += [f'precision = "{options.precision}"'] if options.precision not in (None, "auto") else []
    cells = ",\n".join(f'    {{ ratio = "{ratio}", {", ".join(settings)} }}' for ratio in RATIOS)
    return (
        f"# Found on the training part of fold {options.fold}: {best['name']}.\n"
        f"# That part holds test images of the other folds, so these are settings of fold {options.fold} alone: search "
        "each other\n# fold's with a `classify tune --fold N` of its own.\n"
        f'format = "{PRESET_FORMAT}"\nversion = {PRESET_VERSION}\ncells = [\n{cells},\n]\n'
    )


def _markdown(found: Found) -> str:
    options, ranked = found.options, found.ranked
    best, n = ranked[0], ranked[0]["n"]
    lines = [
        "| rank | lr | convolutions | head | optimizer | balanced accuracy | loss | epoch | of | s |",
        "|--:|--:|--:|---|---|--:|--:|--:|--:|--:|",
    ]
    for rank, row in enumerate(ranked, start=1):
        depth, head = row["depth"] or "–", "+".join(map(str, row["head"])) or "none"
        ended = f"{row['epochs']}{' (ended)' if row['pruned'] else ''}"
        lines.append(
            f"| {rank} | {row['lr']:.3g} | {depth} | {head} | {row['optimizer']} | "
            f"{percent(row['balanced_accuracy'])} | {row['balanced_loss']:.3f} | {row['best_epoch']} | {ended} | "
            f"{row['seconds']:.0f} |"
        )
    lost = [f"- {name}: {reason}" for name, reason in found.failed.items()]
    trials = "1 trial" if len(ranked) == 1 else f"{len(ranked)} trials"
    blocks = [
        f"# Settings of {options.model}, searched on the training part of fold {options.fold}",
        f"{trials}, judged on {n} images that they were not fitted on. With {n} images two accuracies that "
        f"differ by less than {200 * (0.25 / n) ** 0.5:.0f} points may be chance, so the best is one of several; and "
        f"the {percent(best['balanced_accuracy'])} % of the best is too good, since it was chosen by them.",
        "\n".join(lines),
        *(["Trials that could not be done:\n\n" + "\n".join(lost)] if lost else []),
        f"![Balanced accuracy over epochs]({PICTURE})",
        f"`{PRESET}` is a preset with the first one's settings, of fold {options.fold} alone: `classify study COHORT "
        f"--preset {PRESET} …`. The images that chose them are test images of the other folds, so settings of another "
        "fold need a search of their own (`classify tune --fold N`).",
        _origin(found),
    ]
    return "\n\n".join(blocks) + "\n"


def _origin(found: Found) -> str:
    about = found.environment
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    commit = (about["commit"] or "unknown")[:COMMIT_LETTERS]
    return (
        f"Cohort {found.plan['cohort'][:COMMIT_LETTERS]}, seed {found.options.seed}; device {about['device']}, "
        f"Python {about['python']}, {about['platform']}, {versions}, commit {commit}. Printed by `classify tune`."
    )


def _show(ranked: Sequence[Row], out: Path) -> None:
    shown = rich.table.Table(title="best trials", box=rich.box.SIMPLE, pad_edge=False)
    for column in ("trial", "balanced acc.", "loss", "epoch"):
        shown.add_column(column, justify="left" if column == "trial" else "right", overflow="fold")
    for row in ranked[:SHOWN]:
        accuracy, loss = percent(row["balanced_accuracy"]), f"{row['balanced_loss']:.3f}"
        shown.add_row(row["name"], accuracy, loss, f"{row['best_epoch']}/{row['epochs']}")
    console().print(shown)
    say(f"written: {out / TABLE}, {DOCUMENT}, {PICTURE} and {PRESET}")
