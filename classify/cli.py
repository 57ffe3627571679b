"""The command line of `classify`."""

from shared.command_line import program

cli = program(
    "classify",
    "Train classifiers with and without synthetic images, and measure what the difference is worth.",
    ("tune", "fit", "evaluate", "explain", "study", "table", "report", "export", "serve", "doctor"),
)
