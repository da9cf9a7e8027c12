"""What a client gets of a server's messages: in its own era, under its own ids."""

from __future__ import annotations

import msgspec

from mcp_gateway import envelope, serverrequests, translate
from mcp_gateway.call import Call
from mcp_gateway.eras import LOG_LEVELS, META_LOG_LEVEL, STATUS_OF_CODE
from mcp_gateway.route import names_task, with_task_prefix
from mcp_gateway.sse import Frame
from mcp_gateway.upstreamrequest import UpstreamRequest


async def copy(request: UpstreamRequest, frame: Frame) -> None:
    """A large answer, chunk by chunk: never more of it in memory than the client is behind."""
    chunk: bytes | None = frame.data
    await request.writer.begin_copy(request.exchange.status)
    while chunk is not None:
        await request.writer.write(chunk)
        chunk = await frame.rest() if frame.rest else None
    await request.writer.end()


async def notification(request: UpstreamRequest, frame: Frame, message: envelope.Message) -> None:
    """A notification on its way to the client."""
    call = request.call
    if message.method and message.method.endswith("/list_changed"):
        request.upstream.touch()
        if call.era == "modern" and call.method != "subscriptions/listen":
            return
    if message.method == "notifications/message" and not _wants_log(request, message):
        return
    if call.session is not None and request.passes_through:
        uid, server = call.session.uid, request.upstream.name
        changed = serverrequests.with_our_ids(request.gateway, uid, server, message)
        frame.data = changed or frame.data
    await request.writer.event(request.stamped(frame))


def _wants_log(request: UpstreamRequest, message: envelope.Message) -> bool:
    """Modern clients get log messages only when, and as far as, they asked for them."""
    if request.call.era == "legacy" or request.link.era == "modern":
        return True
    meta = envelope.fields_of(request.call.msg.params.get("_meta"))
    wanted = envelope.text(meta.get(META_LOG_LEVEL))
    level = envelope.text(message.params.get("level"))
    if wanted not in LOG_LEVELS or level not in LOG_LEVELS:
        return False
    return LOG_LEVELS.index(level) >= LOG_LEVELS.index(wanted)


async def response(request: UpstreamRequest, frame: Frame, message: envelope.Message) -> None:
    """The response: put the client's id back, translate, filter."""
    call, fields = request.call, message.fields
    status, changed = request.exchange.status, False
    if bytes(fields.get("id", b"")) != call.id:
        fields["id"] = msgspec.Raw(call.id)
        changed = True
    if message.error is not None:
        call.failed("rpc_error")
        if call.era != request.link.era or not request.exchange.has_status:
            status = _error_status(call, message.error)
    elif message.result is not None:
        result = _result(request, message.result)
        if result is not None:
            fields["result"] = result
            changed = True
        if call.method == "tools/call" and envelope.says_error(message.result):
            call.failed("tool_error", "tool_error")
    frame = request.stamped(frame)
    data = envelope.encode(fields) if changed else frame.data
    await request.writer.final(data, status, frame.event_id)


def _result(request: UpstreamRequest, result: msgspec.Raw) -> msgspec.Raw | None:
    """The result for the client; None when it is the server's own."""
    call, changed = request.call, None
    if request.pages is not None:
        listed = request.gateway.lists.of_server(call, result, request.pages)
        changed = envelope.raw(listed)
    elif call.era == "modern" and request.link.era == "legacy":
        changed = envelope.raw(translate.result_to_modern(call.method, result))
    if not call.route and names_task(call.method, call.msg.params):
        changed = envelope.raw(
            with_task_prefix(call.server, result if changed is None else changed)
        )
    return changed


def _error_status(call: Call, error: msgspec.Raw) -> int:
    """The HTTP status that goes with a JSON-RPC error in the client's era."""
    if call.era != "modern":
        return 200
    code = bytes(envelope.fields_of(error).get("code", b"0"))
    return STATUS_OF_CODE.get(int(code) if code.lstrip(b"-").isdigit() else 0, 200)
