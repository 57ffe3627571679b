"""The screening page and its interface."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import BaseModel
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser

from classify.screening.answer import Result, Service
from classify.screening.engine import BusyEngineError
from classify.screening.feedback import MAX_TEXT, ROLES, STATEMENTS, Answer, Feedback
from shared import __version__
from shared.images import BadPhotoError
from shared.web.access import Access
from shared.web.answers import EVERYWHERE, answer_in_sentences, refusals
from shared.web.docs_page import add_docs
from shared.web.health import add_health
from shared.web.parameters import only_known_parameters

SCREEN, FEEDBACK = "screen", "feedback"  # scopes of tokens
SCOPES = (SCREEN, FEEDBACK)
MAX_UPLOAD_BYTES = 20 * 2**20
MAX_FIELDS = 4
STATIC = {"style.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"}

MultiPartParser.spool_max_size = MAX_UPLOAD_BYTES + 1  # no photograph is ever written to a disk, not even for a moment


class Removed(BaseModel):
    """That an answer was removed."""

    status: str = "removed"


class Told(BaseModel):
    """What somebody thinks of the page; kept only with consent."""

    consent: bool
    role: str
    agreement: list[int] = []
    text: str = ""


class Receipt(BaseModel):
    """By which an answer can be removed."""

    receipt: str


# The body is described by hand: declared, it would be read before the token is looked at.
PHOTO = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["photo"],
                    "properties": {
                        "photo": {"type": "string", "format": "binary", "description": "JPEG, PNG, WebP, TIFF or BMP"},
                        "evidence": {"type": "boolean", "default": False},
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
        environment = Environment(
            loader=PackageLoader("classify.screening", "page"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
        )
        return environment.get_template(name).render(
            disease=self.service.disease,
            tokens=self.tokens,
            statements=STATEMENTS if self.asks else (),
            roles=ROLES,
            max_text=MAX_TEXT,
            result=result,
            error=error,
        )


def make_app(service: Service, access: Access, feedback: Feedback | None = None) -> FastAPI:
    """Return the application; without `feedback` nobody is asked, and nothing is kept."""
    app = FastAPI(
        title="Rarescreen: one photograph",
        version=__version__,
        description="Judges a photograph, and says how sure that is, or that it cannot. Not a medical device. Nothing "
        "of a photograph is stored or logged.",
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(only_known_parameters)],
        responses=refusals(*EVERYWHERE),
    )
    answer_in_sentences(app)
    add_docs(app)
    add_health(app, lambda: _trouble(service))
    may_screen = [Depends(access.needs(SCREEN))]
    _add_page(app, Pages(service, access.tokens is not None, feedback is not None), may_screen)
    _add_interface(app, service, may_screen)
    if feedback is not None:
        _add_feedback(app, feedback, [Depends(access.needs(FEEDBACK))])
    return app


async def _screened(service: Service, request: Request, *, evidence: bool | None) -> Result:
    """Return what is said of the photograph in a form; `evidence` None leaves it to the form."""
    async with request.form(max_files=1, max_fields=MAX_FIELDS, max_part_size=MAX_UPLOAD_BYTES) as form:
        photo, asked = form.get("photo"), str(form.get("evidence", "false")).lower()
        if not isinstance(photo, UploadFile):
            raise HTTPException(422, "photo: the field is missing, or no file; see /docs.")
        if asked not in ("true", "false"):
            raise HTTPException(422, "evidence: give true or false.")
        content = await photo.read()
    try:
        return await service.answer(content, evidence=asked == "true" if evidence is None else evidence)
    except BadPhotoError as error:
        raise HTTPException(400, f"the photograph cannot be read: {error}; send another one.") from error
    except BusyEngineError as error:
        raise HTTPException(503, "too many photographs wait; try again in 5 s.", {"Retry-After": "5"}) from error


def _add_page(app: FastAPI, pages: Pages, may_screen: list[Any]) -> None:
    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    def page() -> str:
        return pages.render("page.html")

    @app.post("/", response_class=HTMLResponse, include_in_schema=False, dependencies=may_screen)
    async def page_with_result(request: Request) -> HTMLResponse:
        """Answer the page's form: the whole page, or for its script the result alone."""
        name = "result.html" if request.headers.get("x-part") == "result" else "page.html"
        try:
            return HTMLResponse(pages.render(name, await _screened(pages.service, request, evidence=True)))
        except HTTPException as refused:
            return HTMLResponse(pages.render(name, error=str(refused.detail)), refused.status_code, refused.headers)

    @app.get("/static/{name}", include_in_schema=False)
    def static(name: str) -> Response:
        if name not in STATIC:
            raise HTTPException(404)
        content = resources.files("classify.screening").joinpath("page", name).read_bytes()
        return Response(content, media_type=STATIC[name])


def _add_interface(app: FastAPI, service: Service, may_screen: list[Any]) -> None:
    @app.post(
        "/api/v1/screen",
        responses=refusals(400, 401),
        dependencies=may_screen,
        openapi_extra=PHOTO,
        tags=["screening"],
    )
    async def screen(request: Request) -> Result:
        """Judge one photograph; with `evidence` also say where it sees something."""
        return await _screened(service, request, evidence=None)


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
