# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Servers at which each person shows a credential of their own (`per_user`): what may be declared.

The portal stores such credentials, Redis has them encrypted, the gateway sends them. Those that
nobody pastes are in `upstream_tokens`.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding
from ansible_collections.intranet.mcp.plugins.plugin_utils.mcp import upstream_tokens

KEY = "per_user"
# As the gateway has them (mcp_gateway/ownheader.py); a test compares the two.
TAKEN = (
    *("accept", "accept-encoding", "baggage", "connection", "content-encoding", "content-length"),
    *("content-type", "cookie", "expect", "forwarded", "host", "keep-alive", "last-event-id", "te"),
    *("traceparent", "tracestate", "trailer", "transfer-encoding", "upgrade", "via", "x-real-ip"),
)
TAKEN_BEGINNINGS = ("mcp-", "proxy-", "sec-", "x-forwarded-")
_NAME = re.compile(r"[0-9A-Za-z!#$%&'*+.^_`|~-]{1,100}")
_PREFIX = re.compile(r"[\x20-\x7E]{0,100}")
# Addresses that an image is told to work at.
_ORIGIN = re.compile(r"https?://[^\s/'\"?#,;]+", re.IGNORECASE)
_EXAMPLE = "{header: Authorization, prefix: 'Bearer '}"


def servers_with(servers: dict) -> list[str]:
    """Names of the servers at which people show credentials of their own."""
    return sorted(name for name, server in servers.items() if KEY in server)


def stored_for(servers: dict) -> list[str]:
    """Names of those for which the portal stores something: what is exchanged is stored nowhere."""
    exchanged = upstream_tokens.exchanging(servers)
    return [name for name in servers_with(servers) if name not in exchanged]


def gateway_entry(name: str, server: dict, exchange: dict) -> dict[str, Any]:
    """The gateway's `per_user` of a server. exchange: see `upstream_tokens.exchange_client`."""
    own = server[KEY]
    return {
        "header": own["header"],
        "prefix": own.get("prefix", ""),
        "audience": audience_of(server),
        **upstream_tokens.gateway_client(name, own, exchange),
    }


def audiences(servers: dict) -> dict[str, str]:
    """What people's credentials are for, by the name of the server."""
    return {name: audience_of(servers[name]) for name in stored_for(servers)}


def audience_of(server: dict) -> str:
    """Where a credential goes: to an address, or an image and the addresses that it is told.

    One that was stored for something else is not sent. Another version changes nothing.
    """
    granted = upstream_tokens.audience_part(server.get(KEY, {}))
    if server.get("url"):
        return _origins(server["url"]) + granted
    repository = re.sub(r":[^/:]*$", "", server["image"].partition("@")[0])
    told = [*server.get("args", []), *server.get("command", []), *server.get("env", {}).values()]
    return f"{repository} {_origins(' '.join(map(str, told)))}".rstrip() + granted


def _origins(text: str) -> str:
    """The hosts in a text, sorted; without what stands before an @."""
    found = {origin.lower() for origin in _ORIGIN.findall(text)}
    return " ".join(sorted(re.sub(r"//[^@]*@", "//", origin) for origin in found))


def can_list(server: dict) -> bool:
    """Whether the gateway has something to show when it lists the server's tools for all."""
    if KEY not in server:
        return True
    own = server[KEY]["header"].lower()
    return any(header.lower() == own for header in server.get("headers", {}))


def check(where: str, entry: dict) -> None:
    """Raise for an entry in which `per_user` could not hold what it says."""
    if KEY not in entry:
        return
    if not entry.get("url") and not entry.get("http_path"):
        raise Unusable(
            f"{where} has {KEY} and speaks MCP on stdio: one process has one credential for all of "
            "its callers; expected url or http_path. Remove per_user, and use secrets"
        )
    if entry.get("url") and urlsplit(entry["url"]).scheme != "https":
        raise Unusable(
            f"{where}.url is {entry['url']!r} and people's own credentials would be readable on "
            f"their way; expected an https address, or no {KEY}"
        )
    if entry.get("mode", "per_session") != "per_session":
        raise Unusable(
            f"{where} has {KEY} and mode {entry['mode']}: people would share a session; expected "
            "per_session, or no mode"
        )
    if "call" in entry.get("expect", {}):
        raise Unusable(
            f"{where} has {KEY} and expect.call: verify has no credential of its own for it; "
            "expected expect.tools alone, or none"
        )
    _check_header(f"{where}.{KEY}", entry[KEY])
    upstream_tokens.check(f"{where}.{KEY}", entry[KEY])


def _check_header(where: str, own: dict[str, Any]) -> None:
    known = {"header", "prefix", upstream_tokens.OAUTH, upstream_tokens.EXCHANGE}
    unknown = sorted(set(own) - known, key=str)
    if unknown:
        raise Unusable(
            f"{where} has {unknown[0]!r}; expected header and prefix, as in {_EXAMPLE}, and oauth "
            "or exchange"
        )
    header, prefix = own.get("header"), own.get("prefix", "")
    if not isinstance(header, str) or not _NAME.fullmatch(header):
        raise Unusable(f"{where}.header is {header!r}; expected a header's name, as in {_EXAMPLE}")
    if header.lower() in TAKEN or header.lower().startswith(TAKEN_BEGINNINGS):
        raise Unusable(
            f"{where}.header is {header!r}, which has a meaning already; expected the header in "
            f"which the server takes its callers' credential, as in {_EXAMPLE}"
        )
    if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
        raise Unusable(
            f"{where}.prefix is {prefix!r}; expected at most 100 visible ASCII characters and "
            f"blanks, as in {_EXAMPLE}"
        )


def problems(servers: Any, has_portal: bool, has_redis: bool) -> list[Finding]:
    """What such servers lack in the inventory."""
    names = stored_for(servers) if isinstance(servers, dict) else []
    if not names:
        return []
    found = f"mcp_servers.{names[0]} has {KEY} and group"
    remove = f"remove {KEY} from {', '.join(names)}"
    lacking = []
    if not has_portal:
        lacking.append(
            Finding(
                "inventory",
                f"{found} portal has no host",
                "a portal, where people store their credentials",
                f"put a host into portal (docs/en/sign-on.md), or {remove}",
            )
        )
    if not has_redis:
        lacking.append(
            Finding(
                "inventory",
                f"{found} redis has no host",
                "a Redis, from which every gateway reads what the portal stored",
                f"put a host into redis, name the company's in platform_redis.host, or {remove}",
            )
        )
    return lacking


def exchange_problems(servers: Any, oidc: Any) -> list[Finding]:
    """What servers for which tokens are exchanged lack in `platform_oidc`."""
    if not isinstance(servers, dict) or not isinstance(oidc, dict):
        return []  # reported as a variable of the wrong type
    names, client = upstream_tokens.exchanging(servers), oidc.get(upstream_tokens.EXCHANGE) or {}
    missing = [key for key in ("client_id", "client_secret") if not client.get(key)]
    remove = f"remove exchange from {KEY} of {', '.join(names)}"
    if names and (missing or not oidc.get("issuer")):
        lacking = f"platform_oidc.exchange has no {missing[0]}" if missing else "it has no issuer"
        return [
            Finding(
                "inventory",
                f"mcp_servers.{names[0]} has {KEY}.exchange and {lacking}",
                "a client of the gateway's own at the provider, which may exchange tokens",
                "register one and name it in platform_oidc.exchange (docs/en/sign-on.md), or "
                f"{remove}",
            )
        ]
    if not client:
        return []
    if client.get("client_id") == oidc.get("client_id"):
        return [
            Finding(
                "inventory",
                "platform_oidc.exchange.client_id is that of platform_oidc",
                "a client of the gateway's own: the portal's secret protects people's sessions",
                "register another client at the provider for the gateway",
            )
        ]
    try:
        upstream_tokens.check_client("platform_oidc.exchange", client)
    except Unusable as error:
        found, _semicolon, expected = str(error).partition("; expected ")
        return [Finding("inventory", found, expected, "correct platform_oidc.exchange")]
    return []
