"""Questions of servers to clients: elicitation, sampling, roots.

A legacy server asks in the middle of a call, a modern one by ending it; each client is asked in the
way of its own era.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from mcp_gateway import envelope, links, translate
from mcp_gateway.call import Call
from mcp_gateway.eras import MAY_ASK, META_CAPABILITIES
from mcp_gateway.outlet import Outlet
from mcp_gateway.sse import Frame
from mcp_gateway.upstreams.base import UpstreamError

if TYPE_CHECKING:
    from mcp_gateway.gateway import Gateway

if TYPE_CHECKING:
    from mcp_gateway.relay import Relay

Futures = dict[str, asyncio.Future[envelope.Message]]


async def ask_client(
    gateway: Gateway, call: Call, outlet: Outlet, result: envelope.Fields
) -> dict[str, msgspec.Raw]:
    """Send the `inputRequests` of a result to a legacy client; its answers by their keys."""
    if call.session is None or not outlet.can_stream:
        raise UpstreamError(
            "input",
            f"server {call.server} asks for input; "
            "that needs a client with a session that accepts text/event-stream",
        )
    uid = call.session.uid
    futures: Futures = {}
    ids: list[str] = []
    try:
        for key, raw in envelope.fields_of(result.get("inputRequests")).items():
            futures[key] = future = asyncio.get_running_loop().create_future()
            ids.append(gateway.questions.ask(uid, _setter(future)))
            fields = {"jsonrpc": "2.0", "id": ids[-1], **envelope.fields_of(raw)}
            await outlet.event(Frame(envelope.encode(fields)))
        return await _collect(futures, gateway.config.limits.input_wait_seconds)
    finally:
        gateway.questions.withdraw(uid, ids)


async def _collect(futures: Futures, seconds: float) -> dict[str, msgspec.Raw]:
    answers: dict[str, msgspec.Raw] = {}
    try:
        async with asyncio.timeout(seconds):
            for key, future in futures.items():
                answer = await future
                if answer.result is None:
                    raise UpstreamError("input", "the client refused to give the input")
                answers[key] = answer.result
    except TimeoutError:
        raise UpstreamError("input", f"the client gave no input within {seconds:g} s") from None
    return answers


def _setter(
    future: asyncio.Future[envelope.Message],
) -> Callable[[envelope.Message], None]:
    def deliver(answer: envelope.Message) -> None:
        if not future.done():
            future.set_result(answer)

    return deliver


async def pass_question(relay: Relay, frame: Frame, message: envelope.Message) -> bool:
    """A legacy server asks; False when the call is parked until a modern client comes back."""
    assert relay.exchange is not None and relay.link is not None and message.id is not None
    call, method = relay.call, message.method or ""
    if method == "ping":
        await relay.exchange.answer(envelope.result(message.id, {}))
        return True
    if not _client_answers(relay, method):
        text = "the client does not support this request"
        await relay.exchange.answer(envelope.error(message.id, envelope.METHOD_NOT_FOUND, text))
        return True
    if call.era == "modern":
        result = relay.gateway.parking.park(
            relay.exchange, relay.link, relay.upstream.name, call.method, call.who.id, message
        )
        await relay.outlet.final(envelope.result(call.id, result))
        return False
    id_ = _id_for_client(relay, message.id)
    if id_ is not None:
        message.fields["id"] = envelope.raw(id_)
        frame.data = envelope.encode(message.fields)
    await relay.outlet.event(relay.stamped(frame))
    return True


def _id_for_client(relay: Relay, original: bytes) -> str | None:
    """The id under which a legacy client sees the question; None to leave it as it is."""
    call, exchange = relay.call, relay.exchange
    assert call.session is not None and exchange is not None
    if links.passes_through(relay.upstream, call):
        # The session id leads the answer back to the server; its name is all that is missing.
        return None if call.route else f"s:{relay.upstream.name}:{original.decode()}"

    def deliver(answer: envelope.Message) -> None:
        answer.fields["id"] = msgspec.Raw(original)
        relay.gateway.background(exchange.answer(envelope.encode(answer.fields)))

    id_ = relay.gateway.questions.ask(call.session.uid, deliver)
    relay.asked_ids.append(id_)
    return id_


def _client_answers(relay: Relay, method: str) -> bool:
    """Whether the client said that it answers such questions, and can be asked now."""
    call = relay.call
    if call.era == "modern":
        meta = envelope.fields_of(call.msg.params.get("_meta"))
        capabilities = bytes(meta.get(META_CAPABILITIES, b"{}"))
        return call.method in MAY_ASK and translate.supports(capabilities, method)
    if call.session is None or not relay.outlet.can_stream:
        return False
    # In its own session the server knows the client's capabilities and keeps to them itself.
    return links.passes_through(relay.upstream, call) or translate.supports(
        call.session.capabilities, method
    )
