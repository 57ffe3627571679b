"""The documentation names commands and options that exist, and the reference is what the commands say."""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "benchmarks" / "results").glob("*.md")])


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_commands", ROOT / "docs" / "write_commands.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


write_commands = _load()
COMMANDS: dict[str, click.Command] = dict(write_commands.commands())


def test_the_reference_is_what_the_commands_say() -> None:
    assert write_commands.PAGE.read_text(encoding="utf-8") == write_commands.page()


def test_the_site_is_built_without_a_broken_link_or_anything_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    run = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    pages = sorted(tmp_path.glob("*.html"))
    assert len(pages) > 20
    loaded = {
        found for page in pages for found in re.findall(r'(?:src|<link[^>]*href)="(https?:[^"]*)', page.read_text())
    }
    assert not loaded
    lost = {page.name for page in pages if re.search(r"<p>[^<]*(?:<(?!/p>)[^<]*)*\n- ", page.read_text())}
    assert not lost, "items of a list that became a paragraph's text"


WITH_LINKS = sorted({*PAGES, *ROOT.glob("*.md"), *ROOT.glob("vendor/*/*.md"), *ROOT.glob("synth/**/*.md")})
NAMED = re.compile(r"`((?:benchmarks|docs|synth|classify|shared|tests|vendor|examples)/[\w./*-]+)`")


@pytest.mark.parametrize("page", WITH_LINKS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_and_files_that_a_page_names_are_there(page: Path) -> None:
    """Also those that lead out of the site, which its own check leaves out."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"[a-z]+:|#", link)]
    missing = [link for link in links if not (page.parent / link.partition("#")[0]).exists()]
    missing += [name for name in NAMED.findall(text) if not [*ROOT.glob(name.rstrip("/"))]]
    assert missing == []


def command_lines(text: str) -> Iterator[str]:
    """Return the commands in code blocks of a page, each with the lines that it goes on in."""
    code, fenced, joined = [], False, ""
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            code.append(line.strip())
    for line in code:
        joined += line.removesuffix("\\") + " "
        if not line.endswith("\\"):
            found = re.search(r"(?:^|[\s/])((?:synth|classify) [a-z].*)", joined)
            if found and found[1].split()[1].isalpha():
                yield found[1]
            joined = ""


LINES = [(page.name, line) for page in PAGES if page.name != "commands.md" for line in command_lines(page.read_text())]


def test_the_documentation_shows_most_commands() -> None:
    shown = {" ".join(line.split()[:2]) for _, line in LINES}
    assert len(LINES) > 60
    assert {name for name in COMMANDS if len(name.split()) == 2} <= shown


@pytest.mark.parametrize(("page", "line"), LINES)
def test_commands_of_the_documentation_exist_with_their_options(page: str, line: str) -> None:
    words = shlex.split(line.replace("…", ""), comments=True)
    name = " ".join(words[:3]) if " ".join(words[:3]) in COMMANDS else " ".join(words[:2])
    assert name in COMMANDS or name == "synth bundle", f"{page}: {line}"
    if name in COMMANDS:
        known = {each for option in COMMANDS[name].params for each in (*option.opts, *option.secondary_opts)}
        asked = {re.split(r"[=\]]", word.lstrip("["))[0] for word in words if word.lstrip("[").startswith("--")}
        assert asked <= known | {"--help", "-h"}, f"{page}: {line}"
