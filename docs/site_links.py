"""For the documentation's site: links to files outside of docs/ become their names, since it does not hold them."""

import re
from typing import Any

OUTSIDE = re.compile(r"\[([^\]]*)\]\(\.\./([^)]*)\)")


def on_page_markdown(markdown: str, **extra: Any) -> str:  # noqa: ARG001
    """Return a page whose links to other folders of the project are text and the file's name."""
    return OUTSIDE.sub(lambda found: found[1] if found[2] in found[1] else f"{found[1]} (`{found[2]}`)", markdown)
