# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What LiteLLM's modules share: all is read and decided before anything is written."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Refused
from ansible_collections.intranet.mcp.plugins.module_utils.litellm import client, resource

OURS = {"metadata": dict(client.MANAGED_BY)}


class Things(resource.Resource):
    """A kind of object that is kept in a list."""

    kind, name, many = "thing", "thing_name", "things"

    def __init__(self, kept, things, prune=False, check_mode=False):
        params = {"things": things, "prune": prune, "thing_name": None}
        self.module = SimpleNamespace(params=params, check_mode=check_mode)
        self.params, self.is_list, self.kept, self.written = params, True, kept, []
        self.objects, self.steps, self._by_name = [], [], {}

    def read(self, name):
        return self.kept

    def desired(self, step):
        return {"size": step.options["size"]}

    def create(self, step):
        self.written.append(("create", step.name))

    def update(self, step):
        self.written.append(("update", step.name))

    def delete(self, step):
        self.written.append(("delete", step.name))

    def report(self, name, current):
        return {"thing_name": name}


def thing(name, size=1, **more):
    return {"thing_name": name, "size": size, **more}


def wanted(name, size=1, state="present"):
    return {"thing_name": name, "size": size, "state": state}


def test_only_what_differs_is_written_in_the_order_of_the_task():
    things = Things(
        [thing("same"), thing("gone"), thing("other", size=2)],
        [wanted("other"), wanted("same"), wanted("gone", state="absent"), wanted("new")],
    )
    result = things.run()
    assert things.written == [("update", "other"), ("delete", "gone"), ("create", "new")]
    assert [one["changed"] for one in result["things"]] == [True, False, True, True]
    assert result["diff"]["before"]["other"] == {"size": 2}


def test_check_mode_says_the_same_and_writes_nothing():
    things = Things([thing("a", size=2)], [wanted("a")], check_mode=True)
    assert things.run()["changed"] is True
    assert things.written == []


def test_prune_removes_what_is_ours_and_nobody_elses():
    kept = [thing("a"), thing("left", **OURS), thing("by-hand")]
    told = Things(kept, [wanted("a")]).run()
    assert (told["surplus"], told["pruned"], told["changed"]) == (["left"], [], False)
    things = Things(kept, [wanted("a")], prune=True)
    assert things.run()["pruned"] == ["left"]
    assert things.written == [("delete", "left")]


@pytest.mark.parametrize(
    ("names", "words"),
    [(["a", "a"], "holds the thing_name a twice"), ([" a"], "a name without blanks"), ([""], "''")],
)
def test_a_name_that_is_none_or_two_is_refused_before_anything_is_read(names, words):
    things = Things([], [wanted(name) for name in names])
    things.read = None
    with pytest.raises(Refused, match=words):
        things.run()


def test_a_name_that_litellm_has_twice_is_nobody_to_choose():
    with pytest.raises(Refused, match="rename or delete the others"):
        Things([thing("a"), thing("a", size=3)], [wanted("a")]).run()


def test_a_negative_limit_and_an_empty_period_lift_one():
    given = {"max_budget": -1.0, "tpm_limit": 5, "rpm_limit": None, "budget_duration": ""}
    assert resource.limits(given) == {"max_budget": None, "tpm_limit": 5, "budget_duration": None}
    with pytest.raises(Refused, match="for example 30d"):
        resource.limits({**given, "budget_duration": "monthly"})


def test_lists_and_budgets_compare_by_what_they_mean():
    assert resource.comparable("models", ["b", "a"]) == resource.comparable("models", ["a", "b"])
    assert resource.comparable("max_budget", 5) == resource.comparable("max_budget", 5.0)


def test_a_note_of_null_is_taken_away_and_the_mark_stays():
    step = resource.Step("a", {}, {"thing_name": "a"})
    current = {**client.MANAGED_BY, "cost_centre": "7"}
    told = resource.notes({"cost_centre": None}, step, current)
    assert told == {"metadata": dict(client.MANAGED_BY)}
    assert resource.notes({"cost_centre": "7"}, step, current) == {}
