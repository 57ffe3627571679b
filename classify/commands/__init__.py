"""The commands of `classify`, a module each, which is read when the command is asked for."""
