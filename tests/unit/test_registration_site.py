# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What gateway, portal and balancer are given where MCP clients register at the portal."""

from __future__ import annotations

import json
import sys

import pytest
import support
import yaml

GROUPS = ["postgres", "litellm", "redis", "gateway", "portal", "load_balancer", "tool_servers"]
# Of each role what is written, by an expression.
WRITTEN = {
    "gateway": (
        "lookup('ansible.builtin.template', '{roles}/gateway/templates/gateway.yml.j2')",
        "__gateway_secrets | to_json",
    ),
    "portal": (
        "lookup('ansible.builtin.template', '{roles}/portal/templates/portal.yml.j2')",
        "__portal_secrets | to_json",
    ),
    "load_balancer": (
        "query('intranet.mcp.pools') | intranet.mcp.haproxy_config(__load_balancer_settings"
        " | combine({{'acme_thumbprint': ''}}))",
        "{{}} | to_json",
    ),
}
RULES = [
    {"name": "no-guests", "effect": "deny", "groups": ["guests-*"]},
    {"name": "admins", "teams": ["admins"]},
    {"name": "again", "groups": ["guests-*", "auditors"]},
]
VSCODE = "https://vscode.dev/redirect"
HERE = "https://ai.example.internal"


def play(role, folder):
    roles = support.REPOSITORY / "roles"
    return {
        "hosts": f"{role}[0]",
        "gather_facts": False,
        "vars_files": [str(roles / role / part / "main.yml") for part in ("defaults", "vars")],
        "roles": ["intranet.mcp.platform"],
        "tasks": [
            {
                "ansible.builtin.copy": {
                    "content": "{{ " + expression.format(roles=roles) + " }}",
                    "dest": str(folder / f"{role}.{number}"),
                    "mode": "0600",
                }
            }
            for number, expression in enumerate(WRITTEN[role])
        ],
    }


@pytest.fixture
def site(tmp_path):
    """`site(**platform_oidc)` returns, by role, what its file says and which secrets it has."""
    host = {"here": {"ansible_connection": "local", "ansible_host": "127.0.0.1"}}
    inventory = tmp_path / "inventory"
    inventory.mkdir()

    def made(**oidc):
        variables = {
            "ansible_python_interpreter": sys.executable,
            "gateway_policy_rules": RULES,
            "platform_public_name": "ai.example.internal",
            "platform_oidc": {
                "issuer": "https://sso.example.internal",
                "client_id": "intranet-mcp",
                "client_secret": "hidden",
                "teams": [{"group": "dev", "team": "payments"}],
                **oidc,
            },
        }
        groups = {"all": {"hosts": host, "children": {g: {"hosts": host} for g in GROUPS}}}
        (inventory / "hosts.yml").write_text(yaml.safe_dump(groups))
        (tmp_path / "play.yml").write_text(yaml.safe_dump([play(r, tmp_path) for r in WRITTEN]))
        done = support.run_playbook_alone(tmp_path, inventory, "-e", json.dumps(variables))
        assert done.returncode == 0, done.stdout + done.stderr
        return {
            role: ((tmp_path / f"{role}.0").read_text(), json.loads(_text(tmp_path / f"{role}.1")))
            for role in WRITTEN
        }

    return made


def _text(path):
    return path.read_text()


def test_portal_signs_what_the_gateway_checks(site):
    made = site(registration="portal", redirect_uris=[VSCODE])
    gateway, portal = (yaml.safe_load(made[role][0]) for role in ("gateway", "portal"))
    company, own = gateway["auth"]["oidc"]
    assert company["issuer"] == "https://sso.example.internal" and company["announced"] is False
    assert own["issuer"] == f"{HERE}/portal" and own["subjects_are_people"] is True
    assert f"{HERE}/mcp" in own["audience"] and own["algorithms"] == ["ES256"]
    assert "teams" not in own and "jwks_url" not in own, "the portal says it, and nobody is asked"
    (key,) = own["jwks"]
    assert key["kty"] == "EC" and "d" not in key
    asked = portal["authorization"]
    assert asked["resources"] == own["audience"] == company["audience"]
    assert asked["redirect_uris"] == [VSCODE] and asked["groups"] == ["guests-*", "auditors"]
    secret = made["portal"][1]["signing_key"]
    assert len(secret) == 64 and secret not in made["gateway"][0] + made["portal"][0]
    assert secret not in made["gateway"][1].values(), "the gateway could sign with it"
    balancer = made["load_balancer"][0]
    assert "path /.well-known/oauth-authorization-server/portal\n" in balancer
    assert "path /.well-known/openid-configuration/portal\n" in balancer


def test_gateway_sends_people_to_the_portal_which_reads_what_verify_leaves(site):
    made = site()
    gateway, portal = (yaml.safe_load(made[role][0]) for role in ("gateway", "portal"))
    assert gateway["listen"]["portal_url"] == f"{HERE}/portal"
    assert portal["status_file"] == "/status/status.json"
    assert (portal["lifetime_seconds"], portal["recheck_seconds"]) == (12 * 3600, 300)


@pytest.mark.parametrize("oidc", [{}, {"registration": "provider"}])
def test_site_whose_provider_registers_clients_is_as_it_was(site, tmp_path, oidc):
    made = site(**oidc)
    gateway, portal = (yaml.safe_load(made[role][0]) for role in ("gateway", "portal"))
    (company,) = gateway["auth"]["oidc"]
    assert "announced" not in company
    assert "authorization" not in portal and "signing_key" not in made["portal"][1]
    assert "oauth-authorization-server" not in made["load_balancer"][0]
    assert not list((tmp_path / "inventory/.intranet-mcp/secrets").glob("portal_signing_key*"))
