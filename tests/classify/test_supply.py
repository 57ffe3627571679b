"""Where synthetic images come from: several bundles, both classes, and what does not fit."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fitting import CPU, QUICK
from hypothesis import given
from hypothesis import strategies as st

from classify.fitting.mixing import mix
from classify.fitting.plan import plan
from classify.fitting.ratio import Ratio
from classify.fitting.supply import Supply, draw, find_supply, require_classes
from shared.bundle import ALL_FOLDS, Bundle
from shared.cohort import Cohort
from shared.errors import UserError

MakeBundle = Callable[..., Bundle]
SEED = (3, 0)


def drawn(bundles: list[Bundle], count: int) -> list[tuple[int, int]]:
    which, rows = draw(bundles, count, SEED, real=2 * count, ratio=Ratio(1, 2))
    return list(zip(which.tolist(), rows.tolist(), strict=True))


def in_order(bundle: Bundle) -> Bundle:
    return replace(bundle, candidates=bundle.candidates | {"order": np.arange(len(bundle))})


def naive_turns(sizes: list[int], count: int) -> list[tuple[int, int]]:
    """Round after round, each bundle that still has an image gives one."""
    found = [(which, turn) for turn in range(max(sizes)) for which, size in enumerate(sizes) if turn < size]
    return found[:count]


@given(st.data())
def test_bundles_take_turns(cohort: Cohort, make_bundle: MakeBundle, data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
    count = data.draw(st.integers(0, sum(sizes)))
    ordered = [in_order(make_bundle(cohort, count=size)) for size in sizes]
    assert drawn(ordered, count) == naive_turns(sizes, count)
    at_random = drawn([make_bundle(cohort, count=size) for size in sizes], count)
    assert [which for which, _ in at_random] == [which for which, _ in naive_turns(sizes, count)]
    assert len(set(at_random)) == count  # none comes twice
    assert all(0 <= row < sizes[which] for which, row in at_random)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.data())
def test_what_a_smaller_ratio_draws_a_larger_one_draws_too(
    cohort: Cohort, make_bundle: MakeBundle, sizes: list[int], data: st.DataObject
) -> None:
    bundles = [make_bundle(cohort, count=size) for size in sizes]
    count = data.draw(st.integers(0, sum(sizes)))
    assert drawn(bundles, sum(sizes))[:count] == drawn(bundles, count)


def test_a_bundle_without_an_order_is_drawn_from_at_random(cohort: Cohort, make_bundle: MakeBundle) -> None:
    bundle = make_bundle(cohort, count=40)
    rows = [row for _, row in drawn([bundle], 40)]
    assert sorted(rows) == list(range(40))
    assert rows != list(range(40))
    _, others = draw([bundle], 40, (4, 0), real=40, ratio=Ratio(1, 1))  # of another seed
    assert others.tolist() != rows


def synthetic_pixels(bundles: list[Bundle], cohort: Cohort, ratio: str) -> set[bytes]:
    mixture = mix(cohort, 0, Ratio.parse(ratio), find_supply(bundles, cohort, 0, "strict"))
    assert mixture.counts["synthetic_positives"] == mixture.synthetic.sum()
    return {image.tobytes() for image in mixture.images[mixture.synthetic]}


def test_several_bundles_are_nested_and_their_order_on_the_command_line_says_nothing(
    cohort: Cohort, make_bundle: MakeBundle
) -> None:
    first, second = make_bundle(cohort, count=12), make_bundle(cohort, count=9)
    few, many = (synthetic_pixels([first, second], cohort, ratio) for ratio in ("1:5", "1:2"))
    assert few < many
    assert many == synthetic_pixels([second, first], cohort, "1:2")
    assert many == synthetic_pixels([second, first, second], cohort, "1:2")  # one that comes twice counts once
    own = [{image.tobytes() for image in bundle.images} for bundle in (first, second)]
    assert abs(len(many & own[0]) - len(many & own[1])) <= 1


def test_bundles_together_that_hold_too_few_say_how_many_are_missing(cohort: Cohort, make_bundle: MakeBundle) -> None:
    bundles = [make_bundle(cohort, count=count, path=Path(f"b{count}.h5")) for count in (3, 4)]
    with pytest.raises(
        UserError, match=r"^--ratio 1:2: 8 synthetic .* 16 real ones, but b3.h5, b4.h5 hold 7, so 1 are missing"
    ):
        drawn(bundles, 8)


def of_negatives(cohort: Cohort, make_bundle: MakeBundle, **changes: object) -> Bundle:
    return make_bundle(cohort, **({"count": 25, "label": 0, "class_name": cohort.classes[0]} | changes))


def test_bundles_of_both_classes_give_as_many_images_to_each(cohort: Cohort, make_bundle: MakeBundle) -> None:
    bundles = [of_negatives(cohort, make_bundle), make_bundle(cohort)]
    supply = find_supply(bundles, cohort, 0, "strict")
    assert (supply.all, supply.synthetic) == ((bundles[1], bundles[0]), "both")
    mixture = mix(cohort, 0, Ratio.parse("1:2"), supply)
    real = mixture.counts["real_positives"]
    assert mixture.counts["synthetic_positives"] == mixture.counts["synthetic_negatives"] == Ratio(1, 2).count(real)
    label, synthetic = mixture.label[mixture.train.index], mixture.synthetic[mixture.train.index]
    for value, bundle in ((1, bundles[1]), (0, bundles[0])):
        assert (label == value).sum() == 6 * (real + Ratio(1, 2).count(real))
        assert (synthetic & (label == value)).sum() == 6 * Ratio(1, 2).count(real)
        made = {image.tobytes() for image in mixture.images[mixture.synthetic & (mixture.label == value)]}
        assert made < {image.tobytes() for image in bundle.images}
    assert mixture.counts["negatives"] == real  # photographs


def test_synthetic_says_which_classes_have_such_images(cohort: Cohort, make_bundle: MakeBundle) -> None:
    positive, negative = make_bundle(cohort, path=Path("p.h5")), of_negatives(cohort, make_bundle)
    assert find_supply([positive, negative], cohort, 0, "strict", "positive").all == (positive,)
    assert find_supply([positive, negative], cohort, 0, "strict", "both").all == (positive, negative)
    assert find_supply([positive], cohort, 0, "strict", None).synthetic == "positive"
    with pytest.raises(UserError) as refused:
        find_supply([positive], cohort, 0, "strict", "both")
    assert str(refused.value) == (
        "--bundle: none fits class rash, fold 0 under protocol strict (p.h5 is of class herpeticum, fold 0); give one "
        "that does."
    )
    with pytest.raises(UserError, match=r"^--bundle: none fits class herpeticum, fold 0"):
        find_supply([negative], cohort, 0, "strict")
    with pytest.raises(UserError, match=r"^--synthetic neither: not known; give one of positive, both\.$"):
        require_classes("neither", Ratio(1, 2), "none")


def test_both_classes_have_synthetic_images_only_where_there_are_any() -> None:
    for classes in (None, "positive", "both"):
        require_classes(classes, Ratio(1, 2), "none")
    for classes in (None, "positive"):  # it is what every fit without them is recorded as
        require_classes(classes, Ratio(0, 1), "none")
        require_classes(classes, Ratio(1, 2), "epochs")
    with pytest.raises(UserError, match=r"^--synthetic both: --ratio none has no synthetic images"):
        require_classes("both", Ratio(0, 1), "none")
    with pytest.raises(UserError, match=r"^--synthetic both: --control epochs has no synthetic images"):
        require_classes("both", Ratio(1, 2), "epochs")


def test_the_configuration_tells_the_bundles_of_both_classes(cohort: Cohort, make_bundle: MakeBundle) -> None:
    positive, negative = make_bundle(cohort), of_negatives(cohort, make_bundle)
    given_bundles = [negative, positive, make_bundle(cohort, fold=1)]
    options = replace(QUICK, ratio="1:5")
    config = plan(cohort, 0, bundles=given_bundles, options=options, device=CPU).config
    assert (config.synthetic, config.bundles) == ("both", (positive.sha256, negative.sha256))
    alone = plan(cohort, 0, bundles=given_bundles, options=replace(options, synthetic="positive"), device=CPU).config
    assert (alone.synthetic, alone.bundles) == ("positive", (positive.sha256,))
    none = plan(cohort, 0, bundles=given_bundles, options=QUICK, device=CPU).config
    assert (none.synthetic, none.bundles) == ("positive", ())


def test_the_bundles_of_fold_and_label_are_used(small: Cohort, make_bundle: MakeBundle) -> None:
    bundles = [
        make_bundle(small, fold=0, path=Path("b0")),
        make_bundle(small, fold=1, path=Path("b1")),
        make_bundle(small, fold=0, label=0, class_name=small.classes[0], path=Path("negatives")),
        make_bundle(small, fold=ALL_FOLDS, path=Path("all")),
    ]

    def positives(given_bundles: list[Bundle], fold: int, protocol: str) -> tuple[Bundle, ...]:
        return find_supply(given_bundles, small, fold, protocol).positive

    assert positives(bundles, 0, "strict") == (bundles[0],)
    assert positives(bundles, 1, "strict") == (bundles[1],)
    assert positives(bundles, 1, "paper") == (bundles[3],)
    assert positives(bundles[:3], 1, "paper") == (bundles[1],)
    assert find_supply(bundles, small, 0, "strict").negative == (bundles[2],)
    assert find_supply(bundles, small, 1, "strict").negative == ()
    with pytest.raises(UserError, match=r"none fits class herpeticum, fold 1 .*b0 is of class herpeticum, fold 0"):
        positives([bundles[0], bundles[3]], 1, "strict")
    with pytest.raises(UserError, match=r"all is of class herpeticum, fold all"):
        positives([bundles[3]], 1, "strict")
    with pytest.raises(UserError, match="--bundle: missing"):
        positives([], 0, "strict")


def test_a_bundle_of_another_class_size_or_cohort_is_refused(small: Cohort, make_bundle: MakeBundle) -> None:
    good = make_bundle(small, seen=[0, 1], path=Path("b.h5"))
    again = replace(good, cohort="0" * 64)  # the same photographs, prepared again
    assert find_supply([again], small, 0, "strict").positive == (again,)
    wrong = {
        "holds measles, where the cohort's rare class is herpeticum": replace(good, class_name="measles"),
        "its images are 16 px and the cohort's 32 px": replace(good, images=good.images[:, :16, :16]),
        "made from another cohort": replace(good, cohort="0" * 64, seen_image_id=good.seen_image_id[:0]),
    }
    for problem, bundle in wrong.items():
        with pytest.raises(UserError, match=f"^b.h5: {problem}"):
            find_supply([bundle], small, 0, "strict")
        with pytest.raises(UserError, match=problem):  # also as one of several
            find_supply([make_bundle(small, count=5), replace(bundle, sha256="f" * 64)], small, 0, "strict")
    other = of_negatives(small, make_bundle, class_name="measles", path=Path("n.h5"))
    with pytest.raises(UserError, match=r"^n.h5: holds measles, where the cohort's other class is rash"):
        find_supply([good, other], small, 0, "strict")


def test_without_bundles_there_are_real_images_alone(cohort: Cohort) -> None:
    mixture = mix(cohort, 0, Ratio.parse("none"), Supply())
    assert not mixture.synthetic.any()
    assert (Supply().all, Supply().synthetic) == ((), "positive")
