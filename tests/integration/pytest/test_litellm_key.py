# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""`litellm_key` against a real LiteLLM with a real PostgreSQL."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime, timedelta

import pytest
from conftest import wait_until

pytestmark = pytest.mark.integration


@pytest.fixture
def alias():
    return f"itest-{secrets.token_hex(4)}"


@pytest.fixture
def value():
    return "sk-" + secrets.token_urlsafe(24)


@pytest.fixture
def run(run_module, litellm, alias):
    def run(check=False, **options):
        given = {
            "litellm_url": litellm.url,
            "master_key": litellm.master_key,
            "key_alias": alias,
            **options,
        }
        return run_module("litellm_key", check=check, **given)

    yield run
    run(state="absent")


def works(litellm, key: str) -> bool:
    """True when the key is accepted (listing models needs no model to answer)."""
    return litellm.ask("/v1/models", key=key)[0] == 200


EVERYTHING = {
    "models": ["small", "large"],
    "max_budget": 12.5,
    "budget_duration": "30d",
    "tpm_limit": 1000,
    "rpm_limit": 10,
    "duration": "90d",
    "metadata": {"mail": "a@example.internal", "seat": {"floor": 3}},
}


def test_key_with_everything_is_made_once(run, litellm):
    foreseen = run(check=True, **EVERYTHING)
    assert foreseen["changed"] and foreseen["key_info"] == {}
    made = run(**EVERYTHING)
    assert made["changed"], made
    assert works(litellm, made["key"])
    info = made["key_info"]
    assert sorted(info["models"]) == ["large", "small"]
    assert (info["max_budget"], info["budget_duration"]) == (12.5, "30d")
    assert (info["tpm_limit"], info["rpm_limit"]) == (1000, 10)
    assert info["metadata"] == {"managed_by": "intranet.mcp", **EVERYTHING["metadata"]}
    again = run(**EVERYTHING)
    assert not again["changed"], again["diff"]
    assert "key" not in again and again["key_hash"] == made["key_hash"]


def test_fields_change_one_by_one_and_come_to_rest(run, litellm):
    key = run(**EVERYTHING)["key"]
    for change in (
        {"models": ["small"]},
        {"allowed_routes": ["/v1/models", "/v1/chat/completions", "/key/info"]},
        {"max_budget": 1},
        {"budget_duration": "7d"},
        {"tpm_limit": 5},
        {"rpm_limit": 5},
        {"duration": "30d"},
        {"metadata": {"mail": None, "desk": 4}},
        {"expires": (datetime.now(UTC) + timedelta(days=3)).isoformat()},
        {"max_budget": -1, "tpm_limit": -1, "rpm_limit": -1, "budget_duration": ""},
        {"duration": "never"},
        {"models": []},
        {"allowed_routes": []},
    ):
        foreseen = run(check=True, **change)
        done = run(**change)
        assert foreseen["changed"] and done["changed"], change
        assert foreseen["diff"] == done["diff"]
        assert not run(**change)["changed"], (change, run(check=True, **change)["diff"])
    info = run()["key_info"]
    assert info["models"] == [] and info["max_budget"] is None and info["expires"] is None
    assert info["metadata"] == {
        "managed_by": "intranet.mcp",
        "seat": {"floor": 3},
        "desk": 4,
    }
    assert works(litellm, key)


def test_given_value_works_and_is_never_shown(run, litellm, value):
    made = run(key=value, models=["small"])
    assert made["changed"] and works(litellm, value)
    assert value not in json.dumps(made)
    assert not run(key=value, models=["small"])["changed"]


def test_another_value_replaces_the_first(run, litellm, value):
    run(key=value, models=["small"], rpm_limit=9)
    other = value + "-2"
    foreseen = run(check=True, key=other)
    assert foreseen["changed"] and works(litellm, value)
    replaced = run(key=other)
    assert replaced["changed"]
    assert works(litellm, other) and not works(litellm, value)
    assert replaced["key_info"]["rpm_limit"] == 9 and replaced["key_info"]["models"] == ["small"]
    assert not run(key=other, models=["small"], rpm_limit=9)["changed"]


def test_value_of_another_key_is_refused(run, litellm, value, alias):
    run(key=value)
    stolen = run(key_alias=alias + "-b", key=value)
    assert stolen["failed"] and alias in stolen["msg"]
    assert not run(key_alias=alias + "-b", state="absent")["changed"]
    assert not run(key=value)["changed"], "the first key was touched"


def test_value_litellm_refuses_leaves_nothing_and_keeps_the_old(run, litellm, value):
    assert run(key="sk-x")["failed"]
    assert not run(check=True, state="absent")["changed"]
    run(key=value)
    refused = run(key="not-a-litellm-key")
    assert refused["failed"] and refused["error"]["reason"] == "refused"
    assert works(litellm, value) and not run(key=value)["changed"]


def test_absent_key_is_gone(run, litellm, value):
    run(key=value)
    assert run(state="absent", check=True)["changed"] and works(litellm, value)
    assert run(state="absent")["changed"]
    assert not works(litellm, value)
    assert not run(state="absent")["changed"]


def test_team_is_set_and_must_exist(run, litellm):
    status, team = litellm.ask("/team/new", {"team_alias": secrets.token_hex(4)})
    assert status == 200
    assert run(team_id="nobody")["error"]["reason"] == "unknown"
    made = run(team_id=team["team_id"])
    assert made["changed"] and made["key_info"]["team_id"] == team["team_id"]
    assert not run(team_id=team["team_id"])["changed"]


def test_unknown_model_is_refused_and_wildcards_are_known(run):
    wrong = run(models=["small", "gpt-9"])
    assert wrong["failed"] and wrong["error"]["reason"] == "unknown"
    assert "gpt-9" in wrong["msg"] and "large" in wrong["msg"]
    assert run(models=["cloud/anything", "all-team-models"])["changed"]


def test_aliases_that_collide_are_refused(run, litellm, alias):
    assert run(key_alias="")["failed"]
    assert run(key_alias=f" {alias}")["failed"]
    assert run()["changed"]
    assert run(key_alias=alias[:-1])["changed"], "a prefix is another alias"
    assert run(key_alias=alias[:-1], state="absent")["changed"]
    assert not run(check=True)["changed"]


def test_wrong_master_key_is_its_own_error(run):
    result = run(master_key="sk-wrong")
    assert result["failed"] and result["error"]["reason"] == "unauthorized"
    assert "sk-wrong" not in result["msg"]


def test_lost_database_is_its_own_error_and_passes(run, litellm):
    run()
    litellm.docker.run("stop", "--time=5", litellm.postgres)
    result = run()
    assert result["failed"] and result["error"]["reason"] == "not_ready", result["msg"]
    # A key that is looked up during the outage makes LiteLLM replace its database engine.
    wrong = run(master_key="sk-wrong")
    assert wrong["error"]["reason"] == "not_ready", wrong["msg"]
    litellm.docker.run("start", litellm.postgres)
    wait_until(lambda: not run()["failed"], 60, "LiteLLM to use its database again")
    assert not run()["changed"]


def test_rotation_keeps_the_old_value_until_its_grace_is_over(run, litellm, value, alias):
    run(key=value, models=["small"], rpm_limit=9)
    other = value + "-2"
    options = {"key": other, "rotate": True, "grace_period": "4s"}
    assert run(check=True, **options)["changed"] and not works(litellm, other)
    rotated = run(**options)
    assert rotated["changed"] and len(rotated["old_keys"]) == 1
    assert works(litellm, value) and works(litellm, other)
    assert rotated["key_info"]["rpm_limit"] == 9 and rotated["key_info"]["models"] == ["small"]
    wait_until(lambda: not works(litellm, value), 30, "the old value to end")
    assert works(litellm, other)
    swept = run(key=other)
    assert swept["changed"] and swept["diff"]["before"] == {"old_keys": rotated["old_keys"]}
    assert not run(key=other)["changed"] and works(litellm, other)


def test_rotation_by_age_tells_the_new_value_once(run, litellm):
    first = run()["key"]
    assert not run(rotate_after="1h")["changed"]
    due = wait_until(
        lambda: (result := run(check=True, rotate_after="1s"))["changed"] and result, 30, "age"
    )
    assert "key" not in due
    second = run(rotate_after="1s", grace_period="1h")
    assert second["changed"] and second["key"] != first
    assert works(litellm, first) and works(litellm, second["key"])
    assert run(state="absent")["changed"]
    assert not works(litellm, first) and not works(litellm, second["key"])


def test_refused_rotation_leaves_the_key_as_it_was(run, litellm, value):
    run(key=value, metadata={"mail": "a@example.internal"})
    assert run(key="not-a-litellm-key", grace_period="1h")["failed"]
    assert works(litellm, value)
    same = run(key=value)
    assert not same["changed"] and same["key_info"]["expires"] is None and same["old_keys"] == []


def test_many_keys_in_one_task_and_no_others(run_module, litellm, alias, value):
    connection = {"litellm_url": litellm.url, "master_key": litellm.master_key}
    status, _made = litellm.ask("/key/generate", {"key_alias": f"{alias}-by-hand"})
    assert status == 200
    keys = [{"key_alias": f"{alias}-{n}", "key": f"{value}-{n}", "rpm_limit": n} for n in (1, 2, 3)]

    def task(keys, **options):
        return run_module("litellm_key", keys=keys, **connection, **options)

    assert task(keys, check=True)["changed"] and not works(litellm, f"{value}-1")
    made = task(keys)
    assert made["changed"] and all(works(litellm, f"{value}-{n}") for n in (1, 2, 3))
    again = task(keys)
    assert not again["changed"] and again["surplus"] == []
    keys[0]["rpm_limit"] = 7
    assert task(keys[:2])["surplus"] == [f"{alias}-3"]
    foreseen = task(keys[:2], prune=True, check=True)
    assert foreseen["pruned"] == [f"{alias}-3"] and works(litellm, f"{value}-3")
    done = task(keys[:2], prune=True)
    assert done["diff"] == foreseen["diff"] and not works(litellm, f"{value}-3")
    assert done["keys"][0]["key_info"]["rpm_limit"] == 7
    assert not task(keys[:2], prune=True)["changed"]
    assert task([], prune=True)["pruned"] == [f"{alias}-1", f"{alias}-2"]
    kept = litellm.ask(f"/key/list?key_alias={alias}-by-hand")[1]
    assert kept["total_count"] == 1, "a key that somebody made by hand stays"
    assert litellm.ask("/key/delete", {"key_aliases": [f"{alias}-by-hand"]})[0] == 200
