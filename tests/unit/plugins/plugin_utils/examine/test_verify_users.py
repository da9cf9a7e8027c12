# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.intranet.mcp.plugins.module_utils.examine import probes
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine import verify_users

ROOT = Path(__file__).resolve().parents[5]
BUILTIN = ROOT / "roles/platform/defaults/main/mcp_servers.yml"

SERVERS = {
    "files": {"expect": {"tools": ["list", "read"], "call": {"tool": "list"}}},
    "count": {"expect": {"tools": ["count"]}},
}


def test_what_is_expected_of_a_server_becomes_its_probe():
    probes = {p["name"]: p["options"] for p in verify_users.server_probes(SERVERS, "http://g", 60)}
    files = probes["mcp files"]
    assert files["url"] == "http://g/servers/files/mcp" and files["tools"] == ["list", "read"]
    assert files["call"] == {"tool": "list"} and "call" not in probes["mcp count"]
    (unknown,) = verify_users.server_probes({"own": {}}, "http://g", 60)
    assert unknown["options"]["tools_min"] == 1 and "tools_min" not in files


def test_keys_are_tried_where_nothing_is_started_for_them():
    busy = {"browser": {"mode": "per_session"}}
    assert (
        verify_users.url_for_keys({**busy, "files": {}}, "http://g") == "http://g/servers/files/mcp"
    )
    assert verify_users.url_for_keys(busy, "http://g") == "http://g/mcp"


def test_the_gateways_tools_are_exact_where_each_servers_are():
    assert verify_users.aggregated_tools(SERVERS) == {
        "tools": ["count__count", "files__list", "files__read"]
    }
    with_unknown = {**SERVERS, "own": {}}
    expected = {"tools_include": ["files__*", "count__*", "own__*"]}
    assert verify_users.aggregated_tools(with_unknown) == expected


URLS = {"llm": "http://l", "mcp": "http://g"}
MEMBER = {"alias": "alice", "email": "alice@example.internal"}


def of_teams(*teams, aliases=("alice",)):
    return verify_users.team_probes(list(teams), list(aliases), ["small", "large"], SERVERS, URLS)


def test_a_teams_limits_are_tried_with_a_members_key():
    team = {"name": "t", "models": ["small"], "mcp": {"count": ["*"]}, "members": [MEMBER]}
    llm, mcp = of_teams(team)
    assert llm["options"]["denied_models"] == ["large"]
    assert llm["options"]["api_key"] == mcp["options"]["key"] == "member-alice"
    assert mcp["options"]["tools_exclude"] == ["files__*"]
    assert mcp["options"]["denied_calls"] == ["files__list"]


@pytest.mark.parametrize(
    "team",
    [
        {"name": "t", "members": [MEMBER]},  # may do everything
        {"name": "t", "models": ["small"], "mcp": {}, "members": [{**MEMBER, "state": "absent"}]},
        {"name": "t", "models": ["small"], "mcp": {}, "members": [{"alias": "bob"}]},  # no key
        {"name": "t", "models": ["small", "large"], "members": [MEMBER]},
    ],
)
def test_without_limits_or_keys_there_is_nothing_to_try_and_that_is_said(team):
    assert [probe["kind"] for probe in of_teams(team)] == ["not_applicable"] * 2


def test_a_member_with_models_of_their_own_proves_nothing_of_the_team():
    team = {"name": "t", "models": ["small"], "members": [{**MEMBER, "models": ["large"]}]}
    assert of_teams(team)[0]["kind"] == "not_applicable"


def test_tools_that_are_off_are_not_expected():
    servers = yaml.safe_load(BUILTIN.read_text())["platform_builtin_mcp_servers"]
    (browser,) = [
        p for p in verify_users.server_probes(servers, "http://g", 9) if "browser" in p["name"]
    ]
    assert not {"browser_run_code_unsafe", "browser_file_upload"} & {*browser["options"]["tools"]}
    assert "browser_navigate" in browser["options"]["tools"]
    everything = {"browser": {**servers["browser"], "tools": ["*"]}}
    assert "browser__browser_file_upload" in verify_users.aggregated_tools(everything)["tools"]


ABOUT = {
    "urls": {"llm": "http://l", "mcp": "http://g", "balancer": ""},
    "balancer_health": "/health",
    "gateway_pages": ["/", "/ready", "/metrics"],
    "ca": "",
    "prefix": "intranet-",
    "shared_addresses": [],
    "listings": {},
    "models": [{"name": "small"}, {"name": "embed", "embedding": True}],
    "chat_checks": ["models", "chat"],
    "requests": {},
    "facts": [],
    "servers": SERVERS,
    "teams": [],
    "secrets": ["key-verify", "key-alice"],
    "timeout": 180,
    "first_word_seconds": 60,
    "revocation": True,
    "revoked_within_seconds": 40,
    "https_urls": [],
    "certificate_days": 21,
}
TEAM = {"name": "t", "models": ["other"], "mcp": {"count": ["*"]}, "members": [MEMBER]}


def named(about, function=verify_users.probes):
    return {(probe["name"], probe["group"]): probe for probe in function({**ABOUT, **about})}


def test_everything_that_people_use_is_asked():
    found = named({})
    assert [name for name, group in found if group == "Tools"] == [
        "mcp all",
        "mcp all over SSE",
        "mcp count",
        "mcp files",
    ]
    assert found["llm", "Models"]["options"]["denies"] == []
    assert [m["name"] for m in found["llm", "Models"]["options"]["models"]] == ["small", "embed"]
    assert found["llm", "Intruders"]["options"]["denies"] == ["no_key", "wrong_key"]
    for service in ("llm", "mcp"):
        assert found[service, "Keys"]["options"]["revoked_key"] == "revoked"
    assert found["certificates", "Services"]["kind"] == "not_applicable"


def test_every_probe_is_one_that_the_module_takes():
    about = {
        **ABOUT,
        "teams": [TEAM],
        "urls": {**ABOUT["urls"], "balancer": "https://b"},
        "shared_addresses": ["10.0.0.9"],
        "listings": {"lb1": "[]"},
        "facts": [{"name": "small", "mode": "chat", "context": 8192, "capabilities": None}],
    }
    keys = dict.fromkeys(["verify", "revoked", "intruder", "member-alice"], "sk-1")
    planned = verify_users.probes(about)
    planned += verify_users.fresh_probes(about) + verify_users.attacks(about)
    for probe in planned:
        probes.check(probe, keys)
    assert {"room", "holders", "http", "llm", "mcp"} <= {probe["kind"] for probe in planned}


def test_without_a_balancer_no_address_of_it_is_asked():
    assert not [name for name, _group in named({"shared_addresses": ["10.0.0.9"]}) if "one" in name]


def test_a_balancer_is_asked_at_its_address_and_each_for_those_that_they_share():
    about = {
        "urls": {**ABOUT["urls"], "balancer": "https://llm.example.internal"},
        "ca": "PEM",
        "shared_addresses": ["10.0.0.9"],
        "listings": {"lb1": "[]", "lb2": ""},
        "prefix": "own-",
    }
    found = named(about)
    one = found["the one address is up", "Services"]["options"]
    assert (one["url"], one["ca"]) == ("https://llm.example.internal/health", "PEM")
    assert one["service"] == "own-load_balancer"
    holders = found["one balancer holds the shared address", "Services"]["options"]
    assert holders == {
        "addresses": ["10.0.0.9"],
        "listings": about["listings"],
        "container": "own-keepalived",
    }


def test_a_revocation_that_is_not_wanted_is_said():
    found = named({"revocation": False})
    assert found["revoked key", "Keys"]["options"]["because"] == "verify_revocation is false"


def test_each_https_address_is_asked_once_for_its_certificate():
    url = "https://llm.example.internal"
    found = named({"https_urls": [url, url]})
    assert found["certificate llm.example.internal", "Services"]["options"]["days"] == 21
    assert ("certificates", "Services") not in found


def test_a_fresh_key_is_tried_at_both_services():
    llm, mcp = verify_users.fresh_probes(ABOUT)
    assert llm["options"]["models"] == [{"name": "small", "checks": ["models"]}]
    assert llm["options"]["api_key"] == mcp["options"]["key"] == "revoked"


def test_an_intruder_begins_at_servers_that_all_callers_share():
    servers = {"browser": {"mode": "per_session"}, "files": {}}
    litellm, gateway = verify_users.attacks({**ABOUT, "servers": servers})
    assert litellm["options"]["api_key"] == "intruder"
    assert gateway["options"]["servers"] == ["files", "browser"]


def test_only_keys_of_members_that_probes_use_are_read():
    assert verify_users.member_keys({**ABOUT, "teams": [TEAM]}) == ["alice"]
    assert verify_users.member_keys({**ABOUT, "teams": [TEAM], "secrets": ["key-verify"]}) == []
    assert verify_users.member_keys(ABOUT) == []


def test_a_secret_that_is_no_key_is_no_members():
    names = ["litellm_master_key", "key-alice", "key-verify", "key-alice"]
    assert verify_users.members_of(names) == ["alice", "verify"]
