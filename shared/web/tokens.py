"""Bearer tokens with scopes (RFC 6750): a file holds their hashes, and the tokens themselves are shown once."""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import re
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shared.errors import UserError
from shared.files import locked, write_json

FORMAT = "rarescreen-tokens"
VERSION = 1
MAX_BYTES = 1 << 20  # of a file of tokens
RANDOM_BYTES = 32  # of a token: nobody guesses it, so its hash needs no salt and no stretching
PREFIX = "rs_"  # by which scanners of repositories can know a leaked token
_NAME = re.compile(r"[\w.-]{1,64}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Token:
    """What is kept of a token.

    Attributes:
        name: of who has it, for logs.
        sha256: of the token.
        scopes: what it allows.
        expires: seconds since 1970, None for never.
    """

    name: str
    sha256: str
    scopes: tuple[str, ...]
    expires: float | None = None

    def is_valid(self, now: float) -> bool:
        """Tell whether it has not expired."""
        return self.expires is None or now < self.expires


class Tokens:
    """The tokens of a service; a file that is changed meanwhile is read anew, so that a token can be withdrawn."""

    def __init__(self, path: Path) -> None:
        self._path = Path(path)
        self._tokens = read_tokens(self._path)  # a damaged file is told at the start
        self._stamp: tuple[int, int] | None = None

    def find(self, secret: str) -> Token | None:
        """Return the valid token that `secret` is, None if it is none.

        Every stored hash is compared, each in constant time, so that how long it takes tells nothing.
        """
        self._read_again()
        digest, now = hash_of(secret), time.time()
        found = [token for token in self._tokens if hmac.compare_digest(token.sha256, digest)]
        return next((token for token in found if token.is_valid(now)), None)

    def _read_again(self) -> None:
        """Read the file if it changed; of one that is gone or damaged nobody is let in."""
        try:
            about = self._path.stat()
            stamp = (about.st_mtime_ns, about.st_size)
            if stamp != self._stamp:
                self._tokens, self._stamp = read_tokens(self._path), stamp
        except (OSError, UserError):
            self._tokens, self._stamp = (), None


def hash_of(secret: str) -> str:
    """Return the SHA-256 of a token as it is stored."""
    return hashlib.sha256(secret.encode()).hexdigest()


def read_tokens(path: Path) -> tuple[Token, ...]:
    """Read a file of tokens.

    Raises `UserError`: no such file, too large, or not as the format says.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path}: too large for a file of tokens; give the file that --issue wrote.")
        content = json.loads(path.read_text(encoding="utf-8"))
        if (content["format"], content["version"]) != (FORMAT, VERSION):
            raise ValueError
        return tuple(_token(each) for each in content["tokens"])
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; issue a first token with --issue NAME.") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path}: not a file of tokens; issue new ones with --issue into another file.") from error


def _token(each: dict[str, Any]) -> Token:
    expires = each["expires"]
    token = Token(str(each["name"]), str(each["sha256"]), tuple(map(str, each["scopes"])), expires)
    if not _DIGEST.fullmatch(token.sha256) or not isinstance(expires, int | float | None):
        raise ValueError(each)
    return token


def issue(path: Path, name: str, scopes: Sequence[str], *, allowed: Iterable[str], days: float | None = None) -> str:
    """Make a token, add its hash to the file at `path` (which only its owner can read), and return the token.

    A name that is there already gets a new token instead of its old one. Raises `UserError`: a name that cannot be
    logged, a scope that is none of `allowed`, a time that is no number, or a file of another kind.
    """
    known = tuple(allowed)
    if not _NAME.fullmatch(name):
        raise UserError(f"--issue {name!r}: give a name of letters, digits, dots and dashes.")
    wrong = [scope for scope in scopes if scope not in known]
    if wrong:
        raise UserError(f"--scope {wrong[0]!r}: not a scope of this service; give {', '.join(known)}.")
    if not scopes:
        raise UserError(f"--scope: missing; say what the token allows: {', '.join(known)} (repeatable).")
    if days is not None and not math.isfinite(days):
        raise UserError(f"--days {days:g}: no number of days; give one, or leave it out for a token without an end.")
    secret = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    token = Token(name, hash_of(secret), tuple(scopes), None if days is None else time.time() + 86400 * days)
    with locked(path):
        others = [each for each in read_tokens(path) if each.name != name] if path.exists() else []
        write_json(path, {"format": FORMAT, "version": VERSION, "tokens": [asdict(each) for each in (*others, token)]})
        Path(path).chmod(0o600)
    return secret
