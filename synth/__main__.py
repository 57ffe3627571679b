"""`python -m synth`, as torchrun starts it."""

from shared.command_line import run
from synth.cli import cli

if __name__ == "__main__":
    run(cli)
