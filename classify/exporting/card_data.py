"""What a model card says of photographs, real and synthetic."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from classify.exporting.about import part_of
from classify.table2.attributes import NOT_GIVEN, value_names
from shared.cohort import POSITIVE, STUDY
from shared.document import Block, Grid, Heading, Paragraph, escaped
from shared.order import natural

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.cohort import Cohort

UNKNOWN = "unknown"
SETTINGS = ("method", "gamma", "target", "lr", "kimg")  # of a network that are shown
MOST_VALUES = 12  # of an attribute that are shown


def data(about: Mapping[str, Any], cohort: Cohort | None) -> list[Block]:
    """Return what is known of the cohort, and what the model learnt from and saw of it."""
    counts, seen = about["counts"], about["seen"]
    source, images, size = (escaped(str(about["cohort"].get(name, UNKNOWN))) for name in ("source", "images", "size"))
    blocks: list[Block] = [
        Heading("Data", 2),
        Paragraph(
            f"Source: {source}; {images} images of {size} px. It learnt from {counts['real_positives']} real positives "
            f"and {counts['distinct_negatives']} distinct negatives. With validation and whatever stands behind its "
            f"synthetic images, whole patients or cases, {seen['photographs']} photographs were seen on the way to it, "
            "and on these nothing may be measured. Where, when and by whom the photographs were taken and diagnosed is "
            "not recorded here."
        ),
    ]
    if cohort is None:
        return [*blocks, Paragraph("The cohort was not given with the export, so its make-up stays unknown here.")]
    study = cohort.role == STUDY
    rows = [
        (escaped(name), str(int(which.sum())), str(len(np.unique(cohort.group_id[which]))))
        for name, which in (
            (cohort.classes[POSITIVE], study & (cohort.label == POSITIVE)),
            (cohort.classes[0], study & (cohort.label != POSITIVE)),
            ("external", ~study),
        )
    ]
    return [*blocks, Grid(["Photographs", "Images", "Patients or cases"], rows), *_attributes(cohort)]


def _attributes(cohort: Cohort) -> list[Block]:
    if not cohort.attributes:
        return [
            Paragraph("Attributes such as age, sex, site and tone of skin: not recorded, so nothing is known of them.")
        ]
    rows = []
    for name, column in cohort.attributes.items():
        plain = [None if isinstance(each, float) and not np.isfinite(each) else each for each in column.tolist()]
        values = Counter(value_names(plain).tolist()).most_common()
        shown = sorted(values[:MOST_VALUES], key=lambda each: (each[0] == NOT_GIVEN, natural(each[0])))
        rows += [(escaped(name), escaped(value), str(count)) for value, count in shown]
        if len(values) > MOST_VALUES:
            rest = sum(count for _, count in values[MOST_VALUES:])
            rows.append((escaped(name), f"{len(values) - MOST_VALUES} others", str(rest)))
    return [Paragraph("As recorded with the photographs:"), Grid(["Attribute", "Value", "Images"], rows, left=2)]


def synthetic(about: Mapping[str, Any]) -> list[Block]:
    """Return what synthetic images the model learnt from, and what the network behind them saw."""
    counts, bundles = about["counts"], about["bundles"]
    drawn = {name: counts.get(f"synthetic_{name}") or 0 for name in ("positives", "negatives")}
    heading = Heading("Synthetic images", 2)
    if not any(drawn.values()):
        return [heading, Paragraph("None.")]
    seen = {name: count for name, count in about["seen"]["by"].items() if name.startswith("the generator")}
    saw = ", ".join(f"{count} photographs" for count in seen.values()) or "an unknown number of photographs"
    rows = []
    for bundle in bundles:
        generator = part_of(bundle, "generator")
        settings = ", ".join(f"{name} {generator[name]}" for name in SETTINGS if name in generator)
        rows.append(
            (
                "positive" if bundle.get("label") == POSITIVE else "negative",
                str(bundle.get("images", UNKNOWN)),
                *(escaped(str(bundle.get(name, UNKNOWN))) for name in ("rule", "protocol")),
                escaped(settings) or UNKNOWN,
            )
        )
    return [
        heading,
        Paragraph(
            f"It learnt from {drawn['positives']} synthetic positives and {drawn['negatives']} synthetic negatives. "
            f"The network that drew them, and their selection, saw {saw}, which `classify evaluate` refuses to test on."
        ),
        Grid(["Class", "Images in the bundle", "Selected by", "Protocol", "Network"], rows, left=5),
    ]
