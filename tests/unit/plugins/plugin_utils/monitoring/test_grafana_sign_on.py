# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which options Grafana gets for its sign-in, who gets which role by them, and mistakes."""

from __future__ import annotations

import json
import re

import pytest
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring import grafana_sign_on

OIDC = {"issuer": "https://sso.example.internal", "client_id": "intranet-mcp", "teams": []}
CLIENT = {
    "client_id": "intranet-grafana",
    "client_secret": "hidden",
    "authorization_endpoint": "https://sso.example.internal/auth",
    "token_endpoint": "https://sso.example.internal/token",
}
ACCESS = {
    "admins": ["platform-admins"],
    "viewers": ["dev", "research"],
    "scopes": ["openid", "profile", "email"],
    "url": "https://ai.example.internal:9443/grafana/",
    "hours": 12,
}
SITE = {**ACCESS, "hosts": ["app1"]}
OAUTH = "GF_AUTH_GENERIC_OAUTH_"
# The one shape of expression that is made; between backticks and quotes is JSON without either.
TEXT = r'"(?:[A-Za-z0-9 _./:@-]|\\u[0-9a-f]{4})*"'
BRANCH = rf"\[\?(@ == `{TEXT}`(?: \|\| @ == `{TEXT}`)*)\] && '(Admin|Viewer)'"
SHAPE = re.compile(rf"\[({TEXT})\]\[\] \| {BRANCH}(?: \|\| {BRANCH})?")
HOSTILE = [
    "it's",
    'say "hi"',
    "back\\slash",
    "tick`tick",
    "x`] || `1` == `1",
    "\"] && 'Admin' || [?@ == `\"",
    "${HOME}",
    "$__file{/secrets/admin_password}",
    "%(password)s",
    "new\nline",
    "研发部",
    "🚀",
    "CN=Dev, OU=Groups; #1",
    "\\u0041",
]


def env(oidc=OIDC, client=CLIENT, **access):
    return grafana_sign_on.env(oidc, client, {**ACCESS, **access})


def role(expression, claims):
    """Evaluate an expression of the shape above as JMESPath does."""
    claim, *branches = SHAPE.fullmatch(expression).groups()
    value = claims.get(json.loads(claim))
    groups = value if isinstance(value, list) else [value]
    for literals, name in zip(branches[::2], branches[1::2], strict=True):
        if literals and any(json.loads(text) in groups for text in re.findall(TEXT, literals)):
            return name
    return None


def test_grafana_without_a_client_has_no_such_option():
    assert grafana_sign_on.env(OIDC, {}, ACCESS) == {}
    assert grafana_sign_on.egress({}) == []
    assert grafana_sign_on.problems({}, {}, {**SITE, "admins": [], "viewers": []}) == []


def test_a_sign_in_is_the_providers_with_pkce_and_a_role_or_nobody():
    made = env()
    assert {made[OAUTH + name] for name in ("ENABLED", "USE_PKCE", "ROLE_ATTRIBUTE_STRICT")} == {
        "true"
    }
    off = ("AUTO_LOGIN", "ALLOW_ASSIGN_GRAFANA_ADMIN", "SKIP_ORG_ROLE_SYNC", "USE_REFRESH_TOKEN")
    assert {made[OAUTH + name] for name in off} == {"false"}
    assert made[OAUTH + "AUTH_URL"] == CLIENT["authorization_endpoint"]
    assert made[OAUTH + "TOKEN_URL"] == CLIENT["token_endpoint"]
    assert made[OAUTH + "SCOPES"] == "openid profile email"
    assert made[OAUTH + "LOGIN_ATTRIBUTE_PATH"] == '"preferred_username"'
    assert made["GF_AUTH_OAUTH_ALLOW_INSECURE_EMAIL_LOOKUP"] == "false"
    assert all(isinstance(value, str) for value in made.values())


def test_the_secret_is_read_from_a_file():
    made = env()
    assert made[OAUTH + "CLIENT_SECRET__FILE"] == grafana_sign_on.SECRET_FILE
    assert "hidden" not in str(made) and OAUTH + "CLIENT_SECRET" not in made


def test_cookies_are_for_https_and_come_back_from_the_provider():
    made = env()
    assert made["GF_SECURITY_COOKIE_SECURE"] == "true"
    assert made["GF_SECURITY_COOKIE_SAMESITE"] == "lax"


@pytest.mark.parametrize(("hours", "said"), [(12, "720m"), (0.5, "30m"), ("1.5", "90m")])
def test_a_sign_in_ends_after_the_hours_of_one_at_the_portal(hours, said):
    assert env(hours=hours)["GF_AUTH_LOGIN_MAXIMUM_LIFETIME_DURATION"] == said


def test_what_is_optional_is_left_out_unless_said():
    optional = ("API_URL", "SIGNOUT_REDIRECT_URL", "TLS_CLIENT_CA")
    assert not {OAUTH + name for name in optional} & set(env())
    end = "https://sso.example.internal/logout"
    client = {**CLIENT, "userinfo_endpoint": "https://u", "end_session_endpoint": end}
    made = env({**OIDC, "ca_file": "company.pem"}, client)
    assert made[OAUTH + "API_URL"] == "https://u"
    assert made[OAUTH + "TLS_CLIENT_CA"] == grafana_sign_on.CA_FILE
    assert made[OAUTH + "SIGNOUT_REDIRECT_URL"] == (
        f"{end}?client_id=intranet-grafana&post_logout_redirect_uri="
        "https%3A%2F%2Fai.example.internal%3A9443%2Fgrafana%2Flogin"
    )
    with_query = env(client={**client, "end_session_endpoint": f"{end}?tenant=a"})
    assert with_query[OAUTH + "SIGNOUT_REDIRECT_URL"].startswith(f"{end}?tenant=a&client_id=")


# --- roles --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (["dev"], "Viewer"),
        (["other", "research"], "Viewer"),
        (["dev", "platform-admins"], "Admin"),
        ("platform-admins", "Admin"),  # a single one may come as text
        ("not-platform-admins-at-all", None),  # `contains` would take it
        (["platform-admins-2", "DEV"], None),
        ([], None),
        (None, None),
        ([None, 1, {"dev": 1}], None),
    ],
)
def test_who_is_in_a_group_has_its_role_and_nobody_else_any(groups, expected):
    assert role(env()[OAUTH + "ROLE_ATTRIBUTE_PATH"], {"groups": groups}) == expected


def test_the_expression_is_the_one_that_was_tried():
    assert env()[OAUTH + "ROLE_ATTRIBUTE_PATH"] == (
        '["groups"][] | [?@ == `"platform-admins"`] && \'Admin\' || '
        '[?@ == `"dev"` || @ == `"research"`] && \'Viewer\''
    )


@pytest.mark.parametrize("name", HOSTILE)
def test_a_groups_name_is_only_a_name(name):
    for lists in ({"admins": [name], "viewers": ["dev"]}, {"admins": ["ops"], "viewers": [name]}):
        expression = env(**lists)[OAUTH + "ROLE_ATTRIBUTE_PATH"]
        expected = "Admin" if lists["admins"] == [name] else "Viewer"
        assert role(expression, {"groups": [name]}) == expected
        assert role(expression, {"groups": ["1", "Admin"]}) is None
        assert not re.search(r"[$%{}()\n]", expression), "Grafana would expand it"


@pytest.mark.parametrize("claim", ["roles", "https://example.com/groups", 'a"b', "a.b", "x]`"])
def test_the_claim_of_groups_may_have_any_name(claim):
    made = env({**OIDC, "claims": {"groups": claim, "name": None}})
    expression = made[OAUTH + "ROLE_ATTRIBUTE_PATH"]
    assert role(expression, {claim: ["dev"]}) == "Viewer"
    assert role(expression, {"groups": ["dev"], "a": {"b": ["dev"]}}) is None
    assert made[OAUTH + "LOGIN_ATTRIBUTE_PATH"] == '"preferred_username"'


@pytest.mark.parametrize("left_out", ["admins", "viewers"])
def test_one_list_of_groups_is_enough(left_out):
    expression = env(**{left_out: []})[OAUTH + "ROLE_ATTRIBUTE_PATH"]
    roles = {role(expression, {"groups": [group]}) for group in ("platform-admins", "dev")}
    assert roles == {None, "Viewer" if left_out == "admins" else "Admin"}


# --- the network --------------------------------------------------------------------------------


def test_grafana_may_reach_the_ports_of_the_provider_and_no_other():
    assert grafana_sign_on.egress(CLIENT) == ["any:443"]
    other = {**CLIENT, "userinfo_endpoint": "https://api.example.internal:8443/userinfo"}
    assert grafana_sign_on.egress(other) == ["any:443", "any:8443"]


@pytest.mark.parametrize("client", [None, "x", {"token_endpoint": "https://a:99999/"}])
def test_what_preflight_refuses_opens_nothing(client):
    assert grafana_sign_on.egress(client) == []


# --- mistakes -----------------------------------------------------------------------------------


def found(oidc=OIDC, site=None, **changes):
    client = {name: value for name, value in {**CLIENT, **changes}.items() if value is not None}
    problems = grafana_sign_on.problems(oidc, client, {**SITE, **(site or {})})
    return [str(problem) for problem in problems]


def test_nothing_is_wrong_with_what_the_page_shows():
    assert found() == []
    assert found(site={"admins": []}) == found(site={"viewers": []}) == []
    assert found({}, {"hosts": []}, client_id=None) == [], "no host has it"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"client_id": None}, "grafana_oidc has no client_id"),
        ({"client_secret": ""}, "grafana_oidc has no client_secret"),
        ({"client_id": "intranet-mcp"}, "client_id is that of platform_oidc"),
        ({"authorization_endpoint": None}, "grafana_oidc.authorization_endpoint is ''"),
        ({"authorization_endpoint": "http://sso/auth"}, "authorization_endpoint is 'http://"),
        ({"token_endpoint": "https://sso:99999/"}, "grafana_oidc.token_endpoint is"),
        ({"token_endpoint": 1}, "grafana_oidc.token_endpoint is '1'"),
        ({"userinfo_endpoint": "sso/userinfo"}, "grafana_oidc.userinfo_endpoint is"),
        ({"end_session_endpoint": "https://sso/#x"}, "grafana_oidc.end_session_endpoint is"),
    ],
)
def test_each_mistake_is_named_alone(changes, text):
    (problem,) = found(**changes)
    assert text in problem and "hidden" not in problem


@pytest.mark.parametrize(
    ("site", "text"),
    [
        ({"admins": [], "viewers": []}, "are empty"),
        ({"viewers": [" "]}, "has an empty name"),
        ({"url": ""}, "people would find Grafana at ''"),
        ({"url": "http://127.0.0.1:3000"}, "people would find Grafana at 'http://"),
    ],
)
def test_a_site_where_nobody_could_sign_in_is_told_so(site, text):
    (problem,) = found(site=site)
    assert text in problem


def test_a_client_needs_a_provider_and_groups_a_client():
    (problem,) = found({})
    assert "platform_oidc is empty" in problem
    (problem,) = map(str, grafana_sign_on.problems(OIDC, {}, SITE))
    assert "grafana_oidc is empty" in problem
    assert grafana_sign_on.problems(OIDC, "x", SITE) == [], "reported as of the wrong type"
