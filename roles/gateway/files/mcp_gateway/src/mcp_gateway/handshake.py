"""How a client begins and ends: `initialize`, `server/discover`, and the end of its session."""

from __future__ import annotations

import msgspec

from mcp_gateway import __version__, envelope, links
from mcp_gateway.call import Call
from mcp_gateway.classify import negotiate
from mcp_gateway.eras import META_SERVER, MODERN_VERSIONS
from mcp_gateway.gateway import Gateway
from mcp_gateway.refusal import Refusal
from mcp_gateway.sessions import Session
from mcp_gateway.upstreams.base import Hello, UpstreamError

SERVER_INFO = {"name": "intranet-mcp-gateway", "title": "MCP gateway", "version": __version__}
MAX_CAPABILITIES = 2048
MAX_INSTRUCTIONS = 32_000
ANYTHING = ("prompts", "resources", "completions", "logging")


async def initialize(gateway: Gateway, call: Call) -> tuple[str, msgspec.Raw]:
    """(session id, result) for a legacy client."""
    params = call.msg.params
    requested = envelope.text(params.get("protocolVersion"))
    if requested is None:
        raise Refusal(
            "envelope", 400, envelope.INVALID_PARAMS, "params.protocolVersion must be a string"
        )
    version = negotiate(requested)
    who = call.who
    hello = Hello(version, _client_info(params), _capabilities(params), who.id, who.person)
    _, draft = gateway.sessions.issue(
        call.who.id, call.route, version, hello.client, hello.capabilities
    )
    call.session = draft
    gateway.session_state.admit(call.who, draft.uid)
    if call.route:
        result = await _single(gateway, call, hello, draft)
    else:
        # From what is known, whatever the servers do now; sessions there begin when first used.
        result = envelope.raw(
            {
                "protocolVersion": version,
                "capabilities": aggregated_capabilities(gateway, call),
                "serverInfo": SERVER_INFO,
                "instructions": instructions(gateway, call),
            }
        )
    token, session = gateway.sessions.issue(
        draft.owner,
        draft.route,
        draft.version,
        draft.client,
        draft.capabilities,
        draft.upstream,
        uid=draft.uid,
    )
    call.session, call.session_token, call.version = session, token, session.version
    return token, result


async def _single(gateway: Gateway, call: Call, hello: Hello, draft: Session) -> msgspec.Raw:
    """One server's own answer, or one made from what it told the gateway."""
    upstream = gateway.upstreams[call.route]
    if not upstream.listing.fetched_at:
        await gateway.wait_until_read(call.route)
    info = upstream.listing.info
    if links.passes_through(upstream, call):
        link = await upstream.pool.link("legacy", draft.uid, hello)
        draft.upstream[upstream.name] = links.memo(link)
        draft.version = link.version
        return envelope.raw({**link.info, "capabilities": _own_capabilities(link.info)})
    if upstream.is_connection_bound and not upstream.settings.is_shared:
        info = (await upstream.pool.link("any", draft.uid, hello)).info  # a process of its own
    if not info:
        raise UpstreamError("unreachable", f"server {upstream.name} has not answered yet")
    result = {
        "protocolVersion": envelope.raw(draft.version),
        "capabilities": _own_capabilities(info),
        "serverInfo": _server_info(info),
    }
    if "instructions" in info:
        result["instructions"] = info["instructions"]
    return envelope.raw(result)


def discover(gateway: Gateway, call: Call) -> msgspec.Raw:
    """The modern description of all servers, or of one that is itself legacy."""
    if call.route:
        info = gateway.upstreams[call.route].listing.info
        if not info:
            raise UpstreamError("unreachable", f"server {call.route} has not answered yet")
        capabilities: object = _own_capabilities(info)
        server_info: object = _server_info(info)
        text = envelope.text(info.get("instructions"))
    else:
        capabilities = aggregated_capabilities(gateway, call)
        server_info = SERVER_INFO
        text = instructions(gateway, call)
    result: dict[str, object] = {
        "resultType": "complete",
        "supportedVersions": list(MODERN_VERSIONS),
        "capabilities": capabilities,
        "_meta": {META_SERVER: server_info},
        "ttlMs": 0,
        "cacheScope": "private",
    }
    if text:
        result["instructions"] = text
    return envelope.raw(result)


async def end_session(gateway: Gateway, call: Call) -> None:
    """End a legacy session: here, and at every upstream that has a session for it."""
    session = call.session
    assert session is not None
    for name in list(session.upstream):
        upstream = gateway.upstreams.get(name)
        if upstream is not None and links.passes_through(upstream, call):
            await links.choose(upstream, call)  # opened, so that it can be ended
    gateway.session_state.leave_servers(session.uid)
    gateway.bounds.session_ends(session.owner, session.uid)
    gateway.sessions.end(call.session_token, session.uid)


def _own_capabilities(info: envelope.Fields) -> envelope.Fields:
    """What one server says that it can do; clients refuse a capability that is not an object."""
    own = envelope.fields_of(info.get("capabilities"))
    return {name: raw for name, raw in own.items() if bytes(raw).lstrip()[:1] == b"{"}


def _server_info(info: envelope.Fields) -> msgspec.Raw:
    if "serverInfo" in info:
        return info["serverInfo"]
    meta = envelope.fields_of(info.get("_meta"))
    return meta.get(META_SERVER, envelope.raw(SERVER_INFO))


def aggregated_capabilities(gateway: Gateway, call: Call) -> dict[str, object]:
    """What at least one visible server can do; changed lists are always announced."""
    merged: dict[str, dict[str, object]] = {"tools": {"listChanged": True}}
    for upstream in gateway.access.view(call):
        # A server that was not read yet may offer anything: clients ask only once.
        names = upstream.listing.capabilities if upstream.refreshed.is_set() else ANYTHING
        for name in names:
            if name in ("prompts", "tools"):
                merged[name] = {"listChanged": True}
            elif name == "resources":
                merged[name] = {"listChanged": True, "subscribe": True}
            elif name in ("completions", "logging"):
                merged[name] = {}
            elif name == "tasks" and call.era == "legacy":
                merged[name] = _tasks(upstream.listing.capabilities[name])
    return dict(merged)


def _tasks(raw: msgspec.Raw) -> dict[str, object]:
    """What a server says of its tasks, as far as it is of the right shape."""
    tasks = envelope.fields_of(raw)
    merged: dict[str, object] = {k: {} for k in ("list", "cancel") if k in tasks}
    if "call" in envelope.fields_of(envelope.fields_of(tasks.get("requests")).get("tools")):
        merged["requests"] = {"tools": {"call": {}}}
    return merged


def instructions(gateway: Gateway, call: Call) -> str:
    """Every visible server's own instructions under its name; none takes the others' room."""
    texts = {}
    for upstream in gateway.access.view(call):
        text = envelope.text(upstream.listing.info.get("instructions"))
        if text:
            texts[upstream.name] = text.strip()
    share = MAX_INSTRUCTIONS // max(1, len(texts))
    parts = (f"# {n} (tools named {n}__*)\n{t}" for n, t in texts.items())
    return "\n\n".join(part[: share - 2] for part in parts)


def _client_info(params: envelope.Fields) -> bytes:
    """Name and version; the rest (icons, say) would only make every session id longer."""
    info = envelope.fields_of(params.get("clientInfo"))
    name = (envelope.text(info.get("name")) or "unknown")[:100]
    version = (envelope.text(info.get("version")) or "0")[:50]
    return envelope.encode({"name": name, "version": version})


def _capabilities(params: envelope.Fields) -> bytes:
    raw = params.get("capabilities", msgspec.Raw(b"{}"))
    if len(bytes(raw)) <= MAX_CAPABILITIES:
        return envelope.encode(envelope.fields_of(raw))
    # Only what decides which questions may be asked.
    known = ("sampling", "elicitation", "roots", "tasks")
    return envelope.encode({k: {} for k in envelope.fields_of(raw) if k in known})
