import hashlib
import struct
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import UserError
from shared.sealed import BLOCK_BYTES, Seal, open_sealed, write_sealed

FORMAT = "rarescreen-test"


def build(file: h5py.File) -> None:
    file.attrs["format"], file.attrs["version"] = FORMAT, 2
    file.create_group("group").create_dataset("column", data=np.arange(100), track_times=False)
    file.attrs["text"] = "some text of any length"


def open_it(path: Path) -> h5py.File:
    return open_sealed(path, format=FORMAT, version=2, what="sample", made_by="`make sample`")


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sealed") / "a.h5"
    write_sealed(path, build)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        open_it(path)
    text = str(caught.value)
    assert str(path) in text
    assert text.endswith(".")
    return text


def test_the_seal_is_the_hash_of_all_that_follows_the_block(sealed: Path) -> None:
    content = sealed.read_bytes()
    digest = hashlib.sha256(content[BLOCK_BYTES:]).hexdigest()
    line = f"rarescreen-test/2 sha256:{digest} bytes:{len(content) - BLOCK_BYTES}\n".encode()
    assert content[:BLOCK_BYTES] == line.ljust(512, b"\0")
    with open_it(sealed) as file:
        np.testing.assert_array_equal(file["group/column"][:], np.arange(100))


def test_the_same_content_gives_the_same_bytes_at_another_time(sealed: Path, tmp_path: Path) -> None:
    time.sleep(1.1)  # HDF5 counts time in seconds
    write_sealed(tmp_path / "b.h5", build)
    assert (tmp_path / "b.h5").read_bytes() == sealed.read_bytes()


def test_every_byte_of_the_block_counts(sealed: Path, tmp_path: Path) -> None:
    content, path = sealed.read_bytes(), tmp_path / "damaged.h5"
    for position in range(BLOCK_BYTES):
        path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        refusal(path)


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_every_bit_behind_the_block_counts(
    sealed: Path, tmp_path_factory: pytest.TempPathFactory, place: float, bit: int
) -> None:
    content = bytearray(sealed.read_bytes())
    content[BLOCK_BYTES + int(place * (len(content) - BLOCK_BYTES))] ^= 1 << bit
    path = tmp_path_factory.getbasetemp() / "bit.h5"
    path.write_bytes(content)
    assert "damaged" in refusal(path)


@given(share=st.floats(0, 1, exclude_max=True))
def test_every_truncation_is_named(sealed: Path, tmp_path_factory: pytest.TempPathFactory, share: float) -> None:
    content = sealed.read_bytes()
    path = tmp_path_factory.getbasetemp() / "short.h5"
    path.write_bytes(content[: int(share * len(content))])
    text = refusal(path)
    assert any(word in text for word in ("truncated", "empty", "not one of Rarescreen's files"))
    if share * len(content) >= BLOCK_BYTES:
        assert "truncated" in text


def test_bytes_behind_the_end_are_refused(sealed: Path, tmp_path: Path) -> None:
    path = tmp_path / "long.h5"
    path.write_bytes(sealed.read_bytes() + b"\0")
    assert "damaged" in refusal(path)


def test_other_files_are_refused_by_what_they_are(sealed: Path, tmp_path: Path) -> None:
    text, plain, picture = tmp_path / "a.txt", tmp_path / "plain.h5", tmp_path / "a.png"
    text.write_text("rare, but not ours\n" * 100)
    picture.write_bytes(b"\x89PNG" + bytes(1000))
    h5py.File(plain, "w").close()
    assert "not one of Rarescreen's files" in refusal(text)
    assert "not one of Rarescreen's files" in refusal(picture)
    assert "an HDF5 file, but not one of Rarescreen's" in refusal(plain)
    assert "no such file" in refusal(tmp_path / "missing.h5")
    assert "a folder" in refusal(tmp_path)


def test_another_format_and_a_newer_version_are_told_apart(sealed: Path) -> None:
    with pytest.raises(UserError, match=r"of format rarescreen-test, where the cohort is expected"):
        open_sealed(sealed, format="rarescreen-cohort", version=2, what="cohort")
    with pytest.raises(UserError, match=r"version 2 of the sample format.* up to 1; update"):
        open_sealed(sealed, format=FORMAT, version=1, what="sample")


def test_a_good_seal_around_something_else_is_refused(tmp_path: Path) -> None:
    body, path = b"not HDF5" * 100, tmp_path / "fake.h5"
    line = f"{FORMAT}/2 sha256:{hashlib.sha256(body).hexdigest()} bytes:{len(body)}\n".encode()
    path.write_bytes(line.ljust(BLOCK_BYTES, b"\0") + body)
    assert "not readable as HDF5" in refusal(path)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(sealed: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(sealed.read_bytes())

    def fail(file: h5py.File) -> None:
        build(file)
        raise RuntimeError("no space")

    with pytest.raises(RuntimeError, match="no space"):
        write_sealed(path, fail)
    assert path.read_bytes() == sealed.read_bytes()
    assert list(tmp_path.iterdir()) == [path]


def test_heaps_within_each_other_are_not_walked_for_ever(tmp_path: Path) -> None:
    """Each of 100,000 heaps holds all that follow: what is looked at must not grow with the square of their number."""
    count = 100_000
    heaps = b"".join(
        b"GCOL\x01\0\0\0" + struct.pack("<QHxxxxxxQ", (count - place) * 32 - 16, 1, 16) for place in range(count)
    )
    path = tmp_path / "heaps.h5"
    path.write_bytes(Seal("rarescreen-bundle", 1, hashlib.sha256(heaps).hexdigest(), len(heaps)).block() + heaps)
    with pytest.raises(UserError, match="a heap of texts has no end"):
        open_sealed(path, format="rarescreen-bundle", version=1, what="bundle")
