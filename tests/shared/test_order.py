from hypothesis import given
from hypothesis import strategies as st

from shared.order import natural


@given(st.permutations(range(1, 120)), st.sampled_from(["{}", "FST{}", "AGE_{}_TO_99", "tone {} of 10"]))
def test_numbers_within_names_stand_by_size(numbers: list[int], pattern: str) -> None:
    names = [pattern.format(number) for number in numbers]
    assert sorted(names, key=natural) == [pattern.format(number) for number in sorted(numbers)]


@given(st.lists(st.text("abcXYZ _-")))
def test_names_without_numbers_keep_their_order(names: list[str]) -> None:
    assert sorted(names, key=natural) == sorted(names)
