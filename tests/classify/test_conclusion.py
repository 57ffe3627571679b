"""What the table says in plain words, read as a whole: claims only what the tests behind it bear."""

from typing import Any

import pytest
from recorded import record

from classify.tables import Table, summarize

FAR, NEAR, SAME, LOW = (94, 95), (88, 88), (85, 85), (70, 75)  # right of 95 and 95; none has SAME


def said(*records: dict[str, Any]) -> tuple[Table, str]:
    """Return the table and its only paragraph."""
    table = summarize(records)
    (paragraph,) = table.conclusion
    return table, paragraph


def test_a_benefit_beyond_chance_is_said() -> None:
    """Of 190 images 6 turn right and none wrong: p = 2 / 2^6 by McNemar. Wilson's intervals stand in brackets."""
    table, paragraph = said(record(SAME), record(NEAR, ratio="1:5"))
    low, high = (f"{100 * end:+.1f}" for end in table.against_none[0].gain_interval)
    assert paragraph == (
        "Custom CNN, on 190 test images: accuracy is 89.5 % (84.3 to 93.1) without synthetic images and 92.6 % (88.0 "
        "to 95.6) with them at 1:5. Against training without synthetic images, that is +3.2 points at 1:5 "
        f"({low} to {high}, p = 0.031). So synthetic images helped at 1:5 by more than chance explains. (In "
        "brackets: 95 % intervals. p: McNemar's exact test.)"
    )


def test_a_difference_within_chance_is_neither_benefit_nor_harm() -> None:
    """Four turn right and none wrong: p = 2 / 2^4."""
    table, paragraph = said(record(SAME), record((87, 87), ratio="1:5"))
    (found,) = table.against_none
    most = 100 * found.gain_interval[1]
    least = -100 * found.gain_interval[0]
    assert f" to +{most:.1f}, p = 0.12). So neither benefit nor harm is shown: gains above {most:.1f}" in paragraph
    assert f"points and losses above {least:.1f} points are unlikely." in paragraph
    assert "helped" not in paragraph


def test_what_helps_beyond_chance_is_said_and_the_rest_is_left_open() -> None:
    table, paragraph = said(record(SAME), record(FAR, ratio="1:2"), record((86, 86), ratio="1:5"))
    low, high = table.against_none[0].gain_interval
    assert (
        "without synthetic images, 90.5 % (85.5 to 93.9) with them at 1:5 and 99.5 % (97.1 to 99.9) at 1:2. "
        f"Against training without synthetic images, that is +1.1 points at 1:5 ({100 * low:+.1f} to "
        f"{100 * high:+.1f}, p = 0.5) and +10.0 points at 1:2 (" in paragraph
    )
    assert "p < 0.001). So synthetic images helped at 1:2 by more than chance explains; at 1:5 neither benefit nor" in (
        paragraph
    )
    assert (
        f"harm is shown: gains above {100 * high:.1f} points and losses above {-100 * low:.1f} points are" in paragraph
    )
    assert paragraph.endswith("p: McNemar's exact test, corrected for 2 comparisons.)")


def test_harm_is_said_too() -> None:
    _, paragraph = said(record(SAME), record(LOW, ratio="1:2"))
    assert "that is -13.2 points at 1:2 (" in paragraph
    assert "So synthetic images did harm at 1:2 by more than chance explains. (In" in paragraph
    _, mixed = said(record(SAME), record(FAR, ratio="1:5"), record(LOW, ratio="1:2"))
    assert (
        "So synthetic images helped at 1:5 by more than chance explains; they did harm at 1:2 by more than chance "
        "explains." in mixed
    )


def test_the_same_verdicts_everywhere_do_not_rule_everything_out() -> None:
    """A bootstrap of verdicts that are all alike would leave no room for any gain or loss."""
    table, paragraph = said(record(SAME), record(SAME, ratio="1:2"))
    width = f"{100 * table.against_none[0].gain_interval[1]:.1f}"
    assert float(width) > 0
    assert f"that is 0.0 points at 1:2 (-{width} to +{width}, p = 1)." in paragraph
    assert f"gains above {width} points and losses above {width} points are unlikely." in paragraph


def test_without_synthetic_rows_nothing_is_said_of_them() -> None:
    _, paragraph = said(record(SAME))
    assert paragraph == (
        "Custom CNN, on 190 test images: accuracy is 89.5 % (84.3 to 93.1) without synthetic images. No classifier "
        "with synthetic images was tested beside it. (In brackets: 95 % intervals.)"
    )


@pytest.mark.parametrize("none", [[], [record(SAME, fold=3)]])
def test_without_none_on_the_same_images_no_benefit_is_claimed(none: list[dict[str, Any]]) -> None:
    _, paragraph = said(record(FAR, ratio="1:2"), *none)
    assert "No classifier without them was tested on the same images, so whether they help is not known." in paragraph
    assert "with synthetic images at 1:2" in paragraph or "with them at 1:2" in paragraph
    assert "helped" not in paragraph


def test_controls_that_do_as_well_take_the_benefit_away() -> None:
    table, paragraph = said(
        record(SAME),
        record(FAR, ratio="1:2"),
        record((93, 95), ratio="1:2", control="oversampling"),
        record(FAR, ratio="1:2", control="epochs"),
    )
    assert "accuracy is 89.5 % (84.3 to 93.1) without synthetic images and 99.5 % (97.1 to 99.9) with them at 1:2." in (
        paragraph
    )
    assert "As much training without synthetic images gives +9.5 points with oversampling at 1:2 (" in paragraph
    assert ") and +10.0 points with more epochs at 1:2 (" in paragraph
    assert (
        "Synthetic images did neither better nor worse than oversampling at 1:2 and more epochs at 1:2, as far as can "
        "be told. So the benefit at 1:2 may come from longer training, and not from the images. (In" in paragraph
    )
    assert "corrected for 3 comparisons" in paragraph
    assert len(table.against_controls) == 2


def test_controls_that_are_beaten_leave_the_benefit_with_the_images() -> None:
    _, paragraph = said(
        record(SAME),
        record(FAR, ratio="1:2"),
        record(SAME, ratio="1:2", control="augmentation"),
        record((86, 85), ratio="1:2", control="oversampling"),
    )
    assert (
        "Synthetic images did better than oversampling at 1:2 and stronger augmentation at 1:2 by more than chance "
        "explains. (In" in paragraph
    )
    assert "may come from" not in paragraph


def test_controls_that_are_better_are_named() -> None:
    _, paragraph = said(
        record(SAME), record(SAME, ratio="1:2"), record(FAR, ratio="1:2", control="epochs"),
    )  # fmt: skip
    assert "Synthetic images did worse than more epochs at 1:2 by more than chance explains. (In" in paragraph
    assert "may come from" not in paragraph  # there is no benefit


def test_synthetic_images_in_both_classes_have_sentences_of_their_own() -> None:
    _, paragraph = said(
        record(SAME),
        record(FAR, ratio="1:2"),
        record(FAR, ratio="1:2", synthetic="both"),
        record(SAME, ratio="1:2", control="oversampling"),
    )
    assert "with them at 1:2 and 99.5 % (97.1 to 99.9) at 1:2 in both classes." in paragraph
    assert "helped at 1:2 and at 1:2 in both classes by more than chance explains." in paragraph
    assert "Synthetic images did better than oversampling at 1:2 by more than chance explains." in paragraph
    assert "Synthetic images in both classes did better than oversampling at 1:2 by more than" in paragraph


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
        "Custom CNN, protocol paper", "VGG16, protocol paper", "Custom CNN", "VGG16",
    ]  # fmt: skip
    assert all("p = 0.12)" in text and "corrected for 4 comparisons.)" in text for text in paragraphs)
    assert all("So neither benefit nor harm is shown" in text for text in paragraphs)
    equal = "Custom CNN does best, and as well as VGG16 (-1.9 to +1.9, p = 1). It cannot be told from VGG16."
    assert table.conclusion[4:] == (
        f"Models without synthetic images, protocol paper: {equal}",
        f"Models without synthetic images: {equal}",
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
    leads = {each.other.model: each for each in table.between_models if each.row.model == "vgg16"}
    shown = {
        name: f"{100 * lead.gain:.1f} points above {label} ({100 * lead.gain_interval[0]:+.1f} to "
        f"{100 * lead.gain_interval[1]:+.1f}, {p})"
        for (name, lead), label, p in zip(
            sorted(leads.items()), ("Custom CNN", "ResNet50"), ("p < 0.001", "p = 1"), strict=True
        )
    }
    assert table.conclusion[-1] == (
        f"Models without synthetic images: VGG16 does best, {shown['custom_cnn']} and {shown['resnet50']}. "
        "It cannot be told from ResNet50."
    )


def test_one_model_is_ranked_with_nobody() -> None:
    table, _ = said(record(SAME), record(NEAR, ratio="1:5"))
    assert not table.between_models
