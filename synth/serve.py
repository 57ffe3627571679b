"""Offer networks and bundles to partners who may not see the photographs, until told to stop."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from shared.console import say
from shared.files import claimed
from shared.web.access import Access
from shared.web.limits import RateLimit
from shared.web.server import require_safe, reserve
from shared.web.server import serve as answer
from shared.web.tokens import Tokens, issue
from synth.service.app import application, guarded
from synth.service.artist import Artist, ArtistProcess
from synth.service.audit_log import AuditLog
from synth.service.bundles import Bundles
from synth.service.database import address_of
from synth.service.downloads import AtOnce
from synth.service.networks import Networks
from synth.service.options import SCOPES, ServeOptions
from synth.service.orders import OrderStore
from synth.service.parts import Parts
from synth.service.supervisor import COMMAND, Places, Supervisor

AUDIT = "audit.jsonl"


def issue_token(tokens: Path, name: str, scopes: Sequence[str], days: float | None) -> str:
    """Return a new token, whose hash alone is kept.

    Raises `UserError`: as `shared.web.tokens.issue`.
    """
    return issue(tokens, name, scopes, allowed=SCOPES, days=days)


def serve(options: ServeOptions) -> None:
    """Answer until SIGINT or SIGTERM; the order at hand goes on at the next start.

    Raises `UserError`: whatever the user can mend, before anything is answered.
    """
    require_safe(options.address, options.tokens)
    with reserve(options.address) as listener, opened(options, ArtistProcess(options.device)) as parts:
        names = (*options.address.names, *options.names)
        answer(guarded(application(parts), names), listener, what="synthesis service")


@contextlib.contextmanager
def opened(options: ServeOptions, artist: Artist, worker: Sequence[str] = COMMAND) -> Iterator[Parts]:
    """Open all that a service needs, and let its orders be filled during the block.

    Raises `UserError`: whatever the user can mend; `BusyError`: another service has the store.
    """
    options.store.mkdir(mode=0o700, parents=True, exist_ok=True)
    busy = f"--store {options.store}: another service uses it; end that, or give another folder."
    with contextlib.ExitStack() as stack:
        stack.enter_context(claimed(options.store, busy))
        stack.callback(artist.close)
        tokens = None if options.tokens is None else Tokens(options.tokens)
        networks = Networks(options, artist)
        bounds, places, withheld = options.bounds, Places.inside(options.store), _unfiltered(networks)
        bundles, ready = Bundles(options.folders, withheld), Bundles([places.ready], withheld)
        audit = AuditLog(options.store / AUDIT)
        stack.callback(audit.close)
        orders = OrderStore(address_of(options.store, options.database), bounds)
        stack.callback(orders.close)
        supervisor = Supervisor(orders, networks.find, ready, places, options, worker)
        say(f"offered: {len(bundles.all())} bundles, {len(networks.all())} networks")
        supervisor.start()
        stack.callback(supervisor.stop)
        yield Parts(
            access=Access(tokens, RateLimit(bounds.per_minute)),
            bounds=bounds,
            networks=networks,
            bundles=bundles,
            ready=ready,
            orders=orders,
            places=places,
            artist=artist,
            audit=audit,
            downloads=AtOnce(bounds.downloads),
            trouble=_trouble(audit, orders, supervisor),
        )


def _unfiltered(networks: Networks) -> frozenset[str]:
    """Return the SHA-256 of networks whose pictures nobody looks through, and warn of them."""
    for path in networks.unfiltered.values():
        say(f"warning: pictures of {path} are given away, and nobody looks for copies of photographs among them.")
    return frozenset(networks.unfiltered)


def _trouble(audit: AuditLog, orders: OrderStore, supervisor: Supervisor) -> Callable[[], str | None]:
    def trouble() -> str | None:
        dead = None if supervisor.is_alive() else "orders are not worked on."
        return audit.trouble() or orders.trouble() or dead

    return trouble
