# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the portal shows and hands out is what bundles have, without a key."""

from __future__ import annotations

import json

import support
import yaml
from ansible_collections.intranet.mcp.plugins.filter.clients import bundle_texts
from ansible_collections.intranet.mcp.plugins.plugin_utils.clients import bundle, portal

MANIFEST = yaml.safe_load(
    (support.REPOSITORY / "roles/platform/vars/main/clients.yml").read_text()
)["client_manifest"]
SIZE = {"context": 40960, "max_output": 8192, "capabilities": None, "mode": "chat"}
ABOUT = {
    "litellm": "https://ai.example.internal",
    "gateway": "https://ai.example.internal/mcp",
    "manifest": MANIFEST,
    "sizes": [{"name": "small", **SIZE}, {"name": "large", **SIZE}],
    "ca": "an authority",
    "policy": {"default": "allow", "rules": []},
}
MODELS = {"names": ["small", "large"], "preferred": ""}
TEAMS = [{"name": "payments"}, {"name": "research", "models": ["large"]}, {"name": "others"}]
TABLE = [{"group": "dev", "team": "payments"}, {"group": "r", "team": "research"}]
SERVERS = {"files": {"description": "Shared files"}, "own": {}}
TEXTS = bundle_texts(str(support.REPOSITORY / "roles"))


def made(table=TABLE, teams=TEAMS):
    return portal.site(table, teams, list(MANIFEST), MODELS, ABOUT, TEXTS, SERVERS)


def test_a_team_gets_the_bundle_of_a_member_but_for_key_and_name():
    found = made()
    assert found["teams"].keys() == {"payments", "research"}, "those of the table"
    files = {f["path"]: f for f in [*found["files"], *found["teams"]["research"]["files"]]}
    person = {"alias": "alice", "models": ["large"], "model": "large", "key": "sk-alice"}
    for expected in bundle.files(person, ABOUT, list(MANIFEST), TEXTS):
        file = files.pop(expected["path"])
        content = file["content"].replace(portal.KEY, "sk-alice").replace(portal.ALIAS, "alice")
        assert (content, file["mode"]) == (expected["content"], expected["mode"])
    assert not files


def test_what_is_open_to_a_team_and_what_rules_say_is_told_without_people():
    teams = [{"name": "payments", "mcp": {"files": ["read_*"]}}, *TEAMS[1:]]
    found = made(teams=teams)
    assert found["open"] == {
        "payments": {"models": None, "servers": {"files": ["read_*"]}},
        "research": {"models": ["large"], "servers": None},
    }
    guests = {"name": "no guests", "effect": "deny", "groups": ["guests"], "keys": ["bob"]}
    about = {**ABOUT, "policy": {"default": "deny", "rules": [guests, {"name": "all"}]}}
    servers = {"files": {"tools": ["!drop"], "expect": {"tools": ["read", "drop"]}}, "own": {}}
    found = portal.site(TABLE, TEAMS, list(MANIFEST), MODELS, about, TEXTS, servers)
    assert found["tools"] == {"files": {"offered": ["read"], "left_out": ["drop"]}}
    assert found["policy"]["default"] == "deny"
    assert [(r["name"], r["effect"], r["is_for_some"]) for r in found["policy"]["rules"]] == [
        ("no guests", "deny", True),
        ("all", "allow", False),
    ]
    assert not {"guests", "bob"} & set(json.dumps(found["policy"]).split('"'))


def test_what_teams_have_in_common_is_there_once():
    found = made()
    common = {file["path"] for file in found["files"]}
    assert "install.sh" in common and "files/.codex/config.toml" not in common
    own = {file["path"] for file in found["teams"]["payments"]["files"]}
    assert "files/.codex/config.toml" in own and not own & common


def test_settings_of_each_cli_are_shown_with_the_teams_model():
    shown = made()["teams"]["research"]["clients"]
    assert [client["name"] for client in shown] == list(MANIFEST)
    for client in shown:
        text = "".join(file["content"] for file in client["files"])
        assert "large" in text, client["name"]
        assert not any("/key" in file["path"] for file in client["files"])


def test_whether_machines_have_to_be_told_of_an_authority_is_told():
    assert made()["has_own_ca"]
    known = portal.site(TABLE, TEAMS, ["codex"], MODELS, {**ABOUT, "ca": ""}, TEXTS, {})
    assert not known["has_own_ca"]


def test_a_team_without_a_model_gets_no_settings():
    found = made(teams=[{"name": "payments", "models": ["gone"]}])
    assert found["teams"] == {} and found["files"] == []


def test_servers_and_models_are_named_with_what_is_known_of_them():
    found = made()
    assert found["servers"] == {"files": "Shared files", "own": ""}
    assert found["models"][0] == {
        "name": "small",
        "context": 40960,
        "max_output": 8192,
        "capabilities": [],
    }
    assert json.dumps(found)


def test_portals_bundle_has_the_program_that_takes_keys_and_others_do_not():
    login = {"portal": "https://ai.example.internal/portal", "program": "#!/usr/bin/env python3\n"}
    person = {"alias": "alice", "models": ["large"], "model": "large", "key": "sk-alice"}
    texts = [
        {f["path"]: f["content"] for f in bundle.files(person, about, list(MANIFEST), TEXTS)}
        for about in (ABOUT, {**ABOUT, "login": login})
    ]
    without, with_login = texts
    program, place = "files/.local/bin/intranet-mcp", "files/.config/intranet-mcp/portal"
    assert not {program, place} & without.keys()
    assert with_login[program] == login["program"]
    assert with_login[place] == "https://ai.example.internal/portal\n"
    helpers = [json.loads(t["files/.claude/settings.json"])["apiKeyHelper"] for t in texts]
    assert helpers == ["cat ~/.config/intranet-mcp/key", "~/.local/bin/intranet-mcp key"]
    headers = "files/.config/intranet-mcp/claude-headers"
    assert 'read -r key <"$HOME/.config/intranet-mcp/key"' in without[headers]
    assert 'key=$("$HOME/.local/bin/intranet-mcp" key)' in with_login[headers]
