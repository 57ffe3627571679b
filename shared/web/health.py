"""Whether a service lives, and whether it can do its work: for those who start, watch and balance services."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from shared import __version__
from shared.web.answers import refusals


class Health(BaseModel):
    """A service that answers."""

    status: str
    version: str


def add_health(app: FastAPI, trouble: Callable[[], str | None]) -> None:
    """Answer /healthz as long as the process lives, and /readyz with 503 and a sentence where `trouble` has one."""

    @app.get("/healthz", tags=["health"], summary="Whether the service lives.")
    def healthz() -> Health:
        return Health(status="ok", version=__version__)

    @app.get("/readyz", tags=["health"], summary="Whether it can do its work.", responses=refusals(503))
    def readyz() -> Health:
        sentence = trouble()
        if sentence is not None:
            raise HTTPException(503, sentence)
        return Health(status="ready", version=__version__)
