"""What is asked of a photograph before it is judged, and what is said of it afterwards."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from classify.operating import Operating
from classify.screening.feedback import STATEMENTS, Answer, Feedback, usability
from classify.screening.judgement import Judge, Judgement, Verdict
from classify.screening.quality import least_sharpness, measure, problems
from classify.screening.reference import Reference, limit_of, neighbour_distance, unit
from classify.screening.words import ALWAYS, headline, reasons
from classify.venn_abers import Probability
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
    for word in (
        "healthy",
        "no need",
        "harmless",
        "nothing to worry",
        "all clear",
        "benign",
        "safe",
        "reassur",
        "normal",
    ):
        assert word not in said
    if verdict is Verdict.BELOW:
        assert "does not rule it out" in said
    assert ("in 100" in said or "in 1000" in said) == (found is not None)
    assert "see a doctor now, whatever stands here" in ALWAYS


def test_small_shares_are_told_in_thousands() -> None:
    judgement = Judgement(Verdict.BELOW, Probability(0.0002, 0.0051), (), 0.1, True)
    (share, _) = reasons(judgement, prevalence=0.03, disease="X", sensitivity=0.95)
    assert "between fewer than 1 in 1000 and 5 in 1000" in share
    assert "where 3 in 100 of the patients have it" in share


def test_feedback_is_kept_scored_and_removed(tmp_path: Path) -> None:
    """A usability score is 100 for the best answers, 0 for the worst, and 50 for all in the middle."""
    best = tuple(5 if place % 2 == 0 else 1 for place in range(10))
    assert usability(best) == 100
    assert usability(tuple(6 - value for value in best)) == 0
    assert usability((3,) * 10) == 50
    kept = Feedback(tmp_path / "f.db")
    first = kept.keep(Answer("patient", best, "Good."))
    kept.keep(Answer("clinician", (), "Hm."))
    assert kept.summary() == {"n": 2, "usability": {"clinician": [], "patient": [100.0], "other": []}}
    assert first.encode() not in (tmp_path / "f.db").read_bytes()
    assert kept.remove(first)
    assert not kept.remove(first)
    assert Feedback(tmp_path / "f.db").summary()["n"] == 1
    for wrong in (("doctor", ()), ("patient", (1,) * 9), ("patient", (6,) * 10), ("patient", ())):
        with pytest.raises(ValueError, match=r"give|answer all|nothing was answered"):
            Answer(*wrong)
    with pytest.raises(ValueError, match="at most 2000 characters"):
        Answer("patient", (), "x" * 2001)
    (tmp_path / "no.db").write_text("no database, but a text that is long enough to be read as one")
    with pytest.raises(UserError, match="no file of answers that can be used"):
        Feedback(tmp_path / "no.db")
    assert len(STATEMENTS) == 10
    assert Operating().sensitivity == 0.95
