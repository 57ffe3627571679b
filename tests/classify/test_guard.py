from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from classify.guard import FITTED, GENERATED, Seen, count_seen, refuse_seen, seen_by_bundle, seen_by_fit, seen_mask
from shared.bundle import Bundle
from shared.cohort import Cohort
from shared.errors import UserError

ROWS = np.arange(10)


def seen(cohort: Cohort, ids: list[int] = (), groups: list[int] = (), sha256: str | None = None) -> Seen:
    """Images that something saw, ids and groups as rows of `cohort`."""
    return Seen(
        "a network",
        cohort.sha256 if sha256 is None else sha256,
        np.array(cohort.image_id[list(ids)], np.str_),
        np.array(cohort.group_id[list(groups)], np.int64),
    )


def test_an_image_is_seen_by_its_id_and_so_is_its_group(cohort: Cohort) -> None:
    partners = np.flatnonzero(cohort.group_id[ROWS] == cohort.group_id[4])
    assert len(partners) == 2
    np.testing.assert_array_equal(np.flatnonzero(seen_mask(seen(cohort, ids=[4]), cohort, ROWS)), partners)


def test_what_saw_images_is_told_with_the_cohort_of_their_groups(
    cohort: Cohort, make_bundle: Callable[..., Bundle]
) -> None:
    """Only with it do the numbers of groups say anything."""
    bundle = make_bundle(cohort, seen=[0, 1, 2, 3])
    by_bundle, by_fit = seen_by_bundle(bundle), seen_by_fit(cohort, ROWS)
    assert (by_bundle.by, by_bundle.cohort) == (GENERATED, bundle.cohort)
    assert (by_fit.by, by_fit.cohort) == (FITTED, cohort.sha256)
    np.testing.assert_array_equal(by_bundle.image_id, bundle.seen_image_id)
    np.testing.assert_array_equal(by_bundle.group_id, bundle.seen_group_id)
    unknown = Seen(FITTED, by_fit.cohort, np.array([], np.str_), by_fit.group_id)
    assert seen_mask(unknown, cohort, ROWS).all()


def test_the_refusal_names_those_who_saw_something_and_nobody_else(cohort: Cohort) -> None:
    parts = [seen(cohort, ids=[4]), Seen("nobody", cohort.sha256, np.array([], np.str_), np.array([], np.int64))]
    with pytest.raises(UserError) as caught:
        refuse_seen(parts, cohort, ROWS, model=Path("m"), test_set="balanced")
    assert str(caught.value) == (
        "m: 2 of the 10 images of the balanced test set were seen before (2 by a network), by image or by group, so "
        "the figures would flatter; evaluate on a cohort or fold that nothing saw, or give --allow-seen and every "
        "table will say so."
    )


def test_an_image_is_seen_by_its_group_alone(cohort: Cohort) -> None:
    partners = np.flatnonzero(cohort.group_id[ROWS] == cohort.group_id[7])
    np.testing.assert_array_equal(np.flatnonzero(seen_mask(seen(cohort, groups=[7]), cohort, ROWS)), partners)


def test_nothing_seen_is_nothing(cohort: Cohort) -> None:
    assert not seen_mask(seen(cohort), cohort, ROWS).any()
    assert count_seen([], cohort, ROWS) == {"any": 0}


def test_group_numbers_of_another_file_mean_nothing(cohort: Cohort) -> None:
    there = seen(cohort, ids=[20, 21], groups=[3, 3], sha256="another size")
    assert not seen_mask(there, cohort, ROWS).any()
    assert seen_mask(there, cohort, np.array([20])).all()  # an id is an id everywhere


def test_a_fit_remembers_whole_groups(cohort: Cohort) -> None:
    partner_rows = np.flatnonzero(cohort.group_id == cohort.group_id[4])
    remembered = seen_by_fit(cohort, np.array([4]))
    assert set(remembered.image_id) == set(cohort.image_id[partner_rows])
    assert len(remembered.image_id) == len(remembered.group_id) == len(partner_rows) > 1


def test_group_numbers_of_an_unrelated_cohort_mean_nothing(cohort: Cohort) -> None:
    stranger = Seen("a network", "another cohort", np.array(["0" * 64]), cohort.group_id[:1])
    assert not seen_mask(stranger, cohort, ROWS).any()


def test_the_refusal_tells_the_count_who_saw_them_and_the_way_out(
    cohort: Cohort, make_bundle: Callable[..., Bundle]
) -> None:
    bundle = make_bundle(cohort, seen=[0, 1, 2, 3, 40])
    parts = [seen_by_fit(cohort, np.array([2, 50])), seen_by_bundle(bundle)]
    assert count_seen(parts, cohort, ROWS)["any"] == 4
    with pytest.raises(UserError, match=r"m: 4 of the 10 images of the balanced .* \(2 by .* and 4 by .*--allow-seen"):
        refuse_seen(parts, cohort, ROWS, model=Path("m"), test_set="balanced")
    refuse_seen(parts, cohort, np.arange(60, 70), model=Path("m"), test_set="balanced")


def test_what_several_bundles_saw_adds_up(cohort: Cohort, make_bundle: Callable[..., Bundle]) -> None:
    """Rows 0 and 1 are of one group, as are 2 and 3; one bundle saw both groups, others one of them or none."""
    bundles = [make_bundle(cohort, seen=rows, count=4) for rows in ([0, 1, 2, 3], [2, 3], [], [6, 7])]
    parts = [seen_by_fit(cohort, np.array([2, 50])), *map(seen_by_bundle, bundles)]
    assert count_seen(parts, cohort, ROWS) == {FITTED: 2, GENERATED: 6, "any": 6}
    assert count_seen(parts[:4], cohort, ROWS) == {FITTED: 2, GENERATED: 4, "any": 4}
    with pytest.raises(UserError, match=r"4 of the 10 images of the balanced .* \(2 by .* and 4 by .*--allow-seen"):
        refuse_seen(parts[:4], cohort, ROWS, model=Path("m"), test_set="balanced")
