"""Addresses of the bundles that are offered, and how a bundle is given."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from starlette.exceptions import HTTPException

from shared.web.answers import refusals
from synth.service.bundles import BundleOffer
from synth.service.downloads import Download
from synth.service.parts import Parts, told
from synth.service.requests import DIGEST, BundleList, BundleState

_CONTENT: dict[str, Any] = {"application/x-hdf5": {}}
FILES: dict[int | str, dict[str, Any]] = {
    200: {"content": _CONTENT, "description": "The file."},
    206: {
        "content": _CONTENT,
        "description": "What `Range` asked for, such as `bytes=1000-`; several ranges are answered whole.",
    },
    304: {"description": "The client has it already."},
    **refusals(404, 412, 416),
}

Digest = Annotated[str, Path(pattern=DIGEST, description="SHA-256, in hexadecimal.")]


def bundle_routes(parts: Parts) -> APIRouter:
    """Return the addresses."""
    router = APIRouter(tags=["bundles"])
    lister, loader = (parts.access.needs(scope) for scope in ("list", "download"))

    @router.get("/bundles", summary="The bundles that are offered.", dependencies=[lister])
    def bundles() -> BundleList:
        return BundleList(bundles=[told(offer) for offer in parts.bundles.all()])

    @router.get("/bundles/{bundle}", summary="One bundle.", dependencies=[lister], responses=refusals(404))
    def bundle(bundle: Digest) -> BundleState:
        return told(_bundle(parts, bundle))

    @router.get(
        "/bundles/{bundle}/file",
        summary="Its file, whole or a range of it; with `If-Range` only while it is the same file.",
        responses=FILES,
    )
    def file(bundle: Digest, request: Request, client: str = loader) -> Response:
        return give(parts, _bundle(parts, bundle), request, client)

    @router.head("/bundles/{bundle}/file", summary="What a GET would say.", responses=FILES)
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


def _bundle(parts: Parts, sha256: str) -> BundleOffer:
    offer = parts.bundles.find(sha256)
    if offer is None:
        raise HTTPException(404, "no such bundle is offered; see /bundles.")
    return offer
