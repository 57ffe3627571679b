"""Who may do what: a bearer token with the scope, or on this machine alone anybody."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException

from shared.web.limits import RateLimit
from shared.web.tokens import Tokens

SCHEME = "bearer"
_DOCUMENTED = Security(HTTPBearer(auto_error=False, description="A token that the operator issued."))


class Access:
    """Lets requests through, and counts them.

    Args:
        tokens: of those who may; None where the service answers this machine alone, and anybody on it.
        rate: of each client.
    """

    def __init__(self, tokens: Tokens | None, rate: RateLimit) -> None:
        self.tokens, self.rate = tokens, rate

    def needs(self, scope: str) -> Any:
        """Return what a parameter or an address of FastAPI depends on: a check that gives the client's name.

        It answers 401 without a valid token, 403 without the scope, and 429 to who asks too often.
        """

        def check(request: Request, _: HTTPAuthorizationCredentials | None = _DOCUMENTED) -> str:
            client = self._client(request, scope)
            request.scope["state"]["client"] = client
            self._count(client)
            return client

        return Security(check, scopes=[scope])  # which the documentation names

    def _count(self, client: str) -> None:
        wait = self.rate.wait_s(client)
        if wait:
            seconds = str(int(wait) + 1)
            raise HTTPException(429, f"too many requests; try again in {seconds} s.", {"Retry-After": seconds})

    def _client(self, request: Request, scope: str) -> str:
        if self.tokens is None:
            return "local"
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        token = self.tokens.find(secret.strip()) if scheme.lower() == SCHEME else None
        if token is None:
            self._count(request.client.host if request.client else "unknown")  # who guesses is slowed down, too
            raise HTTPException(
                401, "a valid token is needed: Authorization: Bearer TOKEN.", {"WWW-Authenticate": "Bearer"}
            )
        if scope not in token.scopes:
            raise HTTPException(403, f"this token does not allow it; ask for one with the scope {scope}.")
        return token.name
