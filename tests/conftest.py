"""Settings of all tests, and what they share."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

# Time on a busy machine says nothing of the code, and a failure should come back when the tests run again.
settings.register_profile("rarescreen", deadline=None, derandomize=True)
settings.load_profile("rarescreen")

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


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
