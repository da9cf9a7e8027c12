# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Who gets settings: members of teams, with the models they may use, and their accounts."""

from __future__ import annotations

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.plugin_utils.clients.members import (
    accounts,
    chat_models,
    members,
    shared_models,
)

MODELS = ["small", "large", "cloud/a"]
TEAMS = [
    {
        "name": "payments",
        "models": ["large", "cloud/*"],
        "members": [
            {"alias": "alice", "email": "alice@example.internal"},
            {"alias": "bob", "models": ["small"]},
            {"alias": "carol", "state": "absent"},
        ],
    },
    {"name": "risk", "members": [{"alias": "dev-1"}]},
    {"name": "old", "state": "absent", "members": [{"alias": "dev-2"}]},
]
PASSWD = {"alice": ["x", "1000", "1000", "", "/home/alice", "/bin/sh"]}


def test_members_get_the_models_of_their_team_or_their_own():
    found = {person["alias"]: person for person in members(TEAMS, MODELS, [])}
    assert list(found) == ["alice", "bob", "dev-1"]
    assert found["alice"]["models"] == ["large", "cloud/a"]
    assert found["alice"]["model"] == "large"
    assert found["bob"]["models"] == ["small"]
    assert found["dev-1"]["models"] == MODELS
    assert found["alice"]["email"] == "alice@example.internal"


def test_the_preferred_model_is_taken_where_it_may_be_used():
    found = {person["alias"]: person["model"] for person in members(TEAMS, MODELS, [], "cloud/a")}
    assert found == {"alice": "cloud/a", "bob": "small", "dev-1": "cloud/a"}


def test_every_model_may_be_said_in_words():
    teams = [{"name": "a", "models": ["all-team-models"], "members": [{"alias": "x"}]}]
    assert members(teams, MODELS, [])[0]["models"] == MODELS


def test_one_person_can_be_asked_for():
    assert [person["alias"] for person in members(TEAMS, MODELS, ["bob"])] == ["bob"]


@pytest.mark.parametrize(
    ("teams", "only", "message"),
    [
        ([], [], "no members were found in `teams`"),
        ([{"name": "empty"}], [], "no members were found in `teams`"),
        (TEAMS, ["mallory"], "mallory is no member of any team; `teams` has: alice, bob, dev-1"),
        (TEAMS, ["carol"], "carol is no member"),
        ([*TEAMS, TEAMS[0]], [], "alice, bob stands in `teams` twice"),
        ([{"name": "a", "members": [{"alias": "../x"}]}], [], "'../x' of `teams` is no file name"),
        (
            [{"name": "a", "models": ["gone"], "members": [{"alias": "x"}]}],
            [],
            "x may use no chat model: allowed are gone, declared are small, large, cloud/a",
        ),
    ],
)
def test_wrong_input_is_one_clear_message(teams, only, message):
    with pytest.raises(Unusable) as caught:
        members(teams, MODELS, only)
    assert message in str(caught.value)


def test_embeddings_and_removed_models_are_no_chat_models():
    ollama = [
        {"name": "a"},
        {"name": "b", "embedding": True},
        {"name": "c", "state": "absent"},
    ]
    apis = [
        {"model_name": "d"},
        {"model_name": "d"},
        {"model_name": "e", "mode": "embedding"},
        {"model_name": "f", "mode": "chat"},
    ]
    assert chat_models(ollama, apis) == ["a", "d", "f"]


def test_people_of_one_host_share_what_all_may_use():
    people = members(TEAMS, MODELS, ["alice", "dev-1"])
    assert shared_models(people, MODELS) == {"models": ["large", "cloud/a"], "model": "large"}
    assert shared_models(people, MODELS, "cloud/a")["model"] == "cloud/a"
    assert shared_models([], MODELS)["models"] == MODELS
    with pytest.raises(Unusable, match="all of alice, bob may use"):
        shared_models(members(TEAMS, MODELS, ["alice", "bob"]), MODELS)


def test_members_with_an_account_of_their_name_are_found():
    people = members(TEAMS, MODELS, [])
    alice = {"user": "alice", "home": "/home/alice", "alias": "alice"}
    assert accounts(people, PASSWD, {}) == [alice]
    assert accounts(people, {}, {}) == []
    assert accounts(people, PASSWD, {"alice": "bob"}) == [{**alice, "alias": "bob"}]


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"nobody-here": "alice"}, "'nobody-here', which is no account on this host"),
        ({"alice": "mallory"}, "gives 'alice' the member 'mallory'; `teams` has: alice, bob"),
    ],
)
def test_wrong_accounts_are_one_clear_message(mapping, message):
    with pytest.raises(Unusable) as caught:
        accounts(members(TEAMS, MODELS, []), PASSWD, mapping)
    assert message in str(caught.value)
