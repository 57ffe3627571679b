"""Write docs/commands.md, the reference of all commands, from the commands themselves.

    python docs/write_commands.py [--check]

`--check` writes nothing, and ends with 1 when the page is not what the commands say.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from classify.cli import cli as classify
from synth.cli import cli as synth

PAGE = Path(__file__).with_name("commands.md")
HEAD = """# Command reference

Every command with its usage and options, as `--help` prints them. (`docs/write_commands.py` writes this page.)
Whatever can be fixed ends with one sentence and exit code 2. `synth train`, `classify fit`, `study` and `tune` save
first at Ctrl-C (130), SIGTERM (143) and SIGUSR1 (75), and the same command goes on; other commands end at once and
leave nothing half-written. `-h` and `--help` are understood everywhere.
"""


def page() -> str:
    """Return the whole page as Markdown."""
    parts = [HEAD, *(f"- [{name}](#{name.replace(' ', '-')})" for name, _ in commands())]
    return "\n".join(parts) + "\n" + "".join(section(name, command) for name, command in commands())


def commands() -> Iterator[tuple[str, click.Command]]:
    """Return every command with its whole name, those of groups too."""
    for program in (synth, classify):
        yield from below(str(program.name), program)


def below(name: str, group: click.Group) -> Iterator[tuple[str, click.Command]]:
    """Return the commands of a group."""
    context = click.Context(group)
    for each in group.list_commands(context):
        command = group.get_command(context, each)
        assert command is not None
        if isinstance(command, click.Group):
            yield from below(f"{name} {each}", command)
        else:
            yield f"{name} {each}", command


def section(name: str, command: click.Command) -> str:
    """Return a command's section: what it is for, how it is called, and a row an option."""
    context = click.Context(command, info_name=name, show_default=True)
    usage = " ".join(command.collect_usage_pieces(context))
    lines: list[str] = ["", f"## {name}", "", *paragraphs(command.help or ""), "", f"    {name} {usage}", ""]
    options = [each for each in command.get_params(context) if isinstance(each, click.Option)]
    rows = [each for each in (row(option, context) for option in options) if each is not None]
    if rows:
        lines += ["| option | |", "|---|---|", *rows]
    return "\n".join(lines) + "\n"


def row(option: click.Option, context: click.Context) -> str | None:
    """Return an option's row, None for what every command has."""
    record = option.get_help_record(context)
    if record is None or "--help" in option.opts:
        return None
    names, text = record
    return f"| `{cell(names)}` | {cell(plain(text))} |"


def paragraphs(text: str) -> list[str]:
    """Return a docstring's paragraphs as lines, one each."""
    return "\n\n".join(plain(" ".join(each.split())) for each in re.split(r"\n\s*\n", text.strip())).split("\n")


def plain(text: str) -> str:
    """Return text with what Markdown would take for marks escaped, outside of code."""
    parts = re.split(r"(`[^`]*`)", " ".join(text.split()))
    return "".join(each if each.startswith("`") else re.sub(r"([*_<>\[\]])", r"\\\1", each) for each in parts)


def cell(text: str) -> str:
    """Return text for a cell of a table."""
    return text.replace("|", "\\|")


def main() -> None:
    """Write the page, or compare it."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--check", action="store_true")
    wanted = page()
    if not parser.parse_args().check:
        PAGE.write_text(wanted, encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != wanted:
        sys.exit(f"error: {PAGE.name} is not what the commands say; run python docs/write_commands.py.")


if __name__ == "__main__":
    main()
