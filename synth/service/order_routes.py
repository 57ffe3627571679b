"""Addresses of orders, and of the audit log."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response
from starlette.exceptions import HTTPException

from shared.web.answers import refusals
from synth.service.audit_log import MOST_LINES
from synth.service.bundle_routes import FILES, give
from synth.service.orders import Order, RefusedOrderError
from synth.service.parts import Parts
from synth.service.requests import ORDER_ID, AuditPage, OrderList, OrderRequest, OrderState

OrderId = Annotated[str, Path(pattern=ORDER_ID)]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern="^[!-~]{1,255}$",
        description="The same key stands for the same order, however often it is sent.",
    ),
]

ORDERED: dict[int | str, dict[str, Any]] = {
    200: {"model": OrderState, "description": "It was ordered before."},
    **refusals(400, 404, 409),
}


def order_routes(parts: Parts) -> APIRouter:
    """Return the addresses."""
    router = APIRouter(tags=["orders"])
    orderer = parts.access.needs("order")

    @router.post(
        "/orders",
        summary="Order a bundle.",
        status_code=202,
        responses=ORDERED,
    )
    def place(request: OrderRequest, response: Response, key: Key = None, client: str = orderer) -> OrderState:
        _require_fitting(parts, request)
        order, is_new = _place(parts, request, key, client)
        response.status_code = 202 if is_new else 200
        response.headers["Location"] = f"/orders/{order.id}"
        return _told(parts, order)

    @router.get("/orders", summary="Your orders, the newest first.")
    def orders(limit: Annotated[int, Query(ge=1, le=1000)] = 100, client: str = orderer) -> OrderList:
        return OrderList(orders=[_told(parts, order) for order in parts.orders.of(client, limit)])

    @router.get("/orders/{order}", summary="How far an order is.", responses=refusals(404))
    def state(order: OrderId, client: str = orderer) -> OrderState:
        return _told(parts, _own(parts, order, client))

    @router.delete("/orders/{order}", summary="Cancel an order.", responses=refusals(404, 409))
    def cancel(order: OrderId, client: str = orderer) -> OrderState:
        found = _own(parts, order, client)
        parts.note(client, "cancel", order=order)
        if not parts.orders.cancel(found):
            raise HTTPException(409, "the order has ended already.")
        return _told(parts, _own(parts, order, client))

    return router


def result_routes(parts: Parts) -> APIRouter:
    """Return the addresses of what came of orders."""
    router = APIRouter(tags=["orders"])
    loader = parts.access.needs("download")

    @router.get(
        "/orders/{order}/bundle", summary="What was ordered, whole or a range of it.", responses=FILES | refusals(409)
    )
    def bundle(order: OrderId, request: Request, client: str = loader) -> Response:
        return _give(parts, _own(parts, order, client), request, client)

    @router.head("/orders/{order}/bundle", summary="What a GET would say.", responses=FILES | refusals(409))
    def bundle_head(order: OrderId, request: Request, client: str = loader) -> Response:
        return _give(parts, _own(parts, order, client), request, client)

    return router


def audit_routes(parts: Parts) -> APIRouter:
    """Return the address of the audit log."""
    router = APIRouter(tags=["audit"])
    reader = parts.access.needs("audit")

    @router.get(
        "/audit", summary="Who was given what, the oldest first.", dependencies=[reader], responses=refusals(404)
    )
    def audit(
        after: Annotated[int, Query(ge=0, le=1 << 62)] = 0,
        limit: Annotated[int, Query(ge=1, le=MOST_LINES)] = 100,
    ) -> AuditPage:
        try:
            lines, following = parts.audit.page(after, limit)
        except ValueError as error:
            raise HTTPException(404, "after: no line begins there; give the `next` of another page, or 0.") from error
        return AuditPage(lines=lines, next=following)

    return router


def _require_fitting(parts: Parts, request: OrderRequest) -> None:
    offer, bounds = parts.networks.find(request.network), parts.bounds
    if offer is None:
        raise HTTPException(404, "no network that is offered has this id; see /networks.")
    if offer.no_orders is not None:
        raise HTTPException(404, offer.no_orders)
    contradiction = request.contradiction()
    if contradiction is not None:
        raise HTTPException(409, contradiction)
    if not bounds.fewest <= request.count <= bounds.most:
        raise HTTPException(409, f"count: give {bounds.fewest} to {bounds.most}.")
    wrong = offer.wrong_class(request.class_index)
    if wrong is not None:
        raise HTTPException(409, wrong)


def _place(parts: Parts, request: OrderRequest, key: str | None, client: str) -> tuple[Order, bool]:
    parts.note(client, "order", network=request.network, count=request.count, key=key)
    try:
        return parts.orders.place(client, request.network, request.canonical(), request.count, key)
    except RefusedOrderError as error:
        later = {"Retry-After": "60"} if error.status in (429, 503) else None
        raise HTTPException(error.status, str(error), later) from error


def _own(parts: Parts, identity: str, client: str) -> Order:
    order = parts.orders.find(identity, client)
    if order is None:
        raise HTTPException(404, "you have no such order; see /orders.")
    return order


def _give(parts: Parts, order: Order, request: Request, client: str) -> Response:
    if order.state != "done":
        raise HTTPException(409, f"there is no bundle of this order: {order.reason or order.state}")
    offer = parts.ready.at(parts.places.result(order))
    if offer is None or offer.file_sha256 != order.file_sha256:
        raise HTTPException(404, "the bundle is no longer there; order it again.")
    return give(parts, offer, request, client)


def _told(parts: Parts, order: Order) -> OrderState:
    names = ("id", "state", "created", "what", "progress", "reason", "sha256", "file_sha256", "bytes")
    told = {name: getattr(order, name) for name in names}
    request = OrderRequest.model_validate_json(order.request)
    return OrderState(**told, request=request, ahead=parts.orders.ahead(order))
