"""What a command does when nothing is asked for: its help says what its stage's options say."""

import dataclasses
from typing import Any

import click
import pytest

import classify.cli
import synth.cli
from classify.explaining.explained import ExplainOptions
from classify.fitting.settings import FitOptions
from classify.serve import ServeOptions as ScreeningOptions
from classify.studying.options import StudyOptions
from classify.tuning.options import TuneOptions
from synth.bundles.export import ExportOptions
from synth.bundles.verify import VerifyOptions
from synth.cohorts.options import PrepareOptions
from synth.generate import GenerateOptions
from synth.refine import RefineOptions
from synth.selecting.options import SelectOptions
from synth.service.options import Bounds, ServeOptions

OPTIONS: dict[str, tuple[click.Group, tuple[type, ...]]] = {
    "prepare": (synth.cli.cli, (PrepareOptions,)),
    "generate": (synth.cli.cli, (GenerateOptions,)),
    "refine": (synth.cli.cli, (RefineOptions,)),
    "select": (synth.cli.cli, (SelectOptions,)),
    "bundle export": (synth.cli.cli, (ExportOptions,)),
    "bundle verify": (synth.cli.cli, (VerifyOptions,)),
    "serve": (synth.cli.cli, (ServeOptions, Bounds)),
    "fit": (classify.cli.cli, (FitOptions,)),
    "study": (classify.cli.cli, (StudyOptions,)),
    "tune": (classify.cli.cli, (TuneOptions,)),
    "explain": (classify.cli.cli, (ExplainOptions,)),
    "screen": (classify.cli.cli, (ScreeningOptions,)),
}
FEW = {"bundle export", "refine", "study"}  # that leave most to their stage


def command_of(group: click.Group, name: str) -> click.Command:
    found: click.Command | None = group
    for part in name.split():
        assert isinstance(found, click.Group)
        found = found.get_command(click.Context(found), part)
    assert found is not None
    return found


def defaults(command: click.Command) -> dict[str, Any]:
    """Return what each option is when nothing is said of it, of those that are anything then."""
    context = click.Context(command)
    raw = {each: each.get_default(context) for each in command.params if isinstance(each, click.Option)}
    return {
        str(each.name): each.type_cast_value(context, value)
        for each, value in raw.items()
        if isinstance(value, str | int | float | bool | tuple) and value != ()
    }


@pytest.mark.parametrize("name", OPTIONS)
def test_a_commands_defaults_are_those_of_its_stage(name: str) -> None:
    group, kinds = OPTIONS[name]
    asked = defaults(command_of(group, "serve" if name == "screen" else name))
    stated = {
        field.name: field.default
        for kind in kinds
        for field in dataclasses.fields(kind)
        if field.default is not dataclasses.MISSING
    }
    common = asked.keys() & stated.keys()
    assert len(common) >= (1 if name in FEW else 3)
    assert {each: asked[each] for each in common} == {each: stated[each] for each in common}
