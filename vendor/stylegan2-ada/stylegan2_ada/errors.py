"""What goes wrong with a file that a user gives."""


class NetworkFileError(ValueError):
    """A file is not a network that this version can read; its text is one sentence for the user."""
