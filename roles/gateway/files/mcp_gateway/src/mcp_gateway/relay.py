"""Stage 6: send a request to its server and bring back the answer, within the server's bounds."""

from __future__ import annotations

import asyncio

from mcp_gateway.answer import AnswerReader
from mcp_gateway.call import Call
from mcp_gateway.gateway import Gateway
from mcp_gateway.responsewriter import ResponseWriter
from mcp_gateway.route import Target
from mcp_gateway.upstream import Upstream
from mcp_gateway.upstreamrequest import UpstreamRequest
from mcp_gateway.upstreams.base import UpstreamError

COUNTS_AS_FAILURE = {"unreachable", "timeout", "status", "protocol", "initialize"}


async def relay(
    gateway: Gateway, call: Call, target: Target, upstream: Upstream, writer: ResponseWriter
) -> None:
    """Relay the call; UpstreamError and Refusal say why there is no answer."""
    breaker = upstream.breaker
    known = None if breaker.state == "closed" else gateway.lists.last_known(call)
    if known is not None:
        await writer.final(known)
        return
    if not breaker.admits():
        raise UpstreamError(
            "breaker_open",
            f"server {upstream.name} is not answering ({breaker.last_error}); "
            f"it is tried again within {breaker.settings.open_seconds:g} s",
        )
    request = UpstreamRequest(gateway, call, target, upstream, writer)
    if call.method == "subscriptions/listen":  # takes no one's slot, and has no end
        await _attempt(request, None)
        return
    gate, caller = upstream.gate, call.who.id
    if not await gate.enter(upstream.timeout, caller):
        breaker.abandoned()
        raise UpstreamError(
            "busy",
            f"server {upstream.name} already has {gate.busy} calls at work, as many as "
            "it (concurrency) or one caller (three quarters of that) may have",
        )
    try:
        await _attempt(request, gateway.config.limits.call_max_seconds)
    finally:
        gate.leave(caller)


async def _attempt(request: UpstreamRequest, seconds: float | None) -> None:
    """The call itself; how it ends counts for the server's breaker."""
    breaker = request.upstream.breaker
    try:
        async with asyncio.timeout(seconds):
            await request.open()
            await AnswerReader(request).run()
        breaker.succeeded()
    except TimeoutError:
        breaker.abandoned()
        raise UpstreamError("timeout", f"the call took longer than {seconds:g} s in all") from None
    except UpstreamError as error:
        if error.kind in COUNTS_AS_FAILURE:
            request.upstream.call_failed(error)
        else:
            breaker.abandoned()
        raise
    except BaseException:
        breaker.abandoned()
        raise
    finally:
        request.withdraw_questions()
