"""Damaged files of every kind, read for as long as one likes: a sentence, or what could have been written.

    python tests/fuzz.py [--minutes 60] [--seed 0] [--kind cohort --kind csv …]

Each kind is read in a process of its own, with a limit to its memory and to the seconds of one file, which is started
again behind a file that ended it. A finding is printed with the kind and number that make the same file again, and its
bytes are kept in --keep. Exit code 1 where there was any.
"""

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("tests", "tests/service", "tests/stylegan2_ada", "tests/shared", "tests/synth", "tests/classify")
sys.path[:0] = [str(ROOT), *(str(ROOT / folder) for folder in FOLDERS)]

from damage import damage  # noqa: E402
from readers import ALLOWED, READERS, Reader  # noqa: E402

LIMIT_S = 30  # for one file
LIMIT_BYTES = 2 << 30  # of address space, on top of what the process has before it reads
MOST_ENDED = 20  # files that may end the process, before a kind is given up


def damaged(reader: Reader, kind: str, number: int, seed: int, content: bytes) -> bytes:
    """Return the damaged content that these numbers stand for; of a sealed file, mostly behind a seal made again."""
    rng = random.Random(f"{seed} {kind} {number}")
    if reader.sealed is None or rng.random() < 0.2:
        return damage(rng, content, is_text=reader.is_text)
    from shared.sealed import BLOCK_BYTES, Seal

    body = damage(rng, content[BLOCK_BYTES:], is_text=False)
    return Seal(*reader.sealed, hashlib.sha256(body).hexdigest(), len(body)).block() + body


def verdict(reader: Reader, path: Path) -> str:
    """Read a file and return "refused", "accepted", or what is wrong."""
    try:
        reader.read(path)
    except ALLOWED as error:
        text = str(error)
        return "refused" if text and "\n" not in text else f"not one sentence: {text!r}"
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is told
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return "accepted"


def read_many(kind: str, first: int, stop: int, seed: int, folder: Path) -> None:
    """Read damaged files `first` to `stop` of a kind, and tell of each what came of it, a line each."""
    import resource

    reader = READERS[kind]
    path = reader.make(folder)
    whole = path.read_bytes()
    reader.read(path)  # what is whole can be read, and what is imported at the first use is there
    path.write_bytes(whole)
    statm = Path("/proc/self/statm")
    if statm.exists():
        limit = int(statm.read_text().split()[0]) * resource.getpagesize() + LIMIT_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what readers print is not for the one who counts
    print("ready", file=told, flush=True)
    for number in range(first, stop):
        path.unlink(missing_ok=True)
        path.write_bytes(damaged(reader, kind, number, seed, whole))
        print(number, "begun", file=told, flush=True)
        signal.alarm(LIMIT_S)  # ends the process, even within a library
        print(number, verdict(reader, path), file=told, flush=True)
        signal.alarm(0)


def fuzz(kind: str, first: int, stop: int, seed: int) -> dict[int, str]:
    """Return what came of each damaged file of a kind."""
    found: dict[int, str] = {}
    ended = 0
    while first + len(found) < stop and ended < MOST_ENDED:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, __file__, "--read", kind, first + len(found), stop, seed, folder]
            environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
            done = subprocess.run([*map(str, command)], capture_output=True, text=True, env=environment, check=False)
        lines = done.stdout.splitlines()
        if not lines or lines[0] != "ready":
            raise RuntimeError(f"{kind}: the whole file cannot be read:\n{done.stderr}")
        found |= {int(number): text for number, text in (line.split(" ", 1) for line in lines[1:])}
        if done.returncode:
            last = max(found)
            how = signal.Signals(-done.returncode).name if done.returncode < 0 else f"exit code {done.returncode}"
            found[last] = f"ended the process with {how}" if found[last] == "begun" else found[last]
            ended += 1
    return found


def content_of(kind: str, number: int, seed: int) -> bytes:
    """Return the damaged file that a finding names."""
    with tempfile.TemporaryDirectory() as folder:
        return damaged(READERS[kind], kind, number, seed, READERS[kind].make(Path(folder)).read_bytes())


def main() -> None:
    """Fuzz all kinds in turn until the time is up."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", action="append", choices=READERS)
    parser.add_argument("--files", type=int, default=2000, help="of one kind, before the next one's turn")
    parser.add_argument("--keep", type=Path, help="folder for the files of findings")
    parser.add_argument("--read", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        kind, first, stop, seed, folder = options.read
        read_many(kind, int(first), int(stop), int(seed), Path(folder))
        return
    begin, kinds = time.monotonic(), options.kind or [*READERS]
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in kinds}
    spent = dict.fromkeys(kinds, 0.0)
    turn, findings = 0, 0
    while time.monotonic() - begin < 60 * options.minutes:
        for kind in kinds:
            start = time.monotonic()
            found = fuzz(kind, turn * options.files, (turn + 1) * options.files, options.seed)
            spent[kind] += time.monotonic() - start
            for number, text in found.items():
                counts[kind][text if text in ("refused", "accepted") else "finding"] += 1
                if text not in ("refused", "accepted"):
                    findings += 1
                    print(f"{kind} {number} (seed {options.seed}): {text}", flush=True)
                    if options.keep:
                        options.keep.mkdir(parents=True, exist_ok=True)
                        name = f"{kind.replace(' ', '_').replace(chr(39), '')}_{number}"
                        (options.keep / name).write_bytes(content_of(kind, number, options.seed))
            if time.monotonic() - begin >= 60 * options.minutes:
                break
        turn += 1
    print(f"\n{(time.monotonic() - begin) / 3600:.2f} hours, seed {options.seed}\n")
    print("| kind | files | refused | accepted | findings | s |\n|---|--:|--:|--:|--:|--:|")
    for kind, each in counts.items():
        row = (sum(each.values()), each["refused"], each["accepted"], each["finding"])
        print(f"| {kind} | {' | '.join(map(str, row))} | {spent[kind]:.0f} |")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
