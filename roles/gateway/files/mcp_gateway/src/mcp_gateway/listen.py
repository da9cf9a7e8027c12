"""`subscriptions/listen`: the modern stream of notices, for one server or for all of them."""

from __future__ import annotations

import msgspec

from mcp_gateway import envelope
from mcp_gateway.call import Call
from mcp_gateway.eras import META_SUBSCRIPTION
from mcp_gateway.gateway import Gateway
from mcp_gateway.hub import Subscriber, Wants
from mcp_gateway.refusal import Refusal
from mcp_gateway.responsewriter import ResponseWriter
from mcp_gateway.route import MAX_NAME
from mcp_gateway.sse import Frame
from mcp_gateway.streams import copy_frames, open_stream
from mcp_gateway.upstream import Upstream

MAX_SUBSCRIPTIONS = 200
LISTEN_MEMBER = {
    "notifications/tools/list_changed": "toolsListChanged",
    "notifications/prompts/list_changed": "promptsListChanged",
    "notifications/resources/list_changed": "resourcesListChanged",
}


def check_subscriptions(gateway: Gateway, call: Call) -> None:
    """Refusal unless the caller may read every resource that it wants to hear of."""
    wanted = envelope.fields_of(call.msg.params.get("notifications"))
    uris = envelope.decode_any(wanted.get("resourceSubscriptions", b"[]"))
    are_uris = isinstance(uris, list) and all(
        isinstance(uri, str) and len(uri) <= MAX_NAME for uri in uris[: MAX_SUBSCRIPTIONS + 1]
    )
    if not are_uris or len(uris) > MAX_SUBSCRIPTIONS:
        raise Refusal(
            "envelope",
            400,
            envelope.INVALID_PARAMS,
            "params.notifications.resourceSubscriptions must be a list of at most "
            f"{MAX_SUBSCRIPTIONS} URIs of at most {MAX_NAME} characters",
        )
    for uri in uris:
        gateway.access.require(call, call.route, "resources", uri)


async def serve_listen(gateway: Gateway, call: Call, writer: ResponseWriter) -> None:
    """`subscriptions/listen`: acknowledge, then only what was asked for, tagged with its id."""
    wanted = envelope.fields_of(call.msg.params.get("notifications"))
    flags = {m: k for m, k in LISTEN_MEMBER.items() if bytes(wanted.get(k, b"")) == b"true"}
    uris = envelope.decode_any(wanted.get("resourceSubscriptions", b"[]"))
    watched = _watchable(gateway, call, uris)
    pairs = {(u.name, original): uri for u, original, uri in watched}
    agreed: dict[str, object] = dict.fromkeys(flags.values(), True)
    if pairs:
        agreed["resourceSubscriptions"] = sorted(pairs.values())
    ack = envelope.notification(
        "notifications/subscriptions/acknowledged",
        {"_meta": {META_SUBSCRIPTION: msgspec.Raw(call.id)}, "notifications": agreed},
    )
    wants = _wants(gateway, call, flags, pairs)
    subscriber = Subscriber(gateway.config.limits.stream_buffer_messages, wants)
    subscriber.put(Frame(ack))
    added: list[tuple[Upstream, str]] = []
    try:
        for upstream, original, _ in watched:
            await upstream.watcher.add(original)
            added.append((upstream, original))
        await _serve_until_end(gateway, call, subscriber, writer)
    finally:
        for upstream, original in added:
            upstream.watcher.discard(original)


def _watchable(gateway: Gateway, call: Call, uris: object) -> list[tuple[Upstream, str, str]]:
    """(server, its own URI, the caller's URI) of resources that the caller may hear of."""
    watched: list[tuple[Upstream, str, str]] = []
    for uri in uris[:MAX_SUBSCRIPTIONS] if isinstance(uris, list) else []:
        is_uri = isinstance(uri, str) and len(uri) <= MAX_NAME
        found = gateway.access.locate_resource(call, uri) if is_uri else None
        # The gateway watches with what it shows itself, which is nobody's own.
        if found is not None and gateway.upstreams[found[0]].personal is None:
            watched.append((gateway.upstreams[found[0]], found[1], uri))
    return watched


def _wants(
    gateway: Gateway, call: Call, flags: dict[str, str], pairs: dict[tuple[str, str], str]
) -> Wants:
    """What the stream shows: the lists and the resources that were agreed on."""

    def wants(server: str, message: envelope.Message) -> bool:
        if not gateway.access.in_view(call, server):
            return False
        if message.method == "notifications/resources/updated":
            return (server, envelope.text(message.params.get("uri")) or "") in pairs
        return message.method in flags

    return wants


async def _serve_until_end(
    gateway: Gateway, call: Call, subscriber: Subscriber, writer: ResponseWriter
) -> None:
    def tagged(frame: Frame) -> Frame:
        return _with_subscription(frame, call.id)

    with open_stream(gateway, subscriber):
        await writer.start_stream()
        await copy_frames(gateway, call, subscriber, writer, tagged)
        result = {"resultType": "complete", "_meta": {META_SUBSCRIPTION: msgspec.Raw(call.id)}}
        await writer.final(envelope.result(call.id, result))


def _with_subscription(frame: Frame, id_: bytes) -> Frame:
    fields = envelope.decode_fields(frame.data)
    params = envelope.fields_of(fields.get("params"))
    meta = envelope.fields_of(params.get("_meta"))
    meta[META_SUBSCRIPTION] = msgspec.Raw(id_)
    params["_meta"] = envelope.raw(meta)
    fields["params"] = envelope.raw(params)
    return Frame(envelope.encode(fields))
