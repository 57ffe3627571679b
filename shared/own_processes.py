"""How this program starts Python again: with modules that are installed, not with what lies where a user works.

`python -m` and `python -c` look into the current folder first, and the current folder may hold a stranger's files.
"""

import os
import sys

_SAFE_PATH = "PYTHONSAFEPATH"  # Python 3.11 and newer
_RUN = (
    "import sys; sys.path[:] = [place for place in sys.path if place]; import runpy; "
    "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)


def module_command(module: str, *arguments: str) -> tuple[str, ...]:
    """Return the command that runs an installed module as `python -m` would, without the current folder."""
    return (sys.executable, "-c", _RUN, module, *arguments)


def keep_current_folder_out() -> None:
    """Let no Python process that is started from here on look into the current folder (Python 3.11 and newer)."""
    os.environ.setdefault(_SAFE_PATH, "1")
