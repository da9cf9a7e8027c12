"""The small pages: health, readiness, metrics, the index, RFC 9728 metadata."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from prometheus_client import generate_latest

from mcp_gateway import __version__, envelope, page
from mcp_gateway.eras import LEGACY_VERSIONS, MODERN_VERSIONS
from mcp_gateway.identify import base_url
from mcp_gateway.outlet import Send
from mcp_gateway.refusal import Refusal

if TYPE_CHECKING:
    from mcp_gateway.gateway import Gateway

JSON = b"application/json"
METADATA = "/.well-known/oauth-protected-resource"
STATUS = {True: 200, False: 503}


async def serve(
    gateway: Gateway, scope: dict[str, Any], headers: dict[bytes, bytes], send: Send
) -> None:
    """Answer a GET (or HEAD) that is not about MCP messages."""
    path = scope["path"]
    status, body, kind, extra = 404, envelope.encode({"error": f"no {path[:100]} here"}), JSON, []
    if scope["method"] not in ("GET", "HEAD"):
        status, body = 405, envelope.encode({"error": "use GET"})
        extra = [(b"allow", b"GET, HEAD")]
    elif path == "/health":
        status, body = 200, b'{"status":"alive"}'
    elif path == "/ready":
        status, body = STATUS[gateway.is_ready], envelope.encode(readiness(gateway))
    elif path == "/metrics":
        refresh_gauges(gateway)
        status, body = 200, generate_latest(gateway.metrics.registry)
        kind = b"text/plain; version=0.0.4; charset=utf-8"
    else:
        try:
            gateway.admission.check(headers, scope["headers"])
        except Refusal as refusal:
            status, body = refusal.status, refusal.body()
        else:
            if path == "/" and b"text/html" in headers.get(b"accept", b""):
                base = base_url(gateway.config.listen.public_url, headers)
                status, body = 200, page.render(describe(gateway), base).encode()
                kind = b"text/html; charset=utf-8"
                extra = [(b"content-security-policy", page.CONTENT_SECURITY_POLICY.encode())]
            elif path == "/":
                status, body = 200, envelope.encode(describe(gateway))
            elif path == METADATA or path.startswith(METADATA + "/"):
                status, body = 200, envelope.encode(resource_metadata(gateway, headers, path))
    extra += [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    extra.append((b"x-content-type-options", b"nosniff"))
    await send({"type": "http.response.start", "status": status, "headers": extra})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def readiness(gateway: Gateway) -> dict[str, object]:
    """Why the gateway is, or is not, ready."""
    if gateway.is_draining:
        return {"status": "draining"}
    if gateway.missing:
        return {"status": "waiting", "required_servers_down": gateway.missing}
    return {"status": "ready"}


def describe(gateway: Gateway) -> dict[str, object]:
    """What `/` tells in JSON."""
    servers = {}
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
            "list_age_seconds": round(listing.age_seconds, 1),
            "endpoint": f"/servers/{name}/mcp",
        }
    return {
        "name": "intranet-mcp-gateway",
        "version": __version__,
        "status": readiness(gateway)["status"],
        "uptime_seconds": round(time.time() - gateway.started_at),
        "protocol_versions": [*MODERN_VERSIONS, *reversed(LEGACY_VERSIONS)],
        "endpoints": {"mcp": "/mcp", "sse": "/sse", "metrics": "/metrics"},
        "tools": sum(u.listing.count("tools") for u in gateway.upstreams.values()),
        "drifted_tools": [f"{server}/{tool}" for server, tool in gateway.fingerprints.drifted],
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
    issuers = [o.issuer for o in gateway.config.auth.oidc]
    scopes = sorted({s for o in gateway.config.auth.oidc for s in o.required_scopes})
    if issuers:
        metadata["authorization_servers"] = issuers
    if scopes:
        metadata["scopes_supported"] = scopes
    return metadata


def refresh_gauges(gateway: Gateway) -> None:
    """Gauges that are read rather than kept."""
    metrics = gateway.metrics
    metrics.sessions.set(gateway.session_count)
    for name, upstream in gateway.upstreams.items():
        metrics.upstream_up.labels(name).set(upstream.is_up)
        metrics.upstream_tools.labels(name).set(upstream.listing.count("tools"))
        metrics.upstream_list_age.labels(name).set(upstream.listing.age_seconds)
