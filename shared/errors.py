"""The one exception that users read."""


class UserError(ValueError):
    """Something that the user can mend.

    Its text is one sentence: what is wrong, why, and the way out. Commands print it and end with exit code 2.
    """


class BusyError(UserError):
    """Another process works where this one wants to: it may be waited for."""
