"""`python -m classify`, as torchrun starts it."""

from classify.cli import cli
from shared.command_line import run

if __name__ == "__main__":
    run(cli)
