"""What can be started from, or drawn with, by name or as a file: size, licence and checksum of each."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table
from rich.text import Text

from shared.console import say, tabulate
from shared.errors import UserError
from shared.files import sha256_of
from shared.weights import SHOWN_DIGITS, WeightSource, find_weights
from synth.networks import SHIPPED, shipped_network
from synth.networks.known import KNOWN, KnownNetwork
from synth.networks.provenance import licence_of, read_described

SUFFIXES = (".safetensors", ".pkl")


@dataclass(frozen=True)
class Listed:
    """One network: what `--start` and `generate` call it, side of its pictures in px, licence and SHA-256.

    `sha256` is empty for a published network that was not downloaded yet.
    """

    name: str
    size: int
    classes: int
    licence: str
    sha256: str


def list_networks(folders: Sequence[Path] = ()) -> list[Listed]:
    """Return shipped and published networks, and those in `folders`; what cannot be read is said and left out.

    Raises `UserError`: no such folder.
    """
    listed = [_describe(name, path) for name, path in _shipped()]
    listed += [_published(name, network) for name, network in KNOWN.items()]
    for name, path in _candidates(folders):
        try:
            listed.append(_describe(name, path))
        except (UserError, OSError) as error:
            say(str(error))
    return listed


def print_networks(folders: Sequence[Path] = ()) -> None:
    """Show `list_networks` as a table on standard output.

    Raises `UserError`: no such folder.
    """
    table = Table("name", "px", "classes", "licence", "sha256", box=None, padding=(0, 2, 0, 0))
    for each in list_networks(folders):
        checksum = each.sha256[:SHOWN_DIGITS] or "not downloaded"
        row = (each.name, str(each.size), str(each.classes or "–"), each.licence, checksum)
        table.add_row(*map(Text, row))  # and not as markup, which a file's name may look like
    tabulate(table)


def _shipped() -> Iterator[tuple[str, Path]]:
    for name in SHIPPED:
        path = shipped_network(name)
        assert path is not None
        yield name, path


def _published(name: str, network: KnownNetwork) -> Listed:
    """Describe a published network without fetching it."""
    sha256 = ""
    with contextlib.suppress(UserError):
        sha256 = find_weights(network.file, WeightSource(offline=True)).sha256
    return Listed(name, network.size, network.classes, network.licence, sha256)


def _candidates(folders: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; give one with network files.")
        for path in sorted(folder.rglob("*")):
            if path.suffix in SUFFIXES and path.is_file():
                yield str(path), path


def _describe(name: str, path: Path) -> Listed:
    about, generator = read_described(path)
    return Listed(name, generator["img_resolution"], generator["c_dim"], licence_of(about), sha256_of(path))
