"""What `synth refine` found: a table, and a picture of quality against diversity."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from shared.console import tabulate
from shared.plots.curves import Panel, Series, curves

if TYPE_CHECKING:
    from synth.refine import Trial


def print_trials(wide: Sequence["Trial"], best: "Trial", narrow: Sequence["Trial"], chosen: "Trial") -> None:
    """Show all trials on standard output, in two groups; what was chosen of each has a star."""
    held_out = chosen.quality["kid_validation"] is not None
    kid = "KID x 1000 to validation" if held_out else "KID x 1000 to training"
    table = Table(
        "width",
        "truncation",
        "distance",
        kid,
        "less than usual",
        "precision",
        "recall",
        "copies",
        "",
        box=None,
        padding=(0, 2, 0, 0),
    )
    for group, star in ((wide, best), (narrow, chosen)):
        for trial in group:
            found, gain = trial.comparison, trial.nearer
            table.add_row(
                "usual" if trial.width is None else f"{trial.width:g}",
                f"{trial.truncation:g}",
                f"{found.distance.mean:.1f} ± {found.distance.sd:.1f}",
                f"{1000 * trial.kid:.1f}",
                "" if gain is None else f"{1000 * gain[0]:.1f} ± {1000 * gain[1]:.1f}",
                f"{found.precision.mean:.2f}",
                f"{found.recall.mean:.2f}",
                f"{100 * found.copies:.1f} %",
                "*" if trial is star else "",
            )
        table.add_section()
    floor = chosen.comparison
    table.add_row(
        "photographs",
        "",
        f"{floor.distance.floor:.1f} ± {floor.distance.floor_sd:.1f}",
        "0",
        "",
        f"{floor.precision.floor:.2f}",
        f"{floor.recall.floor:.2f}",
        f"{100 * floor.copies_floor:.1f} %",
        "",
    )
    tabulate(table)


def write_curves(path: Path, wide: Sequence["Trial"], narrow: Sequence["Trial"]) -> None:
    """Draw the distance by width and by truncation, and what truncation trades: precision and recall."""
    floor = narrow[0].comparison
    halves = {"photographs against photographs": floor.distance.floor}
    psis = [trial.truncation for trial in narrow]
    space = f"Frechet distance, n = {floor.n}"
    panels = [
        Panel(
            "Distance by truncation",
            "truncation",
            space,
            [Series("distance", psis, [trial.comparison.distance.mean for trial in narrow])],
            halves,
            shows=[0.0],
        ),
        Panel(
            "Fidelity and diversity",
            "truncation",
            "share",
            [
                Series("precision", psis, [trial.comparison.precision.mean for trial in narrow]),
                Series("recall", psis, [trial.comparison.recall.mean for trial in narrow]),
            ],
            {"precision of photographs": floor.precision.floor, "recall of photographs": floor.recall.floor},
            shows=[0.0, 1.0],
        ),
    ]
    averaged = [trial for trial in wide if trial.width is not None]
    if averaged:
        widths = [float(trial.width or 0) for trial in averaged]
        usual = {"usual average": wide[0].comparison.distance.mean}
        distances = [trial.comparison.distance.mean for trial in averaged]
        panels.insert(
            0,
            Panel(
                "Distance by width",
                "width of the average",
                space,
                [Series("distance", widths, distances)],
                usual | halves,
            ),
        )
    curves(path, panels, columns=len(panels), title="What is left to choose")
