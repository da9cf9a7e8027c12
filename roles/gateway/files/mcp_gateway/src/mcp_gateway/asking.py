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
            fields = {**envelope.fields_of(raw), "jsonrpc": "2.0", "id": ids[-1]}
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
    message.fields["id"] = envelope.raw(_id_for_client(relay, message.id))
    frame.data = envelope.encode(message.fields)
    await relay.outlet.event(relay.stamped(frame))
    return True


def _id_for_client(relay: Relay, original: bytes) -> str:
    """The id under which a legacy client sees the question."""
    call, exchange = relay.call, relay.exchange
    assert call.session is not None and exchange is not None
    if links.passes_through(relay.upstream, call):
        return relay.gateway.questions.pass_on(call.session.uid, relay.upstream.name, original)

    def deliver(answer: envelope.Message) -> None:
        relay.gateway.background(exchange.answer(envelope.response(original, answer)))

    id_ = relay.gateway.questions.ask(call.session.uid, deliver)
    relay.asked_ids.append(id_)
    return id_


def with_our_ids(
    gateway: Gateway, uid: str, server: str, message: envelope.Message
) -> bytes | None:
    """What a server says in a client's own session, under our ids; None when it names no question.

    The client answers to ours, and a server that takes a question back means the same one.
    """
    if message.is_request and message.id is not None:
        message.fields["id"] = envelope.raw(gateway.questions.pass_on(uid, server, message.id))
    elif message.method == "notifications/cancelled" and "requestId" in message.params:
        original = envelope.encoded_id(message.params["requestId"])
        if original is None:
            return None
        ours = envelope.raw(gateway.questions.pass_on(uid, server, original))
        message.fields["params"] = envelope.raw({**message.params, "requestId": ours})
    else:
        return None
    return envelope.encode(message.fields)


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
