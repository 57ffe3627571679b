"""A page that lists what a service answers: made from its OpenAPI description, without a script or a foreign host."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response

from shared.web.schema_words import Field, fields, kind_words

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a;
  background: #fff }
nav ul { padding-left: 1.2rem } nav li { margin: .15rem 0; overflow-wrap: anywhere }
h2 { font-size: 1.05rem; margin: 2rem 0 .3rem; font-family: ui-monospace, monospace }
.wide { overflow-x: auto }
table { border-collapse: collapse; margin: .5rem 0 }
caption { text-align: left; white-space: nowrap; font-weight: 600; padding: .2rem 0 }
td, th { text-align: left; font-weight: normal; vertical-align: top; padding: .2rem 1rem .2rem 0;
  border-bottom: 1px solid #ddd }
code { font-family: ui-monospace, monospace }
@media (prefers-color-scheme: dark) { body { background: #16181c; color: #e6e6e6 } td, th { border-color: #444 }
  a { color: #8ab4ff } }
"""

TOKENS = (
    "Where the service has tokens, send yours with every request: <code>Authorization: Bearer TOKEN</code>. Where it "
    "has none it answers to this machine alone."
)
_ERROR = '<code>{"error": "a sentence"}</code>'


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
    title, about = escape(api["info"]["title"]), _marked(api["info"].get("description", ""))
    operations = [
        (f"{method.upper()} {path}", operation)
        for path, methods in api["paths"].items()
        for method, operation in methods.items()
    ]
    protected = any("security" in each for _, each in operations)
    refusals = [set(_refusals(each)) for _, each in operations]
    everywhere = set.intersection(*refusals) if refusals else set()
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="/docs.css"></head>'
        f'<body><h1>{title}</h1><p>{about}</p><p>For programs: <a href="/openapi.json">openapi.json</a>. '
        f"What is refused is answered with {_ERROR}, anywhere with {escape(', '.join(sorted(everywhere)))}.</p>",
        f"<p>{TOKENS}</p>" if protected else "",
        _contents(operations),
        *(_operation(name, each, api, everywhere) for name, each in operations),
    ]
    return "\n".join([*parts, "</body></html>"])


def _contents(operations: Sequence[tuple[str, dict[str, Any]]]) -> str:
    links = "".join(
        f'<li><a href="#{_anchor(name)}"><code>{escape(name)}</code></a> {_marked(_words(each))}</li>'
        for name, each in operations
    )
    return f'<nav aria-label="Addresses"><ul>{links}</ul></nav>'


def _anchor(name: str) -> str:
    return re.sub(r"\W+", "-", name).strip("-").lower()


def _words(operation: dict[str, Any]) -> str:
    return str(operation.get("description") or operation.get("summary", ""))


def _refusals(operation: dict[str, Any]) -> list[str]:
    return [f"{status} {answer['description']}" for status, answer in operation["responses"].items() if status >= "4"]


def _operation(name: str, operation: dict[str, Any], api: dict[str, Any], everywhere: set[str]) -> str:
    asked = [
        Field(
            each["name"],
            f"{kind_words(each['schema'], api)}, in {each['in']}{', required' if each.get('required') else ''}",
            each.get("description", ""),
        )
        for each in operation.get("parameters", [])
    ]
    parts = [f'<h2 id="{_anchor(name)}">{escape(name)}</h2><p>{_marked(_words(operation))}</p>']
    scopes = sorted({scope for each in operation.get("security", []) for some in each.values() for scope in some})
    if scopes:
        parts.append(f"<p>Needs a token of the scope <code>{escape(', '.join(scopes))}</code>.</p>")
    parts.append(_table("Asked for", asked))
    for media, body in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(_table(f"Body, {media}", fields(body["schema"], api, asked=True)))
    for status, answer in sorted(operation["responses"].items()):
        if status < "4":
            parts.append(f"<p><b>{escape(status)}</b> {_marked(answer['description'])}</p>")
            for media, content in answer.get("content", {}).items():
                table = _table(f"Answer, {media}", fields(content.get("schema", {}), api))
                parts.append("<p>The same answer as above.</p>" if table and table in parts else table)
    refused = sorted(set(_refusals(operation)) - everywhere)
    if refused:
        parts.append(f"<p>Also refused with {escape(', '.join(refused))}.</p>")
    return "".join(parts)


def _table(caption: str, rows: Iterable[Field]) -> str:
    cells = "".join(
        f'<tr><th scope="row"><code>{escape(each.name)}</code></th><td>{escape(each.kind)}</td>'
        f"<td>{_marked(each.about)}</td></tr>"
        for each in rows
    )
    return f'<div class="wide"><table><caption>{escape(caption)}</caption>{cells}</table></div>' if cells else ""


def _marked(text: str) -> str:
    """Return text as HTML, with what stands between backticks as code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))
