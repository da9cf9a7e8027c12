# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""HAProxy's sections for the monitoring's pages. Pure."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils.balancer.haproxy_parts import (
    health_check,
    server,
)
from ansible_collections.intranet.mcp.plugins.module_utils.balancer.pages import (
    REALM,
    USER,
    hidden,
)
from ansible_collections.intranet.mcp.plugins.module_utils.balancer.pools import CERTIFICATE

# Wrong passwords and other refusals of one address in a minute, above which it is sent away.
REFUSALS = 60


def sections(settings: dict, common: list[str]) -> list[list[str]]:
    """A frontend, and a backend for each page; none where there is no page.

    common: what holds for every frontend of people.
    """
    pages = settings.get("pages", {})
    if not pages.get("served"):
        return []
    return [_frontend(settings, common, pages), *map(_backend, pages["served"])]


def _frontend(settings: dict, common: list[str], pages: dict) -> list[str]:
    served = pages["served"]
    never = [path for page in served for path in hidden(page)]
    own = [page["path"] for page in served if page["has_login"]]
    return [
        "frontend pages",
        f"bind :{settings['ports']['pages']} ssl crt {CERTIFICATE} alpn h2,http/1.1",
        "stick-table type ipv6 size 10k expire 1m store http_err_rate(1m)",
        "http-request track-sc0 src",
        f"http-request deny deny_status 429 if {{ sc_http_err_rate(0) gt {REFUSALS} }}",
        *common,
        f"acl is_user http_auth_user -m str {USER}",
        f"acl has_password http_auth_pass,sha2(256),hex,lower -m str {pages['login']['sha256']}",
        *_below("has_own_login", own),
        f"http-request auth realm {REALM} unless is_user has_password"
        + (" || has_own_login" if own else ""),
        # The page itself asks for none, and would take it for one of its own.
        "http-request del-header Authorization" + (" unless has_own_login" if own else ""),
        *_below("is_hidden", never),
        *(["http-request deny deny_status 404 if is_hidden"] if never else []),
        *[
            line
            for page in served
            for line in (
                *_below(f"is_{page['service']}", [page["path"]]),
                f"use_backend page_{page['service']} if is_{page['service']}",
            )
        ],
        "http-request deny deny_status 404 unless "
        + " || ".join(f"is_{page['service']}" for page in served),
    ]


def _below(name: str, paths: list[str]) -> list[str]:
    if not paths:
        return []
    return [
        f"acl {name} path {' '.join(paths)}",
        f"acl {name} path_beg {' '.join(f'{path}/' for path in paths)}",
    ]


def _backend(page: dict) -> list[str]:
    return [
        f"backend page_{page['service']}",
        f"http-request replace-path ^{page['path']}/?(.*) /\\1",
        *health_check(page["health"]),
        server("page", page),
    ]
