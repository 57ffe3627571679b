"""Which file a network is, by its name, its run or its grid; and what it says of itself."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from shared.choices import PROTOCOLS
from shared.errors import UserError
from shared.files import read_json, require_file
from shared.weights import ANYWHERE, WeightSource, find_weights
from synth.networks import SHIPPED, shipped_network
from synth.networks.known import KNOWN

TABLE = "table1.json"
NETWORK = "network.safetensors"
OWN = "your own"  # licence of a network that its user trained
FREE_LICENCES = frozenset({"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC-BY-4.0", "CC0-1.0", "MIT"})


def find_network(name_or_path: str | Path, source: WeightSource = ANYWHERE) -> Path:
    """Return the network file that a name, a file, a run folder or a grid's folder stands for (its best cell).

    A network that others publish is downloaded, if `source` allows it.

    Raises `UserError`: there is none.
    """
    shipped = shipped_network(str(name_or_path))
    if shipped is not None:
        return shipped
    known = KNOWN.get(str(name_or_path))
    if known is not None:
        return find_weights(known.file, source).path
    path = Path(name_or_path)
    if not path.exists():
        raise UserError(
            f"{path}: no such network; give a file, a run's folder, or a name that `synth networks` lists "
            f"({', '.join(SHIPPED)}, …)."
        )
    if not path.is_dir():
        return require_file(path, "network")
    if (path / NETWORK).is_file():
        return path / NETWORK
    if (path / TABLE).is_file():
        return require_file(path / _best(path / TABLE) / NETWORK, "network of the best cell")
    folds = sorted(child.name for child in path.glob("fold*") if child.is_dir())
    if folds:
        raise UserError(f"{path}: holds one grid a fold; name one of {', '.join(str(path / fold) for fold in folds)}.")
    raise UserError(f"{path}: no finished network in this folder; let `synth train` finish, by the same command.")


def _best(table: Path) -> str:
    try:
        return own_run(table, read_json(table)["best"])
    except (ValueError, LookupError, TypeError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{table}: damaged; run the same `synth train` command again to write it anew.") from error


def own_run(table: Path, name: object) -> str:
    """Return the name of a run that a grid's table gives; raise `UserError` for a place outside the grid's folder."""
    if not isinstance(name, str) or not name.isprintable() or Path(name).is_absolute() or ".." in Path(name).parts:
        raise UserError(f"{table}: names no cell of this grid; run the same `synth train` command again.")
    return name


def read_provenance(network: Path) -> dict[str, Any]:
    """Return what a network says of itself.

    Keys of a network of `synth train`: cohort, class_name, label, fold, protocol, seen_image_id and seen_group_id (row
    by row), generator (gamma, target, lr, kimg), noise, quality, start, and licence when its start has one. Others
    (shipped ones, NVIDIA's) have name and licence; they have seen no image of a cohort.

    Raises `UserError`: the file is no network.
    """
    return read_described(network)[0]


def read_described(network: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a network says of itself, and its generator's configuration, of one look at the file.

    Raises `UserError`: as `read_provenance`.
    """
    from stylegan2_ada import NetworkFileError, read_header

    try:
        header = read_header(network)
    except NetworkFileError as error:
        raise UserError(str(error)) from error
    about: dict[str, Any] = header["about"]
    odd = next((name for name, fits in _FITS.items() if name in about and not fits(about[name])), None)
    if odd is None and len(about.get("seen_image_id", ())) != len(about.get("seen_group_id", ())):
        odd = "seen_group_id"
    if odd is not None:
        raise UserError(f"{network}: what it says of itself ({odd}) cannot be read; train it again or copy it again.")
    return about, header["generator"]


def licence_of(about: Mapping[str, Any]) -> str:
    """Return under what a network may be used, in a word or two: its licence, or whose it is."""
    return about.get("licence") or (OWN if about.get("cohort") else "not stated")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# name of an entry -> whether a value of it can be worked with
_FITS: dict[str, Callable[[Any], bool]] = {
    "licence": lambda value: isinstance(value, str | None),
    "cohort": lambda value: isinstance(value, str),
    "class_name": lambda value: isinstance(value, str),
    "label": lambda value: type(value) is int and value in (0, 1),
    "fold": lambda value: type(value) is int and -1 <= value <= 127,
    "protocol": lambda value: value in PROTOCOLS,
    "classes": lambda value: value is None or (isinstance(value, list) and all(isinstance(x, str) for x in value)),
    "quality": lambda value: value is None or isinstance(value, dict),
    "seen_image_id": lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value),
    "seen_group_id": lambda value: isinstance(value, list) and all(type(each) is int for each in value),
    "generator": lambda value: isinstance(value, dict) and all(_is_number(value[n]) for n in ("kimg",) if n in value),
}


def licence_notice(name: str, licence: str | None) -> str | None:
    """Return what a user must know of a network's licence before using it, None when nothing limits the use."""
    if licence is None or licence in FREE_LICENCES:
        return None
    terms = (
        "not for commercial use, nor are networks that start from it"
        if "non-commercial" in licence
        else ("its terms hold for networks that start from it too")
    )
    return f"{name} is under the {licence}: {terms}; the licence is recorded with them and with what they draw"
