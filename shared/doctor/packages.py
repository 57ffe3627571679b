"""Which packages are installed, and whether their versions fit: read from their metadata, none is imported."""

import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet

from shared.doctor.finding import Finding, bad, good, note
from shared.errors import with_extra

NAME = "rarescreen"
SHOWN = ("torch", "torchvision", "timm", "h5py", "numpy")
Installed = Callable[[str], "metadata.Distribution | None"]


def find(name: str) -> metadata.Distribution | None:
    """Return the installed distribution `name`, None when there is none."""
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None


def examine_packages(extras: Mapping[str, str], installed: Installed = find) -> list[Finding]:
    """Look at Python, at what the job cannot do without, and at the extras that some commands need.

    Args:
        extras: names of optional dependencies, each with what needs them ("classify export").
        installed: finds a distribution by its name.
    """
    own = installed(NAME)
    if own is None:
        return [note("packages", f"{NAME} runs from a folder and is not installed, so versions cannot be compared.")]
    needed = [each for each in _requirements(own) if not _extra_of(each)]
    unfit = [text for each in needed for text in _unfit(each, installed)]
    found = [_python(own)]
    found += [bad("packages", text) for text in dict.fromkeys(unfit)]
    if not unfit:
        versions = ", ".join(f"{name} {there.version}" for name in SHOWN if (there := installed(name)) is not None)
        found.append(good("packages", f"all {len(needed)} are there and fit: {versions}"))
    for extra, use in extras.items():
        parts = [each for each in _requirements(own) if _extra_of(each) == extra]
        missing = [each.name for each in parts if installed(each.name) is None]
        if not parts:
            found.append(
                note(f"extra {extra}", f"what {use} needs is not known to this installation; install it again")
            )
        elif missing:
            text = f"{use} needs {' and '.join(missing)}; {with_extra(extra)}"
            found.append(note(f"extra {extra}", text))
        else:
            found.append(good(f"extra {extra}", f"there, for {use}"))
    return found


def _python(own: metadata.Distribution) -> Finding:
    asked, have = str(own.metadata.json.get("requires_python", "")), platform.python_version()
    text = f"{have}, {sys.executable}"
    if have in SpecifierSet(asked, prereleases=True):
        return good("Python", text)
    return bad("Python", f"Python {have} is not {asked}, which {NAME} needs; make an environment with another.")


def _requirements(of: metadata.Distribution) -> list[Requirement]:
    found = []
    for line in of.requires or ():
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        extra = _extra_of(requirement)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            found.append(requirement)
    return found


def _extra_of(requirement: Requirement) -> str:
    """Return the extra that a requirement belongs to, "" for none."""
    marker = str(requirement.marker or "")
    _, _, after = marker.partition('extra == "')
    return after.partition('"')[0]


def _unfit(requirement: Requirement, installed: Installed) -> Iterator[str]:
    """Tell what is wrong with a package that is needed, and with what it needs itself."""
    there = installed(requirement.name)
    asked = str(requirement)
    if there is None:
        yield f"{requirement.name} is missing: pip install '{asked}'."
        return
    if not requirement.specifier.contains(there.version, prereleases=True):
        yield f"{requirement.name} {there.version} does not fit: pip install '{asked}'."
    for each in _requirements(there):
        other = installed(each.name)
        if _extra_of(each) or other is None:  # what it lacks it says itself, when it is used
            continue
        if not each.specifier.contains(other.version, prereleases=True):
            yield (
                f"{requirement.name} {there.version} was made for {each.name}{each.specifier}, and {other.version} is "
                f"installed: pip install --upgrade {requirement.name} {each.name}."
            )
