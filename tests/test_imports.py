"""What an import loads, seen from a fresh process."""

import pkgutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from classify.cli import cli

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PACKAGES = ("synth", "classify", "shared", "stylegan2_ada")


def loaded_by(code: str) -> set[str]:
    """Run `code` in a fresh interpreter and return the top-level names of all modules it then has."""
    script = f"{code}\nimport sys\nprint('\\n'.join(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    run = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


UVICORN = ("shared.web.server", "shared.web.patience")  # it loads click itself


def modules_of_shared(*left_out: str) -> str:
    return (
        "import pkgutil, importlib, shared\n"
        "for module in pkgutil.walk_packages(shared.__path__, 'shared.'):\n"
        f"    if not module.name.startswith({('shared.nn', *left_out)!r}):\n"
        "        importlib.import_module(module.name)\n"
    )


@pytest.mark.parametrize("package", ["synth", "classify", "shared"])
def test_each_package_imports_alone(package: str) -> None:
    assert not loaded_by(f"import {package}") & (set(PACKAGES) - {package, "shared"})


def test_shared_loads_no_torch_no_click_and_no_other_package() -> None:
    loaded = loaded_by(modules_of_shared())
    assert "shared" in loaded
    assert not loaded & {"torch", "synth", "classify", "stylegan2_ada"}
    assert "click" not in loaded_by(modules_of_shared(*UVICORN, "shared.command_line", "shared.command_options"))


def test_the_rule_of_who_may_import_torch_names_every_module_of_shared() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (rule,) = [each for each in contracts if each["name"] == "only shared.nn imports torch within shared"]
    modules = {f"shared.{module.name}" for module in pkgutil.iter_modules([str(ROOT / "shared")])}
    assert set(rule["source_modules"]) == modules - {"shared.nn"}


@pytest.mark.parametrize("package", ["synth", "classify"])
def test_help_loads_nothing_heavy(package: str) -> None:
    code = (
        f"from {package}.cli import cli\n"
        "import contextlib, io\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "    cli(['--help'])\n"
    )
    assert not loaded_by(code) & {"torch", "torchvision", "timm", "numpy", "scipy", "h5py", "PIL", "matplotlib"}


def test_the_service_leaves_torch_to_its_processes() -> None:
    assert not loaded_by("import synth.serve") & {"torch", "stylegan2_ada", "matplotlib"}


def test_a_taken_port_is_told_before_torch_is_loaded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code = (
            "from classify.cli import cli\n"
            "try:\n"
            f"    cli(['serve', 'model', '--port', '{taken.getsockname()[1]}'])\n"
            "except SystemExit as end:\n"
            "    assert end.code == 2\n"
            "else:\n"
            "    raise AssertionError('it was not refused')"
        )
        assert not loaded_by(code) & {"torch", "torchvision", "timm"}


@pytest.mark.parametrize(
    ("value", "words"), [("x", "is no whole number"), ("70000", "is not in the range 0<=x<=65535")]
)
def test_numbers_are_called_what_people_call_them(value: str, words: str) -> None:
    result = CliRunner().invoke(cli, ["serve", "model", "--port", value])
    assert result.exit_code == 2
    assert words in result.output


def test_the_engine_loads_nothing_of_ours() -> None:
    code = (
        "import pkgutil, importlib, stylegan2_ada\n"
        "for module in pkgutil.walk_packages(stylegan2_ada.__path__, 'stylegan2_ada.'):\n"
        "    importlib.import_module(module.name)\n"
    )
    assert not loaded_by(code) & {"shared", "synth", "classify", "click", "rich", "h5py"}
