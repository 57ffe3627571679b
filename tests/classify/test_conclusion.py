"""What the table says in plain words, read as a whole: claims only what the tests behind it bear."""

import math
from typing import Any

import pytest
from recorded import record
from scipy.stats import t

from classify.table2.summary import Table, summarize

FAR, NEAR, SAME, LOW = (94, 95), (88, 88), (85, 85), (70, 75)  # right of 95 and 95; none has SAME


def said(*records: dict[str, Any]) -> tuple[Table, str]:
    """Return the table and its only paragraph."""
    table = summarize(records)
    (paragraph,) = table.conclusion
    return table, paragraph


IMAGES = "by more than chance among test images explains"
BOTH = "by more than chance among test images and among trainings explains"
OPEN = "but other trainings might change that"


def folds(right: tuple[int, int], **changes: Any) -> list[dict[str, Any]]:
    """Return records of five folds in which a row has nearly the same number right each time."""
    return [record((right[0] - fold % 2, right[1]), fold=fold, **changes) for fold in range(5)]


def test_a_benefit_of_one_fold_is_one_of_its_models() -> None:
    """Of 190 images 6 turn right and none wrong: p = 2 / 2^6 by McNemar. Wilson's intervals stand in brackets."""
    table, paragraph = said(record(SAME), record(NEAR, ratio="1:5"))
    low, high = (f"{100 * end:+.1f}" for end in table.contrasts.against_none[0].gain_interval)
    assert paragraph == (
        "Custom CNN, on 190 test images: accuracy is 89.5 % (84.3 to 93.1) without synthetic images and 92.6 % (88.0 "
        "to 95.6) with them at 1:5. Against training without synthetic images, that is +3.2 points at 1:5 "
        f"({low} to {high}, p = 0.031). So the models trained with them at 1:5 do better {IMAGES}, {OPEN}. (In "
        "brackets: 95 % intervals, and p: McNemar's exact test over images. One fold tells nothing of other trainings.)"
    )


def test_a_benefit_in_every_fold_is_said_without_reserve() -> None:
    """The folds' gains in images are 18 or 19, so t over them is far out."""
    table, paragraph = said(*folds(SAME), *(record((94, 95), fold=fold, ratio="1:2") for fold in range(5)))
    (found,) = table.contrasts.against_none
    assert found.p_folds is not None
    assert found.p_folds < 0.001
    assert f", p < 0.001; over trainings p < 0.001). So synthetic images helped at 1:2 {BOTH}. (In" in paragraph
    assert paragraph.endswith(
        "(In brackets: 95 % intervals, and p: McNemar's exact test over images, and over trainings the corrected t "
        "test of the folds.)"
    )


def test_a_benefit_that_one_fold_has_alone_is_left_open() -> None:
    """40 images more of 950 are right, but all in one fold: p (folds) is that of t = 1 / sqrt(1 + 5 * 190 / 600)."""
    apart = [record((85, 85), fold=fold, ratio=ratio) for ratio in ("none", "1:2") for fold in range(1, 5)]
    _, paragraph = said(*apart, record((55, 85)), record((95, 85), ratio="1:2"))
    p = 2 * t.sf(1 / math.sqrt(1 + 5 * 190 / 600), 4)
    assert f", p < 0.001; over trainings p = {p:.2g})" in paragraph
    assert f"So the models trained with them at 1:2 do better {IMAGES}, {OPEN}." in paragraph
    assert "helped" not in paragraph


def test_the_headline_names_what_is_sure_of_images_and_trainings_and_counts_the_rest() -> None:
    none, same = folds(SAME), folds(SAME, ratio="1:5")
    far = [record(FAR, fold=fold, ratio="1:2") for fold in range(5)]
    low = [record(LOW, fold=fold, ratio="1:2", model="vgg16") for fold in range(5)]
    beyond = "beyond chance among test images and among trainings"
    assert summarize(none).headline == "Whether synthetic images help was not tested here."
    assert summarize([*none, *same]).headline == (
        "Neither benefit nor harm of synthetic images is shown in the one comparison with training without them."
    )
    alone = "Custom CNN at 1:2 was not compared with as much training without synthetic images."
    helped = summarize([*none, *far, *same]).headline
    gain = (94 + 95 - (85 + 85 - 2 / 5)) / 190  # `folds` takes one image away in two of five folds
    assert helped == (
        f"Synthetic images helped Custom CNN at 1:2 (+{100 * gain:.1f} points), {beyond}; in 1 of 2 comparisons "
        f"neither is shown. {alone}"
    )
    both = summarize([*none, *far, *folds(SAME, model="vgg16"), *low]).headline
    harm = (85 + 85 - 2 / 5 - 70 - 75) / 190
    assert both == (
        f"Synthetic images helped Custom CNN at 1:2 (+{100 * gain:.1f} points) and did harm to VGG16 at 1:2 "
        f"(-{100 * harm:.1f} points), {beyond}. {alone}"
    )
    one_fold = summarize([record(SAME), record(FAR, ratio="1:5"), record(FAR, ratio="1:2")]).headline
    assert one_fold == (
        "Neither benefit nor harm of synthetic images is shown in any of 2 comparisons with training without them."
    )


def test_the_headline_gives_no_more_than_the_controls_leave() -> None:
    """Oversampling that is as good takes the benefit back; one that does nothing does not."""
    none, far = folds(SAME), [record(FAR, fold=fold, ratio="1:2") for fold in range(5)]
    as_good = [record(FAR, fold=fold, ratio="1:2", control="oversampling") for fold in range(5)]
    in_vain = folds(SAME, ratio="1:2", control="epochs")
    beyond = "beyond chance among test images and among trainings."
    taken_back = summarize([*none, *far, *as_good, *in_vain]).headline
    assert taken_back.endswith(
        f"{beyond} The benefit for Custom CNN at 1:2 may be one that oversampling gives as well."
    )
    also_epochs = [record(FAR, fold=fold, ratio="1:2", control="epochs") for fold in range(5)]
    assert summarize([*none, *far, *as_good, *also_epochs]).headline.endswith(
        "may be one that oversampling and more epochs give as well."
    )
    assert summarize([*none, *far, *in_vain]).headline.endswith(beyond)


@pytest.mark.parametrize("changes", [{"protocol": "paper"}, {"seen": 3, "allow_seen": True}])
def test_the_headline_answers_nothing_by_test_images_that_were_seen_or_chose_the_epochs(
    changes: dict[str, Any],
) -> None:
    none, far = folds(SAME, **changes), [record(FAR, fold=fold, ratio="1:2", **changes) for fold in range(5)]
    nothing = (
        "Whether synthetic images help cannot be told from this: all test images had been seen before or chose the "
        "epochs."
    )
    assert summarize([*none, *far]).headline == nothing
    clean = [*folds(SAME, model="vgg16"), *folds(SAME, model="vgg16", ratio="1:2")]
    assert summarize([*none, *far, *clean]).headline == (
        "Neither benefit nor harm of synthetic images is shown in the one comparison with training without them. (1 "
        "more were on test images that had been seen before or chose the epochs.)"
    )


def test_a_difference_within_chance_is_neither_benefit_nor_harm() -> None:
    """Four turn right and none wrong: p = 2 / 2^4."""
    table, paragraph = said(record(SAME), record((87, 87), ratio="1:5"))
    (found,) = table.contrasts.against_none
    most, least = 100 * found.gain_interval[1], -100 * found.gain_interval[0]
    assert f" to +{most:.1f}, p = 0.12). So neither benefit nor harm is shown: gains above {most:.1f}" in paragraph
    assert f"and losses above {least:.1f} points are unlikely on other images." in paragraph
    assert "helped" not in paragraph


def test_an_interval_without_zero_among_many_is_no_benefit() -> None:
    """Six turn right each time, p = 2 / 2^6, which of three comparisons is nothing."""
    _, paragraph = said(record(SAME), *(record(NEAR, ratio=ratio) for ratio in ("1:5", "1:4", "1:3")))
    assert "p = 0.094) and" in paragraph
    assert (
        "So neither benefit nor harm is shown: the interval at 1:5, at 1:4 and at 1:3 leaves out zero, as one of 3 "
        "comparisons may by chance." in paragraph
    )


def test_what_helps_beyond_chance_is_said_and_the_rest_is_left_open() -> None:
    table, paragraph = said(
        *folds(SAME), *(record(FAR, fold=fold, ratio="1:2") for fold in range(5)), *folds(SAME, ratio="1:5")
    )
    low, high = table.contrasts.against_none[0].gain_interval
    assert f"So synthetic images helped at 1:2 {BOTH}; at 1:5 neither benefit nor harm is shown: gains above " in (
        paragraph
    )
    assert f"{100 * high:.1f} and losses above {-100 * low:.1f} points are unlikely on other images." in paragraph
    assert paragraph.endswith("; corrected for 2 comparisons.)")


def test_harm_is_said_too() -> None:
    far, low = ([record(right, fold=fold, ratio=r) for fold in range(5)] for right, r in ((FAR, "1:5"), (LOW, "1:2")))
    _, paragraph = said(*folds(SAME), *low)
    assert f"So synthetic images did harm at 1:2 {BOTH}. (In" in paragraph
    _, mixed = said(*folds(SAME), *far, *low)
    assert f"So synthetic images helped at 1:5 {BOTH}; synthetic images did harm at 1:2 {BOTH}." in mixed
    _, alone = said(record(SAME), record(LOW, ratio="1:2"))
    assert "that is -13.2 points at 1:2 (" in alone
    assert f"So the models trained with them at 1:2 do worse {IMAGES}, {OPEN}." in alone


def test_the_same_verdicts_everywhere_do_not_rule_everything_out() -> None:
    """A bootstrap of verdicts that are all alike would leave no room for any gain or loss."""
    table, paragraph = said(record(SAME), record(SAME, ratio="1:2"))
    width = f"{100 * table.contrasts.against_none[0].gain_interval[1]:.1f}"
    assert float(width) > 0
    assert f"that is 0.0 points at 1:2 (-{width} to +{width}, p = 1)." in paragraph
    assert f"gains above {width} and losses above {width} points are unlikely on other images." in paragraph


def test_without_synthetic_rows_nothing_is_said_of_them() -> None:
    _, paragraph = said(record(SAME))
    assert paragraph == (
        "Custom CNN, on 190 test images: accuracy is 89.5 % (84.3 to 93.1) without synthetic images. No classifier "
        "with synthetic images was tested beside it. (In brackets: 95 % intervals.)"
    )


@pytest.mark.parametrize(
    ("none", "words"), [([], "with synthetic images at 1:2"), ([record(SAME, fold=3)], "with them at 1:2")]
)
def test_without_none_on_the_same_images_no_benefit_is_claimed(none: list[dict[str, Any]], words: str) -> None:
    _, paragraph = said(record(FAR, ratio="1:2"), *none)
    assert "No classifier without them was tested on the same images, so whether they help is not known." in paragraph
    assert words in paragraph
    assert "helped" not in paragraph


def test_controls_that_do_as_well_take_the_benefit_away() -> None:
    table, paragraph = said(
        record(SAME),
        record(FAR, ratio="1:2"),
        record((93, 95), ratio="1:2", control="oversampling"),
        record(FAR, ratio="1:2", control="epochs", best_epoch=3),
    )
    assert "accuracy is 89.5 % (84.3 to 93.1) without synthetic images and 99.5 % (97.1 to 99.9) with them at 1:2." in (
        paragraph
    )
    assert "As much training without synthetic images gives +9.5 points with oversampling at 1:2 (" in paragraph
    assert ") and +10.0 points with more epochs at 1:2 (" in paragraph
    assert (
        "Synthetic images did neither better nor worse than oversampling at 1:2 and more epochs at 1:2, as far as can "
        "be told. So the benefit at 1:2 may be one that oversampling and more epochs give as well. (In" in paragraph
    )
    assert "corrected for 5 comparisons" in paragraph
    assert len(table.contrasts.against_controls) == 2


def test_one_control_that_does_as_well_is_enough_for_doubt() -> None:
    """Whatever the others do; it is the one that is named."""
    _, paragraph = said(
        record(SAME),
        record(FAR, ratio="1:2"),
        record(FAR, ratio="1:2", control="augmentation"),
        record(SAME, ratio="1:2", control="epochs"),
    )
    assert f"Synthetic images did better than more epochs at 1:2 {IMAGES}, {OPEN}." in paragraph
    assert "So the benefit at 1:2 may be one that stronger augmentation gives as well." in paragraph


def test_controls_that_are_beaten_leave_the_benefit_with_the_images() -> None:
    _, paragraph = said(
        *folds(SAME),
        *(record(FAR, fold=fold, ratio="1:2") for fold in range(5)),
        *folds(SAME, ratio="1:2", control="augmentation"),
        *folds((86, 85), ratio="1:2", control="oversampling"),
    )
    assert f"Synthetic images did better than oversampling at 1:2 and stronger augmentation at 1:2 {BOTH}. (In" in (
        paragraph
    )
    assert "may be one" not in paragraph


def test_controls_that_are_better_are_named() -> None:
    _, paragraph = said(
        record(SAME), record(SAME, ratio="1:2"), record(FAR, ratio="1:2", control="epochs", best_epoch=3),
    )  # fmt: skip
    assert f"Synthetic images did worse than more epochs at 1:2 {IMAGES}, {OPEN}. (In" in paragraph
    assert "may be one" not in paragraph  # there is no benefit


def test_synthetic_images_in_both_classes_have_sentences_of_their_own() -> None:
    far = [[record(FAR, fold=fold, ratio="1:2", synthetic=each) for fold in range(5)] for each in ("positive", "both")]
    control = folds(SAME, ratio="1:2", control="oversampling")
    table, paragraph = said(*folds(SAME), *far[0], *far[1], *control)
    assert " with them at 1:2 and 99.5 % (98.8 to 99.8) at 1:2 in both classes." in paragraph
    assert f"helped at 1:2 and at 1:2 in both classes {BOTH}." in paragraph
    assert f"Synthetic images did better than oversampling at 1:2 {BOTH}." in paragraph
    assert f"Synthetic images in both classes did better than oversampling at 1:2 {BOTH}." in paragraph
    (found,) = table.contrasts.against_positive
    width = f"{100 * found.gain_interval[1]:.1f}"
    assert (
        "Beside synthetic positives alone, those of both classes give 0.0 points at 1:2 in both classes "
        f"(-{width} to +{width}, p = 1; over trainings p = 1)." in paragraph
    )


def test_features_that_know_what_is_synthetic_are_told_where_positives_alone_are() -> None:
    def probe(low: float) -> dict[str, Any]:
        return {"auc": 0.9, "interval": [low, 1.0], "n_one": 20, "n_other": 20}

    _, paragraph = said(
        record(SAME),
        record(FAR, ratio="1:5", synthetic_probe=probe(0.4)),
        record(FAR, ratio="1:2", synthetic_probe=probe(0.8)),
        record(FAR, ratio="1:2", synthetic="both", synthetic_probe=probe(0.8)),
    )
    assert (
        "The features at 1:2 tell synthetic from real positives, so looking synthetic could be learnt as a sign of the "
        "disease. (In" in paragraph
    )


def test_images_that_were_seen_or_chose_take_every_claim_back() -> None:
    _, paragraph = said(record(SAME), record(FAR, ratio="1:2", allow_seen=True, seen=120))
    assert "But 120 of these test images had been seen before, so none of this is to be relied on. (In" in paragraph
    _, paper = said(record(SAME, protocol="paper"), record(FAR, ratio="1:2", protocol="paper"))
    assert "But the epochs were chosen on these test images, so none of this is to be relied on. (In" in paper
    _, clean = said(record(SAME), record(FAR, ratio="1:2"))
    assert "relied" not in clean


def test_each_model_and_protocol_has_a_paragraph_and_the_correction_is_that_of_the_whole_table() -> None:
    rows = [
        record(right, model=model, protocol=protocol, ratio=ratio)
        for model in ("custom_cnn", "vgg16")
        for protocol in ("strict", "paper")
        for ratio, right in (("none", SAME), ("1:2", NEAR))
    ]
    table = summarize(rows)
    paragraphs = table.conclusion[:4]
    assert [text.split(", on 190")[0] for text in paragraphs] == [
        "Custom CNN", "VGG16", "Custom CNN, protocol paper", "VGG16, protocol paper",
    ]  # fmt: skip
    # four times 6 images against none, p = 2 / 2^6, and two pairs of models that are alike
    assert all("p = 0.19)" in text and "; corrected for 6 comparisons." in text for text in paragraphs)
    assert all("So neither benefit nor harm is shown" in text for text in paragraphs)
    equal = "Custom CNN does best, and as well as VGG16 (-1.9 to +1.9, p = 1). It cannot be told from VGG16."
    assert table.conclusion[4:] == (
        f"Models without synthetic images: {equal}",
        f"Models without synthetic images, protocol paper: {equal}",
    )


def test_rows_of_different_numbers_of_images_say_theirs() -> None:
    _, paragraph = said(record(SAME), record(SAME, fold=1), record(FAR, ratio="1:2"))
    assert paragraph.startswith(
        "Custom CNN: accuracy is 89.5 % (86.0 to 92.2) of 380 test images without synthetic images and 99.5 % (97.1 to "
        "99.9) of 190 test images with them at 1:2. "
    )


def test_an_external_set_alone_has_no_paragraph() -> None:
    assert summarize([record((0, 180), (0, 188), set_name="external")]).conclusion == ()


def test_the_best_model_without_synthetic_images_is_named_and_what_it_cannot_be_told_from() -> None:
    """It leads one by 24 images of 190, p = 2 / 2^24, and the other by 1, p = 1: more than 3 / 190 is no chance."""
    records = [
        record(right, model=name) for name, right in (("vgg16", FAR), ("custom_cnn", SAME), ("resnet50", (94, 94)))
    ]
    table = summarize(records)
    assert len(table.conclusion) == 4
    leads = {each.other.model: each for each in table.contrasts.between_models if each.row.model == "vgg16"}
    shown = {
        name: f"{100 * lead.gain:.1f} points above {label} ({100 * lead.gain_interval[0]:+.1f} to "
        f"{100 * lead.gain_interval[1]:+.1f}, {p})"
        for (name, lead), label, p in zip(
            sorted(leads.items()), ("Custom CNN", "ResNet50"), ("p < 0.001", "p = 1"), strict=True
        )
    }
    assert table.conclusion[-1] == (
        f"Models without synthetic images: VGG16 does best, {shown['custom_cnn']} and {shown['resnet50']}. "
        "It cannot be told from ResNet50. Beside Custom CNN, other trainings might change that."
    )


def test_models_with_synthetic_images_are_told_beside_the_linear_probe_without() -> None:
    table = summarize([record(FAR, model="linear_probe"), record(SAME), record(NEAR, ratio="1:2")])
    (found,) = table.contrasts.against_probe
    low, high = (f"{100 * end:+.1f}" for end in found.gain_interval)
    p = f"p = {found.p_holm:.2g}" if found.p_holm >= 0.001 else "p < 0.001"
    assert table.conclusion[-1].endswith(
        f" Against Linear probe without them, Custom CNN has -6.8 points at 1:2 ({low} to {high}, {p})."
    )


def test_one_model_is_ranked_with_nobody() -> None:
    table, _ = said(record(SAME), record(NEAR, ratio="1:5"))
    assert not table.contrasts.between_models


def test_more_epochs_that_kept_the_same_epoch_are_the_same_model() -> None:
    """Of three folds two kept epoch 2 in both; fold 3 has one row alone."""
    none = [record(SAME, fold=fold, best_epoch=2) for fold in range(3)]
    longer = [
        record(SAME, fold=fold, ratio="1:5", control="epochs", best_epoch=2 + (fold == 1)) for fold in (0, 1, 2, 3)
    ]
    others = [record(SAME, fold=fold, ratio="1:2", control="epochs", best_epoch=3) for fold in range(3)]
    said_so = "In 2 of 3 (1:5) folds, more epochs ended with the same best epoch, and so with the same model."
    assert said_so in said(*none, *longer)[1]
    assert said_so in said(*none, *longer, *others)[1]
    assert "kept the epoch" not in said(*none, *others)[1]
