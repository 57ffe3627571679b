import io
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shared.duplicates import (
    DIHEDRAL,
    MAX_HASH_DISTANCE,
    MIN_CORRELATION,
    Dihedral,
    DuplicatePair,
    correlation,
    duplicate_pairs,
    merge_groups,
    perceptual_hash,
    thumbnail,
    turned,
    turned_hash,
)


def photograph(seed: int, height: int = 120, width: int = 160) -> np.ndarray:
    """Structure at several scales under the colour of skin."""
    rng = np.random.default_rng(seed)
    layers = [
        np.asarray(
            Image.fromarray(rng.normal(size=(cells, cells)).astype(np.float32)).resize((width, height), Image.BICUBIC)
        )
        for cells in (4, 8, 16, 32)
    ]
    grey = sum(layers)[..., None] * (25, 20, 15)
    return np.clip(grey + np.array((190, 140, 120)), 0, 255).astype(np.uint8)


def jpeg(photo: np.ndarray, quality: int) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(photo).save(stream, "JPEG", quality=quality)
    return np.array(Image.open(stream))


def scaled(photo: np.ndarray, factor: float) -> np.ndarray:
    height, width, _ = photo.shape
    return np.array(Image.fromarray(photo).resize((round(width * factor), round(height * factor)), Image.BILINEAR))


COPIES = {
    "compressed": lambda p: jpeg(p, 40),
    "reduced": lambda p: scaled(p, 0.5),
    "enlarged": lambda p: scaled(p, 2),
    "brighter": lambda p: np.clip(p * 1.15, 0, 255).astype(np.uint8),
    "less contrast": lambda p: (p * 0.6 + 50).astype(np.uint8),
    "mirrored": lambda p: p[:, ::-1],
    "turned": lambda p: np.rot90(p),
    "turned, mirrored, compressed": lambda p: jpeg(np.ascontiguousarray(np.rot90(p, -1)[::-1]), 60),
}


def found(photos: Sequence[np.ndarray], ids: Sequence[str] | None = None) -> list[tuple[int, int]]:
    names = np.array(ids or [str(row) for row in range(len(photos))])
    return [(p.first, p.second) for p in duplicate_pairs(names, np.stack([thumbnail(photo) for photo in photos]))]


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_is_found_among_others(copy: str) -> None:
    originals = [photograph(seed) for seed in range(6)]
    copies = [np.ascontiguousarray(COPIES[copy](photo)) for photo in originals]
    assert found([*originals, *copies]) == [(row, row + 6) for row in range(6)]


def test_different_photographs_are_no_duplicates() -> None:
    assert found([photograph(seed) for seed in range(150)]) == []


def test_one_light_on_one_skin_is_no_duplicate() -> None:
    """Here the hash always hits, and the mean colour of skin alone would correlate at 0.97."""
    light, *details = (field(seed, cells) for seed, cells in enumerate([8, *[32] * 8]))
    photos = [
        np.clip((12 * light + 5 * detail)[..., None] + np.array((200, 150, 130)), 0, 255).astype(np.uint8)
        for detail in details
    ]
    hashes = perceptual_hash(np.stack(photos))
    assert all((hashes[0] != other).sum() <= MAX_HASH_DISTANCE for other in hashes)
    assert found(photos) == []


def field(seed: int, cells: int) -> np.ndarray:
    """Return a random field of 64 x 64 with structure of 64 / cells px, mean 0 and deviation 1."""
    coarse = np.random.default_rng(seed).normal(size=(cells, cells)).astype(np.float32)
    fine = np.asarray(Image.fromarray(coarse).resize((64, 64), Image.BICUBIC))
    return (fine - fine.mean()) / fine.std()


def test_equal_ids_are_pairs_whatever_the_hash_says() -> None:
    flat = np.full((20, 20, 3), 100, np.uint8)
    photos = [photograph(0), flat, photograph(1), flat, flat]
    assert found(photos, ["a", "f", "b", "f", "f"]) == [(1, 3), (1, 4)]
    assert found([flat, flat + 1], ["a", "b"]) == []


def test_the_pairs_are_those_of_the_naive_loop() -> None:
    originals = [photograph(seed) for seed in range(5)]
    photos = [*originals, *(COPIES["turned"](p) for p in originals[:2]), scaled(originals[0], 0.5), photograph(9)]
    thumbnails = np.stack([thumbnail(np.ascontiguousarray(photo)) for photo in photos])
    expected = {}
    for i in range(len(photos)):
        for j in range(i + 1, len(photos)):
            best = -1.0
            for element in DIHEDRAL:
                other = turned(thumbnails[j : j + 1], element)[0]
                near = (
                    perceptual_hash(thumbnails[i : i + 1]) != perceptual_hash(other[None])
                ).sum() <= MAX_HASH_DISTANCE
                a, b = (p.astype(float) - p.mean(axis=(0, 1)) for p in (thumbnails[i], other))
                if near:
                    best = max(best, float(np.corrcoef(a.ravel(), b.ravel())[0, 1]))
            if best >= MIN_CORRELATION:
                expected[i, j] = best
    pairs = duplicate_pairs(np.array([str(row) for row in range(len(photos))]), thumbnails)
    assert [(pair.first, pair.second) for pair in pairs] == sorted(expected)
    np.testing.assert_allclose([p.correlation for p in pairs], [expected[p.first, p.second] for p in pairs], atol=1e-5)
    assert len(pairs) == 4  # 0-5, 0-7, 5-7 and 1-6


def test_the_eight_elements_are_the_symmetries_of_the_square() -> None:
    labels = np.arange(12).reshape(1, 2, 2, 3)
    assert len({turned(labels, element).tobytes() for element in DIHEDRAL}) == 8
    assert DIHEDRAL[0] == Dihedral(transpose=False, rows=False, columns=False)


@pytest.mark.parametrize("element", DIHEDRAL)
def test_the_hash_turns_with_the_image(element: Dihedral) -> None:
    thumbnails = np.stack([thumbnail(photograph(seed)) for seed in range(5)])
    np.testing.assert_array_equal(
        turned_hash(perceptual_hash(thumbnails), element), perceptual_hash(turned(thumbnails, element))
    )


def test_correlation_is_pearsons_with_each_channel_centred() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 256, (2, 4, 64, 64, 3), dtype=np.uint8)
    expected = [
        np.corrcoef((x - x.mean(axis=(0, 1))).ravel(), (y - y.mean(axis=(0, 1))).ravel())[0, 1]
        for x, y in zip(a.astype(float), b.astype(float), strict=True)
    ]
    np.testing.assert_allclose(correlation(a, b), expected, atol=1e-6)
    np.testing.assert_allclose(correlation(a, 255 - a), -1, atol=1e-6)
    np.testing.assert_allclose(correlation(a // 2 + 9, a // 2), 1, atol=1e-6)
    assert correlation(np.full_like(a, 7), b).tolist() == [0] * 4


@st.composite
def groupings(draw: st.DrawFn) -> tuple[list[str], list[DuplicatePair], list[str]]:
    count = draw(st.integers(1, 12))
    names = draw(st.lists(st.sampled_from("abcdefghijklmnop"), min_size=count, max_size=count, unique=True))
    rows = st.integers(0, count - 1)
    pairs = [DuplicatePair(a, b, 1.0) for a, b in draw(st.lists(st.tuples(rows, rows), max_size=8)) if a < b]
    return names, pairs, draw(st.lists(st.sampled_from(["", "", "x", "y", "z"]), min_size=count, max_size=count))


@given(groupings())
def test_groups_are_merged_as_by_the_naive_closure(grouping: tuple[list[str], list[DuplicatePair], list[str]]) -> None:
    names, pairs, groups = grouping
    sets = [{row} for row in range(len(names))]
    joined = [(p.first, p.second) for p in pairs]
    joined += [(a, b) for a in range(len(names)) for b in range(a) if groups[a] and groups[a] == groups[b]]
    for a, b in joined:
        union = sets[a] | sets[b]
        for row in union:
            sets[row] = union
    leaders = sorted({min(names[row] for row in group) for group in sets})
    expected = [leaders.index(min(names[member] for member in sets[row])) for row in range(len(names))]
    assert merge_groups(np.array(names), pairs, groups).tolist() == expected


@given(groupings(), st.randoms())
def test_group_numbers_do_not_depend_on_the_order_of_the_images(
    grouping: tuple[list[str], list[DuplicatePair], list[str]], random: object
) -> None:
    names, pairs, groups = grouping
    order = list(range(len(names)))
    random.shuffle(order)  # type: ignore[attr-defined]
    place = {row: number for number, row in enumerate(order)}
    moved = [DuplicatePair(*sorted((place[p.first], place[p.second])), 1.0) for p in pairs]
    again = merge_groups(np.array([names[row] for row in order]), moved, [groups[row] for row in order])
    np.testing.assert_array_equal(again, merge_groups(np.array(names), pairs, groups)[order])
