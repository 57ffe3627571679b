"""The command line of `classify`. Stages are imported when they run, so that `--help` answers at once."""

from __future__ import annotations

from importlib import import_module, metadata
from typing import Any

import click

# In the order in which people use them; each is `command` in the module of its name.
COMMANDS = ("tune", "fit", "evaluate", "explain", "study", "table", "report", "export", "serve")


class Commands(click.Group):
    """Ends with exit code 2 and one sentence for whatever the user can mend, and never with a traceback."""

    def list_commands(self, context: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of all commands."""
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        """Read the module of a command, None where there is no such command."""
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(f"classify.commands.{name}").command
        return command

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run a command line, as `click.Group.main` does."""
        from shared.console import user_errors
        from shared.errors import UserError

        with user_errors():
            try:
                return super().main(*args, **extra | {"standalone_mode": False})
            except click.Abort as error:
                raise KeyboardInterrupt from error
            except click.ClickException as error:
                if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
                    click.echo(error.format_message(), err=True)
                    raise SystemExit(2) from error
                raise UserError(_sentence(error)) from error


def _sentence(error: click.ClickException) -> str:
    text = " ".join(error.format_message().split()).rstrip(".")
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "classify"
    return f"{text}; see `{command} --help`."


def _version(context: click.Context, parameter: click.Parameter, value: bool) -> None:  # noqa: ARG001
    if value:
        click.echo(f"classify {metadata.version('rarescreen')}")
        context.exit()


@click.group("classify", cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version."
)
def cli() -> None:
    """Train classifiers with and without synthetic images, and measure what the difference is worth."""
