"""What is asked of a photograph before it is judged, and what is said of it afterwards."""

import html
import math
import re
import threading
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.special import expit

from classify.explaining.heatmap import occlusion
from classify.measuring.venn_abers import Probability
from classify.models import build_model
from classify.screening import engine
from classify.screening.answer import Result, Service
from classify.screening.app import Pages
from classify.screening.feedback import STATEMENTS, Answer, Feedback, usability
from classify.screening.judgement import Judge, Judgement, Verdict
from classify.screening.quality import Measures, least_sharpness, measure, problems
from classify.screening.reference import Reference, limit_of, neighbour_distance, unit
from classify.screening.words import ALWAYS, REHEARSAL, headline, percentage, reasons
from shared.decoding import Decoded
from shared.errors import UserError

RNG = np.random.default_rng(0)
SHARP = RNG.integers(20, 220, (32, 32, 3), dtype=np.uint8)
GOOD = {"sharpness": 0.1, "side_px": 500, "size": 32}


@given(st.floats(0.1, 1))
def test_less_light_or_darker_skin_is_no_reason(gain: float) -> None:
    """All levels times a number: the same picture on darker skin, or in less light."""
    darker = measure(np.round(SHARP * gain).astype(np.uint8))
    assert darker.sharpness == pytest.approx(measure(SHARP).sharpness, rel=0.05)
    assert problems(darker, **GOOD) == []


def test_what_is_wrong_is_named() -> None:
    blurred = gaussian_filter(SHARP.astype(float), (3, 3, 0)).astype(np.uint8)
    assert measure(blurred).sharpness < measure(SHARP).sharpness / 10
    assert problems(measure(blurred), **GOOD) == ["it is blurred"]
    assert problems(measure(np.full((32, 32, 3), 90, np.uint8)), **GOOD) == ["nothing can be told apart in it"]
    half = SHARP.copy()
    half[:20] = 0
    assert problems(measure(half), **GOOD | {"sharpness": 0}) == ["too much of it is black"]
    half[:20] = 255
    assert problems(measure(half), **GOOD | {"sharpness": 0}) == ["too much of it is white"]
    assert problems(measure(SHARP), **GOOD | {"side_px": 20}) == [
        "it is too small (20 px on its shorter side, at least 32 are needed)"
    ]


def test_sharpness_is_what_nearly_all_own_photographs_reach() -> None:
    images = [gaussian_filter(SHARP.astype(float), (s, s, 0)).astype(np.uint8) for s in np.linspace(0, 2, 200)]
    least = least_sharpness([measure(image) for image in images])
    assert np.mean([measure(image).sharpness < least for image in images]) == pytest.approx(0.01, abs=0.005)


@given(st.integers(1, 30), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_the_distance_is_that_of_the_tenth_nearest(known: int, asked: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = (unit(rng.normal(size=(n, 5)).astype(np.float32)) for n in (known, asked))
    naive = [sorted(np.linalg.norm(first - each, axis=1))[min(10, known) - 1] for each in second]
    np.testing.assert_allclose(neighbour_distance(first, second), naive, atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, rtol=1e-5)


def test_few_images_of_the_same_kind_are_turned_away() -> None:
    """Split conformal: of a new image like n others the chance to exceed the limit is at most 5 %, over all draws."""
    rng = np.random.default_rng(1)
    above = [rng.exponential() > limit_of(rng.exponential(size=39)) for _ in range(4000)]
    assert np.mean(above) == pytest.approx(2 / 40, abs=3 * math.sqrt(0.05 * 0.95 / 4000))  # rank 38 of 40
    assert limit_of(np.arange(5.0)) == math.inf  # too few to say so


def judge(**changes: object) -> Judge:
    known = unit(np.eye(4, dtype=np.float32).repeat(10, axis=0))
    reference = Reference(known, 0.5, 0.1, 32, "m" * 64, "c" * 64)
    score = np.linspace(-3, 3, 40)
    given: dict[str, object] = {"threshold": 0.6, "prevalence": 0.03, "reference": reference}
    return Judge(score=score, label=(score > 0).astype(np.int64), **(given | changes))  # type: ignore[arg-type]


def test_a_photograph_like_the_known_ones_is_judged_by_the_threshold() -> None:
    features = np.eye(4, dtype=np.float32)[0]
    high, low = (judge().judge(SHARP, side_px=99, score=score, features=features) for score in (2.0, 0.3))
    assert (high.verdict, low.verdict) == (Verdict.ABOVE, Verdict.BELOW)  # 0.57 is below 0.6
    assert high.probability is not None
    assert low.probability is not None
    assert high.probability.single >= low.probability.single
    assert high.distance == pytest.approx(0, abs=1e-3)
    rare = judge(prevalence=0.001).judge(SHARP, side_px=99, score=2.0, features=features)
    assert rare.probability is not None
    assert rare.probability.low < high.probability.low


def test_what_is_unlike_or_bad_is_not_judged() -> None:
    strange = judge().judge(SHARP, side_px=99, score=9.0, features=np.ones(4, np.float32))
    assert (strange.verdict, strange.probability, strange.is_known) == (Verdict.NONE, None, False)
    bad = judge().judge(SHARP, side_px=9, score=9.0, features=np.eye(4, dtype=np.float32)[0])
    assert (bad.verdict, bad.probability, bad.is_known) == (Verdict.NONE, None, True)
    assert bad.problems


def reassuring(text: str) -> list[str]:
    """Return the words in a text that somebody could take for "no attention is needed"."""
    words = (
        "healthy", "no need", "not need", "harmless", "nothing to worry", "not worry", "all clear", "benign", "safe",
        "reassur", "normal", "no disease", "no sign", "unlikely", "rules out", "ruled out", "you can wait", "negative",
        "nothing wrong", "no doctor", "not necessary", "unnecessary to",
    )  # fmt: skip
    return [word for word in words if word in text.lower()]


PROBLEMS = problems(Measures(sharpness=0, contrast=0, black=1, white=1), **GOOD | {"side_px": 9}) + problems(
    Measures(sharpness=0, contrast=9, black=0, white=0), **GOOD
)


def result_of(verdict: Verdict, wrong: list[str], *, known: bool, warmth: float | None = 1.0) -> Result:
    """Return what is answered, by the parts that answers are made of, without a model."""
    judgement = Judgement(
        verdict, None if verdict is Verdict.NONE else Probability(0.001, 0.2), tuple(wrong), 0.1, known
    )
    service = Service(None, None, judge(), "herpeticum", 0.95, "m" * 64, 0)  # type: ignore[arg-type]
    shown = judgement.probability is not None
    heat = np.full((32, 32), warmth, np.float32) if shown and warmth is not None else None
    return service._result(Decoded(SHARP, 99), 0.3, judgement, shown=shown, heat=heat)


def test_a_heat_map_in_which_nothing_is_warm_is_not_called_red() -> None:
    pages = Pages(Service(None, None, judge(), "herpeticum", 0.95, "m" * 64, 0), False, asks=False)  # type: ignore[arg-type]
    warm, cold = (result_of(Verdict.ABOVE, [], known=True, warmth=warmth) for warmth in (1.0, 0.0))
    assert warm.evidence is not None
    assert cold.evidence is None
    assert cold.photograph == warm.photograph is not None
    assert "Red: where it finds evidence" in pages.render("result.html", warm)
    unexplained = result_of(Verdict.ABOVE, [], known=True, warmth=None)
    assert not unexplained.explained
    assert "There is no heat map" in pages.render("result.html", unexplained)
    assert "points to no place" not in pages.render("result.html", unexplained)
    page = pages.render("result.html", cold)
    assert "Red: " not in page
    assert "The model points to no place" in page


@pytest.mark.parametrize("tokens", [True, False])
def test_nothing_that_the_page_can_show_tells_anybody_that_no_attention_is_needed(tokens: bool) -> None:
    """All texts of page and interface: each verdict, each reason against a photograph, an error, the script's own."""
    assert len(PROBLEMS) == 5
    service = Service(None, None, judge(), "herpeticum", 0.95, "m" * 64, 0)  # type: ignore[arg-type]
    pages = Pages(service, tokens, asks=True)
    results = [result_of(verdict, [], known=True) for verdict in (Verdict.ABOVE, Verdict.BELOW)]
    results += [result_of(Verdict.BELOW, [], known=True, warmth=0.0)]
    results += [result_of(Verdict.NONE, PROBLEMS, known=known) for known in (True, False)]
    for result in results:
        whole = re.sub(r'"data:[^"]*"', '""', html.unescape(pages.render("page.html", result)))
        assert not reassuring(whole)  # texts beside pictures included
        page = re.sub("<[^>]+>", " ", whole)
        for sentence in (
            ALWAYS,
            "whatever it says, do not put off seeing a doctor",
            result.headline,
            *result.explanation,
        ):
            assert sentence in " ".join(page.split())
        assert ALWAYS in html.unescape(pages.render("result.html", result))
        assert not reassuring(result.model_dump_json(exclude={"evidence", "photograph"}))
    assert not reassuring(
        pages.render("page.html", error="the photograph cannot be read: truncated; send another one.")
    )
    script = resources.files("classify.screening").joinpath("page", "page.js").read_text()
    assert not reassuring(script)
    assert reassuring("This looks normal.")  # the words are found where they stand


def test_a_model_that_knows_no_patient_says_so_before_and_beside_what_it_says() -> None:
    trained, rehearsed = (
        Service(None, None, judge(), "herpeticum", 0.95, "m" * 64, 0, rehearses)  # type: ignore[arg-type]
        for rehearses in (False, True)
    )
    judgement = Judgement(Verdict.BELOW, Probability(0.001, 0.2), (), 0.1, True)
    for service in (trained, rehearsed):
        result = service._result(Decoded(SHARP, 99), 0.3, judgement, shown=False, heat=None)
        assert result.notice == (f"{REHEARSAL} {ALWAYS}" if service.rehearses else ALWAYS)
        assert (REHEARSAL in Pages(service, tokens=False, asks=False).render("page.html")) == service.rehearses


def test_the_page_says_score_threshold_and_whose_model_it_is() -> None:
    """A probability at a prevalence cannot be laid beside a threshold of the score, so both stand there."""
    service = Service(None, None, judge(), "herpeticum", 0.95, "m" * 64, 3)  # type: ignore[arg-type]
    result = result_of(Verdict.BELOW, [], known=True).model_copy(update={"fold": 3})
    said = " ".join(Pages(service, tokens=False, asks=False).render("page.html", result).split())
    assert f"score is {expit(0.3):.3f} of 1, which is not a probability; the threshold in force is 0.600." in said
    assert "of fold 3. It judges alone: figures of a study are means over the models of several folds." in said
    assert "What do you think of this page" not in said


@given(
    st.sampled_from(Verdict),
    st.floats(0, 1),
    st.floats(0, 1),
    st.lists(st.sampled_from(["it is blurred", "too much of it is white"]), max_size=2),
    st.booleans(),
)
def test_no_words_tell_anybody_that_no_attention_is_needed(
    verdict: Verdict, one: float, other: float, wrong: list[str], known: bool
) -> None:
    found = None if verdict is Verdict.NONE else Probability(min(one, other), max(one, other))
    judgement = Judgement(verdict, found, tuple(wrong), 0.1, known)
    said = " ".join(
        [headline(judgement, "X"), *reasons(judgement, prevalence=0.03, disease="X", sensitivity=0.95)]
    ).lower()
    assert not reassuring(said)
    if verdict is Verdict.BELOW:
        assert "does not rule it out" in said
    assert ("in 100" in said or "in 1000" in said) == (found is not None)
    assert "see a doctor now, whatever stands here" in ALWAYS


def test_small_shares_are_told_in_thousands() -> None:
    judgement = Judgement(Verdict.BELOW, Probability(0.0002, 0.0051), (), 0.1, True)
    (share, _) = reasons(judgement, prevalence=0.03, disease="X", sensitivity=0.95)
    assert "between fewer than 1 in 1000 and 5 in 1000" in share
    assert "where 3 in 100 of the patients have it" in share


@pytest.mark.parametrize(
    ("value", "words"),
    [
        *((0.0, "under 0.1"), (0.04, "under 0.1"), (0.05, "0.1"), (35.84, "35.8")),
        *((99.94, "99.9"), (99.95, "over 99.9"), (100.0, "over 99.9")),
    ],
)
def test_no_percentage_is_certain(value: float, words: str) -> None:
    assert percentage(value) == words


BEST = tuple(5 if place % 2 == 0 else 1 for place in range(len(STATEMENTS)))  # every other statement is a complaint


def test_a_usability_score_is_100_for_the_best_answers_0_for_the_worst_and_50_for_all_in_the_middle() -> None:
    assert usability(BEST) == 100
    assert usability(tuple(6 - value for value in BEST)) == 0
    assert usability((3,) * len(STATEMENTS)) == 50


def test_feedback_is_kept_for_its_owner_and_removed_when_asked(tmp_path: Path) -> None:
    kept = Feedback(tmp_path / "f.db")
    first = kept.keep(Answer("patient", BEST, "Good."))
    kept.keep(Answer("clinician", (), "Hm."))
    assert (tmp_path / "f.db").stat().st_mode & 0o777 == 0o600
    assert kept.summary() == {"n": 2, "usability": {"clinician": [], "patient": [100.0], "other": []}}
    assert first.encode() not in (tmp_path / "f.db").read_bytes()
    assert b"Good." in (tmp_path / "f.db").read_bytes()
    assert kept.remove(first)
    assert b"Good." not in (tmp_path / "f.db").read_bytes()  # removed is removed
    assert not kept.remove(first)
    assert Feedback(tmp_path / "f.db").summary()["n"] == 1


def test_a_file_of_answers_may_have_any_name_and_must_be_one(tmp_path: Path) -> None:
    Feedback(tmp_path / "a?mode=ro#b c.db").keep(Answer("other", (), "Hm."))
    assert (tmp_path / "a?mode=ro#b c.db").is_file()
    (tmp_path / "no.db").write_text("no database, but a text that is long enough to be read as one")
    with pytest.raises(UserError, match="no file of answers that can be used"):
        Feedback(tmp_path / "no.db")


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (("doctor", ()), "role: give"),
        (("patient", (1,) * 9), "answer all"),
        (("patient", (6,) * 10), "answer all"),
        (("patient", ()), "nothing was answered"),
        (("patient", (), "x" * 2001), "at most 2000 characters"),
    ],
)
def test_what_is_no_answer_is_refused(answer: tuple[Any, ...], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Answer(*answer)


def test_heat_maps_are_by_a_method_that_can_tell_where(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 32 px the paper's network leaves 2 x 2 cells, so its maps are by occlusion, as far as that is quick."""
    classifier = build_model("custom_cnn", image_size=32)
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    expected = occlusion(classifier, torch.from_numpy(image[None]))[0]
    monkeypatch.setattr(engine, "MOST_OCCLUSION_S", 60.0)
    asked = engine.Engine(classifier)
    try:
        waiting = [asked.explain(image) for _ in range(3)] + [asked.score(image) for _ in range(40)]
        assert asked.explains
    finally:
        asked.close()  # what waits is answered
    for found in waiting[:3]:
        np.testing.assert_allclose(found.result(0), expected.numpy(), atol=1e-6)
    scores = [each.result(0).score for each in waiting[3:]]
    assert np.allclose(scores, scores[0], atol=1e-5)
    monkeypatch.setattr(engine, "MOST_OCCLUSION_S", -1.0)
    slow = engine.Engine(classifier)
    slow.close()
    assert not slow.explains


def test_scores_do_not_wait_behind_heat_maps() -> None:
    asked = engine.Engine(build_model("custom_cnn", image_size=64, depth=2))
    order: list[str] = []
    image = np.zeros((64, 64, 3), np.uint8)
    begun = threading.Event()
    first = asked.score(image)
    first.add_done_callback(lambda _: begun.wait(60))  # holds the engine's thread until all have asked
    for name, ask in (("map", asked.explain), ("score", asked.score)):
        ask(image).add_done_callback(lambda _, name=name: order.append(name))  # type: ignore[misc]
    begun.set()
    asked.close()
    assert order == ["score", "map"]
