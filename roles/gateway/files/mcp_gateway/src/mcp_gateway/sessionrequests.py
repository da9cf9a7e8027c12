"""Requests that say what a legacy session wants to hear: its log level, and resources."""

from __future__ import annotations

import asyncio

from mcp_gateway import envelope, links
from mcp_gateway.call import Call
from mcp_gateway.eras import LOG_LEVELS
from mcp_gateway.gateway import Gateway
from mcp_gateway.listen import MAX_SUBSCRIPTIONS
from mcp_gateway.refusal import Refusal
from mcp_gateway.responsewriter import ResponseWriter
from mcp_gateway.route import Target
from mcp_gateway.upstream import Upstream
from mcp_gateway.upstreams.base import Outbound, final, next_id


async def subscribe(gateway: Gateway, call: Call, target: Target, upstream: Upstream) -> None:
    """Watch a resource on behalf of a legacy session that has no session of its own there."""
    if call.session is None:
        raise Refusal("session", 400, envelope.INVALID_REQUEST, "subscribing needs a session")
    if upstream.personal is not None:
        text = f"server {upstream.name}, where people show their own credentials, is not watched"
        raise Refusal("subscribe", 400, envelope.INVALID_PARAMS, text)
    gateway.peers.send_home(call, call.session.home)
    wanted = gateway.session_state.subscriptions.setdefault(call.session.uid, set())
    pair = (upstream.name, target.name)
    if call.method == "resources/unsubscribe":
        if pair in wanted:
            wanted.discard(pair)
            upstream.watcher.discard(target.name)
    elif pair not in wanted:
        if len(wanted) >= MAX_SUBSCRIPTIONS:
            raise Refusal(
                "limit_subscriptions",
                429,
                envelope.BUSY,
                f"this session already subscribes to {MAX_SUBSCRIPTIONS} resources",
            )
        wanted.add(pair)  # at once: nobody else is to add it meanwhile
        try:
            await upstream.watcher.add(target.name)
        except BaseException:
            wanted.discard(pair)
            raise


async def set_level(gateway: Gateway, call: Call, writer: ResponseWriter) -> None:
    """Remember the level for servers that take it with each request, tell it to the others."""
    level = envelope.text(call.msg.params.get("level"))
    if level not in LOG_LEVELS:
        raise Refusal(
            "envelope",
            200,
            envelope.INVALID_PARAMS,
            f"params.level must be one of {', '.join(LOG_LEVELS)}",
        )
    if call.session is not None:
        gateway.peers.send_home(call, call.session.home)
        gateway.session_state.log_levels[call.session.uid] = level
    told = [
        _tell_level(upstream, call)
        for upstream in gateway.access.view(call)
        if "logging" in upstream.listing.capabilities
        and (upstream.era_for("legacy") == "legacy")
        and upstream.is_up
        and (upstream.pool.has(links.key_of(upstream, call)) or _remembers(call, upstream))
    ]
    await asyncio.gather(*told, return_exceptions=True)
    await writer.final(envelope.result(call.id, {}))


def _remembers(call: Call, upstream: Upstream) -> bool:
    return call.session is not None and upstream.name in call.session.upstream


async def _tell_level(upstream: Upstream, call: Call) -> None:
    link = await links.choose(upstream, call)
    out = Outbound(next_id(), call.method, call.msg.params, timeout=min(5.0, upstream.timeout))
    await final(await link.request(out), upstream.name)
