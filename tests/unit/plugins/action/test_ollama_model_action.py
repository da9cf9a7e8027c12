# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.intranet.mcp.plugins.action.ollama_model import ActionModule


@pytest.fixture
def run(monkeypatch):
    """Run the action; returns its result and the mode of every module call it made."""

    def run(foreseen, check_mode=False, **arguments):
        task = SimpleNamespace(check_mode=check_mode, async_val=0)
        action = ActionModule.__new__(ActionModule)
        action._task = task
        action._connection = SimpleNamespace(has_native_async=False)
        calls = []

        def execute(module_args, task_vars, **_more):
            calls.append("check" if task.check_mode else "plain")
            return foreseen

        def live(_arguments, _task_vars):
            calls.append("live")
            return {"changed": True}

        monkeypatch.setattr(action, "_execute_module", execute)
        monkeypatch.setattr(action, "execute_live", live)
        return action.execute({"name": "m", **arguments}, {}), calls, task

    return run


def test_a_model_in_place_costs_one_call_and_no_job(run):
    result, calls, task = run({"changed": False})
    assert (result["changed"], calls) == (False, ["check"])
    assert task.check_mode is False


def test_a_missing_model_is_fetched_live(run):
    result, calls, _task = run({"changed": True})
    assert (result["changed"], calls) == (True, ["check", "live"])


def test_an_error_is_left_to_the_real_run(run):
    assert run({"failed": True, "msg": "away"})[1] == ["check", "live"]


@pytest.mark.parametrize("option", ["keep_loaded", "update"])
@pytest.mark.parametrize("value", [True, "yes"])
def test_what_check_mode_cannot_foresee_is_run_at_once(run, option, value):
    assert run({"changed": False}, **{option: value})[1] == ["live"]


def test_check_mode_runs_the_module_once(run):
    assert run({"changed": True}, check_mode=True)[1] == ["check"]
