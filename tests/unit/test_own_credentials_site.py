# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What gateway, portal and Redis are given of `per_user`, through ansible-playbook."""

from __future__ import annotations

import json
import sys

import pytest
import support
import yaml

GROUPS = ["postgres", "litellm", "redis", "gateway", "portal", "load_balancer", "tool_servers"]
# Where each role has its file, and the expression of its secrets.
WRITTEN = {
    "gateway": ("gateway.yml.j2", "__gateway_secrets"),
    "portal": ("portal.yml.j2", "__portal_secrets"),
    "redis": ("redis.conf.j2", "{}"),
}
PASSWORD = {"redis_password": "given"}
HUB = {
    "image": "hub.example.internal/hub:1",
    "http_path": "/",
    "port": 8122,
    "per_user": {"header": "Authorization", "prefix": "Bearer "},
}


def play(role, folder):
    """The role's template and secrets, written into a folder."""
    roles = support.REPOSITORY / "roles"
    template, secrets = WRITTEN[role]
    source = roles / role / "templates" / template
    text = f"{{{{ lookup('ansible.builtin.template', '{source}') }}}}"
    contents = {f"{role}.txt": text, f"{role}.json": f"{{{{ {secrets} | to_json }}}}"}
    return {
        "hosts": f"{role}[0]",
        "gather_facts": False,
        "vars_files": [str(roles / role / part / "main.yml") for part in ("defaults", "vars")],
        "roles": ["intranet.mcp.platform"],
        "tasks": [
            {"ansible.builtin.copy": {"content": text, "dest": str(folder / name), "mode": "0600"}}
            for name, text in contents.items()
        ],
    }


@pytest.fixture
def site(tmp_path):
    """`site(servers)` returns, by role, what its file says and which secrets it has."""
    host = {"here": {"ansible_connection": "local", "ansible_host": "127.0.0.1"}}
    inventory = tmp_path / "inventory"
    inventory.mkdir()

    def made(declared=None, /, **servers):
        variables = {
            "ansible_python_interpreter": sys.executable,
            "mcp_servers": servers,
            "platform_public_name": "ai.example.internal",
            "platform_oidc": {
                "issuer": "https://sso.example.internal",
                "client_id": "intranet-mcp",
                "client_secret": "hidden",
                "teams": [{"group": "dev", "team": "payments"}],
            },
            **(declared or {}),
        }
        here = [group for group in GROUPS if group != "redis" or not declared]
        groups = {"all": {"hosts": host, "children": {g: {"hosts": host} for g in here}}}
        (inventory / "hosts.yml").write_text(yaml.safe_dump(groups))
        plays = [play(role, tmp_path) for role in WRITTEN if role in here]
        (tmp_path / "play.yml").write_text(yaml.safe_dump(plays))
        done = support.run_playbook_alone(tmp_path, inventory, "-e", json.dumps(variables))
        assert done.returncode == 0, done.stdout + done.stderr
        return {
            role: ((tmp_path / f"{role}.txt").read_text(), _secrets(tmp_path / f"{role}.json"))
            for role in WRITTEN
            if role in here
        }

    return made


def _secrets(path):
    return json.loads(path.read_text())


def test_gateway_and_portal_have_one_key_and_redis_none(site, tmp_path):
    made = site(hub=HUB)
    gateway, secrets = made["gateway"]
    portal, others = made["portal"]
    for name in ("credentials_key", "credentials_redis_url"):
        assert secrets[name] == others[name] and secrets[name] not in gateway + portal
    assert len(secrets["credentials_key"]) == 64
    assert secrets["credentials_key"] not in made["redis"][0]
    assert secrets["credentials_redis_url"].endswith("/3") != secrets["redis_url"].endswith("/3")
    config = yaml.safe_load(gateway)
    assert config["credentials"]["page_url"] == "https://ai.example.internal/portal/credentials"
    assert config["credentials"]["keep_seconds"] == 90 * 86400
    audience = "hub.example.internal/hub"
    assert config["upstreams"]["hub"]["per_user"] == {**HUB["per_user"], "audience": audience}
    assert config["auth"]["litellm"]["sign_on_makers"] == ["intranet-portal"]
    assert yaml.safe_load(portal)["credentials"]["keep_seconds"] == 90 * 86400
    redis = made["redis"][0].splitlines()
    assert "appendonly yes" in redis and "maxmemory-policy volatile-ttl" in redis


GIT = "https://git.example.internal/login/oauth"
OAUTH = {
    "client_id": "Iv1.0123",
    "client_secret": "secret-at-the-server",
    "authorization_endpoint": f"{GIT}/authorize",
    "token_endpoint": f"{GIT}/access_token",
}


def test_client_at_a_server_that_hands_out_tokens_is_told_to_both(site):
    made = site(hub={**HUB, "per_user": {**HUB["per_user"], "oauth": OAUTH}})
    gateway, portal = yaml.safe_load(made["gateway"][0]), yaml.safe_load(made["portal"][0])
    ours = gateway["upstreams"]["hub"]["per_user"]["oauth"]
    theirs = portal["credentials"]["oauth"]["hub"]
    file = theirs["client_secret_file"]
    assert ours["client_secret"] == {"file": file}
    for role in ("gateway", "portal"):
        text, secrets = made[role]
        assert secrets[file.removeprefix("/secrets/")] == OAUTH["client_secret"]
        assert OAUTH["client_secret"] not in text
    assert "appendonly yes" in made["redis"][0].splitlines()


def test_exchange_needs_neither_redis_nor_page_and_is_the_gateways_own(site):
    oidc = {
        "issuer": "https://sso.example.internal",
        "client_id": "intranet-mcp",
        "client_secret": "hidden",
        "teams": [{"group": "dev", "team": "payments"}],
        "exchange": {"client_id": "intranet-mcp-gateway", "client_secret": "for-exchanges"},
    }
    hub = {**HUB, "per_user": {**HUB["per_user"], "exchange": {"audience": "hub"}}}
    made = site({"platform_oidc": oidc}, hub=hub)
    text, secrets = made["gateway"]
    exchange = yaml.safe_load(text)["upstreams"]["hub"]["per_user"]["exchange"]
    assert secrets["exchange_client_secret"] == "for-exchanges" not in text
    assert exchange["sign_in_url"] == "https://ai.example.internal/mcp"
    assert exchange["issuer"] == oidc["issuer"] and exchange["audience"] == "hub"
    for role in ("gateway", "portal"):
        assert "credentials" not in yaml.safe_load(made[role][0])
    assert "for-exchanges" not in str(made["portal"])
    assert "hidden" not in str(made["gateway"]), "the portal's secret protects sessions"


def test_site_without_such_a_server_is_as_it_was(site, tmp_path):
    made = site()
    for role in ("gateway", "portal"):
        text, secrets = made[role]
        assert "credentials" not in yaml.safe_load(text)
        assert not [name for name in secrets if name.startswith("credentials")]
    redis = made["redis"][0].splitlines()
    assert "appendonly no" in redis and "maxmemory-policy allkeys-lru" in redis
    secrets = tmp_path / "inventory/.intranet-mcp/secrets"
    assert not list(secrets.glob("credentials*"))


def test_redis_of_the_company_takes_the_place_of_the_group(site, tmp_path):
    (tmp_path / "redis-ca.crt").write_text("PEM\n")
    elsewhere = {"host": "redis.example.internal", "ca_file": str(tmp_path / "redis-ca.crt")}
    made = site({"platform_redis": elsewhere, "platform_secrets": PASSWORD}, hub=HUB)
    for role in ("gateway", "portal"):
        url = made[role][1]["credentials_redis_url"]
        assert url.startswith("rediss://:given@redis.example.internal:6379/3?ssl_ca_certs=")
        assert "credentials" in yaml.safe_load(made[role][0])
