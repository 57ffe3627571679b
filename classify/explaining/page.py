"""An explanation as files: sheets of heat maps, a page that says the same in words, and a document for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from classify.explaining.deletion import SHARES, Deletion
from classify.explaining.explained import Explained, Sheet, Tile
from classify.explaining.heatmap import TITLES
from classify.table2.wording import UNDEFINED
from shared.cohort import POSITIVE
from shared.document import Block, Grid, Heading, Paragraph, Picture, escaped, to_markdown
from shared.files import write_json, write_text
from shared.plots import HeatBlock, HeatTile, Panel, Series, curves, heat_sheet, image_sheet

FORMAT, VERSION = "rarescreen-explain", 1
PAGE, DOCUMENT = "explain.md", "explain.json"
DELETION, MASKS = "deletion", "masks"
MASKS_SHOWN = 40
SHORT_ID = 8  # digits of an image's id
SHORT_NAME = 34  # letters of a photograph's file

MEANING = (
    "Warm places raised the log-odds of {positive}: the darker and redder, the more, on one scale for all pictures "
    "here. What speaks against it is not coloured. The photograph stands in grey under the heat, because red on skin "
    "is a finding."
)
LIMITS = (
    "A heat map tells where a network found what it uses, not what it saw there, why, nor whether that is right: a "
    "ruler's edge can be as warm as a vesicle. It is no segmentation of a lesion. Two networks with the same verdicts "
    "may have different maps. Its position is right to about {accuracy}."
)
ACCURACY = {"grad-cam": "a cell of the network's last map", "occlusion": "half of a window, a twelfth of the side"}


def write_explanation(folder: Path, explained: Explained) -> None:
    """Write the pictures, `explain.md` and `explain.json` of one model into `folder`."""
    folder.mkdir(exist_ok=True)
    for sheet in explained.sheets:
        if sheet.tiles:
            _draw_sheet(folder / f"{sheet.name}.png", sheet, explained)
    if explained.checks is not None and explained.checks.deletion.n:
        _draw_deletion(folder / f"{DELETION}.png", explained.checks.deletion, explained.classes[POSITIVE])
    if explained.checks is not None and explained.checks.masked is not None and len(explained.checks.masked):
        shown = explained.checks.masked[:MASKS_SHOWN]
        image_sheet(
            folder / f"{MASKS}.png", [("what stands in the middle, as the network sees it", shown)], title="Masks"
        )
    write_text(folder / PAGE, to_markdown(_page(explained)))
    write_json(folder / DOCUMENT, _document(explained))


def write_index(folder: Path, parts: Mapping[str, Explained]) -> None:
    """Write the page and the document of several models, each of which is in the folder of its name."""
    blocks: list[Block] = [Heading("Where the classifiers find evidence")]
    for name, explained in parts.items():
        blocks += [Heading(escaped(explained.title), 2), Paragraph(escaped(" ".join(explained.sentences[1:])))]
        blocks.append(Paragraph(f"[Pictures]({name}/{PAGE})"))
    write_text(folder / PAGE, to_markdown(blocks))
    write_json(folder / DOCUMENT, {"format": FORMAT, "version": VERSION, "folders": list(parts)})


def _draw_sheet(path: Path, sheet: Sheet, explained: Explained) -> None:
    blocks = [
        HeatBlock(
            label,
            [
                HeatTile(tile.photo, tile.heat / explained.scale, f"p {probability(tile):.2f}\n{_name(tile)}")
                for tile in tiles
            ],
        )
        for label, tiles in sheet.blocks.items()
    ]
    subtitle = f"{explained.title}; {TITLES[explained.options.method]}, positive above p {threshold(explained)}"
    ends = ("no evidence", f"strongest evidence for {explained.classes[POSITIVE]}")
    heat_sheet(path, blocks, title=sheet.title, subtitle=subtitle, legend=ends)


def _draw_deletion(path: Path, deletion: Deletion, positive: str) -> None:
    def series(name: str, found: np.ndarray) -> Series:
        mean, std = found.mean(0), found.std(0, ddof=1) if len(found) > 1 else np.zeros(len(SHARES))
        return Series(name, 100 * SHARES, mean, band=np.clip([mean - std, mean + std], 0, 1))

    by_map, at_random = (values.mean() for values in deletion.areas)
    panel = Panel(
        f"Deletion, n = {deletion.n} (mean, ± sd over images)",
        "% of the picture deleted",
        f"probability of {positive}",
        [
            series(f"warmest places first: area {by_map:.2f}", deletion.by_map),
            series(f"places at random: area {at_random:.2f}", deletion.at_random),
        ],
        shows=(0, 1),
    )
    curves(path, [panel], columns=1)


def probability(tile: Tile, temperature: float = 1.0) -> float:
    """Return the probability of the positive class, as the network gives it unless there is a temperature."""
    return float(expit(tile.score / temperature))


def threshold(explained: Explained) -> str:
    """Return the threshold with as many digits as tell it from 0 and 1."""
    return f"{explained.judge.threshold:.3g}"


def _name(tile: Tile) -> str:
    """Return an image's id in short (of a photograph, its file's name)."""
    if tile.label is not None:
        return tile.name[:SHORT_ID]
    return tile.name if len(tile.name) <= SHORT_NAME else tile.name[: SHORT_NAME - 1] + "…"


def _page(explained: Explained) -> list[Block]:
    positive, judge = escaped(explained.classes[POSITIVE]), explained.judge
    blocks: list[Block] = [
        Heading(f"Where the classifier finds evidence: {escaped(explained.title)}"),
        Paragraph(
            f"{TITLES[explained.options.method]}. An image is called {positive} above a probability of "
            f"{threshold(explained)} ({judge.reason}). {MEANING.format(positive=positive)}"
        ),
        *(Paragraph(note) for note in explained.notes),
    ]
    for sheet in explained.sheets:
        blocks += _sheet_blocks(sheet, explained)
    blocks += [Heading("Can the maps be believed?", 2), *_check_blocks(explained)]
    blocks.append(Paragraph(LIMITS.format(accuracy=ACCURACY[explained.options.method])))
    return blocks


def _sheet_blocks(sheet: Sheet, explained: Explained) -> list[Block]:
    blocks: list[Block] = [Heading(escaped(sheet.title), 2)]
    if not sheet.tiles:
        return [*blocks, Paragraph("None, so there is no picture.")]
    kind = sheet.title.partition(":")[0]
    rows = [_row(tile, label, explained) for label, tiles in sheet.blocks.items() for tile in tiles]
    blocks.append(
        Picture(f"{sheet.name}.png", f"{kind}: each photograph, and beside it the same in grey under its heat.")
    )
    header = ("image", "shown as", "probability", "calibrated", "warmest place", "half of the heat lies on")
    return [*blocks, Grid(header, rows, left=2)]


def _row(tile: Tile, label: str, explained: Explained) -> list[str]:
    half = UNDEFINED if tile.half is None else f"{100 * tile.half:.0f} % of the picture"
    calibrated = probability(tile, explained.judge.temperature)
    return [escaped(_name(tile)), escaped(label), f"{probability(tile):.3f}", f"{calibrated:.3f}", tile.place, half]


def _check_blocks(explained: Explained) -> Sequence[Block]:
    checks = explained.checks
    if checks is None:
        return [Paragraph("Nothing was checked here: run the same method with --cohort, and --checks above 0.")]
    blocks: list[Block] = [Paragraph(sentence) for sentence in checks.sentences]
    if checks.deletion.n:
        caption = "Probability over the share of the picture that is deleted: by the maps, and at random."
        blocks.append(Picture(f"{DELETION}.png", caption))
    if checks.masked is not None and len(checks.masked):
        blocks.append(
            Picture(f"{MASKS}.png", "The masks: what is beside them is white here. Look whether they are right.")
        )
    return blocks


def _document(explained: Explained) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "title": explained.title,
        "classes": list(explained.classes),
        "options": asdict(explained.options),
        "judge": asdict(explained.judge),
        "scale": explained.scale,
        "notes": list(explained.notes),
        "sheets": {sheet.name: _sheet_document(sheet, explained) for sheet in explained.sheets},
        "checks": _checks_document(explained),
        **explained.facts,
    }


def _sheet_document(sheet: Sheet, explained: Explained) -> dict[str, Any]:
    return {
        "title": sheet.title,
        "picture": f"{sheet.name}.png" if sheet.tiles else None,
        "images": [
            {
                "name": tile.name,
                "shown": label,
                "label": tile.label,
                "score": tile.score,
                "probability": probability(tile),
                "calibrated": probability(tile, explained.judge.temperature),
                "called": probability(tile) > explained.judge.threshold,
                "peak": float(tile.heat.max()),
                "place": tile.place,
                "half": tile.half,
            }
            for label, tiles in sheet.blocks.items()
            for tile in tiles
        ],
    }


def _checks_document(explained: Explained) -> dict[str, Any] | None:
    if explained.checks is None:
        return None
    randomized, deletion = explained.checks.randomized, explained.checks.deletion
    told: dict[str, Any] = {"n": deletion.n, "sentence": deletion.sentence}
    if deletion.n:
        names = ("by_map", "at_random")
        told |= {f"area_{name}": values.tolist() for name, values in zip(names, deletion.areas, strict=True)}
        told |= {"gain": deletion.gain[0], "interval": deletion.gain[1], "shares": SHARES.tolist()}
        told |= {name: getattr(deletion, name).mean(0).tolist() for name in names}
    made = {"randomized": asdict(randomized) | {"sentence": randomized.sentence}, "deletion": told}
    mask = explained.checks.mask
    return made if mask is None else made | {"mask": asdict(mask) | {"sentence": mask.sentence}}
