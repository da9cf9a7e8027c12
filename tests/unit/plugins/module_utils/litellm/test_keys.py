# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""LiteLLM's keys: when one is replaced, and what the old one may still do."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
from ansible_collections.intranet.mcp.plugins.module_utils.litellm import client
from ansible_collections.intranet.mcp.plugins.module_utils.litellm.keys import FIELDS, LiteLLMKeys
from ansible_collections.intranet.mcp.plugins.module_utils.litellm.resource import Step

NOW = datetime.now(timezone.utc)  # noqa: UP017 - as in the module
VALUE = "sk-" + "a" * 20


def keys_of(*kept):
    """Return the resource with these keys, and no server behind it."""
    keys = LiteLLMKeys.__new__(LiteLLMKeys)
    keys.module, keys.params, keys.is_list = SimpleNamespace(check_mode=False), {}, True
    keys.client = SimpleNamespace(keys=lambda **_filters: list(kept))
    keys.steps, keys._by_name = [], {}
    keys._load([])
    return keys


def options(**given):
    return {**dict.fromkeys(FIELDS), "state": "present", "rotate": False, **given}


def key(days_old=0, **more):
    made = (NOW - timedelta(days=days_old)).isoformat()
    return {"key_alias": "ci", "token": client.token_hash(VALUE), "created_at": made, **more}


def step_of(current, **given):
    keys = keys_of(current)
    step = Step("ci", options(key_alias="ci", **given), current)
    keys.diff(step)
    return keys, step


def test_a_key_that_is_as_it_should_be_is_left_alone():
    _keys, step = step_of(key(models=["a"]), models=["a"])
    assert step.act is None


def test_another_value_replaces_the_key_and_is_in_no_diff():
    keys, step = step_of(key(), key="sk-" + "b" * 20)
    assert step.act == keys.replace
    assert "sk-" not in str(step.difference.as_diff())


@pytest.mark.parametrize(("days", "is_replaced"), [(31, True), (29, False)])
def test_a_key_of_litellms_own_is_replaced_when_it_is_old(days, is_replaced):
    keys, step = step_of(key(days_old=days), rotate_after="30d")
    assert (step.act == keys.replace) is is_replaced


def test_a_given_value_that_is_old_is_told_and_stays():
    """Only whoever gave it can give another."""
    _keys, step = step_of(key(days_old=31), key=VALUE, rotate_after="30d")
    assert (step.act, step.extra) == (None, {"rotation_due": True})


@pytest.mark.parametrize(("seconds", "is_same"), [(60, True), (600, False)])
def test_ends_of_keys_are_one_within_what_a_request_takes(seconds, is_same):
    later = (NOW + timedelta(seconds=seconds)).isoformat()
    assert keys_of().is_same("expires", NOW.isoformat(), later) is is_same


def test_an_empty_team_takes_the_key_out_of_it():
    assert keys_of().desired(Step("ci", options(team_id=""), {}))["team_id"] is None
