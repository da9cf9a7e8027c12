# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding
from ansible_collections.intranet.mcp.plugins.plugin_utils.examine import verify

ROOT = Path(__file__).resolve().parents[5]
BUILTIN = ROOT / "roles/platform/defaults/main/mcp_servers.yml"
ABOUT = {"platform": "local", "at": "2026-01-01T00:00:00+00:00", "seconds": 12.4}


def check(name, status="passed", **more):
    row = Finding(name, "found it", "that", "do this", status=status).as_row()
    return {"group": "Tools", **row, **more}


def made(*checks, **settings):
    return verify.report({"here": {"checks": list(checks)}}, ABOUT, **settings)


def test_a_report_counts_every_check():
    found = made(check("a"), check("b", "failed"), check("c", "unknown"))
    assert (found["passed"], found["failed"], found["unknown"]) == (1, 1, 1)
    assert found["platform"] == "local"


@pytest.mark.parametrize(
    ("result", "found"),
    [
        ({}, "no answer"),
        ({"unreachable": True, "msg": "no route to host"}, "no route to host"),
        ({"failed": True, "msg": "x", "checks": [], "error": {"found": "no kind"}}, "no kind"),
    ],
)
def test_a_host_that_was_not_looked_at_is_unknown_and_not_passed(result, found):
    report = verify.report({"there": result}, ABOUT)
    assert (report["passed"], report["unknown"]) == (0, 1)
    assert report["checks"][0]["found"] == found


def test_what_is_not_required_warns_and_is_no_failure():
    found = made(check("drift here", "failed"), check("disk", "failed"), advisory=["drift *"])
    assert (found["warning"], found["failed"]) == (1, 1)
    assert found["checks"][0]["action"] == "do this"


def test_only_what_could_not_run_can_be_declared_not_applicable():
    reason = {"ports *": "a scan of our own"}
    found = made(check("ports a", "unknown"), check("ports b", "failed"), not_applicable=reason)
    assert (found["not_applicable"], found["failed"], found["unknown"]) == (1, 1, 0)
    assert "a scan of our own" in found["checks"][0]["found"]


def test_the_table_ends_with_what_failed_what_to_do_and_the_sum():
    lines = verify.table(made(check("bad", "failed"), check("good")))
    assert lines[0].startswith("passed   good")
    assert lines[1].startswith("failed   bad")
    assert lines[2].strip() == "expected: that" and lines[3].strip() == "do: do this"
    assert lines[-1] == "2 checks in 12 s: 1 passed, 1 failed"


@pytest.mark.parametrize(("took", "text"), [(None, ""), (3.4, "3 ms"), (12345.6, "12.3 s")])
def test_latencies_read_well(took, text):
    assert verify.milliseconds({"milliseconds": took}) == text


def test_embedding_models_are_asked_for_vectors_only():
    checks = verify.model_checks({"name": "e", "embedding": True}, ["chat"])["checks"]
    assert checks == ["models", "embedding"]


def test_an_api_is_asked_for_under_the_name_that_users_know():
    asked = verify.model_checks({"model_name": "large:1", "model": "x"}, ["chat"])
    assert (asked["name"], asked["gemini_name"]) == ("large:1", "large-1")


SERVERS = {
    "files": {"expect": {"tools": ["list", "read"], "call": {"tool": "list"}}},
    "count": {"expect": {"tools": ["count"]}},
}


def test_what_is_expected_of_a_server_becomes_its_probe():
    probes = {p["name"]: p["options"] for p in verify.server_probes(SERVERS, "http://g", 60)}
    files = probes["mcp files"]
    assert files["url"] == "http://g/servers/files/mcp" and files["tools"] == ["list", "read"]
    assert files["call"] == {"tool": "list"} and "call" not in probes["mcp count"]
    (unknown,) = verify.server_probes({"own": {}}, "http://g", 60)
    assert unknown["options"]["tools_min"] == 1 and "tools_min" not in files


def test_keys_are_tried_where_nothing_is_started_for_them():
    busy = {"browser": {"mode": "per_session"}}
    assert verify.door({**busy, "files": {}}, "http://g") == "http://g/servers/files/mcp"
    assert verify.door(busy, "http://g") == "http://g/mcp"


def test_the_gateways_tools_are_exact_where_each_servers_are():
    assert verify.aggregated_tools(SERVERS) == {
        "tools": ["count__count", "files__list", "files__read"]
    }
    with_unknown = {**SERVERS, "own": {}}
    expected = {"tools_include": ["files__*", "count__*", "own__*"]}
    assert verify.aggregated_tools(with_unknown) == expected


URLS = {"llm": "http://l", "mcp": "http://g"}
MEMBER = {"alias": "alice", "email": "alice@example.internal"}


def of_teams(*teams, aliases=("alice",)):
    return verify.team_probes(list(teams), list(aliases), ["small", "large"], SERVERS, URLS)


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


def litellm_has(users=(), keys=()):
    return {
        "users": [{"is_managed": True, "user_role": "internal_user_viewer", **u} for u in users],
        "keys": [
            {
                "is_managed": True,
                "allowed_routes": ["/v1/models"],
                "created_by": "default_user_id",
                "key_hash": "0123456789abcdef",
                **key,
            }
            for key in keys
        ],
    }


def test_people_and_keys_as_site_makes_them_pass():
    told = litellm_has(
        [{"user_id": "alice"}, {"user_id": "ui", "is_managed": False, "user_role": "proxy_admin"}],
        [
            {"key_alias": "alice"},
            {"key_alias": "admin", "allowed_routes": []},
            {"key_alias": "admin-old-1", "allowed_routes": []},
            {"key_alias": "by-hand", "is_managed": False, "allowed_routes": [], "created_by": "ui"},
        ],
    )
    rows = verify.people_rows(told, [{"key_alias": "admin", "allowed_routes": []}])
    assert [row["status"] for row in rows] == ["passed"] * 3
    assert {row["group"] for row in rows} == {"Intruders"}


def test_people_and_keys_that_may_do_more_are_named():
    told = litellm_has(
        [{"user_id": "alice", "user_role": "internal_user"}],
        [
            {"key_alias": "ci", "allowed_routes": []},
            {"key_alias": None, "created_by": "alice", "is_managed": False},
        ],
    )
    rows = verify.people_rows(told, [{"key_alias": "ci"}])
    assert [(row["status"], row["found"]) for row in rows] == [
        ("failed", "alice is internal_user"),
        ("failed", "ci"),
        ("failed", "0123456789ab by alice"),
    ]
    assert {row["action"] for row in rows} == {"run site.yml"}


def test_people_that_nobody_could_ask_about_are_unknown():
    rows = verify.people_rows({"failed": True, "msg": "LiteLLM is away"}, [])
    assert {(row["status"], row["found"]) for row in rows} == {("unknown", "LiteLLM is away")}


def test_tools_that_are_off_are_not_expected():
    servers = yaml.safe_load(BUILTIN.read_text())["platform_builtin_mcp_servers"]
    (browser,) = [p for p in verify.server_probes(servers, "http://g", 9) if "browser" in p["name"]]
    assert not {"browser_run_code_unsafe", "browser_file_upload"} & {*browser["options"]["tools"]}
    assert "browser_navigate" in browser["options"]["tools"]
    everything = {"browser": {**servers["browser"], "tools": ["*"]}}
    assert "browser__browser_file_upload" in verify.aggregated_tools(everything)["tools"]
