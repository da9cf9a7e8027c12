# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""`oauth` and `exchange` of `per_user`: what may be declared, and what portal and gateway get."""

from __future__ import annotations

import ast

import pytest
from ansible_collections.intranet.mcp.plugins.action.preflight import own_credential_problems
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.plugin_utils.mcp import (
    own_credentials,
    servers,
    upstream_tokens,
)
from support import REPOSITORY

URL = "https://mcp.example.internal/mcp"
HEADER = {"header": "Authorization", "prefix": "Bearer "}
GIT = "https://git.example.internal/login/oauth"
OAUTH = {
    "client_id": "Iv1.0123456789abcdef",
    "client_secret": "a-secret-of-the-tests",
    "authorization_endpoint": f"{GIT}/authorize",
    "token_endpoint": f"{GIT}/access_token",
    "scopes": ["repo", "read:org"],
}
EXCHANGE = {"audience": "wiki", "scopes": ["wiki.read"]}
OIDC = {
    "issuer": "https://sso.example.internal",
    "client_id": "intranet-mcp",
    "ca_file": "files/ca.crt",
    "exchange": {"client_id": "intranet-mcp-gateway", "client_secret": "another-secret"},
}


def merged(**own):
    return servers.merge({}, {"hub": {"url": URL, "per_user": {**HEADER, **own}}})


def refused(**own):
    with pytest.raises(Unusable) as caught:
        merged(**own)
    text = str(caught.value)
    assert "mcp_servers.hub.per_user" in text and "expected" in text and "\n" not in text
    return text


def test_portal_and_gateway_are_one_client_of_a_server_that_hands_out_tokens():
    declared = merged(oauth={**OAUTH, "token_endpoint_auth_method": "client_secret_post"})
    (name, secret), *more = upstream_tokens.client_secrets(declared).items()
    assert secret == OAUTH["client_secret"] and not more
    portal = upstream_tokens.portal_clients(declared)["hub"]
    gateway = servers.gateway_upstreams(declared, {})["hub"]["per_user"]["oauth"]
    assert portal["client_secret_file"] == gateway["client_secret"]["file"] == f"/secrets/{name}"
    for key in ("client_id", "token_endpoint", "token_endpoint_auth_method"):
        assert portal[key] == gateway[key]
    assert portal["scopes"] == ["repo", "read:org"] and "authorization_endpoint" not in gateway
    assert secret not in str(portal) + str(gateway)
    assert own_credentials.stored_for(declared) == ["hub"]


def test_public_client_has_no_secret():
    public = {key: value for key, value in OAUTH.items() if key != "client_secret"}
    declared = merged(oauth=public)
    assert upstream_tokens.client_secrets(declared) == {}
    assert "client_secret_file" not in upstream_tokens.portal_clients(declared)["hub"]
    assert (
        "client_secret" not in servers.gateway_upstreams(declared, {})["hub"]["per_user"]["oauth"]
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"token_endpoint": f"{GIT}/other"},
        {"token_endpoint": "https://elsewhere.example.internal/token"},
        {"client_id": "another"},
    ],
)
def test_grant_of_one_token_endpoint_is_sent_to_no_other(changes):
    one, other = merged(oauth=OAUTH), merged(oauth={**OAUTH, **changes})
    assert own_credentials.audiences(one) != own_credentials.audiences(other)
    pasted = own_credentials.audiences(merged())
    assert pasted["hub"] == "https://mcp.example.internal" != own_credentials.audiences(one)["hub"]


def test_more_scopes_or_another_secret_leave_grants_as_they_are():
    other = {**OAUTH, "scopes": ["repo"], "client_secret": "new", "authorization_endpoint": GIT}
    assert own_credentials.audiences(merged(oauth=OAUTH)) == own_credentials.audiences(
        merged(oauth=other)
    )


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"issuer": GIT}, "has 'issuer'; expected client_id"),
        ({"client_id": ""}, "has no client_id"),
        ({"client_id": 7}, "client_id is 7"),
        ({"token_endpoint": None}, "has no token_endpoint"),
        ({"token_endpoint": "http://git.example.internal/token"}, "expected an https address"),
        ({"authorization_endpoint": "https://"}, "expected an https address"),
        ({"authorization_endpoint": "https://git.example.internal/a b"}, "expected an https"),
        ({"token_endpoint": "https://git.example.internal:x/token"}, "expected an https address"),
        ({"revocation_endpoint": "https://elsewhere.example/revoke"}, "the host of token_endpoint"),
        ({"scopes": "repo"}, "expected a list"),
        ({"scopes": ["a b"]}, "without blanks"),
        ({"scopes": ["openid"]}, "ID tokens are of no use here; expected others"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "expected client_secret_basic or"),
        ({"client_id": "https://client"}, "token_endpoint_auth_method: client_secret_post"),
        ({"client_secret": "hidden+/hidden"}, "token_endpoint_auth_method: client_secret_post"),
        ({"client_secret": "hidden hidden"}, "no text of 1 to 1000 visible characters"),
        ({"client_secret": ["hidden"]}, "no text of 1 to 1000 visible characters"),
    ],
)
def test_client_that_could_not_hold_is_refused_without_its_secret(changes, text):
    told = refused(oauth={**OAUTH, **changes})
    assert text in told and "hidden" not in told and OAUTH["client_secret"] not in told


@pytest.mark.parametrize(
    ("own", "text"),
    [
        ({"oauth": OAUTH, "exchange": EXCHANGE}, "has oauth and exchange; expected one"),
        ({"oauth": ["hidden"]}, "is not a mapping"),
        ({"exchange": "wiki"}, "is not a mapping"),
        ({"exchange": {}}, "has neither of audience and resource"),
        ({"exchange": {"audience": "a", "resource": "b"}}, "audience and resource of audience"),
        ({"exchange": {"audience": "a b"}}, "without blanks"),
        ({"exchange": {"audience": ["a"]}}, "without blanks"),
        ({"exchange": {"audience": "a", "token_endpoint": GIT}}, "has 'token_endpoint'"),
        ({"exchange": {"audience": "a", "scopes": ["b c"]}}, "without blanks"),
        ({"issuer": GIT}, "and oauth or exchange"),
    ],
)
def test_declaration_that_could_not_hold_is_refused(own, text):
    assert text in refused(**own)


def test_gateway_exchanges_with_a_client_of_its_own():
    client = upstream_tokens.exchange_client(OIDC, "/config/ca.crt", "https://ai.example.internal/")
    made = servers.gateway_upstreams(merged(exchange=EXCHANGE), {}, client)["hub"]["per_user"]
    assert made["exchange"] == {
        **EXCHANGE,
        "issuer": OIDC["issuer"],
        "client_id": "intranet-mcp-gateway",
        "client_secret": {"file": "/secrets/exchange_client_secret"},
        "ca_file": "/config/ca.crt",
        "sign_in_url": "https://ai.example.internal/mcp",
    }
    assert upstream_tokens.exchange_client({"issuer": "https://sso"}, "", "") == {}


def test_what_is_exchanged_is_stored_nowhere():
    """So nobody is asked for it on a page, and neither portal nor Redis is needed."""
    declared = merged(exchange=EXCHANGE)
    assert own_credentials.servers_with(declared) == ["hub"]
    assert own_credentials.stored_for(declared) == [] == [*own_credentials.audiences(declared)]
    assert upstream_tokens.exchanging(declared) == ["hub"]
    given = {"platform_mcp_servers": declared, "groups": {}, "platform_oidc": OIDC}
    assert own_credential_problems(given, lambda value: value) == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"exchange": {}}, "mcp_servers.hub has per_user.exchange and platform_oidc.exchange has"),
        ({"exchange": {"client_id": "g"}}, "platform_oidc.exchange has no client_secret"),
        ({"issuer": ""}, "it has no issuer"),
        ({"client_id": "intranet-mcp-gateway"}, "platform_oidc.exchange.client_id is that of"),
        (
            {"exchange": {"client_id": "g", "client_secret": "hidden+hidden"}},
            "characters that servers read in two ways",
        ),
    ],
)
def test_preflight_names_what_the_provider_lacks(changes, text):
    declared = {
        "platform_mcp_servers": merged(exchange=EXCHANGE),
        "groups": {},
        "platform_oidc": {**OIDC, **changes},
    }
    (problem,) = own_credential_problems(declared, lambda value: value)
    assert text in str(problem) and problem.expected and problem.action
    assert "hidden" not in str(problem)


# --- what the programs read -----------------------------------------------------------------------


def options(path, *names):
    """The options of classes of a program's settings."""
    tree = ast.parse((REPOSITORY / path).read_text())
    return {
        line.target.id
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name in names
        for line in node.body
        if isinstance(line, ast.AnnAssign)
    }


def test_programs_know_every_option_that_they_are_given():
    everything = {
        **OAUTH,
        "token_endpoint_auth_method": "client_secret_post",
        "revocation_endpoint": f"{GIT}/revoke",
    }
    declared = merged(oauth=everything)
    portal = options("roles/portal/files/mcp_portal/src/mcp_portal/settings.py", "Oauth")
    assert upstream_tokens.portal_clients(declared)["hub"].keys() == portal
    path = "roles/gateway/files/mcp_gateway/src/mcp_gateway/settings.py"
    made = servers.gateway_upstreams(declared, {})["hub"]["per_user"]
    assert made.keys() <= options(path, "PerUser")
    assert made["oauth"].keys() <= options(path, "TokenClient", "Oauth")
    method = {"token_endpoint_auth_method": "client_secret_post"}
    oidc = {**OIDC, "exchange": {**OIDC["exchange"], **method}}
    client = upstream_tokens.exchange_client(oidc, "/ca.crt", "https://ai.example.internal")
    made = servers.gateway_upstreams(merged(exchange=EXCHANGE), {}, client)["hub"]["per_user"]
    assert made["exchange"].keys() <= options(path, "TokenClient", "Exchange")
