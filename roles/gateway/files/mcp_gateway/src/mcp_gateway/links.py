"""Which link to an upstream a call uses: the caller's own session, or one that is shared."""

from __future__ import annotations

import msgspec

from mcp_gateway import envelope
from mcp_gateway.call import Call
from mcp_gateway.eras import LATEST_LEGACY, LATEST_MODERN, META_CAPABILITIES, META_CLIENT
from mcp_gateway.peers import Peers
from mcp_gateway.sessions import Session
from mcp_gateway.upstream import Upstream
from mcp_gateway.upstreams.base import Hello, Known, Link
from mcp_gateway.upstreams.pool import OPEN_CAPABILITIES, SHARED_KEY


def hello_of(call: Call) -> Hello:
    """How to introduce this caller, in the words of its own era."""
    if call.session is not None:
        session = call.session
        who = call.who
        return Hello(session.version, session.client, session.capabilities, who.id, who.person)
    meta = envelope.fields_of(call.msg.params.get("_meta")) if call.message else {}
    default = Hello(LATEST_LEGACY)
    return Hello(
        LATEST_LEGACY,
        bytes(meta.get(META_CLIENT, default.client)),
        bytes(meta.get(META_CAPABILITIES, default.capabilities)),
        call.who.id,
        call.who.person,
    )


def key_of(upstream: Upstream, call: Call) -> str:
    """Callers with the same key share a session (or process) of this upstream."""
    if upstream.settings.is_shared:
        return SHARED_KEY
    return call.session.uid if call.session is not None else f"p:{call.who.id}"


def passes_through(upstream: Upstream, call: Call) -> bool:
    """Whether the client's own session at this upstream is used, ids and all."""
    return (
        not upstream.is_connection_bound
        and upstream.era_for(call.era) == call.era
        and (call.era == "modern" or not upstream.settings.is_shared)
    )


def memo(link: Link) -> str:
    """How a session remembers the session that it has at a server. No part has a blank in it."""
    return f"{link.version} {link.sid or ''} {link.credential_id}".rstrip()


def remembered(session: Session, server: str) -> Known | None:
    """What the sealed session carries for a server."""
    value = session.upstream.get(server)
    if value is None:
        return None
    version, sid, credential_id, *_ = [*value.split(" "), "", ""]
    return Known(version, sid or None, credential_id)


def has_session(upstream: Upstream, session: Session) -> bool:
    """Whether the client has a session of its own at this upstream already."""
    return upstream.name in session.upstream or upstream.pool.has(session.uid)


def go_home(peers: Peers, upstream: Upstream, call: Call) -> None:
    """Raise MisdirectedSession when another replica has the session's link to this server."""
    session = call.session
    if session is None or upstream.settings.is_shared or upstream.name in session.upstream:
        return
    if upstream.is_connection_bound or passes_through(upstream, call):
        peers.send_home(call, session.home)


async def choose(upstream: Upstream, call: Call) -> Link:
    """The link for this call, opened if need be."""
    era = upstream.era_for(call.era)
    key = key_of(upstream, call)
    if upstream.is_connection_bound:
        hello = hello_of(call)
        if key == SHARED_KEY:
            hello = Hello(LATEST_MODERN, capabilities=OPEN_CAPABILITIES)
        return await upstream.pool.link("any", key, hello)
    if era == "modern":
        return await upstream.pool.link("modern", key, Hello(LATEST_MODERN, person=call.who.person))
    if call.session is not None and not upstream.pool.has(key) and key == call.session.uid:
        known = remembered(call.session, upstream.name)
        if known is not None:
            return upstream.pool.adopt(key, known, call.who.id, call.who.person)
    return await reopen(upstream, call)


async def reopen(upstream: Upstream, call: Call) -> Link:
    """A legacy link that owes nothing to what the session id remembers."""
    key, hello = key_of(upstream, call), hello_of(call)
    if key == SHARED_KEY:
        hello = msgspec.structs.replace(hello, capabilities=OPEN_CAPABILITIES, caller="")
    return await upstream.pool.link("legacy", key, hello)
