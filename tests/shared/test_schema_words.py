"""What a JSON schema allows, in words."""

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel
from pydantic import Field as Described

from shared.web.schema_words import DEEPEST, Field, fields, kind_words, pattern_words


class Inner(BaseModel):
    """Within."""

    seed: Annotated[int, Described(ge=0, le=9)] = 3


class Deep(BaseModel):
    """Refers to itself."""

    name: str
    next: "Deep | None" = None


class Outer(BaseModel):
    """Around."""

    inner: Inner
    many: list[Inner] = []
    share: float | None = Described(default=None, ge=0.5, description="Of all.")
    rule: Literal["a", "b"]
    fixed: Literal["one"] = "one"
    digest: str = Described(pattern="^[0-9a-f]{64}$")


def listed(model: type[BaseModel]) -> list[Field]:
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    return list(fields(schema, {"components": {"schemas": schema.get("$defs", {})}}))


def test_fields_are_listed_with_those_within() -> None:
    assert listed(Outer) == [
        Field("inner", "object", "Within."),
        Field("inner.seed", "whole number, 0 to 9, by default 3", ""),
        Field("many", "list of objects, by default []", ""),
        Field("many[].seed", "whole number, 0 to 9, by default 3", ""),
        Field("share", "number, at least 0.5, or null", "Of all."),
        Field("rule", 'one of "a", "b"', ""),
        Field("fixed", '"one", by default "one"', ""),
        Field("digest", "text, 64 hexadecimal digits (0-9, a-f)", ""),
    ]


def test_what_contains_itself_has_an_end() -> None:
    names = [each.name for each in listed(Deep)]
    assert names[:4] == ["name", "next", "next.name", "next.next"]
    assert len(names) < 20


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({}, "anything"),
        ({"type": "string", "format": "binary"}, "file"),
        ({"type": "integer", "minimum": 0, "maximum": 2**32 - 1}, "whole number, 0 to 4294967295"),
        ({"type": "number", "maximum": 2.5}, "number, at most 2.5"),
        ({"type": "boolean", "default": False}, "true or false, by default false"),
        ({"type": "array", "items": {"type": "string"}}, "list of: text"),
        ({"type": "string", "pattern": "^[!-~]{1,255}$"}, "text, of the form ^[!-~]{1,255}$"),
        ({"type": "string", "maxLength": 5}, "text, at most 5 characters"),
        ({"type": ["string", "null"]}, "text, or null"),
        ({"type": "array", "prefixItems": [{"type": "string"}]}, "list"),
        ({"type": "array", "items": True}, "list"),
        ({"type": "number", "minimum": float("inf")}, "number"),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, "number, above 0, at most 1"),
        ({"allOf": [{"type": "object"}, {"type": "null"}]}, "object, and null"),
    ],
)
def test_a_kind_in_words(schema: dict[str, object], words: str) -> None:
    assert kind_words(schema, {}) == words


def test_what_must_be_sent_is_told() -> None:
    schema = Deep.model_json_schema()
    told = fields(schema["$defs"]["Deep"], {"components": {"schemas": schema["$defs"]}}, depth=1, asked=True)
    assert [each.kind for each in told] == ["text, required", "object, or null"]


def test_a_list_of_itself_has_an_end() -> None:
    schema = {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}}
    api = {"components": {"schemas": {"Tree": schema}}}
    assert kind_words(schema, api) == f"{DEEPEST * 'list of: '}anything"
    assert list(fields(schema, api)) == []


def test_no_pattern_has_no_words() -> None:
    assert pattern_words(None) == ""
