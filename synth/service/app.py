"""The service as an application: its addresses, and the bounds around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from fastapi import FastAPI
from fastapi.responses import RedirectResponse
from starlette.types import ASGIApp

from shared.web.answers import refusals
from shared.web.application import bounded, new_application
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
    app = new_application("Rarescreen synthesis", ABOUT, parts.trouble)

    @app.get("/", include_in_schema=False)
    def start() -> RedirectResponse:
        return RedirectResponse("/docs")

    for routes in (network_routes, bundle_routes, order_routes, result_routes, audit_routes):
        app.include_router(routes(parts), responses=refusals(401))
    return app


def guarded(app: FastAPI, names: Sequence[str] = (), log: TextIO | None = None) -> ASGIApp:
    """Return it with the bounds around it; `names` are those that it is called by elsewhere."""
    return bounded(app, max_bytes=MAX_BODY_BYTES, seconds=BODY_S, names=names, log=log)
