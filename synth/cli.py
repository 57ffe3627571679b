"""The command line of `synth`."""

from shared.command_line import program

cli = program(
    "synth",
    "Synthetic images of a rare disease, from a few hundred photographs.",
    (
        *("prepare", "blank", "train", "refine", "generate", "select"),
        *("bundle", "report", "networks", "export", "serve", "doctor"),
    ),
)
