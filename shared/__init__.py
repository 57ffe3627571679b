"""What `synth` and `classify` both need: the two file contracts, splits, records, studies, the phantom and the console.

Nothing here imports `synth` or `classify`; only `shared.nn` imports torch, and only
`shared.command_line` and `shared.command_options` import click.
"""

__version__ = "0.1.0"
