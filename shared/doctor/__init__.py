"""Whether a machine is ready: what `synth doctor` and `classify doctor` both look at.

Each module looks at one thing and returns findings; nothing is changed, and nothing is downloaded.
"""
