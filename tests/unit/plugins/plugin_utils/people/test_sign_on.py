# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What preflight says of `platform_oidc`, and what the gateway is told of it."""

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.plugin_utils.people import sign_on

OIDC = {
    "issuer": "https://sso.example.internal/realms/company",
    "client_id": "intranet-mcp",
    "client_secret": "hidden",
    "teams": [{"group": "dev-payments", "team": "payments"}],
}
SITE = {
    "teams": ["payments"],
    "portals": ["app1"],
    "redis": ["app1"],
    "portal_url": "https://ai.example.internal",
    "gateway_url": "https://ai.example.internal",
}


def found(site=None, **changes):
    oidc = {name: value for name, value in {**OIDC, **changes}.items() if value is not None}
    return [str(problem) for problem in sign_on.problems(oidc, {**SITE, **(site or {})})]


def test_nothing_is_wrong_with_what_the_page_shows():
    assert found() == []
    assert sign_on.problems({}, {**SITE, "portals": []}) == [], "it is off by default"


def test_the_gateway_alone_needs_no_secret():
    assert found({"portals": [], "portal_url": ""}, client_secret=None) == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"issuer": None}, "platform_oidc.issuer is ''"),
        ({"issuer": "http://sso.example.internal"}, "https address that the provider calls itself"),
        ({"issuer": "https://sso.example.internal?x=1"}, "https address that the provider calls"),
        ({"issuer": "https://[fd00::1"}, "https address that the provider calls itself"),
        ({"client_id": ""}, "no client_id"),
        ({"client_secret": None}, "no client_secret"),
        ({"teams": None}, "platform_oidc.teams has no row"),
        ({"teams": []}, "platform_oidc.teams has no row"),
        ({"teams": [{"group": "x", "team": "sales"}]}, "the unknown team sales"),
    ],
)
def test_each_mistake_is_named_alone(changes, text):
    (problem,) = found(**changes)
    assert text in problem and "hidden" not in problem


@pytest.mark.parametrize(
    ("site", "text"),
    [
        ({"portal_url": "http://10.0.0.1:8090"}, "people would find the portal at 'http://"),
        ({"portal_url": "https://ai.example.internal/x"}, "an https address without a path"),
        ({"portals": ["app1", "app2"], "redis": []}, "group portal has 2 hosts and group redis"),
    ],
)
def test_a_place_where_sessions_are_not_safe_is_named(site, text):
    (problem,) = found(site)
    assert text in problem


def test_a_portal_without_a_provider_is_told_everything_at_once():
    problems = [str(p) for p in sign_on.problems({}, SITE)]
    assert len(problems) == 4


def test_the_gateway_takes_tokens_for_its_own_addresses():
    made = sign_on.gateway_oidc(OIDC, "https://ai.example.internal/", {"files": {}}, "/ca.crt")
    base = "https://ai.example.internal"
    assert made["audience"] == [
        *(f"{base}/mcp", f"{base}/sse"),
        *(f"{base}/servers/files/mcp", f"{base}/servers/files/sse"),
    ]
    assert made["teams"] == OIDC["teams"] and "ca_file" not in made


def test_the_gateway_gets_audience_claims_and_authority_where_they_are_said():
    claims = {"name": "upn", "email": "mail", "groups": "roles"}
    oidc = {**OIDC, "audience": "tools", "claims": claims, "ca_file": "ca.pem"}
    oidc["tool_scopes"] = ["mcp"]
    made = sign_on.gateway_oidc(oidc, "", {}, "/ca.crt")
    assert made["audience"] == ["tools"], "no address of its own is known"
    assert (made["alias_claim"], made["groups_claim"]) == ("upn", "roles")
    assert (made["ca_file"], made["required_scopes"]) == ("/ca.crt", ["mcp"])


# --- clients that register at the portal --------------------------------------------------------


def test_clients_may_register_at_the_portal():
    assert found(registration="portal") == []
    assert found(registration="provider", redirect_uris=[]) == []
    assert found(registration="portal", redirect_uris=["https://vscode.dev/redirect"]) == []


@pytest.mark.parametrize(
    ("site", "changes", "text"),
    [
        ({}, {"registration": "gateway"}, "platform_oidc.registration is 'gateway'"),
        ({}, {"registration": True}, "platform_oidc.registration is True"),
        ({}, {"redirect_uris": ["https://vscode.dev/redirect"]}, "registration: portal, which"),
        ({"portals": []}, {"registration": "portal"}, "group portal has no host"),
        ({"gateway_url": ""}, {"registration": "portal"}, "has no address of its own"),
    ],
)
def test_registration_that_cannot_be_is_refused(site, changes, text):
    (problem,) = found(site, **changes)
    assert text in problem


@pytest.mark.parametrize(
    "uri", ["http://a.example/x", "https://a.example/x?y", "https://a@b.example/", "vscode://x", 1]
)
def test_address_that_hides_where_it_leads_is_refused(uri):
    (problem,) = found(registration="portal", redirect_uris=[uri])
    assert "platform_oidc.redirect_uris has" in problem


def test_gateway_takes_tokens_of_the_portal_and_names_it_alone():
    oidc = {**OIDC, "registration": "portal"}
    base = "https://ai.example.internal"
    company = sign_on.gateway_oidc(oidc, base, {}, "/ca.crt")
    assert company["announced"] is False and company["audience"] == [f"{base}/mcp", f"{base}/sse"]
    key = {"kty": "EC", "alg": "ES256"}
    made = sign_on.gateway_portal_oidc([key], base, base, {})
    assert made["issuer"] == f"{base}/portal" and made["audience"] == company["audience"]
    assert made["jwks"] == [key] and made["algorithms"] == ["ES256"]
