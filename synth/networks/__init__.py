"""Networks that are shipped with the package, with the script and the log that made each."""

from importlib import resources
from pathlib import Path

SHIPPED = {"phantom-skin-32": "phantom_skin_32.safetensors"}


def shipped_network(name: str) -> Path | None:
    """Return the file of a shipped network, None when no network has that name."""
    file = SHIPPED.get(name)
    return None if file is None else Path(str(resources.files(__name__) / file))
