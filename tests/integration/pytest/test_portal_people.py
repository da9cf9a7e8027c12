# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The portal, a real provider, a real LiteLLM that the role `teams` fills, and the gateway."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import gateway_lab
import identity_provider
import pytest
import test_teams_role
import yaml
from conftest import http_status, wait_until
from support import REPOSITORY
from test_teams_role import PAYMENTS, PLAIN_SERVER, RESEARCH, Site

pytestmark = pytest.mark.integration

PACKAGE = REPOSITORY / "roles/portal/files/mcp_portal"
VISITOR = Path(__file__).parent / "servers/portal_visitor.py"
ROUTES = yaml.safe_load((REPOSITORY / "roles/platform/defaults/main/teams.yml").read_text())
OIDC = {
    "issuer": "https://sso.example.internal",
    "client_id": identity_provider.CLIENT_ID,
    "client_secret": identity_provider.CLIENT_SECRET,
    "teams": [{"group": "dev-payments", "team": "payments"}],
}


@pytest.fixture
def site(tmp_path, litellm, run_module, monkeypatch):
    """A site with a portal, whose user and key the role `teams` has made."""
    monkeypatch.setattr(test_teams_role, "GROUPS", [*test_teams_role.GROUPS, "portal"])
    made = Site(tmp_path, litellm)
    made.declare(PAYMENTS, RESEARCH, platform_oidc=OIDC)
    made.run()
    yield made
    made.declare(platform_oidc={})
    for kind in ("key", "user", "team"):
        options = {"litellm_url": litellm.url, "master_key": litellm.master_key, f"{kind}s": []}
        assert not run_module(f"litellm_{kind}", prune=True, **options)["failed"]
    options = {"litellm_url": litellm.url, "master_key": litellm.master_key}
    gone = {"user_id": "intranet-portal", "state": "absent", "revoke_keys": True}
    assert not run_module("litellm_user", **options, **gone)["failed"]


@pytest.fixture
def lab(tmp_path_factory):
    """Programs on loopback, which end with the test."""
    with gateway_lab.Lab(tmp_path_factory.mktemp("portal")) as made:
        yield made


@pytest.fixture
def portal(site, lab):
    """`portal(*actions, name)` signs somebody in at a portal and returns what was seen."""
    python = gateway_lab.python_environment("portal", PACKAGE / "requirements.lock")
    port, gateway_port = gateway_lab.free_port(), gateway_lab.free_port()
    folder, url = lab.directory, f"http://127.0.0.1:{port}"
    lab.gateway(gateway_configuration(site, gateway_port))
    with identity_provider.identity_provider(folder, [f"{url}/portal/callback"]) as provider:
        file = folder / "portal.yml"
        file.write_text(
            json.dumps(portal_configuration(site, folder, provider, port, gateway_port))
        )
        environment = {"PYTHONPATH": str(PACKAGE / "src")}
        lab.start("portal", [python, "-m", "mcp_portal", "--config", file], port, environment)

        def visit(*actions, name="alice"):
            done = subprocess.run(
                [python, VISITOR, url, name, *actions], capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout)

        visit.url = url
        yield visit


def gateway_configuration(site, port):
    stdio = {"type": "stdio", "command": sys.executable, "args": ["-S", str(PLAIN_SERVER)]}
    allow = {"name": "team", "teams": ["payments"], "servers": ["filesystem"], "tools": ["e*"]}
    return {
        "listen": {"port": port},
        "auth": {"litellm": {"url": site.litellm.url, "cache_seconds": 1}},
        "policy": {"default": "deny", "rules": [allow]},
        "audit": {"file": "/dev/null"},
        "upstreams": {"filesystem": {**stdio, "required": True}},
    }


def portal_configuration(site, folder, provider, port, gateway_port):
    (folder / "client").write_text(identity_provider.CLIENT_SECRET)
    told = {"litellm_url": "https://ai.example.internal", "gateway_url": "https://x/mcp"}
    (folder / "site.json").write_text(json.dumps({**told, "servers": {"filesystem": "Files"}}))
    return {
        "listen": {"public_url": f"http://127.0.0.1:{port}", "port": port},
        "oidc": {
            "issuer": provider.issuer,
            "client_id": identity_provider.CLIENT_ID,
            "client_secret_file": str(folder / "client"),
            "teams": OIDC["teams"],
        },
        "litellm": {
            "url": site.litellm.url,
            "key_file": str(site.secrets / "key-intranet-portal"),
            "routes": ROUTES["platform_key_routes"],
        },
        "gateway_url": f"http://127.0.0.1:{gateway_port}",
        "site_file": str(folder / "site.json"),
        "administrator_groups": ["dev-payments"],
    }


def test_person_gets_models_tools_usage_and_a_key_of_the_team(portal, site):
    assert http_status(f"{portal.url}/checks") == 200
    seen = portal("models", "tools", "usage", "key")
    assert {action: told["status"] for action, told in seen.items()} == {
        "sign-in": 303,
        **dict.fromkeys(("models", "tools", "usage", "key"), 200),
    }
    models, tools, usage = (seen[page]["text"] for page in ("models", "tools", "usage"))
    assert "small" in models and "large" not in models, "those of the team"
    assert "echo" in tools and "count" not in tools, "what the gateway lets the team use"
    assert "100.00" in usage and "100,000" in usage and "600" in usage
    key = re.search(r"<pre[^>]*>(sk-[^<]+)</pre>", seen["key"]["text"])[1]
    told = site.key(key)
    assert told["team_id"] == "payments" and told["user_id"].startswith("sso-")
    assert told["expires"] and told["created_by"] == "intranet-portal"
    assert site.litellm.ask("/v1/models", key=key)[1]["data"][0]["id"] == "small"
    assert site.litellm.ask("/key/generate", {}, key=key)[0] in (401, 403)

    assert site.run()[0] == 0, "another run leaves people's keys alone"
    assert site.key(key)

    people = portal("people")["people"]
    assert people["status"] == 200 and "alice" in people["text"]
    assert 'role="alert"' not in people["text"], "LiteLLM says whose keys there are, and the usage"
    alice = re.search(r'/people/[0-9a-f]{16}">alice<.*?</tr>', people["text"], re.S)[0]
    sessions, keys, _cost = re.findall(r'<td class="n">([^<]+)</td>', alice)
    assert int(sessions) >= 1 and int(keys) >= 1, "with the filter that it understands"

    other = portal("end-sessions")["end-sessions"]["text"]
    assert "keys were revoked" in other
    wait_until(lambda: not site.key(key), 90, "the key to be refused")


def test_person_without_a_team_gets_nothing(portal, site):
    seen = portal(name="bob")
    assert seen["sign-in"]["status"] == 403


# What the portal's own key must not do. Each is (path, body).
BEYOND = {
    "a model": ("/v1/chat/completions", {"model": "small", "messages": []}),
    "a team": ("/team/new", {"team_alias": "x"}),
    "a team's limits": ("/team/update", {"team_id": "payments", "max_budget": 9}),
    "a key's limits": ("/key/update", {"key": "x"}),
    "a role": ("/user/update", {"user_id": "alice", "user_role": "proxy_admin"}),
    "no user": ("/user/delete", {"user_ids": ["alice"]}),
    "another model": ("/model/new", {"model_name": "x", "litellm_params": {"model": "x"}}),
    "settings": ("/config/update", {}),
    "every spend log": ("/spend/logs", None),
    "every user": ("/user/list", None),
}


def test_the_portals_key_may_do_no_more_than_it_must(site):
    key = site.value("intranet-portal")
    answers = {what: site.litellm.ask(*asked, key=key)[0] for what, asked in BEYOND.items()}
    assert set(answers.values()) <= {401, 403}, answers


def test_a_portal_that_left_the_inventory_leaves_no_administrator(site):
    value = site.value("intranet-portal")
    assert site.key(value)
    without = [name for name in test_teams_role.GROUPS if name != "portal"]
    hosts = yaml.safe_load((site.inventory / "hosts.yml").read_text())
    groups = {name: hosts["all"]["children"][name] for name in without}
    hosts["all"]["children"] = groups
    (site.inventory / "hosts.yml").write_text(yaml.safe_dump(hosts))
    site.run()
    assert site.run()[0] == 0
    assert not site.key(value) and "key-intranet-portal" not in site.files()
    users = site.litellm.ask("/user/list?page_size=100")[1]["users"]
    assert "intranet-portal" not in {user["user_id"] for user in users}
