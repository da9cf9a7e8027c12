"""What a request looks like at its server: names, era, headers. No I/O."""

from __future__ import annotations

from mcp_gateway import envelope, links, translate
from mcp_gateway.call import Call
from mcp_gateway.gateway import Gateway
from mcp_gateway.headervalue import header_value
from mcp_gateway.route import Target
from mcp_gateway.upstream import Upstream
from mcp_gateway.upstreams.base import Link, Outbound, next_id
from mcp_gateway.upstreams.streamable import CALLER_HEADER

# The only headers of a caller that a server gets to see (and Mcp-Param-* in the modern era).
PASSED_HEADERS = (b"traceparent", b"tracestate", b"baggage")


def build(
    gateway: Gateway,
    call: Call,
    target: Target,
    upstream: Upstream,
    link: Link,
    params: envelope.Fields,
) -> Outbound:
    """The request as the link's era wants it."""
    headers = [
        (name.decode(), call.headers[name].decode("latin-1"))
        for name in PASSED_HEADERS
        if name in call.headers
    ]
    if upstream.settings.caller_header and link.era == "modern":
        headers.append((CALLER_HEADER, call.who.id))  # a legacy link says so itself
    if call.era == "legacy" and link.era == "modern":
        level = gateway.session_state.log_levels.get(call.session.uid) if call.session else None
        params = translate.params_to_modern(params, links.hello_of(call), level)
        headers += _param_headers(gateway, call, target, params)
    elif call.era == "modern" and link.era == "legacy":
        params = translate.params_to_legacy(params)
    elif call.era == "modern":
        headers += [
            (name.decode(), value.decode("latin-1"))
            for name, value in call.headers.items()
            if name.startswith(b"mcp-param-")
        ]
    has_params = bool(params) or "params" in call.msg.fields
    return Outbound(
        next_id() if link.rewrites_ids else call.id,
        call.method,
        params if has_params else None,
        headers,
        None if call.method == "subscriptions/listen" else upstream.timeout,
    )


def _param_headers(
    gateway: Gateway, call: Call, target: Target, params: envelope.Fields
) -> list[tuple[str, str]]:
    """Headers that a modern server expects for arguments its schema marks."""
    if call.method != "tools/call":
        return []
    mapping = gateway.servers.param_header_map(target.server, target.name)
    if not mapping:
        return []
    arguments = envelope.decode_any(params.get("arguments", b"{}"))
    return [(n, header_value(v)) for n, v in translate.param_headers(mapping, arguments)]
