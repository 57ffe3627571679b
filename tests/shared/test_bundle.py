from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from shared.bundle import Bundle, Candidates, read_bundle, read_candidates, write_bundle, write_candidates
from shared.cohort import Cohort, read_cohort, write_cohort
from shared.columns import MAX_ATTRIBUTE_CHARS
from shared.errors import UserError
from shared.stored import MadeImages, pieces_of


def assert_same(old: Candidates, new: Candidates) -> None:
    assert type(old) is type(new)
    for field in fields(old):
        a, b = getattr(old, field.name), getattr(new, field.name)
        if isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, np.asarray(b))
        elif field.name in ("candidates", "reference"):
            assert a.keys() == b.keys()
            for name in a:
                assert a[name].dtype.kind == b[name].dtype.kind
                np.testing.assert_array_equal(a[name], b[name])
        elif field.name not in ("path", "sha256"):
            assert a == b


def test_a_bundle_comes_back_as_it_was_written(tmp_path: Path, make_bundle: Callable[..., Bundle]) -> None:
    bundle, path = make_bundle(), tmp_path / "bundle.h5"
    sha256 = write_bundle(path, bundle)
    back = read_bundle(path)
    assert_same(bundle, back)
    assert (back.path, back.sha256, back.size, len(back)) == (path, sha256, 8, 3)


def test_candidates_come_back_as_they_were_written(
    tmp_path: Path, make_bundle: Callable[..., Bundle], candidates_of: Callable[[Bundle], Candidates]
) -> None:
    candidates, path = replace(candidates_of(make_bundle()), fold=-1), tmp_path / "candidates.h5"
    sha256 = write_candidates(path, candidates)
    assert_same(candidates, read_candidates(path))
    assert read_candidates(path).sha256 == sha256


def test_none_selected_is_a_bundle_too(tmp_path: Path, make_bundle: Callable[..., Bundle]) -> None:
    bundle = make_bundle(selected=())
    write_bundle(tmp_path / "bundle.h5", bundle)
    back = read_bundle(tmp_path / "bundle.h5")
    assert_same(bundle, back)
    assert (len(back), back.size) == (0, 8)


def test_further_columns_of_the_scores_are_kept(tmp_path: Path, make_bundle: Callable[..., Bundle]) -> None:
    bundle = make_bundle()
    extra = {"kind": np.array([f"{row}" for row in range(7)]), "novelty": np.linspace(0, 1, 7)}
    bundle = replace(bundle, candidates=bundle.candidates | extra)
    write_bundle(tmp_path / "bundle.h5", bundle)
    assert_same(bundle, read_bundle(tmp_path / "bundle.h5"))


def test_the_contracts_are_told_apart(
    tmp_path: Path,
    make_bundle: Callable[..., Bundle],
    make_cohort: Callable[..., Cohort],
    candidates_of: Callable[[Bundle], Candidates],
) -> None:
    write_bundle(tmp_path / "bundle.h5", make_bundle())
    write_candidates(tmp_path / "candidates.h5", candidates_of(make_bundle()))
    write_cohort(tmp_path / "cohort.h5", make_cohort())
    readers: dict[str, Callable[[Path], Any]] = {
        "bundle": read_bundle,
        "candidates": read_candidates,
        "cohort": read_cohort,
    }
    for name, reader in readers.items():
        for other in readers.keys() - {name}:
            with pytest.raises(UserError, match=f"of format rarescreen-{other}, .*(rarescreen-{name})"):
                reader(tmp_path / f"{other}.h5")


def _replace(file: h5py.File, name: str, data: Any) -> None:
    del file[name]
    file[name] = data


TAMPERED: dict[str, tuple[Callable[[h5py.File], Any], str]] = {
    "scores": (lambda f: _replace(f, "similarity", np.ones(2, "f4")), r"similarity has shape \(2,\), not \[3\]"),
    "nan": (lambda f: f["candidates/discriminator"].__setitem__(0, np.nan), "a score is not finite"),
    "infinite reference": (lambda f: f["reference/similarity"].__setitem__(0, np.inf), "a score is not finite"),
    "selected": (lambda f: f["candidates/selected"].__setitem__(0, True), "selected candidates are not its images"),
    "seeds": (lambda f: f["seed"].__setitem__(0, 7), "selected candidates are not its images"),
    "verdict type": (lambda f: _replace(f, "candidates/selected", np.ones(7, "u1")), "of type uint8, not bool"),
    "seen": (lambda f: _replace(f, "seen/group_id", np.arange(4)), r"seen/\w+ has shape"),
    "no seen": (lambda f: f.pop("seen"), "seen/image_id is missing"),
    "extra": (lambda f: f.create_dataset("pixels", data=1), "holds pixels, which the format does not know"),
    "deep": (lambda f: f.create_dataset("candidates/a/b", data=np.ones(7)), "holds candidates/a/b"),
    "extra length": (lambda f: f.create_dataset("candidates/a", data=np.ones(6)), r"candidates/a has shape"),
    "protocol": (lambda f: f.attrs.__setitem__("protocol", "lax"), "protocol is neither"),
    "label": (lambda f: f.attrs.__setitem__("label", 2), "attribute label"),
    "fold": (lambda f: f.attrs.__setitem__("fold", -2), "attribute fold"),
    "sigma": (lambda f: f.attrs.__setitem__("sigma", "2"), "attribute sigma"),
    "json": (lambda f: f.attrs.__setitem__("thresholds", "[1"), "attribute thresholds is not JSON"),
    "deep json": (lambda f: f.attrs.__setitem__("quality", "[" * 100_000), "attribute quality is not JSON"),
    "json list": (lambda f: f.attrs.__setitem__("generator", "[]"), "attribute generator is not a JSON object"),
    "size": (lambda f: f.attrs.__setitem__("size", 4), "attribute size"),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_what_the_format_does_not_allow_is_refused(
    case: str, tmp_path: Path, make_bundle: Callable[..., Bundle], tamper: Callable[..., None]
) -> None:
    edit, sentence = TAMPERED[case]
    path = tmp_path / "bundle.h5"
    write_bundle(path, make_bundle())
    tamper(path, edit)
    with pytest.raises(UserError, match=sentence) as caught:
        read_bundle(path)
    assert str(caught.value).endswith("make the bundle again with `synth select`.")


@pytest.mark.parametrize("name", ["similarity", "candidates/seed", "candidates/other"])
def test_scores_do_not_belong_to_candidates(
    name: str,
    tmp_path: Path,
    make_bundle: Callable[..., Bundle],
    candidates_of: Callable[[Bundle], Candidates],
    tamper: Callable[..., None],
) -> None:
    path = tmp_path / "candidates.h5"
    write_candidates(path, candidates_of(make_bundle()))
    tamper(path, lambda f: f.create_dataset(name, data=np.ones(3, "f4")))
    with pytest.raises(UserError, match=f"holds {name}, which the format does not know"):
        read_candidates(path)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"seed": np.arange(2)}, "rows instead of|are not its images"),
        ({"similarity": np.full(3, np.nan, np.float32)}, "not finite"),
        ({"protocol": "lax"}, "protocol"),
        ({"images": np.zeros((3, 8, 4, 3), np.uint8)}, "not square"),
        ({"quality": {"fid": float("nan")}}, "not JSON compliant"),
    ],
)
def test_contradictions_are_not_written(
    change: dict[str, Any], problem: str, tmp_path: Path, make_bundle: Callable[..., Bundle]
) -> None:
    with pytest.raises(ValueError, match=problem):
        write_bundle(tmp_path / "bundle.h5", replace(make_bundle(), **change))
    assert list(tmp_path.iterdir()) == []


def test_images_stand_in_the_order_of_their_choice(tmp_path: Path, make_bundle: Callable[..., Bundle]) -> None:
    bundle = make_bundle()  # candidates 1, 4 and 5 are selected
    turned = bundle.seed[[2, 0, 1]]
    order = np.array([-1, 1, -1, -1, 2, 0, -1])
    ordered = replace(bundle, seed=turned, candidates=bundle.candidates | {"order": order})
    write_bundle(tmp_path / "ordered.h5", ordered)
    assert read_bundle(tmp_path / "ordered.h5").is_ordered
    assert not bundle.is_ordered
    with pytest.raises(ValueError, match="the selected candidates are not its images"):
        write_bundle(tmp_path / "other.h5", replace(ordered, seed=bundle.seed))


def test_a_selected_copy_is_not_written(tmp_path: Path, make_bundle: Callable[..., Bundle]) -> None:
    bundle = make_bundle()
    for row, allowed in ((0, True), (4, False)):
        copies = np.arange(7) == row
        marked = replace(bundle, candidates=bundle.candidates | {"is_copy": copies})
        if allowed:
            write_bundle(tmp_path / "bundle.h5", marked)
        else:
            with pytest.raises(ValueError, match="a copy of a photograph is selected"):
                write_bundle(tmp_path / "bundle.h5", marked)


@pytest.mark.parametrize("nearest", [[0, 1, 2, 3, 4, 5, 0], [0, -1, 0, 0, 0, 0, 0], [0.0] * 7])
def test_the_nearest_photograph_is_one_of_those_seen(
    nearest: list[float], tmp_path: Path, make_bundle: Callable[..., Bundle]
) -> None:
    bundle = make_bundle()  # five were seen
    marked = replace(bundle, candidates=bundle.candidates | {"nearest": np.array(nearest)})
    with pytest.raises(ValueError, match="a nearest photograph is not among those seen"):
        write_bundle(tmp_path / "bundle.h5", marked)


def test_images_that_are_made_when_they_are_asked_for(tmp_path: Path, make_bundle: Callable[..., Bundle]) -> None:
    """In pieces of any size the file is the same, byte for byte; each image is made once."""
    bundle = make_bundle(candidates=300, selected=tuple(range(300)), size=64)
    images = np.asarray(bundle.images)
    write_bundle(tmp_path / "whole.h5", bundle)
    for at_once in (1, 7, 299, 1000):
        made: list[int] = []

        def make(rows: np.ndarray, made: list[int] = made) -> np.ndarray:
            made += rows.tolist()
            return images[rows]

        write_bundle(tmp_path / "made.h5", replace(bundle, images=MadeImages(images.shape, make, at_once)))
        assert made == list(range(300))
        assert (tmp_path / "made.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


def test_made_images_are_an_array(make_bundle: Callable[..., Bundle]) -> None:
    images = np.asarray(make_bundle().images)
    made = MadeImages(images.shape, lambda rows: images[rows], 2)
    assert (len(made), made.shape, made.dtype) == (3, images.shape, np.uint8)
    for index in (0, -1, slice(1, 3), np.array([2, 0]), np.array([True, False, True]), (1, slice(0, 4)), (slice(2), 3)):
        np.testing.assert_array_equal(made[index], images[index])
    np.testing.assert_array_equal(np.asarray(made), images)
    np.testing.assert_array_equal(np.concatenate(list(pieces_of(made))), images)
    assert [len(piece) for piece in pieces_of(made)] == [2, 1]


def test_what_its_own_reader_would_refuse_is_not_written(tmp_path: Path, make_bundle: Callable[..., Bundle]) -> None:
    path = tmp_path / "bundle.h5"
    most = replace(make_bundle(), audit={"told": "x" * (MAX_ATTRIBUTE_CHARS - len('{"told": ""}'))})
    write_bundle(path, most)
    assert_same(most, read_bundle(path))
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"audit has more than {MAX_ATTRIBUTE_CHARS} characters"):
        write_bundle(path, replace(most, audit=most.audit | {"more": 1}))
    strange = replace(most, candidates=most.candidates | {"a/b": most.candidates["similarity"]})
    with pytest.raises(ValueError, match="holds candidates/a/b, which the format does not know"):
        write_bundle(path, strange)
    assert path.read_bytes() == before
