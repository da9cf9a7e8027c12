# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""HAProxy's configuration as text, from the pools the topology names. Pure.

One frontend for people (with TLS or without), a plain one for the platform's own hosts, both with
the same routes: MCP goes to the gateway, everything else to LiteLLM. People have the paths they
need; the platform's own hosts, and operators, have every one.
"""

from __future__ import annotations

import json

from ansible_collections.intranet.mcp.plugins.module_utils.balancer.entry_paths import (
    GATEWAY_PATHS,
    HEALTH_PATHS,
    HIDDEN_PATH,
    REFUSED_PATH,
    model_paths,
    operator_networks,
    portal_paths,
)
from ansible_collections.intranet.mcp.plugins.module_utils.balancer.haproxy_pages import (
    sections as page_sections,
)
from ansible_collections.intranet.mcp.plugins.module_utils.balancer.haproxy_parts import (
    health_check,
    server,
)
from ansible_collections.intranet.mcp.plugins.module_utils.balancer.pools import (
    ALIVE,
    CERTIFICATE,
    HEAD,
    pools_by_service,
    server_name,
)

RUN_DIR = "/run/haproxy"

# HAProxy reads 64 words of a line.
WORDS = 40
# Conditions that open a path to people whatever service it leads to.
OPEN = ("acl is_health ", "acl is_mcp ", "acl is_portal ")
FORBIDDEN = {
    "error": {
        "message": "this path is served to operators only (platform_operators_networks)",
        "type": "forbidden",
        "code": "403",
    }
}


def render(pools: list[dict], settings: dict) -> str:
    """The file.

    pools: {service, ready, alive, servers: [{name, address, is_name}]}; ready and alive are paths.
    settings: tls, public_port (for redirects), ports (inside the container: public, redirect,
    inside, metrics), timeout_seconds, connect_seconds, check_seconds, max_connections, and perhaps
    paths (of LiteLLM, what else is open to people), operators (networks to which all of it is),
    has_registration, hsts_seconds, acme_thumbprint (of the account whose certificates an ACME
    server checks over plain HTTP), pages: served (what `topology.pages` returns) and their login;
    with port pages.
    """
    named = [*(s for pool in pools for s in pool["servers"]), *_pages(settings)]
    by_service = pools_by_service(pools)
    routes = _routes(sorted(by_service), settings)
    sections = [
        _global(settings),
        _defaults(settings),
        _resolvers() if any(found["is_name"] for found in named) else [],
        _public(settings, routes),
        _redirect(settings) if settings["tls"] else [],
        _inside(settings, routes),
        _metrics(settings),
        *page_sections(settings, _of_people(settings, "https")),
        *[
            _backend(pool["service"] + suffix, pool[path], pool["servers"])
            for _name, pool in sorted(by_service.items())
            for suffix, path in (("", "ready"), (ALIVE, "alive"))
        ],
    ]
    return HEAD + "\n".join(_section(lines) for lines in sections if lines)


def _pages(settings: dict) -> list[dict]:
    return settings.get("pages", {}).get("served", [])


def _section(lines: list[str]) -> str:
    title, *body = lines
    return "".join([f"{title}\n", *[f"    {line}\n" for line in body]])


def _global(settings: dict) -> list[str]:
    return [
        "global",
        "log stdout format raw local0 info",
        f"maxconn {settings['max_connections']}",
        f"stats socket {RUN_DIR}/admin.sock mode 600 level admin",
        # What the old process knew of its servers: a reload neither returns a drained one nor
        # sends requests to one that is down.
        f"server-state-file {RUN_DIR}/state",
        # After a reload the old process stays as long as a call may last, and no longer.
        f"hard-stop-after {settings['timeout_seconds']}s",
        "ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets",
        "ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
        "TLS_CHACHA20_POLY1305_SHA256",
        "ssl-default-bind-ciphers ECDHE+AESGCM:ECDHE+CHACHA20",
    ]


def _defaults(settings: dict) -> list[str]:
    wait = settings["timeout_seconds"]
    return [
        "defaults",
        "mode http",
        "log global",
        # The path without its query, where some clients put their key.
        'log-format "%ci [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %tsc %ac/%bc/%sc/%rc %HM %HPO"',
        "option dontlognull",
        # After a reload an idle connection takes one more request, and ends with its answer: closed
        # at once, it would take what a client sends in that moment with it.
        "option idle-close-on-response",
        # A request is repeated elsewhere only when no byte of it reached a server: calls of tools
        # must not happen twice.
        "retries 3",
        "retry-on conn-failure",
        "option redispatch 1",
        "http-reuse safe",
        f"timeout connect {settings['connect_seconds']}s",
        f"timeout check {settings['connect_seconds'] + settings['check_seconds']}s",
        "timeout queue 10s",
        "timeout http-request 15s",
        "timeout http-keep-alive 60s",
        # Silence on a stream, either way. The gateway and LiteLLM have the same bound.
        f"timeout client {wait}s",
        f"timeout server {wait}s",
        f"timeout tunnel {wait}s",
        "load-server-state-from-file global",
        f"default-server check inter {settings['check_seconds']}s fall 2 rise 2",
    ]


def _resolvers() -> list[str]:
    return ["resolvers engine", "nameserver engine 127.0.0.11:53", "hold valid 1s", "hold nx 1s"]


def _public(settings: dict, routes: list[str]) -> list[str]:
    tls = f" ssl crt {CERTIFICATE} alpn h2,http/1.1" if settings["tls"] else ""
    scheme = "https" if settings["tls"] else "http"
    return [
        "frontend public",
        f"bind :{settings['ports']['public']}{tls}",
        *_of_people(settings, scheme),
        f"http-request deny deny_status 404 if {{ path {HIDDEN_PATH} }} "
        f"|| {{ path_beg {HIDDEN_PATH}/ }}",
        *_open_paths(settings, routes),
    ]


def _of_people(settings: dict, scheme: str) -> list[str]:
    return [
        # What a client claims of itself in these headers is not true.
        "http-request del-header X-Forwarded-For",
        "option forwardfor",
        f"http-request set-header X-Forwarded-Proto {scheme}",
        *_hsts(settings),
        f"http-request deny deny_status 400 if {{ path -m reg '{REFUSED_PATH}' }}",
        # Another protocol would pass by all that is checked here.
        "http-request del-header Upgrade unless { req.hdr(Upgrade) -m str -i websocket }",
        "http-request del-header HTTP2-Settings",
    ]


def _hsts(settings: dict) -> list[str]:
    seconds = settings.get("hsts_seconds", 0) if settings["tls"] else 0
    header = f'Strict-Transport-Security "max-age={seconds}"'
    return [f"http-after-response set-header {header}"] if seconds else []


def _open_paths(settings: dict, routes: list[str]) -> list[str]:
    """The routes, behind a list of what is open to people."""
    paths = model_paths(settings)
    acls = [
        *_acl("is_model", "path", paths),
        *_acl("is_model", "path_beg", [f"{path}/" for path in paths]),
        *_acl("is_operator", "src", operator_networks(settings)),
    ]
    acls += [line for line in routes if line.startswith(OPEN)]
    names = dict.fromkeys(line.split()[1] for line in acls)
    return [
        *acls,
        f"http-request return status 403 content-type application/json string "
        f"'{json.dumps(FORBIDDEN)}' if {' '.join(f'!{name}' for name in names)}",
        *[line for line in routes if line not in acls],
    ]


def _acl(name: str, match: str, values: list[str]) -> list[str]:
    """Lines that are one condition together."""
    parts = [values[at : at + WORDS] for at in range(0, len(values), WORDS)]
    return [f"acl {name} {match} {' '.join(part)}" for part in parts]


def _redirect(settings: dict) -> list[str]:
    port = settings["public_port"]
    where = "%[req.hdr(host),regsub(:[0-9]+$,)]" + ("" if port == 443 else f":{port}")
    return [
        "frontend redirect",
        f"bind :{settings['ports']['redirect']}",
        *_acme(settings.get("acme_thumbprint")),
        # 308 keeps method and body.
        f"http-request redirect location https://{where}%[capture.req.uri] code 308",
    ]


def _acme(thumbprint: str | None) -> list[str]:
    """The answer to an ACME server (RFC 8555, 8.3): its token and the account's thumbprint."""
    if not thumbprint:
        return []
    return [
        f'http-request return status 200 content-type text/plain lf-string "%[path,field(4,/)].'
        f'{thumbprint}" if {{ path_reg ^/[.]well-known/acme-challenge/[A-Za-z0-9_-]+$ }}',
    ]


def _inside(settings: dict, routes: list[str]) -> list[str]:
    return ["frontend inside", f"bind :{settings['ports']['inside']}", *routes]


def _metrics(settings: dict) -> list[str]:
    return [
        "frontend metrics",
        f"bind :{settings['ports']['metrics']}",
        "option dontlog-normal",
        "monitor-uri /alive",
        "http-request use-service prometheus-exporter if { path /metrics }",
        "http-request return status 404",
    ]


def _routes(services: list[str], settings: dict) -> list[str]:
    lines = [f"acl is_health path {' '.join(HEALTH_PATHS)}"]
    # Nobody's tools or models wait for the page.
    for name in [name for name in services if name != "portal"]:
        lines += [
            f"acl no_{name} nbsrv({name}) lt 1",
            f"acl dead_{name} nbsrv({name}{ALIVE}) lt 1",
            _health(503, "down", name, f"no_{name} dead_{name}"),
            _health(200, "degraded", name, f"no_{name}"),
        ]
    lines.append(_health(200, "up"))
    if "gateway" in services:
        lines += [f"acl is_mcp {match} {paths}" for match, paths in GATEWAY_PATHS]
        lines += [
            f"use_backend gateway{ALIVE} if is_mcp no_gateway",
            "use_backend gateway if is_mcp",
        ]
    if "portal" in services:
        lines += [f"acl is_portal {match} {paths}" for match, paths in portal_paths(settings)]
        lines.append("use_backend portal if is_portal")
    return [*lines, f"use_backend litellm{ALIVE} if no_litellm", "default_backend litellm"]


def _health(code: int, status: str, service: str = "", condition: str = "") -> str:
    body = {"status": status, **({"service": service} if service else {})}
    return (
        f"http-request return status {code} content-type application/json "
        f"string '{json.dumps(body)}' if is_health {condition}".rstrip()
    )


def _backend(name: str, path: str, servers: list[dict]) -> list[str]:
    return [
        f"backend {name}",
        "balance leastconn",
        *health_check(path),
        *[server(server_name(found["name"]), found) for found in servers],
    ]
