"""Addresses of the networks that are offered, of their pictures, and of what clients may ask for."""

from __future__ import annotations

from typing import Annotated, Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Path, Query, Response
from starlette.exceptions import HTTPException

from shared.errors import BusyError, UserError
from shared.web.answers import refusals
from synth.choices import MAX_TRUNCATION
from synth.service.artist import MOST_WAITING, Picture
from synth.service.bundles import sha256_of_bytes
from synth.service.networks import NetworkOffer, without_path
from synth.service.parts import Parts
from synth.service.requests import DIGEST, MAX_SEED, Limits, NetworkList, NetworkState

Digest = Annotated[str, Path(pattern=DIGEST, description="SHA-256 of its file, in hexadecimal.")]
Seed = Annotated[int, Path(ge=0, le=MAX_SEED)]
Truncation = Annotated[float | None, Query(ge=-MAX_TRUNCATION, le=MAX_TRUNCATION, allow_inf_nan=False)]
PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/png": {}}, "description": "The picture."},
    **refusals(404),
}


def network_routes(parts: Parts) -> APIRouter:
    """Return the addresses."""
    router = APIRouter(tags=["networks"])
    # Threads of their own: who waits for a picture keeps nobody else waiting.
    drawers = CapacityLimiter(MOST_WAITING + 1)
    lister, drawer = (parts.access.needs(scope) for scope in ("list", "draw"))

    @router.get("/limits", summary="How much a client may ask for.", dependencies=[lister])
    def limits() -> Limits:
        return Limits.of(parts.bounds)

    @router.get("/networks", summary="The networks that are offered.", dependencies=[lister])
    def networks() -> NetworkList:
        return NetworkList(networks=[NetworkState(**without_path(offer)) for offer in parts.networks.all()])

    @router.get(
        "/networks/{network}",
        summary="One network.",
        dependencies=[lister],
        responses=refusals(404),
    )
    def network(network: Digest) -> NetworkState:
        return NetworkState(**without_path(_network(parts, network)))

    @router.get(
        "/networks/{network}/images/{seed}.png",
        summary="The picture of a seed, the same bytes as `synth generate --png` writes.",
        response_class=Response,
        responses=PICTURE,
    )
    async def picture(
        network: Digest,
        seed: Seed,
        truncation: Truncation = None,
        class_index: Annotated[int | None, Query(ge=0, le=999)] = None,
        client: str = drawer,
    ) -> Response:
        def draw() -> bytes:
            png = _draw(parts, _network(parts, network), Picture(network, seed, truncation, class_index))
            parts.note(client, "draw", network=network, seed=seed, sha256=sha256_of_bytes(png), bytes=len(png))
            return png

        png = await to_thread.run_sync(draw, limiter=drawers)
        return Response(png, media_type="image/png")

    return router


def _network(parts: Parts, sha256: str) -> NetworkOffer:
    offer = parts.networks.find(sha256)
    if offer is None:
        raise HTTPException(404, "no such network is offered; see /networks.")
    return offer


def _draw(parts: Parts, offer: NetworkOffer, picture: Picture) -> bytes:
    if not offer.draws:
        raise HTTPException(403, "single pictures of this network are not given away; order a bundle.")
    wrong = offer.wrong_class(picture.class_index)
    if wrong is not None:
        raise HTTPException(404, wrong)
    try:
        return parts.artist.draw(offer.path, picture)
    except BusyError as error:
        raise HTTPException(503, str(error), {"Retry-After": "30"}) from error
    except UserError as error:
        raise HTTPException(404, "no such network is offered; see /networks.") from error
