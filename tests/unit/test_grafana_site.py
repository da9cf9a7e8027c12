# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What Grafana is given, and where it may connect to, with and without the company's sign-in."""

from __future__ import annotations

import json
import sys

import pytest
import support
import yaml

# On a host of its own, since what shares its network may have an egress.
GROUPS = {"monitoring": "other", "grafana": "here", "load_balancer": "other"}
ADDRESSES = {"here": "127.0.0.1", "other": "192.0.2.2"}
SECRET = "the client's, $HOME `%(x)s` and all"
PROVIDER = "https://sso.example.internal"
SIGN_IN = {
    "platform_oidc": {
        "issuer": PROVIDER,
        "client_id": "intranet-mcp",
        "client_secret": "another",
        "teams": [{"group": "dev", "team": "payments"}],
    },
    "grafana_oidc": {
        "client_id": "intranet-grafana",
        "client_secret": SECRET,
        "authorization_endpoint": f"{PROVIDER}/auth",
        "token_endpoint": f"{PROVIDER}:8443/token",
    },
    "grafana_admin_groups": ["ops"],
}
ROLE = support.REPOSITORY / "roles/grafana"
# As it was before there was a sign-in, but for the dashboards.
WITHOUT = {
    "files": 7,
    "secrets": ["admin_password", "secret_key"],
    "egress": [],
    "login": "",
}


def play(folder):
    written = {
        "definition": "grafana_service",
        "egress": "(query('intranet.mcp.networks') | items2dict(key_name='name',"
        " value_name='egress'))",
        "verify": "__verify_host.grafana_sign_in",
    }
    return {
        "hosts": "grafana",
        "gather_facts": False,
        "vars_files": [
            *(str(ROLE / part / "main.yml") for part in ("defaults", "vars")),
            str(support.REPOSITORY / "roles/verify/vars/main.yml"),
        ],
        "roles": ["intranet.mcp.platform"],
        "tasks": [
            {
                "ansible.builtin.copy": {
                    "content": "{{ " + expression + " | to_json }}",
                    "dest": str(folder / f"{name}.json"),
                    "mode": "0600",
                }
            }
            for name, expression in written.items()
        ],
    }


@pytest.fixture
def site(tmp_path):
    """`site(**variables)` returns Grafana's definition, its network's egress, and verify's."""
    local = {"ansible_connection": "local"}
    hosts = {name: {**local, "ansible_host": address} for name, address in ADDRESSES.items()}
    children = {group: {"hosts": {host: {}}} for group, host in GROUPS.items()}
    inventory = tmp_path / "inventory"
    inventory.mkdir()

    def made(**variables):
        variables |= {
            "ansible_python_interpreter": sys.executable,
            "platform_public_name": "ai.example.internal",
            "platform_monitoring_networks": ["10.1.2.0/28"],
        }
        groups = {"all": {"hosts": hosts, "children": children}}
        (inventory / "hosts.yml").write_text(yaml.safe_dump(groups))
        (tmp_path / "play.yml").write_text(yaml.safe_dump([play(tmp_path)]))
        done = support.run_playbook_alone(tmp_path, inventory, "-e", json.dumps(variables))
        assert done.returncode == 0, done.stdout + done.stderr
        assert SECRET not in done.stdout + done.stderr
        return [
            json.loads((tmp_path / f"{name}.json").read_text())
            for name in ("definition", "egress", "verify")
        ]

    return made


def test_grafana_without_a_client_is_as_it_was(site, tmp_path):
    definition, egress, login = site(platform_oidc=SIGN_IN["platform_oidc"])
    assert len(definition["files"]) == WITHOUT["files"]
    assert sorted(definition["secrets"]) == WITHOUT["secrets"]
    assert egress["intranet-mcp-grafana"] == WITHOUT["egress"] and login == WITHOUT["login"]
    named = ("GF_AUTH_", "GF_SECURITY_COOKIE")
    assert [name for name in definition["env"] if name.startswith(named)] == [
        "GF_AUTH_ANONYMOUS_ENABLED"
    ]
    assert not list((tmp_path / "inventory/.intranet-mcp/secrets").glob("grafana_oidc*"))


def test_grafana_with_a_client_signs_people_in_at_the_provider(site, tmp_path):
    authority = tmp_path / "company.pem"
    authority.write_text("PEM")
    oidc = {**SIGN_IN["platform_oidc"], "ca_file": str(authority)}
    own = {"GF_AUTH_GENERIC_OAUTH_AUTO_LOGIN": "true"}
    definition, egress, login = site(**{**SIGN_IN, "platform_oidc": oidc}, grafana_env=own)
    env = definition["env"]
    assert env["GF_SERVER_ROOT_URL"] == "https://ai.example.internal:9443/grafana/"
    assert env["GF_AUTH_GENERIC_OAUTH_AUTH_URL"] == login == f"{PROVIDER}/auth"
    assert env["GF_AUTH_GENERIC_OAUTH_AUTO_LOGIN"] == "true", "what the site says wins"
    assert env["GF_AUTH_LOGIN_MAXIMUM_LIFETIME_DURATION"] == "720m"
    assert "'Admin'" in env["GF_AUTH_GENERIC_OAUTH_ROLE_ATTRIBUTE_PATH"]
    folder, name = env["GF_AUTH_GENERIC_OAUTH_CLIENT_SECRET__FILE"].rsplit("/", 1)
    assert folder == "/secrets" and definition["secrets"].pop(name) == SECRET
    folder, name = env["GF_AUTH_GENERIC_OAUTH_TLS_CLIENT_CA"].rsplit("/", 1)
    assert folder == "/config" and definition["files"][name] == "PEM"
    assert env["GF_SECURITY_ADMIN_PASSWORD__FILE"] == "/secrets/admin_password", "break-glass"
    assert SECRET not in json.dumps(definition)
    assert egress["intranet-mcp-grafana"] == ["any:8443"]
