"""Where a classifier would be used: how many positives it must find, and how rare they are."""

from dataclasses import dataclass

from shared.errors import UserError

LEAST = 10  # images of an attribute's value below which nothing is said of it


@dataclass(frozen=True)
class Operating:
    """What is asked of a verdict besides being the likelier one.

    Attributes:
        sensitivity: share of the validation positives that the threshold must find.
        prevalence: shares of positives in practice, for which the precision is told.

    Raises `UserError`: a share out of range.
    """

    sensitivity: float = 0.95
    prevalence: tuple[float, ...] = (0.03,)

    def __post_init__(self) -> None:
        if not 0 < self.sensitivity <= 1:
            raise UserError(f"--sensitivity {self.sensitivity:g}: not a share; give a number above 0, at most 1.")
        for each in self.prevalence:
            if not 0 < each < 1:
                raise UserError(f"--prevalence {each:g}: not a share; give a number between 0 and 1, such as 0.03.")

    @property
    def arguments(self) -> list[str]:
        """The options that ask for it, those alone that say something else than nothing would."""
        usual = Operating()
        found = [] if self.sensitivity == usual.sensitivity else ["--sensitivity", f"{self.sensitivity:g}"]
        if self.prevalence != usual.prevalence:
            found += [word for each in self.prevalence for word in ("--prevalence", f"{each:g}")]
        return found
