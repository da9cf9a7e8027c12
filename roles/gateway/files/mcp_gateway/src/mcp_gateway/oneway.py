"""What a legacy client sends without expecting an answer: notifications, and its own answers."""

from __future__ import annotations

import msgspec

from mcp_gateway import envelope, links
from mcp_gateway.call import Call
from mcp_gateway.gateway import Gateway
from mcp_gateway.refusal import Refusal
from mcp_gateway.upstream import Upstream
from mcp_gateway.upstreams.base import UpstreamError


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
        if not gateway.access.sees(call.who, upstream.name):
            continue
        link = await links.choose(upstream, call)
        gateway.background(link.notify(body))


def _cancel(gateway: Gateway, call: Call) -> bool:
    """End the call that a client gave up, if it runs at this replica."""
    raw = call.msg.params.get("requestId")
    id_ = envelope.encoded_id(raw) if raw is not None else None
    if id_ is None or call.session is None:
        return True
    found = gateway.session_state.in_flight.get((call.session.uid, id_))
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
    gateway.access.require(call, upstream.name, "", "")
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
