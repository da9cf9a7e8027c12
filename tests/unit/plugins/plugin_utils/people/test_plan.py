# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Teams as data: what is refused, what LiteLLM gets, what the gateway allows."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
import support
import yaml
from ansible_collections.intranet.mcp.plugins.plugin_utils.people import plan as people

SERVERS = ["example", "filesystem"]
MODELS = ["qwen3:8b", "small"]
NOW = datetime(2026, 11, 24, tzinfo=UTC)
ROUTES = ["/v1/messages", "/key/info"]


def team(**fields):
    return {"name": "payments", "members": [{"alias": "alice"}], **fields}


def member(**fields):
    return team(members=[{"alias": "alice", **fields}])


def found(*teams, keys=(), servers=SERVERS, models=MODELS):
    return [str(p) for p in people.problems(list(teams), list(keys), servers, models)]


EVERYTHING = {
    "name": "payments",
    "models": ["small"],
    "budget": {"amount": 100, "period": "30d"},
    "limits": {"tpm": 100000, "rpm": 600},
    "mcp": {"filesystem": ["read_*", "list_*"], "example": ["*"]},
    "expires": date(2027, 12, 31),
    "members": [
        {"alias": "alice", "email": "alice@example.internal"},
        {"alias": "bob", "budget": {"amount": 5}, "limits": {"rpm": 6}, "expires": "2027-01-31"},
        {"alias": "carol", "state": "absent"},
    ],
}


def test_nothing_is_wrong_with_what_the_readme_shows():
    assert found(EVERYTHING, {"name": "research"}, keys=[{"key_alias": "first-developer"}]) == []
    assert found() == []


WRONG = {
    "an empty alias": (member(alias=""), "an alias in the team payments is ''"),
    "no alias": ({"name": "a", "members": [{}]}, "an alias in the team a is None"),
    "an alias that is no file name": (member(alias="../x"), "'../x'"),
    "an empty name": (team(name=""), "a team's name is ''"),
    "a name that is a glob": (team(name="pay*"), "'pay*'"),
    "an unknown key": (team(budgett={}), "the team payments has a 'budgett'"),
    "an unknown key of a member": (member(mail="x"), "alice in the team payments has a 'mail'"),
    "an unknown key of a budget": (team(budget={"amount": 1, "every": "1d"}), "'every'"),
    "a budget without amount": (team(budget={"period": "30d"}), "without amount"),
    "a budget that is a number": (team(budget=5), "a number as budget"),
    "a negative budget": (team(budget={"amount": -1}), "budget.amount of the team payments is -1"),
    "a period of another world": (team(budget={"amount": 1, "period": "monthly"}), "'monthly'"),
    "a limit in words": (team(limits={"rpm": "many"}), "limits.rpm of the team payments is 'many'"),
    "a limit that is no whole number": (team(limits={"tpm": 1.5}), "is 1.5"),
    "a limit that is a boolean": (team(limits={"tpm": True}), "is True"),
    "a bad date": (team(expires="31.12.2027"), "31.12.2027"),
    "a bad date of a member": (member(expires="soon"), "alice in the team payments expires"),
    "an unknown model": (team(models=["gpt-9"]), "the unknown model gpt-9"),
    "an unknown model of a member": (member(models=["gpt-9"]), "the unknown model gpt-9"),
    "models that are text": (team(models="small"), "text as models"),
    "an unknown server": (team(mcp={"filesytem": ["*"]}), "the unknown MCP server filesytem"),
    "globs that are text": (team(mcp={"example": "*"}), "mcp.example of the team payments is text"),
    "an empty glob": (team(mcp={"example": [""]}), "mcp.example"),
    "servers in a list": (team(mcp=["example"]), "as mcp"),
    "members that are names": (team(members=["alice"]), "members of the team payments"),
    "a state nobody knows": (member(state="gone"), "the state 'gone'"),
    "a member with more than the team": (
        team(models=["small"], members=[{"alias": "alice", "models": ["qwen3:8b"]}]),
        "may use qwen3:8b, the team may not",
    ),
    "a member who is faster than the team": (
        team(limits={"rpm": 5}, members=[{"alias": "alice", "limits": {"rpm": 6}}]),
        "limits.rpm of alice in the team payments is 6",
    ),
    "the platform's own alias": (member(alias="verify"), "the alias verify is there twice"),
}


@pytest.mark.parametrize("case", WRONG)
def test_each_mistake_is_found_once_and_explained(case):
    wrong, expected = WRONG[case]
    (problem,) = found(wrong)
    assert expected in problem and "; expected " in problem


def test_an_alias_is_taken_by_teams_and_keys_alike_however_it_is_written():
    other = {"name": "research", "members": [{"alias": "Alice"}, {"alias": "bob"}]}
    both = found(team(), other, keys=[{"key_alias": "bob"}])
    assert len(both) == 2
    assert "the alias Alice is there twice (the team payments; the team research)" in both[0]
    assert "the alias bob is there twice (the team research; litellm_keys)" in both[1]
    twice = found(keys=[{"key_alias": "x"}, {"key_alias": "x"}])
    assert len(twice) == 1 and "litellm_keys; litellm_keys" in twice[0]


def test_teams_and_addresses_are_there_once():
    assert "the name payments is there twice" in found(team(), team(members=[]))[0]
    mail = "a@example.internal"
    members = [{"alias": "a", "email": mail}, {"alias": "b", "email": mail.upper()}]
    assert "the email" in found(team(members=members))[0]
    members[1]["state"] = "absent"
    assert found(team(members=members)) == []


def test_a_member_may_have_less_than_the_team_or_one_of_its_wildcards():
    less = {"alias": "alice", "models": ["cloud/big"], "limits": {"rpm": 5}}
    allowed = team(models=["cloud/*", "small"], limits={"rpm": 6}, members=[less])
    assert found(allowed, models=["cloud/*", "small"]) == []


def test_every_mistake_is_reported_at_once():
    wrong = {"name": "a", "models": ["x"], "mcp": {"y": ["*"]}, "members": [{"alias": ""}]}
    assert len(found(wrong, keys=[{"key_alias": "k", "models": ["z"]}])) == 4


def test_models_of_the_database_are_left_to_litellm():
    assert found(team(models=["gpt-9"]), models=None) == []


def test_wildcards_and_groups_are_models():
    assert found(team(models=["cloud/big", "all-proxy-models"]), models=["cloud/*"]) == []


@pytest.mark.parametrize("value", [None, "x", {}, ["x"]])
def test_what_is_no_list_of_teams_is_refused(value):
    (problem,) = people.problems(value, [])
    assert "a list of mappings" in str(problem)


def test_a_plan_holds_the_options_of_the_modules():
    plan = people.plan([EVERYTHING], [{"key_alias": "ci", "rpm_limit": 5}], ROUTES, NOW)
    (payments,) = plan["teams"]
    assert payments == {
        "team_alias": "payments",
        "team_id": "payments",
        "models": ["small"],
        "max_budget": 100,
        "budget_duration": "30d",
        "tpm_limit": 100000,
        "rpm_limit": 600,
    }
    person = {"user_role": "internal_user_viewer", "teams": ["payments"]}
    assert plan["users"] == [
        {"user_id": "alice", **person, "user_email": "alice@example.internal"},
        {"user_id": "bob", **person},
        {"user_id": "carol", "state": "absent"},
    ]
    ci, alice, bob, carol = plan["keys"]
    assert (ci["key_alias"], ci["rpm_limit"], ci["max_budget"], ci["team_id"]) == ("ci", 5, -1, "")
    assert ci["allowed_routes"] == alice["allowed_routes"] == ROUTES
    assert (alice["team_id"], alice["user_id"], alice["models"]) == ("payments", "alice", [])
    assert alice["expires"].startswith("2027-12-31T00:00")
    assert (alice["max_budget"], alice["rpm_limit"]) == (-1, -1), "the team's limits, not the key's"
    assert (bob["max_budget"], bob["budget_duration"], bob["rpm_limit"]) == (5, "", 6)
    assert bob["expires"].startswith("2027-01-31")
    assert carol == {"key_alias": "carol", "state": "absent"}


def test_keys_without_an_end_lose_an_earlier_one():
    (key,) = people.plan([team()], [], ROUTES, NOW)["keys"]
    assert key["duration"] == "never" and "expires" not in key


def test_once_the_day_has_come_the_keys_go_and_the_people_stay():
    plan = people.plan([team(expires="2026-11-23")], [], ROUTES, NOW)
    assert plan["keys"] == [{"key_alias": "alice", "state": "absent"}]
    assert plan["users"][0].get("state") is None


def test_a_key_of_the_site_may_call_what_its_entry_says():
    (key,) = people.plan([], [{"key_alias": "admin", "allowed_routes": []}], ROUTES, NOW)["keys"]
    assert key["allowed_routes"] == []


def opens(route, path):
    """Whether LiteLLM lets a key with this route call a path: an equal one, or one below it."""
    return path == route or path.startswith(route.rstrip("/*") + "/")


def test_no_key_of_the_platforms_making_changes_a_key():
    """LiteLLM does not say who changed one, and the gateway believes alias and groups of these."""
    roles = support.REPOSITORY / "roles"
    routes = yaml.safe_load((roles / "platform/defaults/main/teams.yml").read_text())
    given = routes["platform_key_routes"]
    portal = yaml.safe_load((roles / "teams/vars/main.yml").read_text())["__teams_portal_key"]
    made = people.plan([EVERYTHING], [{"key_alias": "a"}, portal], given, NOW)["keys"]
    alive = [key for key in made if key.get("state") != "absent"]
    assert len(alive) == 4
    for key in alive:
        may = key["allowed_routes"]
        assert may and all(route.startswith("/") for route in may), "a group of routes, or all"
        for verb in ("update", "regenerate", "bulk_update", "anything"):
            assert not [r for r in may if opens(r, f"/key/{verb}")], (key["key_alias"], verb)


def test_values_come_from_the_next_file_while_a_key_is_rotated():
    keys = [{"key_alias": "a"}, {"key_alias": "gone", "state": "absent"}, {"key_alias": "b"}]
    assert people.secret_names(keys, ["b"]) == ["key-a", "next-key-b"]
    first, gone, second = people.with_values(keys, ["va", "vb"], ["b"], "7d", "90d")
    assert (first["key"], second["key"]) == ("va", "vb") and "key" not in gone
    assert (first["grace_period"], second["grace_period"]) == ("0s", "7d")
    assert first["rotate_after"] == "90d"
    own = people.with_values([{"key_alias": "a", "rotate_after": "1d"}], ["v"], [], "7d", "")
    assert own[0]["rotate_after"] == "1d"


def test_models_that_the_inventory_offers():
    ollama = [{"name": "small"}, {"name": "old", "state": "absent"}]
    assert people.declared_models(ollama, [{"model_name": "company"}]) == ["company", "small"]


def test_a_team_with_servers_gets_these_tools_and_nothing_else():
    example, files, rest = people.gateway_rules([EVERYTHING, {"name": "research"}])
    assert example == {
        "name": "team payments: example",
        "effect": "allow",
        "teams": ["payments"],
        "servers": ["example"],
        "tools": ["*"],
    }
    assert files["tools"] == ["read_*", "list_*"]
    assert files["prompts"] == files["resources"] == []
    assert rest == {"name": "team payments: nothing else", "effect": "deny", "teams": ["payments"]}


def test_a_team_with_no_server_sees_nothing_and_one_without_the_word_sees_all():
    assert [r["effect"] for r in people.gateway_rules([team(mcp={})])] == ["deny"]
    assert people.gateway_rules([team(), {"name": "x", "mcp": None}]) == []


def test_the_gateway_takes_the_keys_of_the_inventory_once_a_team_has_rules():
    keys = [{"key_alias": "ci"}, {"key_alias": "gone", "state": "absent"}]
    rules = [{"name": "ops", "teams": ["ops", "red*"], "keys": ["chief", "!x", "*"]}, {"name": "y"}]
    assert people.gateway_known([{"name": "research"}], keys, rules) == {}
    known = people.gateway_known([EVERYTHING, {"name": "research"}], keys, rules)
    assert known["known_teams"] == ["ops", "payments", "research"]
    assert known["known_keys"][:4] == ["chief", "chief-old-*", "ci", "ci-old-*"]
    assert set(known["known_keys"][4:]) == {
        f"{alias}{end}" for alias in people.CALLERS for end in ("", "-old-*")
    }
