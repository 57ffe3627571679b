"""The screening page and its interface."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, TextIO

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import BaseModel, Field
from python_multipart.exceptions import FormParserError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser

from classify.screening.answer import Result, Service
from classify.screening.feedback import MAX_TEXT, ROLES, STATEMENTS, Answer, Feedback
from classify.screening.words import REHEARSAL, percentage
from shared.errors import UserError
from shared.images import BadPhotoError
from shared.web.access import Access
from shared.web.answers import refusals
from shared.web.application import bounded, new_application
from shared.web.guard import Guard

SCREEN, FEEDBACK = "screen", "feedback"  # scopes of tokens
SCOPES = (SCREEN, FEEDBACK)
MAX_UPLOAD_BYTES = 20 * 2**20
FORM_BYTES = 1 << 16  # of a form beside its photograph, and of any other request
MAX_FIELDS = 4
MAX_FIELD_BYTES = 1024  # a client may name an encoding that takes quadratic time, such as punycode
UPLOAD_S = 30.0
AT_ONCE = 64  # photographs that arrive, wait or are judged, each in memory; who comes then is asked to come again
FORM = "multipart/form-data"
SCREENS = ("/", "/api/v1/screen")  # addresses that photographs are sent to
ABOUT = (
    "Judges a photograph, and says how sure that is, or that it cannot. Not a medical device. Nothing of a photograph "
    "is stored or logged."
)
STATIC = {"style.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"}


class Removed(BaseModel):
    """That an answer was removed."""

    status: str = "removed"


class Told(BaseModel):
    """What somebody thinks of the page; kept only with consent."""

    consent: bool = Field(description="Without it nothing is kept.")
    role: str = Field(description=f"One of {', '.join(ROLES)}.")
    agreement: list[int] = Field(
        default=[], description=f"With each of the {len(STATEMENTS)} statements of the page, 1 to 5; or none of them."
    )
    text: str = Field(default="", description=f"At most {MAX_TEXT} characters.")


class Receipt(BaseModel):
    """By which an answer can be removed."""

    receipt: str


# The body is described by hand: declared, it would be read before the token is looked at.
PHOTO = {
    "requestBody": {
        "required": True,
        "content": {
            FORM: {
                "schema": {
                    "type": "object",
                    "required": ["photo"],
                    "properties": {
                        "photo": {"type": "string", "format": "binary", "description": "JPEG, PNG, WebP, TIFF or BMP"},
                        "evidence": {
                            "type": "boolean",
                            "default": False,
                            "description": "Whether to answer with a heat map.",
                        },
                    },
                }
            }
        },
    }
}


@dataclass(frozen=True, eq=False)
class Pages:
    """The page as HTML, with or without a result."""

    service: Service
    tokens: bool
    asks: bool

    def render(self, name: str, result: Result | None = None, error: str | None = None) -> str:
        """Return the whole page ("page.html"), or the result alone ("result.html")."""
        return (
            _templates()
            .get_template(name)
            .render(
                disease=self.service.disease,
                tokens=self.tokens,
                rehearsal=REHEARSAL if self.service.rehearses else None,
                statements=STATEMENTS if self.asks else (),
                roles=ROLES,
                max_text=MAX_TEXT,
                result=result,
                error=error,
            )
        )


@functools.cache
def _templates() -> Environment:
    loader = PackageLoader("classify.screening", "page")
    templates = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    templates.filters["percent"] = percentage
    return templates


@dataclass(frozen=True, eq=False)
class Screening:
    """Takes photographs out of forms, no more than `AT_ONCE` at the same time, and has them judged."""

    service: Service
    room: asyncio.Semaphore

    async def result(self, request: Request, *, evidence: bool | None) -> Result:
        """Return what is said of the photograph in a form; `evidence` None leaves it to the form."""
        if self.room.locked():
            raise HTTPException(503, "too many photographs wait; try again in 5 s.", {"Retry-After": "5"})
        async with self.room:
            content, asked = await _read_form(request)
            try:
                return await self.service.answer(content, evidence=asked if evidence is None else evidence)
            except BadPhotoError as error:
                raise HTTPException(400, f"the photograph cannot be read: {error}; send another one.") from error


async def _read_form(request: Request) -> tuple[bytes, bool]:
    """Return the photograph in a form, and whether evidence is asked for."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise HTTPException(422, f"photo: the field is missing; send it as {FORM}; see /docs.")
    try:
        async with request.form(max_files=1, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES) as form:
            photo, asked = form.get("photo"), str(form.get("evidence", "false")).lower()
            if not isinstance(photo, UploadFile):
                raise HTTPException(422, "photo: the field is missing, or no file; see /docs.")
            if asked not in ("true", "false"):
                raise HTTPException(422, "evidence: give true or false.")
            return await photo.read(), asked == "true"
    except FormParserError as error:  # some versions of Starlette pass it on
        raise HTTPException(400, f"the form cannot be read: {error}; see /docs.") from error


def make_app(service: Service, access: Access, feedback: Feedback | None = None) -> FastAPI:
    """Return the application; without `feedback` nobody is asked, and nothing is kept."""
    _keep_off_the_disk()
    app = new_application("Rarescreen: one photograph", ABOUT, lambda: _trouble(service))
    may_screen, screening = [access.needs(SCREEN)], Screening(service, asyncio.Semaphore(AT_ONCE))
    _add_page(app, Pages(service, access.tokens is not None, feedback is not None), screening, may_screen)
    _add_interface(app, screening, may_screen)
    if feedback is not None:
        _add_feedback(app, feedback, [access.needs(FEEDBACK)])
    return app


def _keep_off_the_disk() -> None:
    """Let no photograph be written to a disk, not even for a moment: larger uploads than are taken would be."""
    if not isinstance(getattr(MultiPartParser, "spool_max_size", None), int):
        raise UserError("serve: this Starlette writes uploads where it wants; install the version of constraints.txt.")
    MultiPartParser.spool_max_size = MAX_UPLOAD_BYTES + 1


def guarded(app: FastAPI, names: Sequence[str] = (), log: TextIO | None = None) -> Guard:
    """Return it with the bounds around it; `names` are those that it is called by elsewhere."""
    larger = dict.fromkeys(SCREENS, MAX_UPLOAD_BYTES + FORM_BYTES)
    return bounded(app, max_bytes=FORM_BYTES, seconds=UPLOAD_S, larger=larger, names=names, log=log)


def _add_page(app: FastAPI, pages: Pages, screening: Screening, may_screen: list[Any]) -> None:
    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    def page() -> str:
        return pages.render("page.html")

    @app.post("/", response_class=HTMLResponse, include_in_schema=False, dependencies=may_screen)
    async def page_with_result(request: Request) -> HTMLResponse:
        """Answer the page's form: the whole page, or for its script the result alone."""
        name = "result.html" if request.headers.get("x-part") == "result" else "page.html"
        try:
            return HTMLResponse(pages.render(name, await screening.result(request, evidence=True)))
        except HTTPException as refused:
            return HTMLResponse(pages.render(name, error=str(refused.detail)), refused.status_code, refused.headers)

    @app.get("/static/{name}", include_in_schema=False)
    def static(name: str) -> Response:
        if name not in STATIC:
            raise HTTPException(404)
        content = resources.files("classify.screening").joinpath("page", name).read_bytes()
        return Response(content, media_type=STATIC[name])


def _add_interface(app: FastAPI, screening: Screening, may_screen: list[Any]) -> None:
    @app.post(
        "/api/v1/screen",
        responses=refusals(400, 401),
        dependencies=may_screen,
        openapi_extra=PHOTO,
        tags=["screening"],
    )
    async def screen(request: Request) -> Result:
        """Judge one photograph; with `evidence` also say where it sees something."""
        return await screening.result(request, evidence=None)


def _trouble(service: Service) -> str | None:
    """Return why no photograph can be judged."""
    return None if service.engine.is_working else "the model does not answer; restart the service."


def _add_feedback(app: FastAPI, feedback: Feedback, may_tell: list[Any]) -> None:
    @app.post(
        "/api/v1/feedback",
        status_code=201,
        responses=refusals(400, 401),
        dependencies=may_tell,
        tags=["feedback"],
    )
    def tell(told: Told) -> Receipt:
        """Keep an answer to the usability questions, if the person agrees."""
        if not told.consent:
            raise HTTPException(400, "consent: nothing is kept without it.")
        try:
            return Receipt(receipt=feedback.keep(Answer(told.role, tuple(told.agreement), told.text)))
        except ValueError as error:
            raise HTTPException(400, str(error)) from error

    @app.delete(
        "/api/v1/feedback/{receipt}",
        responses=refusals(401, 404),
        dependencies=may_tell,
        tags=["feedback"],
    )
    def withdraw(receipt: str) -> Removed:
        """Remove an answer."""
        if not feedback.remove(receipt):
            raise HTTPException(404, "there is no such answer.")
        return Removed()
