"""What a JSON schema allows, in words for people: the rows of a table of fields."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Schema = dict[str, Any]

DEEPEST = 3  # fields within fields that are listed
KINDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "array": "list",
    "object": "object",
    "null": "null",
}


@dataclass(frozen=True)
class Field:
    """A value that is sent or answered.

    Attributes:
        name: with those of the objects around it, such as request.seed, and [] after lists.
        kind: what it may be, such as "whole number, 1 to 8".
        about: its description.
    """

    name: str
    kind: str
    about: str


def fields(schema: Schema, api: Schema, before: str = "", depth: int = DEEPEST) -> Iterator[Field]:
    """Yield the fields of an object, and of the objects within; `api` is the OpenAPI description around it."""
    schema = resolved(schema, api)
    for each in schema.get("anyOf", []):
        yield from fields(each, api, before, depth)
    if schema.get("type") == "array":
        yield from fields(schema["items"], api, f"{before}[]", depth)
    for name, inner in schema.get("properties", {}).items():
        path = f"{before}.{name}" if before else name
        yield Field(
            path, kind_words(inner, api), inner.get("description") or resolved(inner, api).get("description", "")
        )
        if depth > 1:
            yield from fields(inner, api, path, depth - 1)


def resolved(schema: Schema, api: Schema) -> Schema:
    """Return what a reference within the description points to."""
    while "$ref" in schema:
        schema = api["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def kind_words(schema: Schema, api: Schema) -> str:
    """Return what a value may be, in words."""
    default = f", by default {json.dumps(schema['default'])}" if schema.get("default") is not None else ""
    return _kind(schema, api) + default


def _kind(schema: Schema, api: Schema) -> str:
    schema = resolved(schema, api)
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return ", or ".join(_kind(each, api) for each in schema[several])
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return "one of " + ", ".join(json.dumps(each) for each in schema["enum"])
    if schema.get("type") == "array":
        inner = _kind(schema["items"], api)
        return "list of objects" if inner == "object" else f"list of: {inner}"
    if schema.get("format") == "binary":
        return "file"
    kind = KINDS.get(schema.get("type", ""), "anything")
    return ", ".join(filter(None, (kind, _range(schema), pattern_words(schema.get("pattern")))))


def _range(schema: Schema) -> str:
    least, most = (_plain(schema.get(end)) for end in ("minimum", "maximum"))
    if least and most:
        return f"{least} to {most}"
    return f"at least {least}" if least else most and f"at most {most}"


def _plain(number: float | None) -> str:
    """Return a number as people write it: FastAPI tells the bounds of whole ones as 8.0."""
    return "" if number is None else str(int(number) if number == int(number) else number)


def pattern_words(pattern: str | None) -> str:
    """Return a regular expression in words where it is a number of hexadecimal digits, else of which form it is."""
    if pattern is None:
        return ""
    digits = re.fullmatch(r"\^\[0-9a-f\]\{(\d+)\}\$", pattern)
    return f"{digits[1]} hexadecimal digits (0-9, a-f)" if digits else f"of the form {pattern}"
