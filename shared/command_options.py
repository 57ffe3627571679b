"""Options that commands of both packages have, in the same words.

`stated` is for commands whose presets may fill an option: what is not given is None, and the help tells the default.
"""

import importlib.util
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from shared.choices import PRECISIONS, PROTOCOLS
from shared.errors import UserError, with_extra
from shared.folders import require_folder_name

F = TypeVar("F", bound=Callable[..., Any])
FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)


class _NewFolder(click.Path):
    """A folder that is made, or gone on with: never by the name of a file."""

    def __init__(self) -> None:
        super().__init__(file_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path; raise `UserError` where it is named as a file is."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        require_folder_name(path)
        return path


NEW_FOLDER = _NewFolder()
EXISTING_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


def apply(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Return a decorator that gives a command several options, in this order."""

    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def device(*, stated: bool = False) -> Callable[[F], F]:
    """Return `--device`."""
    words = "cpu, cuda, cuda:1, mps; auto takes the fastest."
    return _with_default("--device", "auto", words, stated=stated)


def precision() -> Callable[[F], F]:
    """Return `--precision`, which presets may fill."""
    words = "Of convolutions and products; auto takes the fastest that the device has."
    return _with_default("--precision", "auto", words, stated=True, type=click.Choice(PRECISIONS))


def weights(what: str = "pretrained weights") -> Callable[[F], F]:
    """Return `--weights`, a folder with `what`."""
    return click.option("--weights", type=EXISTING_FOLDER, help=f"Folder with {what}, looked into first.")


def offline(*, stated: bool = False) -> Callable[[F], F]:
    """Return `--offline`."""
    return click.option("--offline", is_flag=True, default=None if stated else False, help="Never touch the network.")


def protocol(words: str, *, stated: bool = False) -> Callable[[F], F]:
    """Return `--protocol`; `words` say what it decides on."""
    return _with_default("--protocol", PROTOCOLS[0], words, stated=stated, type=click.Choice(PROTOCOLS))


def sharing(*, name: str, stated: bool = False) -> Callable[[F], F]:
    """Return the options of a study that machines share; its own name goes to the parameter `name`."""
    return apply(
        click.option(
            "--storage",
            help="Where the study is, for several machines: postgresql://USER@HOST/DATABASE, journal or journal:FILE.  "
            "[default: a database in --out]",
        ),
        click.option("--study", name, help="Name of the study in a --storage.  [default: the name of --out]"),
        _with_default(
            "--grace", 120.0, "Seconds after which a silent worker's cell is another's.", stated=stated, type=float
        ),
        _with_default(
            "--wait/--no-wait",
            True,
            "Stay while other workers have cells, to take over those whose workers died.",
            stated=stated,
            shown="wait",
        ),
    )


def _with_default(
    name: str, default: Any, words: str, *, stated: bool, shown: str | None = None, **more: Any
) -> Callable[[F], F]:
    if stated:
        value = shown or (f"{default:g}" if isinstance(default, float) else default)
        return click.option(name, default=None, help=f"{words}  [default: {value}]", **more)
    if isinstance(default, float):
        return click.option(name, default=default, show_default=False, help=f"{words}  [default: {default:g}]", **more)
    return click.option(name, default=default, help=words, **more)


def served(scopes: Sequence[str], *, missing: str, counted: str, per_minute: int) -> Callable[[F], F]:
    """Return a decorator that gives a command the options of a service: where it listens, and for whom.

    Args:
        scopes: that its tokens may have.
        missing: what a token has without any.
        counted: what `--per-minute` bounds.
        per_minute: how many of them by default.
    """
    return apply(
        click.option(
            "--host", default="127.0.0.1", help="Address to listen at; others than this machine's need --tokens."
        ),
        click.option("--port", type=click.IntRange(0, 65535), default=8000, help="Port; 0 takes a free one."),
        click.option("--name", "names", multiple=True, help="Host that it is called by, behind a proxy; repeatable."),
        click.option(
            "--tokens", type=FILE, help="File with the hashes of tokens; without it this machine alone is answered."
        ),
        click.option("--issue", metavar="NAME", help="Print a new token for NAME, add its hash to --tokens, and exit."),
        click.option(
            "--scope", "scopes", multiple=True,
            help=f"What the new token allows: {', '.join(scopes)}; repeatable.  [default: {missing}]",
        ),
        click.option("--days", type=click.FloatRange(0, min_open=True), help="Until it expires.  [default: never]"),
        click.option("--per-minute", type=float, default=per_minute, help=f"{counted} of each client in a minute."),
    )  # fmt: skip


def require_web_server() -> None:
    """Raise `UserError` where what a service needs is not installed, before anything large is imported."""
    missing = [name for name in ("fastapi", "uvicorn", "python_multipart") if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"serve: needs the package {missing[0]}; {with_extra('serve')}.")


def tokens_file(path: Path | None) -> Path:
    """Return the file that `--issue` adds a hash to; raise `UserError` where none is given."""
    if path is None:
        raise UserError("--issue: needs --tokens FILE, where the token's hash is written; give one.")
    return path
