"""Damaged bundles: whatever bytes change, one sentence or what was written, and never a crash.

Behind a seal that was made again libhdf5 meets the damage, and it may end or stop the process that reads. So this file
is a script too: it reads damaged bundles in a process of its own, and tells one line for each.
"""

import contextlib
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from damage import KINDS

from shared.bundle import Bundle, read_bundle, write_bundle
from shared.errors import UserError
from shared.files import PART
from shared.sealed import BLOCK_BYTES, Seal
from shared.stored import pieces_of

COUNTS = {"accident": 1500, "sealed again": 3000}
LIMIT_S = 20  # for one file, which takes about 0.01 s
LIMIT_BYTES = 1 << 30  # of address space, on top of what the process has before it reads
AS_SCRIPT = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
COLUMNS = (
    "images",
    "seed",
    "similarity",
    "discriminator",
    *(f"candidates/{name}" for name in ("seed", "similarity", "discriminator", "selected")),
    *(f"candidates/{name}" for name in ("by_similarity", "by_discriminator")),
    *(f"reference/{name}" for name in ("image_id", "similarity", "discriminator")),
    "seen/image_id",
    "seen/group_id",
)
OPEN = ("candidates/", "reference/")  # what is in a dictionary
SCORES = [name for name in COLUMNS if name.split("/")[-1] in ("similarity", "discriminator")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, make_bundle: Callable[..., Bundle]) -> Path:
    """A bundle as it was written; tests copy it before they change it."""
    path = tmp_path_factory.mktemp("whole") / "bundle.h5"
    write_bundle(path, make_bundle())
    return path


def sentence(path: Path) -> str:
    """Return the one sentence with which the reader refuses the bundle at `path`."""
    with pytest.raises(UserError) as caught:
        np.asarray(read_bundle(path).images)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert text.endswith(".")
    assert text.isprintable()  # no line break among others
    return text


def seal_again(content: bytes, **changes: Any) -> bytes:
    """Return the file `content` with a seal that is true of what stands behind it, but for `changes`."""
    body = content[BLOCK_BYTES:]
    return replace(Seal("rarescreen-bundle", 1, hashlib.sha256(body).hexdigest(), len(body)), **changes).block() + body


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


def contents_of(bundle: Bundle) -> dict[str, Any]:
    """Return all that a bundle holds, by the names of `places_of`."""
    arrays = {name: getattr(bundle, name.replace("/", "_")) for name in COLUMNS if not name.startswith(OPEN)}
    arrays |= {f"candidates/{name}": column for name, column in bundle.candidates.items()}
    arrays |= {f"reference/{name}": column for name, column in bundle.reference.items()}
    others = {each.name: getattr(bundle, each.name) for each in fields(bundle)}
    kept = {name: value for name, value in others.items() if not isinstance(value, np.ndarray)}
    for name in ("images", "path", "sha256", "candidates", "reference"):
        kept.pop(name, None)
    return {name: np.asarray(array) for name, array in arrays.items()} | {"attributes": kept}


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
        if untouched and not _same(found[name], expected[name]):
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
    return "accepted" if all(_same(again[name], found[name]) for name in found) else "accepted, but written differently"


def _same(a: Any, b: Any) -> bool:
    return bool(np.array_equal(a, b) and a.dtype == b.dtype) if isinstance(a, np.ndarray) else bool(a == b)


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


Edit = Callable[[h5py.File], Any]
ColumnEdit = Callable[[h5py.File, str], Any]


def tampered(whole: Path, path: Path, edit: Edit, **seal: Any) -> Path:
    """Put the bundle `whole`, changed by `edit`, to `path` with a seal that is true of it, but for `seal`."""
    shutil.copyfile(whole, path)
    with h5py.File(path, "r+", locking=False) as file:
        edit(file)
    path.write_bytes(seal_again(path.read_bytes(), **seal))
    return path


def _replaced(file: h5py.File, name: str, data: Any = None, **options: Any) -> None:
    del file[name]
    file.create_dataset(name, data=data, **options)


def _rows(change: Callable[[Any], Any], **options: Any) -> ColumnEdit:
    return lambda file, name: _replaced(file, name, change(file[name][()]), **options)


def _other_type(values: Any) -> Any:
    types = {"u": "i1", "b": "u1", "i": "i4", "f": "f8"}
    return np.arange(len(values)) if values.dtype.kind == "S" else values.astype(types[values.dtype.kind])


def _unwritten(dtype: Any = None, **options: Any) -> ColumnEdit:
    def edit(file: h5py.File, name: str) -> None:
        kept, shape = file[name].dtype, file[name].shape
        _replaced(file, name, shape=shape, dtype=kept if dtype is None else dtype, **options)

    return edit


def _soft_link(file: h5py.File, name: str) -> None:
    file.move(name, "candidates/hidden")  # where the format allows a column
    file[name] = h5py.SoftLink("/candidates/hidden")


def _instead(make: Callable[[str], Any]) -> ColumnEdit:
    def edit(file: h5py.File, name: str) -> None:
        del file[name]
        file[name] = make(name)

    return edit


def _virtual(file: h5py.File, name: str) -> None:
    shape, dtype = file[name].shape, file[name].dtype
    layout = h5py.VirtualLayout(shape=shape, dtype=dtype)
    layout[...] = h5py.VirtualSource("whole.h5", name, shape=shape)
    del file[name]
    file.create_virtual_dataset(name, layout)


OTHER_TYPE = "NAME (is of type|does not hold texts of a fixed length)"
NOT_PLAIN = "NAME is not stored plainly in the file"
NOT_ALL = "NAME has shape .*, of which the file does not hold all"
COLUMN_EDITS: dict[str, tuple[ColumnEdit, str]] = {
    "missing": (lambda file, name: file.pop(name), "NAME is missing"),
    "group": (lambda file, name: (file.pop(name), file.create_group(name)), "NAME is missing"),
    "named type": (_instead(lambda name: np.dtype("i8")), "NAME is neither a group nor a dataset"),
    "a row more": (_rows(lambda rows: np.concatenate([rows, rows[:1]])), "has shape"),
    "a row fewer": (_rows(lambda rows: rows[:-1]), "has shape"),
    "no row": (_rows(lambda rows: rows[:0]), "has shape"),
    "an axis more": (_rows(lambda rows: rows[..., None]), "NAME has shape"),
    "one value": (_rows(lambda rows: rows[(0,) * rows.ndim]), r"NAME has shape \(\)"),
    "nothing": (lambda file, name: _replaced(file, name, h5py.Empty("f4")), "NAME has shape None"),
    "another type": (_rows(_other_type), OTHER_TYPE),
    "compound": (_unwritten([("a", "i8"), ("b", "f4")]), OTHER_TYPE),
    "variable length": (_unwritten(h5py.vlen_dtype(np.int64)), OTHER_TYPE),
    "texts of any length": (_unwritten(h5py.string_dtype()), OTHER_TYPE),
    "references": (_unwritten(h5py.ref_dtype), OTHER_TYPE),
    "opaque": (_unwritten("V8"), OTHER_TYPE),
    "complex": (_unwritten("c8"), OTHER_TYPE),
    "soft link": (_soft_link, "NAME is a link to another place"),
    "external link": (_instead(lambda name: h5py.ExternalLink("whole.h5", name)), "NAME is a link to another place"),
    "second name": (lambda file, name: file.__setitem__("candidates/again", file[name]), "is a second name of another"),
    "virtual": (_virtual, NOT_PLAIN),
    "external storage": (_unwritten(external=[("whole.h5", 0, h5py.h5f.UNLIMITED)]), NOT_PLAIN),
    "lzf": (_rows(np.array, compression="lzf"), NOT_PLAIN),
    "shuffled": (_rows(np.array, shuffle=True), NOT_PLAIN),
    "not written": (_unwritten(), NOT_ALL),
    "chunks not written": (_unwritten(chunks=True), NOT_ALL),
}


@pytest.mark.parametrize("case", COLUMN_EDITS)
def test_each_column_in_turn(case: str, whole: Path, tmp_path: Path) -> None:
    edit, expected = COLUMN_EDITS[case]
    shutil.copyfile(whole, tmp_path / "whole.h5")  # so that links lead somewhere
    for name in COLUMNS:
        text = sentence(tampered(whole, tmp_path / "bundle.h5", lambda file, name=name: edit(file, name)))
        assert re.search(expected.replace("NAME", name), text)
        assert text.endswith("; make the bundle again with `synth select`.")


def test_a_column_stored_otherwise_is_a_column(whole: Path, tmp_path: Path) -> None:
    """What is refused above is not refused for being written by h5py again, nor for chunks that are whole."""
    expected = contents_of(read_bundle(whole))
    for options in ({}, {"chunks": True}, {"compression": "gzip"}):
        for name in COLUMNS if "compression" not in options else ("images",):
            edit = _rows(np.array, **options)
            bundle = read_bundle(
                tampered(whole, tmp_path / "b.h5", lambda file, name=name, edit=edit: edit(file, name))
            )
            found = contents_of(bundle)
            assert all(_same(found[each], expected[each]) for each in expected)


@pytest.mark.parametrize("name", ["seed", "candidates/similarity", "seen/image_id"])
def test_only_images_are_packed(name: str, whole: Path, tmp_path: Path) -> None:
    """Other columns are read at once: a small file must not become gigabytes."""
    path = tampered(whole, tmp_path / "b.h5", lambda file: _rows(np.array, compression="gzip")(file, name))
    with pytest.raises(UserError, match=f"{name} is not stored plainly"):
        read_bundle(path)


def test_images_in_huge_pieces_are_refused(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.columns.MAX_CHUNK_BYTES", 8 * 8 * 3 * 2)  # two images
    with pytest.raises(UserError, match="images is stored in pieces of more than 384 bytes"):
        read_bundle(whole)


@pytest.mark.parametrize("chunks", [None, True])
def test_many_rows_that_nobody_wrote_take_no_memory(chunks: bool | None, whole: Path, tmp_path: Path) -> None:
    """All lengths agree and are within the limits: 10 million images of 4096 px would be 500 TB."""

    def edit(file: h5py.File) -> None:
        for name in (name for name in COLUMNS if not name.startswith(("seen/", "reference/"))):
            shape, dtype = (10_000_000, *(4096, 4096, 3)[: file[name].ndim - 1]), file[name].dtype
            _replaced(file, name, shape=shape, dtype=dtype, fillvalue=1, chunks=chunks)
        file.attrs["size"] = 4096

    path = tampered(whole, tmp_path / "bundle.h5", edit)
    assert path.stat().st_size < 100_000
    assert "images has shape (10000000, 4096, 4096, 3), of which the file does not hold all" in sentence(path)


TEXTS = ("class_name", "protocol", "cohort", "rule", "shareable", "shareable_reason")
JSON = ("generator", "quality", "thresholds", "features", "memorization", "audit")
GONE = object()
NOT_UTF8 = object()
NO_TEXT = (GONE, NOT_UTF8, 3, 2.5, True, np.bytes_(b"yes"), ["yes", "yes"], h5py.Empty("S1"), "x" * (1 << 20 | 1))
NO_NUMBER = (GONE, "0", 0.5, True, [0, 0], [], h5py.Empty("i8"), -7, 2**40, np.bytes_(b"0"))
WRONG: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("format", *TEXTS), NO_TEXT),
    **dict.fromkeys(JSON, (*NO_TEXT, "", "{", "[]", "null", "1", "{'a': 1}", "[" * 100_000, '{"a": ' * 100_000)),
    "size": (*NO_NUMBER, 0, 7, 4096),
    "label": (*NO_NUMBER, 1.0, 2),
    "fold": (*NO_NUMBER, 0.0, 100),
    "version": (*NO_NUMBER, 1.0, 0, 2),
    "sigma": (GONE, "2", 2, True, [2.0, 2.0], h5py.Empty("f8"), float("nan"), float("inf")),
}


@pytest.mark.parametrize("name", WRONG)
def test_each_attribute_in_turn(name: str, whole: Path, tmp_path: Path) -> None:
    with h5py.File(whole) as file:
        assert set(file.attrs) == set(WRONG)
    for value in WRONG[name]:

        def edit(file: h5py.File, value: Any = value) -> None:
            del file.attrs[name]
            if value is NOT_UTF8:
                file.attrs.create(name, b"\xff\xfe", dtype=h5py.string_dtype())
            elif value is not GONE:
                file.attrs[name] = value

        assert sentence(tampered(whole, tmp_path / "bundle.h5", edit)).endswith("with `synth select`.")


@pytest.mark.parametrize("text", ["", "Yes", "YES", "yes ", "no\n", "true", "1", "maybe"])
def test_shareable_is_yes_or_no(text: str, whole: Path, tmp_path: Path) -> None:
    path = tampered(whole, tmp_path / "bundle.h5", lambda file: file.attrs.__setitem__("shareable", text))
    assert "its attribute shareable is neither yes nor no" in sentence(path)
    path = tampered(whole, path, lambda file: file.attrs.__setitem__("shareable", "yes"))
    assert read_bundle(path).shareable  # so it is the text that is refused


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite(name: str, value: float, whole: Path, tmp_path: Path) -> None:
    path = tampered(whole, tmp_path / "bundle.h5", lambda file: file[name].__setitem__(1, value))
    assert "a score is not finite" in sentence(path)


@pytest.mark.parametrize("seeds", [[100, 104, 105], [101, 101, 105], [101, 104, 7], [101, 104, 104]])
def test_images_that_are_not_the_selected_ones(seeds: list[int], whole: Path, tmp_path: Path) -> None:
    """Selected are the seeds 101, 104 and 105."""
    path = tampered(whole, tmp_path / "bundle.h5", lambda file: file["seed"].__setitem__(slice(None), seeds))
    assert "the selected candidates are not its images" in sentence(path)


@pytest.mark.parametrize("weight", [True, 0.5, 2])
def test_a_copy_among_the_images(weight: Any, whole: Path, tmp_path: Path) -> None:
    copies = (np.arange(7) == 4) * weight
    path = tampered(whole, tmp_path / "bundle.h5", lambda file: file.create_dataset("candidates/is_copy", data=copies))
    assert "a copy of a photograph is selected" in sentence(path)


@pytest.mark.parametrize(
    ("seal", "attribute", "problem"),
    [
        (2, 1, "written in version 2 of the bundle format, of which this program knows versions up to 1; update"),
        (2, 2, "written in version 2 of the bundle format, of which this program knows versions up to 1; update"),
        (999_999_999, 1, "written in version 999999999 of the bundle format"),
        (1, 2, "its attribute version is missing or not a whole number from 1 to 1"),
        (0, 1, "damaged in its first 512 bytes"),
        (0, 0, "damaged in its first 512 bytes"),
        ("01", 1, "damaged in its first 512 bytes"),
        (10**9, 1, "damaged in its first 512 bytes"),
    ],
)
def test_a_version_that_nobody_knows(seal: Any, attribute: int, problem: str, whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "bundle.h5"
    tampered(whole, path, lambda file: file.attrs.__setitem__("version", attribute), version=seal)
    assert problem in sentence(path)


def test_a_format_that_is_not_that_of_the_seal(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "bundle.h5"
    tampered(whole, path, lambda file: file.attrs.__setitem__("format", "rarescreen-candidates"))
    assert "its attributes format and version are not those of its seal" in sentence(path)
    tampered(whole, path, lambda file: None, format="rarescreen-candidates")
    assert "of format rarescreen-candidates, where the bundle is expected" in sentence(path)


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[31mred", "\u2028", "candidates/tab\t", "x" * 60_000, "../up"])
def test_names_of_the_file_do_not_break_the_sentence(name: str, whole: Path, tmp_path: Path) -> None:
    path = tampered(whole, tmp_path / "bundle.h5", lambda file: file.create_dataset(name, data=np.ones((2, 2))))
    assert len(sentence(path)) < 1000


def test_a_name_that_is_no_text(whole: Path, tmp_path: Path) -> None:
    sentence(
        tampered(whole, tmp_path / "bundle.h5", lambda file: file.create_dataset(b"candidates/\xff", data=[1.0] * 7))
    )


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
