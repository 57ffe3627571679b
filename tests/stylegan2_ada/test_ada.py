"""The controller against the reference numbers and a naive loop."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from reference import load_golden

from stylegan2_ada.ada import AdaController


def test_golden_controller() -> None:
    golden = load_golden("ada_controller")
    batch, interval = int(golden["batch"]), int(golden["interval"])
    controller = AdaController(target=float(golden["target"]), ada_kimg=float(golden["ada_kimg"]))
    signs = golden["mean_sign_of_real_logits"]
    steps = len(signs) // len(golden["p_after"])
    assert steps == 1
    for sign, expected in zip(signs, golden["p_after"], strict=True):
        controller.observe(float(sign) * batch * interval, batch * interval)
        assert np.isclose(controller.update(batch * interval), expected, rtol=0, atol=1e-12)


@given(st.lists(st.floats(-1, 1), max_size=60), st.floats(-0.5, 0.9), st.floats(0.1, 10))
def test_controller_against_a_loop(signs: list[float], target: float, ada_kimg: float) -> None:
    controller, p = AdaController(target=target, ada_kimg=ada_kimg), 0.0
    for sign in signs:
        controller.observe(sign * 8, 8)
        r_t = sign * 8 / 8
        p = min(1.0, max(0.0, p + np.sign(r_t - target) * 8 / (ada_kimg * 1000)))
        assert np.isclose(controller.update(8), p)


def test_p_stays_below_its_bound() -> None:
    controller = AdaController(target=0.6, ada_kimg=1, max_p=0.3)
    reached = []
    for sign in [1.0] * 8 + [-1.0] * 2:
        controller.observe(100 * sign, 100)
        reached.append(controller.update(100))
    assert np.allclose(reached, [0.1, 0.2, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.2, 0.1])
    assert max(reached) == 0.3


def test_nothing_observed_changes_nothing() -> None:
    controller = AdaController(target=0.6, ada_kimg=500, p=0.25)
    assert controller.update(1000) == 0.25
