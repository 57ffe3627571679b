"""`python -m synth`, as torchrun starts it."""

import os
import sys

from shared.console import processes
from synth.cli import cli


def main() -> None:
    """Run the command line; one of several processes then ends at once.

    In about one of ten exits torch's communication threads are still there when the C++ library takes itself apart,
    which aborts the process (torch 2.15, gloo), and torchrun reports finished work as failed. Everything is written
    and closed by now, so nothing is lost by leaving that out.
    """
    code: object = 0
    try:
        cli(prog_name="synth")
    except SystemExit as end:
        code = end.code
    if processes() <= 1:
        sys.exit(code)  # type: ignore[arg-type]
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    main()
