"""Photographs of strangers: decoded as our own are, and whatever they do, the next one is decoded again."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shared.decoding import ANSWER, REQUEST, Decoders
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


def saved(photo: Image.Image, kind: str, **more: Any) -> bytes:
    stream = io.BytesIO()
    photo.save(stream, kind, **more)
    return stream.getvalue()


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    return exif


ODD = {
    "a telephone held upright": (saved(Image.fromarray(PHOTO), "PNG", exif=turned()), np.rot90(PHOTO, -1)),
    "a second frame": (
        saved(Image.fromarray(PHOTO), "PNG", save_all=True, append_images=[Image.fromarray(255 - PHOTO)]),
        PHOTO,
    ),
    "a second page": (
        saved(Image.fromarray(PHOTO), "TIFF", save_all=True, append_images=[Image.fromarray(255 - PHOTO)]),
        PHOTO,
    ),
    "animated": (
        saved(
            Image.fromarray(PHOTO), "WEBP", save_all=True, lossless=True, append_images=[Image.fromarray(255 - PHOTO)]
        ),
        PHOTO,
    ),
    "ink": (saved(Image.fromarray(PHOTO).convert("CMYK"), "TIFF"), PHOTO),
    "16 bits": (
        saved(Image.fromarray(PHOTO[..., 0].astype(np.uint16) * 257), "PNG"),
        np.repeat(PHOTO[..., :1], 3, axis=2),
    ),
    "two pictures of one moment": (
        saved(Image.fromarray(PHOTO), "MPO", save_all=True, append_images=[Image.fromarray(255 - PHOTO)]),
        np.asarray(Image.open(io.BytesIO(encoded(PHOTO, "JPEG")))),
    ),
    "a profile that is none": (saved(Image.fromarray(PHOTO), "PNG", icc_profile=b"\xff" * 200), PHOTO),
}


@pytest.mark.parametrize("name", ODD)
def test_what_cameras_and_programs_write_is_seen_as_people_see_it(decoders: Decoders, name: str) -> None:
    content, seen = ODD[name]
    np.testing.assert_array_equal(decoders.decode(content).image, to_square(np.ascontiguousarray(seen), 16, "crop"))


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
    with pytest.raises(BadPhotoError, match="more than 50 million pixels"):
        decoders.decode(stream.getvalue())
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
    decoders = Decoders(1, size=16, fit="crop", seconds=0.5 if "sleep" in script else 60.0)
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


def test_a_decoder_that_was_ended_while_it_was_idle_harms_no_photograph() -> None:
    decoders = Decoders(1, size=16, fit="crop")
    process = decoders._idle.get()
    assert process is not None
    process._process.kill()
    process._process.wait()
    decoders._idle.put(process)
    assert decoders.decode(CONTENT).side_px == 60
    decoders.close()


def test_a_decoder_that_cannot_be_started_is_started_for_the_next_photograph(monkeypatch: pytest.MonkeyPatch) -> None:
    """A place that were lost each time the machine has no process to spare would end with nobody being answered."""
    decoders = Decoders(1, size=16, fit="crop")
    decoders.close()
    decoders._idle.put(None)
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", lambda *_, **__: (_ for _ in ()).throw(BlockingIOError(11, "no process")))
        with pytest.raises(BlockingIOError):
            decoders.decode(CONTENT)
    assert decoders.decode(CONTENT).side_px == 60
    decoders.close()


@pytest.mark.skipif(not hasattr(signal, "alarm"), reason="Windows has none")
def test_a_decoder_whose_service_is_gone_ends_by_itself() -> None:
    """Nobody is left who would kill it; and a photograph that was answered in time is no reason to end."""
    script = (
        "import sys, time; import shared.decoding_worker as worker\n"
        "worker.LAST_SECONDS = 5; answer = worker.answer\n"
        "worker.answer = lambda content, *rest: answer(content, *rest) if content else time.sleep(60)\n"
        "sys.argv = ['', '16', 'crop']; worker.main()"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        process.stdin.write(REQUEST.pack(len(CONTENT)) + CONTENT)
        process.stdin.flush()
        assert ANSWER.unpack(process.stdout.read(ANSWER.size)) == (1, 3 * 16**2, 60)
        time.sleep(5.5)
        assert process.poll() is None
        process.stdin.write(REQUEST.pack(0))
        process.stdin.flush()
        assert process.wait(30) == -signal.SIGALRM


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such bounds")
def test_a_decoder_has_bounded_memory_and_writes_no_file(tmp_path: Path) -> None:
    script = (
        "import sys; from shared.decoding_worker import bound; bound()\n"
        "try: bytearray(3 << 30)\nexcept MemoryError: print('memory')\n"
        "try:\n with open(sys.argv[1], 'wb', buffering=0) as stream: stream.write(b'x')\n"
        "except OSError: print('file')\n"
    )
    command = [sys.executable, "-c", "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n" + script]
    said = subprocess.run([*command, str(tmp_path / "f")], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["memory", "file"]


def test_too_little_memory_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def burst(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("shared.decoding_worker.read_photo", burst)
    assert answer(CONTENT, 16, "crop") == (0, b"takes too much memory", 0)


def test_what_a_decoding_library_complains_of_reaches_no_log(capfd: pytest.CaptureFixture[str]) -> None:
    stream = io.BytesIO()
    Image.fromarray(PHOTO).save(stream, "TIFF", compression="tiff_lzw")
    content = bytearray(stream.getvalue())
    content[8 + 40 : 8 + 400] = b"\xff" * 360
    decoders = Decoders(1, size=16, fit="crop")
    with contextlib.suppress(BadPhotoError):
        decoders.decode(bytes(content))
    decoders.close()
    assert capfd.readouterr() == ("", "")
