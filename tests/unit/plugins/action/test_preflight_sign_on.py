# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What preflight finds in `platform_oidc` before a run: with what the inventory declares."""

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.action.preflight import authority
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine.sign_on import sign_on_problems

OIDC = {
    "issuer": "https://sso.example.internal",
    "client_id": "intranet-mcp",
    "client_secret": "hidden",
    "teams": [{"group": "dev", "team": "payments"}],
}
DECLARED = {
    "groups": {"portal": ["app1"], "redis": ["app1"]},
    "gateway_public_url": "https://ai.example.internal",
    "teams": [{"name": "payments"}],
    "platform_oidc": OIDC,
    "portal_public_url": "https://ai.example.internal",
}


def found(**changes):
    problems = sign_on_problems({**DECLARED, **changes}, lambda value: value, authority)
    return [str(problem) for problem in problems]


def test_what_is_declared_is_good():
    assert found() == []


def test_nothing_is_asked_of_a_site_without_sign_on():
    assert found(groups={}, platform_oidc={}, portal_public_url="") == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"teams": []}, "the unknown team payments"),
        (
            {"platform_oidc": {**OIDC, "registration": "portal"}, "gateway_public_url": ""},
            "the gateway has no address of its own",
        ),
        ({"portal_public_url": "http://ai.example.internal"}, "people would find the portal at"),
        ({"groups": {"portal": ["app1", "app2"]}}, "group portal has 2 hosts"),
        ({"platform_oidc": {**OIDC, "ca_file": "/none.pem"}}, "ca_file is /none.pem: No such file"),
    ],
)
def test_each_mistake_is_named_alone(changes, text):
    (problem,) = found(**changes)
    assert text in problem and "hidden" not in problem


def test_what_another_mistake_hides_is_left_to_that_one():
    assert found(platform_oidc="https://sso.example.internal") == []


GRAFANA = {
    "groups": {"grafana": ["app1"]},
    "portal_public_url": "",
    "grafana_oidc": {
        "client_id": "intranet-grafana",
        "client_secret": "hidden",
        "authorization_endpoint": "https://sso.example.internal/auth",
        "token_endpoint": "https://sso.example.internal/token",
    },
    "grafana_admin_groups": ["ops"],
    "grafana_root_url": "https://grafana.example.internal",
}


def test_sign_in_at_grafana_is_good_as_it_is_declared():
    assert found(**GRAFANA) == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"platform_oidc": {}}, "platform_oidc is empty"),
        ({"platform_oidc": {**OIDC, "issuer": "http://sso.example.internal"}}, "oidc.issuer is"),
        ({"grafana_admin_groups": []}, "grafana_viewer_groups are empty"),
        ({"grafana_oidc": {}}, "grafana_oidc is empty"),
        ({"grafana_root_url": "http://grafana.example.internal"}, "people would find Grafana at"),
        (
            {"grafana_oidc": {**GRAFANA["grafana_oidc"], "client_secret": ""}},
            "grafana_oidc has no client_secret",
        ),
    ],
)
def test_each_mistake_in_grafanas_sign_in_is_named_alone(changes, text):
    (problem,) = found(**{**GRAFANA, **changes})
    assert text in problem and "hidden" not in problem
