"""What a JSON schema allows, in words for people: the rows of a table of fields.

It knows what pydantic writes; of anything else it says less, and never fails.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Schema = dict[str, Any]

DEEPEST = 6  # steps into objects, lists and alternatives
KINDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "array": "list",
    "object": "object",
    "null": "null",
}
SEVERAL = ("anyOf", "oneOf", "allOf")
ANYTHING = "anything"


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


def fields(
    schema: Schema, api: Schema, before: str = "", depth: int = DEEPEST, *, asked: bool = False
) -> Iterator[Field]:
    """Yield the fields of an object, and of the objects within.

    Args:
        schema: of it.
        api: the OpenAPI description around it.
        before: name of what it is within.
        depth: how many steps into objects, lists and alternatives are taken.
        asked: whether it is sent by clients, who must know what is required.
    """
    schema = resolved(schema, api)
    if depth < 1:
        return
    for several in SEVERAL:
        for each in schema.get(several, []):
            yield from fields(each, api, before, depth - 1, asked=asked)
    if isinstance(schema.get("items"), dict):
        yield from fields(schema["items"], api, f"{before}[]", depth - 1, asked=asked)
    for name, inner in schema.get("properties", {}).items():
        path = f"{before}.{name}" if before else name
        needed = ", required" if asked and name in schema.get("required", ()) else ""
        about = inner.get("description") or resolved(inner, api).get("description", "")
        yield Field(path, kind_words(inner, api) + needed, about)
        yield from fields(inner, api, path, depth - 1, asked=asked)


def resolved(schema: Schema, api: Schema) -> Schema:
    """Return what a reference within the description points to."""
    while "$ref" in schema:
        schema = api["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def kind_words(schema: Schema, api: Schema) -> str:
    """Return what a value may be, in words."""
    default = f", by default {json.dumps(schema['default'])}" if schema.get("default") is not None else ""
    return _kind(schema, api, DEEPEST) + default


def _kind(schema: Schema, api: Schema, depth: int) -> str:
    schema = resolved(schema, api)
    if depth < 1:
        return ANYTHING
    for several in SEVERAL:
        if several in schema:
            between = ", and " if several == "allOf" else ", or "
            return between.join(_kind(each, api, depth - 1) for each in schema[several])
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return "one of " + ", ".join(json.dumps(each) for each in schema["enum"])
    if isinstance(schema.get("items"), dict):
        inner = _kind(schema["items"], api, depth - 1)
        return "list of objects" if inner == "object" else f"list of: {inner}"
    if schema.get("format") == "binary":
        return "file"
    kinds = schema.get("type", [])
    named = [KINDS.get(each, ANYTHING) for each in ([kinds] if isinstance(kinds, str) else kinds)]
    parts = (", or ".join(named) or ANYTHING, _range(schema), _length(schema), pattern_words(schema.get("pattern")))
    return ", ".join(filter(None, parts))


def _range(schema: Schema) -> str:
    least, most = (_plain(schema.get(end)) for end in ("minimum", "maximum"))
    above, below = (_plain(schema.get(end)) for end in ("exclusiveMinimum", "exclusiveMaximum"))
    if least and most:
        return f"{least} to {most}"
    ends = {"at least": least, "above": above, "at most": most, "below": below}
    return ", ".join(f"{words} {end}" for words, end in ends.items() if end)


def _length(schema: Schema) -> str:
    most = schema.get("maxLength")
    return "" if most is None else f"at most {most} characters"


def _plain(number: float | None) -> str:
    """Return a number as people write it: FastAPI tells the bounds of whole ones as 8.0."""
    if number is None or not math.isfinite(number):
        return ""
    return str(int(number) if number == int(number) else number)


def pattern_words(pattern: str | None) -> str:
    """Return a regular expression in words where it is a number of hexadecimal digits, else of which form it is."""
    if pattern is None:
        return ""
    digits = re.fullmatch(r"\^\[0-9a-f\]\{(\d+)\}\$", pattern)
    return f"{digits[1]} hexadecimal digits (0-9, a-f)" if digits else f"of the form {pattern}"
