"""What both command lines are: commands that are read when they run, and errors of one sentence.

Only this module and `shared.command_options` know click.
"""

import os
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import click

from shared import __version__
from shared.console import processes, user_errors
from shared.errors import UserError
from shared.files import require_file
from shared.own_processes import keep_current_folder_out

SETTINGS = {"help_option_names": ["-h", "--help"], "show_default": True}


class Input(click.Path):
    """A parameter that names what is to be read: whether it is there is seen before anything large is imported.

    `what` is its role, such as "cohort"; `made_by` names what makes it where it is a folder, and is None of a file.
    """

    def __init__(self, what: str, *, made_by: str | None = None) -> None:
        super().__init__(path_type=Path)
        self._what, self._made_by = what, made_by
        self.name = "file" if made_by is None else "folder"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path; raise `UserError` where nothing is there."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if self._made_by is None:
            return require_file(path, self._what)
        if not path.exists():
            raise UserError(f"{path}: no such folder; the {self._what} must be one that {self._made_by} wrote.")
        return path


class Commands(click.Group):
    """A group whose commands are modules, each with its `command`, and whose errors are a sentence and exit code 2.

    `names` are the modules of the package `folder`, in the order in which people use them; each is imported when it
    runs, so that `--help` answers at once.
    """

    def __init__(self, *args: Any, folder: str, names: Sequence[str], **extra: Any) -> None:
        super().__init__(*args, **extra)
        self._folder, self._names = folder, tuple(names)

    def list_commands(self, context: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of all commands."""
        return list(self._names)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        """Read the module of a command, None where there is no such command."""
        if name not in self._names:
            return None
        command: click.Command = import_module(f"{self._folder}.{name}").command
        return command

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run a command line, as `click.Group.main` does."""
        keep_current_folder_out()
        with user_errors():
            try:
                return super().main(*args, **extra | {"standalone_mode": False})
            except click.Abort as error:
                raise KeyboardInterrupt from error
            except click.ClickException as error:
                if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
                    click.echo(error.format_message(), err=True)
                    raise SystemExit(2) from error
                raise UserError(self._sentence(error)) from error

    def _sentence(self, error: click.ClickException) -> str:
        text = _in_plain_words(" ".join(error.format_message().split()).rstrip("."))
        context = getattr(error, "ctx", None)
        return f"{text}; see `{self.name if context is None else context.command_path} --help`."


def _in_plain_words(text: str) -> str:
    """Return what click says of a number, as people call it."""
    for clicks, ours in (("integer", "whole number"), ("float", "number")):
        text = re.sub(f"is not a valid {clicks}( range)?", f"is no {ours}", text)
    return text


def program(name: str, description: str, names: Sequence[str]) -> Commands:
    """Return the program `name`, whose commands are the modules `names` of the package `name.commands`."""
    made = Commands(name, help=description, folder=f"{name}.commands", names=names, context_settings=SETTINGS)
    version: Commands = click.version_option(__version__, prog_name=name, message="%(prog)s %(version)s")(made)
    return version


def run(command: click.Command) -> NoReturn:
    """Run a command line as this process, and end it; one of several processes with one command then ends at once.

    In about one of ten exits torch's communication threads are still there when the C++ library takes itself apart,
    which aborts the process (torch 2.15, gloo), and torchrun reports finished work as failed. Everything is written
    and closed by now, so nothing is lost by leaving that out.
    """
    code: object = 0
    try:
        command(prog_name=command.name)
    except SystemExit as end:
        code = end.code
    if processes() <= 1:
        sys.exit(code)  # type: ignore[arg-type]
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))
