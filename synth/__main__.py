"""`python -m synth`, which torchrun needs."""

from synth.cli import cli

if __name__ == "__main__":
    cli(prog_name="synth")
