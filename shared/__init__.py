"""What `synth` and `classify` both need: the two file contracts, splits, records, studies, the phantom and the console.

Nothing here imports `synth`, `classify` or click, and only `shared.nn` imports torch.
"""

__version__ = "0.1.0"
