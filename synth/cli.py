"""The command line of `synth`. Stages are imported when a command runs, so that `--help` answers at once."""

from importlib import import_module
from typing import Any

import click

from shared import __version__
from shared.console import user_errors
from shared.errors import UserError

# In the order in which people use them; each is `command` in the module of its name.
COMMANDS = (
    "prepare",
    "blank",
    "train",
    "refine",
    "generate",
    "select",
    "bundle",
    "report",
    "networks",
    "export",
    "serve",
)


class Commands(click.Group):
    """A group whose errors are one sentence on standard error and exit code 2."""

    def list_commands(self, context: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of all commands."""
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        """Read the module of a command, None where there is no such command."""
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(f"synth.commands.{name}").command
        return command

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run a command line, as `click.Group.main` does."""
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
    command = context.command_path if context is not None else "synth"
    return f"{text}; see `{command} --help`."


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(__version__, prog_name="synth")
def cli() -> None:
    """Synthetic images of a rare disease, from a few hundred photographs."""


if __name__ == "__main__":
    cli()
