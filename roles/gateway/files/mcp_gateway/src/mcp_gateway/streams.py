"""Long-lived streams: the legacy GET stream and the modern `subscriptions/listen`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import msgspec

from mcp_gateway import asking, envelope, links
from mcp_gateway.call import Call
from mcp_gateway.eras import META_SUBSCRIPTION
from mcp_gateway.outlet import HttpOutlet
from mcp_gateway.refusal import Refusal
from mcp_gateway.route import MAX_NAME
from mcp_gateway.sse import Frame
from mcp_gateway.upstream import Upstream
from mcp_gateway.upstreams.base import Link, UpstreamError, parsed

if TYPE_CHECKING:
    from mcp_gateway.gateway import Gateway

Wants = Callable[[str, envelope.Message], bool]
MAX_SUBSCRIPTIONS = 200
# What waits for a stream's client, one message of any size aside.
MAX_WAITING_BYTES = 32 * 1024 * 1024
LISTEN_MEMBER = {
    "notifications/tools/list_changed": "toolsListChanged",
    "notifications/prompts/list_changed": "promptsListChanged",
    "notifications/resources/list_changed": "resourcesListChanged",
}


class Subscriber:
    """One open stream's inbox; a full inbox means that nobody reads, and ends it."""

    def __init__(self, size: int, wants: Wants, holds: Callable[[int], None] | None = None) -> None:
        self._holds = holds
        self.queue: asyncio.Queue[Frame | None] = asyncio.Queue(size)
        self.wants = wants
        self.overflowed = False
        self._waiting_bytes = 0

    def put(self, frame: Frame | None) -> None:
        if self.overflowed:
            return
        size = len(frame.data) if frame is not None else 0
        has_room = not self._waiting_bytes or self._waiting_bytes + size <= MAX_WAITING_BYTES
        try:
            if not has_room:
                raise asyncio.QueueFull
            self.queue.put_nowait(frame)
            self._count(size)
        except (asyncio.QueueFull, Refusal):
            self.overflowed = True
            while not self.queue.empty():
                self.queue.get_nowait()
            self.queue.put_nowait(None)
            self._count(-self._waiting_bytes)

    async def get(self) -> Frame | None:
        """The next frame; None at the end."""
        frame = await self.queue.get()
        self._count(-len(frame.data) if frame is not None else 0)
        return frame

    def _count(self, size: int) -> None:
        if self._holds is not None:
            self._holds(self._waiting_bytes + size)
        self._waiting_bytes += size


class Hub:
    """Hands notices that belong to no call to every open stream that wants them."""

    def __init__(self) -> None:
        self.subscribers: set[Subscriber] = set()

    def publish(self, server: str, message: envelope.Message) -> None:
        frame: Frame | None = None
        for subscriber in list(self.subscribers):
            if subscriber.wants(server, message):
                frame = frame or Frame(envelope.encode(message.fields))
                subscriber.put(frame)

    def announce(self, server: str, kinds: set[str]) -> None:
        """Say that a server's lists changed."""
        for kind in sorted({"resources" if k == "resourceTemplates" else k for k in kinds}):
            body = envelope.notification(f"notifications/{kind}/list_changed")
            self.publish(server, envelope.parse(body))

    def end_all(self) -> None:
        """Every stream ends cleanly (the gateway drains)."""
        for subscriber in self.subscribers:
            subscriber.put(None)


async def pour(
    gateway: Gateway, subscriber: Subscriber, outlet: HttpOutlet, stamp: bytes = b""
) -> None:
    """Write a subscriber's frames to the client until either side ends; ping in silence."""
    keepalive = gateway.config.limits.keepalive_seconds
    while True:
        try:
            async with asyncio.timeout(keepalive):
                frame = await subscriber.get()
        except TimeoutError:
            await outlet.ping()
            if outlet.call.session is not None:
                gateway.keep_session(outlet.call.session.uid)
            continue
        if frame is None:
            break
        if stamp:
            frame = _with_subscription(frame, stamp)
        await outlet.write(frame.encode())
    if subscriber.overflowed:
        gateway.metrics.slow_readers.inc()


def _with_subscription(frame: Frame, id_: bytes) -> Frame:
    fields = envelope.decode_fields(frame.data)
    params = envelope.fields_of(fields.get("params"))
    meta = envelope.fields_of(params.get("_meta"))
    meta[META_SUBSCRIPTION] = msgspec.Raw(id_)
    params["_meta"] = envelope.raw(meta)
    fields["params"] = envelope.raw(params)
    return Frame(envelope.encode(fields))


def legacy_wants(gateway: Gateway, call: Call) -> Wants:
    """What a legacy session's stream shows: changed lists, and resources it subscribed to."""
    uid = call.session.uid if call.session else ""

    def wants(server: str, message: envelope.Message) -> bool:
        if not gateway.in_view(call, server):
            return False
        if message.method == "notifications/resources/updated":
            uri = envelope.text(message.params.get("uri")) or ""
            return (server, uri) in gateway.subscriptions.get(uid, ())
        return (message.method or "").endswith("/list_changed")

    return wants


async def serve_get(gateway: Gateway, call: Call, outlet: HttpOutlet) -> None:
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
        await serve_subscriber(gateway, subscriber, outlet, tasks)


@contextlib.contextmanager
def _following(gateway: Gateway, call: Call, follow: Callable[[str], None]) -> Iterator[None]:
    """Be told when this session's first call at another server opens its session there."""
    assert call.session is not None
    if call.route:
        yield
        return
    followers = gateway.followers.setdefault(call.session.uid, set())
    followers.add(follow)
    try:
        yield
    finally:
        followers.discard(follow)
        if not followers:
            gateway.followers.pop(call.session.uid, None)


def own_session_servers(gateway: Gateway, call: Call) -> list[str]:
    """Servers at which this client has a session of its own, with a stream of its own."""
    if call.session is None:
        return []
    upstreams = [gateway.upstreams[call.route]] if call.route else gateway.upstreams.values()
    return [
        u.name
        for u in upstreams
        if gateway.authorization.sees_any(call.who, u.name)
        and links.passes_through(u, call)
        and (call.route or links.has_session(u, call.session))
    ]


async def serve_subscriber(
    gateway: Gateway,
    subscriber: Subscriber,
    outlet: HttpOutlet,
    tasks: list[asyncio.Task[None]] | None = None,
) -> None:
    """One open stream, from its first byte to its clean end."""
    gateway.hub.subscribers.add(subscriber)
    gateway.metrics.streams.inc()
    try:
        await outlet.start_stream()
        await pour(gateway, subscriber, outlet)
        await outlet.end()
    finally:
        gateway.metrics.streams.dec()
        gateway.hub.subscribers.discard(subscriber)
        for task in tasks or ():
            task.cancel()
        await asyncio.gather(*(tasks or ()), return_exceptions=True)


async def _follow_server(
    gateway: Gateway, call: Call, server: str, resume: str | None, subscriber: Subscriber
) -> None:
    with contextlib.suppress(UpstreamError):
        link: Link = await links.choose(gateway.upstreams[server], call)
        exchange = await link.events(resume)
        if exchange is not None:
            await _follow(gateway, call, server, exchange, subscriber)


async def _follow(
    gateway: Gateway, call: Call, server: str, exchange: object, subscriber: Subscriber
) -> None:
    """Copy an upstream's own stream; with several behind one stream, ids say whose they are."""
    assert call.session is not None
    try:
        while (frame := await exchange.next()) is not None:  # type: ignore[attr-defined]
            if not call.route and frame.event_id is not None:
                frame.event_id = f"{server}/".encode() + frame.event_id
            message = parsed(frame)
            if message is None and frame.data:
                continue  # junk
            if message is not None:
                changed = asking.with_our_ids(gateway, call.session.uid, server, message)
                frame.data = changed or frame.data
                if message.method and message.method.endswith("/list_changed"):
                    gateway.upstreams[server].touch()
            subscriber.put(frame)
    except UpstreamError:
        pass  # its stream broke; the client's own stream ends (one server) or goes on (many)
    finally:
        exchange.close()  # type: ignore[attr-defined]
    if call.route:
        subscriber.put(None)


async def serve_listen(gateway: Gateway, call: Call, outlet: HttpOutlet) -> None:
    """`subscriptions/listen`: acknowledge, then only what was asked for, tagged with its id."""
    wanted = envelope.fields_of(call.msg.params.get("notifications"))
    flags = {m: k for m, k in LISTEN_MEMBER.items() if bytes(wanted.get(k, b"")) == b"true"}
    uris = envelope.decode_any(wanted.get("resourceSubscriptions", b"[]"))
    watched: list[tuple[Upstream, str, str]] = []
    for uri in uris[:MAX_SUBSCRIPTIONS] if isinstance(uris, list) else []:
        is_uri = isinstance(uri, str) and len(uri) <= MAX_NAME
        found = gateway.locate_resource(call, uri) if is_uri else None
        if found is not None:
            watched.append((gateway.upstreams[found[0]], found[1], uri))
    pairs = {(u.name, original): uri for u, original, uri in watched}

    def wants(server: str, message: envelope.Message) -> bool:
        if not gateway.in_view(call, server):
            return False
        if message.method == "notifications/resources/updated":
            return (server, envelope.text(message.params.get("uri")) or "") in pairs
        return message.method in flags

    agreed: dict[str, object] = dict.fromkeys(flags.values(), True)
    if pairs:
        agreed["resourceSubscriptions"] = sorted(pairs.values())
    ack = envelope.notification(
        "notifications/subscriptions/acknowledged",
        {"_meta": {META_SUBSCRIPTION: msgspec.Raw(call.id)}, "notifications": agreed},
    )
    subscriber = Subscriber(gateway.config.limits.stream_buffer_messages, wants)
    subscriber.put(Frame(ack))
    added: list[tuple[Upstream, str]] = []
    try:
        for upstream, original, _ in watched:
            await upstream.watcher.add(original)
            added.append((upstream, original))
        await _serve_until_end(gateway, call, subscriber, outlet)
    finally:
        for upstream, original in added:
            upstream.watcher.discard(original)


async def _serve_until_end(
    gateway: Gateway, call: Call, subscriber: Subscriber, outlet: HttpOutlet
) -> None:
    gateway.hub.subscribers.add(subscriber)
    gateway.metrics.streams.inc()
    try:
        await outlet.start_stream()
        await pour(gateway, subscriber, outlet, call.id)
        result = {"resultType": "complete", "_meta": {META_SUBSCRIPTION: msgspec.Raw(call.id)}}
        await outlet.final(envelope.result(call.id, result))
    finally:
        gateway.metrics.streams.dec()
        gateway.hub.subscribers.discard(subscriber)
