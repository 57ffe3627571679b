"""Folders in the layout of SCIN for tests: both tables with all the columns that are published, and made-up images."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from shared.phantom import render_phantom
from synth.cohorts.options import PrepareOptions

RACES = (
    "american_indian_or_alaska_native", "asian", "black_or_african_american", "hispanic_latino_or_spanish_origin",
    "middle_eastern_or_north_african", "native_hawaiian_or_pacific_islander", "white", "other_race",
    "prefer_not_to_answer",
)  # fmt: skip
TEXTURES = ("raised_or_bumpy", "flat", "rough_or_flaky", "fluid_filled")
PARTS = (
    "head_or_neck", "arm", "palm", "back_of_hand", "torso_front", "torso_back", "genitalia_or_groin", "buttocks", "leg",
    "foot_top_or_side", "foot_sole", "other",
)  # fmt: skip
SYMPTOMS = (
    "bothersome_appearance", "bleeding", "increasing_size", "darkening", "itching", "burning", "pain",
    "no_relevant_experience",
)  # fmt: skip
OTHER_SYMPTOMS = (
    "fever", "chills", "fatigue", "joint_pain", "mouth_sores", "shortness_of_breath", "no_relevant_symptoms",
)  # fmt: skip
THREE = (1, 2, 3)

CASE_COLUMNS = (
    "case_id", "source", "release", "year", "age_group", "sex_at_birth", "fitzpatrick_skin_type",
    *(f"race_ethnicity_{name}" for name in RACES), *(f"textures_{name}" for name in TEXTURES),
    *(f"body_parts_{name}" for name in PARTS), *(f"condition_symptoms_{name}" for name in SYMPTOMS),
    *(f"other_symptoms_{name}" for name in OTHER_SYMPTOMS), "related_category", "condition_duration",
    *(f"image_{n}_path" for n in THREE), *(f"image_{n}_shot_type" for n in THREE), "combined_race",
    "race_ethnicity_two_or_more_after_mitigation",
)  # fmt: skip
LABEL_COLUMNS = (
    "case_id", *(f"dermatologist_gradable_for_skin_condition_{n}" for n in THREE),
    "dermatologist_skin_condition_on_label_name", "dermatologist_skin_condition_confidence",
    "weighted_skin_condition_label", *(f"dermatologist_gradable_for_fitzpatrick_skin_type_{n}" for n in THREE),
    *(f"dermatologist_fitzpatrick_skin_type_label_{n}" for n in THREE), "gradable_for_monk_skin_tone_india",
    "gradable_for_monk_skin_tone_us", "monk_skin_tone_label_india", "monk_skin_tone_label_us",
)  # fmt: skip

LARGE = -5156441036700827606  # a published case id: no floating point number is equal to it
HERPES, ECZEMA = "Herpes Simplex", "Eczema"
SUFFICIENT, INSUFFICIENT = "DEFAULT_YES_IMAGE_QUALITY_SUFFICIENT", "NO_IMAGE_QUALITY_INSUFFICIENT"
Case = dict[str, str]


def case(case_id: object, weights: Mapping[str, float], *, images: Iterable[str] = (), **cells: str) -> Case:
    """Return the cells of a case in both tables; `images` are names in `dataset/images`."""
    paths = {f"image_{n}_path": f"dataset/images/{name}" for n, name in enumerate(images, start=1)}
    usual = {
        "case_id": str(case_id),
        "source": "SCIN",
        "release": "1.0.0",
        "year": "2023",
        "age_group": "AGE_UNKNOWN",
        "sex_at_birth": "OTHER_OR_UNSPECIFIED",
        "dermatologist_gradable_for_skin_condition_1": SUFFICIENT,
        "dermatologist_skin_condition_on_label_name": repr(list(weights)),
        "dermatologist_skin_condition_confidence": repr([3] * len(weights)),
        "weighted_skin_condition_label": repr(dict(weights)),
    }
    return usual | paths | cells


def write_scin(
    root: Path, cases: Iterable[Case], *, renamed: Mapping[str, str] | None = None, without: str = "", bom: bool = False
) -> Path:
    """Write the tables, and an image for each path that a case names, and return `root`."""
    tables = root / "dataset"
    (tables / "images").mkdir(parents=True, exist_ok=True)
    made = list(cases)
    for name, columns in (("scin_cases.csv", CASE_COLUMNS), ("scin_labels.csv", LABEL_COLUMNS)):
        header = {each: (renamed or {}).get(each, each) for each in columns if each != without}
        with (tables / name).open("w", encoding="utf-8-sig" if bom else "utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(header.values())
            writer.writerows([each.get(column, "") for column in header] for each in made)
    for number, path in enumerate(
        {each[f"image_{n}_path"]: 0 for each in made for n in THREE if f"image_{n}_path" in each}
    ):
        if path.startswith("dataset/images/") and ".." not in path:
            picture(number).save(root / path)
    return root


def picture(seed: int) -> Image.Image:
    """Return 24 x 20 px of soft spots on skin; pictures of different seeds are different photographs."""
    layers = np.random.default_rng(seed).normal(size=(2, 6, 6)).astype(np.float32)
    spots = sum(np.asarray(Image.fromarray(layer).resize((24, 20), Image.Resampling.BICUBIC)) for layer in layers)
    return Image.fromarray(np.clip(spots[..., None] * (30, 25, 20) + (180, 140, 120), 0, 255).astype(np.uint8))


def published() -> list[Case]:
    """Return four positives, five negatives, and one or two of each kind that is left out."""
    yes = [
        case(LARGE + n, {HERPES: 0.5 + n / 10, ECZEMA: 0.5 - n / 10}, images=[f"-{n}{k}.png" for k in "123"])
        for n in range(4)
    ]
    no = [case(10 + n, {ECZEMA if n < 3 else "Tinea": 1.0}, images=[f"{10 + n}.png"]) for n in range(5)]
    others = [
        case(20, {ECZEMA: 0.51, HERPES: 0.49}, images=["20.png"]),
        case(21, {ECZEMA: 1.0}, images=["21.png"], dermatologist_skin_condition_on_label_name=repr([HERPES, ECZEMA])),
        case(22, {}, images=["22.png"]),
        case(
            23, {}, images=["23.png"], weighted_skin_condition_label="", dermatologist_skin_condition_on_label_name=""
        ),
        case(24, {HERPES: 1.0}, images=["24.png"], dermatologist_gradable_for_skin_condition_1=INSUFFICIENT),
    ]
    return [*yes, *no, *others]


def options(folder: Path, **changes: object) -> PrepareOptions:
    given = PrepareOptions(
        out=folder.parent / "c.h5", scin=folder, condition=HERPES, size=16, folds=2, skip_bad=False, force=True
    )
    return replace(given, **changes)


def write_phantoms(root: Path, *, size: int) -> Path:
    """Write phantoms as cases of one to three images of one skin tone: eczema herpeticum for herpes simplex.

    Beside them stands what is left out: images that are insufficient, without a label or of a lesser weight, and one
    that the tables name and is not there. The self-reported skin type is known of every second case.
    """
    counts = {HERPES: 36, ECZEMA: 48}
    phantom = render_phantom(positives=counts[HERPES], negatives=counts[ECZEMA], externals=0, size=size, seed=0)
    pictures: dict[str, np.ndarray] = {}
    cases = []
    for label, condition in ((1, HERPES), (0, ECZEMA)):
        for tone in range(1, 7):
            rows = np.flatnonzero((phantom.label == label) & (phantom.attributes["skin_tone"] == tone)).tolist()
            while rows:
                own = [rows.pop() for _ in range(min(len(rows), 1 + len(cases) % 3))]
                pictures |= {f"{row - 40}.png": phantom.images[row] for row in own}
                weights = {condition: 0.67, "Tinea": 0.33} if len(cases) % 3 else {condition: 1.0}
                cases.append(
                    case(
                        LARGE + len(cases),
                        weights,
                        images=[f"{row - 40}.png" for row in own],
                        fitzpatrick_skin_type=f"FST{tone}" if len(cases) % 2 else "",
                        dermatologist_fitzpatrick_skin_type_label_1=f"FST{tone}",
                        monk_skin_tone_label_us=str((1, 2, 4, 6, 8, 10)[tone - 1]),
                        body_parts_arm="YES",
                    )
                )
    cases += [
        case(1, {HERPES: 0.33, ECZEMA: 0.67}, images=["a.png"]),
        case(2, {}, images=["b.png"], dermatologist_gradable_for_skin_condition_1=INSUFFICIENT),
        case(3, {}, images=["c.png"]),
        case(4, {HERPES: 1.0}, images=["missing.png"]),
    ]
    write_scin(root, cases)
    for name, picture_of in pictures.items():
        Image.fromarray(picture_of).save(root / "dataset/images" / name)
    (root / "dataset/images/missing.png").unlink()
    return root
