"""Damage to files: what accidents and forgers do to bytes, and to the texts of JSON, TOML and CSV."""

import random
import re
from collections.abc import Callable

Damage = Callable[[random.Random, bytearray, int], None]
"""Changes some content, mostly at a place in it."""

# What stands in place of a value: other types, ends of what numbers can be, names of other columns
VALUES = (
    *(b"null", b"true", b"[]", b"{}", b'""', b"0", b"-1", b"1e999", b"NaN", b"Infinity", b"-0.0", b"1e-320", b"0x10"),
    *(b"99999999999999999999999", b"9" * 5000, b'"' + b"a" * 300 + b'"', b'"\\ud800"', b'"\\u0000"', b"=1+1", b"\x00"),
    *(b"[[[[[[[[1]]]]]]]]", b"[" * 3000, b'{"a":' * 500, b"../../etc/passwd", b"\xff\xfe", b"1979-05-27T07:32:00Z"),
)
_VALUE = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|true|false|null|[^,\n"{}\[\]:=]+')


def _flip(rng: random.Random, content: bytearray, place: int) -> None:
    content[place] ^= 1 << rng.randrange(8)


def _scatter(rng: random.Random, content: bytearray, place: int) -> None:
    for _ in range(rng.randint(1, 20)):
        content[rng.randrange(len(content))] = rng.randrange(256)
    content[place] = rng.randrange(256)


def _zero(rng: random.Random, content: bytearray, place: int) -> None:
    stop = min(place + rng.randint(1, 300), len(content))
    content[place:stop] = bytes(stop - place)


def _fill(rng: random.Random, content: bytearray, place: int) -> None:
    stop = min(place + rng.randint(1, 16), len(content))
    content[place:stop] = bytes([rng.choice([1, 127, 128, 255])]) * (stop - place)


def _insert(rng: random.Random, content: bytearray, place: int) -> None:
    content[place:place] = rng.randbytes(rng.randint(1, 64))


def _remove(rng: random.Random, content: bytearray, place: int) -> None:
    del content[place : place + rng.randint(1, 64)]


def _duplicate(rng: random.Random, content: bytearray, place: int) -> None:
    content[place:place] = content[place : place + rng.randint(1, 200)]


def _swap(rng: random.Random, content: bytearray, place: int) -> None:
    other, length = rng.randrange(len(content)), rng.randint(1, 100)
    first, second = sorted((place, other))
    length = min(length, second - first, len(content) - second)
    a, b = slice(first, first + length), slice(second, second + length)
    content[a], content[b] = content[b], content[a]


def _copy(rng: random.Random, content: bytearray, place: int) -> None:
    other = rng.randrange(len(content))
    length = min(rng.randint(1, 64), len(content) - max(place, other))
    content[place : place + length] = content[other : other + length]


def _append(rng: random.Random, content: bytearray, place: int) -> None:
    content += rng.choice([rng.randbytes, bytes])(rng.randint(1, 600))


def _truncate(rng: random.Random, content: bytearray, place: int) -> None:
    del content[place:]


KINDS: tuple[Damage, ...] = (
    _flip,
    _scatter,
    _zero,
    _fill,
    _insert,
    _remove,
    _duplicate,
    _swap,
    _copy,
    _append,
    _truncate,
)


def _value(rng: random.Random, content: bytearray, place: int) -> None:
    """Put another value where one stands, as a text file has them."""
    found = [each.span() for each in _VALUE.finditer(content, max(0, place - 200), place + 200)]
    if not found:
        return
    start, stop = rng.choice(found)
    other = rng.choice(found)
    content[start:stop] = rng.choice([*VALUES, bytes(content[other[0] : other[1]])])


def damage(rng: random.Random, content: bytes, *, is_text: bool) -> bytes:
    """Return `content` with one to three damages, of texts mostly to their values."""
    result = content
    while result == content:
        changed = bytearray(content)
        for _ in range(rng.choice([1, 1, 2, 3])):
            kind = _value if is_text and rng.random() < 0.7 else rng.choice(KINDS)
            kind(rng, changed, rng.randrange(len(changed)))
            if not changed:
                break
        result = bytes(changed)
    return result
