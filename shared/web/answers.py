"""Answers that are errors: one sentence as JSON, whatever went wrong."""

from __future__ import annotations

import json
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.types import Scope, Send

from shared.web.schema_words import pattern_words

WORDS = {
    400: "the body cannot be read: it is not JSON in UTF-8; see /docs.",
    404: "there is nothing at this address; see /docs.",
    405: "this address does not answer that; see /docs.",
}

EVERYWHERE = (403, 408, 413, 421, 422, 429, 500, 503)  # what the bounds around any address may answer


class Refusal(BaseModel):
    """What is answered instead of what was asked for."""

    error: str = Field(description="One sentence: what is wrong, and the way out.")


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return how FastAPI documents answers that are errors, for its argument `responses`."""
    return {status: {"model": Refusal, "description": HTTPStatus(status).phrase} for status in statuses}


async def refuse(
    scope: Scope, send: Send, status: int, sentence: str, headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """Send an error outside any application; `scope` is the request's."""
    del scope
    body = json.dumps({"error": sentence}).encode()
    own = {b"content-type": b"application/json", b"content-length": str(len(body)).encode(), b"connection": b"close"}
    await send({"type": "http.response.start", "status": status, "headers": [*own.items(), *headers]})
    await send({"type": "http.response.body", "body": body})


def answer_in_sentences(app: FastAPI) -> None:
    """Let an application answer every error as `{"error": sentence}`; what failed within is logged, and not told."""

    async def refused(request: Request, error: Exception) -> JSONResponse:
        del request
        assert isinstance(error, HTTPException)
        sentence = WORDS.get(error.status_code, str(error.detail)) if error.detail in _PLAIN else str(error.detail)
        return JSONResponse({"error": sentence}, error.status_code, headers=error.headers)

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        del request
        assert isinstance(error, RequestValidationError)
        return JSONResponse({"error": f"{_in_words(error.errors()[0])}; see /docs."}, 422)

    async def failed(request: Request, error: Exception) -> JSONResponse:
        del request, error  # Starlette raises it again for the log
        return JSONResponse({"error": "the service failed here, and its log says how; try again later."}, 500)

    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(Exception, failed)
    app.add_exception_handler(RequestValidationError, invalid)


def _in_words(error: dict[str, Any]) -> str:
    """Return what pydantic finds wrong with a value, and which one."""
    told, kind = error.get("ctx", {}), error["type"]
    if kind == "json_invalid":
        return f"the body is not JSON: at character {error['loc'][-1]}, {str(told.get('error', '')).lower()}"
    where = ".".join(str(part) for part in error["loc"] if part not in ("body", "query", "path", "header"))
    wrong = _OF_KIND.get(kind, error["msg"].lower())
    if kind == "string_pattern_mismatch":
        wrong = f"give {pattern_words(told['pattern']).replace('of the form', 'text of the form')}"
    return f"{where or 'the request'}: {wrong}"


# Of pydantic's kinds of errors, which it tells in words of Python
_OF_KIND = {
    "model_attributes_type": "give a JSON object",
    "model_type": "give a JSON object",
    "dict_type": "give a JSON object",
    "list_type": "give a JSON list",
    "string_type": "give a text",
    "int_type": "give a whole number",
    "int_parsing": "give a whole number",
    "int_from_float": "give a whole number",
    "float_type": "give a number",
    "float_parsing": "give a number",
    "bool_type": "give true or false",
    "bool_parsing": "give true or false",
    "extra_forbidden": "there is no such field; leave it out",
    "missing": "it is missing",
}
# Starlette's and FastAPI's own words
_PLAIN = ("Not Found", "Method Not Allowed", "There was an error parsing the body")
