"""Addresses of what the operator offers: networks, their pictures, and bundles."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from starlette.exceptions import HTTPException

from shared.errors import BusyError, UserError
from shared.web.answers import refusals
from synth.service.artist import Picture
from synth.service.bundles import BundleOffer, sha256_of_bytes
from synth.service.downloads import Download
from synth.service.networks import NetworkOffer, without_path
from synth.service.parts import Parts, told
from synth.service.requests import (
    DIGEST,
    MAX_SEED,
    MAX_TRUNCATION,
    BundleList,
    BundleState,
    Limits,
    NetworkList,
    NetworkState,
)

FILE = {200: {"content": {"application/x-hdf5": {}}, "description": "The file."}}
PART = {206: {"content": {"application/x-hdf5": {}}, "description": "The range that was asked for."}}
SAME = {304: {"description": "The client has it already."}}
FILES = FILE | PART | SAME | refusals(404, 412, 416)

Digest = Annotated[str, Path(pattern=DIGEST, description="SHA-256, in hexadecimal.")]
Truncation = Annotated[float | None, Query(ge=-MAX_TRUNCATION, le=MAX_TRUNCATION, allow_inf_nan=False)]


def offered(parts: Parts) -> APIRouter:
    """Return the addresses."""
    router = APIRouter()
    lister, drawer, loader = (Depends(parts.access.needs(scope)) for scope in ("list", "draw", "download"))

    @router.get("/limits", tags=["offered"], summary="How much a client may ask for.", dependencies=[lister])
    def limits() -> Limits:
        return Limits.of(parts.bounds)

    @router.get("/networks", tags=["offered"], summary="The networks that are offered.", dependencies=[lister])
    def networks() -> NetworkList:
        return NetworkList(networks=[NetworkState(**without_path(offer)) for offer in parts.networks.all()])

    @router.get(
        "/networks/{network}",
        tags=["offered"],
        summary="One network.",
        dependencies=[lister],
        responses=refusals(404),
    )
    def network(network: Digest) -> NetworkState:
        return NetworkState(**without_path(_network(parts, network)))

    @router.get(
        "/networks/{network}/images/{seed}.png",
        tags=["offered"],
        summary="The picture of a seed, the same bytes as `synth generate --png` writes.",
        response_class=Response,
        responses={200: {"content": {"image/png": {}}, "description": "The picture."}} | refusals(404),
    )
    def picture(
        network: Digest,
        seed: Annotated[int, Path(ge=0, le=MAX_SEED)],
        truncation: Truncation = None,
        class_index: Annotated[int | None, Query(ge=0, le=999)] = None,
        client: str = drawer,
    ) -> Response:
        offer = _network(parts, network)
        png = _draw(parts, offer, Picture(network, seed, truncation, class_index))
        parts.note(client, "draw", network=network, seed=seed, sha256=sha256_of_bytes(png), bytes=len(png))
        return Response(png, media_type="image/png")

    @router.get("/bundles", tags=["offered"], summary="The bundles that are offered.", dependencies=[lister])
    def bundles() -> BundleList:
        return BundleList(bundles=[told(offer) for offer in parts.bundles.all()])

    @router.get(
        "/bundles/{bundle}", tags=["offered"], summary="One bundle.", dependencies=[lister], responses=refusals(404)
    )
    def bundle(bundle: Digest) -> BundleState:
        return told(_bundle(parts, bundle))

    @router.get("/bundles/{bundle}/file", tags=["offered"], summary="Its file, whole or a range.", responses=FILES)
    def file(bundle: Digest, request: Request, client: str = loader) -> Response:
        return give(parts, _bundle(parts, bundle), request, client)

    @router.head("/bundles/{bundle}/file", tags=["offered"], summary="What a GET would say.", responses=FILES)
    def file_head(bundle: Digest, request: Request, client: str = loader) -> Response:
        return give(parts, _bundle(parts, bundle), request, client)

    return router


def give(parts: Parts, offer: BundleOffer, request: Request, client: str) -> Response:
    """Return the answer that is a bundle's file; what is given is written down first."""

    def note(count: int) -> None:
        identity = request.scope["state"].get("request_id")
        parts.note(
            client, "download", sha256=offer.sha256, file_sha256=offer.file_sha256, bytes=count, request=identity
        )

    return Download(
        offer,
        request.headers,
        name=f"{offer.sha256[:16]}.h5",
        note=None if request.method == "HEAD" else note,
        place=parts.downloads.one(client),
    )


def _network(parts: Parts, sha256: str) -> NetworkOffer:
    offer = parts.networks.find(sha256)
    if offer is None:
        raise HTTPException(404, "no such network is offered; see /networks.")
    return offer


def _bundle(parts: Parts, sha256: str) -> BundleOffer:
    offer = parts.bundles.find(sha256)
    if offer is None:
        raise HTTPException(404, "no such bundle is offered; see /bundles.")
    return offer


def _draw(parts: Parts, offer: NetworkOffer, picture: Picture) -> bytes:
    if not offer.draws:
        raise HTTPException(403, "single pictures of this network are not given away; order a bundle.")
    classes = len(offer.facts.classes)
    if (picture.class_index is None) != (classes == 0) or (picture.class_index or 0) >= max(1, classes):
        raise HTTPException(
            404, f"class_index: this network draws {classes or 'no'} classes to choose from; see /networks."
        )
    try:
        return parts.artist.draw(offer.path, picture)
    except BusyError as error:
        raise HTTPException(503, str(error), {"Retry-After": "30"}) from error
    except UserError as error:
        raise HTTPException(404, "no such network is offered; see /networks.") from error
