"""Settings as they are asked for, resolved, written and read again."""

from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from fitting import CPU
from hypothesis import given
from hypothesis import strategies as st

from classify.fitting import folder
from classify.fitting.folder import (
    CONFIG,
    FORMAT,
    MODEL,
    VERSION,
    begin,
    differences,
    is_done,
    read_config,
    require_free,
    take,
)
from classify.fitting.plan import plan
from classify.fitting.settings import FitConfig, FitOptions, as_read, fits
from shared.cohort import Cohort
from shared.errors import UserError
from shared.files import write_json

CONFIGS = st.builds(
    FitConfig,
    **{hint: st.just(hint) for hint in ("model", "ratio", "protocol", "control", "synthetic", "cohort")},
    fold=st.integers(0, 9),
    seed=st.integers(0, 2**40),
    image_size=st.integers(32, 1024),
    unfreeze=st.none() | st.integers(0, 99),
    depth=st.none() | st.integers(1, 9),
    head=st.lists(st.integers(1, 9), max_size=4).map(tuple),
    dropout=st.floats(0, 0.99),
    epochs=st.integers(1, 999),
    patience=st.none() | st.integers(1, 99),
    lr=st.floats(1e-9, 1e3),
    batch=st.integers(1, 512),
    optimizer=st.sampled_from(["adam", "sgd"]),
    precision=st.sampled_from(["fp32", "bf16"]),
    bundles=st.lists(st.text("0123456789abcdef", min_size=4, max_size=4), max_size=3).map(tuple),
)


@given(CONFIGS)
def test_a_configuration_is_the_same_when_it_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, config: FitConfig
) -> None:
    place = tmp_path_factory.mktemp("model")
    begin(place, config, {"counts": {"train": 3}})
    found, document = read_config(place)
    assert found == config
    assert (document["format"], document["version"], document["counts"]) == (FORMAT, VERSION, {"train": 3})
    assert (type(found.head), type(found.bundles)) == (tuple, tuple)
    require_free(place, config, force=False)
    assert differences(found, config) == ""


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (3, int, True),
        (3, float, True),  # 1e2 may be written as 100
        (3.5, int, False),
        (True, int, False),
        (True, float, False),
        (True, bool, True),
        (1, bool, False),
        ("x", str, True),
        (None, str, False),
        (None, int | None, True),
        (7, int | None, True),
        (7.5, int | None, False),
        (True, int | None, False),
        ((1, 2), tuple[int, ...], True),
        ((), tuple[int, ...], True),
        ((1, "2"), tuple[int, ...], False),
        ((True,), tuple[int, ...], False),
        ([1, 2], tuple[int, ...], False),
        (5, tuple[int, ...], False),
        ((1,), tuple[int, ...] | None, True),
        (None, tuple[int, ...] | None, True),
        (("a",), tuple[int, ...] | None, False),
        (("a", "b"), tuple[str, ...], True),
    ],
)
def test_a_value_fits_its_type_or_does_not(value: object, hint: Any, expected: bool) -> None:
    assert fits(value, hint) is expected


def test_lists_of_files_are_tuples_of_settings() -> None:
    assert [as_read(value) for value in ([1, 2], [], 3, "x", None, True)] == [(1, 2), (), 3, "x", None, True]


def test_defaults_are_of_the_types_they_promise(cohort: Cohort) -> None:
    hints = get_type_hints(FitOptions)
    assert all(fits(getattr(FitOptions(), each.name), hints[each.name]) for each in fields(FitOptions))
    config = plan(cohort, 0, options=FitOptions(), device=CPU).config
    assert all(fits(getattr(config, name), hint) for name, hint in get_type_hints(FitConfig).items())
    assert {each.name for each in fields(FitOptions)} < {each.name for each in fields(FitConfig)}


@pytest.fixture
def config(cohort: Cohort) -> FitConfig:
    return plan(cohort, 0, options=FitOptions(head=(7, 5)), device=CPU).config


def test_every_setting_that_differs_is_named(config: FitConfig) -> None:
    other = replace(config, head=(), unfreeze=3, lr=0.5, bundles=("a" * 64, "b" * 64))
    assert differences(config, other) == (
        "unfreeze none, not 3, head 7+5, not none, lr 0.000115, not 0.5, bundles none, not aaaaaaaaaaaa…+bbbbbbbbbbbb…"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"head": "512"},
        {"head": 5},
        {"head": [1, "2"]},
        {"epochs": 2.5},
        {"epochs": True},
        {"lr": "fast"},
        {"depth": "six"},
        {"bundles": None},
        {"bundles": [1]},
        {"colour": "red"},
    ],
)
def test_a_configuration_that_is_none_is_refused(tmp_path: Path, config: FitConfig, change: dict[str, object]) -> None:
    begin(tmp_path, config, {})
    stored = asdict(config) | change
    write_json(tmp_path / CONFIG, {"format": FORMAT, "version": VERSION, "config": stored})
    with pytest.raises(UserError, match=r"config\.json: damaged, or not a model's file; fit the model again with --fo"):
        read_config(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff", b'{"format": "rarescreen-model", "version": 2}'])
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / CONFIG).write_bytes(content)
    with pytest.raises(UserError, match=r"config\.json: damaged"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    ("version", "way_out"),
    [(1, "fit it again with --force"), (0, "fit it again with --force"), (3, "update Rarescreen"), (None, "update Ra")],
)
def test_a_folder_of_another_version_is_refused_in_one_sentence(
    tmp_path: Path, config: FitConfig, version: int | None, way_out: str
) -> None:
    write_json(tmp_path / CONFIG, {"format": FORMAT, "version": version, "config": {"model": "custom_cnn"}})
    (tmp_path / MODEL).write_bytes(b"")
    for read in (
        lambda: read_config(tmp_path),
        lambda: folder.read_model(tmp_path),
        lambda: require_free(tmp_path, config, force=False),
    ):
        with pytest.raises(UserError) as refused:
            read()
        sentence = str(refused.value)
        assert sentence.startswith(f"{tmp_path / CONFIG}: of model version {version}, and this is version 2; {way_out}")
        assert sentence.count(". ") == 0
        assert sentence.endswith(".")


def test_force_replaces_a_folder_of_another_version(tmp_path: Path, config: FitConfig) -> None:
    write_json(tmp_path / CONFIG, {"format": FORMAT, "version": 1, "config": {"model": "custom_cnn"}})
    (tmp_path / MODEL).write_bytes(b"")
    (tmp_path / "notes.txt").write_text("mine")
    require_free(tmp_path, config, force=True)
    assert not is_done(tmp_path, config)
    assert not take(tmp_path, config)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_what_is_not_a_models_stays_when_a_folder_is_taken(tmp_path: Path, config: FitConfig) -> None:
    (tmp_path / "history.json").write_text("of something else")
    require_free(tmp_path, config, force=True)
    assert not take(tmp_path, config)
    assert (tmp_path / "history.json").read_text() == "of something else"
