# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Tokens that nobody pastes (`oauth` and `exchange` of `per_user`): what may be declared. Pure.

With `oauth` people connect a server at the portal (RFC 6749, RFC 7636), and the gateway renews what
it hands out. With `exchange` the gateway exchanges the company's token of each caller (RFC 8693).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable

OAUTH, EXCHANGE = "oauth", "exchange"
BASIC, POST = "client_secret_basic", "client_secret_post"
# Names of the files in which containers have secrets.
EXCHANGE_SECRET = "exchange_client_secret"  # noqa: S105
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "revocation_endpoint")
_REQUIRED = ("client_id", "authorization_endpoint", "token_endpoint")
_OAUTH_KEYS = (*_REQUIRED, "client_secret", "token_endpoint_auth_method", _ENDPOINTS[2], "scopes")
_EXCHANGE_KEYS = ("audience", "resource", "scopes")
# What servers that decode ids and secrets (RFC 6749, 2.3.1) and others read the same.
_PLAIN = re.compile(r"[A-Za-z0-9._~-]+")
# A scope (RFC 6749, 3.3).
_SCOPE = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]{1,200}")
_TEXT = re.compile(r"[\x21-\x7E]{1,1000}")


def check(where: str, own: dict[str, Any]) -> None:
    """Raise for `oauth` or `exchange` that could not hold what they say. where: of `per_user`."""
    given = [key for key in (OAUTH, EXCHANGE) if key in own]
    if len(given) == 2:
        raise Unusable(f"{where} has oauth and exchange; expected one of them")
    for key in given:
        place, value = f"{where}.{key}", own[key]
        known = _OAUTH_KEYS if key == OAUTH else _EXCHANGE_KEYS
        if not isinstance(value, dict):
            raise Unusable(f"{place} is not a mapping; expected {', '.join(known)}")
        if unknown := sorted(set(value) - set(known), key=str):
            raise Unusable(f"{place} has {unknown[0]!r}; expected {', '.join(known)}")
        _check_scopes(f"{place}.scopes", value.get("scopes", []))
        _CHECKS[key](place, value)


def _check_oauth(where: str, oauth: dict[str, Any]) -> None:
    for key in _REQUIRED:
        if not oauth.get(key):
            raise Unusable(f"{where} has no {key}; expected {', '.join(_REQUIRED)} at least")
    for key in _ENDPOINTS:
        if key in oauth and not _is_https(oauth[key]):
            raise Unusable(f"{where}.{key} is {oauth[key]!r}; expected an https address")
    if "revocation_endpoint" in oauth and _origin(oauth["revocation_endpoint"]) != _origin(
        oauth["token_endpoint"]
    ):
        raise Unusable(
            f"{where}.revocation_endpoint is {oauth['revocation_endpoint']!r}, to which tokens are "
            "sent; expected an address on the host of token_endpoint"
        )
    if "openid" in oauth.get("scopes", []):
        raise Unusable(
            f"{where}.scopes has openid, and ID tokens are of no use here; expected others"
        )
    check_client(where, oauth)


def check_client(where: str, client: dict[str, Any]) -> None:
    """Raise for a client that token endpoints would not recognize. No secret is in the text."""
    name, secret = client.get("client_id"), client.get("client_secret")
    if not isinstance(name, str) or not _TEXT.fullmatch(name):
        raise Unusable(f"{where}.client_id is {name!r}; expected what the server calls the client")
    if secret is not None and (not isinstance(secret, str) or not _TEXT.fullmatch(secret)):
        raise Unusable(
            f"{where}.client_secret is no text of 1 to 1000 visible characters; expected the "
            "secret, from the secret lookup, or none for a public client"
        )
    method = client.get("token_endpoint_auth_method") or BASIC
    if method not in (BASIC, POST):
        raise Unusable(
            f"{where}.token_endpoint_auth_method is {method!r}; expected {BASIC} or {POST}"
        )
    if method == BASIC and not all(_PLAIN.fullmatch(text) for text in (name, secret or name)):
        raise Unusable(
            f"{where}: client_id or client_secret has characters that servers read in two ways; "
            f"expected token_endpoint_auth_method: {POST}"
        )


def _check_exchange(where: str, exchange: dict[str, Any]) -> None:
    given = [key for key in ("audience", "resource") if exchange.get(key)]
    if len(given) != 1:
        raise Unusable(
            f"{where} has {' and '.join(given) or 'neither'} of audience and resource; expected "
            "exactly one, as the provider calls the server"
        )
    value = exchange[given[0]]
    if not isinstance(value, str) or not _TEXT.fullmatch(value):
        raise Unusable(f"{where}.{given[0]} is {value!r}; expected text without blanks")


_CHECKS: dict[str, Callable[[str, dict[str, Any]], None]] = {
    OAUTH: _check_oauth,
    EXCHANGE: _check_exchange,
}


def _check_scopes(where: str, scopes: Any) -> None:
    if not isinstance(scopes, list):
        raise Unusable(f"{where} is {scopes!r}; expected a list, as in [repo, 'read:org']")
    for scope in scopes:
        if not isinstance(scope, str) or not _SCOPE.fullmatch(scope):
            raise Unusable(f"{where} has {scope!r}; expected names of scopes, without blanks")


def audience_part(own: dict[str, Any]) -> str:
    """Where a grant is renewed, and as whose: one that was given for something else is not sent."""
    oauth = own.get(OAUTH)
    return f" {OAUTH} {oauth['token_endpoint']} {oauth['client_id']}" if oauth else ""


def gateway_client(server: str, own: dict[str, Any], exchange: dict[str, Any]) -> dict[str, Any]:
    """What the gateway's `per_user` has besides the header. exchange: see `exchange_client`."""
    if OAUTH in own:
        kept = ("client_id", "token_endpoint", "token_endpoint_auth_method")
        oauth = {key: own[OAUTH][key] for key in kept if key in own[OAUTH]}
        if own[OAUTH].get("client_secret"):
            oauth["client_secret"] = {"file": f"/secrets/{_file(server)}"}
        return {OAUTH: oauth}
    return {EXCHANGE: {**exchange, **own[EXCHANGE]}} if EXCHANGE in own else {}


def exchange_client(oidc: dict[str, Any], ca_file: str, public_url: str) -> dict[str, Any]:
    """The gateway's client at the company's provider, as `exchange` of each server names it.

    oidc: platform_oidc. ca_file: where the gateway has its authority. public_url: of the gateway,
    where MCP clients sign people in.
    """
    client = oidc.get(EXCHANGE) or {}
    if not client:
        return {}
    kept = ("client_id", "token_endpoint_auth_method")
    return {
        "issuer": oidc["issuer"],
        **{key: client[key] for key in kept if client.get(key)},
        "client_secret": {"file": f"/secrets/{EXCHANGE_SECRET}"},
        **({"ca_file": ca_file} if oidc.get("ca_file") else {}),
        **({"sign_in_url": f"{public_url.rstrip('/')}/mcp"} if public_url else {}),
    }


def portal_clients(servers: dict[str, dict]) -> dict[str, dict]:
    """The portal's `credentials.oauth`: its client at each server that hands out tokens."""
    made = {}
    for name, oauth in _of(servers, OAUTH).items():
        made[name] = {key: value for key, value in oauth.items() if key != "client_secret"}
        if oauth.get("client_secret"):
            made[name]["client_secret_file"] = f"/secrets/{_file(name)}"
    return made


def client_secrets(servers: dict[str, dict]) -> dict[str, str]:
    """Secrets of clients, as secret files of portal and gateway."""
    found = _of(servers, OAUTH).items()
    return {_file(n): oauth["client_secret"] for n, oauth in found if oauth.get("client_secret")}


def exchange_secret(servers: dict[str, dict], oidc: dict[str, Any]) -> dict[str, str]:
    """The secret of the gateway's client at the provider, where it exchanges tokens."""
    return {EXCHANGE_SECRET: oidc[EXCHANGE]["client_secret"]} if exchanging(servers) else {}


def exchanging(servers: dict[str, dict]) -> list[str]:
    """Names of the servers for which the gateway exchanges tokens."""
    return sorted(_of(servers, EXCHANGE))


def _of(servers: dict[str, dict], key: str) -> dict[str, dict]:
    owns = {name: server.get("per_user", {}) for name, server in servers.items()}
    return {name: own[key] for name, own in owns.items() if key in own}


def _file(server: str) -> str:
    """No server's name has `_`."""
    return f"oauth-client_{server}"


def _is_https(url: Any) -> bool:
    try:
        parts = urlsplit(url) if isinstance(url, str) and _TEXT.fullmatch(url) else None
        return bool(parts and parts.scheme == "https" and parts.hostname and parts.port != 0)
    except ValueError:  # no address, or no port
        return False


def _origin(url: str) -> str:
    return urlsplit(url).netloc.lower()
