"""Parameters of an address: a name that it does not know is an error, since a slip of the pen would else do nothing."""

from __future__ import annotations

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException


def only_known_parameters(request: Request) -> None:
    """Be a FastAPI dependency that answers 422 to a query parameter that the address has not."""
    route = request.scope.get("route")
    known = {parameter.alias for parameter in route.dependant.query_params} if isinstance(route, APIRoute) else set()
    if not known.issuperset(request.query_params):
        expected = f"give {', '.join(sorted(known))}" if known else "leave it out"
        raise HTTPException(422, f"a parameter that this address does not know; {expected}; see /docs.")
