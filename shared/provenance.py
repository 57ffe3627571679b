"""Where a result comes from: versions, device and commit, and no path of the machine."""

import contextlib
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

LIBRARIES = (
    "rarescreen",
    "h5py",
    "numpy",
    "pillow",
    "scikit-learn",
    "scipy",
    "timm",
    "torch",
    "torch-fidelity",
    "torchmetrics",
    "torchvision",
)
GIT_TIMEOUT_S = 5


def environment(device: str) -> dict[str, Any]:
    """Return what a result depends on besides its inputs: python, versions, platform, `device` and commit."""
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "device": device,
        "versions": {name: version for name in LIBRARIES if (version := _version(name))},
        "commit": commit(),
    }


def hardware() -> dict[str, Any]:
    """Return what a time depends on besides the device: the processor, its threads and the memory in GiB."""
    have = memory_bytes()
    gib = None if have is None else round(have / 2**30, 1)
    return {"processor": _processor(), "threads": os.cpu_count(), "memory_gib": gib}


def memory_bytes() -> int | None:
    """Return the memory of this machine, None where the system does not tell."""
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def commit() -> str | None:
    """Return the commit of the checkout this package lives in, "-dirty" behind it when tracked files were changed.

    None when the package was installed: a checkout that merely holds the virtual environment says nothing of it.
    """
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    head = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain", "--untracked-files=no")
    return f"{head}-dirty" if head and changes else head or None


def _git(root: Path, *arguments: str) -> str | None:
    # A hook's GIT_DIR would answer for another repository.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        answer = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            timeout=GIT_TIMEOUT_S,
            env=clean,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
