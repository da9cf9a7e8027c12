# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Sign-on at the company: mistakes in `platform_oidc`, and what services get of it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding

# The gateway's options of the same meaning.
CLAIMS = {"name": "alias_claim", "groups": "groups_claim"}
# Where MCP clients register themselves.
PROVIDER, PORTAL = "provider", "portal"
# The portal's own shape of an address to which a program may have people led.
REDIRECT_URI = re.compile(
    r"https://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[1-9][0-9]{0,4})?(/[A-Za-z0-9._~/-]*)?"
)
SHOWN = "docs/en/sign-on.md shows it"


def problems(oidc: Any, site: dict) -> list[Finding]:
    """Return everything that is wrong, at once.

    site: `teams` (names), `portals` and `redis` (hosts of these groups), `portal_url`, where
    people find the portal, and `gateway_url`, where they find the gateway.
    """
    if not isinstance(oidc, dict):
        return []  # reported as a variable of the wrong type
    if not oidc and not site["portals"]:
        return []
    found = [*_provider_problems(oidc), *_table_problems(oidc.get("teams"), site["teams"])]
    found += _registration_problems(oidc, site)
    return [*found, *_portal_problems(oidc, site)] if site["portals"] else found


def _provider_problems(oidc: dict) -> Iterator[Finding]:
    issuer = str(oidc.get("issuer") or "")
    if not is_https(issuer) or set("?#") & set(issuer):
        yield _problem(
            f"platform_oidc.issuer is {issuer!r}",
            "the https address that the provider calls itself (`issuer` of its "
            "/.well-known/openid-configuration)",
            "correct it",
        )
    if not oidc.get("client_id"):
        yield _problem(
            "platform_oidc has no client_id",
            "the id of this platform's client at the provider",
            f"register a client there; {SHOWN}",
        )


def _table_problems(rows: Any, teams: Iterable[str]) -> Iterator[Finding]:
    if not isinstance(rows, list) or not rows:
        yield _problem(
            "platform_oidc.teams has no row",
            "at least one of group and team, since nobody works in a team otherwise",
            f"write the table of groups and teams; {SHOWN}",
        )
        return
    known = set(teams)
    for row in rows:
        team = row.get("team") if isinstance(row, dict) else None
        if team is not None and team not in known:
            yield _problem(
                f"platform_oidc.teams names the unknown team {team}",
                f"teams that are declared ({', '.join(sorted(known)) or 'none'})",
                "declare it in teams, or correct the name",
            )


def _portal_problems(oidc: dict, site: dict) -> Iterator[Finding]:
    if not oidc.get("client_secret"):
        yield _problem(
            "group portal has a host and platform_oidc no client_secret",
            "the secret of the client",
            "put it into the secrets directory and name it with the secret lookup",
        )
    url = str(site["portal_url"])
    if not is_https(url) or urlsplit(url).path.strip("/"):
        yield _problem(
            f"people would find the portal at {url!r}",
            "an https address without a path, since a session must not be read on its way",
            "put a host into load_balancer and leave platform_balancer_tls on, or set "
            "portal_public_url to a proxy of yours",
        )
    if len(site["portals"]) > 1 and not site["redis"]:
        yield _problem(
            f"group portal has {len(site['portals'])} hosts and group redis none",
            "a Redis, where replicas keep sessions in common",
            "put a host into redis, or leave one in portal",
        )


def _registration_problems(oidc: dict, site: dict) -> Iterator[Finding]:
    where = oidc.get("registration") or PROVIDER
    uris = oidc.get("redirect_uris") or []
    if where not in (PROVIDER, PORTAL):
        yield _problem(
            f"platform_oidc.registration is {where!r}",
            f"{PROVIDER} or {PORTAL}, where MCP clients register themselves",
            "correct it",
        )
    elif where == PROVIDER and uris:
        yield _problem(
            "platform_oidc has redirect_uris, and clients register at the company's provider",
            f"registration: {PORTAL}, which they are for",
            "set it, or remove redirect_uris",
        )
    elif where == PORTAL:
        yield from _portal_registration_problems(uris, site)


def _portal_registration_problems(uris: Any, site: dict) -> Iterator[Finding]:
    if not site["portals"]:
        yield _problem(
            "platform_oidc.registration is portal and group portal has no host",
            "a portal, at which MCP clients register",
            "put a host into portal, or leave registration out",
        )
    if not site.get("gateway_url"):
        yield _problem(
            "platform_oidc.registration is portal and the gateway has no address of its own",
            "the address that MCP clients ask tokens for",
            "put a host into load_balancer, or set gateway_public_url",
        )
    for uri in uris if isinstance(uris, list) else []:
        if not isinstance(uri, str) or not REDIRECT_URI.fullmatch(uri):
            yield _problem(
                f"platform_oidc.redirect_uris has {uri!r}",
                "https addresses in lower case without a query (programs on people's own machines "
                "need none)",
                "correct it, or remove it",
            )


def is_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" and bool(parts.hostname) and parts.port != 0
    except ValueError:  # no address, or no port
        return False


def _problem(found: str, expected: str, action: str) -> Finding:
    return Finding("inventory", found, expected, action)


def gateway_resources(public_url: str, servers: Iterable[str]) -> list[str]:
    """Return the gateway's own addresses: what clients were told and ask tokens for (RFC 8707)."""
    base = public_url.rstrip("/")
    places = ["", *(f"/servers/{name}" for name in servers)]
    return [f"{base}{place}/{kind}" for place in places for kind in ("mcp", "sse")] if base else []


def gateway_oidc(oidc: dict, public_url: str, servers: Iterable[str], ca_file: str) -> dict:
    """Return the entry of the gateway's `auth.oidc` for the company's tokens."""
    own = gateway_resources(public_url, servers)
    claims = oidc.get("claims") or {}
    return {
        "issuer": oidc["issuer"],
        "audience": [*filter(None, [oidc.get("audience")]), *own],
        "teams": oidc.get("teams") or [],
        "required_scopes": oidc.get("tool_scopes") or [],
        **{theirs: claims[ours] for ours, theirs in CLAIMS.items() if claims.get(ours)},
        **({"ca_file": ca_file} if oidc.get("ca_file") else {}),
        # Clients could not register there: they are told of the portal alone.
        **({"announced": False} if oidc.get("registration") == PORTAL else {}),
    }


def gateway_portal_oidc(
    jwks: list[dict], portal_url: str, public_url: str, servers: Iterable[str]
) -> dict:
    """Return the entry of the gateway's `auth.oidc` for tokens of the portal."""
    return {
        "issuer": f"{portal_url}/portal",
        "audience": gateway_resources(public_url, servers),
        "jwks": jwks,
        "algorithms": [key["alg"] for key in jwks],
        # Whoever signed in is the same there, whichever of their credentials they use.
        "subjects_are_people": True,
    }
