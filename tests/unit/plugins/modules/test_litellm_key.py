# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Decisions of the module against a small LiteLLM; the real one is in tests/integration."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.litellm.client import token_hash

sys.path.insert(0, str(Path(__file__).parent))

from fake_litellm import MARK, MASTER, FakeLiteLLM, moment

VALUE = "sk-a-value-of-its-own"


@pytest.fixture
def litellm(service):
    return FakeLiteLLM(service)


@pytest.fixture
def run(run_module, service):
    def run(check=False, **options):
        key = {} if "master_key_file" in options else {"master_key": MASTER}
        name = {} if "keys" in options else {"key_alias": "alice"}
        given = {"litellm_url": service.url, **name, **key, **options}
        return run_module("litellm_key", check=check, **given)

    return run


def test_key_is_made_once_and_its_value_told_once(run, litellm):
    first = run(models=["qwen"])
    assert first["changed"] and first["key"].startswith("sk-chosen")
    assert litellm.keys[0]["metadata"] == {"managed_by": "intranet.mcp"}
    second = run(models=["qwen"])
    assert not second["changed"] and "key" not in second
    assert len(litellm.writes()) == 1


def test_check_mode_writes_nothing(run, litellm):
    assert run(check=True, models=["qwen"])["changed"]
    litellm.keys = [litellm.key(key_alias="alice", token="t", models=["qwen"])]
    assert run(check=True, max_budget=5)["changed"]
    assert run(check=True, key=VALUE)["changed"]
    assert run(check=True, state="absent")["changed"]
    assert litellm.writes() == []


def test_only_what_differs_is_sent(run, litellm):
    litellm.keys = [litellm.key(key_alias="alice", token="t", models=["qwen"], max_budget=5.0)]
    result = run(models=["qwen"], max_budget=5, rpm_limit=10)
    assert result["diff"] == {"before": {"rpm_limit": None}, "after": {"rpm_limit": 10}}
    (update,) = litellm.writes()
    assert update.json() == {"key": "t", "rpm_limit": 10}
    assert not run(models=["qwen"], max_budget=5, rpm_limit=10)["changed"]


def test_options_left_out_leave_fields_alone(run, litellm):
    litellm.keys = [litellm.key(key_alias="alice", token="t", max_budget=5.0, tpm_limit=7)]
    assert not run()["changed"]


def test_limits_can_be_taken_away(run, litellm):
    litellm.keys = [
        litellm.key(
            key_alias="alice", token="t", max_budget=5.0, budget_duration="30d", expires=moment(3)
        )
    ]
    options = {"max_budget": -1, "budget_duration": "", "duration": "never"}
    assert run(**options)["changed"]
    (update,) = litellm.writes()
    assert update.json() == {
        "key": "t",
        "max_budget": None,
        "budget_duration": None,
        "duration": "-1",
    }
    assert not run(**options)["changed"]


def test_notes_are_merged_and_removed_one_by_one(run, litellm):
    litellm.keys = [
        litellm.key(key_alias="alice", token="t", metadata={"own": 1, "mail": "a", "old": 2})
    ]
    assert run(metadata={"mail": "b", "old": None})["changed"]
    assert litellm.keys[0]["metadata"] == {"own": 1, "mail": "b"}
    assert not run(metadata={"mail": "b", "old": None})["changed"]


def test_duration_counts_from_creation(run, litellm):
    litellm.keys = [
        litellm.key(key_alias="alice", token="t", created_at=moment(-10), expires=moment(20))
    ]
    assert not run(duration="30d")["changed"]
    assert run(duration="40d")["changed"]
    left = int(litellm.writes()[0].json()["duration"].rstrip("s"))
    assert 29.9 * 86400 < left <= 30 * 86400


def test_moment_of_expiry(run, litellm):
    wanted = moment(5)
    assert run(expires=wanted)["changed"]
    assert not run(expires=wanted)["changed"]
    past = run(expires="2020-01-01")
    assert past["failed"] and "2020-01-01" in past["msg"]


def test_given_value_is_used_and_not_shown(run, litellm):
    result = run(key=VALUE)
    assert result["changed"] and "key" not in result
    assert litellm.keys[0]["token"] == token_hash(VALUE)
    assert VALUE not in json.dumps(result)
    assert not run(key=VALUE)["changed"]


def test_other_value_replaces_the_key_and_carries_its_fields(run, litellm):
    litellm.keys = [
        litellm.key(key_alias="alice", token="old-hash", models=["qwen"], spend=3.5, rpm_limit=9)
    ]
    result = run(key=VALUE, max_budget=10)
    assert result["changed"] and "old-hash" not in json.dumps(result["diff"])
    (key,) = litellm.keys
    assert key["token"] == token_hash(VALUE) and key["key_alias"] == "alice"
    assert (key["spend"], key["rpm_limit"], key["max_budget"]) == (3.5, 9, 10)


def test_old_key_keeps_its_alias_when_the_new_one_is_refused(run, litellm, service):
    litellm.keys = [litellm.key(key_alias="alice", token="old-hash")]
    service.replies["POST", "/key/generate"] = 400, {"error": {"message": "too short"}}
    result = run(key=VALUE)
    assert result["failed"] and "too short" in result["msg"]
    assert litellm.keys[0]["key_alias"] == "alice"


def test_value_of_another_key_is_refused(run, litellm):
    litellm.keys = [litellm.key(key_alias="bob", token=token_hash(VALUE))]
    result = run(key=VALUE)
    assert result["failed"] and "bob" in result["msg"]
    assert litellm.writes() == []


@pytest.mark.parametrize("alias", ["", " ", " alice"])
def test_empty_alias_is_refused(run, litellm, alias):
    result = run(key_alias=alias)
    assert result["failed"] and result["error"]["reason"] == "refused"
    assert litellm.service.exchanges == []


def test_two_keys_with_the_alias_are_refused(run, litellm):
    litellm.keys = [litellm.key(key_alias="alice", token=token) for token in ("one", "two")]
    result = run()
    assert result["failed"] and "one" in result["msg"] and "two" in result["msg"]


def test_keys_of_other_aliases_are_never_touched(run, litellm, service):
    """A server that ignores the filter sends every key."""
    bob = litellm.key(key_alias="bob", token="b")
    service.replies["GET", "/key/list"] = 200, {"keys": [bob], "total_pages": 1}
    assert not run(state="absent")["changed"]


def test_absent_deletes_once(run, litellm):
    litellm.keys = [litellm.key(key_alias="alice", token="t")]
    assert run(state="absent")["changed"]
    assert litellm.keys == [] and not run(state="absent")["changed"]


def test_unknown_models_and_teams_are_refused(run, litellm):
    wrong = run(models=["qwen", "gpt-9"])
    assert wrong["failed"] and "gpt-9" in wrong["msg"] and "qwen" in wrong["msg"]
    assert run(team_id="t9")["error"]["reason"] == "unknown"
    assert litellm.writes() == []
    litellm.teams = [litellm.team("t1")]
    assert run(models=["qwen", "cloud/big", "all-team-models"], team_id="t1")["changed"]
    assert run(key_alias="carol", models=["gpt-9"], validate_models=False)["changed"]


def test_wrong_master_key_and_lost_database_are_told_apart(run, litellm):
    assert run(master_key="sk-wrong")["error"]["reason"] == "unauthorized"
    litellm.ready = False
    away = run()
    assert away["error"]["reason"] == "not_ready" and "PostgreSQL" in away["msg"]


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (500, "Authentication Error, Can't reach database server (ENOTFOUND postgres)"),
        (500, "Authentication Error, The table `public.LiteLLM_VerificationToken` does not exist"),
        (503, "Service Unavailable, the authentication database is temporarily unreachable."),
        (401, "Authentication Error, Timed out fetching a connection from the connection pool"),
    ],
)
def test_database_trouble_is_known_though_readiness_lags(run, litellm, service, status, message):
    service.replies["GET", "/key/list"] = status, {"error": {"message": message}}
    assert run()["error"]["reason"] == "not_ready"


def test_master_key_may_come_from_a_file(run, litellm, tmp_path):
    path = tmp_path / "master"
    path.write_text(MASTER + "\n")
    assert run(master_key_file=str(path))["changed"]


def test_unreachable_and_foreign_services(run, litellm, closed_port, service):
    assert run(litellm_url=closed_port)["error"]["reason"] == "unreachable"
    service.replies["GET", "/key/list"] = 404, b"<html>"
    assert run()["error"]["reason"] == "unexpected"


# --- rotation -----------------------------------------------------------------------------------


def old_key(litellm, **fields):
    """A key that was rotated away and marked so."""
    notes = {**MARK, "rotated_from": "alice"}
    return litellm.key(key_alias="alice-old-1", token="old-1", metadata=notes, **fields)


def test_rotation_keeps_the_old_value_for_a_while(run, litellm):
    litellm.keys = [litellm.key(key_alias="alice", token="a" * 64, rpm_limit=9, metadata={**MARK})]
    result = run(rotate=True, grace_period="7d")
    assert result["changed"] and result["key"].startswith("sk-chosen")
    old, new = litellm.keys
    assert old["key_alias"] == "alice-old-aaaaaaaa" and new["key_alias"] == "alice"
    assert old["metadata"] == {**MARK, "rotated_from": "alice"} and new["metadata"] == MARK
    assert moment(6.9) < old["expires"] < moment(7.1)
    assert new.get("expires") is None and new["rpm_limit"] == 9
    assert result["old_keys"] == ["alice-old-aaaaaaaa"]
    renamed, made = litellm.writes()
    assert (renamed.path, made.path) == ("/key/update", "/key/generate"), "the old one works on"


def test_rotation_to_a_given_value_comes_to_rest(run, litellm):
    litellm.keys = [litellm.key(key_alias="alice", token="a" * 64)]
    options = {"rotate": True, "key": VALUE, "grace_period": "1d"}
    assert run(check=True, **options)["changed"] and len(litellm.keys) == 1
    assert run(**options)["changed"] and len(litellm.keys) == 2
    assert not run(**options)["changed"]


def test_without_grace_the_old_value_goes_once_the_new_one_works(run, litellm):
    litellm.keys = [litellm.key(key_alias="alice", token="a" * 64)]
    assert run(rotate=True, grace_period="0s")["changed"]
    assert [e.path for e in litellm.writes()] == [
        *("/key/update", "/key/generate"),
        *("/key/block", "/key/delete"),  # LiteLLM's replicas hear of a blocked key only
    ]
    assert [key["key_alias"] for key in litellm.keys] == ["alice"]


def test_the_old_value_never_lives_longer_than_it_would_have(run, litellm):
    litellm.keys = [litellm.key(key_alias="alice", token="a" * 64, expires=moment(1))]
    assert run(rotate=True, grace_period="7d")["changed"]
    old, new = litellm.keys
    assert old["expires"] < moment(1.01) and moment(0.99) < new["expires"] < moment(1.01)


def test_a_key_is_rotated_by_its_age(run, litellm):
    litellm.keys = [litellm.key(key_alias="alice", token="a" * 64, created_at=moment(-89))]
    assert not run(rotate_after="90d")["changed"]
    litellm.keys[0]["created_at"] = moment(-91)
    assert run(check=True, rotate_after="90d")["changed"]
    assert run(rotate_after="90d", grace_period="1h")["changed"]
    assert not run(rotate_after="90d")["changed"], "the new one is young"


def test_a_duration_starts_anew_with_the_new_key(run, litellm):
    litellm.keys = [
        litellm.key(key_alias="alice", token="t", created_at=moment(-20), expires=moment(10))
    ]
    assert run(rotate=True, duration="30d", grace_period="0s")["changed"]
    assert not run(duration="30d")["changed"]


def test_a_key_whose_value_is_fixed_is_only_said_to_be_due(run, litellm):
    made_at = moment(-91)
    token = token_hash(VALUE)
    litellm.keys = [litellm.key(key_alias="alice", token=token, created_at=made_at)]
    result = run(key=VALUE, rotate_after="90d")
    assert not result["changed"] and result["rotation_due"] is True
    listed = run_list(run, [{"key_alias": "alice", "key": VALUE, "rotate_after": "90d"}])
    assert not listed["changed"] and listed["rotation_due"] == ["alice"]
    assert run(key=VALUE + "-2", rotate_after="90d")["rotation_due"] is False


def test_old_keys_that_have_ended_are_deleted_and_others_stay(run, litellm):
    current = litellm.key(key_alias="alice", token="t")
    litellm.keys = [current, old_key(litellm, expires=moment(1))]
    assert not run()["changed"]
    litellm.keys = [current, old_key(litellm, expires=moment(-1))]
    assert run(check=True)["changed"] and len(litellm.keys) == 2
    result = run()
    assert result["changed"] and result["diff"]["before"] == {"old_keys": ["alice-old-1"]}
    assert litellm.keys == [current] and not run()["changed"]


def test_with_a_key_go_those_it_was_rotated_from(run, litellm):
    litellm.keys = [litellm.key(key_alias="alice", token="t"), old_key(litellm, expires=moment(1))]
    assert run(state="absent")["changed"] and litellm.keys == []
    litellm.keys = [old_key(litellm, expires=moment(1))]
    assert run(state="absent")["changed"] and litellm.keys == []


def test_a_rotation_that_died_half_way_is_finished(run, litellm):
    """The old key has its other name and its end; the new one was never made."""
    litellm.keys = [old_key(litellm, expires=moment(1), rpm_limit=9, spend=2.5)]
    assert run(key=VALUE)["changed"]
    _old, new = litellm.keys
    assert (new["key_alias"], new["rpm_limit"], new["spend"]) == ("alice", 9, 2.5)
    assert new["metadata"] == MARK and new.get("expires") is None
    assert not run(key=VALUE)["changed"]


def test_the_value_that_was_rotated_away_is_no_new_one(run, litellm):
    litellm.keys = [
        litellm.key(key_alias="alice", token="t"),
        {**old_key(litellm, expires=moment(1)), "token": token_hash(VALUE)},
    ]
    result = run(key=VALUE)
    assert result["failed"] and "alice-old-1" in result["msg"] and litellm.writes() == []


def test_a_refused_rotation_leaves_the_key_as_it_was(run, litellm, service):
    before = litellm.key(key_alias="alice", token="t", metadata={**MARK}, expires=None)
    litellm.keys = [dict(before)]
    service.replies["POST", "/key/generate"] = 400, {"error": {"message": "no"}}
    assert run(rotate=True)["failed"]
    assert litellm.keys == [before]


# --- lists --------------------------------------------------------------------------------------


def run_list(run, keys, **options):
    return run(keys=keys, **options)


def test_a_list_is_made_with_one_reading(run, litellm, service):
    keys = [{"key_alias": "a", "key": VALUE}, {"key_alias": "b", "models": ["qwen"]}]
    made = run_list(run, keys)
    assert made["changed"] and [key["changed"] for key in made["keys"]] == [True, True]
    assert "key" not in made["keys"][0] and made["keys"][1]["key"].startswith("sk-chosen")
    assert set(made["diff"]["after"]) == {"a", "b"}
    service.exchanges.clear()
    again = run_list(run, keys)
    assert not again["changed"] and len(service.exchanges) == 1
    assert again["diff"] == {"before": {}, "after": {}}


def test_nothing_of_a_list_is_written_when_one_entry_is_refused(run, litellm):
    for wrong in (
        {"key_alias": "b", "models": ["gpt-9"]},
        {"key_alias": "b", "team_id": "t9"},
        {"key_alias": "b", "user_id": "u9"},
        {"key_alias": "b", "expires": "2020-01-01"},
        {"key_alias": "b", "expires": "2030-01-01", "duration": "1d"},
        {"key_alias": "b", "budget_duration": "monthly"},
        {"key_alias": "b", "key": VALUE},
        {"key_alias": ""},
        {"key_alias": "a"},
    ):
        result = run_list(run, [{"key_alias": "a", "key": VALUE}, wrong])
        assert result["failed"] and "error" in result, wrong
    assert litellm.writes() == []


def test_values_told_once_are_not_lost_when_the_task_fails(run, litellm, service):
    generate = service.replies["POST", "/key/generate"]

    def refuse_b(exchange):
        is_b = exchange.json()["key_alias"] == "b"
        return (400, {"error": {"message": "no"}}) if is_b else generate(exchange)

    service.replies["POST", "/key/generate"] = refuse_b
    result = run_list(run, [{"key_alias": "a"}, {"key_alias": "b"}])
    (made,) = result["keys"]
    assert result["failed"] and made["key_alias"] == "a" and made["key"].startswith("sk-")


def test_owners_are_checked_unless_told_otherwise(run, litellm):
    assert run(user_id="alice")["error"]["reason"] == "unknown"
    assert run(user_id="alice", validate_owners=False, check=True)["changed"]
    litellm.users = [litellm.user("alice")]
    assert run(user_id="alice")["changed"] and litellm.keys[0]["user_id"] == "alice"
    assert run(user_id="")["changed"] and litellm.keys[0]["user_id"] is None


def test_prune_deletes_what_is_ours_and_not_named(run, litellm):
    litellm.keys = [
        litellm.key(key_alias="alice", token="1", metadata={**MARK}),
        litellm.key(key_alias="bob", token="2", metadata={**MARK}),
        litellm.key(key_alias="by-hand", token="3"),
        litellm.key(key_alias=None, token="4", metadata=None),
        old_key(litellm, expires=moment(1)),
    ]
    kept = run_list(run, [{"key_alias": "alice"}])
    assert not kept["changed"] and kept["surplus"] == ["bob"] and kept["pruned"] == []
    foreseen = run_list(run, [{"key_alias": "alice"}], prune=True, check=True)
    assert foreseen["pruned"] == ["bob"] and len(litellm.keys) == 5
    assert run_list(run, [{"key_alias": "alice"}], prune=True)["diff"]["before"] == {
        "bob": {"key_alias": "bob"}
    }
    assert [key["token"] for key in litellm.keys] == ["1", "3", "4", "old-1"]
    assert run_list(run, [], prune=True)["pruned"] == ["alice"]
    assert [key["token"] for key in litellm.keys] == ["3", "4"], "old keys go with their successor"


def test_prune_without_a_list_is_refused(run, litellm):
    assert run(prune=True)["failed"] and litellm.service.exchanges == []


def test_an_old_value_may_call_no_more_than_the_new_one(run, litellm):
    """A key that was rotated before keys were told what they may call goes on for its grace."""
    old = {"metadata": {**MARK, "rotated_from": "alice"}, "expires": moment(3)}
    litellm.keys = [
        litellm.key(key_alias="alice", token="1", metadata=MARK, allowed_routes=["/v1/models"]),
        litellm.key(key_alias="alice-old-2", token="2", **old),
    ]
    assert run(allowed_routes=["/v1/models"], check=True)["changed"] and not litellm.writes()
    changed = run(allowed_routes=["/v1/models"])
    assert changed["diff"]["after"] == {"allowed_routes of alice-old-2": ["/v1/models"]}
    assert [key["allowed_routes"] for key in litellm.keys] == [["/v1/models"]] * 2
    assert not run(allowed_routes=["/v1/models"])["changed"]
