"""Photographs of strangers: decoded as our own are, and whatever they do, the next one is decoded again."""

import io
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from shared.decoding import Decoders
from shared.decoding_worker import MAX_PIXELS, answer
from shared.images import BadPhotoError, read_photo, to_square


def encoded(photo: np.ndarray, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(photo).save(stream, kind)
    return stream.getvalue()


PHOTO = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
CONTENT = encoded(PHOTO)


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    made = Decoders(1, size=16, fit="crop")
    yield made
    made.close()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF"])
def test_a_photograph_is_squared_as_a_cohort_is(decoders: Decoders, kind: str) -> None:
    content = encoded(PHOTO, kind)
    found = decoders.decode(content)
    np.testing.assert_array_equal(found.image, to_square(read_photo(io.BytesIO(content)), 16, "crop"))
    assert found.side_px == 60


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a JPEG, PNG"),
        (b"<svg onload=x>", "not a JPEG, PNG"),
        (CONTENT[:200], "truncated|unreadable"),
        (encoded(PHOTO[:4]), "too small"),
        (b"GIF89a" + b"\0" * 100, "not a JPEG, PNG"),
    ],
)
def test_what_is_none_is_refused_with_its_reason(decoders: Decoders, content: bytes, reason: str) -> None:
    with pytest.raises(BadPhotoError, match=reason):
        decoders.decode(content)
    assert decoders.decode(CONTENT).image.shape == (16, 16, 3)


def test_a_bomb_is_refused_before_it_is_unpacked(decoders: Decoders) -> None:
    """A small file that says that it has 900 million pixels."""
    stream = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(stream, "PNG")
    begun = time.monotonic()
    with pytest.raises(BadPhotoError, match="more than 50 million pixels"):
        decoders.decode(stream.getvalue())
    assert time.monotonic() - begun < 5
    assert MAX_PIXELS == 50_000_000


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("import time; time.sleep(60)", r"it took more than 0\.5 s"),
        ("import sys; sys.exit(3)", "its decoder broke off"),
        ("import os; os.abort()", "its decoder broke off"),
        ("import sys; sys.stdout.buffer.write(b'\\x01' + b'\\xff' * 8); sys.stdout.flush()", "its decoder broke off"),
        ("import sys; sys.stdout.buffer.write(b'\\x01'); sys.stdout.flush()", "its decoder broke off"),
    ],
)
def test_a_decoder_that_hangs_dies_or_lies_is_replaced(script: str, reason: str) -> None:
    decoders = Decoders(1, size=16, fit="crop", seconds=0.5)
    good, decoders._command = decoders._command, [sys.executable, "-c", script]
    decoders.close()
    decoders._idle.put(decoders._start())
    with pytest.raises(BadPhotoError, match=reason):
        decoders.decode(CONTENT)
    decoders._command, decoders._seconds = good, 30.0
    decoders.close()
    decoders._idle.put(decoders._start())
    assert decoders.decode(CONTENT).side_px == 60
    decoders.close()


def test_too_little_memory_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def burst(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("shared.decoding_worker.read_photo", burst)
    assert answer(CONTENT, 16, "crop") == (0, b"takes too much memory", 0)
