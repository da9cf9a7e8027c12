"""The old HTTP+SSE transport (2024-11-05): one event stream, and POSTs answered on it."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qs

from mcp_gateway import clientmessage, dispatch, envelope, handshake, oneway
from mcp_gateway.admit import BODY_SECONDS, Receive, read_body
from mcp_gateway.call import Call
from mcp_gateway.conclude import conclude
from mcp_gateway.eras import LEGACY_VERSIONS
from mcp_gateway.gateway import Gateway
from mcp_gateway.hub import Subscriber
from mcp_gateway.refusal import Refusal
from mcp_gateway.responsewriter import HttpResponseWriter, QueueResponseWriter
from mcp_gateway.sessions import Session
from mcp_gateway.sse import Frame
from mcp_gateway.streams import legacy_wants, serve_subscriber


class Connection:
    """One client of the old transport: its stream and its session."""

    def __init__(self, call: Call, session: Session, subscriber: Subscriber) -> None:
        self.call = call
        self.session = session
        self.subscriber = subscriber
        self.tasks: set[asyncio.Task[None]] = set()


async def serve_stream(gateway: Gateway, call: Call, writer: HttpResponseWriter) -> None:
    """GET /sse: name the endpoint, then deliver answers and notices until the client leaves."""
    call.era, call.version = "legacy", LEGACY_VERSIONS[0]
    token, session = gateway.sessions.issue(call.who.id, call.route, LEGACY_VERSIONS[0])
    gateway.session_state.admit(call.who, session.uid)
    call.session = session
    size, wants = gateway.config.limits.stream_buffer_messages, legacy_wants(gateway, call)
    subscriber = Subscriber(size, wants, call.hold_answer)
    connection = Connection(call, session, subscriber)
    gateway.session_state.sse_connections[session.uid] = connection
    base = gateway.path_prefix + (f"/servers/{call.route}" if call.route else "")
    location = f"{base}/messages?session={token}"
    subscriber.put(Frame(location.encode(), event=b"endpoint"))
    try:
        await serve_subscriber(gateway, call, subscriber, writer)
    finally:
        gateway.session_state.sse_connections.pop(session.uid, None)
        for task in connection.tasks:
            task.cancel()
        call.session = connection.session
        await handshake.end_session(gateway, call)


async def accept_message(
    gateway: Gateway, call: Call, query: bytes, receive: Receive, writer: HttpResponseWriter
) -> None:
    """POST /messages: take the message now, answer on the stream."""
    token = parse_qs(query.decode("latin-1")).get("session", [""])[0]
    session = gateway.sessions.open(token, call.who.id, call.route)
    body = await read_body(receive, call, gateway.config.limits.body_bytes, BODY_SECONDS)
    call.bytes_in = len(body)
    connection = (
        gateway.session_state.sse_connections.get(session.uid) if session is not None else None
    )
    if connection is None:
        if session is not None:
            call.body = body
            gateway.peers.send_home(call, session.home)
        raise Refusal("session", 404, envelope.INVALID_REQUEST, "this event stream has ended")
    try:
        call.message = clientmessage.parse(body)
    except envelope.EnvelopeError as error:
        raise Refusal("envelope", 400, error.code, str(error), id=error.id) from None
    call.era, call.version = "legacy", connection.session.version
    call.session, call.session_token = connection.session, token
    gateway.session_state.saw(connection.session.uid)
    if call.msg.is_request:
        await writer.plain(202, b"Accepted", b"text/plain")
        work = _answer(gateway, call, connection)
        task = asyncio.create_task(work)
        connection.tasks.add(task)
        task.add_done_callback(connection.tasks.discard)
        call.is_recorded_later = True
        return
    if call.msg.is_notification:
        await oneway.accept_notification(gateway, call)
    else:
        await oneway.accept_response(gateway, call)
    await writer.plain(202, b"Accepted", b"text/plain")


async def _answer(gateway: Gateway, call: Call, connection: Connection) -> None:
    writer = QueueResponseWriter(connection.subscriber.put)
    try:
        try:
            bounds, who = gateway.bounds, call.who
            with bounds.held(who) as call.held, bounds.call(who) as call.slot:
                call.hold(call.bytes_in)
                await dispatch.answer_request(gateway, call, writer)
        except (Exception, asyncio.CancelledError) as error:
            await conclude(gateway, call, writer, error)
        before = connection.session
        if call.method == "initialize" and call.session is not None and call.session is not before:
            # A stream has one session: the one before must not count, nor stay at any server.
            gateway.bounds.session_ends(before.owner, before.uid)
            gateway.session_state.leave_servers(before.uid)
            connection.session = connection.call.session = call.session
            connection.subscriber.wants = legacy_wants(gateway, call)
    finally:
        gateway.recorder.record(call)
