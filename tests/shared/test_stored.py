import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import shared.stored
from shared.cohort import Cohort, read_cohort, write_cohort
from shared.errors import UserError
from shared.stored import StoredImages

COUNT = 31

INDICES = st.one_of(
    st.integers(-COUNT, COUNT - 1),
    st.slices(COUNT),
    hnp.arrays(np.int64, hnp.array_shapes(min_dims=1, max_dims=2, max_side=6), elements=st.integers(-COUNT, COUNT - 1)),
    hnp.arrays(np.bool_, COUNT),
    st.lists(st.integers(0, COUNT - 1)).map(lambda rows: np.array(rows, np.int64)),
    st.tuples(st.slices(COUNT), st.slices(8), st.integers(0, 7)),
    st.tuples(st.integers(-COUNT, COUNT - 1), st.integers(0, 7)),
)


@pytest.fixture(scope="module")
def stored(
    tmp_path_factory: pytest.TempPathFactory, make_cohort: Callable[..., Cohort]
) -> tuple[StoredImages, np.ndarray]:
    cohort, path = make_cohort(), tmp_path_factory.mktemp("stored") / "cohort.h5"
    write_cohort(path, cohort)
    images = read_cohort(path).images
    assert isinstance(images, StoredImages)
    return images, np.asarray(cohort.images)


@pytest.mark.parametrize("cache_bytes", [0, 1 << 30])
def test_indexing_is_that_of_numpy(
    cache_bytes: int, stored: tuple[StoredImages, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared.stored, "CACHE_BYTES", cache_bytes)
    images, expected = stored

    @given(INDICES)
    def check(index: object) -> None:
        np.testing.assert_array_equal(images[index], expected[index])

    check()
    np.testing.assert_array_equal(np.asarray(images), expected)
    assert (len(images), images.shape, images.ndim, images.dtype) == (COUNT, (COUNT, 8, 8, 3), 4, np.uint8)
    for outside in (COUNT, -COUNT - 1):
        with pytest.raises(IndexError):
            images[outside]


def test_a_pickle_carries_the_place_and_not_the_pixels(stored: tuple[StoredImages, np.ndarray]) -> None:
    images, expected = stored
    np.asarray(images)
    content = pickle.dumps(images)
    assert len(content) < 1000 < expected.nbytes
    back = pickle.loads(content)  # noqa: S301  # our own bytes
    np.testing.assert_array_equal(back[3:5], expected[3:5])


def test_a_file_that_was_replaced_is_not_read_on(tmp_path: Path, make_cohort: Callable[..., Cohort]) -> None:
    path = tmp_path / "cohort.h5"
    write_cohort(path, make_cohort(seed=0))
    images = read_cohort(path).images
    write_cohort(path, make_cohort(seed=1))
    with pytest.raises(UserError, match="replaced since it was opened"):
        images[0]
