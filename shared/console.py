"""What commands say, all on standard error: reports, and errors of one sentence, also of memory that is too small."""

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from shared.errors import UserError

LESS_MEMORY = "give a smaller --batch, fewer or smaller images at once, fewer --jobs, or a machine with more of it."
MOST_OF_AN_ERROR = 200  # characters


def processes() -> int:
    """Return how many processes torchrun started for this command, 1 without it."""
    return max(1, _number("WORLD_SIZE", 1))


def rank() -> int:
    """Return this process's place among those that torchrun started for one command, 0 without it."""
    return _number("RANK", 0) if processes() > 1 else 0


def _number(name: str, default: int) -> int:
    """Return a whole number of the environment; what is none was not set by torchrun."""
    text = os.environ.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else default


def console() -> Console:
    """Return a console on standard error as it is now (tests and click replace the stream).

    Of several processes with one command only the first speaks.
    """
    return Console(stderr=True, highlight=False, quiet=rank() > 0)


@contextlib.contextmanager
def user_errors() -> Iterator[None]:
    """Turn what the user can mend into one sentence on standard error and exit code 2, without a traceback."""
    try:
        yield
    except UserError as error:
        _fail(str(error), code=2)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror or error}; check the path, its permissions and the free space.", code=2)
    except KeyboardInterrupt:
        _fail("interrupted; run the same command again.", code=130)
    except (MemoryError, RuntimeError) as error:
        if not tells_of_memory(error):
            raise
        _fail(f"not enough memory ({_first_line(error)}); {LESS_MEMORY}", code=2)


def tells_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that memory was too small: Python's, NumPy's, or PyTorch's for any device."""
    text = str(error)
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0][:MOST_OF_AN_ERROR].rstrip(". ") or type(error).__name__


def _fail(sentence: str, *, code: int) -> None:
    place = f"process {rank()}: " if rank() > 0 else ""
    Console(stderr=True, highlight=False).print(Text(f"error: {place}{sentence}"), soft_wrap=True)
    raise SystemExit(code)


def say(text: str) -> None:
    """Print one line of a report (rich markup is not interpreted, so paths with brackets survive)."""
    if _voice is not None:
        _voice(text)
    else:
        console().print(Text(text), soft_wrap=True)


def tabulate(table: Table) -> None:
    """Print a table on standard output: whole in a file or pipe, as wide as the terminal otherwise."""
    if sys.stdout.isatty():
        Console(highlight=False).print(table)
        return
    whole = io.StringIO()
    Console(highlight=False, width=400, file=whole).print(table)
    for line in whole.getvalue().splitlines():
        print(line.rstrip())


_voice: Callable[[str], None] | None = None


def speak_through(voice: Callable[[str], None]) -> None:
    """Hand what this process says to `voice` from now on."""
    global _voice
    _voice = voice
