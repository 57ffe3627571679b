import numpy as np
import pytest

from classify.exporting.speed import WARM, Latency, latencies, table, words


def test_answers_take_turns_and_the_first_do_not_count() -> None:
    asked: list[tuple[str, tuple[int, ...]]] = []
    now = [0.0]

    def runtime(name: str, seconds: float, first: float) -> object:
        def answer(images: np.ndarray) -> list[np.ndarray]:
            asked.append((name, images.shape))
            now[0] += first if sum(each[0] == name for each in asked) <= WARM else seconds
            return []

        return answer

    answers = {"a": runtime("a", 0.25, 9.0), "b": runtime("b", 0.5, 9.0)}
    found = latencies(answers, 16, batches=(2,), repeats=5, clock=lambda: now[0])
    assert [name for name, _ in asked] == ["a", "b"] * (WARM + 5)
    assert {shape for _, shape in asked} == {(2, 16, 16, 3)}
    assert found == [
        Latency("a", 2, 5, 250.0, (250.0, 250.0)),
        Latency("b", 2, 5, 500.0, (500.0, 500.0)),
    ]


def test_the_median_and_the_quartiles_are_of_all_that_count() -> None:
    times = iter([1.0] * WARM + [t for ms in (0.004, 0.001, 0.003, 0.002, 0.1) for t in (0.0, ms)])
    (found,) = latencies({"a": lambda images: []}, 8, batches=(1,), repeats=5, clock=lambda: next(times))
    assert found.median_ms == pytest.approx(3)
    assert found.quartiles_ms == pytest.approx((2, 4))
    assert words(found) == "3.0 (2.0 to 4.0)"


def test_the_table_has_a_row_a_runtime_and_a_column_a_batch() -> None:
    made = table([Latency(name, batch, 3, 1.0, (1.0, 1.0)) for name in "ab" for batch in (1, 8)], threads=2)
    assert [str(column.header) for column in made.columns] == ["runtime", "batch 1", "batch 8"]
    assert made.row_count == 2
    assert "2 threads" in str(made.title)
