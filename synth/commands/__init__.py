"""The commands of `synth`, a module each, which is read when the command is asked for."""
