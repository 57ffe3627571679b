"""An application as every service of ours is one: documented without a script, watched, and bounded on all sides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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


def new_application(title: str, about: str, trouble: Callable[[], str | None]) -> FastAPI:
    """Return an application that answers /docs, /openapi.json, /healthz and /readyz, and every error in a sentence.

    Args:
        title: of its documentation.
        about: a sentence or two for it.
        trouble: returns a sentence where the service cannot do its work (`shared.web.health`).
    """
    app = FastAPI(
        title=title,
        description=about,
        version=__version__,
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(only_known_parameters)],
        responses=refusals(*EVERYWHERE),
    )
    answer_in_sentences(app)
    add_docs(app)
    add_health(app, trouble)
    return app


def bounded(
    app: ASGIApp,
    *,
    max_bytes: int,
    seconds: float,
    larger: Mapping[str, int] | None = None,
    names: Sequence[str] = (),
    log: TextIO | None = None,
) -> Guard:
    """Return an application with the bounds around it.

    Args:
        app: what answers.
        max_bytes: of a request's body.
        seconds: in which it must have arrived.
        larger: bytes of a body at the addresses that take more.
        names: hosts that it is called by, besides those of this machine.
        log: where a line a request goes; standard error by default.
    """
    return Guard(
        BodyLimit(app, max_bytes=max_bytes, seconds=seconds, larger=larger), names=(*LOOPBACK, *names), log=log
    )
