"""The tables of SCIN (Ward et al. 2024, arXiv:2402.18545) as published: cases, and what dermatologists called them.

`dataset_schema.md` in github.com/google-research-datasets/scin describes the columns; where the published tables differ
from it (`dermatologist_skin_condition_on_label_name`), either is taken.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.errors import UserError
from synth.cohorts.csv_file import Row, read_csv
from synth.cohorts.literals import MAX_NAME_CHARS, read_texts, read_weights

CASES, LABELS = "scin_cases.csv", "scin_labels.csv"
INNER = "dataset"  # the folder of both in the bucket
MAX_BYTES, MAX_CASES = 1 << 26, 100_000  # published: 5,033 cases
MAX_CONDITIONS = 10_000

CASE, WEIGHTS = "case_id", "weighted_skin_condition_label"
NAMES = ("dermatologist_skin_condition_on_label_name", "dermatologist_skin_condition_label_name")
IMAGES = tuple(f"image_{number}_path" for number in (1, 2, 3))
GRADABLE = tuple(f"dermatologist_gradable_for_skin_condition_{number}" for number in (1, 2, 3))
TONES = tuple(f"dermatologist_fitzpatrick_skin_type_label_{number}" for number in (1, 2, 3))
COPIED = (
    "fitzpatrick_skin_type",
    "monk_skin_tone_label_india",
    "monk_skin_tone_label_us",
    "sex_at_birth",
    "age_group",
)
BODY_PARTS = "body_parts_"

_SUFFICIENT = ("YES", "DEFAULT_YES", "TRUE")  # begin what a dermatologist says of images that are good enough
_FLAGS = {"YES": True, "TRUE": True, "": False, "NO": False, "FALSE": False}
# What a spreadsheet or a table of floating point makes of a long number, which then is another's too.
_ROUNDED = re.compile(r"[-+]?[0-9]+(\.[0-9]*([eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)")


@dataclass(frozen=True)
class Case:
    """What one person sent in: up to three photographs, and what is said of them. Conditions are by `key_of`."""

    case_id: str
    images: tuple[str, ...]  # as the table names them
    gradable: bool  # some dermatologist found the images good enough
    weights: Mapping[str, float]  # empty where nobody named a condition
    named: frozenset[str]  # by a dermatologist, in the words of the labelling tool
    attributes: Mapping[str, str]  # the same names in all cases; "" where nothing is known


@dataclass(frozen=True)
class Scin:
    """The cases of a folder, in the order of their table."""

    folder: Path  # as the user gave it
    tables: Path  # the folder of the tables: that one, or the one inside it
    cases: tuple[Case, ...]
    spelling: Mapping[str, str]  # of each condition that has a weight somewhere, by its key


def key_of(condition: str) -> str:
    """Return what conditions are compared by: neither case nor space counts."""
    return " ".join(condition.split()).casefold()


def read_scin(folder: Path) -> Scin:
    """Read both tables in `folder` or in its `dataset`.

    Raises `UserError`: no such tables, or tables of different cases, a column that is missing, a case id that is
    missing, rounded or double, or a cell that is not what its column holds.
    """
    tables = _find_tables(folder)
    cases = _by_case(tables / CASES, (CASE, IMAGES[0]))
    labels = _by_case(tables / LABELS, (CASE, WEIGHTS, GRADABLE[0]))
    header = next(iter(labels.values())).keys()
    names = next((name for name in NAMES if name in header), None)
    if names is None:
        raise UserError(f"{tables / LABELS}: has no column {NAMES[0]}; give the table as it was published.")
    if not cases.keys() & labels.keys():
        raise UserError(f"{tables}: {CASES} and {LABELS} have no case in common; give both of one release, unchanged.")
    spelling: dict[str, str] = {}
    read = tuple(_case(row | labels.get(case_id, {}), names, tables, spelling) for case_id, row in cases.items())
    if len(spelling) > MAX_CONDITIONS:
        raise UserError(
            f"{tables / LABELS}: more than {MAX_CONDITIONS} conditions; give the table as it was published."
        )
    return Scin(folder, tables, read, spelling)


def _find_tables(folder: Path) -> Path:
    for tables in (folder, folder / INNER):
        if all((tables / name).is_file() for name in (CASES, LABELS)):
            return tables
    raise UserError(
        f"--scin {folder}: {CASES} and {LABELS} are neither there nor in {INNER}/; give the folder that they were "
        "downloaded to."
    )


def _by_case(path: Path, needed: Sequence[str]) -> dict[str, Row]:
    header, rows = read_csv(path, str(path), max_bytes=MAX_BYTES, max_rows=MAX_CASES)
    for name in needed:
        if name not in header:
            raise UserError(f"{path}: has no column {name}; give the table as it was published.")
    if not rows:
        raise UserError(f"{path}: has no rows; download it again.")
    found: dict[str, Row] = {}
    for row in rows:
        case_id = row[CASE]
        if not case_id or len(case_id) > MAX_NAME_CHARS or not case_id.isprintable():
            raise UserError(f"{path}: a row has no {CASE}, or an odd one; give the table as it was published.")
        if _ROUNDED.fullmatch(case_id):
            raise UserError(
                f"{path}: the {CASE} {case_id} was rounded, as spreadsheets do; download the table again and leave it "
                "as it is."
            )
        if case_id in found:
            raise UserError(f"{path}: the {CASE} {case_id} is double; give the table as it was published.")
        found[case_id] = row
    return found


def _case(row: Row, names: str, tables: Path, spelling: dict[str, str]) -> Case:
    where = f"{tables / LABELS}: case {row[CASE]}"
    weights: dict[str, float] = {}
    try:
        for name, weight in read_weights(row.get(WEIGHTS, "")).items():
            key = key_of(name)
            spelling.setdefault(key, name)
            weights[key] = round(weights.get(key, 0.0) + weight, 6)  # two spellings of one condition are one
    except ValueError as error:
        raise UserError(f"{where}: the cell {WEIGHTS} {error}; download the table again.") from error
    try:
        named = frozenset(map(key_of, read_texts(row.get(names, ""))))
    except ValueError as error:
        raise UserError(f"{where}: the cell {names} {error}; download the table again.") from error
    return Case(
        case_id=row[CASE],
        images=tuple(row[name] for name in IMAGES if row.get(name)),
        gradable=_gradable([row.get(name, "") for name in GRADABLE]),
        weights={key: weight for key, weight in weights.items() if weight > 0},
        named=named,
        attributes=_attributes(row, tables),
    )


def _gradable(said: Iterable[str]) -> bool:
    """Tell whether a dermatologist found the images sufficient, or none was asked."""
    given = [each.upper() for each in said if each]
    return not given or any(each.startswith(_SUFFICIENT) for each in given)


def _attributes(row: Row, tables: Path) -> dict[str, str]:
    copied = {name: _value(row.get(name, "")) for name in COPIED}
    tone = _middle([_value(row.get(name, "")) for name in TONES])
    parts = [name.removeprefix(BODY_PARTS).upper() for name in row if name.startswith(BODY_PARTS) and _flag(row, name)]
    found = copied | {
        "dermatologist_fitzpatrick_skin_type": tone,
        "body_part": "SEVERAL" if len(parts) > 1 else "".join(parts),
    }
    for name, value in found.items():
        if len(value) > MAX_NAME_CHARS or not value.isprintable():
            raise UserError(
                f"{tables}: case {row[CASE]}: the cell {name} is too long or odd; download the tables again."
            )
    return found


def _value(cell: str) -> str:
    """Return a value as the table has it, whole numbers without a point, and nothing for what says "unknown"."""
    value = re.sub(r"(?<=[0-9])\.0+$", "", " ".join(cell.split()))
    return "" if value.upper().endswith("UNKNOWN") else value


def _flag(row: Row, name: str) -> bool:
    value = row[name].upper()
    if value not in _FLAGS:
        raise UserError(
            f"{CASES}: case {row[CASE]}: the cell {name} is {row[name][:20]!r}, where YES or nothing is expected; give "
            "the table as it was published."
        )
    return _FLAGS[value]


def _middle(types: Iterable[str]) -> str:
    """Return the median of skin types (FST1 to FST6), nothing where it lies between two of them."""
    given = sorted(each for each in types if re.fullmatch("FST[1-6]", each))
    half = len(given) // 2
    return given[half] if given and given[half] == given[~half] else ""
