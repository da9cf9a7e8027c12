# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Decisions of `litellm_user` against a small LiteLLM."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fake_litellm import MARK, MASTER, FakeLiteLLM


@pytest.fixture
def litellm(service):
    fake = FakeLiteLLM(service)
    fake.teams = [fake.team("a"), fake.team("b"), fake.team("by-hand", metadata={})]
    return fake


@pytest.fixture
def run(run_module, service):
    def run(check=False, **options):
        name = {} if "users" in options else {"user_id": "alice"}
        given = {"litellm_url": service.url, "master_key": MASTER, **name, **options}
        return run_module("litellm_user", check=check, **given)

    return run


def test_user_is_made_once_without_a_key(run, litellm):
    options = {"user_email": "alice@example.internal", "teams": ["a"]}
    assert run(check=True, **options)["changed"] and litellm.users == []
    made = run(**options)
    assert made["changed"] and made["user_info"]["metadata"] == MARK
    (request,) = litellm.writes()
    assert request.json()["auto_create_key"] is False
    assert request.json()["user_role"] == "internal_user_viewer"
    assert not run(**options)["changed"]


def test_no_administrator_becomes_a_member_unasked(run, litellm):
    litellm.users = [litellm.user("alice", user_role="proxy_admin")]
    result = run(user_role="internal_user_viewer", revoke_keys=True)
    assert result["failed"] and "alice administers LiteLLM" in result["msg"]
    assert litellm.writes() == []


def test_a_user_of_a_similar_name_is_another_one(run, litellm):
    litellm.users = [litellm.user("Alice"), litellm.user("alice-2")]
    assert run(check=True)["changed"]


def test_memberships_have_requests_of_their_own(run, litellm):
    litellm.users = [litellm.user("alice", teams=["a", "by-hand"])]
    result = run(teams=["b"])
    assert result["diff"]["after"] == {"teams": ["b", "by-hand"]}
    assert [e.path for e in litellm.writes()] == ["/team/member_add", "/team/member_delete"]
    assert litellm.users[0]["teams"] == ["by-hand", "b"], "teams of other making are not left"
    assert not run(teams=["b"])["changed"]


def test_leaving_can_wait_until_keys_have_moved(run, litellm):
    litellm.users = [litellm.user("alice", teams=["a"])]
    users = [{"user_id": "alice", "teams": ["b"]}]
    joined = run(users=users, leave_teams=False)
    assert joined["changed"] and joined["leaving"] == ["alice"]
    assert litellm.users[0]["teams"] == ["a", "b"]
    assert not run(users=users, leave_teams=False)["changed"]
    left = run(users=users)
    assert left["changed"] and left["leaving"] == [] and litellm.users[0]["teams"] == ["b"]


def test_unknown_teams_are_refused_before_anything_is_written(run, litellm):
    users = [{"user_id": "alice", "teams": ["a"]}, {"user_id": "bob", "teams": ["z"]}]
    assert run(users=users)["error"]["reason"] == "unknown" and litellm.writes() == []
    assert run(users=users, validate_teams=False, check=True)["changed"]


def test_one_address_is_one_user(run, litellm):
    users = [
        {"user_id": "alice", "user_email": "x@example.internal"},
        {"user_id": "bob", "user_email": "X@example.internal"},
    ]
    result = run(users=users)
    assert result["failed"] and "alice" in result["msg"] and litellm.writes() == []
    litellm.users = [litellm.user("carol", user_email="x@example.internal")]
    assert "carol" in run(users=users[:1])["msg"] and litellm.writes() == []
    assert run(user_id="")["failed"] and run(users=[users[0], users[0]])["failed"]


def test_a_user_goes_unless_other_peoples_keys_hold_it(run, litellm):
    litellm.users = [litellm.user("alice")]
    foreign = litellm.key(key_alias="by-hand", token="1", user_id="alice")
    litellm.keys = [foreign]
    assert "by-hand" in run(state="absent")["msg"]
    foreign["metadata"] = MARK
    assert run(state="absent", check=True)["changed"] and litellm.users
    assert run(state="absent")["changed"] and litellm.users == []
    assert not run(state="absent")["changed"]


def test_prune_leaves_what_is_not_ours(run, litellm):
    by_hand = litellm.user("default_user_id", metadata={})
    litellm.users = [litellm.user("alice"), litellm.user("bob"), by_hand]
    wanted = [{"user_id": "alice"}]
    assert run(users=wanted)["surplus"] == ["bob"]
    assert run(users=wanted, prune=True)["pruned"] == ["bob"]
    assert [user["user_id"] for user in litellm.users] == ["alice", "default_user_id"]


def test_only_what_differs_is_sent(run, litellm):
    litellm.users = [litellm.user("alice", max_budget=5.0, user_alias="A")]
    assert not run(max_budget=5, user_alias="A")["changed"]
    assert run(max_budget=-1, user_alias="Alice")["changed"]
    (update,) = litellm.writes()
    assert update.json() == {"user_id": "alice", "max_budget": None, "user_alias": "Alice"}


def test_keys_of_ones_own_making_are_revoked_blocked_first(run, litellm):
    litellm.users = [litellm.user("alice")]
    given = litellm.key(key_alias="alice", token="1", user_id="alice", created_by="default_user_id")
    own = litellm.key(key_alias="own", token="2", user_id="alice", created_by="alice")
    unnamed = litellm.key(key_alias=None, token="3" * 64, user_id="bob", created_by="alice")
    litellm.keys = [given, own, unnamed]
    assert run(revoke_keys=True, check=True)["revoked"] == ["333333333333", "own"]
    assert not litellm.writes()
    assert run(revoke_keys=True)["changed"] and litellm.keys == [given]
    assert [e.path for e in litellm.writes()] == ["/key/block", "/key/block", "/key/delete"]
    assert not run(revoke_keys=True)["changed"]


def test_one_who_leaves_takes_every_key_along(run, litellm):
    litellm.users = [litellm.user("alice"), litellm.user("bob")]
    litellm.keys = [
        litellm.key(key_alias="by-hand", token="1", user_id="alice", created_by="default_user_id"),
        litellm.key(key_alias="for-bob", token="2", user_id="bob", created_by="alice"),
        litellm.key(key_alias="bobs", token="3", user_id="bob", created_by="default_user_id"),
    ]
    gone = run(users=[{"user_id": "bob"}], prune=True, revoke_keys=True)
    assert gone["pruned"] == ["alice"] and gone["revoked"] == ["by-hand", "for-bob"]
    assert [key["key_alias"] for key in litellm.keys] == ["bobs"]
    both = [{"user_id": name, "state": "absent"} for name in ("alice", "bob")]
    assert run(users=both, revoke_keys=True)["revoked"] == ["bobs"] and litellm.users == []


def test_a_key_that_two_who_leave_have_and_made_is_revoked_once(run, litellm):
    litellm.users = [litellm.user("alice"), litellm.user("bob")]
    litellm.keys = [litellm.key(key_alias="for-bob", token="1", user_id="bob", created_by="alice")]
    gone = run(users=[], prune=True, revoke_keys=True)
    assert gone["revoked"] == ["for-bob"] and litellm.users == litellm.keys == []


def test_a_key_that_survives_its_deletion_fails_the_task(run, litellm, service):
    litellm.users = [litellm.user("alice")]
    litellm.keys = [litellm.key(key_alias="own", token="1", user_id="alice", created_by="alice")]
    service.replies["POST", "/key/delete"] = lambda _exchange: (200, {"deleted_keys": ["1"]})
    failed = run(revoke_keys=True)
    assert failed["failed"] and "LiteLLM still has the keys own" in failed["msg"]
