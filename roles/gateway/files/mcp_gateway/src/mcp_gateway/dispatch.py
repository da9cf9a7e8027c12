"""From a classified request to the handler that answers it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from mcp_gateway import envelope, handshake, links
from mcp_gateway.call import Call
from mcp_gateway.eras import ABOUT_NOTHING, LIST_MEMBER
from mcp_gateway.gateway import Gateway
from mcp_gateway.listen import check_subscriptions, serve_listen
from mcp_gateway.refusal import Refusal
from mcp_gateway.relay import relay
from mcp_gateway.responsewriter import ResponseWriter
from mcp_gateway.route import resolve
from mcp_gateway.sessionrequests import set_level, subscribe

Handler = Callable[[Gateway, Call, ResponseWriter], Awaitable[None]]


async def answer_request(gateway: Gateway, call: Call, writer: ResponseWriter) -> None:
    """Answer one request; Refusal or UpstreamError when there is no answer."""
    method = METHODS.get(call.method, OTHER)
    if method.only_era not in ("", call.era):
        text = f"Method not found: {call.method[:80]} in this era"
        raise Refusal("method", 404, envelope.METHOD_NOT_FOUND, text)
    if not call.route:
        await method.at_all_servers(gateway, call, writer)
        return
    gateway.access.require(call, call.route, "", "")
    if links.passes_through(gateway.upstreams[call.route], call):
        await method.in_its_session(gateway, call, writer)
    else:
        await method.at_one_server(gateway, call, writer)


async def _initialize(gateway: Gateway, call: Call, writer: ResponseWriter) -> None:
    writer.expect_headers()
    token, result = await handshake.initialize(gateway, call)
    writer.add_header(b"mcp-session-id", token.encode())
    assert call.session is not None
    gateway.session_state.saw(call.session.uid)
    await writer.final(envelope.result(call.id, result))


async def _ping(gateway: Gateway, call: Call, writer: ResponseWriter) -> None:
    await writer.final(envelope.result(call.id, {}))


async def _discover(gateway: Gateway, call: Call, writer: ResponseWriter) -> None:
    if call.route:
        await gateway.wait_until_read(call.route)
    await writer.final(envelope.result(call.id, handshake.discover(gateway, call)))


async def _list(gateway: Gateway, call: Call, writer: ResponseWriter) -> None:
    """A list of all servers, from the catalog."""
    await gateway.wait_until_read()
    await writer.final(gateway.lists.answer(call))


async def _listen(gateway: Gateway, call: Call, writer: ResponseWriter) -> None:
    """A modern stream of the gateway's own notices."""
    await _in_stream_slot(serve_listen, gateway, call, writer)


async def _listen_there(gateway: Gateway, call: Call, writer: ResponseWriter) -> None:
    """A modern stream of the one server's notices."""
    await _in_stream_slot(_relay_listen, gateway, call, writer)


async def _relay_listen(gateway: Gateway, call: Call, writer: ResponseWriter) -> None:
    check_subscriptions(gateway, call)
    await _relay(gateway, call, writer)


async def _in_stream_slot(
    handler: Handler, gateway: Gateway, call: Call, writer: ResponseWriter
) -> None:
    """Streams have bounds of their own: the slot of a call is free again."""
    if not (writer.can_stream and writer.can_copy):
        raise Refusal("accept", 406, envelope.INVALID_REQUEST, "accept text/event-stream")
    with gateway.bounds.stream(call.who):
        if call.slot is not None:
            call.slot.release()
        await handler(gateway, call, writer)


async def _relay(gateway: Gateway, call: Call, writer: ResponseWriter) -> None:
    """Whatever a server answers itself."""
    target = resolve(
        call.method, call.msg.params, call.route, gateway.servers.catalog, set(gateway.upstreams)
    )
    call.server, call.name = target.server, target.name
    upstream = gateway.upstreams.get(target.server)
    if upstream is None:
        raise Refusal(
            "unknown", 400, envelope.INVALID_PARAMS, f"unknown server {target.server[:80]}"
        )
    gateway.access.require(call, target.server, target.kind, target.name)
    if not target.kind and call.method not in ABOUT_NOTHING:
        gateway.access.require_all(call, target.server)
    if not upstream.eras:
        await gateway.wait_until_read(upstream.name)
    if call.method.endswith("subscribe") and not links.passes_through(upstream, call):
        await subscribe(gateway, call, target, upstream)
        await writer.final(envelope.result(call.id, {}))
        return
    key = (call.session.uid if call.session else call.who.id, call.id)
    task = asyncio.current_task()
    assert task is not None
    in_flight = gateway.session_state.in_flight
    in_flight[key] = (call, task)
    try:
        await relay(gateway, call, target, upstream, writer)
    finally:
        in_flight.pop(key, None)


class Method(NamedTuple):
    """Who answers a method, by where it is sent."""

    only_era: str  # "" when both eras have it
    at_all_servers: Handler  # at /mcp
    at_one_server: Handler  # at /servers/NAME/mcp
    in_its_session: Handler  # there, where the client's own session at the server is used


METHODS = {
    "initialize": Method("legacy", _initialize, _initialize, _initialize),
    "ping": Method("legacy", _ping, _ping, _relay),
    "logging/setLevel": Method("legacy", set_level, set_level, _relay),
    "resources/subscribe": Method("legacy", _relay, _relay, _relay),
    "resources/unsubscribe": Method("legacy", _relay, _relay, _relay),
    "server/discover": Method("modern", _discover, _discover, _relay),
    "subscriptions/listen": Method("modern", _listen, _listen, _listen_there),
    **dict.fromkeys(LIST_MEMBER, Method("", _list, _relay, _relay)),
}
OTHER = Method("", _relay, _relay, _relay)
