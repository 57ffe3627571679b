"""Answers that are errors: one sentence as JSON, whatever went wrong."""

from __future__ import annotations

import json
from collections.abc import Iterable

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import Scope, Send

WORDS = {404: "there is nothing at this address; see /docs.", 405: "this address does not answer that; see /docs."}


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
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path", "header"))
        return JSONResponse({"error": f"{where or 'the request'}: {first['msg'].lower()}; see /docs."}, 422)

    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(RequestValidationError, invalid)


_PLAIN = ("Not Found", "Method Not Allowed")  # Starlette's own words
