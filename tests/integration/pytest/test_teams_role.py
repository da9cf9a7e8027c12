# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The role `teams`, run by ansible-playbook against a real LiteLLM, and the gateway's policy."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml
from conftest import http_status, image, wait_until
from support import REPOSITORY

pytestmark = pytest.mark.integration

GROUPS = ["postgres", "litellm", "gateway", "tool_servers"]
PLAIN_SERVER = REPOSITORY / "roles/gateway/files/mcp_gateway/tests/servers/plain_server.py"
PEOPLE = """
- hosts: litellm[0]
  gather_facts: false
  roles: [intranet.mcp.teams]
"""
RENDER = """
- hosts: gateway[0]
  gather_facts: false
  vars_files: [ROLES/gateway/defaults/main.yml, ROLES/gateway/vars/main.yml]
  roles: [intranet.mcp.platform]
  vars: {template: ROLES/gateway/templates/gateway.yml.j2}
  tasks:
    - ansible.builtin.copy:
        content: "{{ lookup('ansible.builtin.template', template) }}"
        dest: "{{ inventory_dir | dirname }}/gateway.yml"
        mode: "0600"
"""
PAYMENTS = {
    "name": "payments",
    "models": ["small"],
    "budget": {"amount": 100, "period": "30d"},
    "limits": {"tpm": 100000, "rpm": 600},
    "mcp": {"filesystem": ["e*", "!exit"], "example": ["count"]},
    "members": [
        {"alias": "alice", "email": "alice@example.internal"},
        {"alias": "bob", "email": "bob@example.internal", "expires": "2099-12-31"},
    ],
}
RESEARCH = {"name": "research", "members": [{"alias": "carol"}]}


class Site:
    """An inventory of its own, and what its playbook makes of LiteLLM."""

    def __init__(self, folder: Path, litellm) -> None:
        self.folder, self.litellm = folder, litellm
        self.inventory = folder / "inventory"
        self.secrets = self.inventory / ".intranet-mcp/secrets"
        (self.inventory / "group_vars").mkdir(parents=True)
        host = {"here": {"ansible_connection": "local", "ansible_host": "127.0.0.1"}}
        groups = {"all": {"hosts": host, "children": {g: {"hosts": host} for g in GROUPS}}}
        (self.inventory / "hosts.yml").write_text(yaml.safe_dump(groups))
        self.playbook("people", PEOPLE)
        self.playbook("render", RENDER)
        self.declare(PAYMENTS, RESEARCH)

    def playbook(self, name: str, text: str) -> None:
        text = text.replace("ROLES", str(REPOSITORY / "roles"))
        (self.folder / f"{name}.yml").write_text(text)

    def declare(self, *teams: dict, **variables) -> None:
        """Write what the inventory says."""
        known = {
            "ansible_python_interpreter": sys.executable,
            "platform_litellm_port": int(self.litellm.url.rpartition(":")[2]),
            "platform_secrets": {"litellm_master_key": self.litellm.master_key},
            "litellm_custom_apis": [
                {"model_name": name, "model": name, "api_base": "http://none"}
                for name in ("small", "large")
            ],
        }
        declared = {**known, "teams": list(teams), **variables}
        (self.inventory / "group_vars" / "all.yml").write_text(yaml.safe_dump(declared))

    def run(self, *arguments: str, play: str = "people", fails: bool = False, **variables):
        """Run the playbook and return how many tasks changed something, and what was printed."""
        command = [Path(sys.executable).with_name("ansible-playbook"), "-i", self.inventory]
        extra = ["-e", json.dumps(variables)] if variables else []
        done = subprocess.run(
            [*command, *arguments, *extra, self.folder / f"{play}.yml"],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )
        output = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, output
        values = [path.read_text().strip() for path in self.secrets.glob("*")]
        assert not [value for value in values if value in output], "a value was printed"
        return int(re.search(r"changed=(\d+)", output)[1]), output

    def value(self, alias: str) -> str:
        return (self.secrets / f"key-{alias}").read_text().strip()

    def files(self) -> list[str]:
        return sorted(path.name for path in self.secrets.glob("*"))

    def key(self, value: str) -> dict:
        """Return what LiteLLM says of a key to its bearer, empty when it is refused."""
        status, told = self.litellm.ask("/key/info", key=value)
        return told["info"] if status == 200 else {}


@pytest.fixture
def site(tmp_path, litellm, run_module):
    """A site with two teams, gone afterwards."""
    yield Site(tmp_path, litellm)
    for kind in ("key", "user", "team"):
        options = {"litellm_url": litellm.url, "master_key": litellm.master_key, f"{kind}s": []}
        assert not run_module(f"litellm_{kind}", prune=True, **options)["failed"]


def test_people_come_move_and_go(site):
    own = [{"key_alias": "first-developer", "state": "present"}]
    site.declare(PAYMENTS, RESEARCH, litellm_keys=own)
    foreseen, _output = site.run("--check", "--diff")
    assert foreseen == 3 and not site.files(), "check mode writes nothing, not even here"
    assert site.run()[0] == 3
    assert site.run()[0] == 0
    alice, bob, carol = (site.value(alias) for alias in ("alice", "bob", "carol"))
    told = site.key(alice)
    assert (told["team_id"], told["user_id"], told["key_alias"]) == ("payments", "alice", "alice")
    assert told["expires"] is None and site.key(bob)["expires"].startswith("2099-12-3")
    assert site.key(carol)["team_id"] == "research"
    assert site.litellm.ask("/v1/models", key=alice)[1]["data"][0]["id"] == "small"
    assert site.key(site.value("first-developer")) and site.key(site.value("verify"))

    moved = {**RESEARCH, "members": [{"alias": "carol"}, PAYMENTS["members"][0]]}
    site.declare({**PAYMENTS, "members": []}, moved)
    assert site.run("--check")[0] > 0 and site.key(bob)
    assert site.run()[0] > 0
    assert site.run()[0] == 0
    assert site.key(alice)["team_id"] == "research", "the same value, in another team"
    assert not site.key(bob) and "key-bob" not in site.files(), "a revoked value never comes back"

    site.declare({**RESEARCH, "members": [{"alias": "carol", "state": "absent"}]})
    site.run()
    assert site.run()[0] == 0
    assert not site.key(alice) and not site.key(carol)
    teams = [team["team_alias"] for team in site.litellm.ask("/team/list")[1]]
    assert "payments" not in teams and "research" in teams


def test_rotation_keeps_the_old_value_and_loses_no_new_one(site):
    site.run()
    first = site.value("alice")
    assert site.run("--check", teams_rotate=["alice"])[0] == 1 and site.value("alice") == first
    site.run(teams_rotate=["alice"])
    second = site.value("alice")
    assert second != first and site.key(first) and site.key(second)
    assert site.key(first)["key_alias"].startswith("alice-old-")
    assert not [name for name in site.files() if name.startswith("next-")]
    assert site.run()[0] == 0
    assert oct((site.secrets / "key-alice").stat().st_mode)[-3:] == "600"

    # Broken off before LiteLLM had the new value.
    third = second + "-3"
    (site.secrets / "next-key-alice").write_text(third + "\n")
    site.run()
    assert site.value("alice") == third and site.key(second) and site.key(third)

    # Broken off after LiteLLM had it, before the file was put in place.
    (site.secrets / "key-alice").write_text(second + "\n")
    (site.secrets / "next-key-alice").write_text(third + "\n")
    site.run()
    assert site.value("alice") == third and site.key(third) and site.run()[0] == 0

    # Somebody put another value in place by hand: the old one ends at once.
    fourth = third + "-4"
    (site.secrets / "key-alice").write_text(fourth + "\n")
    site.run()
    assert site.key(fourth) and not site.key(third)


def test_rotation_by_age_and_of_values_the_site_gives(site):
    given = "sk-of-the-vault-0123456789"
    known = {"litellm_master_key": site.litellm.master_key, "key-carol": given}
    site.declare(PAYMENTS, RESEARCH, platform_secrets=known)
    site.run()
    first = site.value("alice")
    site.run(teams_rotate_after="1s", teams_rotate_grace="1h")
    assert site.value("alice") != first and site.key(first) and site.key(site.value("alice"))
    assert site.key(given)["key_alias"] == "carol", "only the site can renew it"
    _changed, output = site.run(fails=True, teams_rotate=["carol"])
    assert "found carol in teams_rotate" in output


def test_mistakes_are_refused_at_once_and_nothing_is_written(site):
    wrong = {
        **PAYMENTS,
        "models": ["gpt-9"],
        "mcp": {"filesytem": ["*"]},
        "members": [{"alias": "alice"}, {"alias": "first-developer"}],
    }
    site.declare(wrong)
    changed, output = site.run(fails=True)
    flat = " ".join(output.split())
    assert changed == 0 and not site.files()
    for text in ("model gpt-9", "MCP server filesytem", "alias first-developer is there twice"):
        assert text in flat


# What a member could do with a key before it was told what it may call. Each is (path, body).
ATTACKS = {
    "a key without team, budget and tool policy": (
        "/key/generate",
        {"models": [], "key_alias": "x", "metadata": {"groups": ["admins"]}},
    ),
    "a key of the team": ("/key/generate", {"team_id": "payments"}),
    "a service account": ("/key/service-account/generate", {"team_id": "payments"}),
    "the own key without limits": ("/key/update", {"key": "OWN", "metadata": {"groups": ["a"]}}),
    "another value": ("/key/regenerate", {"key": "OWN"}),
    "no key of another": ("/key/delete", {"key_aliases": ["bob"]}),
    "a role": ("/user/update", {"user_id": "alice", "user_role": "proxy_admin"}),
    "a user": ("/user/new", {"user_id": "x"}),
    "a team": ("/team/new", {"team_alias": "x"}),
    "a bigger team": ("/team/update", {"team_id": "payments", "models": []}),
    "another team": (
        "/team/member_add",
        {"team_id": "research", "member": [{"user_id": "alice", "role": "user"}]},
    ),
    "a model": ("/model/new", {"model_name": "x", "litellm_params": {"model": "openai/x"}}),
    "settings": ("/config/update", {"litellm_settings": {}}),
    "a way through": ("/config/pass_through_endpoint", {"path": "/x", "target": "http://none"}),
    "a server": ("/v1/mcp/server", {"server_name": "x", "url": "http://none", "transport": "http"}),
    "keys": ("/key/list?return_full_object=true", None),
    "aliases": ("/key/aliases", None),
    "users": ("/user/list", None),
    "people's keys": ("/user/info", None),
    "people of the team": ("/team/info?team_id=payments", None),
    "spending": ("/spend/logs", None),
    "spending by key": ("/spend/keys", None),
    "what others do": ("/global/activity?start_date=2026-01-01&end_date=2027-01-01", None),
    "settings of callbacks": ("/get/config/callbacks", None),
    "a call of every model": ("/health", None),
    "credentials": ("/credentials", None),
}
# What the CLIs ask. Nothing answers behind these models, so a server's error counts as let through.
NEEDED = {
    "/v1/models": None,
    "/key/info": None,
    "/model/info": None,
    "/v1/chat/completions": {"model": "small", "messages": [{"role": "user", "content": "x"}]},
    "/v1/messages?beta=true": {
        "model": "small",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "x"}],
    },
    "/v1/messages/count_tokens": {
        "model": "small",
        "messages": [{"role": "user", "content": "x"}],
    },
    "/v1/responses": {"model": "small", "input": "x"},
    "/v1beta/models/small:generateContent": {"contents": [{"parts": [{"text": "x"}]}]},
    "/v1beta/models/small:countTokens": {"contents": [{"parts": [{"text": "x"}]}]},
    "/v1/embeddings": {"model": "small", "input": "x"},
}


def not_refused(litellm, key: str) -> dict:
    """Return the status of each attack that was not refused."""
    seen = {}
    for attack, (path, body) in ATTACKS.items():
        own = {**body, "key": key} if body and body.get("key") == "OWN" else body
        status, _told = litellm.ask(path, own, key)
        if status not in (401, 403):
            seen[attack] = status
    return seen


def test_a_key_makes_no_keys_and_tells_of_nobody_else(site):
    site.run()
    for alias in ("alice", "first-developer"):
        key = site.value(alias)
        assert not_refused(site.litellm, key) == {}, alias
        asked = {path: site.litellm.ask(path, body, key)[0] for path, body in NEEDED.items()}
        refused = [path for path, status in asked.items() if status in (401, 403, 404)]
        assert not refused, (alias, asked)


def test_what_an_earlier_platform_left_is_closed_without_a_new_key(site):
    """People were internal users then, keys could call everything, and some made keys."""
    site.run()
    key, litellm = site.value("alice"), site.litellm
    litellm.ask("/user/update", {"user_id": "alice", "user_role": "internal_user"})
    for alias in ("alice", "first-developer"):
        litellm.ask("/key/update", {"key": site.value(alias), "allowed_routes": []})
    body = {"models": [], "key_alias": "x", "metadata": {"managed_by": "intranet.mcp"}}
    status, made = litellm.ask("/key/generate", body, key)
    assert status == 200, made
    assert site.run("--check")[0] == 2 and site.key(made["key"])
    assert site.run()[0] == 2
    assert site.run()[0] == 0
    assert not site.key(made["key"]), "a key of one's own making"
    assert site.key(key) and not_refused(litellm, key) == {}


def test_leaving_ends_keys_that_nobody_knew_of(site):
    site.run()
    by_hand = {"key_alias": "carols", "user_id": "carol"}
    status, made = site.litellm.ask("/key/generate", by_hand)
    assert status == 200 and site.key(made["key"])
    given = site.value("carol")
    site.declare(PAYMENTS, {**RESEARCH, "members": []})
    site.run()
    assert not site.key(made["key"]) and not site.key(given)
    users = site.litellm.ask("/user/list?user_ids=carol&page_size=100")[1]["users"]
    assert [user["user_id"] for user in users] == []
    assert site.run()[0] == 0


class Gateway:
    """The gateway with the policy that the role's template makes of a site's teams."""

    def __init__(self, site: Site, docker, folder: Path, run_module) -> None:
        self.site, self.run_module = site, run_module
        folder.mkdir(mode=0o755)
        folder.parent.chmod(0o755)
        self.file = folder / "gateway.yml"
        self.render()
        self.file.chmod(0o644)
        self.container = docker.start(
            "gateway",
            image("gateway"),
            "--publish=127.0.0.1::8080",
            f"--volume={self.file}:/gateway.yml:ro",
            f"--volume={PLAIN_SERVER}:/server.py:ro",
            command=("--config", "/gateway.yml"),
        )
        self.url = f"http://{docker.address(self.container, 8080)}"
        wait_until(lambda: http_status(f"{self.url}/ready") == 200, 30, f"the gateway, {self.url}")

    def render(self) -> None:
        """Have the policy of what the site declares now; a running gateway reads the file anew."""
        self.site.run(play="render")
        rendered = yaml.safe_load((self.site.folder / "gateway.yml").read_text())
        assert set(rendered["upstreams"]) >= {"filesystem", "example"}
        upstream = {"type": "stdio", "command": "python3", "args": ["/server.py"]}
        config = {
            "listen": {"host": "0.0.0.0", "port": 8080, "allowed_hosts": ["*"]},
            "auth": {"litellm": {**rendered["auth"]["litellm"], "url": "http://litellm:4000"}},
            "policy": rendered["policy"],
            "upstreams": {"filesystem": upstream, "example": upstream},
        }
        self.file.write_text(yaml.safe_dump(config))

    def tools(self, alias: str, **options) -> dict:
        """List with somebody's key what is there."""
        key = self.site.value(alias)
        return self.run_module("mcp_health", url=f"{self.url}/mcp", key=key, **options)


@pytest.fixture
def gateway(site, docker, run_module, tmp_path):
    """A gateway beside the site; its people are there."""
    site.run()
    started = Gateway(site, docker, tmp_path / "gateway", run_module)
    yield started
    docker.run("rm", "-f", started.container)


OWN = ["example__count", "filesystem__echo", "filesystem__environment", "filesystem__error"]


def test_the_gateway_gives_a_team_its_tools_and_nothing_else(gateway):
    echo = {"tool": "filesystem__echo", "arguments": {"text": "x"}}
    seen = gateway.tools("alice", tools=OWN, call=echo)
    assert not seen["failed"], seen
    hidden = gateway.tools("alice", call={"tool": "example__echo"})
    assert hidden["failed"], "not listed, not callable"
    for other in ("carol", "first-developer"):
        everything = gateway.tools(other, tools_min=22, call={"tool": "example__pid"})
        assert not everything["failed"], everything


def first_request(gateway, key: str) -> tuple[int, str]:
    """Return the status and the text of a first request."""
    body = {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {}}
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    headers["Accept"] = "application/json, text/event-stream"
    request = urllib.request.Request(f"{gateway.url}/mcp", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_key_that_the_inventory_does_not_know_reaches_no_tool(site, gateway):
    """One that a member made, as an earlier platform allowed, and one that was made by hand."""
    litellm = site.litellm
    litellm.ask("/user/update", {"user_id": "alice", "user_role": "internal_user"})
    litellm.ask("/key/update", {"key": site.value("alice"), "allowed_routes": []})
    body = {"models": [], "key_alias": "first-developer-old-1", "metadata": {"groups": ["admins"]}}
    status, minted = litellm.ask("/key/generate", body, site.value("alice"))
    assert status == 200, minted
    by_hand = litellm.ask("/key/generate", {"key_alias": "by-hand"})[1]
    try:
        reasons = ("no administrator made", "'by-hand' without a team")
        for made, reason in zip((minted, by_hand), reasons, strict=True):
            status, text = first_request(gateway, made["key"])
            assert status == 403 and reason in text, text
        for alias in ("alice", "first-developer", "verify"):
            assert first_request(gateway, site.value(alias))[0] != 403
    finally:
        litellm.ask("/key/delete", {"keys": [made["key"] for made in (minted, by_hand)]})


class Session:
    """A session that stays open, as a CLI at work holds one."""

    def __init__(self, url: str, key: str) -> None:
        self.url, self.headers = f"{url}/mcp", {"Authorization": f"Bearer {key}"}
        client = {"name": "test", "version": "1"}
        hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client}
        self.headers["Mcp-Session-Id"] = self._post("initialize", hello)[0]["Mcp-Session-Id"]

    def _post(self, method: str, params: dict) -> tuple:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        headers = {**self.headers, "Accept": "application/json, text/event-stream"}
        headers["Content-Type"] = "application/json"
        request = urllib.request.Request(self.url, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=30) as response:
            text = response.read().decode()
        return response.headers, json.loads(text[text.index("{") :])

    def echoes(self) -> bool:
        """Say whether the tool may be called."""
        echo = {"name": "filesystem__echo", "arguments": {"text": "x"}}
        return "result" in self._post("tools/call", echo)[1]


def test_a_tool_that_a_team_loses_is_gone_at_once_and_no_later_run_gives_it_back(site, gateway):
    held = Session(gateway.url, site.value("alice"))
    assert held.echoes()
    left = {"filesystem": ["environment"], "example": ["count"]}
    site.declare({**PAYMENTS, "mcp": left}, RESEARCH)
    assert site.run()[0] == 0, "LiteLLM keeps no grant of tools that could come back"
    gateway.render()
    wait_until(lambda: not held.echoes(), 10, "the open session to lose the tool")
    kept = ["example__count", "filesystem__environment"]
    assert not gateway.tools("alice", tools=kept, denied_calls=["filesystem__echo"])["failed"]
    assert site.run()[0] == 0
    gateway.render()
    assert not gateway.tools("alice", tools=kept, denied_calls=["filesystem__echo"])["failed"]
    assert not held.echoes()
