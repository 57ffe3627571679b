"""Which pictures to draw: seeds, as users of NVIDIA's scripts write them."""

import re

import numpy as np
import numpy.typing as npt

from shared.errors import UserError

DEFAULT_COUNT = 1000
MAX_SEED = 2**32 - 1  # numpy.random.RandomState takes no larger one
MAX_COUNT = 10_000_000
MAX_TEXT = 1_000_000  # characters

Seeds = npt.NDArray[np.int64]

_ITEM = re.compile(r"(\d{1,10})(?:-(\d{1,10}))?", re.ASCII)


def choose_seeds(*, seeds: str | None, seed: int | None, count: int | None) -> Seeds:
    """Return what `--seeds` lists, or `count` seeds from `seed` on (by default 1000 from 0 on).

    Raises `UserError`: both ways at once, or out of range.
    """
    if seeds is not None:
        if seed is not None or count is not None:
            raise UserError(
                "--seeds: cannot be combined with --seed or --count, which say the same; leave one way out."
            )
        return parse_seeds(seeds)
    first, number = seed or 0, DEFAULT_COUNT if count is None else count
    if not 1 <= number <= MAX_COUNT:
        raise UserError(f"--count {number}: out of range; give 1 to {MAX_COUNT}.")
    if not 0 <= first <= MAX_SEED + 1 - number:
        raise UserError(f"--seed {first}: seeds run from 0 to {MAX_SEED}; give one from which {number} fit.")
    return np.arange(first, first + number, dtype=np.int64)


def parse_seeds(text: str) -> Seeds:
    """Return the seeds of "0-7,42": single ones and ranges whose ends both count, in this order.

    Raises `UserError`: something else, a seed out of range or twice, or too many.
    """
    shown = text if len(text) <= 40 else text[:40] + "…"
    if len(text) > MAX_TEXT:
        raise UserError(f"--seeds {shown}: longer than {MAX_TEXT} characters; write ranges such as 0-999.")
    ranges: list[range] = []
    for item in text.split(","):
        match = _ITEM.fullmatch(item.strip())
        if match is None:
            raise UserError(f"--seeds {shown}: not a list of seeds and ranges; write it like 0-7,42.")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or last > MAX_SEED:
            raise UserError(f"--seeds {shown}: {item.strip()} is no range within 0 to {MAX_SEED}; write it like 0-7.")
        ranges.append(range(first, last + 1))
    if sum(map(len, ranges)) > MAX_COUNT:
        raise UserError(f"--seeds {shown}: {sum(map(len, ranges))} seeds; give {MAX_COUNT} at most.")
    seeds = np.concatenate([np.arange(each.start, each.stop, dtype=np.int64) for each in ranges])
    if len(np.unique(seeds)) < len(seeds):
        raise UserError(f"--seeds {shown}: names a seed twice, which would draw the same picture; name each once.")
    return seeds
