"""Damaged bundles: whatever bytes change, one sentence or what was written, and never a crash.

Behind a seal that was made again libhdf5 meets the damage, and it may end or stop the process that reads. So this file
is a script too: it reads damaged bundles in a process of its own, and tells one line for each.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from bundle_parts import COLUMNS, contents_of, same, seal_again, sentence
from damage import KINDS
from waiting import until

from shared.bundle import Bundle, read_bundle, write_bundle
from shared.errors import UserError
from shared.files import PART
from shared.sealed import BLOCK_BYTES
from shared.stored import pieces_of

COUNTS = {"accident": 1500, "sealed again": 3000}
LIMIT_S = 20  # for one file, which takes about 0.01 s
LIMIT_BYTES = 1 << 30  # of address space, on top of what the process has before it reads
AS_SCRIPT = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}


def damaged(kind: str, number: int, content: bytes, places: dict[str, range]) -> bytes:
    """Return `content` with one to three damages that `number` decides, mostly where something stands."""
    rng = random.Random(f"{kind} {number}")
    start = 0 if kind == "accident" else BLOCK_BYTES
    result = content
    while result == content:
        changed = bytearray(content)
        for _ in range(rng.choice([1, 1, 2, 3])):
            among = range(start, len(content)) if rng.random() < 0.5 else rng.choice([*places.values()])
            place = min(rng.choice(among), len(changed) - 1)
            if place >= start:  # nothing may be left
                rng.choice(KINDS)(rng, changed, place)
        result = bytes(changed) if kind == "accident" else seal_again(bytes(changed))
    return result


def places_of(path: Path) -> dict[str, range]:
    """Return which bytes of a bundle hold what. The rest is free, or HDF5's own and carries its checksums."""
    content = path.read_bytes()
    heap = content.index(b"GCOL")  # the texts of the attributes, and how long each is
    places = {"attributes": range(heap, heap + int.from_bytes(content[heap + 8 : heap + 16], "little"))}
    with h5py.File(path) as file:
        for name in COLUMNS:
            dataset = file[name]
            if dataset.chunks:
                (chunk,) = (dataset.id.get_chunk_info(number) for number in range(dataset.id.get_num_chunks()))
                places[name] = range(chunk.byte_offset, chunk.byte_offset + chunk.size)
            else:
                places[name] = range(dataset.id.get_offset(), dataset.id.get_offset() + dataset.nbytes)
                assert content[places[name].start : places[name].stop] == dataset[()].tobytes()
    return places


def verdict(path: Path, places: dict[str, range], original: bytes, expected: dict[str, Any]) -> str:
    """Read the damaged bundle at `path` and return "refused", "accepted", or what is wrong."""
    try:
        bundle = read_bundle(path)
        found = contents_of(bundle)
        pieces = [*pieces_of(bundle.images), found["images"][:0]]
    except UserError as error:
        text = str(error)
        fits = text.startswith(f"{path}: ") and text.endswith(".") and text.isprintable()
        return "refused" if fits else f"not one sentence: {text!r}"
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is told
        return f"{type(error).__name__}: {error}"
    content = path.read_bytes()
    if found.keys() != expected.keys():
        return f"other columns: {found.keys() ^ expected.keys()}"
    for name, place in places.items():
        untouched = content[place.start : place.stop] == original[place.start : place.stop]
        if untouched and not same(found[name], expected[name]):
            return f"{name} is another, though none of its bytes changed"
    if not np.array_equal(np.concatenate(pieces), found["images"]):
        return "its pieces are not its images"
    return _written_again(path.with_name("again.h5"), bundle, found)


def _written_again(path: Path, bundle: Bundle, found: dict[str, Any]) -> str:
    """Return "accepted" if `bundle` is one that could have been written."""
    try:
        write_bundle(path, bundle)
        again = contents_of(read_bundle(path))
    except Exception as error:  # noqa: BLE001
        return f"accepted, but cannot be written: {type(error).__name__}: {error}"
    return "accepted" if all(same(again[name], found[name]) for name in found) else "accepted, but written differently"


def _read(whole: Path, folder: Path, kind: str, first: int, stop: int) -> None:
    """Read the damaged bundles `first` to `stop`, and tell of each what came of it."""
    import resource

    places, original, expected = places_of(whole), whole.read_bytes(), contents_of(read_bundle(whole))
    statm = Path("/proc/self/statm")
    if statm.exists():
        limit = int(statm.read_text().split()[0]) * resource.getpagesize() + LIMIT_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in range(first, stop):
        path = folder / f"{kind.replace(' ', '_')}.h5"
        path.write_bytes(damaged(kind, number, original, places))
        print(number, "begun", flush=True)
        signal.alarm(LIMIT_S)  # ends the process, even within libhdf5
        print(number, verdict(path, places, original, expected), flush=True)
        signal.alarm(0)


def _verdicts(whole: Path, folder: Path, kind: str) -> dict[int, str]:
    """Return what came of each damaged bundle; a process that ends early is started again behind the one it read."""
    found: dict[int, str] = {}
    while len(found) < COUNTS[kind]:
        command = [sys.executable, __file__, "read", whole, folder, kind, len(found), COUNTS[kind]]
        environment = AS_SCRIPT | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, env=environment, check=False)
        found |= {int(number): text for number, text in (line.split(" ", 1) for line in done.stdout.splitlines())}
        assert done.returncode <= 0, done.stderr
        if done.returncode:
            assert found, done.stderr
            last = max(found)
            assert found[last] == "begun", done.stderr
            found[last] = f"ended the process with {signal.Signals(-done.returncode).name}"
            ended = {number: text for number, text in found.items() if "ended" in text}
            assert len(ended) < 5, ended
    return found


@pytest.mark.skipif(os.name != "posix", reason="signals and limits are POSIX")
@pytest.mark.parametrize("kind", COUNTS)
def test_random_damage_is_one_sentence_and_never_wrong_data(kind: str, whole: Path, tmp_path: Path) -> None:
    verdicts = _verdicts(whole, tmp_path, kind)
    counts = Counter(verdicts.values())
    allowed = {"refused"} if kind == "accident" else {"refused", "accepted"}
    assert {f"{kind} {number}": text for number, text in verdicts.items() if text not in allowed} == {}
    assert counts.total() == COUNTS[kind]
    assert set(counts) == allowed
    assert min(counts.values()) > 200
    assert sum(COUNTS.values()) >= 2000


def test_every_bit_of_the_block_of_the_images_and_of_the_ids_counts(whole: Path, tmp_path: Path) -> None:
    content, path, places = whole.read_bytes(), tmp_path / "bundle.h5", places_of(whole)
    for place in (*range(BLOCK_BYTES), *places["images"], *places["seen/image_id"], *places["reference/image_id"]):
        for bit in range(8):
            path.write_bytes(content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :])
            sentence(path)


def test_every_truncation_is_refused(whole: Path, tmp_path: Path) -> None:
    path = shutil.copy(whole, tmp_path)
    for length in reversed(range(whole.stat().st_size)):
        os.truncate(path, length)
        text = sentence(path)
        assert "truncated" in text or length < BLOCK_BYTES


def test_images_that_are_damaged_after_the_file_was_opened_are_refused_or_right(whole: Path, tmp_path: Path) -> None:
    content, path, places = bytearray(whole.read_bytes()), tmp_path / "bundle.h5", places_of(whole)["images"]
    path.write_bytes(content)
    images, expected = read_bundle(path).images, np.asarray(read_bundle(whole).images)
    refusals = []
    for place in places:
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
        try:
            assert np.array_equal(images.read(slice(None)), expected)
        except UserError as error:
            refusals.append(str(error))
    assert all(text.startswith(f"{path}: its images are not readable") for text in refusals)
    assert len(refusals) >= len(places) - 1  # the last bits of a compressed stream may mean nothing


KILLS = 24


def _kill(first: Path, second: Path, folder: Path) -> None:
    """Write the two bundles in turn to folder/NUMBER/bundle.h5, and be killed at a random moment; and again."""
    rng, bundles = random.Random(0), [read_bundle(first), read_bundle(second)]
    for number in range(KILLS):
        path = folder / str(number) / "bundle.h5"
        path.parent.mkdir()
        if number % 2:
            shutil.copyfile(first, path)
        writer = os.fork()
        if not writer:
            with contextlib.suppress(BaseException):
                while True:
                    for bundle in reversed(bundles):
                        write_bundle(path, bundle)
            os._exit(1)
        until(lambda here=path.parent: next(here.glob(f".*{PART}"), None) is not None)
        time.sleep(rng.random() * 0.1)
        os.kill(writer, signal.SIGKILL)
        assert os.WTERMSIG(os.waitpid(writer, 0)[1]) == signal.SIGKILL


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
def test_a_writer_that_is_killed_leaves_no_bundle_or_a_whole_one(
    tmp_path: Path, make_bundle: Callable[..., Bundle]
) -> None:
    written = [tmp_path / "first.h5", tmp_path / "second.h5"]
    for path, count in zip(written, (150, 160), strict=True):
        write_bundle(path, make_bundle(candidates=2 * count, selected=tuple(range(count)), size=32))
    command = [sys.executable, __file__, "kill", *written, tmp_path]
    subprocess.run([*map(str, command)], check=True, env=AS_SCRIPT)
    whole = {path.read_bytes() for path in written}
    parts = []
    for number in range(KILLS):
        path = tmp_path / str(number) / "bundle.h5"
        assert path.exists() or number % 2 == 0
        if path.exists():
            assert path.read_bytes() in whole
            read_bundle(path)
        others = set(path.parent.iterdir()) - {path}
        assert all(part.suffix == PART and part.name[0] == "." for part in others)
        parts += others
    for part in parts:
        if part.read_bytes() not in whole:  # one that was sealed lacks its name alone
            sentence(part)
    assert len(parts) > KILLS // 2  # so it was killed while it wrote


if __name__ == "__main__":
    if sys.argv[1] == "kill":
        _kill(*map(Path, sys.argv[2:]))
    else:
        _read(*map(Path, sys.argv[2:4]), sys.argv[4], *map(int, sys.argv[5:]))
