# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Decisions of `litellm_team` against a small LiteLLM."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fake_litellm import MARK, MASTER, FakeLiteLLM


@pytest.fixture
def litellm(service):
    return FakeLiteLLM(service)


@pytest.fixture
def run(run_module, service):
    def run(check=False, **options):
        name = {} if "teams" in options else {"team_alias": "payments"}
        given = {"litellm_url": service.url, "master_key": MASTER, **name, **options}
        return run_module("litellm_team", check=check, **given)

    return run


def test_team_is_made_once_with_its_name_as_id(run, litellm):
    options = {"models": ["qwen"], "max_budget": 100, "budget_duration": "30d", "rpm_limit": 6}
    foreseen = run(check=True, **options)
    assert foreseen["changed"] and litellm.teams == []
    made = run(**options)
    assert made["changed"] and made["diff"] == foreseen["diff"]
    assert made["team_id"] == "payments" and made["team_info"]["metadata"] == MARK
    assert not run(**options)["changed"] and len(litellm.writes()) == 1


def test_only_what_differs_is_sent_and_limits_can_be_lifted(run, litellm):
    litellm.teams = [litellm.team("payments", team_id="p1", max_budget=5.0, models=["qwen"])]
    assert not run()["changed"]
    changed = run(max_budget=-1, models=[], metadata={"cost": 7})
    assert changed["diff"]["after"]["max_budget"] is None
    (update,) = litellm.writes()
    assert update.json() == {
        "team_id": "p1",
        "max_budget": None,
        "models": [],
        "metadata": {**MARK, "cost": 7},
    }
    assert not run(max_budget=-1, models=[], metadata={"cost": 7})["changed"]


def test_an_alias_is_one_team(run, litellm):
    litellm.teams = [litellm.team("payments", team_id=name) for name in ("one", "two")]
    result = run()
    assert result["failed"] and "one" in result["msg"] and "two" in result["msg"]
    assert run(team_alias=" ")["error"]["reason"] == "refused"
    litellm.teams = [litellm.team("payments-2")]
    assert run(check=True)["changed"], "an alias that holds the name is another one"


def test_another_id_than_asked_for_is_refused(run, litellm):
    litellm.teams = [litellm.team("payments", team_id="p1")]
    wrong = run(team_id="payments", max_budget=1)
    assert wrong["failed"] and "p1" in wrong["msg"] and litellm.writes() == []


def test_unknown_models_are_refused_before_anything_is_written(run, litellm):
    teams = [{"team_alias": "a", "models": ["qwen"]}, {"team_alias": "b", "models": ["gpt-9"]}]
    assert run(teams=teams)["error"]["reason"] == "unknown" and litellm.writes() == []
    assert run(teams=teams, validate_models=False)["changed"]


def test_a_team_goes_unless_other_peoples_keys_hold_it(run, litellm):
    litellm.teams = [litellm.team("payments")]
    foreign = litellm.key(key_alias="by-hand", token="1", team_id="payments")
    litellm.keys = [foreign]
    held = run(state="absent")
    assert held["failed"] and "by-hand" in held["msg"]
    foreign["metadata"] = MARK
    assert run(state="absent", check=True)["changed"] and litellm.teams
    assert run(state="absent")["changed"] and litellm.teams == []
    assert not run(state="absent")["changed"]


def test_prune_leaves_what_is_not_ours_or_is_held(run, litellm):
    litellm.teams = [
        litellm.team("payments"),
        litellm.team("sales"),
        litellm.team("held"),
        litellm.team("by-hand", metadata={}),
    ]
    litellm.keys = [litellm.key(key_alias="x", token="1", team_id="held")]
    wanted = [{"team_alias": "payments"}]
    assert run(teams=wanted)["surplus"] == ["held", "sales"]
    pruned = run(teams=wanted, prune=True)
    assert pruned["changed"] and pruned["kept"] == {"held": ["x"]}
    assert [team["team_alias"] for team in litellm.teams] == ["payments", "held", "by-hand"]
    assert not run(teams=wanted, prune=True)["changed"]


def test_errors_are_told_apart(run, litellm, closed_port):
    assert run(master_key="sk-wrong")["error"]["reason"] == "unauthorized"
    assert run(litellm_url=closed_port)["error"]["reason"] == "unreachable"
    litellm.ready = False
    assert run()["error"]["reason"] == "not_ready"
