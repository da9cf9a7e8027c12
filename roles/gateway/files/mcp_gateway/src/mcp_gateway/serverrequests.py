"""Requests of servers to clients: elicitation, sampling, roots.

A legacy server asks in the middle of a call, a modern one by ending it; each client is asked in the
way of its own era.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from mcp_gateway import envelope, translate
from mcp_gateway.call import Call
from mcp_gateway.eras import MAY_ASK, META_CAPABILITIES
from mcp_gateway.gateway import Gateway
from mcp_gateway.responsewriter import ResponseWriter
from mcp_gateway.sse import Frame
from mcp_gateway.upstreamrequest import UpstreamRequest
from mcp_gateway.upstreams.base import UpstreamError

Futures = dict[str, asyncio.Future[envelope.Message]]


async def ask_client(
    gateway: Gateway, call: Call, writer: ResponseWriter, result: envelope.Fields
) -> dict[str, msgspec.Raw]:
    """Send the `inputRequests` of a result to a legacy client; its answers by their keys."""
    if call.session is None or not writer.can_stream:
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
            await writer.event(Frame(envelope.encode(fields)))
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


async def pass_on(request: UpstreamRequest, frame: Frame, message: envelope.Message) -> bool:
    """A legacy server asks; False when the call is parked until a modern client comes back."""
    assert message.id is not None
    call, method = request.call, message.method or ""
    if method == "ping":
        await request.exchange.answer(envelope.result(message.id, {}))
        return True
    if not _client_answers(request, method):
        text = "the client does not support this request"
        await request.exchange.answer(envelope.error(message.id, envelope.METHOD_NOT_FOUND, text))
        return True
    if call.era == "modern":
        result = request.gateway.parking.park(
            request.exchange, request.link, request.upstream.name, call.method, call.who.id, message
        )
        await request.writer.final(envelope.result(call.id, result))
        return False
    message.fields["id"] = envelope.raw(_id_for_client(request, message.id))
    frame.data = envelope.encode(message.fields)
    await request.writer.event(request.stamped(frame))
    return True


def _id_for_client(request: UpstreamRequest, original: bytes) -> str:
    """The id under which a legacy client sees the question."""
    call, exchange = request.call, request.exchange
    assert call.session is not None
    if request.passes_through:
        return request.gateway.questions.pass_on(call.session.uid, request.upstream.name, original)

    def deliver(answer: envelope.Message) -> None:
        request.gateway.background(exchange.answer(envelope.response(original, answer)))

    id_ = request.gateway.questions.ask(call.session.uid, deliver)
    request.question_ids.append(id_)
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


def _client_answers(request: UpstreamRequest, method: str) -> bool:
    """Whether the client said that it answers such questions, and can be asked now."""
    call = request.call
    if call.era == "modern":
        meta = envelope.fields_of(call.msg.params.get("_meta"))
        capabilities = bytes(meta.get(META_CAPABILITIES, b"{}"))
        return call.method in MAY_ASK and translate.supports(capabilities, method)
    if call.session is None or not request.writer.can_stream:
        return False
    # In its own session the server knows the client's capabilities and keeps to them itself.
    return request.passes_through or translate.supports(call.session.capabilities, method)
