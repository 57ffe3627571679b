"""Names that command lines offer without torch are those that the code behind them knows."""

from synth import choices
from synth.scores import features
from synth.selecting import selection
from synth.training import methods


def test_every_list_of_names_is_that_of_its_table() -> None:
    assert tuple(selection.RULES) == choices.RULES
    assert choices.TYPICAL in choices.RULES
    assert tuple(methods.METHODS) == choices.METHODS
    assert {*choices.QUALITY_SPACES, *choices.SIMILARITY_SPACES} == set(features.CHOICES)
