"""The service as an application: its addresses, and the bounds around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from fastapi import Depends, FastAPI
from starlette.types import ASGIApp

from shared import __version__
from shared.web.answers import EVERYWHERE, answer_in_sentences, refusals
from shared.web.docs_page import add_docs
from shared.web.guard import LOOPBACK, Guard
from shared.web.health import add_health
from shared.web.limits import BodyLimit
from shared.web.parameters import only_known_parameters
from synth.service.bundle_routes import bundle_routes
from synth.service.network_routes import network_routes
from synth.service.options import BODY_S, MAX_BODY_BYTES
from synth.service.order_routes import audit_routes, order_routes, result_routes
from synth.service.parts import Parts

ABOUT = (
    "Synthetic images for partners who may not see the photographs. Only what was compared with them, and is "
    "shareable, can be downloaded."
)


def application(parts: Parts) -> FastAPI:
    """Return what answers."""
    app = FastAPI(
        title="Rarescreen synthesis",
        description=ABOUT,
        version=__version__,
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(only_known_parameters)],
        responses=refusals(*EVERYWHERE),
    )
    answer_in_sentences(app)
    add_docs(app)
    add_health(app, parts.trouble)
    for routes in (network_routes, bundle_routes, order_routes, result_routes, audit_routes):
        app.include_router(routes(parts), responses=refusals(401))
    return app


def guarded(app: FastAPI, names: Sequence[str] = (), log: TextIO | None = None) -> ASGIApp:
    """Return it with the bounds around it; `names` are those that it is called by elsewhere."""
    return Guard(BodyLimit(app, max_bytes=MAX_BODY_BYTES, seconds=BODY_S), names=(*LOOPBACK, *names), log=log)
