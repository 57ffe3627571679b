"""Whatever stands in an option or a text file of settings: a value, or a sentence that says what is wrong."""

import contextlib
import dataclasses
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from classify import option
from classify.explaining.explained import ExplainOptions
from classify.fitting.ratio import Ratio
from classify.fitting.settings import FitOptions
from classify.measuring.operating import Operating
from classify.presets import read_preset
from classify.serve import ServeOptions as ScreeningOptions
from classify.studying.options import StudyOptions
from classify.tuning.options import TuneOptions
from shared.errors import UserError
from shared.files import parse_json
from shared.studies.storage import open_storage
from shared.studies.values import Budget, Range, read_value
from shared.web.server import Address
from synth.bundles.verify import VerifyOptions
from synth.cohorts.metadata import read_metadata
from synth.cohorts.options import PrepareOptions
from synth.drawing.seeds import parse_seeds
from synth.generate import GenerateOptions
from synth.refine import RefineOptions
from synth.selecting.options import SelectOptions
from synth.service.options import Bounds
from synth.service.options import ServeOptions as OfferOptions
from synth.training.cells import Cell, read_cells
from synth.training.options import TrainOptions, read_intervals

NUMBERS = st.text("0123456789.:-+eE_ loginfax", max_size=14)
ANY = st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), max_size=20) | NUMBERS
FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def value_or_sentence(read: Callable[..., Any], *arguments: Any) -> Any:
    """Return what is read, None where it is refused in one sentence; anything else that is raised is a fault."""
    said = ""
    try:
        return read(*arguments)
    except UserError as error:
        said = str(error)
    assert said
    assert "\n" not in said
    return None


@given(ANY)
@example("1:2:log")
@example("0:1:log")
@example("1e999:2")
def test_a_value_is_a_number_or_a_range_that_reads_back(text: str) -> None:
    found = value_or_sentence(read_value, text)
    if isinstance(found, Range):
        assert found.low < found.high
        assert math.isfinite(found.high - found.low)
        assert isinstance(found.low, float)
        assert not found.log or found.low > 0


@given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6), st.booleans())
def test_a_range_reads_back(low: float, high: float, log: bool) -> None:
    made = value_or_sentence(read_value, f"{low!r}:{high!r}{':log' if log else ''}")
    assert made == (Range(low, high, log) if low < high else None)


@given(
    ANY | st.from_regex(r"[0-9]{1,400}(\.[0-9]{0,3})?(cells|kimg|h)", fullmatch=True),
    st.sampled_from(["kimg", "epochs"]),
)
def test_a_budget_limits_one_thing(text: str, unit: str) -> None:
    found = value_or_sentence(Budget.read, text, unit)
    if found is not None:
        limits = [each for each in (found.cells, found.amount, found.hours) if each is not None]
        assert len(limits) == 1
        assert limits[0] > 0
        assert found.allows(0, 0.0, 0.0)


@given(ANY | st.from_regex(r"[0-9]{0,12}:[0-9]{0,12}", fullmatch=True))
def test_a_ratio_is_two_numbers(text: str) -> None:
    found = value_or_sentence(Ratio.parse, text)
    assert found is None or value_or_sentence(Ratio.parse, str(found)) == found


@given(st.text("0123456789,- ", max_size=16) | ANY)
def test_seeds_are_numbers_that_numpy_takes(text: str) -> None:
    found = value_or_sentence(parse_seeds, text)
    assert found is None or (len(found) > 0 and found.min() >= 0 and found.max() < 2**32)


@given(st.lists(ANY | st.from_regex(r"[0-9.]{1,6}(kimg|min|h|s)?", fullmatch=True), max_size=3))
def test_intervals_are_no_negative_numbers(texts: list[str]) -> None:
    found = value_or_sentence(read_intervals, texts)
    assert found is None or all(value >= 0 for value in found.values())  # none at all is refused by the training


@FOLDER
@given(ANY.filter(lambda text: "/" not in text and "\0" not in text))
def test_a_storage_is_opened_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder, here = tmp_path_factory.mktemp("storage"), Path.cwd()
    os.chdir(folder)  # which a name may mean
    try:
        value_or_sentence(open_storage, text, folder)
    finally:
        os.chdir(here)


@given(ANY | st.text('[]{}",:0123456789.eE-nulltrefasNI ', max_size=24))
def test_json_is_read_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        parse_json(text)


@FOLDER
@given(
    st.text("ab,;\"'\n\r\t0123456789.-/ é\0", max_size=60).map(lambda rest: f"file,group,tone\n{rest}")
    | st.text(max_size=40)
)
def test_a_table_of_patients_is_read_or_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_bytes(text.encode("utf-8", "surrogatepass"))
    found = value_or_sentence(read_metadata, tmp_path / "t.csv", ["a/a.png", "a/b.png", "b/a.png"])
    assert found is None or len(found.groups) == 3


SETTING = st.tuples(
    st.sampled_from(["gamma", "lr", "target", "model", "ratio", "epochs", "head", "fold", "paper", "batch", "seed"]),
    st.sampled_from(
        ['"x"', "1", "-1", "1e999", "nan", "[]", "[1, 2]", "{}", "true", '"1:2"', "0.1", '"custom_cnn"', "9" * 40]
    ),
)


@FOLDER
@given(st.lists(SETTING, max_size=5), st.sampled_from(["rarescreen-table2", "rarescreen-cells", "x"]), st.booleans())
def test_cells_in_toml_are_read_or_refused(
    tmp_path: Path, rows: list[tuple[str, str]], kind: str, wrapped: bool
) -> None:
    row = ", ".join(f"{name} = {value}" for name, value in dict(rows).items())
    cells = f"cells = [{{ {row} }}]" if wrapped else "\n".join(f"[[cells]]\n{line}" for line in row.split(", "))
    (tmp_path / "c.toml").write_text(f'format = "{kind}"\nversion = 1\n{cells}\n')
    for read in (read_preset, read_cells):
        value_or_sentence(read, str(tmp_path / "c.toml"))


@FOLDER
@given(st.text(max_size=60) | st.text('[]{}="\n#.,abcdefghijklmnop0123456789', max_size=60))
def test_any_text_as_toml_is_read_or_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.toml").write_bytes(text.encode("utf-8", "surrogatepass"))
    for read in (read_preset, read_cells):
        value_or_sentence(read, str(tmp_path / "c.toml"))


@pytest.mark.parametrize("parse", [option.fold, option.head], ids=["fold", "head"])
@given(text=ANY | st.from_regex(r"[0-9,x-]{1,12}", fullmatch=True) | st.sampled_from(["all", "none"]))
def test_folds_and_widths_are_read_or_refused(parse: Callable[..., Any], text: str) -> None:
    command = click.Command("x")
    with contextlib.suppress(click.BadParameter):
        found = parse(click.Context(command), click.Option(["--x"]), text)
        assert found is None or isinstance(found, int | tuple)


KINDS = (
    Address, Bounds, Cell, ExplainOptions, FitOptions, GenerateOptions, OfferOptions, Operating, PrepareOptions,
    RefineOptions, ScreeningOptions, SelectOptions, StudyOptions, TrainOptions, TuneOptions, VerifyOptions,
)  # fmt: skip
ODD = st.sampled_from([-1, 0, 1, 10**12, -0.5, 0.5, 1e300, float("nan"), float("inf"), -float("inf")])
NUMERIC = {"int": int, "float": float, "int | None": int, "float | None": float}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.__module__.split('.')[0]} {kind.__name__}")
@given(data=st.data())
def test_options_take_numbers_or_refuse_them(kind: type, data: st.DataObject) -> None:
    """Of the type that each has, as the command line would give them: anything that a float or an int can be."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        name = getattr(field.type, "__name__", str(field.type))
        if name in NUMERIC and (field.default is dataclasses.MISSING or data.draw(st.booleans())):
            value = data.draw(ODD)
            whole = NUMERIC[name] is int
            values[field.name] = (int(value) if math.isfinite(value) else 0) if whole else float(value)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            values[field.name] = () if str(field.type).startswith("tuple") else Path("x")
    value_or_sentence(lambda: kind(**values))
