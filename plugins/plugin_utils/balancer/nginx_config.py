# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What an nginx that a company has already needs to stand in front of the replicas. Pure.

A file for its `conf.d`, with the same routes as the platform's own load balancer. nginx, without
its paid parts, asks no replica whether it is ready: it notices a dead one when it cannot connect.
"""

from __future__ import annotations

import re

from ansible_collections.intranet.mcp.plugins.module_utils.balancer.entry_paths import (
    GATEWAY_PATHS,
    HEALTH_PATHS,
    HIDDEN_PATH,
    REFUSED_PATH,
    model_paths,
    operator_networks,
    portal_paths,
)
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable

PREFIX = "intranet_mcp"
HEAD = """\
# In front of the intranet.mcp platform; belongs into the http block (conf.d). Written by
# playbooks/nginx.yml: run it again when replicas came or went, and reload nginx.
"""


def render(pools: list[dict], settings: dict) -> str:
    """The file.

    pools: {service, servers: [{address}]}. settings: name (server_name), certificate and key (files
    on nginx's host, empty for plain HTTP), timeout_seconds, connect_seconds, body_mb, and perhaps
    paths, operators and hsts_seconds as for HAProxy.
    """
    upstreams = {pool["service"]: pool["servers"] for pool in pools}
    if missing := sorted({"litellm", "gateway"} - set(upstreams)):
        raise Unusable(
            f"found no host of {' and '.join(missing)} for nginx to stand in front of; expected at "
            "least one: put a host into that group"
        )
    if bool(settings["certificate"]) != bool(settings["key"]):
        raise Unusable(
            "found one of load_balancer_nginx_certificate and load_balancer_nginx_key; expected "
            "both, or none for plain HTTP: set the other"
        )
    if not re.fullmatch(r"[A-Za-z0-9.*_:-]+", settings["name"]):
        raise Unusable(
            f"found the name {settings['name']!r} for nginx to answer to; expected one like "
            "llm.example.internal: correct platform_public_name"
        )
    blocks = [_upstream(name, servers) for name, servers in sorted(upstreams.items())]
    blocks += [_connection(), *_refused(), _log()]
    blocks += [_redirect(settings)] if settings["certificate"] else []
    return HEAD + "\n".join([*map(_text, blocks), _text(_server(settings, "portal" in upstreams))])


def _text(block) -> str:
    """A title and its lines, which may be blocks themselves."""
    return "\n".join(_lines(block)) + "\n"


def _lines(block, indent: str = "") -> list[str]:
    if isinstance(block, str):
        return [f"{indent}{block}" if block.startswith("#") else f"{indent}{block};"]
    title, *body = block
    inner = [line for part in body for line in _lines(part, indent + "    ")]
    return [f"{indent}{title} {{", *inner, f"{indent}}}"]


def _upstream(name: str, servers: list[dict]) -> list:
    # A replica that was not reachable is left alone for a while.
    listed = [f"server {server['address']} max_fails=1 fail_timeout=5s" for server in servers]
    return [f"upstream {PREFIX}_{name}", "least_conn", *listed]


def _connection() -> list:
    # One connection a request: nginx would send a call on a kept one that the replica is closing
    # just then, and may not repeat it.
    return [f"map $http_upgrade ${PREFIX}_connection", "default upgrade", '"" close']


def _refused() -> list[list]:
    # What was sent: nginx itself compares paths that it has decoded.
    sent, refused = f"${PREFIX}_path", f"${PREFIX}_refused"
    return [
        [f"map $request_uri {sent}", f'"~^(?<{PREFIX}_sent>[^?]*)" ${PREFIX}_sent'],
        [f"map {sent} {refused}", "default 0", f'"~{REFUSED_PATH}" 1'],
    ]


def _log() -> str:
    # The path without its query, where some clients put their key.
    return (
        f'log_format {PREFIX} \'$remote_addr [$time_iso8601] "$request_method $uri" $status '
        "$body_bytes_sent ${request_time}s $upstream_addr'"
    )


def _access_log() -> str:
    return f"access_log /var/log/nginx/{PREFIX}.log {PREFIX}"


def _redirect(settings: dict) -> list:
    return [
        "server",
        "listen 80",
        f"server_name {settings['name']}",
        _access_log(),
        # 308 keeps method and body.
        "return 308 https://$host$request_uri",
    ]


def _server(settings: dict, has_portal: bool) -> list:
    wait = settings["timeout_seconds"]
    return [
        "server",
        *_listen(settings),
        f"server_name {settings['name']}",
        _access_log(),
        *_hsts(settings),
        f"client_max_body_size {settings['body_mb']}m",
        "# Streams: nothing is held back, nothing is compressed, silence is no error for so long.",
        "proxy_http_version 1.1",
        "proxy_buffering off",
        "gzip off",
        f"proxy_read_timeout {wait}s",
        f"proxy_send_timeout {wait}s",
        f"send_timeout {wait}s",
        "# A replica that cannot be connected to: the next one. What was sent is not sent again,",
        "# because calls of tools must not happen twice (no non_idempotent here).",
        f"proxy_connect_timeout {settings['connect_seconds']}s",
        "proxy_next_upstream error timeout",
        "proxy_next_upstream_tries 3",
        "proxy_next_upstream_timeout 10s",
        "# What a client claims of itself in these headers is not true.",
        "proxy_set_header Host $http_host",
        "proxy_set_header X-Real-IP $remote_addr",
        "proxy_set_header X-Forwarded-For $remote_addr",
        "proxy_set_header X-Forwarded-Proto $scheme",
        "proxy_set_header X-Forwarded-Host $http_host",
        "proxy_set_header Upgrade $http_upgrade",
        f"proxy_set_header Connection ${PREFIX}_connection",
        [f"if (${PREFIX}_refused)", "return 400"],
        *_locations(settings, has_portal),
    ]


def _hsts(settings: dict) -> list[str]:
    seconds = settings.get("hsts_seconds", 0) if settings["certificate"] else 0
    header = f'Strict-Transport-Security "max-age={seconds}"'
    return [f"add_header {header} always"] if seconds else []


def _listen(settings: dict) -> list[str]:
    if not settings["certificate"]:
        return ["listen 80"]
    return [
        "listen 443 ssl",
        f"ssl_certificate {settings['certificate']}",
        f"ssl_certificate_key {settings['key']}",
        "ssl_protocols TLSv1.2 TLSv1.3",
    ]


def _locations(settings: dict, has_portal: bool) -> list[list]:
    matches = {"path": "= ", "path_beg": "^~ "}
    gateway = [
        [f"location {matches[match]}{path}", f"proxy_pass http://{PREFIX}_gateway"]
        for match, paths in (*GATEWAY_PATHS, ("path", " ".join(HEALTH_PATHS)))
        for path in paths.split()
    ]
    portal = [
        [f"location {matches[match]}{path}", f"proxy_pass http://{PREFIX}_portal"]
        for match, path in (portal_paths(settings) if has_portal else ())
    ]
    hidden = [
        [f"location {where}", "return 404"] for where in (f"= {HIDDEN_PATH}", f"^~ {HIDDEN_PATH}/")
    ]
    models = "|".join(path.replace(".", "[.]") for path in model_paths(settings))
    to_litellm = f"proxy_pass http://{PREFIX}_litellm"
    operators = [f"allow {network}" for network in operator_networks(settings)]
    return [
        *hidden,
        *gateway,
        *portal,
        [f'location ~ "^(?:{models})(?:/|$)"', to_litellm],
        ["location /", "# For operators.", *operators, "deny all", to_litellm],
    ]
