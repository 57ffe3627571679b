"""Bundles that may be given away: found in folders, and looked into at every access."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.bundle import BUNDLE_FORMAT
from shared.console import say
from shared.errors import UserError
from shared.files import sha256_of
from shared.sealed import read_seal
from synth.bundles.info import describe
from synth.service.checks import ChangedError, Checks, Stamp

SUFFIX = ".h5"
MOST_FILES = 10_000
TOLD = ("images", "size", "class_name", "label", "fold", "protocol", "rule", "sigma", "shareable_reason", "version")


@dataclass(frozen=True)
class BundleOffer:
    """A bundle that is shareable.

    Attributes:
        sha256: of what is behind its seal: the identity that models and tables name.
        file_sha256: of the whole file, in hexadecimal.
        network: SHA-256 of the network that drew it.
        about: what clients are told.
    """

    path: Path
    stamp: Stamp
    sha256: str
    file_sha256: str
    network: str
    about: dict[str, Any]

    @property
    def digest(self) -> str:
        """The value of the header Repr-Digest (RFC 9530)."""
        return f"sha-256=:{base64.b64encode(bytes.fromhex(self.file_sha256)).decode()}:"


@dataclass(frozen=True)
class _Found:
    sha256: str
    file_sha256: str
    network: str
    about: dict[str, Any]


class Bundles:
    """The bundles in folders.

    Args:
        folders: looked through again and again, so that a file can be added and withdrawn.
        withheld: SHA-256 of networks whose bundles are not given away.
    """

    def __init__(self, folders: Sequence[Path], withheld: frozenset[str] = frozenset()) -> None:
        self._folders, self._withheld = [folder.resolve() for folder in folders], withheld
        self._checks: Checks[_Found] = Checks(_look)

    def all(self) -> list[BundleOffer]:
        """Return those that may be given away now, each once."""
        offers = [self.at(path) for path in self._paths()]
        return list({offer.sha256: offer for offer in reversed(offers) if offer is not None}.values())[::-1]

    def find(self, sha256: str) -> BundleOffer | None:
        """Return the one with an identity, if it may be given away now."""
        return next((offer for offer in map(self.at, self._paths()) if offer and offer.sha256 == sha256), None)

    def at(self, path: Path) -> BundleOffer | None:
        """Return the bundle at a path, if there is one that may be given away now."""
        try:
            known = self._checks.of(path)
        except ChangedError:
            return None
        if known is None or known[1].network in self._withheld:
            return None
        stamp, found = known
        return BundleOffer(path, stamp, found.sha256, found.file_sha256, found.network, found.about)

    def _paths(self) -> Iterator[Path]:
        """Give the files in the folders, no links and not through links."""
        left = MOST_FILES
        for folder in self._folders:
            for place, folders, files in os.walk(folder):
                folders[:] = sorted(name for name in folders if not name.startswith("."))
                for name in sorted(files):
                    left -= 1
                    if left >= 0 and name.endswith(SUFFIX) and not name.startswith("."):
                        yield Path(place, name)


def _look(path: Path) -> _Found | None:
    """Read a file whole; return None unless it is a bundle whose seal holds and that says it is shareable."""
    try:
        if read_seal(path, what="bundle", made_by="`synth select`").format != BUNDLE_FORMAT:
            return None
        about = describe(path)
        if about["shareable"] is not True:
            return None
        network = str(about["generator"].get("network", ""))
        told = {name: about[name] for name in TOLD} | {"licence": about["generator"].get("licence")}
        return _Found(about["sha256"], sha256_of(path), network, told)
    except (UserError, OSError) as error:
        say(f"not offered: {error}")
        return None


def is_empty(path: Path) -> bool:
    """Return whether a file is a bundle without an image: none of the candidates was kept."""
    try:
        return bool(describe(path)["images"] == 0)
    except (UserError, OSError):
        return False


def sha256_of_bytes(content: bytes) -> str:
    """Return the SHA-256 of some bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
