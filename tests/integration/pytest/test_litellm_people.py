# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Teams, users, models and facts against a real LiteLLM with a real PostgreSQL."""

from __future__ import annotations

import json
import secrets

import pytest

pytestmark = pytest.mark.integration

CHAT = {"messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture
def name():
    return f"itest-{secrets.token_hex(4)}"


@pytest.fixture
def run(run_module, litellm):
    connection = {"litellm_url": litellm.url, "master_key": litellm.master_key}

    def run(module, check=False, **options):
        return run_module(f"litellm_{module}", check=check, **{**connection, **options})

    yield run
    for module, many in (
        ("key", "keys"),
        ("user", "users"),
        ("team", "teams"),
        ("model", "models"),
    ):
        assert not run(module, prune=True, **{many: []})["failed"]


def make(run, module, **options):
    """Foresee, make, and make again: what was foreseen happens, once."""
    foreseen = run(module, check=True, **options)
    made = run(module, **options)
    assert foreseen["changed"] and made["changed"], (foreseen, made)
    assert foreseen["diff"] == made["diff"]
    again = run(module, **options)
    assert not again["changed"], again["diff"]
    return made


def chat(litellm, key, model):
    return litellm.ask("/v1/chat/completions", {"model": model, **CHAT}, key)


# --- teams --------------------------------------------------------------------------------------


def test_team_comes_changes_and_goes(run, name):
    everything = {
        "models": ["small"],
        "max_budget": 12.5,
        "budget_duration": "30d",
        "tpm_limit": 1000,
        "rpm_limit": 10,
        "metadata": {"cost_centre": 7},
    }
    made = make(run, "team", team_alias=name, **everything)
    assert made["team_id"] == name
    info = made["team_info"]
    assert (info["models"], info["max_budget"], info["budget_duration"]) == (["small"], 12.5, "30d")
    assert (info["tpm_limit"], info["rpm_limit"]) == (1000, 10)
    assert info["metadata"] == {"managed_by": "intranet.mcp", "cost_centre": 7}
    for change in (
        {"models": ["small", "large"]},
        {"max_budget": 1, "budget_duration": "7d"},
        {"tpm_limit": 5, "rpm_limit": 6},
        {"metadata": {"cost_centre": None, "floor": 3}},
        {"max_budget": -1, "budget_duration": "", "tpm_limit": -1, "rpm_limit": -1},
        {"models": []},
    ):
        make(run, "team", team_alias=name, **change)
    info = run("team", team_alias=name)["team_info"]
    assert info["models"] == [] and info["max_budget"] is None and info["tpm_limit"] is None
    assert info["metadata"] == {"managed_by": "intranet.mcp", "floor": 3}
    assert run("team", team_alias=name, state="absent", check=True)["changed"]
    make(run, "team", team_alias=name, state="absent")


def test_limits_of_a_team_hold_for_its_keys(run, litellm, name):
    """None of the models answers; what matters is whether LiteLLM lets the question through."""
    run("team", team_alias=name, models=["small"])
    key = run("key", key_alias=name, team_id=name)["key"]
    assert litellm.ask("/v1/models", key=key)[1]["data"][0]["id"] == "small"
    status, answer = chat(litellm, key, "large")
    assert status == 403 and answer["error"]["type"] == "team_model_access_denied"
    assert chat(litellm, key, "small")[0] == 500, "let through, and nothing there to answer"
    run("team", team_alias=name, rpm_limit=1)
    statuses = [chat(litellm, key, "small")[0] for _try in range(3)]
    assert 429 in statuses
    spent = f"""UPDATE "LiteLLM_TeamTable" SET spend = 5 WHERE team_id = '{name}'"""
    litellm.docker.run("exec", litellm.postgres, "psql", "-U", "litellm", "-c", spent)
    run("team", team_alias=name, rpm_limit=-1, max_budget=1)
    status, answer = chat(litellm, key, "small")
    assert status == 422 and answer["error"]["type"] == "budget_exceeded"


def test_two_teams_of_one_alias_are_refused(run, litellm, name):
    ids = [litellm.ask("/team/new", {"team_alias": name})[1]["team_id"] for _twice in range(2)]
    result = run("team", team_alias=name, max_budget=1)
    assert result["failed"] and ids[0][:12] in result["msg"]
    assert litellm.ask("/team/delete", {"team_ids": ids})[0] == 200
    for alias in ("", f" {name}"):
        assert run("team", team_alias=alias)["error"]["reason"] == "refused"
    twice = [{"team_alias": name}, {"team_alias": name}]
    assert run("team", teams=twice)["error"]["reason"] == "refused"


def test_a_team_with_an_unknown_model_is_refused_and_not_made(run, name):
    teams = [{"team_alias": name}, {"team_alias": f"{name}-b", "models": ["gpt-9"]}]
    refused = run("team", teams=teams)
    assert refused["error"]["reason"] == "unknown" and "gpt-9" in refused["msg"]
    assert run("team", team_alias=name, check=True)["changed"], "neither was made"


def test_a_team_with_keys_of_other_making_stays(run, litellm, name):
    run("team", team_alias=name)
    by_hand = {"key_alias": f"{name}-by-hand", "team_id": name}
    assert litellm.ask("/key/generate", by_hand)[0] == 200
    assert f"{name}-by-hand" in run("team", team_alias=name, state="absent")["msg"]
    pruned = run("team", teams=[], prune=True)
    assert not pruned["changed"] and pruned["kept"] == {name: [f"{name}-by-hand"]}
    assert litellm.ask("/key/delete", {"key_aliases": [f"{name}-by-hand"]})[0] == 200
    assert run("team", teams=[], prune=True)["pruned"] == [name]


# --- users --------------------------------------------------------------------------------------


def test_user_comes_changes_and_goes(run, name):
    run("team", teams=[{"team_alias": f"{name}-a"}, {"team_alias": f"{name}-b"}])
    mail = f"{name}@example.internal"
    made = make(run, "user", user_id=name, user_email=mail, teams=[f"{name}-a"])
    info = made["user_info"]
    assert (info["user_email"], info["user_role"]) == (mail, "internal_user_viewer")
    assert info["teams"] == [f"{name}-a"]
    for change in (
        {"user_email": f"{name}-2@example.internal"},
        {"user_alias": "Alice", "user_role": "internal_user"},
        {"max_budget": 5, "budget_duration": "7d", "tpm_limit": 3, "rpm_limit": 2},
        {"max_budget": -1, "budget_duration": "", "tpm_limit": -1, "rpm_limit": -1},
        {"metadata": {"floor": 3}},
        {"metadata": {"floor": None}},
        {"teams": [f"{name}-b"]},
        {"teams": [f"{name}-a", f"{name}-b"]},
        {"teams": []},
    ):
        make(run, "user", user_id=name, **change)
    make(run, "user", user_id=name, state="absent")


def test_a_user_moves_with_its_key(run, litellm, name):
    old, new = f"{name}-a", f"{name}-b"
    run("team", teams=[{"team_alias": old}, {"team_alias": new}])
    run("user", user_id=name, teams=[old])
    key = run("key", key_alias=name, user_id=name, team_id=old)["key"]
    users = [{"user_id": name, "teams": [new]}]
    assert run("user", users=users, leave_teams=False)["leaving"] == [name]
    make(run, "key", key_alias=name, user_id=name, team_id=new)
    left = run("user", users=users)
    assert left["changed"] and left["users"][0]["user_info"]["teams"] == [new]
    status, told = litellm.ask("/key/info", key=key)
    assert status == 200 and told["info"]["team_id"] == new, "the key is there, and moved"


def test_collisions_and_unknown_teams_are_refused(run, litellm, name):
    mail = f"{name}@example.internal"
    users = [{"user_id": f"{name}-{n}", "user_email": mail} for n in (1, 2)]
    assert run("user", users=users)["error"]["reason"] == "refused"
    assert run("user", user_id=name, teams=["nobody"])["error"]["reason"] == "unknown"
    assert run("user", user_id="")["error"]["reason"] == "refused"
    run("user", user_id=f"{name}-1", user_email=mail)
    taken = run("user", user_id=f"{name}-2", user_email=mail)
    assert taken["failed"] and "409" in taken["msg"]
    assert run("key", key_alias=name, user_id="nobody")["error"]["reason"] == "unknown"
    found = litellm.ask(f"/user/list?user_ids={name}&page_size=100")[1]["users"]
    assert [user["user_id"] for user in found] == [f"{name}-1"]


def test_a_user_with_keys_of_other_making_stays(run, litellm, name):
    run("user", user_id=name)
    by_hand = {"key_alias": f"{name}-by-hand", "user_id": name}
    assert litellm.ask("/key/generate", by_hand)[0] == 200
    assert f"{name}-by-hand" in run("user", user_id=name, state="absent")["msg"]
    assert run("user", users=[], prune=True)["kept"] == {name: [f"{name}-by-hand"]}
    assert litellm.ask("/key/delete", {"key_aliases": [f"{name}-by-hand"]})[0] == 200
    assert run("user", users=[], prune=True)["pruned"] == [name]


def minted(litellm, key, alias):
    """Have the bearer of a key make another one, as the person at that key would."""
    status, made = litellm.ask("/key/generate", {"models": [], "key_alias": alias}, key)
    assert status == 200, made
    return made["key"]


def test_one_who_leaves_loses_every_key_by_whomever_it_was_made(run, litellm, name):
    run("user", user_id=name, user_role="internal_user")
    given = run("key", key_alias=name, user_id=name)["key"]
    own = minted(litellm, given, f"{name}-own")
    by_hand = {"key_alias": f"{name}-by-hand", "user_id": name}
    admins = litellm.ask("/key/generate", by_hand)[1]["key"]
    run("user", user_id=f"{name}-boss", user_role="proxy_admin")
    boss = run("key", key_alias=f"{name}-boss", user_id=f"{name}-boss")["key"]
    body = {"key_alias": f"{name}-for-another", "user_id": f"{name}-x"}
    anothers = litellm.ask("/key/generate", body, boss)[1]["key"]
    kept = run("key", key_alias=f"{name}-kept")["key"]

    leaving = {"users": [], "prune": True, "revoke_keys": True}
    foreseen = run("user", check=True, **leaving)
    gone = run("user", **leaving)
    assert foreseen["revoked"] == gone["revoked"]
    assert set(gone["revoked"]) == {
        *(f"{name}{end}" for end in ("", "-own", "-by-hand", "-boss", "-for-another"))
    }
    assert gone["pruned"] == [name, f"{name}-boss"] and not gone["kept"]
    for key in (given, own, admins, boss, anothers):
        assert litellm.ask("/v1/models", key=key)[0] == 401
    assert litellm.ask("/v1/models", key=kept)[0] == 200
    assert not run("user", **leaving)["changed"]
    orphan = {"key_alias": f"{name}-orphan", "user_id": name}
    assert litellm.ask("/key/generate", orphan)[0] == 200
    again = run("user", user_id=name, state="absent", revoke_keys=True)
    assert again["revoked"] == [f"{name}-orphan"], "the user is gone already, a key is not"


def test_a_key_that_somebody_made_is_revoked_and_the_one_given_stays(run, litellm, name):
    run("user", user_id=name, user_role="internal_user")
    given = run("key", key_alias=name, user_id=name)["key"]
    own = minted(litellm, given, f"{name}-own")
    member = {"user_id": name, "user_role": "internal_user_viewer", "revoke_keys": True}
    done = make(run, "user", **member)
    assert done["revoked"] == [f"{name}-own"]
    assert litellm.ask("/v1/models", key=own)[0] == 401
    assert litellm.ask("/v1/models", key=given)[0] == 200
    assert litellm.ask("/key/generate", {"models": []}, given)[0] == 401, "makes no more"


# --- models of the database ---------------------------------------------------------------------


def test_model_comes_changes_and_goes(run, litellm, name):
    secret = "sk-" + secrets.token_hex(12)
    options = {
        "model_name": name,
        "litellm_params": {"model": "openai/x", "api_base": "http://none/v1", "rpm": 5},
        "secret_params": {"api_key": secret},
        "model_info": {"mode": "chat"},
    }
    made = make(run, "model", **options)
    assert made["model_id"] == name and secret not in json.dumps(made)
    assert name in [model["id"] for model in litellm.ask("/v1/models")[1]["data"]]
    assert not run("team", team_alias=name, models=[name], check=True)["failed"]
    make(run, "model", model_name=name, litellm_params={"rpm": 7})
    make(run, "model", model_name=name, secret_params={"api_key": secret + "x"})
    make(run, "model", model_name=name, model_info={"mode": "embedding"})
    told = run("model", model_name=name)
    assert told["litellm_params"]["rpm"] == 7 and told["litellm_params"]["model"] == "openai/x"
    assert told["model_info"]["mode"] == "embedding"
    make(run, "model", model_name=name, state="absent")
    assert name not in [model["id"] for model in litellm.ask("/v1/models")[1]["data"]]


def test_models_of_the_file_are_not_touched(run, litellm):
    taken = run("model", model_name="small", litellm_params={"model": "openai/x"})
    assert taken["error"]["reason"] == "refused" and "configuration file" in taken["msg"]
    assert not run("model", model_name="small", state="absent")["changed"]
    assert run("model", models=[], prune=True)["pruned"] == []
    assert "small" in [model["id"] for model in litellm.ask("/v1/models")[1]["data"]]


def test_many_models_in_one_task_and_no_others(run, litellm, name):
    def model(number, **params):
        options = {"model": "openai/x", "api_base": "http://none/v1", **params}
        return {"model_name": f"{name}-{number}", "litellm_params": options}

    def offered():
        listed = litellm.ask("/v1/models")[1]["data"]
        return sorted(m["id"] for m in listed if m["id"].startswith(name))

    both = [model(1), model(2)]
    make(run, "model", models=both)
    assert offered() == [f"{name}-1", f"{name}-2"]
    changed = run("model", models=[model(1, rpm=3), model(2)])
    assert [entry["changed"] for entry in changed["models"]] == [True, False]
    assert run("model", models=[model(1, rpm=3)])["surplus"] == [f"{name}-2"]
    foreseen = run("model", models=[model(1, rpm=3)], prune=True, check=True)
    assert foreseen["pruned"] == [f"{name}-2"] and len(offered()) == 2
    pruned = run("model", models=[model(1, rpm=3)], prune=True)
    assert pruned["diff"] == foreseen["diff"] and offered() == [f"{name}-1"]
    assert not run("model", models=[model(1, rpm=3)], prune=True)["changed"]
    assert "small" in [m["id"] for m in litellm.ask("/v1/models")[1]["data"]], "of the file"


# --- facts --------------------------------------------------------------------------------------


def test_info_tells_what_is_there(run, name):
    run("team", team_alias=name, models=["small"])
    run("user", user_id=name, teams=[name])
    run("key", key_alias=name, user_id=name, team_id=name)
    told = run("info")
    assert not told["changed"] and told["version"][0].isdigit()
    assert {"small", "large"} <= {model["model_name"] for model in told["models"]}
    (team,) = [team for team in told["teams"] if team["team_alias"] == name]
    assert team["is_managed"] and name in team["members"] and team["models"] == ["small"]
    (user,) = [user for user in told["users"] if user["user_id"] == name]
    assert user["teams"] == [name]
    (key,) = [key for key in told["keys"] if key["key_alias"] == name]
    assert (key["team_id"], key["user_id"], key["is_managed"]) == (name, name, True)
    assert len(key["key_hash"]) == 64
    few = run("info", check=True, gather=["teams"])
    assert few["teams"] == told["teams"] and "keys" not in few


@pytest.mark.parametrize(
    ("module", "options"),
    [
        ("team", {"team_alias": "x"}),
        ("user", {"user_id": "x"}),
        ("model", {"model_name": "x"}),
        ("info", {}),
    ],
)
def test_trouble_with_litellm_is_told_apart(run, litellm, module, options):
    wrong = run(module, master_key="sk-wrong", **options)
    assert wrong["error"]["reason"] == "unauthorized" and "sk-wrong" not in wrong["msg"]
    away = run(module, litellm_url="http://127.0.0.1:1", **options)
    assert away["error"]["reason"] == "unreachable"


def test_a_virtual_key_is_no_master_key(run, name):
    key = run("key", key_alias=name)["key"]
    for module, options in (("team", {"team_alias": "x"}), ("user", {"user_id": "x"})):
        assert run(module, master_key=key, **options)["error"]["reason"] == "unauthorized"
