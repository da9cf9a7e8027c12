# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Grafana's sign-in at the company's provider: its options, and mistakes in `grafana_oidc`. Pure.

Grafana has no discovery of OpenID Connect. The provider's addresses are declared and not asked for
while a definition is made: `doctor` and `verify` need it also when the provider is away.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding
from ansible_collections.intranet.mcp.plugins.plugin_utils.people.sign_on import (
    SHOWN,
    is_https,
)

# Where Grafana begins a sign-in, and where the provider leads people back to.
LOGIN_PATH = "/login/generic_oauth"
# Those that it needs, then those that it does without.
ENDPOINTS = ("authorization_endpoint", "token_endpoint")
OPTIONAL_ENDPOINTS = ("userinfo_endpoint", "end_session_endpoint")
# What Grafana itself connects to; the others are for browsers.
CONTACTED = ("token_endpoint", "userinfo_endpoint")
CLAIMS = {"name": "preferred_username", "email": "email", "groups": "groups"}
CA_FILE, SECRET_FILE = "/config/oidc_ca.crt", "/secrets/oidc_client_secret"
HTTPS = 443
ADMIN, VIEWER = "Admin", "Viewer"
# What stands for itself in a name.
_PLAIN = frozenset(string.ascii_letters + string.digits + " _./:@-")
_PREFIX = "GF_AUTH_GENERIC_OAUTH_"


# Options that no inventory changes.
_FIXED = {
    "ENABLED": "true",
    "NAME": "company account",
    # The image puts the text into the variable; Grafana reads no $__file in one of OAuth's
    # (grafana/grafana#82328).
    "CLIENT_SECRET__FILE": SECRET_FILE,
    "USE_PKCE": "true",
    "USE_REFRESH_TOKEN": "false",
    "AUTO_LOGIN": "false",
    # Who has a role gets a user at the first sign-in; who has none is refused before that.
    "ALLOW_SIGN_UP": "true",
    "ROLE_ATTRIBUTE_STRICT": "true",
    "SKIP_ORG_ROLE_SYNC": "false",
    "ALLOW_ASSIGN_GRAFANA_ADMIN": "false",
}


def env(oidc: dict, client: dict, access: dict) -> dict[str, str]:
    """Return Grafana's options for the sign-in as variables; none where it has no client.

    oidc: platform_oidc. client: grafana_oidc. access: `admins` and `viewers` (groups), `scopes`,
    `url` (where people find Grafana) and `hours` (how long a sign-in lasts).
    """
    if not client:
        return {}
    claims = {**CLAIMS, **{name: said for name, said in (oidc.get("claims") or {}).items() if said}}
    own = {
        **_FIXED,
        "CLIENT_ID": client["client_id"],
        "SCOPES": " ".join(access["scopes"]),
        "AUTH_URL": client["authorization_endpoint"],
        "TOKEN_URL": client["token_endpoint"],
        "LOGIN_ATTRIBUTE_PATH": _quoted(claims["name"]),
        "EMAIL_ATTRIBUTE_PATH": _quoted(claims["email"]),
        "ROLE_ATTRIBUTE_PATH": role_path(claims["groups"], access["admins"], access["viewers"]),
    }
    if client.get("userinfo_endpoint"):
        own["API_URL"] = client["userinfo_endpoint"]
    if client.get("end_session_endpoint"):
        own["SIGNOUT_REDIRECT_URL"] = _sign_out(client, access["url"])
    if oidc.get("ca_file"):
        own["TLS_CLIENT_CA"] = CA_FILE
    return {
        **{_PREFIX + name: value for name, value in own.items()},
        # Nobody becomes another user by an address that they entered at the provider.
        "GF_AUTH_OAUTH_ALLOW_INSECURE_EMAIL_LOOKUP": "false",
        # Roles are read at the sign-in: it lasts as long as one at the portal.
        "GF_AUTH_LOGIN_MAXIMUM_LIFETIME_DURATION": f"{max(1, round(float(access['hours']) * 60))}m",
        "GF_SECURITY_COOKIE_SECURE": "true",
        # `strict` would keep the cookie of a sign-in from the way back.
        "GF_SECURITY_COOKIE_SAMESITE": "lax",
    }


def role_path(claim: str, admins: Iterable[str], viewers: Iterable[str]) -> str:
    """Return the expression (JMESPath) that tells the role of somebody's groups; else no text.

    A single group may come as text. `contains` would find a part of its name there.
    """
    roles = [
        f"[?{' || '.join(f'@ == `{_quoted(group)}`' for group in groups)}] && '{role}'"
        for role, groups in ((ADMIN, list(admins)), (VIEWER, list(viewers)))
        if groups
    ]
    return f"[{_quoted(claim)}][] | {' || '.join(roles)}"


def _quoted(text: str) -> str:
    """Return JSON in which everything that could have a meaning is an escape of its code.

    A quote, a backtick or a backslash of a name would end it, and Grafana expands `${NAME}` and
    `%(NAME)s` in its options.
    """
    return f'"{"".join(c if c in _PLAIN else _escapes(c) for c in text)}"'


def _escapes(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _sign_out(client: dict, url: str) -> str:
    """Where Grafana leads people who sign out; it adds the hint (id_token_hint) itself."""
    end = client["end_session_endpoint"]
    told = {
        "client_id": client["client_id"],
        "post_logout_redirect_uri": f"{url.rstrip('/')}/login",
    }
    return f"{end}{'&' if '?' in end else '?'}{urlencode(told)}"


def egress(client: dict) -> list[str]:
    """Return where Grafana connects to for sign-ins, as `egress` of the catalog takes it.

    Any address, as the provider's may change; but no other port.
    """
    if not isinstance(client, dict):
        return []  # reported as a variable of the wrong type
    urls = [str(client.get(name) or "") for name in CONTACTED]
    ports = [urlsplit(url).port or HTTPS for url in urls if is_https(url)]
    return [f"any:{port}" for port in dict.fromkeys(ports)]


def problems(oidc: Any, client: Any, site: dict) -> list[Finding]:
    """Return everything that is wrong, at once.

    site: `hosts` of the group grafana, `admins` and `viewers` (groups at the provider), and `url`,
    where people find Grafana.
    """
    if not isinstance(client, dict) or not isinstance(oidc, dict) or not site["hosts"]:
        return []  # reported as a variable of the wrong type, or nobody asks for it
    groups = [*site["admins"], *site["viewers"]]
    if not client:
        return [_problem(*NO_CLIENT)] if groups else []
    return [
        *_client_problems(oidc, client),
        *_endpoint_problems(client),
        *_group_problems(groups),
        *_url_problems(site["url"]),
    ]


NO_CLIENT = (
    "grafana_admin_groups or grafana_viewer_groups has a group, and grafana_oidc is empty",
    "grafana_oidc, without which nobody signs in by a group",
    f"register a client for Grafana at the provider, or remove the groups; {SHOWN}",
)


def _client_problems(oidc: dict, client: dict) -> Iterator[Finding]:
    if not oidc:
        yield _problem(
            "grafana_oidc is set, and platform_oidc is empty",
            "platform_oidc, which says whose claims and which authority to trust",
            f"set platform_oidc; {SHOWN}",
        )
    for name in ("client_id", "client_secret"):
        if not client.get(name):
            yield _problem(
                f"grafana_oidc has no {name}",
                "id and secret of Grafana's client at the provider",
                f"register a client for Grafana there; {SHOWN}",
            )
    if client.get("client_id") and client["client_id"] == oidc.get("client_id"):
        yield _problem(
            "grafana_oidc.client_id is that of platform_oidc",
            "a client of its own, since whoever has one's secret could use the other",
            f"register a second client at the provider; {SHOWN}",
        )


def _endpoint_problems(client: dict) -> Iterator[Finding]:
    for name in (*ENDPOINTS, *OPTIONAL_ENDPOINTS):
        url = str(client.get(name) or "")
        if (name in ENDPOINTS or url) and (not is_https(url) or "#" in url):
            yield _problem(
                f"grafana_oidc.{name} is {url!r}",
                f"the https address that the provider's /.well-known/openid-configuration has as "
                f"{name}",
                "correct it",
            )


def _group_problems(groups: list) -> Iterator[Finding]:
    if not groups:
        yield _problem(
            "grafana_oidc is set, and grafana_admin_groups and grafana_viewer_groups are empty",
            "at least one group, since nobody else gets in",
            "name groups of the provider in grafana_admin_groups or grafana_viewer_groups",
        )
    elif not all(isinstance(group, str) and group.strip() for group in groups):
        yield _problem(
            "grafana_admin_groups or grafana_viewer_groups has an empty name",
            "groups as the provider calls them",
            "remove it",
        )


def _url_problems(url: str) -> Iterator[Finding]:
    if not is_https(url) or set("?#") & set(url):
        yield _problem(
            f"people would find Grafana at {url!r}, to which the provider has to lead them back",
            "an https address",
            "set platform_monitoring_networks for its page on the load balancer, or "
            "grafana_root_url, where a proxy of yours stands in front",
        )


def _problem(found: str, expected: str, action: str) -> Finding:
    return Finding("inventory", found, expected, action)
