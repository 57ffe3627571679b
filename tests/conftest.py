"""Settings of all tests, and what they share."""

import importlib.util
import itertools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings
from postgresql import server

# Time on a busy machine says nothing of the code, and a failure should come back when the tests run again.
settings.register_profile("rarescreen", deadline=None, derandomize=True)
settings.load_profile("rarescreen")

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    """What a test draws does not depend on the tests before it; those that need no torch do not load it."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(autouse=True)
def _same_environment() -> Iterator[None]:
    """A command line that runs within a test changes what processes find that other tests start."""
    yield
    os.environ.pop("PYTHONSAFEPATH", None)


@pytest.fixture(scope="session")
def script() -> Callable[[str], ModuleType]:
    """Return what imports a script of `benchmarks/`, which is no package."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # where dataclasses look for their module
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Callable[[], str]]:
    """Return what makes a database on a server of the tests' own, and tells its address."""
    psycopg = pytest.importorskip("psycopg")
    numbers = itertools.count()
    with server() as address:

        def new_database() -> str:
            name = f"study{next(numbers)}"
            with psycopg.connect(address.format(database="postgres"), autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {name}")
            return address.format(database=name)

        yield new_database


@pytest.fixture(params=["sqlite", "postgresql", "journal"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return where a new study may be, in each kind of storage."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/study.db"
    return "journal:" + str(tmp_path / "j") if request.param == "journal" else request.getfixturevalue("postgresql")()
