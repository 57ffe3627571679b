"""What the addresses of the service work with, and what several of them say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException

from shared.web.access import Access
from synth.service.artist import Artist
from synth.service.audit_log import AuditError, AuditLog
from synth.service.bundles import BundleOffer, Bundles
from synth.service.downloads import AtOnce
from synth.service.networks import Networks
from synth.service.options import Bounds
from synth.service.orders import OrderStore
from synth.service.requests import BundleState
from synth.service.supervisor import Places


@dataclass(frozen=True, eq=False)
class Parts:
    """The parts of a service.

    Attributes:
        bundles: in the operator's folders.
        ready: those that were ordered.
        trouble: returns a sentence where the service cannot do its work.
    """

    access: Access
    bounds: Bounds
    networks: Networks
    bundles: Bundles
    ready: Bundles
    orders: OrderStore
    places: Places
    artist: Artist
    audit: AuditLog
    downloads: AtOnce
    trouble: Callable[[], str | None]

    def note(self, who: str, what: str, **more: Any) -> None:
        """Write down what is about to be done.

        Raises `HTTPException`: it cannot be written down, so it is not done.
        """
        try:
            self.audit.write(who, what, **more)
        except AuditError as error:
            raise HTTPException(
                503, "what is given away must be written down, and cannot be now; try later."
            ) from error


def told(offer: BundleOffer) -> BundleState:
    """Return what clients are told of a bundle."""
    return BundleState(
        id=offer.sha256,
        bytes=offer.stamp.size,
        file_sha256=offer.file_sha256,
        network=offer.network,
        about=offer.about,
    )
