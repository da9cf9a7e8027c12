"""Long-lived streams: what they have in common, and the GET stream of a legacy session."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator

from mcp_gateway import envelope, links, serverrequests
from mcp_gateway.call import Call
from mcp_gateway.gateway import Gateway
from mcp_gateway.hub import Subscriber, Wants
from mcp_gateway.responsewriter import HttpResponseWriter, ResponseWriter
from mcp_gateway.sse import Frame
from mcp_gateway.upstreams.base import Exchange, UpstreamError, parsed


@contextlib.contextmanager
def open_stream(gateway: Gateway, subscriber: Subscriber) -> Iterator[None]:
    """The stream is counted, and hears notices, for as long as it is open."""
    gateway.hub.subscribers.add(subscriber)
    gateway.metrics.streams.inc()
    try:
        yield
    finally:
        gateway.metrics.streams.dec()
        gateway.hub.subscribers.discard(subscriber)


async def copy_frames(
    gateway: Gateway,
    call: Call,
    subscriber: Subscriber,
    writer: ResponseWriter,
    change: Callable[[Frame], Frame] | None = None,
) -> None:
    """Write a subscriber's frames to the client until either side ends; ping in silence."""
    keepalive = gateway.config.limits.keepalive_seconds
    while True:
        try:
            async with asyncio.timeout(keepalive):
                frame = await subscriber.get()
        except TimeoutError:
            await writer.ping()
            if call.session is not None:
                gateway.session_state.keep(call.session.uid)
            continue
        if frame is None:
            break
        await writer.write((change(frame) if change else frame).encode())
    if subscriber.overflowed:
        gateway.metrics.slow_readers.inc()


def legacy_wants(gateway: Gateway, call: Call) -> Wants:
    """What a legacy session's stream shows: changed lists, and resources it subscribed to."""
    uid = call.session.uid if call.session else ""

    def wants(server: str, message: envelope.Message) -> bool:
        if not gateway.access.in_view(call, server):
            return False
        if message.method == "notifications/resources/updated":
            uri = envelope.text(message.params.get("uri")) or ""
            return (server, uri) in gateway.session_state.subscriptions.get(uid, ())
        return (message.method or "").endswith("/list_changed")

    return wants


async def serve_get(gateway: Gateway, call: Call, writer: HttpResponseWriter) -> None:
    """The legacy GET stream: upstream sessions' own streams, and the gateway's notices."""
    limits = gateway.config.limits
    if call.session is not None:
        gateway.peers.send_home(call, call.session.home)
    wants = legacy_wants(gateway, call)
    subscriber = Subscriber(limits.stream_buffer_messages, wants, call.hold_answer)
    resume = call.header(b"last-event-id")
    servers = own_session_servers(gateway, call)
    if resume is not None and not call.route:
        server, _, resume = resume.partition("/")
        servers = [s for s in servers if s == server]
    tasks: list[asyncio.Task[None]] = []

    def follow(server: str, resume: str | None = None) -> None:
        work = _follow_server(gateway, call, server, resume, subscriber)
        tasks.append(asyncio.create_task(work))

    if call.route and servers:
        exchange = await (await links.choose(gateway.upstreams[call.route], call)).events(resume)
        if exchange is not None:
            work = _follow(gateway, call, call.route, exchange, subscriber)
            tasks.append(asyncio.create_task(work))
    else:
        for server in servers:
            follow(server, resume)
    with _following(gateway, call, follow):
        await serve_subscriber(gateway, call, subscriber, writer, tasks)


@contextlib.contextmanager
def _following(gateway: Gateway, call: Call, follow: Callable[[str], None]) -> Iterator[None]:
    """Be told when this session's first call at another server opens its session there."""
    assert call.session is not None
    if call.route:
        yield
        return
    followers = gateway.session_state.followers.setdefault(call.session.uid, set())
    followers.add(follow)
    try:
        yield
    finally:
        followers.discard(follow)
        if not followers:
            gateway.session_state.followers.pop(call.session.uid, None)


def own_session_servers(gateway: Gateway, call: Call) -> list[str]:
    """Servers at which this client has a session of its own, with a stream of its own."""
    if call.session is None:
        return []
    upstreams = [gateway.upstreams[call.route]] if call.route else gateway.upstreams.values()
    return [
        u.name
        for u in upstreams
        if gateway.access.sees(call.who, u.name)
        and links.passes_through(u, call)
        and (call.route or links.has_session(u, call.session))
    ]


async def serve_subscriber(
    gateway: Gateway,
    call: Call,
    subscriber: Subscriber,
    writer: HttpResponseWriter,
    tasks: list[asyncio.Task[None]] | None = None,
) -> None:
    """One open stream, from its first byte to its clean end."""
    try:
        with open_stream(gateway, subscriber):
            await writer.start_stream()
            await copy_frames(gateway, call, subscriber, writer)
            await writer.end()
    finally:
        for task in tasks or ():
            task.cancel()
        await asyncio.gather(*(tasks or ()), return_exceptions=True)


async def _follow_server(
    gateway: Gateway, call: Call, server: str, resume: str | None, subscriber: Subscriber
) -> None:
    with contextlib.suppress(UpstreamError):
        link = await links.choose(gateway.upstreams[server], call)
        exchange = await link.events(resume)
        if exchange is not None:
            await _follow(gateway, call, server, exchange, subscriber)


async def _follow(
    gateway: Gateway, call: Call, server: str, exchange: Exchange, subscriber: Subscriber
) -> None:
    """Copy an upstream's own stream; with several behind one stream, ids say whose they are."""
    assert call.session is not None
    try:
        while (frame := await exchange.next()) is not None:
            if not call.route and frame.event_id is not None:
                frame.event_id = f"{server}/".encode() + frame.event_id
            message = parsed(frame)
            if message is None and frame.data:
                continue  # junk
            if message is not None:
                changed = serverrequests.with_our_ids(gateway, call.session.uid, server, message)
                frame.data = changed or frame.data
                if message.method and message.method.endswith("/list_changed"):
                    gateway.upstreams[server].touch()
            subscriber.put(frame)
    except UpstreamError:
        pass  # its stream broke; the client's own stream ends (one server) or goes on (many)
    finally:
        exchange.close()
    if call.route:
        subscriber.put(None)
