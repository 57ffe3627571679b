"""Folders in the layout of SCIN for tests: both tables with all the columns that are published, and made-up images."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

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
