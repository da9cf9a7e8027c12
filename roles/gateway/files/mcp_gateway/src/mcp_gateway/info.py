"""The small pages: health, readiness, metrics, the index, RFC 9728 metadata."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from prometheus_client import generate_latest

from mcp_gateway import __version__, envelope, faults, page
from mcp_gateway.address import METADATA
from mcp_gateway.eras import LEGACY_VERSIONS, MODERN_VERSIONS
from mcp_gateway.gateway import Gateway
from mcp_gateway.identify import Principal, base_url, bearer
from mcp_gateway.lists import policy_kind
from mcp_gateway.refusal import Refusal
from mcp_gateway.responsewriter import Send

NAME = "intranet-mcp-gateway"
JSON = b"application/json"
STATUS = {True: 200, False: 503}
# One address answers browsers and programs; no cache may take one for the other.
BY_ACCEPT = ((b"vary", b"Accept"), (b"cache-control", b"no-store"))


class Answer(NamedTuple):
    """What a page answers."""

    status: int
    body: bytes
    kind: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


async def serve(
    gateway: Gateway, scope: dict[str, Any], headers: dict[bytes, bytes], send: Send
) -> None:
    """Answer a GET (or HEAD) that is not about MCP messages."""
    try:
        answer = await _answer(gateway, scope, headers)
    except Refusal as refusal:
        gateway.recorder.refused(refusal.kind, gateway.proxies.client_of(scope, headers))
        extra = tuple((k.encode(), v.encode("latin-1")) for k, v in refusal.headers.items())
        answer = Answer(refusal.status, refusal.body(), headers=extra)
    head = [
        *answer.headers,
        (b"content-type", answer.kind),
        (b"content-length", str(len(answer.body)).encode()),
        (b"x-content-type-options", b"nosniff"),
    ]
    body = b"" if scope["method"] == "HEAD" else answer.body
    await send({"type": "http.response.start", "status": answer.status, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def _answer(gateway: Gateway, scope: dict[str, Any], headers: dict[bytes, bytes]) -> Answer:
    path = scope["path"]
    if scope["method"] not in ("GET", "HEAD"):
        allowed = ((b"allow", b"GET, HEAD"),)
        return Answer(405, envelope.encode({"error": "use GET"}), headers=allowed)
    if path == "/health":
        return Answer(200, b'{"status":"alive"}')
    if path == "/ready":
        return Answer(STATUS[gateway.is_ready], envelope.encode({"status": readiness(gateway)}))
    if path == "/metrics":
        return _metrics(gateway, headers)
    gateway.admission.check(headers, scope["headers"])
    if path == "/":
        return await _index(gateway, scope, headers)
    if path == METADATA or path.startswith(METADATA + "/"):
        return Answer(200, envelope.encode(resource_metadata(gateway, headers, path)))
    return Answer(404, envelope.encode({"error": f"no {path[:100]} here"}))


def _metrics(gateway: Gateway, headers: dict[bytes, bytes]) -> Answer:
    """For the monitoring alone: they name servers, and count what everybody does."""
    if not gateway.identification.is_monitoring(headers):
        raise Refusal(
            "unauthorized",
            401,
            envelope.REFUSED,
            "metrics are for the monitoring: send Authorization: Bearer and the key of "
            "auth.monitoring_key_file",
            headers={"www-authenticate": "Bearer"},
        )
    refresh_gauges(gateway)
    kind = b"text/plain; version=0.0.4; charset=utf-8"
    return Answer(200, generate_latest(gateway.metrics.registry), kind)


async def _index(gateway: Gateway, scope: dict[str, Any], headers: dict[bytes, bytes]) -> Answer:
    """For machines JSON, for people a page; without a key nothing that a key is needed for."""
    is_for_people = b"text/html" in headers.get(b"accept", b"")
    if is_for_people and gateway.config.listen.portal_url:
        return _to_portal(gateway.config.listen.portal_url)
    about: dict[str, Any] | None = None
    if gateway.identification.is_monitoring(headers):
        about = describe(gateway)
    elif bearer(headers) is not None:
        charged = gateway.proxies.charged(scope, gateway.proxies.client_of(scope, headers))
        who = await gateway.identification.identify(headers, "/", charged)
        about = as_seen_by(gateway, who)
    if not is_for_people:
        return Answer(200, envelope.encode(about or public(gateway)), headers=BY_ACCEPT)
    base = base_url(gateway.config.listen.public_url, headers)
    text = page.render(about, base) if about else page.render_public(base)
    policy = (b"content-security-policy", page.CONTENT_SECURITY_POLICY.encode())
    return Answer(200, text.encode(), b"text/html; charset=utf-8", (policy, *BY_ACCEPT))


def _to_portal(portal_url: str) -> Answer:
    """Send people to their own pages. A key is not looked at: nothing is told here."""
    place = (b"location", f"{portal_url.rstrip('/')}/".encode())
    return Answer(303, envelope.encode({"portal": portal_url}), headers=(place, *BY_ACCEPT))


def readiness(gateway: Gateway) -> str:
    """Whether the gateway is ready; which server it waits for is told at `/`."""
    if gateway.is_draining:
        return "draining"
    return "waiting" if gateway.servers.missing else "ready"


def public(gateway: Gateway) -> dict[str, Any]:
    """What `/` tells anybody."""
    return {"name": NAME, "status": readiness(gateway)}


def as_seen_by(gateway: Gateway, who: Principal) -> dict[str, Any]:
    """What `/` tells somebody with a key: servers they may use, without addresses and errors."""
    about = describe(gateway)
    servers = {
        name: {**server, "last_error": "", "faults": _faults_for(gateway, who, name)}
        for name, server in about["servers"].items()
        if gateway.access.sees(who, name)
    }
    drifted = [d for d in about["drifted_tools"] if d.partition("/")[0] in servers]
    tools = sum(server["tools"] for server in servers.values())
    down = [name for name in about["required_servers_down"] if name in servers]
    about |= {"servers": servers, "tools": tools, "drifted_tools": drifted}
    about["required_servers_down"] = down
    del about["last_reload_error"]
    return about


def _faults_for(gateway: Gateway, who: Principal, server: str) -> list[dict[str, str]]:
    """What is wrong with items that they may use, and with whole lists."""
    found = gateway.upstreams[server].listing.faults

    def may_know(kind: str, name: str) -> bool:
        return not name or gateway.access.allows(who, server, policy_kind(kind), name).allowed

    return faults.described([f for f in found if may_know(f.kind, f.name)])


def describe(gateway: Gateway) -> dict[str, Any]:
    """What `/` tells the monitoring, in JSON."""
    servers = {}
    prefix = gateway.path_prefix
    for name, upstream in gateway.upstreams.items():
        listing = upstream.listing
        servers[name] = {
            "state": "up" if upstream.is_up else "down",
            "breaker": upstream.breaker.state,
            "last_error": upstream.breaker.last_error if not upstream.is_up else "",
            "type": upstream.settings.type,
            "mode": "shared" if upstream.settings.is_shared else "per_session",
            "required": upstream.settings.required,
            "eras": sorted(upstream.eras),
            "tools": listing.count("tools"),
            "prompts": listing.count("prompts"),
            "resources": listing.count("resources"),
            "list_faults": len(listing.faults),
            "faults": faults.described(listing.faults),
            "list_age_seconds": round(listing.age_seconds, 1),
            "endpoint": f"{prefix}/servers/{name}/mcp",
        }
    return {
        "name": NAME,
        "version": __version__,
        "status": readiness(gateway),
        "uptime_seconds": round(time.time() - gateway.started_at),
        "protocol_versions": [*MODERN_VERSIONS, *reversed(LEGACY_VERSIONS)],
        "endpoints": {name: f"{prefix}/{name}" for name in ("mcp", "sse", "metrics")},
        "tools": sum(u.listing.count("tools") for u in gateway.upstreams.values()),
        "drifted_tools": [
            f"{server}/{tool}" for server, tool in gateway.servers.fingerprints.drifted
        ],
        "required_servers_down": gateway.servers.missing,
        "last_reload_error": gateway.last_reload_error,
        "servers": servers,
    }


def resource_metadata(
    gateway: Gateway, headers: dict[bytes, bytes], path: str
) -> dict[str, object]:
    """RFC 9728: where to get a token for this resource."""
    resource = path.removeprefix(METADATA) or "/mcp"
    metadata: dict[str, object] = {
        "resource": base_url(gateway.config.listen.public_url, headers) + resource,
        "resource_name": "MCP gateway",
        "bearer_methods_supported": ["header"],
    }
    announced = [o for o in gateway.config.auth.oidc if o.announced]
    issuers = [o.issuer for o in announced]
    scopes = sorted({s for o in announced for s in o.required_scopes})
    if issuers:
        metadata["authorization_servers"] = issuers
    if scopes:
        metadata["scopes_supported"] = scopes
    return metadata


def refresh_gauges(gateway: Gateway) -> None:
    """Gauges that are read rather than kept."""
    metrics = gateway.metrics
    metrics.sessions.set(len(gateway.session_state))
    metrics.list_faults.clear()
    for name, upstream in gateway.upstreams.items():
        metrics.upstream_up.labels(name).set(upstream.is_up)
        metrics.upstream_tools.labels(name).set(upstream.listing.count("tools"))
        for (kind, outcome), count in faults.counted(upstream.listing.faults).items():
            metrics.list_faults.labels(name, kind, outcome).set(count)
        metrics.upstream_list_age.labels(name).set(upstream.listing.age_seconds)
