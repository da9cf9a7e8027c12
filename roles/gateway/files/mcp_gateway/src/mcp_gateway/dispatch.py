"""From a classified message to the handler that answers it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from mcp_gateway import envelope, handshake, links
from mcp_gateway.call import Call
from mcp_gateway.eras import ABOUT_NOTHING, LIST_MEMBER, LOG_LEVELS
from mcp_gateway.outlet import HttpOutlet, Outlet
from mcp_gateway.refusal import Refusal
from mcp_gateway.relay import Relay
from mcp_gateway.route import MAX_NAME, Target, resolve
from mcp_gateway.streams import MAX_SUBSCRIPTIONS, serve_listen
from mcp_gateway.upstream import Upstream
from mcp_gateway.upstreams.base import Outbound, UpstreamError, final, next_id

if TYPE_CHECKING:
    from mcp_gateway.gateway import Gateway

LEGACY_ONLY = {"ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"}


async def answer_request(gateway: Gateway, call: Call, outlet: Outlet) -> None:
    """Answer one request; Refusal or UpstreamError when there is no answer."""
    method = call.method
    if call.era == "modern" and (method in LEGACY_ONLY or method == "initialize"):
        raise _no_method(method)
    if call.era == "legacy" and method in ("server/discover", "subscriptions/listen"):
        raise _no_method(method)
    if call.route:
        gateway.require(call, call.route, "", "")
    passes = _passes(gateway, call)
    if method == "subscriptions/listen":
        await _listen(gateway, call, outlet, passes)
    elif method == "initialize":
        await _initialize(gateway, call, outlet)
    elif method == "ping" and not passes:
        await outlet.final(envelope.result(call.id, {}))
    elif method == "server/discover" and not passes:
        if call.route:
            await gateway.settle(call.route)
        await outlet.final(envelope.result(call.id, handshake.discover(gateway, call)))
    elif method == "logging/setLevel" and not passes:
        await _set_level(gateway, call, outlet)
    elif method in LIST_MEMBER and not call.route:
        await gateway.settle()
        await outlet.final(gateway.lists.answer(call))
    else:
        await _relay(gateway, call, outlet)


async def _listen(gateway: Gateway, call: Call, outlet: Outlet, passes: bool) -> None:
    """A modern stream of notices: from the one server itself, or from the gateway."""
    if not isinstance(outlet, HttpOutlet) or not outlet.can_stream:
        raise Refusal("accept", 406, envelope.INVALID_REQUEST, "accept text/event-stream")
    if passes:
        _check_subscriptions(gateway, call)
    with gateway.bounds.stream(call.who):
        if call.place is not None:
            call.place.leave()
        await (_relay if passes else serve_listen)(gateway, call, outlet)


def _check_subscriptions(gateway: Gateway, call: Call) -> None:
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
        gateway.require(call, call.route, "resources", uri)


def _passes(gateway: Gateway, call: Call) -> bool:
    return bool(call.route) and links.passes_through(gateway.upstreams[call.route], call)


async def _initialize(gateway: Gateway, call: Call, outlet: Outlet) -> None:
    if isinstance(outlet, HttpOutlet):
        outlet.needs_headers = True
    token, result = await handshake.initialize(gateway, call)
    if isinstance(outlet, HttpOutlet):
        outlet.headers.append((b"mcp-session-id", token.encode()))
    assert call.session is not None
    gateway.saw_session(call.session.uid)
    await outlet.final(envelope.result(call.id, result))


async def _relay(gateway: Gateway, call: Call, outlet: Outlet) -> None:
    target = resolve(
        call.method, call.msg.params, call.route, gateway.catalog, set(gateway.upstreams)
    )
    call.server, call.name = target.server, target.name
    upstream = gateway.upstreams.get(target.server)
    if upstream is None:
        raise Refusal(
            "unknown", 400, envelope.INVALID_PARAMS, f"unknown server {target.server[:80]}"
        )
    gateway.require(call, target.server, target.kind, target.name)
    if not target.kind and call.method not in ABOUT_NOTHING:
        gateway.require_all(call, target.server)
    if not upstream.eras:
        await gateway.settle(upstream.name)
    if call.method.endswith("subscribe") and not links.passes_through(upstream, call):
        await _subscribe(gateway, call, target, upstream)
        await outlet.final(envelope.result(call.id, {}))
        return
    key = (call.session.uid if call.session else call.who.id, call.id)
    task = asyncio.current_task()
    assert task is not None
    gateway.in_flight[key] = (call, task)
    try:
        await Relay(gateway, call, target, upstream, outlet).run()
    finally:
        gateway.in_flight.pop(key, None)


async def _subscribe(gateway: Gateway, call: Call, target: Target, upstream: Upstream) -> None:
    """Watch a resource on behalf of a legacy session that has no session of its own there."""
    if call.session is None:
        raise Refusal("session", 400, envelope.INVALID_REQUEST, "subscribing needs a session")
    gateway.peers.send_home(call, call.session.home)
    wanted = gateway.subscriptions.setdefault(call.session.uid, set())
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


async def _set_level(gateway: Gateway, call: Call, outlet: Outlet) -> None:
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
        gateway.log_levels[call.session.uid] = level
    told = [
        _tell_level(upstream, call)
        for upstream in gateway.view(call)
        if "logging" in upstream.listing.capabilities
        and (upstream.era_for("legacy") == "legacy")
        and upstream.is_up
        and (upstream.has_link(links.key_of(upstream, call)) or _remembers(call, upstream))
    ]
    await asyncio.gather(*told, return_exceptions=True)
    await outlet.final(envelope.result(call.id, {}))


def _remembers(call: Call, upstream: Upstream) -> bool:
    return call.session is not None and upstream.name in call.session.upstream


async def _tell_level(upstream: Upstream, call: Call) -> None:
    link = await links.choose(upstream, call)
    out = Outbound(next_id(), call.method, call.msg.params, timeout=min(5.0, upstream.timeout))
    await final(await link.request(out), upstream.name)


async def accept_notification(gateway: Gateway, call: Call) -> None:
    """A notification: forwarded where an upstream has a session of this client's own."""
    method = call.method
    if call.era == "modern" or call.session is None or method == "notifications/initialized":
        return
    if not method.startswith("notifications/"):
        return  # a request without an id: no policy has looked at it
    if method == "notifications/cancelled" and _cancel(gateway, call):
        return
    if not call.route:
        gateway.peers.send_home(call, call.session.home)  # there the sessions at servers began
    body = envelope.notification(method, call.msg.params if "params" in call.msg.fields else None)
    for upstream in [gateway.upstreams[call.route]] if call.route else gateway.upstreams.values():
        if not links.passes_through(upstream, call):
            continue
        if not call.route and not links.has_session(upstream, call.session):
            continue
        if not gateway.authorization.sees_any(call.who, upstream.name):
            continue
        link = await links.choose(upstream, call)
        gateway.background(link.notify(body))


def _cancel(gateway: Gateway, call: Call) -> bool:
    """End the call that a client gave up, if it runs at this replica."""
    raw = call.msg.params.get("requestId")
    id_ = envelope.encoded_id(raw) if raw is not None else None
    if id_ is None or call.session is None:
        return True
    found = gateway.in_flight.get((call.session.uid, id_))
    if found is None:
        return False
    found[0].cancelled = True
    found[1].cancel()
    return True


async def accept_response(gateway: Gateway, call: Call) -> None:
    """A client's answer to a question of a server."""
    if call.session is None:
        raise Refusal("session", 400, envelope.INVALID_REQUEST, "a response needs a session")
    uid, id_ = call.session.uid, envelope.text(msgspec.Raw(call.id)) or ""
    if gateway.questions.deliver(uid, id_, call.msg):
        return
    home = gateway.questions.home_of(uid, id_)
    if home is not None:
        gateway.peers.send_home(call, home)
        return  # it comes too late: nobody waits for it any more
    upstream, original = _asked_by(gateway, call, id_)
    call.server = upstream.name
    gateway.require(call, upstream.name, "", "")
    links.go_home(gateway.peers, upstream, call)
    link = await links.choose(upstream, call)
    try:
        await link.notify(envelope.response(original, call.msg))
    except UpstreamError as error:
        call.failed(error.kind)


def _asked_by(gateway: Gateway, call: Call, id_: str) -> tuple[Upstream, bytes]:
    """Who asked, and under which id; Refusal unless this very session was asked."""
    assert call.session is not None
    server, original = gateway.questions.passed(call.session.uid, id_) or ("", b"")
    upstream = gateway.upstreams.get(server)
    if upstream is None or not links.passes_through(upstream, call):
        raise Refusal(
            "answer",
            400,
            envelope.INVALID_REQUEST,
            f"no server asked this session a question with the id {id_[:80]!r}; "
            "answer with the id of the request that came",
        )
    return upstream, original


def _no_method(method: str) -> Refusal:
    return Refusal(
        "method", 404, envelope.METHOD_NOT_FOUND, f"Method not found: {method[:80]} in this era"
    )


async def end_session(gateway: Gateway, call: Call) -> None:
    """End a legacy session: here, and at every upstream that has a session for it."""
    session = call.session
    assert session is not None
    for name in list(session.upstream):
        upstream = gateway.upstreams.get(name)
        if upstream is not None and links.passes_through(upstream, call):
            await links.choose(upstream, call)
    for upstream in gateway.upstreams.values():
        if upstream.has_link(session.uid):
            gateway.background(upstream.forget(session.uid))
    gateway.forget_session(session.uid)
    gateway.bounds.session_ends(session.owner, session.uid)
    gateway.sessions.end(call.session_token, session.uid)
