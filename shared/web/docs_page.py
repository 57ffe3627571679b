"""A page that lists what a service answers: made from its OpenAPI description, without a script or a foreign host."""

from __future__ import annotations

from html import escape
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a;
  background: #fff }
h2 { font-size: 1.05rem; margin: 2rem 0 .3rem; font-family: ui-monospace, monospace }
table { border-collapse: collapse; margin: .5rem 0 }
td, th { text-align: left; vertical-align: top; padding: .2rem 1rem .2rem 0; border-bottom: 1px solid #ddd }
code { font-family: ui-monospace, monospace }
@media (prefers-color-scheme: dark) { body { background: #16181c; color: #e6e6e6 } td, th { border-color: #444 }
  a { color: #8ab4ff } }
"""


def add_docs(app: FastAPI) -> None:
    """Answer /docs with a page and /docs.css with its style; the application must have no other /docs."""

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(page(app.openapi()))

    @app.get("/docs.css", include_in_schema=False)
    def style() -> Response:
        return Response(STYLE, media_type="text/css")


def page(api: dict[str, Any]) -> str:
    """Return the page of an OpenAPI description."""
    title, about = escape(api["info"]["title"]), escape(api["info"].get("description", ""))
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="/docs.css"></head>'
        f'<body><h1>{title}</h1><p>{about}</p><p>For programs: <a href="/openapi.json">openapi.json</a>.</p>'
    ]
    for path, methods in api["paths"].items():
        parts += [_operation(f"{method.upper()} {path}", operation) for method, operation in methods.items()]
    return "\n".join([*parts, "</body></html>"])


def _operation(name: str, operation: dict[str, Any]) -> str:
    rows = [
        (parameter["name"], f"in {parameter['in']}", parameter.get("description", ""))
        for parameter in operation.get("parameters", [])
    ]
    rows += [(status, "answer", answer["description"]) for status, answer in operation["responses"].items()]
    cells = "".join(f"<tr><td><code>{escape(a)}</code><td>{escape(b)}<td>{escape(c)}</tr>" for a, b, c in rows)
    words = escape(" ".join([operation.get("summary", ""), operation.get("description", "")]).strip())
    return f"<h2>{escape(name)}</h2><p>{words}</p><table>{cells}</table>"
