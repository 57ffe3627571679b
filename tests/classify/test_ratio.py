"""The ratio of synthetic to real images, and what may stand in the place of the synthetic ones."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from fitting import CPU, QUICK, run
from hypothesis import given
from hypothesis import strategies as st

from classify.fitting.augment import TRANSFORMS
from classify.fitting.folder import read_model
from classify.fitting.making import train_settings
from classify.fitting.mixing import Entries, Mixture, mix, more_epochs
from classify.fitting.plan import Plan, plan
from classify.fitting.ratio import CONTROLS, NONE, Ratio
from classify.fitting.schedule import FROZEN_VARIATIONS, all_shown, shown_in
from classify.fitting.settings import FitOptions
from classify.fitting.supply import Supply
from classify.fitting.training import Training
from shared.bundle import Bundle
from shared.cohort import Cohort
from shared.errors import UserError


@given(st.integers(1, 99), st.integers(1, 99), st.integers(0, 5000))
def test_a_ratio_counts_synthetic_for_real_to_the_nearest(synthetic: int, real: int, originals: int) -> None:
    exact = Fraction(originals * synthetic, real)
    ratio = Ratio.parse(f"{synthetic}:{real}")
    if exact < Fraction(1, 2):
        with pytest.raises(UserError, match="less than one synthetic image"):
            ratio.count(originals)
    else:
        assert abs(ratio.count(originals) - exact) <= Fraction(1, 2)


@given(st.integers(1, 99), st.integers(1, 99), st.integers(1, 9))
def test_a_ratio_has_one_name(synthetic: int, real: int, factor: int) -> None:
    assert str(Ratio.parse(f"{synthetic * factor}:{real * factor}")) == str(Ratio.parse(f"{synthetic}:{real}"))


def test_the_papers_ratios() -> None:
    assert [Ratio.parse(text).count(379) for text in ("none", "1:5", "1:2", "2:1")] == [0, 76, 190, 758]
    assert [str(Ratio.parse(text)) for text in ("none", "1:5", "2:10")] == ["none", "1:5", "1:5"]


@pytest.mark.parametrize(
    "text", ["1:0", "0:5", "2", "", "1:5:2", "1.5:2", "-1:5", "1:-5", "a:b", "1 :5", "01:5", "½:1", "None"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"^--ratio .*: not a ratio of synthetic to real"):
        Ratio.parse(text)


def times(mixture: Mixture, label: int) -> Counter[bytes]:
    """How often each training image of a class is shown in an epoch, whole six-folds counted once."""
    own = mixture.train.index[mixture.label[mixture.train.index] == label]
    counts = Counter(mixture.images[row].tobytes() for row in own)
    assert all(count % len(TRANSFORMS) == 0 for count in counts.values())
    return Counter({image: count // len(TRANSFORMS) for image, count in counts.items()})


def with_synthetic(cohort: Cohort, make_bundle: Callable[..., Bundle], ratio: str) -> Mixture:
    return mix(cohort, 0, Ratio.parse(ratio), Supply((make_bundle(cohort, count=60),)))


@pytest.mark.parametrize("ratio", ["1:5", "1:2", "1:1", "5:2"])
def test_oversampling_shows_real_positives_as_often_as_the_ratio_shows_any(
    cohort: Cohort, make_bundle: Callable[..., Bundle], ratio: str
) -> None:
    synthetic = with_synthetic(cohort, make_bundle, ratio)
    control = mix(cohort, 0, Ratio.parse(ratio), Supply(), control="oversampling")
    assert times(control, 1).total() == times(synthetic, 1).total()
    assert times(control, 0) == times(synthetic, 0)  # the very same negatives
    assert len(control.train) == len(synthetic.train)
    assert not control.synthetic.any()
    assert (control.counts["synthetic_positives"], control.counts["synthetic_negatives"]) == (0, 0)
    real = mix(cohort, 0, Ratio.parse("none"), Supply())
    assert times(control, 1).keys() == times(real, 1).keys()
    floor = times(control, 1).total() // len(times(real, 1))
    assert set(times(control, 1).values()) <= {floor, floor + 1}


def test_what_oversampling_repeats_at_a_smaller_ratio_it_repeats_at_a_larger_one(cohort: Cohort) -> None:
    few, many = (
        times(mix(cohort, 0, Ratio.parse(text), Supply(), control="oversampling"), 1) for text in ("1:5", "1:2")
    )
    assert few < many


@pytest.mark.parametrize("ratio", ["1:5", "1:2", "3:1"])
def test_the_epochs_control_shows_real_images_alone_as_often_as_the_ratio_shows_any(
    cohort: Cohort, make_bundle: Callable[..., Bundle], ratio: str
) -> None:
    epochs = 7
    control = planned(cohort, replace(QUICK, ratio=ratio, control="epochs", epochs=epochs))
    synthetic, real = with_synthetic(cohort, make_bundle, ratio), mix(cohort, 0, Ratio.parse("none"), Supply())
    assert [times(control.mixture, label) for label in (0, 1)] == [times(real, label) for label in (0, 1)]
    shown = control.config.epochs * len(control.mixture.train)
    assert abs(shown - epochs * len(synthetic.train)) <= len(control.mixture.train) / 2


@given(st.integers(1, 400), st.integers(1, 999), st.integers(0, 2000))
def test_more_epochs_are_to_half_an_epoch_as_many_images(epochs: int, real: int, extra: int) -> None:
    assert abs(more_epochs(epochs, real, extra) * real - epochs * (real + extra)) <= real / 2


def planned(cohort: Cohort, options: FitOptions) -> Plan:
    return plan(cohort, 0, options=options, device=CPU)


def rows(entries: Entries) -> list[tuple[int, int]]:
    return list(zip(entries.index.tolist(), entries.transform.tolist(), strict=True))


def test_augmentation_is_oversampling_with_other_pixels_in_every_epoch(cohort: Cohort) -> None:
    options = replace(QUICK, ratio="1:2", control="augmentation", epochs=9)
    plain, varied = (planned(cohort, replace(options, control=name)) for name in ("oversampling", "augmentation"))
    assert rows(plain.mixture.train) == rows(varied.mixture.train)
    np.testing.assert_array_equal(plain.mixture.images, varied.mixture.images)
    settings = train_settings(varied.config, CPU, is_cut=False)
    shown = [shown_in(varied.mixture, settings, epoch) for epoch in range(1, 10)]
    assert [set(each.variation) for each in shown] == [{epoch} for epoch in range(1, 10)]
    assert all(rows(each) == rows(varied.mixture.train) for each in shown)
    assert not shown_in(plain.mixture, train_settings(plain.config, CPU, is_cut=False), 5).variation.any()
    assert not varied.mixture.validation.variation.any()


def test_frozen_layers_see_a_few_random_changes_in_turn(cohort: Cohort) -> None:
    options = FitOptions(model="efficientnet_lite0", ratio="1:2", control="augmentation", epochs=10)
    frozen = planned(cohort, options)
    settings = train_settings(frozen.config, CPU, is_cut=True)
    found = [int(shown_in(frozen.mixture, settings, epoch).variation[0]) for epoch in range(1, 11)]
    assert found == [1 + number % FROZEN_VARIATIONS for number in range(10)]
    kept = {int(each) for entries in all_shown(frozen.mixture, settings).all for each in entries.variation}
    assert kept == {0, *found}


@pytest.mark.parametrize(
    ("unfreeze", "changes"),
    [(None, {1, 2, 3, 4, 5, 6}), (4, {1, 2, 3, 4, 5, 6}), (3, {1, 2, 3, 4}), (0, {1, 2, 3, 4})],
)
def test_random_changes_are_few_where_features_are_kept_and_new_in_each_epoch_elsewhere(
    small: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unfreeze: int | None, changes: set[int]
) -> None:
    """Two convolutions and their norms are four modules: with four of them trained, as with all, nothing is kept."""
    seen: list[Entries] = []
    step = Training.step
    monkeypatch.setattr(Training, "step", lambda own, entries: (seen.append(entries), step(own, entries))[1])
    options = replace(QUICK, depth=2, ratio="1:2", control="augmentation", epochs=6, unfreeze=unfreeze)
    run(small, tmp_path / "m", options)
    assert {int(each) for entries in seen for each in entries.variation} == changes


@pytest.mark.parametrize("control", CONTROLS)
def test_a_fit_steps_through_as_many_images_as_its_plan_says(
    small: Cohort,
    make_bundle: Callable[..., Bundle],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    control: str,
) -> None:
    options = replace(QUICK, ratio="1:2", control=control, epochs=2)
    bundles = [make_bundle(small)] if control == NONE else []
    seen: list[Entries] = []
    step = Training.step

    def watched(training: Training, entries: Entries) -> object:
        seen.append(entries)
        return step(training, entries)

    monkeypatch.setattr(Training, "step", watched)
    fitted = read_model(run(small, tmp_path / "m", options, bundles=bundles))
    real, synthetic = 4, 2  # positives of the train part, and what the ratio adds to them
    assert fitted.document["counts"]["real_positives"] == real
    images = 6 * 2 * (real if control == "epochs" else real + synthetic)
    assert fitted.config.epochs == len(fitted.history["epochs"]) == (3 if control == "epochs" else 2)
    assert sum(map(len, seen)) == images * fitted.config.epochs == 2 * 6 * 2 * (real + synthetic)
    assert images % 16 != 1  # a single image would go with the batch before
    assert len(seen) == fitted.config.epochs * -(-images // 16)
    varied = {int(each) for entries in seen for each in entries.variation}
    assert varied == ({1, 2} if control == "augmentation" else {0})


def test_a_control_without_a_ratio_and_one_that_is_not_known_are_refused(cohort: Cohort) -> None:
    for control in CONTROLS.keys() - {NONE}:
        with pytest.raises(UserError, match=f"^--control {control}: stands in the place .*; give --ratio 1:2"):
            planned(cohort, FitOptions(control=control))
    for make in (
        lambda: planned(cohort, FitOptions(ratio="1:2", control="magic")),
        lambda: mix(cohort, 0, Ratio.parse("1:2"), Supply(), control="magic"),
    ):
        with pytest.raises(UserError, match=r"^--control magic: not known; give one of none, oversampling, .*\.$"):
            make()
