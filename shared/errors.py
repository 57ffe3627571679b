"""The one exception that users read."""


class UserError(ValueError):
    """Something that the user can mend.

    Its text is one sentence: what is wrong, why, and the way out. Commands print it and end with exit code 2.
    """


class BusyError(UserError):
    """Another process works where this one wants to: it may be waited for."""


def with_extra(name: str) -> str:
    """Return how an extra of this package is installed; it is on no index, where another may have its name."""
    return f"install Rarescreen with its extra {name} (pip install 'WHEEL[{name}]', see its README; make setup has all)"
