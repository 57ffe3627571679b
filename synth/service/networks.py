"""Networks that are offered: what clients are told of them, whether they draw, and whether they take orders."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.cohort import FORMAT as COHORT_FORMAT
from shared.console import say
from shared.errors import BusyError, UserError
from shared.sealed import read_seal
from shared.weights import WeightSource
from synth.networks import SHIPPED
from synth.networks.known import KNOWN
from synth.networks.provenance import FREE_LICENCES, NETWORK, OWN, TABLE, find_network
from synth.service.artist import MAX_DRAWN_PX, Artist, NetworkFacts
from synth.service.checks import ChangedError, Checks
from synth.service.options import ServeOptions

SUFFIX = ".safetensors"


@dataclass(frozen=True)
class NetworkOffer:
    """A network as it is offered.

    Attributes:
        cohort: file of the photographs that it saw, None where orders cannot be compared with them.
        draws: whether single pictures are drawn with it.
    """

    path: Path
    facts: NetworkFacts
    cohort: Path | None
    draws: bool

    @property
    def orders(self) -> bool:
        """Whether it takes orders: its bundles say which seeds are copies, and who can draw single seeds could look."""
        return self.no_orders is None

    @property
    def no_orders(self) -> str | None:
        """Why it takes no orders, for clients; None where it takes them."""
        if self.draws and self.facts.saw_photographs:
            return "no bundles are made of a network that draws single pictures and saw photographs; order of another."
        if self.cohort is None:
            return "no bundles are made of this network: there are no photographs to compare with; order of another."
        return None

    def wrong_class(self, index: int | None) -> str | None:
        """Return a sentence where a class is given that it has not, or none where it has several; else None."""
        count = len(self.facts.classes)
        if (index is None and not count) or (index is not None and index < count):
            return None
        wanted = f"give 0 to {count - 1}" if count else "leave it out"
        return f"class_index: this network draws {count or 'no'} classes to choose from; {wanted}."


class Networks:
    """The networks of a service: found once, and looked into again at every access.

    Raises `UserError`: no such network, or one that `--draw` names may not be drawn with.
    """

    def __init__(self, options: ServeOptions, artist: Artist) -> None:
        self._checks: Checks[NetworkFacts] = Checks(_looking_by(artist))
        source = WeightSource(folder=options.weights, offline=True)
        drawn = {find_network(name, source).resolve() for name in options.draw}
        found = [path.resolve() for name in options.networks for path in _files(name, source, artist)]
        self._paths = list(dict.fromkeys([*found, *sorted(drawn)]))
        self._cohorts = {_cohort_of(path): path for path in options.cohorts}
        self._draws = {path: artist.describe(path) for path in sorted(drawn)}
        for path, facts in self._draws.items():
            _require_drawable(path, facts, unfiltered=options.unfiltered)

    @property
    def unfiltered(self) -> dict[str, Path]:
        """Those, by their SHA-256, that saw photographs and draw all the same: bundles of theirs are not given away."""
        return {facts.sha256: path for path, facts in self._draws.items() if facts.saw_photographs}

    def all(self) -> list[NetworkOffer]:
        """Return those that can be offered now, each once."""
        offers = {offer.facts.sha256: offer for offer in map(self._at, self._paths) if offer is not None}
        return list(offers.values())

    def find(self, sha256: str) -> NetworkOffer | None:
        """Return the one whose file has a SHA-256 now."""
        return next((offer for offer in self.all() if offer.facts.sha256 == sha256), None)

    def _at(self, path: Path) -> NetworkOffer | None:
        try:
            known = self._checks.of(path)
        except (ChangedError, BusyError):
            return None
        if known is None:
            return None
        facts = known[1]
        return NetworkOffer(path, facts, self._cohorts.get(facts.cohort), facts == self._draws.get(path))


def _cohort_of(path: Path) -> str:
    seal = read_seal(path, what="cohort", made_by="`synth prepare`")
    if seal.format != COHORT_FORMAT:
        raise UserError(f"--cohort {path}: of format {seal.format}; give a cohort that `synth prepare` wrote.")
    return seal.sha256


def _looking_by(artist: Artist) -> Callable[[Path], NetworkFacts | None]:
    """Return what has an artist look into a file."""

    def look(path: Path) -> NetworkFacts | None:
        try:
            return artist.describe(path)
        except BusyError:
            raise
        except UserError as error:
            say(f"not offered: {error}")
            return None

    return look


def _require_drawable(path: Path, facts: NetworkFacts, *, unfiltered: bool) -> None:
    free = facts.licence in FREE_LICENCES or facts.licence == OWN
    if not free:
        raise UserError(
            f"--draw {path}: its licence ({facts.licence}) does not let pictures be given to everybody; leave it out."
        )
    if facts.size > MAX_DRAWN_PX:
        raise UserError(f"--draw {path}: pictures of {facts.size} px, and {MAX_DRAWN_PX} are the most; leave it out.")
    if facts.saw_photographs and not unfiltered:
        raise UserError(
            f"--draw {path}: it saw {facts.photographs} photographs, and nobody looks for copies of them in single "
            "pictures; leave it out and let partners order bundles, or take the risk with --unfiltered."
        )


def _files(name: str, source: WeightSource, artist: Artist) -> Iterator[Path]:
    """Give the network files that `--networks` means: one, or all in a folder that is no run's and no grid's.

    One that is named must be a network; in a folder, what is none is told of and left out when it is looked into.
    """
    path = Path(name)
    named = name in SHIPPED or name in KNOWN
    if named or not path.is_dir() or (path / NETWORK).is_file() or (path / TABLE).is_file():
        only = find_network(name, source)
        artist.describe(only)
        yield only
        return
    found = sorted(each for each in path.rglob(f"*{SUFFIX}") if each.is_file() and not each.is_symlink())
    if not found:
        raise UserError(f"--networks {name}: holds no network; give a folder with files that `synth train` wrote.")
    yield from found


def without_path(offer: NetworkOffer) -> dict[str, Any]:
    """Return what clients are told."""
    facts = dataclasses.asdict(offer.facts)
    told = {name: facts[name] for name in ("name", "size", "class_name", "licence", "photographs")}
    return told | {
        "id": offer.facts.sha256,
        "classes": list(offer.facts.classes),
        "draws": offer.draws,
        "orders": offer.orders,
    }
